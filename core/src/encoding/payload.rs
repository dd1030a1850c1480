//! What an application publishes.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use serde::de::IgnoredAny;

/// Longest content type of a raw payload, in bytes.
pub const CONTENT_TYPE_BYTES: usize = 256;

/// The data of an event: JSON, kept byte for byte, or bytes of any other kind with their content type.
///
/// Cloning shares the bytes. How large a payload may be is decided where it is published.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    kind: Kind,
    body: Bytes,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// The body is one well-formed JSON text without blanks around it.
    Json,
    /// The body is anything, said to be of this type.
    Raw(HeaderValue),
}

impl Payload {
    /// The JSON of a value, minified.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, PayloadError> {
        let body = serde_json::to_vec(value).map_err(|e| PayloadError::Unserializable { why: e.to_string().into() })?;
        Ok(Self { kind: Kind::Json, body: body.into() })
    }

    /// A JSON text (RFC 8259, UTF-8, no byte order mark), without copying it or building its values.
    ///
    /// Blanks before and after it are left out; nothing else is changed, so that numbers, key order, escapes and
    /// repeated keys arrive as they were written.
    pub fn json_bytes(text: Bytes) -> Result<Self, PayloadError> {
        let utf8 = core::str::from_utf8(&text).map_err(|e| PayloadError::NotUtf8 { at: e.valid_up_to() })?;
        serde_json::from_str::<IgnoredAny>(utf8)
            .map_err(|e| PayloadError::NotJson { line: e.line(), column: e.column() })?;
        let body = text.slice(without_blanks(&text));
        Ok(Self { kind: Kind::Json, body })
    }

    /// Bytes of any kind. Endpoints receive them as they are, whatever their encoding.
    ///
    /// The content type is `type/subtype` with parameters where wanted (RFC 9110, section 8.3.1), of visible ASCII
    /// characters and blanks, at most 256 bytes ([`CONTENT_TYPE_BYTES`]). JSON given here stays outside any envelope.
    pub fn raw(content_type: &str, body: Bytes) -> Result<Self, PayloadError> {
        if content_type.len() > CONTENT_TYPE_BYTES {
            return Err(PayloadError::ContentTypeTooLong { bytes: content_type.len() });
        }
        MediaType { text: content_type.as_bytes(), at: 0 }.check().map_err(|at| PayloadError::BadContentType { at })?;
        let content_type = HeaderValue::from_str(content_type).expect("a media type is a header value");
        Ok(Self { kind: Kind::Raw(content_type), body })
    }

    /// What was accepted, read back from the journal, whose checksums answer for the bytes: JSON without a content type
    /// is not read again. `None` when the content type cannot have been accepted.
    pub(crate) fn accepted(content_type: Option<&str>, body: Bytes) -> Option<Self> {
        match content_type {
            None => Some(Self { kind: Kind::Json, body }),
            Some(content_type) => Self::raw(content_type, body).ok(),
        }
    }

    /// Whether it is JSON, and so may stand in an envelope.
    pub fn is_json(&self) -> bool {
        match self.kind {
            Kind::Json => true,
            Kind::Raw(_) => false,
        }
    }

    /// The JSON text, where it is JSON.
    pub(crate) fn as_json(&self) -> Option<&str> {
        match self.kind {
            // What comes from a journal was checked before it was written, and its checksums answer for it.
            Kind::Json => core::str::from_utf8(&self.body).ok(),
            Kind::Raw(_) => None,
        }
    }

    /// What the bytes are: `application/json`, or what [`raw`](Self::raw) was told.
    pub fn content_type(&self) -> HeaderValue {
        match &self.kind {
            Kind::Json => HeaderValue::from_static("application/json"),
            Kind::Raw(content_type) => content_type.clone(),
        }
    }

    /// The bytes, without an envelope.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

impl fmt::Debug for Payload {
    /// What it is and how long, not what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({:?}, {} bytes)", self.content_type(), self.body.len())
    }
}

/// Why something cannot be a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// The bytes are not UTF-8, which JSON is written in.
    NotUtf8 {
        /// The first byte that is not, counted from 0.
        at: usize,
    },
    /// The text is not well-formed JSON.
    NotJson {
        /// The line, counted from 1.
        line: usize,
        /// The byte within the line, counted from 1; 0 before the first.
        column: usize,
    },
    /// The value's own `Serialize` refused, or the value has no form in JSON.
    Unserializable {
        /// In the words of `Serialize`.
        why: Box<str>,
    },
    /// The content type is not `type/subtype` with parameters of visible ASCII characters.
    BadContentType {
        /// The first byte that does not fit, counted from 0.
        at: usize,
    },
    /// The content type has too many bytes.
    ContentTypeTooLong {
        /// How many it has.
        bytes: usize,
    },
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { at } => write!(f, "the payload is not UTF-8 at byte {at}, as JSON must be"),
            Self::NotJson { line, column } => {
                write!(f, "the payload is not well-formed JSON at line {line}, column {column}")
            }
            Self::Unserializable { why } => write!(f, "the payload cannot be written as JSON: {why}"),
            Self::BadContentType { at } => write!(
                f,
                "the content type is wrong at byte {at}; it should look like `text/csv` or `text/csv; charset=utf-8`"
            ),
            Self::ContentTypeTooLong { bytes } => {
                write!(f, "the content type has {bytes} bytes, at most {CONTENT_TYPE_BYTES} are allowed")
            }
        }
    }
}

impl core::error::Error for PayloadError {}

/// Where the text stands between the blanks of JSON.
fn without_blanks(text: &[u8]) -> Range<usize> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let start = text.iter().position(|b| !blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    start..end
}

/// Reads `type "/" subtype *( OWS ";" OWS [ token "=" ( token / quoted-string ) ] )`. Errors are the place.
struct MediaType<'a> {
    text: &'a [u8],
    at: usize,
}

impl MediaType<'_> {
    fn check(mut self) -> Result<(), usize> {
        self.token()?;
        self.expect(b'/')?;
        self.token()?;
        while self.at < self.text.len() {
            self.blanks();
            self.expect(b';')?;
            self.blanks();
            if self.next().is_none_or(|b| b == b';') {
                continue;
            }
            self.token()?;
            self.expect(b'=')?;
            if self.next() == Some(b'"') { self.quoted()? } else { self.token()? }
        }
        // A blank at the end would not reach the other side.
        if self.text.ends_with(b" ") { Err(self.at - 1) } else { Ok(()) }
    }

    fn next(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), usize> {
        if self.next() != Some(byte) {
            return Err(self.at);
        }
        self.at += 1;
        Ok(())
    }

    fn blanks(&mut self) {
        while self.next() == Some(b' ') {
            self.at += 1;
        }
    }

    fn token(&mut self) -> Result<(), usize> {
        let start = self.at;
        while self.next().is_some_and(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
            self.at += 1;
        }
        if self.at == start { Err(start) } else { Ok(()) }
    }

    fn quoted(&mut self) -> Result<(), usize> {
        self.expect(b'"')?;
        loop {
            match self.next() {
                Some(b'"') => return self.expect(b'"'),
                Some(b'\\') => {
                    self.at += 1;
                    self.visible()?;
                }
                Some(_) => self.visible()?,
                None => return Err(self.at),
            }
        }
    }

    fn visible(&mut self) -> Result<(), usize> {
        if !self.next().is_some_and(|b| matches!(b, b' '..=b'~')) {
            return Err(self.at);
        }
        self.at += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::format;
    use proptest::prelude::*;

    fn json(text: &'static [u8]) -> Result<Bytes, PayloadError> {
        Payload::json_bytes(Bytes::from_static(text)).map(|payload| payload.body().clone())
    }

    #[test]
    fn json_is_checked_and_kept() {
        assert_eq!(json(b" \t\r\n{ \"a\" :\t1.0e5, \"a\":2 } \n").unwrap(), "{ \"a\" :\t1.0e5, \"a\":2 }");
        assert_eq!(json(b"null").unwrap(), "null");
        assert_eq!(json(b""), Err(PayloadError::NotJson { line: 1, column: 0 }));
        assert_eq!(json(b"{\n  \"a\": 01\n}"), Err(PayloadError::NotJson { line: 2, column: 9 }));
        assert!(matches!(json(b"{} {}"), Err(PayloadError::NotJson { line: 1, .. })));
        assert!(matches!(json(b"\xef\xbb\xbf{}"), Err(PayloadError::NotJson { .. })), "a byte order mark");
        assert_eq!(json(b"\"\xff\""), Err(PayloadError::NotUtf8 { at: 1 }));
    }

    #[test]
    fn deep_json_needs_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Payload::json_bytes(deep.into()).is_ok());
    }

    #[test]
    fn a_value_without_json_is_refused_in_its_own_words() {
        let map = BTreeMap::from([((1, 2), 3)]);
        let error = Payload::json(&map).unwrap_err();
        assert!(matches!(&error, PayloadError::Unserializable { why } if why.contains("key")), "{error}");
        assert_eq!(Payload::json("text").unwrap().body(), "\"text\"");
    }

    #[test]
    fn content_types() {
        let at = |text: &str| match Payload::raw(text, Bytes::new()) {
            Ok(payload) => {
                assert_eq!(payload.content_type(), text);
                None
            }
            Err(PayloadError::BadContentType { at }) => Some(at),
            Err(other) => panic!("{other}"),
        };
        for good in [
            "text/csv",
            "application/vnd.acme+xml",
            "text/plain;charset=utf-8",
            "text/plain ; charset=\"utf-8\"; a=b",
            "a/b; c=\"d \\\" ; e\"",
            "a/b;",
            "a/b;;c=d",
        ] {
            assert_eq!(at(good), None, "{good}");
        }
        for (bad, place) in [
            ("", 0),
            ("text", 4),
            ("text/", 5),
            ("/csv", 0),
            ("text/csv ", 9),
            ("text/csv; ", 9),
            (" text/csv", 0),
            ("text/csv charset=utf-8", 9),
            ("text/csv;charset", 16),
            ("text/csv;charset=", 17),
            ("text/csv;charset=\"utf", 21),
            ("text/csv;a=\"\t\"", 12),
            ("text/csv\r\nx: y", 8),
            ("text/cs\u{e9}", 7),
        ] {
            assert_eq!(at(bad), Some(place), "{bad}");
        }
        let long = format!("a/{}", "b".repeat(255));
        assert_eq!(Payload::raw(&long, Bytes::new()), Err(PayloadError::ContentTypeTooLong { bytes: 257 }));
    }

    #[test]
    fn debug_tells_the_kind_and_not_the_data() {
        let payload = Payload::json("canary").unwrap();
        assert_eq!(format!("{payload:?}"), "Payload(\"application/json\", 8 bytes)");
    }

    proptest! {
        /// Whatever is accepted as JSON is read by a parser that builds values; only its depth limit may come between.
        #[test]
        fn accepted_json_is_json(bytes in prop::collection::vec(prop_oneof![
            prop::sample::select(b"{}[]\",:0123456789.-eE+ \n\\utrfalsn\xc3\xa9\xff".to_vec()),
        ], 0..12)) {
            let accepted = Payload::json_bytes(bytes.clone().into()).is_ok();
            let read = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok();
            prop_assert_eq!(accepted, read && core::str::from_utf8(&bytes).is_ok());
        }

        #[test]
        fn any_content_type_is_answered(text in "[ -~]{0,12}|[a-z]/[a-z];[ -~]{0,12}|.{0,300}") {
            if let Ok(payload) = Payload::raw(&text, Bytes::new()) {
                prop_assert_eq!(payload.content_type(), text);
            }
        }
    }
}
