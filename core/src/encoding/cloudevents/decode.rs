//! Requests back to events.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::de::IgnoredAny;

use super::{Attribute, CloudData, CloudEvent, CloudEventError, decode_header_value, essence, is_json};
use crate::encoding::EncodeError;
use crate::encoding::tokens::{Token, Tokens};

/// How a request carries events, by its `content-type`. Source: CloudEvents 1.0.2, "HTTP Protocol Binding", section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the modes that the specification has")]
pub enum Mode {
    /// Attributes in headers, data in the body: every type that is none of the others, and none.
    Binary,
    /// One event, as JSON.
    Structured,
    /// Any number of events, as JSON.
    Batch,
    /// Events in a format that is not read here.
    Unsupported,
}

impl Mode {
    /// The mode of a content type.
    pub fn of(content_type: Option<&str>) -> Self {
        let essence = content_type.map(essence).unwrap_or_default();
        match &*essence {
            "application/cloudevents+json" => Self::Structured,
            "application/cloudevents-batch+json" => Self::Batch,
            other if other.starts_with("application/cloudevents") => Self::Unsupported,
            _ => Self::Binary,
        }
    }
}

impl CloudEvent {
    /// The events of a request: one, or as many as a batch has.
    ///
    /// The data of a binary event is [`CloudData::Binary`] whatever its type, and shares the memory of the body; there is
    /// always some, perhaps empty. Data in JSON is not entered, so that its nesting is no matter.
    pub fn decode(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Self>, CloudEventError> {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let content_type = types.next();
        if types.next().is_some() {
            return Err(CloudEventError::Duplicate { name: CONTENT_TYPE.as_str().to_string() });
        }
        let text = content_type.map(HeaderValue::as_bytes).and_then(|bytes| core::str::from_utf8(bytes).ok());
        match Mode::of(text) {
            Mode::Binary => binary(headers, text, body).map(|event| alloc::vec![event]),
            Mode::Structured => Ok(alloc::vec![object(json(body)?)?]),
            Mode::Batch => batch(json(body)?),
            Mode::Unsupported => Err(CloudEventError::Format),
        }
    }
}

fn binary(headers: &HeaderMap, content_type: Option<&str>, body: &Bytes) -> Result<CloudEvent, CloudEventError> {
    let mut attributes = Attributes::default();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        if attribute == "datacontenttype" {
            return Err(CloudEventError::ContentTypeHeader);
        }
        for value in headers.get_all(name) {
            let value = decode_header_value(value.as_bytes());
            let value = value.ok_or_else(|| CloudEventError::Header { name: attribute.to_string() })?;
            attributes.add(attribute, Attribute::Text(value))?;
        }
    }
    if let Some(content_type) = content_type.filter(|content_type| !content_type.is_empty()) {
        attributes.add("datacontenttype", Attribute::from(content_type))?;
    }
    attributes.finish(Some(CloudData::Binary(body.clone())))
}

fn json(body: &Bytes) -> Result<&str, CloudEventError> {
    let text = core::str::from_utf8(body).map_err(|_| CloudEventError::Json)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| CloudEventError::Json)?;
    Ok(text)
}

fn batch(text: &str) -> Result<Vec<CloudEvent>, CloudEventError> {
    let mut tokens = Tokens::new(text);
    if tokens.next().map_err(malformed)? != Some(Token::OpenArray) {
        return Err(CloudEventError::Shape);
    }
    let mut events = Vec::new();
    while !tokens.ends() {
        let text = tokens.skip().map_err(malformed)?;
        let index = events.len();
        events.push(object(text).map_err(|why| CloudEventError::At { index, why: Box::new(why) })?);
    }
    Ok(events)
}

/// The text is well-formed, so this never shows.
fn malformed(_: EncodeError) -> CloudEventError {
    CloudEventError::Json
}

fn object(text: &str) -> Result<CloudEvent, CloudEventError> {
    let mut tokens = Tokens::new(text);
    if tokens.next().map_err(malformed)? != Some(Token::OpenObject) {
        return Err(CloudEventError::Shape);
    }
    let mut attributes = Attributes::default();
    let mut data = None;
    let mut base64 = None;
    while let Some(Token::Name(name)) = tokens.next().map_err(malformed)? {
        let name = name.to_text();
        let twice = || CloudEventError::Duplicate { name: name.clone() };
        let value = tokens.skip().map_err(malformed)?;
        match &*name {
            "data" => data.replace(value).map_or(Ok(()), |_| Err(twice()))?,
            "data_base64" if value == "null" => {}
            "data_base64" => base64.replace(value).map_or(Ok(()), |_| Err(twice()))?,
            _ => {
                if let Some(value) = scalar(&name, value)? {
                    attributes.add(&name, value)?;
                }
            }
        }
    }
    let data = match (data, base64) {
        (None, None) => None,
        (Some(_), Some(_)) => return Err(CloudEventError::BothData),
        (Some(value), None) => Some(attributes.data(value)),
        (None, Some(value)) => {
            let Some(text) = string(value) else { return Err(CloudEventError::Type { name: "data_base64".into() }) };
            let bytes = STANDARD.decode(text).map_err(|_| CloudEventError::Base64)?;
            Some(CloudData::Binary(bytes.into()))
        }
    };
    attributes.finish(data)
}

/// What a JSON string says.
fn string(value: &str) -> Option<String> {
    match Tokens::new(value).next() {
        Ok(Some(Token::Text(text))) => Some(text.to_text()),
        Ok(_) | Err(_) => None,
    }
}

/// The value of an attribute; null is as if it were not there.
fn scalar(name: &str, value: &str) -> Result<Option<Attribute>, CloudEventError> {
    let wrong = || CloudEventError::Type { name: name.to_string() };
    Ok(Some(match Tokens::new(value).next() {
        Ok(Some(Token::Text(text))) => Attribute::Text(text.to_text()),
        Ok(Some(Token::Number(number))) => Attribute::Integer(number.parse().map_err(|_| wrong())?),
        Ok(Some(Token::Bool(value))) => Attribute::Boolean(value),
        Ok(Some(Token::Null)) => return Ok(None),
        Ok(Some(Token::OpenObject | Token::OpenArray | Token::Close | Token::Name(_)) | None) | Err(_) => {
            return Err(wrong());
        }
    }))
}

/// Attributes as they come, in whichever order.
#[derive(Default)]
struct Attributes {
    version: Option<Attribute>,
    found: Vec<(String, Attribute)>,
    names: BTreeSet<String>,
}

impl Attributes {
    fn add(&mut self, name: &str, value: Attribute) -> Result<(), CloudEventError> {
        let twice = || CloudEventError::Duplicate { name: name.to_string() };
        if name == "specversion" {
            return self.version.replace(value).map_or(Ok(()), |_| Err(twice()));
        }
        super::check(name, &value)?;
        if !self.names.insert(name.to_string()) {
            return Err(twice());
        }
        self.found.push((name.to_string(), value));
        Ok(())
    }

    /// A member `data`: JSON where the type says so, or says nothing, or a string where it says something else.
    fn data(&self, value: &str) -> CloudData {
        let media_type = self.found.iter().find(|(name, _)| name == "datacontenttype").map(|(_, value)| value);
        match (media_type.is_some_and(|media_type| !is_json(media_type)), string(value)) {
            (true, Some(text)) => CloudData::Text(text),
            (true, None) | (false, _) => CloudData::Json(Bytes::copy_from_slice(value.as_bytes())),
        }
    }

    fn finish(self, data: Option<CloudData>) -> Result<CloudEvent, CloudEventError> {
        match self.version {
            None => return Err(CloudEventError::Missing { name: "specversion" }),
            Some(Attribute::Text(version)) if version == "1.0" => {}
            Some(_) => return Err(CloudEventError::Version),
        }
        for name in ["id", "source", "type"] {
            if !self.names.contains(name) {
                return Err(CloudEventError::Missing { name });
            }
        }
        Ok(CloudEvent { attributes: self.found, data })
    }
}
