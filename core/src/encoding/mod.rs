//! From what is published to the body and content type that are sent.
//!
//! A [`Payload`] is checked once, when it is made. An endpoint's [`Shape`] says how its events are written:
//!
//! | [`Encoding`] | `content-type` | body | payloads |
//! | --- | --- | --- | --- |
//! | [`Envelope`](Encoding::Envelope) | `application/json` | an object with `type`, `timestamp` and `data` | any; what is not JSON goes as it is |
//! | [`Data`](Encoding::Data), raw | the payload's | the payload | any |
//! | [`Xml`](Encoding::Xml) | `application/xml; charset=utf-8` | the envelope in [XML](#xml) | JSON |
//! | [`Form`](Encoding::Form) | `application/x-www-form-urlencoded` | the envelope as a [form](#forms) | JSON |
//! | [`CloudEvents`](Encoding::CloudEvents) | `application/cloudevents+json` | one object: attributes and data | any |
//! | [`CloudEventsBinary`](Encoding::CloudEventsBinary) | the payload's | the payload; attributes are `ce-` headers | any |
//! | [`CloudEventsBatch`](Encoding::CloudEventsBatch) | `application/cloudevents-batch+json` | an array of one such object | any |
//!
//! XML, forms and [thin payloads](Thin) are made of JSON alone, with at most
//! [`NESTING`](crate::limits::NESTING) objects and arrays inside one another; a payload that they cannot express is an
//! [`EncodeError`], and its delivery is refused. The others never fail, however deep a payload is.
//!
//! What is made is what is signed and sent. The signatures of Standard Webhooks cover id, time and body, so they do not
//! cover the `ce-` headers of [`CloudEventsBinary`](Encoding::CloudEventsBinary), of which `ce-id` alone repeats something
//! that is signed: receivers that decide by `ce-type` should take another encoding.
//!
//! ```
//! use bytes::Bytes;
//! use postrider_core::encoding::{Encoding, Message, Payload, Shape, Thin, encode};
//! use postrider_core::time::UnixTime;
//!
//! let payload = Payload::json_bytes(Bytes::from_static(b"{\"id\": 7, \"total\": 10.50}"))?;
//! let message = Message::new("msg_1", "order.paid", UnixTime::from_secs(1_700_000_000), &payload);
//! let sent = encode(&Shape::from(Encoding::Envelope), &message)?;
//! assert_eq!(
//!     sent.body,
//!     r#"{"type":"order.paid","timestamp":"2023-11-14T22:13:20.000Z","data":{"id": 7, "total": 10.50}}"#
//! );
//! let thin = Shape::from(Encoding::Form).with_thin(Thin::new(["/id"])?);
//! let sent = encode(&thin, &message)?;
//! assert_eq!(sent.body, "type=order.paid&timestamp=2023-11-14T22%3A13%3A20.000Z&data[id]=7");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # CloudEvents
//!
//! The attributes are `specversion` 1.0, `id` (the event's), `source` (the endpoint's [`Source`], without one
//! `/postrider/` and the tenant), `type`, `time` (the event's) and `datacontenttype`. There is no `subject` and no
//! `dataschema`: an event has none. JSON is `data` as it was written; text (`text/*` and XML, in UTF-8) is `data` as a
//! string; everything else is `data_base64`. [`CloudEvent`] writes and reads these forms by itself, other attributes
//! included.
//!
//! # XML
//!
//! ```xml
//! <?xml version="1.0" encoding="UTF-8"?>
//! <event><type>order.paid</type><timestamp>2023-11-14T22:13:20.000Z</timestamp><data type="object">
//!   <total type="number">10.50</total><lines type="array"><item>pen</item></lines><note type="null"/>
//! </data></event>
//! ```
//!
//! (Written without the blanks shown here.) The children of `data` are the payload:
//!
//! | JSON | XML |
//! | --- | --- |
//! | object | attribute `type="object"`; an element for each member, in the order of the text, repeated names included |
//! | array | attribute `type="array"`; an element `item` for each element |
//! | string | no attribute; its characters |
//! | number | attribute `type="number"`; its characters as they were written |
//! | `true`, `false` | attribute `type="boolean"`; the word |
//! | `null` | attribute `type="null"`; empty |
//!
//! What XML cannot hold is written as `_xHHHH_`, the number of a UTF-16 unit, or `_xHHHHHHHH_`, that of a character
//! beyond U+FFFF, in capital hexadecimal digits:
//!
//! * in names everything but ASCII letters and digits, `-`, `.`, `_` and the letters of Latin-1 (which every edition of
//!   XML allows); at the beginning of a name also digits, `-` and `.`, and the `x` of a name that begins with `xml` in any
//!   case. An empty name is `_x_`.
//! * in strings control characters other than tab, line feed and carriage return, U+FFFE, U+FFFF, and halves of
//!   surrogate pairs.
//! * in both the `_` of a `_x` that stands there itself: `_x005F_x`.
//!
//! So reading `_x`, digits and `_` back gives the original. It is the escape of ISO 9075-14 and of ECMA-376. [`decode_xml`]
//! reads this, and what others write.
//!
//! # Forms
//!
//! ```text
//! type=order.paid&timestamp=2023-11-14T22%3A13%3A20.000Z&data[total]=10.50&data[lines][0]=pen&data[note]
//! ```
//!
//! | JSON | form |
//! | --- | --- |
//! | member `b` of `a` | `a[b]` |
//! | element 0 of `a` | `a[0]` |
//! | string | its characters |
//! | number, `true`, `false` | its characters as they were written |
//! | `null` | the name without a `=` |
//! | object or array without anything in it | the name with `[]` behind it, without a `=` |
//!
//! The brackets that tell the structure stand as they are, those in names are percent-encoded; what is percent-encoded
//! and what not is otherwise as the URL Standard says (section 5.2): all but ASCII letters and digits, `*`, `-`, `.` and
//! `_`, a blank as `+`, in UTF-8, halves of surrogate pairs as U+FFFD.
//!
//! A form has texts only. So [`decode_form`] gives back numbers and booleans as strings, an object whose names are `0`,
//! `1` and so on in order as an array, an empty object as an empty array, and so `{"": null}`; everything else as it was.

mod cloudevents;
mod form;
mod payload;
mod shape;
mod thin;
mod tokens;
mod xml;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

pub use self::cloudevents::{
    Attribute, CloudData, CloudEvent, CloudEventError, Mode, cloudevents_batch, decode_header_value,
    encode_header_value,
};
pub use self::form::{FormError, decode_form};
pub use self::payload::{CONTENT_TYPE_BYTES, Payload, PayloadError};
pub use self::shape::{Encoding, Shape, Source, SourceError};
pub use self::thin::{Thin, ThinError};
pub use self::xml::{XmlError, decode_xml};
use crate::limits;
use crate::time::UnixTime;

/// An event as far as bodies are made of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Message<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its dotted type.
    pub event_type: &'a str,
    /// When it happened.
    pub time: UnixTime,
    /// What it says.
    pub payload: &'a Payload,
    /// Whose it is. It names the source of CloudEvents where the endpoint does not.
    pub tenant: &'a str,
    /// Until when it is worth sending; CloudEvents say so in `expirytime`.
    pub expires: Option<UnixTime>,
}

impl<'a> Message<'a> {
    /// An event of the tenant `default`.
    pub fn new(id: &'a str, event_type: &'a str, time: UnixTime, payload: &'a Payload) -> Self {
        Self { id, event_type, time, payload, tenant: "default", expires: None }
    }

    /// The same of this tenant.
    pub fn tenant(self, tenant: &'a str) -> Self {
        Self { tenant, ..self }
    }

    /// The same, worth sending until then.
    pub fn expires(self, expires: Option<UnixTime>) -> Self {
        Self { expires, ..self }
    }
}

/// What is sent: the bytes that are signed, and what they are.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// The value of `content-type`.
    pub content_type: HeaderValue,
    /// The body.
    pub body: Bytes,
    /// Headers that are part of it, `content-type` aside.
    headers: Option<Arc<[(HeaderName, HeaderValue)]>>,
}

impl Encoded {
    pub(crate) fn new(content_type: HeaderValue, body: Bytes) -> Self {
        Self { content_type, body, headers: None }
    }

    /// Headers that say a part of the event, in the order in which they are sent: the `ce-` headers of
    /// [`Encoding::CloudEventsBinary`], and no others. Their values are visible ASCII.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        self.headers.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for Encoded {
    /// Shows the body's length, not the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({:?}, {} headers, {} bytes)", self.content_type, self.headers().len(), self.body.len())
    }
}

/// Writes an event as `shape` says.
///
/// The same arguments always give the same bytes. The envelope has no blanks around its members, and its data is the
/// payload's bytes, untouched; what is the payload alone shares its memory.
pub fn encode(shape: &Shape, message: &Message<'_>) -> Result<Encoded, EncodeError> {
    let chosen = shape.thin.as_ref().map(|thin| thin.of(message.payload)).transpose()?;
    let payload = chosen.as_ref().unwrap_or(message.payload);
    let Message { id, event_type, time, .. } = *message;
    let text = || payload.as_json().ok_or(EncodeError::NotJson);
    let cloud = || {
        let event = CloudEvent::of_payload(id, &shape.source_for(message.tenant), event_type, time, payload);
        event.expiring(message.expires)
    };
    let made = |content_type, body: String| Encoded::new(HeaderValue::from_static(content_type), body.into());
    Ok(match shape.encoding {
        Encoding::Envelope if payload.is_json() => {
            Encoded::new(payload.content_type(), envelope(event_type, time, payload.body()))
        }
        Encoding::Envelope | Encoding::Data => Encoded::new(payload.content_type(), payload.body().clone()),
        Encoding::Xml => made(xml::CONTENT_TYPE, xml::write(event_type, time, text()?)?),
        Encoding::Form => made(form::CONTENT_TYPE, form::write(event_type, time, text()?)?),
        Encoding::CloudEvents => cloud().structured(),
        Encoding::CloudEventsBinary => cloud().binary_of_payload(payload),
        Encoding::CloudEventsBatch => cloudevents_batch([&cloud()]),
    })
}

/// Why a payload cannot be written in an endpoint's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// It is not JSON, of which XML, forms and thin payloads are made.
    NotJson,
    /// It has too many objects and arrays inside one another.
    TooNested,
    /// The body would be too large.
    TooLarge {
        /// How many bytes it may have.
        max: usize,
    },
    /// It is said to be JSON and is not well-formed: its bytes have been damaged where they were kept.
    Malformed {
        /// The byte, counted from 0.
        at: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("the payload is not JSON, which the endpoint's encoding is made of"),
            Self::TooNested => write!(
                f,
                "the payload has more than {} objects and arrays inside one another, which the endpoint's encoding \
                 does not express",
                limits::NESTING
            ),
            Self::TooLarge { max } => {
                write!(f, "in the endpoint's encoding the payload would have more than {max} bytes")
            }
            Self::Malformed { at } => write!(f, "the payload is not well-formed JSON at byte {at}"),
        }
    }
}

impl core::error::Error for EncodeError {}

fn envelope(event_type: &str, time: UnixTime, data: &Bytes) -> Bytes {
    // The three names with their punctuation have 33 bytes, a quoted time 26, the quotes of the type 2.
    let mut body = Vec::with_capacity(data.len() + event_type.len() + 64);
    body.extend_from_slice(b"{\"type\":");
    quote(event_type, &mut body);
    body.extend_from_slice(b",\"timestamp\":\"");
    match time.ascii() {
        Some(text) => body.extend_from_slice(&text),
        None => body.extend_from_slice(time.to_rfc3339().as_bytes()),
    }
    body.extend_from_slice(b"\",\"data\":");
    body.extend_from_slice(data);
    body.push(b'}');
    body.into()
}

/// Writes `text` as a JSON string. Event types need no escapes; other texts get theirs.
fn quote(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes every write, and a str is always valid JSON");
}

/// Writes a character percent-encoded in UTF-8.
fn percent(c: char, out: &mut String) {
    let mut bytes = [0; 4];
    for byte in c.encode_utf8(&mut bytes).bytes() {
        write!(out, "%{byte:02X}").expect("a String takes every write");
    }
}

/// Resolves percent-encoding, once. A percent sign without two hexadecimal digits behind it stands for itself.
fn without_percent(mut bytes: Vec<u8>) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut from, mut to) = (0, 0);
    while let Some(byte) = bytes.get(from).copied() {
        let escape = match (byte, digit(bytes.get(from + 1)), digit(bytes.get(from + 2))) {
            (b'%', Some(high), Some(low)) => Some((high * 16 + low) as u8),
            _ => None,
        };
        bytes[to] = escape.unwrap_or(byte);
        from += if escape.is_some() { 3 } else { 1 };
        to += 1;
    }
    bytes.truncate(to);
    bytes
}

#[cfg(test)]
pub(crate) mod tests;
