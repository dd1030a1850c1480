//! CloudEvents over HTTP, written and read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use postrider_core::encoding::{
    Attribute, CloudData, CloudEvent, CloudEventError, Mode, decode_header_value, encode_header_value,
};
use postrider_core::receiver::{
    DecodeError, ExchangeId, ReceivedEvent, Receiver, ReceiverConfig, RecvInput, RecvOutput, RequestHead,
};
use postrider_core::signing::{Scheme, Signer, Unsigned, Verifier};
use postrider_core::time::{Instant, Now, UnixTime};
use serde_json::{Map, Value, json};

use super::{Told, judge};
use crate::case::{Case, Input};

pub(super) fn encode_header(input: &Input) -> Result<Value, String> {
    Ok(json!({ "header": encode_header_value(input.text("value")?) }))
}

pub(super) fn decode_header(input: &Input) -> Result<Value, String> {
    Ok(match decode_header_value(input.text("header")?.as_bytes()) {
        Some(value) => json!({ "value": value }),
        None => json!({ "error": true }),
    })
}

pub(super) fn detect_mode(input: &Input) -> Result<Value, String> {
    let mode = match Mode::of(input.maybe_text("content_type")?) {
        Mode::Binary => "binary",
        Mode::Structured => "structured",
        Mode::Batch => "batch",
        Mode::Unsupported => "structured-unsupported-format",
    };
    Ok(json!({ "mode": mode }))
}

/// An event in both forms. Header lines are compared as a set without regard to the letter case of names, JSON as a value.
pub(super) fn map_event(case: &Case) -> Result<Told, String> {
    let event = case.input.get("event").ok_or("the input has no `event`")?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
    let got = match CloudEvent::decode(&headers, &Bytes::from(event.to_string())).as_deref() {
        Ok([event]) => both_forms(event)?,
        Ok(_) => return Err("one event became several".to_owned()),
        Err(why) => error(why),
    };
    Ok(judge(case, got, |expected, got| match expected.get("error") {
        Some(_) => same_error(expected, got),
        None => same_forms(expected, got),
    }))
}

fn both_forms(event: &CloudEvent) -> Result<Value, String> {
    let structured = event.structured();
    let (lines, bytes) = event.binary();
    let mut headers = Map::new();
    for (name, value) in &lines {
        let value = value.to_str().map_err(|_| format!("the header {name} is no ASCII"))?;
        if headers.insert(name.as_str().to_owned(), value.into()).is_some() {
            return Err(format!("the header {name} is there twice"));
        }
    }
    let media_type = headers.get("content-type").and_then(Value::as_str);
    let content_type = structured.content_type.to_str().map_err(|_| "the content type is no ASCII")?;
    let body: Value = serde_json::from_slice(&structured.body).map_err(|why| format!("structured: {why}"))?;
    let data = data(&bytes, media_type);
    Ok(json!({
        "structured": { "content_type": content_type, "body": body },
        "binary": { "headers": headers, "body": data },
    }))
}

/// Whether each form that a case names is as it says, and it names one.
fn same_forms(expected: &Value, got: &Value) -> bool {
    let structured = expected.get("structured").map(|form| got.get("structured") == Some(form));
    let binary = expected.get("binary").map(|form| got.get("binary") == expected_binary(form).as_ref());
    (structured.is_some() || binary.is_some()) && structured.unwrap_or(true) && binary.unwrap_or(true)
}

/// The binary form of a case, in the form that [`both_forms`] makes.
fn expected_binary(form: &Value) -> Option<Value> {
    let mut headers = Map::new();
    for line in form["headers"].as_array()? {
        headers.insert(line[0].as_str()?.to_lowercase(), line[1].clone());
    }
    let bytes = STANDARD.decode(form["body_b64"].as_str()?).ok()?;
    let data = data(&bytes, headers.get("content-type").and_then(Value::as_str));
    Some(json!({ "headers": headers, "body": data }))
}

/// A body that says it is JSON as a value, others as they are.
fn data(bytes: &[u8], media_type: Option<&str>) -> Value {
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence.ends_with("/json") || essence.ends_with("+json");
    match serde_json::from_slice(bytes) {
        Ok(value) if is_json => value,
        _ => json!({ "body_b64": STANDARD.encode(bytes) }),
    }
}

/// The events of a request. Everything must be as expected, and nothing more be there.
pub(super) fn parse_http(case: &Case) -> Result<Told, String> {
    let body = Bytes::from(case.input.bytes("body_b64")?);
    let got = match header_map(&case.input.headers()?) {
        Err(why) => json!({ "error": why }),
        Ok(headers) => {
            let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let events = CloudEvent::decode(&headers, &body);
            if Mode::of(content_type) != Mode::Binary || headers.contains_key("ce-specversion") {
                received(&headers, &body, &events)?;
            }
            match events.as_deref() {
                Ok(events) if Mode::of(content_type) == Mode::Batch => json!({ "count": events.len() }),
                Ok([event]) => shown(event)?,
                Ok(_) => return Err("one event became several".to_owned()),
                Err(why) => error(why),
            }
        }
    };
    Ok(judge(case, got, |expected, got| match expected.get("error") {
        Some(_) => same_error(expected, got),
        None => expected == got,
    }))
}

/// Whether a receiver tells the application the same of a request, once it is signed.
fn received(
    headers: &HeaderMap,
    body: &Bytes,
    expected: &Result<Vec<CloudEvent>, CloudEventError>,
) -> Result<(), String> {
    let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_700_000_000) };
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let unsigned = Unsigned { method: "POST", url: "", id: Some("msg_1"), headers: &[], body };
    let signed = Signer::new(Scheme::Standard, secret).map_err(|why| why.to_string())?.sign(&unsigned, now.wall);
    let mut headers = headers.clone();
    for (name, value) in signed.map_err(|why| why.to_string())?.headers {
        headers.insert(HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"));
    }
    let verifier = Verifier::standard([secret]).map_err(|why| why.to_string())?;
    let mut receiver = Receiver::new(ReceiverConfig::new(verifier), now);
    let exchange = ExchangeId::new(1);
    receiver.handle(now, RecvInput::Head { exchange, head: RequestHead::new(Method::POST, headers) });
    receiver.handle(now, RecvInput::Body { exchange, body: body.clone() });
    let RecvOutput::Deliver(delivery) = receiver.poll_output() else { return Err("it was not delivered".to_owned()) };
    let same = match (delivery.events(), expected) {
        (Ok(events), Ok(expected)) => events.iter().map(ReceivedEvent::cloud_event).eq(expected.iter().map(Some)),
        (Err(DecodeError::CloudEvents(why)), Err(expected)) => why == *expected,
        (Ok(_) | Err(_), _) => false,
    };
    if same { Ok(()) } else { Err("a receiver tells the application something else".to_owned()) }
}

/// The header lines as a server would hand them over, which takes none that is not one.
fn header_map(lines: &[(&str, &str)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| format!("{value:?} is no header value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn shown(event: &CloudEvent) -> Result<Value, String> {
    let mut attributes = Map::from_iter([("specversion".to_owned(), json!("1.0"))]);
    for (name, value) in event.attributes() {
        let value = match value {
            Attribute::Text(text) => json!(text),
            Attribute::Integer(number) => json!(number),
            Attribute::Boolean(value) => json!(value),
        };
        attributes.insert(name.to_owned(), value);
    }
    let mut shown = json!({ "attributes": attributes });
    match event.data() {
        Some(CloudData::Json(text)) => {
            shown["data_json"] = serde_json::from_slice(text).map_err(|why| format!("the data is no JSON: {why}"))?;
        }
        Some(CloudData::Text(text)) => shown["data_text"] = json!(text),
        Some(CloudData::Binary(bytes)) => shown["data_b64"] = json!(STANDARD.encode(bytes)),
        None => {}
    }
    Ok(shown)
}

/// The names that errors have in the vectors, those of ours for which there is none left out.
const ERRORS: [&str; 10] = [
    "missing_attribute",
    "empty_attribute",
    "specversion",
    "type",
    "duplicate",
    "datacontenttype_header",
    "both_data",
    "base64",
    "json",
    "shape",
];

fn error(why: &CloudEventError) -> Value {
    let name = match why {
        CloudEventError::Missing { .. } => ERRORS[0],
        CloudEventError::Empty { .. } => ERRORS[1],
        CloudEventError::Version => ERRORS[2],
        CloudEventError::Type { .. } => ERRORS[3],
        CloudEventError::Duplicate { .. } => ERRORS[4],
        CloudEventError::ContentTypeHeader => ERRORS[5],
        CloudEventError::BothData => ERRORS[6],
        CloudEventError::Base64 => ERRORS[7],
        CloudEventError::Json => ERRORS[8],
        CloudEventError::Shape => ERRORS[9],
        CloudEventError::At { index, why } => {
            let mut told = error(why);
            told["index"] = (*index).into();
            return told;
        }
        other => return json!({ "error": other.to_string() }),
    };
    json!({ "error": name })
}

/// Whether both are errors, of the same event of a batch, and of the same name where both have one that is known.
fn same_error(expected: &Value, got: &Value) -> bool {
    let known = |error: &Value| error.as_str().is_some_and(|name| ERRORS.contains(&name));
    let (wanted, told) = (&expected["error"], &got["error"]);
    let named = !known(wanted) || !known(told) || wanted == told;
    let place = expected.get("index").is_none_or(|index| got.get("index") == Some(index));
    told.is_string() && *wanted != false && named && place
}
