//! What holds for all encodings.

use super::*;
use alloc::string::ToString;
use alloc::{format, vec};
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

/// Texts, many of them such as encodings have a use of their own for.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z]{0,3}",
        "(_x[0-9A-F]{4}_|_x_|xml|XML|item|data|[0-2]|\\[|\\]|=|&|%41|\\+| |<|>|\"|\r|\n|\t|_|x|-|\u{1}|\u{fffe}|\u{ff}|\u{10000}){0,4}",
    ]
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Fractions that a parser of doubles reads exactly.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 16.0)),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any_text(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn sent(shape: impl Into<Shape>, payload: &Payload) -> Result<Encoded, EncodeError> {
    encode(&shape.into(), &Message::new("msg_1", "a.b", UnixTime::from_millis(1), payload))
}

fn json(text: impl Into<Bytes>) -> Payload {
    Payload::json_bytes(text.into()).unwrap()
}

#[test]
fn the_payload_alone_is_not_copied() {
    let raw = Payload::raw("text/csv; charset=utf-8", Bytes::from_static(b"a,b\n")).unwrap();
    for encoding in [Encoding::Envelope, Encoding::Data, Encoding::CloudEventsBinary] {
        let sent = sent(encoding, &raw).unwrap();
        assert_eq!(sent.content_type, "text/csv; charset=utf-8");
        assert_eq!(sent.body.as_ptr(), raw.body().as_ptr());
        assert_eq!(sent.body, "a,b\n");
    }
    let json = json(&b" [1, 2.50]\n"[..]);
    for encoding in [Encoding::Data, Encoding::CloudEventsBinary] {
        let sent = sent(encoding, &json).unwrap();
        assert_eq!((sent.body.as_ptr(), &sent.body[..]), (json.body().as_ptr(), &b"[1, 2.50]"[..]));
        assert_eq!(sent.content_type, "application/json");
    }
}

/// One payload in every encoding, byte for byte.
#[test]
fn each_encoding_as_it_is_documented() {
    let payload = json(&b"{\"id\": 7, \"total\": 10.50, \"note\": \"<&\"}"[..]);
    for (encoding, content_type, body) in [
        (
            Encoding::Envelope,
            "application/json",
            r#"{"type":"a.b","timestamp":"1970-01-01T00:00:00.001Z","data":{"id": 7, "total": 10.50, "note": "<&"}}"#,
        ),
        (Encoding::Data, "application/json", r#"{"id": 7, "total": 10.50, "note": "<&"}"#),
        (
            Encoding::Xml,
            "application/xml; charset=utf-8",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<event><type>a.b</type><timestamp>1970-01-01T00:00:00.001Z\
             </timestamp><data type=\"object\"><id type=\"number\">7</id><total type=\"number\">10.50</total>\
             <note>&lt;&amp;</note></data></event>\n",
        ),
        (
            Encoding::Form,
            "application/x-www-form-urlencoded",
            "type=a.b&timestamp=1970-01-01T00%3A00%3A00.001Z&data[id]=7&data[total]=10.50&data[note]=%3C%26",
        ),
        (
            Encoding::CloudEvents,
            "application/cloudevents+json",
            r#"{"specversion":"1.0","id":"msg_1","source":"/postrider/default","type":"a.b","time":"1970-01-01T00:00:00.001Z","datacontenttype":"application/json","data":{"id": 7, "total": 10.50, "note": "<&"}}"#,
        ),
        (Encoding::CloudEventsBinary, "application/json", r#"{"id": 7, "total": 10.50, "note": "<&"}"#),
        (
            Encoding::CloudEventsBatch,
            "application/cloudevents-batch+json",
            r#"[{"specversion":"1.0","id":"msg_1","source":"/postrider/default","type":"a.b","time":"1970-01-01T00:00:00.001Z","datacontenttype":"application/json","data":{"id": 7, "total": 10.50, "note": "<&"}}]"#,
        ),
    ] {
        let sent = sent(encoding, &payload).unwrap();
        assert_eq!((sent.content_type.to_str().unwrap(), &*String::from_utf8_lossy(&sent.body)), (content_type, body));
        let headers = if encoding == Encoding::CloudEventsBinary {
            vec![
                "ce-specversion: 1.0",
                "ce-id: msg_1",
                "ce-source: /postrider/default",
                "ce-type: a.b",
                "ce-time: 1970-01-01T00:00:00.001Z",
            ]
        } else {
            vec![]
        };
        let shown = sent.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        assert_eq!(shown.collect::<Vec<_>>(), headers);
    }
}

/// CloudEvents say until when they are worth sending, and nothing else has a place for it.
#[test]
fn cloudevents_say_when_they_expire() {
    let payload = json("7");
    let expires = Some(UnixTime::from_millis(86_400_000));
    for encoding in Encoding::ALL {
        let message = Message::new("msg_1", "a.b", UnixTime::from_millis(1), &payload);
        let with = encode(&encoding.into(), &message.expires(expires)).unwrap();
        let without = encode(&encoding.into(), &message).unwrap();
        let text = |sent: &Encoded| format!("{:?} {}", sent.headers(), String::from_utf8_lossy(&sent.body));
        let expected = match encoding {
            Encoding::CloudEvents | Encoding::CloudEventsBatch => r#""expirytime":"1970-01-02T00:00:00.000Z""#,
            Encoding::CloudEventsBinary => r#"("ce-expirytime", "1970-01-02T00:00:00.000Z")"#,
            _ => {
                assert_eq!(with, without, "{encoding}");
                continue;
            }
        };
        assert!(text(&with).contains(expected), "{encoding}: {}", text(&with));
        assert!(!text(&without).contains("expirytime"), "{encoding}");
    }
}

/// What is no JSON, in every encoding.
#[test]
fn raw_payloads_go_or_are_refused() {
    let raw = |media_type, body: &'static [u8]| Payload::raw(media_type, Bytes::from_static(body)).unwrap();
    let csv = raw("text/csv", b"a,\"b\"");
    for encoding in Encoding::ALL {
        let refused = matches!(encoding, Encoding::Xml | Encoding::Form);
        assert_eq!(sent(encoding, &csv).err(), refused.then_some(EncodeError::NotJson), "{encoding}");
        let thin = Shape::from(encoding).with_thin(Thin::new(["/id"]).unwrap());
        assert_eq!(sent(thin, &csv).err(), Some(EncodeError::NotJson), "{encoding}");
    }
    for (payload, data) in [
        (csv, r#""data":"a,\"b\"""#),
        (raw("application/soap+xml; charset=UTF-8", b"<a/>"), r#""data":"<a/>""#),
        (raw("text/plain; charset=latin1", b"a"), r#""data_base64":"YQ==""#),
        (raw("text/plain", b"\xff"), r#""data_base64":"/w==""#),
        (raw("application/octet-stream", b"a"), r#""data_base64":"YQ==""#),
        (raw("application/vnd.acme+json", b"{}"), r#""data_base64":"e30=""#),
    ] {
        let body = sent(Encoding::CloudEvents, &payload).unwrap().body;
        assert!(String::from_utf8_lossy(&body).ends_with(&format!("{data}}}")), "{body:?}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |depth: usize| json(format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let (fine, deep, deeper) = (nested(limits::NESTING), nested(limits::NESTING + 1), nested(100_000));
    for encoding in Encoding::ALL {
        let refused = matches!(encoding, Encoding::Xml | Encoding::Form).then_some(EncodeError::TooNested);
        assert_eq!(sent(encoding, &fine).err(), None, "{encoding}");
        assert_eq!(
            (sent(encoding, &deep).err(), sent(encoding, &deeper).err()),
            (refused.clone(), refused),
            "{encoding}"
        );
    }
    let wide = json(format!("{{\"{}\":[{}1]}}", "n".repeat(10_000), "1,".repeat(10_000)));
    let most = limits::FORM_BYTES + limits::FORM_EXPANSION * wide.body().len();
    assert_eq!(sent(Encoding::Form, &wide), Err(EncodeError::TooLarge { max: most }));
    assert!(sent(Encoding::Xml, &wide).is_ok());
}

#[test]
fn a_thin_payload_is_thin_in_every_encoding() {
    let payload = json(&b"{\"id\":\"KEPT\",\"name\":\"LEFTOUT\"}"[..]);
    for encoding in Encoding::ALL {
        let shape = Shape::from(encoding).with_thin(Thin::new(["/id"]).unwrap());
        let body = sent(shape, &payload).unwrap().body;
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("KEPT") && !text.contains("LEFTOUT"), "{encoding}: {text}");
    }
}

#[test]
fn debug_shows_no_body() {
    let payload = json(&b"\"CANARY\""[..]);
    for encoding in Encoding::ALL {
        let shown = format!("{:?}", sent(encoding, &payload).unwrap());
        assert!(!shown.contains("CANARY"), "{shown}");
    }
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
        let sent = encode(&Shape::default(), &Message::new("x", &event_type, time, &payload)).unwrap();
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

    /// Blanks and escapes of the text are no matter to XML and forms, and nothing makes an encoding panic.
    #[test]
    fn how_json_is_spaced_is_no_matter(value in any_json()) {
        let pretty = json(serde_json::to_string_pretty(&value).unwrap());
        for encoding in [Encoding::Xml, Encoding::Form] {
            prop_assert_eq!(sent(encoding, &pretty).unwrap(), sent(encoding, &json(value.to_string())).unwrap());
        }
    }

    /// Whatever is accepted as a payload can be handed to every encoding: half pairs, repeated names, odd numbers.
    #[test]
    fn whatever_is_a_payload_is_answered(text in "[\\[\\]{}\":,\\\\ua-f0-9 truenlse\u{e9}.-]{0,30}|\"(\\\\u[d][8-f][0-9a-f]{2}|_|x){0,6}\"") {
        if let Ok(payload) = Payload::json_bytes(text.into()) {
            for encoding in Encoding::ALL {
                prop_assert!(sent(encoding, &payload).is_ok());
            }
        }
    }
}
