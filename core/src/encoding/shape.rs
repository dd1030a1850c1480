//! How an endpoint wants its events written.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use super::{Thin, percent};
use crate::limits;

/// What bodies look like; see the table of this module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// JSON payloads in an object with `type`, `timestamp` (of the event) and `data`. Raw payloads as they are.
    ///
    /// Source: Standard Webhooks 1.0.0, "Payload structure".
    #[default]
    Envelope,
    /// The payload alone: raw.
    Data,
    /// The envelope in XML 1.0.
    Xml,
    /// The envelope as `application/x-www-form-urlencoded`.
    Form,
    /// A CloudEvent in JSON (CloudEvents 1.0.2, structured mode).
    CloudEvents,
    /// The payload alone, with a CloudEvent's attributes as headers (CloudEvents 1.0.2, binary mode).
    CloudEventsBinary,
    /// A list of CloudEvents (CloudEvents 1.0.2, batched mode), which has one: each event is a request of its own.
    CloudEventsBatch,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Envelope,
        Self::Data,
        Self::Xml,
        Self::Form,
        Self::CloudEvents,
        Self::CloudEventsBinary,
        Self::CloudEventsBatch,
    ];

    /// Its name, as in endpoint files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Data => "data",
            Self::Xml => "xml",
            Self::Form => "form",
            Self::CloudEvents => "cloudevents",
            Self::CloudEventsBinary => "cloudevents-binary",
            Self::CloudEventsBatch => "cloudevents-batch",
        }
    }

    /// The encoding of this name; `raw` is another name of [`Data`](Self::Data).
    pub fn by_name(name: &str) -> Option<Self> {
        let name = if name == "raw" { Self::Data.name() } else { name };
        Self::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    /// Its number in the journal, which does not change between versions.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Envelope => 0,
            Self::Data => 1,
            Self::Xml => 2,
            Self::Form => 3,
            Self::CloudEvents => 4,
            Self::CloudEventsBinary => 5,
            Self::CloudEventsBatch => 6,
        }
    }

    /// The inverse of [`to_wire`](Self::to_wire); `None` for a number that it never gives.
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.to_wire() == number)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How an endpoint wants its events written: an encoding, of the whole payload or of parts. Endpoints of the same shape
/// share bodies. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shape {
    /// Its encoding.
    pub encoding: Encoding,
    /// The parts of the payload, if it is not all of it.
    pub thin: Option<Thin>,
    /// Where its CloudEvents say that they come from; without one, `/postrider/` and the tenant.
    pub source: Option<Source>,
}

impl From<Encoding> for Shape {
    /// The whole payload in this encoding, from the default source.
    fn from(encoding: Encoding) -> Self {
        Self { encoding, ..Self::default() }
    }
}

impl Shape {
    /// The same with these parts of the payload alone.
    pub fn with_thin(self, thin: Thin) -> Self {
        Self { thin: Some(thin), ..self }
    }

    /// The same with this source.
    pub fn with_source(self, source: Source) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Whether it is the whole payload in the envelope, which most endpoints have.
    pub(crate) fn is_plain(&self) -> bool {
        self.encoding == Encoding::Envelope && self.thin.is_none()
    }

    /// The source of a tenant's events: the one that was set, or `/postrider/` and the tenant.
    pub(super) fn source_for(&self, tenant: &str) -> Cow<'_, str> {
        match &self.source {
            Some(source) => Cow::Borrowed(source.as_str()),
            None => {
                let mut path = String::from("/postrider/");
                for c in tenant.chars() {
                    if in_path(c) { path.push(c) } else { percent(c, &mut path) }
                }
                Cow::Owned(path)
            }
        }
    }
}

/// Where CloudEvents say that they come from: a URI or a part of one (RFC 3986), such as `/shop` or
/// `https://shop.example.com/orders`. At most [`limits::SOURCE_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source(Arc<str>);

impl Source {
    /// Checks the characters of a source.
    pub fn new(text: &str) -> Result<Self, SourceError> {
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        if text.len() > limits::SOURCE_BYTES {
            return Err(SourceError::TooLong { bytes: text.len() });
        }
        for (at, c) in text.char_indices() {
            let escape = text.as_bytes().get(at + 1..at + 3);
            let is_fine = match c {
                '%' => escape.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
                '/' | '?' | '#' | '[' | ']' => true,
                c => in_path(c),
            };
            if !is_fine {
                return Err(SourceError::Forbidden { at, found: c });
            }
        }
        Ok(Self(text.into()))
    }

    /// The source as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a segment of a path may hold (RFC 3986, `pchar`), percent-encoding aside.
fn in_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c)
}

/// Why a text is no source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceError {
    /// It has no characters.
    Empty,
    /// It has too many bytes.
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// It has a character that a URI does not have there.
    Forbidden {
        /// Its byte, counted from 0.
        at: usize,
        /// The character.
        found: char,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty; it should be a URI or a path, such as \"/shop\""),
            Self::TooLong { bytes } => write!(f, "it has {bytes} bytes, at most {} are allowed", limits::SOURCE_BYTES),
            Self::Forbidden { at, found } => {
                write!(f, "it has {found:?} at byte {at}, which a URI does not have there; write it percent-encoded")
            }
        }
    }
}

impl core::error::Error for SourceError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn names_and_numbers_lead_back() {
        for (number, encoding) in Encoding::ALL.into_iter().enumerate() {
            assert_eq!(Encoding::by_name(encoding.name()), Some(encoding));
            assert_eq!(usize::from(encoding.to_wire()), number, "numbers stay as they are");
            assert_eq!(Encoding::from_wire(encoding.to_wire()), Some(encoding));
        }
        assert_eq!(Encoding::by_name("raw"), Some(Encoding::Data));
        assert_eq!((Encoding::by_name("json"), Encoding::from_wire(7)), (None, None));
    }

    #[test]
    fn sources() {
        for good in ["/shop", "https://shop.example.com/orders?x=%20#f", "urn:x:y", "mailto:a@b.c", "//[::1]/"] {
            assert_eq!(Source::new(good).map(|source| source.as_str().to_string()), Ok(good.to_string()));
        }
        for (bad, at) in [("a b", 1), ("/\u{e9}", 1), ("/x%2", 2), ("<", 0), ("a\n", 1), ("\\", 0)] {
            assert!(
                matches!(Source::new(bad), Err(SourceError::Forbidden { at: found, .. }) if found == at),
                "{bad:?}"
            );
        }
        assert_eq!(Source::new(""), Err(SourceError::Empty));
        let long = "a".repeat(limits::SOURCE_BYTES + 1);
        assert_eq!(Source::new(&long), Err(SourceError::TooLong { bytes: long.len() }));
    }

    #[test]
    fn the_source_is_the_tenant_where_none_is_set() {
        let shape = Shape::from(Encoding::CloudEvents);
        assert_eq!(shape.source_for("acme"), "/postrider/acme");
        assert_eq!(shape.source_for("a/b?%\"c"), "/postrider/a%2Fb%3F%25%22c");
        assert!(Source::new(&shape.source_for("a/b?%\"c")).is_ok());
        assert_eq!(shape.with_source(Source::new("/x").unwrap()).source_for("acme"), "/x");
        assert_eq!(format!("{}", Encoding::Xml), "xml");
    }
}
