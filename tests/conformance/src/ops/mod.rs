//! The operations that need no socket: from an input to what came of it.

mod cloudevents;
mod consent;
mod dialects;
mod matching;
mod responses;
mod standard;
mod urls;

use serde_json::{Map, Value};

use crate::case::{Case, Op};

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Told {
    /// Whether it is one of the things that the case allows.
    pub(crate) passes: bool,
    pub(crate) got: String,
}

/// Runs a case. The error says why it could not be run.
pub(crate) fn run(case: &Case) -> Result<Told, String> {
    let input = &case.input;
    let got = match case.op {
        Op::Sign => standard::sign(input)?,
        Op::Verify => standard::verify(input)?,
        Op::ParseSecret => standard::parse_secret(input)?,
        Op::VerifyDialect => dialects::verify(input)?,
        Op::Primitive => dialects::primitive(input)?,
        Op::RetryAfter => return responses::retry_after(case),
        Op::ClassifyOutcome => return responses::classify(case),
        Op::CheckUrl => urls::check_url(input)?,
        Op::ClassifyIp => urls::classify_ip(input)?,
        Op::EventPattern => matching::event_pattern(input)?,
        Op::MatchEventType => matching::event_type_pattern(input)?,
        Op::ValidateEventType => matching::event_type(input)?,
        Op::EncodeHeaderValue => cloudevents::encode_header(input)?,
        Op::DecodeHeaderValue => cloudevents::decode_header(input)?,
        Op::DetectMode => cloudevents::detect_mode(input)?,
        Op::MapEvent => return cloudevents::map_event(case),
        Op::ParseHttp => return cloudevents::parse_http(case),
        Op::Handshake => consent::handshake(input)?,
        Op::HandshakeCallback => consent::callback(input)?,
        Op::HandshakeReceive => return consent::receive(case),
        Op::ParseResponse => return Err("it is for a driver".to_owned()),
    };
    Ok(judge(case, got, names))
}

/// Compares what came of a case with each thing that it allows.
fn judge(case: &Case, got: Value, fits: impl Fn(&Value, &Value) -> bool) -> Told {
    Told { passes: case.allowed().any(|expected| fits(expected, &got)), got: got.to_string() }
}

/// Whether everything that `expected` names came so. `reason` is a hint and is not compared.
fn names(expected: &Value, got: &Value) -> bool {
    let fields = expected.as_object().map(Map::iter).into_iter().flatten();
    let mut compared = fields.filter(|(name, _)| *name != "reason").peekable();
    compared.peek().is_some() && compared.all(|(name, value)| got.get(name) == Some(value))
}

/// Bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
