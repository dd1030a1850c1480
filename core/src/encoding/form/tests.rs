//! The mapping there and back.

use super::*;
use alloc::format;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::encoding::tests::{any_json, any_text};

fn data(json: &str) -> String {
    let form = write("t", UnixTime::EPOCH, json).unwrap();
    form.strip_prefix("type=t&timestamp=1970-01-01T00%3A00%3A00.000Z&").unwrap().to_string()
}

fn decoded(form: &str) -> Result<String, FormError> {
    decode_form(form.as_bytes()).map(|payload| String::from_utf8(payload.body().to_vec()).unwrap())
}

/// What a form keeps of a value; the documentation of the room says the same in words.
fn kept(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(value) => json!(value.to_string()),
        Value::Number(number) => json!(number.to_string()),
        Value::String(text) => json!(text),
        Value::Array(items) if items.is_empty() => json!([]),
        Value::Array(items) => items.iter().map(kept).collect(),
        Value::Object(members) if members.is_empty() => json!([]),
        Value::Object(members) if *value == json!({ "": null }) && members.len() == 1 => json!([]),
        Value::Object(members) if members.keys().enumerate().all(|(place, name)| *name == place.to_string()) => {
            members.values().map(kept).collect()
        }
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), kept(value))).collect(),
    }
}

#[test]
fn the_mapping() {
    for (json, form) in [
        ("10.50", "data=10.50"),
        ("1e+400", "data=1e%2B400"),
        ("9007199254740993", "data=9007199254740993"),
        ("null", "data"),
        ("\"\"", "data="),
        ("[]", "data[]"),
        ("{}", "data[]"),
        (
            r#"{"a":{"b":["x",true,{"c":null}]},"d":[]}"#,
            "data[a][b][0]=x&data[a][b][1]=true&data[a][b][2][c]&data[d][]",
        ),
        (r#"{"a[b]":"&=+ %[]é*-._~"}"#, "data[a%5Bb%5D]=%26%3D%2B+%25%5B%5D%C3%A9*-._%7E"),
        (r#"{"":0,"a":1,"a":2}"#, "data[]=0&data[a]=1&data[a]=2"),
        ("[[],[[]],1]", "data[0][]&data[1][0][]&data[2]=1"),
        (r#""\ud800""#, "data=%EF%BF%BD"),
    ] {
        assert_eq!(data(json), form);
    }
}

#[test]
fn forms_of_others_are_read_as_far_as_they_are_like_ours() {
    for (form, json) in [
        ("", "{}"),
        ("a=1&b=%41%zz&&c", r#"{"a":"1","b":"A%zz","c":null}"#),
        ("a[x]=1&b=2&a[y]=3&b=4", r#"{"a":{"x":"1","y":"3"},"b":"4"}"#),
        ("a[0]=x&a[1]=y&b[1]=x&c[00]=x", r#"{"a":["x","y"],"b":{"1":"x"},"c":{"00":"x"}}"#),
        ("=1", r#"{"":"1"}"#),
        ("a%5Bb%5D=1", r#"{"a[b]":"1"}"#),
        ("a[]=1", r#"{"a":{"":"1"}}"#),
    ] {
        assert_eq!(decoded(form).unwrap(), json, "{form}");
    }
    for (form, error) in [
        ("a=%ff", FormError::NotUtf8 { pair: 0 }),
        ("a&%ff", FormError::NotUtf8 { pair: 1 }),
        ("a&b[c", FormError::Brackets { pair: 1 }),
        ("a[b]c=1", FormError::Brackets { pair: 0 }),
        ("a[b[c]]=1", FormError::Brackets { pair: 0 }),
        ("a=1&a[b]=1", FormError::Mixed { pair: 1 }),
        ("a[b]=1&a=1", FormError::Mixed { pair: 1 }),
    ] {
        assert_eq!(decoded(form), Err(error), "{form}");
    }
    let nested = |depth: usize| decoded(&format!("a{}", "[a]".repeat(depth)));
    assert!(nested(limits::NESTING).is_ok());
    assert_eq!(nested(limits::NESTING + 1), Err(FormError::TooNested { pair: 0 }));
    assert_eq!(nested(100_000), Err(FormError::TooNested { pair: 0 }));
}

proptest! {
    #[test]
    fn a_form_gives_back_what_it_keeps(value in any_json(), event_type in any_text()) {
        let form = write(&event_type, UnixTime::EPOCH, &value.to_string()).unwrap();
        prop_assert!(form.bytes().all(|b| b.is_ascii_graphic()));
        let expected = json!({ "type": event_type, "timestamp": "1970-01-01T00:00:00.000Z", "data": kept(&value) });
        let decoded: Value = serde_json::from_str(&decoded(&form).unwrap()).unwrap();
        prop_assert_eq!(decoded, expected);
    }

    /// Numbers pass through no number type: any digits come back as they were.
    #[test]
    fn digits_are_kept(number in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?") {
        let payload = Payload::json_bytes(Bytes::from(number.clone())).unwrap();
        let form = write("t", UnixTime::EPOCH, payload.as_json().unwrap()).unwrap();
        let decoded: Value = serde_json::from_str(&decoded(&form).unwrap()).unwrap();
        prop_assert_eq!(decoded["data"].as_str(), Some(&*number));
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(prop_oneof![prop::sample::select(b"ab01[]=&%+f".to_vec()), any::<u8>()], 0..40)) {
        let _ = decode_form(&bytes);
    }
}
