//! CloudEvents 1.0: events as their JSON format and their HTTP binding write them.
//!
//! Sources: CloudEvents 1.0.2, "JSON Event Format" and "HTTP Protocol Binding".

mod decode;
mod header;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use core::fmt;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};

pub use self::decode::Mode;
pub use self::header::{decode_header_value, encode_header_value};
use super::{Encoded, Payload, quote};
use crate::time::UnixTime;

/// The media type of one event in JSON.
const STRUCTURED: HeaderValue = HeaderValue::from_static("application/cloudevents+json");
/// The media type of a list of them.
const BATCH: HeaderValue = HeaderValue::from_static("application/cloudevents-batch+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Attributes that the specification defines, all of them strings, none of them empty.
const DEFINED: [&str; 7] = ["id", "source", "type", "datacontenttype", "dataschema", "subject", "time"];

/// An event as CloudEvents 1.0 describes it: attributes and data.
///
/// ```
/// use bytes::Bytes;
/// use postrider_core::encoding::{CloudData, CloudEvent};
/// let event = CloudEvent::new("A234", "/shop", "order.paid")?
///     .with("datacontenttype", "application/json")?
///     .with_data(CloudData::Json(Bytes::from_static(b"{\"total\":10.50}")));
/// assert_eq!(
///     event.structured().body,
///     "{\"specversion\":\"1.0\",\"id\":\"A234\",\"source\":\"/shop\",\"type\":\"order.paid\",\
///      \"datacontenttype\":\"application/json\",\"data\":{\"total\":10.50}}"
/// );
/// # Ok::<(), postrider_core::encoding::CloudEventError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CloudEvent {
    /// In the order in which they were set; `specversion` is not among them.
    attributes: Vec<(String, Attribute)>,
    data: Option<CloudData>,
}

/// The value of an attribute. URIs, times and binary values are strings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the types that the specification has in JSON")]
pub enum Attribute {
    /// Characters, none of them a control character.
    Text(String),
    /// A whole number.
    Integer(i32),
    /// True or false.
    Boolean(bool),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

impl fmt::Display for Attribute {
    /// The canonical string encoding (CloudEvents 1.0.2, "Type System").
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
        }
    }
}

/// The data of an event.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the forms that data has in JSON")]
pub enum CloudData {
    /// A JSON text, well-formed.
    Json(Bytes),
    /// Text that is no JSON, such as XML or CSV. `datacontenttype` should say what it is.
    Text(String),
    /// Anything.
    Binary(Bytes),
}

impl CloudData {
    /// The bytes that are sent where the data is the body.
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::Json(bytes) | Self::Binary(bytes) => bytes.clone(),
            Self::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        }
    }
}

impl fmt::Debug for CloudData {
    /// What it is and how long, not what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(bytes) => write!(f, "Json({} bytes)", bytes.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

impl CloudEvent {
    /// An event without data. None of the three may be empty.
    pub fn new(id: &str, source: &str, event_type: &str) -> Result<Self, CloudEventError> {
        let empty = Self { attributes: Vec::new(), data: None };
        empty.with("id", id)?.with("source", source)?.with("type", event_type)
    }

    /// With this attribute, in place of one of the same name. Names are lower-case ASCII letters and digits; those that
    /// the specification defines have strings, `time` one of RFC 3339.
    pub fn with(mut self, name: &str, value: impl Into<Attribute>) -> Result<Self, CloudEventError> {
        let value = value.into();
        check(name, &value)?;
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.attributes.push((name.to_string(), value)),
        }
        Ok(self)
    }

    /// With this data.
    pub fn with_data(mut self, data: CloudData) -> Self {
        self.data = Some(data);
        self
    }

    /// An attribute, other than `specversion`, which is always `1.0`.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All attributes other than `specversion`, in the order in which they were set.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&str, &Attribute)> {
        self.attributes.iter().map(|(name, value)| (&**name, value))
    }

    /// The data.
    pub fn data(&self) -> Option<&CloudData> {
        self.data.as_ref()
    }

    /// The event as one JSON object, `application/cloudevents+json`. JSON data stands in it as it was written.
    pub fn structured(&self) -> Encoded {
        let mut body = Vec::with_capacity(self.size());
        self.write(&mut body);
        Encoded::new(STRUCTURED, body.into())
    }

    /// The event as headers and a body: `ce-specversion` and a header for each attribute, `content-type` where it is
    /// known, and the data as it is.
    pub fn binary(&self) -> (Vec<(HeaderName, HeaderValue)>, Bytes) {
        let mut headers = self.headers();
        headers.extend(self.media_type().map(|media_type| (CONTENT_TYPE, media_type)));
        (headers, self.data.as_ref().map(CloudData::bytes).unwrap_or_default())
    }

    /// `ce-specversion` and a header for each attribute but `datacontenttype`.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let header = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(alloc::format!("ce-{name}").as_bytes());
            let value = HeaderValue::from_maybe_shared(Bytes::from(encode_header_value(value)));
            (name.expect("attribute names are letters and digits"), value.expect("it is visible ASCII"))
        };
        let others = self.attributes.iter().filter(|(name, _)| name != "datacontenttype");
        let others = others.map(|(name, value)| header(name, &value.to_string()));
        core::iter::once(header("specversion", "1.0")).chain(others).collect()
    }

    /// What the data is, as `content-type` says it.
    fn media_type(&self) -> Option<HeaderValue> {
        match (self.attribute("datacontenttype"), &self.data) {
            (Some(value), _) => {
                Some(HeaderValue::from_str(&value.to_string()).expect("it was checked to be visible ASCII"))
            }
            (None, Some(CloudData::Json(_))) => Some(JSON),
            (None, Some(CloudData::Text(_) | CloudData::Binary(_)) | None) => None,
        }
    }

    /// Roughly the bytes of the JSON object.
    fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let value = match value {
                Attribute::Text(text) => text.len(),
                Attribute::Integer(_) | Attribute::Boolean(_) => 11,
            };
            name.len() + value + 6
        });
        let data = match &self.data {
            Some(CloudData::Json(bytes)) => bytes.len(),
            Some(CloudData::Text(text)) => text.len() + text.len() / 8,
            Some(CloudData::Binary(bytes)) => bytes.len() / 3 * 4 + 4,
            None => 0,
        };
        attributes.sum::<usize>() + data + 48
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"specversion\":\"1.0\"");
        for (name, value) in &self.attributes {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            match value {
                Attribute::Text(text) => quote(text, out),
                Attribute::Integer(_) | Attribute::Boolean(_) => out.extend_from_slice(value.to_string().as_bytes()),
            }
        }
        match &self.data {
            None => {}
            Some(CloudData::Json(text)) => {
                out.extend_from_slice(b",\"data\":");
                out.extend_from_slice(text);
            }
            // A string is JSON where the type says so or nothing else.
            Some(CloudData::Text(text)) if self.attribute("datacontenttype").is_some_and(|value| !is_json(value)) => {
                out.extend_from_slice(b",\"data\":");
                quote(text, out);
            }
            Some(CloudData::Text(text)) => put_base64(text.as_bytes(), out),
            Some(CloudData::Binary(bytes)) => put_base64(bytes, out),
        }
        out.push(b'}');
    }

    /// A payload with what is known about it.
    pub(super) fn of_payload(id: &str, source: &str, event_type: &str, time: UnixTime, payload: &Payload) -> Self {
        let media_type = payload.content_type();
        let media_type = media_type.to_str().expect("a content type is visible ASCII");
        let data = match payload.as_json() {
            Some(_) => CloudData::Json(payload.body().clone()),
            None => match core::str::from_utf8(payload.body()) {
                Ok(text) if is_text(media_type) => CloudData::Text(text.to_string()),
                Ok(_) | Err(_) => CloudData::Binary(payload.body().clone()),
            },
        };
        let text = |name: &str, value: &str| (name.to_string(), Attribute::Text(value.to_string()));
        let attributes = alloc::vec![
            text("id", id),
            text("source", source),
            text("type", event_type),
            text("time", &time.to_rfc3339()),
            text("datacontenttype", media_type),
        ];
        Self { attributes, data: Some(data) }
    }

    /// The same with the extension `expirytime`. Source: CloudEvents 1.0.2, "Expiry Time Extension".
    pub(super) fn expiring(mut self, at: Option<UnixTime>) -> Self {
        self.attributes.extend(at.map(|at| ("expirytime".to_string(), Attribute::Text(at.to_rfc3339()))));
        self
    }

    /// The event in binary form, whose data is a payload.
    pub(super) fn binary_of_payload(&self, payload: &Payload) -> Encoded {
        Encoded { headers: Some(self.headers().into()), ..Encoded::new(payload.content_type(), payload.body().clone()) }
    }
}

/// Several events as one JSON array, `application/cloudevents-batch+json`. It may be empty.
pub fn cloudevents_batch<'a>(events: impl IntoIterator<Item = &'a CloudEvent>) -> Encoded {
    let mut body = alloc::vec![b'['];
    for event in events {
        if body.len() > 1 {
            body.push(b',');
        }
        body.reserve(event.size() + 2);
        event.write(&mut body);
    }
    body.push(b']');
    Encoded::new(BATCH, body.into())
}

fn put_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"data_base64\":\"");
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Whether an attribute may have this name and this value.
fn check(name: &str, value: &Attribute) -> Result<(), CloudEventError> {
    let letters = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !letters || matches!(name, "data" | "specversion") {
        return Err(CloudEventError::Name { name: name.to_string() });
    }
    let wrong = || CloudEventError::Value { name: name.to_string() };
    match value {
        Attribute::Text(text) if DEFINED.contains(&name) && text.is_empty() => {
            Err(CloudEventError::Empty { name: name.to_string() })
        }
        Attribute::Text(text) if text.chars().any(char::is_control) => Err(wrong()),
        Attribute::Text(text) if name == "datacontenttype" && !text.bytes().all(|b| matches!(b, b' '..=b'~')) => {
            Err(wrong())
        }
        Attribute::Text(text) if name == "time" && !is_time(text) => Err(wrong()),
        Attribute::Text(_) => Ok(()),
        Attribute::Integer(_) | Attribute::Boolean(_) if DEFINED.contains(&name) => {
            Err(CloudEventError::Type { name: name.to_string() })
        }
        Attribute::Integer(_) | Attribute::Boolean(_) => Ok(()),
    }
}

/// Whether a text has the form of RFC 3339, in whichever year.
fn is_time(text: &str) -> bool {
    text.get(4..).is_some_and(|rest| {
        text.as_bytes()[..4].iter().all(u8::is_ascii_digit)
            && (UnixTime::parse_rfc3339(text).is_some() || UnixTime::parse_rfc3339(&["2000", rest].concat()).is_some())
    })
}

/// `type/subtype` without parameters, in small letters.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a media type is JSON: a subtype `json`, or one that ends with `+json`.
fn is_json(media_type: &Attribute) -> bool {
    let essence = essence(&media_type.to_string());
    essence.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// Whether a media type is text in UTF-8, and no JSON.
fn is_text(media_type: &str) -> bool {
    let essence = essence(media_type);
    let parameters = media_type.split(';').skip(1).map(str::trim);
    let mut charsets = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("charset").then_some(value)
    });
    let utf8 =
        |charset: &str| ["utf-8", "\"utf-8\"", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known));
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    let textual = essence.starts_with("text/") || subtype == "xml" || subtype.ends_with("+xml");
    textual && subtype != "json" && !subtype.ends_with("+json") && charsets.all(utf8)
}

/// Why something is no CloudEvent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloudEventError {
    /// An attribute that must be there is not: `specversion`, `id`, `source` or `type`.
    Missing {
        /// The attribute.
        name: &'static str,
    },
    /// An attribute is empty that may not be.
    Empty {
        /// The attribute.
        name: String,
    },
    /// The version is another than 1.0.
    Version,
    /// The name of an attribute is not of lower-case ASCII letters and digits, or is that of something else.
    Name {
        /// The name.
        name: String,
    },
    /// An attribute is of a type that it may not have.
    Type {
        /// The attribute, or `data_base64`.
        name: String,
    },
    /// An attribute's value has characters that it may not have, or is no time where it must be one.
    Value {
        /// The attribute.
        name: String,
    },
    /// An attribute is there twice.
    Duplicate {
        /// The attribute.
        name: String,
    },
    /// A header is no UTF-8 when its escapes are resolved.
    Header {
        /// The attribute.
        name: String,
    },
    /// There is a header `ce-datacontenttype`, for which `content-type` stands.
    ContentTypeHeader,
    /// There are both `data` and `data_base64`.
    BothData,
    /// `data_base64` is no base64.
    Base64,
    /// The body is not well-formed JSON.
    Json,
    /// The body is no object, or for a batch no array of objects.
    Shape,
    /// The event is in a format other than JSON.
    Format,
    /// An event of a batch is none.
    At {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        why: alloc::boxed::Box<Self>,
    },
}

impl fmt::Display for CloudEventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => write!(f, "the attribute {name} is missing"),
            Self::Empty { name } => write!(f, "the attribute {name} is empty, it must have at least one character"),
            Self::Version => f.write_str("specversion is not 1.0"),
            Self::Name { name } => {
                write!(f, "{name:?} is no name of an attribute; they are of lower-case ASCII letters and digits")
            }
            Self::Type { name } => {
                write!(f, "{name} has a type that it may not have; attributes are strings, 32-bit integers or booleans")
            }
            Self::Value { name } => write!(f, "the attribute {name} has a value that it may not have"),
            Self::Duplicate { name } => write!(f, "{name} is there twice"),
            Self::Header { name } => write!(f, "the header of the attribute {name} is no percent-encoded UTF-8"),
            Self::ContentTypeHeader => f.write_str("there is a header ce-datacontenttype; it should be content-type"),
            Self::BothData => f.write_str("there are both data and data_base64; an event has one of them"),
            Self::Base64 => f.write_str("data_base64 is no base64"),
            Self::Json => f.write_str("the body is not well-formed JSON"),
            Self::Shape => f.write_str("the body should be a JSON object, or a JSON array of them for a batch"),
            Self::Format => f.write_str("the event is in a format other than JSON"),
            Self::At { index, why } => write!(f, "event {index} of the batch: {why}"),
        }
    }
}

impl core::error::Error for CloudEventError {}

#[cfg(test)]
mod tests;
