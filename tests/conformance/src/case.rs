//! One case of a file, and what is in its input.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::report::Failure;

/// A case, read but not run.
#[derive(Debug)]
pub(crate) struct Case {
    file: String,
    /// Its place in the file, from 0.
    place: usize,
    pub(crate) id: String,
    pub(crate) op: Op,
    pub(crate) input: Input,
    pub(crate) expected: Value,
    pub(crate) also_ok: Vec<Value>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Sign,
    Verify,
    VerifyDialect,
    ParseSecret,
    Primitive,
    RetryAfter,
    CheckUrl,
    ClassifyIp,
    EventPattern,
    MatchEventType,
    ValidateEventType,
    EncodeHeaderValue,
    DecodeHeaderValue,
    MapEvent,
    DetectMode,
    ParseHttp,
    Handshake,
    HandshakeCallback,
    HandshakeReceive,
    ClassifyOutcome,
    ParseResponse,
}

/// The names that `op` has.
const NAMES: &[(&str, Op)] = &[
    ("sign", Op::Sign),
    ("verify", Op::Verify),
    ("parse_secret", Op::ParseSecret),
    ("primitive", Op::Primitive),
    ("check_url", Op::CheckUrl),
    ("classify_ip", Op::ClassifyIp),
    ("match_event_type", Op::MatchEventType),
    ("validate_event_type", Op::ValidateEventType),
    ("encode_header_value", Op::EncodeHeaderValue),
    ("decode_header_value", Op::DecodeHeaderValue),
    ("map_event", Op::MapEvent),
    ("detect_mode", Op::DetectMode),
    ("parse_http", Op::ParseHttp),
    ("handshake", Op::Handshake),
    ("handshake_callback", Op::HandshakeCallback),
    ("handshake_receive", Op::HandshakeReceive),
    ("classify_outcome", Op::ClassifyOutcome),
    ("parse_response", Op::ParseResponse),
];

/// The fields by which an input without `op` is known, all of which it must have.
const SHAPES: &[(&[&str], Op)] = &[
    (&["values"], Op::RetryAfter),
    (&["pattern_text"], Op::EventPattern),
    (&["pattern", "event_type"], Op::MatchEventType),
    (&["raw_b64"], Op::ParseResponse),
    (&["url"], Op::CheckUrl),
    (&["address"], Op::ClassifyIp),
    (&["status"], Op::ClassifyOutcome),
    (&["transport"], Op::ClassifyOutcome),
];

/// Reads the cases of a file; what is no case is a failure.
pub(crate) fn read(file: &str, bytes: &[u8]) -> Vec<Result<Case, Failure>> {
    let entries = match serde_json::from_slice(bytes) {
        Ok(Value::Array(entries)) => entries,
        Ok(_) => return vec![Err(Failure::of_file(file, "JSON that is no array".to_owned()))],
        Err(why) => return vec![Err(Failure::of_file(file, format!("no JSON: {why}")))],
    };
    entries.into_iter().enumerate().map(|(place, entry)| Case::read(file, place, entry)).collect()
}

impl Case {
    fn read(file: &str, place: usize, mut entry: Value) -> Result<Self, Failure> {
        let id = entry["id"].as_str().map_or_else(|| format!("#{place}"), str::to_owned);
        let mut take = |name: &str| entry.get_mut(name).map(Value::take).unwrap_or_default();
        let (input, expected, also_ok, own) = (take("input"), take("expected"), take("also_ok"), take("op"));
        let fail = |why: &str| {
            let (file, expected) = (file.to_owned(), expected.to_string());
            Failure { file, id: id.clone(), expected, got: format!("a malformed case: {why}") }
        };
        let Value::Object(input) = input else { return Err(fail("it has no object `input`")) };
        let input = Input(input);
        let op = input.op(&own).map_err(|why| fail(&why))?;
        if expected.is_null() {
            return Err(fail("it has no `expected`"));
        }
        let also_ok = match also_ok {
            Value::Null => Vec::new(),
            Value::Array(also_ok) => also_ok,
            _ => return Err(fail("its `also_ok` is no list")),
        };
        Ok(Self { file: file.to_owned(), place, id, op, input, expected, also_ok })
    }

    /// What must come of it, one of these.
    pub(crate) fn allowed(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(&self.expected).chain(&self.also_ok)
    }

    /// A name that no other case of the run has.
    pub(crate) fn name(&self) -> String {
        format!("{}#{}", self.file, self.place)
    }

    pub(crate) fn failure(&self, got: String) -> Failure {
        let mut expected = self.expected.to_string();
        for also in &self.also_ok {
            expected += &format!(" or {also}");
        }
        Failure { file: self.file.clone(), id: self.id.clone(), expected, got }
    }
}

/// The fields of a case's input. Each reader says which field is missing or of another type.
#[derive(Clone, Debug)]
pub(crate) struct Input(Map<String, Value>);

impl Input {
    fn op(&self, own: &Value) -> Result<Op, String> {
        let name = match (self.get("op"), own) {
            (Some(Value::String(name)), _) | (None, Value::String(name)) => name,
            (None, Value::Null) => {
                let of_shape = |fields: &[&str]| fields.iter().all(|name| self.has(name));
                let shape = SHAPES.iter().find(|(fields, _)| of_shape(fields));
                return shape.map(|(_, op)| *op).ok_or_else(|| "its input has no `op` and no known shape".to_owned());
            }
            _ => return Err("its `op` is no text".to_owned()),
        };
        let named = NAMES.iter().find(|(known, _)| known == name);
        match named.map(|(_, op)| *op) {
            Some(Op::Verify) if self.has("dialect") => Ok(Op::VerifyDialect),
            Some(op) => Ok(op),
            None => Err(format!("`{name}` is no known op")),
        }
    }

    /// Whether there is such a field, be it null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A field that is there and not null.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str, String> {
        self.maybe_text(name)?.ok_or_else(|| format!("the input has no `{name}`"))
    }

    pub(crate) fn maybe_text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` is no text")),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, String> {
        self.maybe_number(name)?.ok_or_else(|| format!("the input has no `{name}`"))
    }

    pub(crate) fn maybe_number(&self, name: &str) -> Result<Option<u64>, String> {
        let number = |value: &Value| value.as_u64().ok_or_else(|| format!("`{name}` is no number from 0 on"));
        self.get(name).map(number).transpose()
    }

    /// Bytes in base64.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        STANDARD.decode(self.text(name)?).map_err(|why| format!("`{name}` is no base64: {why}"))
    }

    /// Bytes in hexadecimal digits.
    pub(crate) fn hex(&self, name: &str) -> Result<Vec<u8>, String> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, odd) = self.text(name)?.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
        let bytes: Option<Vec<u8>> = bytes.collect();
        bytes.filter(|_| odd.is_empty()).ok_or_else(|| format!("`{name}` is no hexadecimal digits"))
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, String> {
        let list = self.get(name).and_then(Value::as_array).ok_or_else(|| format!("the input has no list `{name}`"))?;
        let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
        texts.ok_or_else(|| format!("`{name}` has something that is no text"))
    }

    /// `headers`: a list of pairs, in order. None where there is no such field.
    pub(crate) fn headers(&self) -> Result<Vec<(&str, &str)>, String> {
        let Some(lines) = self.get("headers") else { return Ok(Vec::new()) };
        let lines = lines.as_array().ok_or("`headers` is no list")?;
        let pairs: Option<Vec<_>> = lines.iter().map(pair).collect();
        pairs.ok_or_else(|| "`headers` has something that is no pair of texts".to_owned())
    }

    /// An object within.
    pub(crate) fn part(&self, name: &str) -> Result<Self, String> {
        match self.get(name) {
            Some(Value::Object(part)) => Ok(Self(part.clone())),
            _ => Err(format!("the input has no object `{name}`")),
        }
    }
}

/// A header line: a list of its name and its value.
fn pair(line: &Value) -> Option<(&str, &str)> {
    let [name, value] = line.as_array()?.as_slice() else { return None };
    Some((name.as_str()?, value.as_str()?))
}
