//! From what is published to the body and content type that are sent.
//!
//! A [`Payload`] is checked once, when it is made. Encoding it then cannot fail, and copies nothing that it can share:
//! the bytes that the application gave are the bytes that are sent, inside the envelope too.
//!
//! ```
//! use bytes::Bytes;
//! use postrider_core::encoding::{Encoding, Payload, encode};
//! use postrider_core::time::UnixTime;
//!
//! let payload = Payload::json_bytes(Bytes::from_static(b"{\"total\": 10.50}"))?;
//! let sent = encode(Encoding::Envelope, "order.paid", UnixTime::from_secs(1_700_000_000), &payload);
//! assert_eq!(
//!     sent.body,
//!     r#"{"type":"order.paid","timestamp":"2023-11-14T22:13:20.000Z","data":{"total": 10.50}}"#
//! );
//! # Ok::<(), postrider_core::encoding::PayloadError>(())
//! ```

mod payload;

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use http::HeaderValue;

pub use self::payload::{CONTENT_TYPE_BYTES, Payload, PayloadError};
use crate::time::UnixTime;

/// How an endpoint wants its events written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// JSON payloads in an object with `type`, `timestamp` (of the event) and `data`. Raw payloads as they are.
    ///
    /// Source: Standard Webhooks 1.0.0, "Payload structure".
    #[default]
    Envelope,
    /// The payload alone.
    Data,
}

/// What is sent: the bytes that are signed, and what they are.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// The value of `content-type`.
    pub content_type: HeaderValue,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Encoded {
    /// Shows the body's length, not the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({:?}, {} bytes)", self.content_type, self.body.len())
    }
}

/// Writes `payload` as `encoding` says.
///
/// The same arguments always give the same bytes. The envelope has no blanks around its members, and its data is the
/// payload's bytes, untouched; everything else shares the payload's memory.
pub fn encode(encoding: Encoding, event_type: &str, time: UnixTime, payload: &Payload) -> Encoded {
    let content_type = payload.content_type();
    let body = match encoding {
        Encoding::Envelope if payload.is_json() => envelope(event_type, time, payload.body()),
        Encoding::Envelope | Encoding::Data => payload.body().clone(),
    };
    Encoded { content_type, body }
}

fn envelope(event_type: &str, time: UnixTime, data: &Bytes) -> Bytes {
    // The three names with their punctuation have 33 bytes, a quoted time 26, the quotes of the type 2.
    let mut body = Vec::with_capacity(data.len() + event_type.len() + 64);
    body.extend_from_slice(b"{\"type\":");
    quote(event_type, &mut body);
    body.extend_from_slice(b",\"timestamp\":\"");
    body.extend_from_slice(time.to_rfc3339().as_bytes());
    body.extend_from_slice(b"\",\"data\":");
    body.extend_from_slice(data);
    body.push(b'}');
    body.into()
}

/// Writes `text` as a JSON string. Event types need no escapes; other texts get theirs.
fn quote(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes every write, and a str is always valid JSON");
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope<'a> {
        r#type: String,
        timestamp: String,
        #[serde(borrow)]
        data: &'a RawValue,
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn only_the_envelope_copies() {
        let time = UnixTime::from_millis(1);
        let json = Payload::json_bytes(Bytes::from_static(b" [1, 2.50]\n")).unwrap();
        let raw = Payload::raw("text/csv; charset=utf-8", Bytes::from_static(b"a,b\n")).unwrap();
        for encoding in [Encoding::Envelope, Encoding::Data] {
            let sent = encode(encoding, "a.b", time, &raw);
            assert_eq!(sent.content_type, "text/csv; charset=utf-8");
            assert_eq!(sent.body.as_ptr(), raw.body().as_ptr());
            assert_eq!(sent.body, "a,b\n");
        }
        let sent = encode(Encoding::Data, "a.b", time, &json);
        assert_eq!((sent.body.as_ptr(), &sent.body[..]), (json.body().as_ptr(), &b"[1, 2.50]"[..]));
        assert_eq!(sent.content_type, "application/json");
        let sent = encode(Encoding::Envelope, "a.b", time, &json);
        assert_eq!(sent.body, r#"{"type":"a.b","timestamp":"1970-01-01T00:00:00.001Z","data":[1, 2.50]}"#);
        assert_eq!(sent.content_type, "application/json");
    }

    proptest! {
        #[test]
        fn the_envelope_gives_back_what_was_put_in(
            value in any_json(),
            pretty: bool,
            blanks in "[ \t\r\n]{0,3}",
            event_type in ".{0,20}",
            millis in 0..4_000_000_000_000u64,
        ) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let given = Bytes::from([&blanks[..], &text, &blanks].concat());
            let payload = Payload::json_bytes(given).unwrap();
            let time = UnixTime::from_millis(millis);
            let sent = encode(Encoding::Envelope, &event_type, time, &payload);
            let read: Envelope<'_> = serde_json::from_slice(&sent.body).unwrap();
            prop_assert_eq!(read.data.get(), &text);
            prop_assert_eq!(read.r#type, event_type);
            prop_assert_eq!(UnixTime::parse_rfc3339(&read.timestamp), Some(time));
        }

        #[test]
        fn values_and_their_text_are_the_same_payload(value in any_json()) {
            let text = Bytes::from(value.to_string());
            prop_assert_eq!(Payload::json(&value).unwrap(), Payload::json_bytes(text).unwrap());
        }
    }
}
