//! An HMAC scheme that the caller describes.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use http::HeaderName;

use super::keys::{Algorithm, KeyText, Text};
use super::rows::{Form, Name, PARTS, Part, REPLAYED, Row, Stamp, Unit};
use super::scheme::{Extent, Facts, Place, Scheme, Source};

/// An HMAC scheme in a header, described by its parts.
///
/// ```
/// use postrider_core::signing::{Custom, Received, Signer, Unsigned, Verifier};
/// use postrider_core::time::UnixTime;
///
/// let scheme = Custom::sha256("x-acme-signature")
///     .prefix("v1=")
///     .id_header("x-acme-id")
///     .timestamp_header("x-acme-time")
///     .content("{id}.{timestamp}.{body}")?;
/// let signer = Signer::custom(scheme.clone(), "secret")?;
/// let now = UnixTime::from_secs(1_700_000_000);
/// let request = Unsigned { method: "POST", url: "https://example.com/hook", id: Some("1"), headers: &[], body: b"{}" };
/// let signed = signer.sign(&request, now)?;
///
/// let verifier = Verifier::custom(scheme, ["secret"])?;
/// let received = Received { method: "POST", url: &signed.url, headers: &signed.headers, body: &signed.body };
/// assert_eq!(verifier.verify(&received, now)?.id().as_deref(), Some("1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Custom {
    header: Cow<'static, str>,
    algorithm: Algorithm,
    text: Text,
    key: KeyText,
    prefix: Cow<'static, str>,
    id: Option<Cow<'static, str>>,
    timestamp: Option<Cow<'static, str>>,
    unit: Unit,
    kind: Option<Cow<'static, str>>,
    pieces: Vec<Piece>,
    tolerance: Option<Duration>,
}

/// A part of what is signed.
#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Is(String),
    Id,
    Time,
    Url,
    Body,
}

impl Custom {
    /// HMAC-SHA256 of the body in this header, in lower-case hexadecimal digits.
    pub fn sha256(header: impl Into<Cow<'static, str>>) -> Self {
        Self::new(header.into(), Algorithm::HmacSha256)
    }

    /// HMAC-SHA512 of the body in this header, in lower-case hexadecimal digits.
    pub fn sha512(header: impl Into<Cow<'static, str>>) -> Self {
        Self::new(header.into(), Algorithm::HmacSha512)
    }

    fn new(header: Cow<'static, str>, algorithm: Algorithm) -> Self {
        Self {
            header,
            algorithm,
            text: Text::Hex,
            key: KeyText::Whole,
            prefix: "".into(),
            id: None,
            timestamp: None,
            unit: Unit::Seconds,
            kind: None,
            pieces: alloc::vec![Piece::Body],
            tolerance: Some(Duration::from_secs(300)),
        }
    }

    /// The signature is written in standard base64 with padding.
    #[must_use]
    pub fn base64(self) -> Self {
        Self { text: Text::Base64, ..self }
    }

    /// What stands before the signature in its header, such as `sha256=`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<Cow<'static, str>>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// The header that carries the event's id.
    #[must_use]
    pub fn id_header(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { id: Some(name.into()), ..self }
    }

    /// The header that carries the time, in Unix seconds. It must be part of the content.
    #[must_use]
    pub fn timestamp_header(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { timestamp: Some(name.into()), unit: Unit::Seconds, ..self }
    }

    /// The header that carries the time, in Unix milliseconds. It must be part of the content.
    #[must_use]
    pub fn millis_header(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { timestamp: Some(name.into()), unit: Unit::Millis, ..self }
    }

    /// The header that carries the event's type, which is not signed.
    #[must_use]
    pub fn type_header(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: Some(name.into()), ..self }
    }

    /// The texts of keys are hexadecimal digits. Otherwise their bytes are the keys.
    #[must_use]
    pub fn hex_keys(self) -> Self {
        Self { key: KeyText::Hex, ..self }
    }

    /// The texts of keys are base64. Otherwise their bytes are the keys.
    #[must_use]
    pub fn base64_keys(self) -> Self {
        Self { key: KeyText::Base64, ..self }
    }

    /// What is signed: a text with `{id}`, `{timestamp}`, `{url}` and `{body}`, such as `v0:{timestamp}:{body}`. Comes
    /// last, and checks the description.
    pub fn content(self, template: &str) -> Result<Self, CustomError> {
        let custom = Self { pieces: pieces(template)?, ..self };
        custom.check()?;
        Ok(custom)
    }

    /// Whether it makes a scheme.
    pub(super) fn check(&self) -> Result<(), CustomError> {
        let count = |piece: &Piece| self.pieces.iter().filter(|other| *other == piece).count();
        if self.pieces.len() > PARTS {
            return Err(CustomError::TooManyParts);
        }
        if count(&Piece::Body) != 1 {
            return Err(CustomError::NoBody);
        }
        if (count(&Piece::Time) > 0) != self.timestamp.is_some() {
            return Err(CustomError::Timestamp);
        }
        if count(&Piece::Id) > 0 && self.id.is_none() {
            return Err(CustomError::NoId);
        }
        let names = [Some(&self.header), self.id.as_ref(), self.timestamp.as_ref(), self.kind.as_ref()];
        let mut seen = Vec::new();
        for name in names.into_iter().flatten() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| CustomError::BadName)?;
            if seen.contains(&name) {
                return Err(CustomError::SameName);
            }
            seen.push(name);
        }
        Ok(())
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn key(&self) -> KeyText {
        self.key
    }

    pub(super) fn tolerance(&self) -> Option<Duration> {
        self.tolerance.filter(|_| self.timestamp.is_some())
    }

    /// Its description as texts: header, algorithm, writing, keys, prefix, headers of id, time and type, unit, content.
    /// What is not there is empty.
    pub(super) fn to_parts(&self) -> Vec<String> {
        let algorithm = if self.algorithm == Algorithm::HmacSha512 { "sha512" } else { "sha256" };
        let text = if self.text == Text::Base64 { "base64" } else { "hex" };
        let key = match self.key {
            KeyText::Whole | KeyText::Sha1 | KeyText::Spki => "text",
            KeyText::Hex => "hex",
            KeyText::Base64 => "base64",
        };
        let unit = match self.unit {
            Unit::Seconds => "s",
            Unit::Millis => "ms",
        };
        let name = |name: &Option<Cow<'static, str>>| name.as_deref().unwrap_or_default().into();
        [&*self.header, algorithm, text, key, &*self.prefix]
            .map(String::from)
            .into_iter()
            .chain([name(&self.id), name(&self.timestamp), name(&self.kind), unit.into(), self.template()])
            .collect()
    }

    /// The description that [`to_parts`](Self::to_parts) gave. It is not checked further.
    pub(super) fn from_parts(parts: &[String]) -> Option<Self> {
        let [header, algorithm, text, key, prefix, id, timestamp, kind, unit, content] = parts else { return None };
        let name = |text: &String| (!text.is_empty()).then(|| Cow::Owned(text.clone()));
        let algorithm = match algorithm.as_str() {
            "sha256" => Algorithm::HmacSha256,
            "sha512" => Algorithm::HmacSha512,
            _ => return None,
        };
        Some(Self {
            text: match text.as_str() {
                "hex" => Text::Hex,
                "base64" => Text::Base64,
                _ => return None,
            },
            key: match key.as_str() {
                "text" => KeyText::Whole,
                "hex" => KeyText::Hex,
                "base64" => KeyText::Base64,
                _ => return None,
            },
            unit: match unit.as_str() {
                "s" => Unit::Seconds,
                "ms" => Unit::Millis,
                _ => return None,
            },
            prefix: Cow::Owned(prefix.clone()),
            id: name(id),
            timestamp: name(timestamp),
            kind: name(kind),
            pieces: pieces(content).ok()?,
            ..Self::new(Cow::Owned(header.clone()), algorithm)
        })
    }

    /// What is signed, as it was given to [`content`](Self::content).
    fn template(&self) -> String {
        let texts = self.pieces.iter().map(|piece| match piece {
            Piece::Is(text) => text.as_str(),
            Piece::Id => "{id}",
            Piece::Time => "{timestamp}",
            Piece::Url => "{url}",
            Piece::Body => "{body}",
        });
        texts.collect()
    }

    /// The row that a table would have of it.
    pub(super) fn row(&self) -> Row<'_> {
        let mut content = [Part::Is(""); PARTS];
        for (part, piece) in content.iter_mut().zip(&self.pieces) {
            *part = match piece {
                Piece::Is(text) => Part::Is(text),
                Piece::Id => Part::Id,
                Piece::Time => Part::Time,
                Piece::Url => Part::Url,
                Piece::Body => Part::Body,
            };
        }
        let source = |name, covered| Source { place: header(name), covered };
        Row {
            scheme: Scheme::Custom,
            header: name(&self.header, "of the custom scheme's signature"),
            form: Form::Plain(&self.prefix),
            text: self.text,
            algorithm: self.algorithm,
            key: self.key,
            stamp: self
                .timestamp
                .as_ref()
                .map_or(Stamp::None, |stamp| Stamp::Header(name(stamp, "of the custom scheme's timestamp"), self.unit)),
            content,
            never_with: None,
            facts: Facts {
                id: source(&self.id, content.contains(&Part::Id)),
                time: source(&self.timestamp, true),
                kind: source(&self.kind, false),
                order: Source::NONE,
                body: Extent::Whole,
                tolerance: self.tolerance(),
                gap: if self.timestamp.is_some() { "is as good as its description" } else { REPLAYED },
                source: "the description that the caller gave",
            },
            id_said: self.id.as_ref().map_or("", |id| name(id, "of the custom scheme's id").said),
        }
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({:?} in {})", self.algorithm, self.header)
    }
}

/// A name that was given as a literal is told by errors; of another they tell what it is for.
#[expect(clippy::ptr_arg, reason = "whether it was a literal matters")]
fn name<'a>(given: &'a Cow<'static, str>, role: &'static str) -> Name<'a> {
    let said = match given {
        Cow::Borrowed(literal) => literal,
        Cow::Owned(_) => role,
    };
    Name { text: given, said }
}

fn header<'a>(name: &'a Option<Cow<'static, str>>) -> Place<'a> {
    name.as_deref().map_or(Place::Nowhere, Place::Header)
}

/// The parts of a template.
fn pieces(template: &str) -> Result<Vec<Piece>, CustomError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let open = rest.find(['{', '}']).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(open);
        if !text.is_empty() {
            pieces.push(Piece::Is(text.into()));
        }
        if behind.is_empty() {
            break;
        }
        let (word, behind) = behind.split_once('}').ok_or(CustomError::BadTemplate)?;
        pieces.push(match word {
            "{id" => Piece::Id,
            "{timestamp" => Piece::Time,
            "{url" => Piece::Url,
            "{body" => Piece::Body,
            _ => return Err(CustomError::BadTemplate),
        });
        rest = behind;
    }
    Ok(pieces)
}

/// A description that makes no scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CustomError {
    /// The content has a `{` or `}` that belongs to none of the four words.
    BadTemplate,
    /// The content has more than 8 parts.
    TooManyParts,
    /// The content does not have `{body}` exactly once.
    NoBody,
    /// The content has `{id}`, and no header carries it.
    NoId,
    /// A header carries the timestamp and the content does not have it, or the other way round.
    Timestamp,
    /// A header's name is not one.
    BadName,
    /// One header is to carry two things.
    SameName,
}

impl fmt::Display for CustomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadTemplate => {
                "the content has a brace that is not part of `{id}`, `{timestamp}`, `{url}` or `{body}`"
            }
            Self::TooManyParts => "the content has more than 8 parts",
            Self::NoBody => "the content must have `{body}` exactly once",
            Self::NoId => "the content has `{id}`, so a header must be named that carries it",
            Self::Timestamp => "the content must have `{timestamp}` exactly where a header is named that carries it",
            Self::BadName => "the name of a header is not one",
            Self::SameName => "one header is named for two things",
        })
    }
}

impl core::error::Error for CustomError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_checked() {
        let plain = || Custom::sha256("x-sig");
        let refused = |custom: Custom, content: &str| custom.content(content).unwrap_err();
        for bad in ["{body", "body}", "{}", "{Body}", "{{body}}", "{body}}", "{nonce}{body}"] {
            assert_eq!(refused(plain(), bad), CustomError::BadTemplate, "{bad}");
        }
        assert_eq!(refused(plain(), ""), CustomError::NoBody);
        assert_eq!(refused(plain(), "{body}{body}"), CustomError::NoBody);
        assert_eq!(refused(plain(), "{id}{body}"), CustomError::NoId);
        assert_eq!(refused(plain(), "{timestamp}{body}"), CustomError::Timestamp);
        assert_eq!(refused(plain().timestamp_header("t"), "{body}"), CustomError::Timestamp);
        assert_eq!(refused(Custom::sha512("x sig"), "{body}"), CustomError::BadName);
        assert_eq!(refused(plain().id_header("X-Sig"), "{body}"), CustomError::SameName);
        let long = "{url}.{url}.{url}.{url}.{body}";
        assert_eq!(refused(plain(), long), CustomError::TooManyParts);
        assert!(plain().content("{url}.{url}.{url}.{body}.").is_ok());
    }
}
