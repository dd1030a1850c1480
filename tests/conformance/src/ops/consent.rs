//! The CloudEvents handshake, from both sides.

use std::num::NonZeroU32;

use postrider_core::registration::consent::{
    Answer, Callback, Consent, ConsentBy, ConsentRule, Doorkeeper, Failure, Origin, Question, Rate, Token,
    read_callback,
};
use postrider_core::time::Now;
use serde_json::{Map, Value, json};

use super::Told;
use crate::case::{Case, Input};

/// The word that names an allowance in the vectors' terms.
fn told(answer: Answer) -> Value {
    let granted = |rate: Value| json!({ "result": "granted", "rate_per_minute": rate });
    match answer {
        Answer::Granted(Rate::Unlimited) => granted("unlimited".into()),
        Answer::Granted(Rate::PerMinute(rate)) => granted(rate.get().into()),
        Answer::Granted(Rate::Unanswered(_)) => granted("unspecified".into()),
        Answer::Granted(Rate::Unspoken) => granted(Value::Null),
        Answer::Later => json!({ "result": "pending-callback" }),
        Answer::Refused(why) => json!({ "result": "refused", "reason": why.to_string() }),
    }
}

fn find<'a>(lines: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    lines.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

fn token() -> Result<Token, String> {
    Token::new("Y29uZm9ybWFuY2UtdG9rZW4tMQ").map_err(|why| why.to_string())
}

/// The sender's question, and what its answer means.
pub(super) fn handshake(input: &Input) -> Result<Value, String> {
    let (request, response) = (input.part("request")?, input.part("response")?);
    let asked = request.headers()?;
    let origin = find(&asked, "webhook-request-origin").ok_or("the request has no origin")?;
    let mut question = Question::new(Origin::new(origin).map_err(|why| why.to_string())?);
    question.rate = find(&asked, "webhook-request-rate").and_then(|rate| rate.parse().ok());
    if find(&asked, "webhook-request-callback").is_some() {
        let callback = Callback::new("https://example.com/confirm", &token()?);
        question.callback = Some(callback.map_err(|why| why.to_string())?);
    }
    for name in ["webhook-request-origin", "webhook-request-rate"] {
        let sent = question.lines();
        let sent = sent.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.to_str().ok());
        if sent != find(&asked, name) {
            return Err(format!("the question says {name}: {sent:?}"));
        }
    }
    if response.maybe_number("status")?.is_none() {
        return unreachable(question.rate);
    }
    Ok(told(question.read(&response.headers()?)))
}

/// No answer came.
fn unreachable(rate: Option<NonZeroU32>) -> Result<Value, String> {
    let mut consent = Consent::new(ConsentBy::CloudEvents, rate);
    consent.begin(Now::default());
    consent.ask(Now::default(), &token()?);
    let reason = consent.unreachable(Now::default());
    let retries = reason.rule == ConsentRule::TriesAgain(Failure::Unreachable);
    Ok(json!({ "result": if retries { "unknown-retry" } else { "refused" }, "reason": reason.to_string() }))
}

/// What a call of the callback URL grants.
pub(super) fn callback(input: &Input) -> Result<Value, String> {
    let asked = input.maybe_number("requested_rate")?;
    let asked = asked.and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new);
    let callback = input.part("callback")?;
    Ok(told(read_callback(callback.text("method")?, asked, &callback.headers()?)))
}

/// What a receiver answers: the header lines named in `headers`, and none of those in `no_headers`.
pub(super) fn receive(case: &Case) -> Result<Told, String> {
    let (policy, request) = (case.input.part("policy")?, case.input.part("request")?);
    let mut origins = Vec::new();
    let mut anyone = false;
    for name in policy.texts("allowed_origins")? {
        if name == "*" {
            anyone = true;
        } else {
            origins.push(Origin::new(name).map_err(|why| format!("the origin {name:?}: {why}"))?);
        }
    }
    let mut door = Doorkeeper::new(origins);
    door.anyone = anyone;
    let rate = policy.maybe_number("max_rate")?.map(u32::try_from).transpose();
    door.rate = rate.map_err(|_| "`max_rate` is above 32 bits")?.and_then(NonZeroU32::new);
    let reception = door.answer(&request.headers()?);
    let given: Vec<(&str, &str)> =
        reception.lines.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let fits = |expected: &Value| {
        let known = |name: &String| ["headers", "no_headers", "status", "reason"].contains(&name.as_str());
        let wanted = expected["headers"].as_object().into_iter().flatten();
        let refused = expected["no_headers"].as_array().into_iter().flatten();
        let status = expected.get("status").is_none_or(|status| *status == reception.status);
        expected.as_object().is_some_and(|fields| fields.keys().all(known))
            && status
            && wanted.into_iter().all(|(name, value)| find(&given, name) == value.as_str())
            && refused.into_iter().all(|name| name.as_str().is_some_and(|name| find(&given, name).is_none()))
    };
    let passes = case.allowed().any(fits);
    let lines: Map<String, Value> = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Ok(Told { passes, got: json!({ "status": reception.status, "headers": lines }).to_string() })
}
