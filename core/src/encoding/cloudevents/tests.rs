//! The collected vectors, and the laws of both forms.

use super::*;
use alloc::{format, vec};
use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::encoding::tests::any_json;

/// The collected cases. Those of the handshake belong to the registration of endpoints and are passed over here.
mod vectors {
    use super::*;

    const FILE: &str = include_str!("../../../../tests/vectors/cloudevents.json");
    const ELSEWHERE: [&str; 3] = ["handshake", "handshake_callback", "handshake_receive"];

    fn text<'a>(value: &'a Value, name: &str) -> &'a str {
        value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
    }

    fn error(name: &str) -> Value {
        json!({ "error": name })
    }

    fn encode_header(input: &Value) -> Value {
        json!({ "header": encode_header_value(text(input, "value")) })
    }

    fn decode_header(input: &Value) -> Value {
        match decode_header_value(text(input, "header").as_bytes()) {
            Some(value) => json!({ "value": value }),
            None => json!({ "error": true }),
        }
    }

    fn detect_mode(input: &Value) -> Value {
        let mode = match Mode::of(input["content_type"].as_str()) {
            Mode::Binary => "binary",
            Mode::Structured => "structured",
            Mode::Batch => "batch",
            Mode::Unsupported => "structured-unsupported-format",
        };
        json!({ "mode": mode })
    }

    /// JSON in a body is compared as a value.
    fn body(bytes: &[u8], media_type: Option<&str>) -> Value {
        match media_type.filter(|media_type| is_json(&Attribute::from(*media_type))) {
            Some(_) => serde_json::from_slice(bytes).unwrap(),
            None => STANDARD.encode(bytes).into(),
        }
    }

    fn map_event(input: &Value) -> Value {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, STRUCTURED);
        let events = CloudEvent::decode(&headers, &Bytes::from(input["event"].to_string())).unwrap();
        let structured = events[0].structured();
        let (headers, bytes) = events[0].binary();
        let header =
            |(name, value): &(HeaderName, HeaderValue)| (name.as_str().to_string(), value.to_str().unwrap().into());
        let headers: Map<String, Value> = headers.iter().map(header).collect();
        let media_type = headers.get("content-type").and_then(Value::as_str);
        json!({
            "structured": {
                "content_type": structured.content_type.to_str().unwrap(),
                "body": serde_json::from_slice::<Value>(&structured.body).unwrap(),
            },
            "binary": { "headers": headers, "body": body(&bytes, media_type) },
        })
    }

    /// What a case of `map_event` expects, in the form that comparing takes: header names in small letters.
    fn expected_map(expected: &Value) -> Value {
        let mut expected = expected.clone();
        let pairs = expected["binary"]["headers"].as_array().unwrap().iter();
        let headers: Map<String, Value> =
            pairs.map(|pair| (pair[0].as_str().unwrap().to_lowercase(), pair[1].clone())).collect();
        let bytes = STANDARD.decode(text(&expected["binary"], "body_b64")).unwrap();
        let body = body(&bytes, headers.get("content-type").and_then(Value::as_str));
        expected["binary"] = json!({ "headers": headers, "body": body });
        expected
    }

    fn parse_http(input: &Value) -> Value {
        let mut headers = HeaderMap::new();
        for pair in input["headers"].as_array().unwrap() {
            let name = HeaderName::from_bytes(pair[0].as_str().unwrap().as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(pair[1].as_str().unwrap()).unwrap());
        }
        let body = Bytes::from(STANDARD.decode(text(input, "body_b64")).unwrap());
        match CloudEvent::decode(&headers, &body) {
            Ok(events) if Mode::of(input_type(&headers)) == Mode::Batch => json!({ "count": events.len() }),
            Ok(events) => shown(&events[0]),
            Err(why) => told(&why),
        }
    }

    fn input_type(headers: &HeaderMap) -> Option<&str> {
        headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap())
    }

    fn shown(event: &CloudEvent) -> Value {
        let mut attributes = Map::from_iter([("specversion".to_string(), json!("1.0"))]);
        for (name, value) in event.attributes() {
            let value = match value {
                Attribute::Text(text) => json!(text),
                Attribute::Integer(number) => json!(number),
                Attribute::Boolean(value) => json!(value),
            };
            attributes.insert(name.to_string(), value);
        }
        let mut shown = json!({ "attributes": attributes });
        match event.data() {
            Some(CloudData::Json(text)) => shown["data_json"] = serde_json::from_slice(text).unwrap(),
            Some(CloudData::Text(text)) => shown["data_text"] = json!(text),
            Some(CloudData::Binary(bytes)) => shown["data_b64"] = json!(STANDARD.encode(bytes)),
            None => {}
        }
        shown
    }

    fn told(why: &CloudEventError) -> Value {
        match why {
            CloudEventError::Missing { .. } => error("missing_attribute"),
            CloudEventError::Empty { .. } => error("empty_attribute"),
            CloudEventError::Version => error("specversion"),
            CloudEventError::Type { .. } => error("type"),
            CloudEventError::Duplicate { .. } => error("duplicate"),
            CloudEventError::ContentTypeHeader => error("datacontenttype_header"),
            CloudEventError::BothData => error("both_data"),
            CloudEventError::Base64 => error("base64"),
            CloudEventError::Json => error("json"),
            CloudEventError::Shape => error("shape"),
            CloudEventError::At { index, why } => {
                let mut told = told(why);
                told["index"] = (*index).into();
                told
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn all_cases_of_this_room_hold() {
        let cases: Vec<Value> = serde_json::from_str(FILE).unwrap();
        let mut counts = alloc::collections::BTreeMap::new();
        let mut wrong = Vec::new();
        for case in &cases {
            let input = &case["input"];
            let op = text(input, "op");
            *counts.entry(op).or_insert(0) += 1;
            let got = match op {
                "encode_header_value" => encode_header(input),
                "decode_header_value" => decode_header(input),
                "detect_mode" => detect_mode(input),
                "map_event" => map_event(input),
                "parse_http" => parse_http(input),
                _ if ELSEWHERE.contains(&op) => continue,
                _ => panic!("an unknown op {op}"),
            };
            let also = case["also_ok"].as_array().map_or(&[][..], Vec::as_slice);
            let fits = |expected: &Value| match op {
                "map_event" => expected_map(expected) == got,
                _ => *expected == got,
            };
            if !core::iter::once(&case["expected"]).chain(also).any(fits) {
                wrong.push(format!("{}: expected {}, got {got}", text(case, "id"), case["expected"]));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let count = |op: &str| counts.get(op).copied().unwrap_or_default();
        let ours = ["encode_header_value", "decode_header_value", "detect_mode", "map_event", "parse_http"].map(count);
        assert_eq!((ours, ELSEWHERE.map(count).iter().sum()), ([15, 14, 10, 12, 26], 22));
    }
}

fn structured(body: &str) -> Result<Vec<CloudEvent>, CloudEventError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, STRUCTURED);
    CloudEvent::decode(&headers, &Bytes::copy_from_slice(body.as_bytes()))
}

/// The members of an event that are always there, and more.
fn with(members: &str) -> Result<CloudEvent, CloudEventError> {
    let mut events = structured(&format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#))?;
    Ok(events.remove(0))
}

#[test]
fn what_an_attribute_may_be() {
    let name = |name: &str| CloudEventError::Name { name: name.into() };
    let value = |name: &str| CloudEventError::Value { name: name.into() };
    let kind = |name: &str| CloudEventError::Type { name: name.into() };
    for (members, error) in [
        (r#","a_b":1"#, name("a_b")),
        (r#","Abc":1"#, name("Abc")),
        (r#","":1"#, name("")),
        (r#","x":"a\nb""#, value("x")),
        (r#","time":"yesterday""#, value("time")),
        (r#","datacontenttype":"te\u00e9t""#, value("datacontenttype")),
        (r#","x":2147483648"#, kind("x")),
        (r#","x":1e2"#, kind("x")),
        (r#","x":{}"#, kind("x")),
        (r#","subject":1"#, kind("subject")),
        (r#","data_base64":1"#, kind("data_base64")),
        (r#","subject":"""#, CloudEventError::Empty { name: "subject".into() }),
        (r#","id":"2""#, CloudEventError::Duplicate { name: "id".into() }),
        (r#","\u0069d":"2""#, CloudEventError::Duplicate { name: "id".into() }),
        (r#","data":1,"data":2"#, CloudEventError::Duplicate { name: "data".into() }),
        (r#","data":null,"data_base64":"AA==""#, CloudEventError::BothData),
        (r#","data_base64":"AA""#, CloudEventError::Base64),
    ] {
        assert_eq!(with(members), Err(error), "{members}");
    }
    let event =
        with(r#","x":-5,"y":true,"z":"","time":"1937-01-01T12:00:27.87+00:20","n":null,"data_base64":null"#).unwrap();
    let shown: Vec<_> = event.attributes().skip(3).map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(shown, ["x=-5", "y=true", "z=", "time=1937-01-01T12:00:27.87+00:20"]);
    assert_eq!(event.data(), None);
    assert_eq!(CloudEvent::new("", "/s", "t"), Err(CloudEventError::Empty { name: "id".into() }));
    let replaced = event.with("x", "six").unwrap();
    assert_eq!(replaced.attribute("x"), Some(&Attribute::from("six")));
    assert_eq!(replaced.attributes().len(), 7);
}

/// A string is JSON or text, by what the event says that it is.
#[test]
fn strings_are_what_their_type_says() {
    let data = |members: &str| with(members).unwrap().data().cloned();
    let json = |text: &'static str| Some(CloudData::Json(Bytes::from_static(text.as_bytes())));
    assert_eq!(data(r#","data":"<a/>","datacontenttype":"text/xml""#), Some(CloudData::Text("<a/>".into())));
    assert_eq!(data(r#","data":"<a/>""#), json(r#""<a/>""#));
    assert_eq!(data(r#","data": {"a": 1} ,"datacontenttype":"text/xml""#), json(r#"{"a": 1}"#));
    assert_eq!(data(r#","data":null"#), json("null"));
    // Text that would be read as JSON goes as bytes.
    let text = with("").unwrap().with_data(CloudData::Text("a".into()));
    assert!(text.structured().body.ends_with(br#","data_base64":"YQ=="}"#));
    let (headers, body) = text.binary();
    assert_eq!((headers.iter().any(|(name, _)| *name == CONTENT_TYPE), &body[..]), (false, &b"a"[..]));
}

#[test]
fn depth_is_no_matter() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let event = with(&format!(",\"data\":{deep}")).unwrap();
    assert_eq!(event.data().unwrap().bytes(), deep);
    assert!(structured(&deep).is_err());
}

#[test]
fn one_content_type_only() {
    let mut headers = HeaderMap::new();
    headers.append(CONTENT_TYPE, STRUCTURED);
    headers.append(CONTENT_TYPE, BATCH);
    assert!(matches!(CloudEvent::decode(&headers, &Bytes::new()), Err(CloudEventError::Duplicate { .. })));
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+avro"))]);
    assert_eq!(CloudEvent::decode(&headers, &Bytes::new()), Err(CloudEventError::Format));
}

fn any_event() -> impl Strategy<Value = CloudEvent> {
    let text = "[^\\x00-\\x1f\\x7f-\\u{9f}]{1,12}";
    let value = prop_oneof![
        text.prop_map(Attribute::Text),
        any::<i32>().prop_map(Attribute::Integer),
        any::<bool>().prop_map(Attribute::Boolean),
    ];
    let data = prop_oneof![
        Just(None),
        any_json().prop_map(|value| Some(("application/json", CloudData::Json(value.to_string().into())))),
        any::<String>().prop_map(|text| Some(("text/plain", CloudData::Text(text)))),
        any::<Vec<u8>>().prop_map(|bytes| Some(("application/octet-stream", CloudData::Binary(bytes.into())))),
    ];
    let extensions = prop::collection::btree_map("x[a-z0-9]{0,5}", value, 0..4);
    (text, text, text, prop::option::of(text), extensions, data).prop_map(
        |(id, source, kind, subject, extensions, data)| {
            let mut event = CloudEvent::new(&id, &source, &kind).unwrap();
            if let Some(subject) = subject {
                event = event.with("subject", &*subject).unwrap();
            }
            for (name, value) in extensions {
                event = event.with(&name, value).unwrap();
            }
            match data {
                Some((media_type, data)) => event.with("datacontenttype", media_type).unwrap().with_data(data),
                None => event,
            }
        },
    )
}

proptest! {
    #[test]
    fn json_gives_back_what_was_put_in(events in prop::collection::vec(any_event(), 0..3)) {
        for event in &events {
            let Encoded { content_type, body, .. } = event.structured();
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
            prop_assert_eq!(CloudEvent::decode(&headers, &body), Ok(vec![event.clone()]));
        }
        let Encoded { content_type, body, .. } = cloudevents_batch(&events);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        prop_assert_eq!(CloudEvent::decode(&headers, &body), Ok(events));
    }

    /// Headers know neither numbers nor booleans; everything else comes back.
    #[test]
    fn headers_give_back_what_was_put_in(event in any_event()) {
        let (headers, body) = event.binary();
        let decoded = CloudEvent::decode(&HeaderMap::from_iter(headers), &body).unwrap().remove(0);
        let told = |event: &CloudEvent| {
            let told: alloc::collections::BTreeMap<_, _> = event.attributes().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            told
        };
        prop_assert_eq!(told(&decoded), told(&event));
        prop_assert_eq!(decoded.data().unwrap().bytes(), event.data().map(CloudData::bytes).unwrap_or_default());
    }

    #[test]
    fn header_values_come_back(value in any::<String>()) {
        let header = encode_header_value(&value);
        prop_assert!(header.bytes().all(|b| b.is_ascii_graphic()));
        prop_assert_eq!(decode_header_value(header.as_bytes()), Some(value));
    }

    #[test]
    fn any_request_is_answered(body in prop::collection::vec(prop_oneof![prop::sample::select(b"{}[]\",:01\\ud8".to_vec()), any::<u8>()], 0..30), value in "[ -~]{0,10}") {
        for media_type in [Some(STRUCTURED), Some(BATCH), None] {
            let mut headers = HeaderMap::new();
            media_type.into_iter().for_each(|media_type| drop(headers.insert(CONTENT_TYPE, media_type)));
            headers.insert("ce-id", HeaderValue::from_str(&value).unwrap());
            let _ = CloudEvent::decode(&headers, &Bytes::from(body.clone()));
        }
        let _ = decode_header_value(&body);
    }
}
