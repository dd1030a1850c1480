//! How things are written for people and for programs.

use std::time::Duration;

use postrider::journal::history::End;
use postrider_core::journal::{
    ConsentRecord, DialectRecord, EndpointRecord, KeyUseRecord, OutcomeRecord, StoredValue, Then, UseRecord,
};
use postrider_core::registration::Order;
use postrider_core::registration::consent::{ConsentBy, KeptStage};
use postrider_core::registration::lifecycle::{Reason, Rule};
use postrider_core::response::{Outcome, Profile, Reply, TransportError, verdict};
use postrider_core::signing::Dialect;
use postrider_core::signing::receipt::ReceiptCheck;
use postrider_core::time::UnixTime;
use serde_json::{Value, json};

/// Now, by the wall clock.
pub(crate) fn now() -> UnixTime {
    crate::sign::now()
}

/// A number of bytes, in the largest unit that leaves something before the point.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} bytes");
    }
    let mut value = count as f64;
    let mut unit = "";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A duration as people write one: two units at most, `2h5m` or `1.5s`.
pub(crate) fn span(time: Duration) -> String {
    let secs = time.as_secs();
    let pair = |large: u64, one: &str, small: u64, other: &str| match secs % large / small {
        0 => format!("{}{one}", secs / large),
        rest => format!("{}{one}{rest}{other}", secs / large),
    };
    match secs {
        86_400.. => pair(86_400, "d", 3600, "h"),
        3600.. => pair(3600, "h", 60, "m"),
        60.. => pair(60, "m", 1, "s"),
        1.. => format!("{:.1}s", time.as_secs_f64()),
        0 if time.as_millis() > 0 || time.is_zero() => format!("{}ms", time.as_millis()),
        0 => format!("{}µs", time.as_micros()),
    }
}

/// How far a time is from now: `in 5s`, `5s ago`.
pub(crate) fn distance(at: UnixTime, now: UnixTime) -> String {
    if at > now {
        format!("in {}", span(at.saturating_since(now)))
    } else {
        format!("{} ago", span(now.saturating_since(at)))
    }
}

/// A number with the word for one or for many.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What a duration is to programs: milliseconds, with their parts.
pub(crate) fn millis(time: Duration) -> Value {
    json!((time.as_secs_f64() * 1e6).round() / 1e3)
}

/// The transport failure that an outcome names.
pub(crate) fn failure(outcome: &OutcomeRecord) -> Option<TransportError> {
    TransportError::from_wire(outcome.failure.0, outcome.failure.1)
}

/// What came of an attempt, with the reason why it was judged so; `None` when the delivery ended without an attempt.
pub(crate) fn reason(status: Option<u16>, failure: Option<TransportError>, at: UnixTime) -> Option<String> {
    let came: Outcome = match (status, failure) {
        (None, None) => return None,
        (None, Some(failure)) => Err(failure),
        (Some(status), _) => Ok(Reply::new(status)),
    };
    Some(verdict(&came, Profile::StandardWebhooks, at).to_string())
}

/// What an answer came to as to its receipt, in a word; none where none was asked for.
pub(crate) fn receipt(check: ReceiptCheck) -> Option<&'static str> {
    (check != ReceiptCheck::NotAsked).then(|| check.name())
}

/// What followed an attempt, in a word.
pub(crate) fn then(then: Then) -> &'static str {
    End::of(then).map_or("retry", End::word)
}

/// An endpoint's administrative state, and since when.
pub(crate) fn state(endpoint: &EndpointRecord) -> String {
    let since = endpoint.state.since;
    match endpoint.state.code {
        0 => "active".into(),
        1 => format!("paused since {since}"),
        2 => match cause(endpoint).filter(|cause| cause.rule != Rule::Disabled) {
            Some(cause) => format!("disabled since {since}: {cause}"),
            None => format!("disabled since {since}"),
        },
        3 => format!("gone since {since}: it answered 410"),
        4 => format!("unverified since {since}: its owner has yet to agree"),
        code => format!("in state {code} since {since}, which is not known here"),
    }
}

/// The same in a word.
pub(crate) fn state_word(endpoint: &EndpointRecord) -> &'static str {
    match endpoint.state.code {
        0 => "active",
        1 => "paused",
        2 => "disabled",
        3 => "gone",
        4 => "unverified",
        _ => "unknown",
    }
}

/// Where an owner's consent stands, without anything that a token could be found by.
pub(crate) fn consent(consent: &ConsentRecord) -> Value {
    let stage = match KeptStage::from_wire(consent.stage, consent.since, consent.detail) {
        Some(KeptStage::NotNeeded) => "not asked for".to_owned(),
        Some(KeptStage::Due { at }) => format!("to be asked for at {at}"),
        Some(KeptStage::Waiting { until }) => format!("left to the callback until {until}"),
        Some(KeptStage::Granted { at, rate }) => format!("given at {at}: {rate}"),
        Some(KeptStage::Declined { at, why }) => format!("not given at {at}: {why}"),
        None => format!("in stage {}, which is not known here", consent.stage),
    };
    json!({
        "endpoint": consent.endpoint.to_string(),
        "by": ConsentBy::from_wire(consent.ask.by).map(ConsentBy::name),
        "rate": consent.ask.rate,
        "stage": stage,
        "asks": consent.asks,
        "callbacks": consent.tokens.len(),
        "at": consent.at.to_rfc3339(),
    })
}

/// What answers have said about keys.
pub(crate) fn key_use(uses: &KeyUseRecord) -> Value {
    let entry = |uses: &UseRecord| {
        let (since, last) = (uses.since.to_rfc3339(), uses.last.to_rfc3339());
        json!({ "key": uses.key.to_string(), "count": uses.count, "since": since, "last": last })
    };
    json!({
        "endpoint": uses.endpoint.to_string(),
        "keys": uses.keys.iter().map(entry).collect::<Vec<_>>(),
        "last_in_a_row": uses.run.as_ref().map(entry),
        "unclear": uses.unclear,
        "at": uses.at.to_rfc3339(),
    })
}

/// Why it is in its state, where the record says so.
fn cause(endpoint: &EndpointRecord) -> Option<Reason> {
    let of = endpoint.cause.as_ref()?;
    Reason::from_wire(of.rule, (of.event, of.inputs), of.at, of.next)
}

/// A URL as it may be shown: tokens stand in queries.
pub(crate) fn url(url: &str) -> String {
    match url.split_once('?') {
        Some((front, _)) => format!("{front}?.."),
        None => url.into(),
    }
}

/// An endpoint without its secrets: keys by their ids, headers by their names where their values are secret.
pub(crate) fn endpoint(endpoint: &EndpointRecord) -> Value {
    let keys = endpoint
        .keys
        .iter()
        .map(|key| json!({ "id": key.secret.id().to_string(), "expires": key.expires.map(UnixTime::to_rfc3339) }));
    let headers = endpoint.headers.iter().map(|header| {
        let (value, secret) = match &header.value {
            StoredValue::Open(value) => (Some(String::from_utf8_lossy(value).into_owned()), false),
            StoredValue::Secret { .. } | StoredValue::Sealed(_) => (None, true),
        };
        json!({ "name": header.name, "value": value, "secret": secret })
    });
    json!({
        "endpoint": endpoint.key.to_string(),
        "tenant": endpoint.key.tenant.as_str(),
        "url": url(&endpoint.url),
        "events": endpoint.patterns,
        "state": state_word(endpoint),
        "since": endpoint.state.since.to_rfc3339(),
        "cause": cause(endpoint).map(|cause| {
            let next = cause.next.map(|next| next.as_secs_f64());
            json!({ "rule": cause.rule.name(), "at": cause.at.to_rfc3339(), "next_s": next, "says": cause.to_string() })
        }),
        "keys": keys.collect::<Vec<_>>(),
        "revoked": endpoint.revoked.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "headers": headers.collect::<Vec<_>>(),
        "attempts": endpoint.schedule.len(),
        "concurrency": endpoint.concurrency,
        "consent": endpoint.consent.and_then(|ask| ConsentBy::from_wire(ask.by)).map(ConsentBy::name),
        "keeps_answers": endpoint.keep_answers,
        "receipts": endpoint.receipts,
        "ordering": Order::from_wire(endpoint.order).map(|order| order.ordering.name()),
        "coalesces": Order::from_wire(endpoint.order).is_some_and(|order| order.coalesce),
        "filter": endpoint.filter.as_ref().map(|filter| filter.text.as_str()),
        "sign": sign(endpoint),
    })
}

/// The names of the schemes that an endpoint's requests are signed with.
fn sign(endpoint: &EndpointRecord) -> Vec<String> {
    let unknown = |number: u8| format!("scheme {number}, which is not known here");
    let dialects = endpoint.sign.iter().map(|DialectRecord { number, parts }| {
        Dialect::from_wire(*number, parts).map_or_else(|| unknown(*number), |dialect| dialect.to_string())
    });
    let dialects: Vec<_> = dialects.collect();
    if dialects.is_empty() { vec![Dialect::Standard.to_string()] } else { dialects }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1500, "1.5s"),
            (65_000, "1m5s"),
            (60_000, "1m"),
            (7_500_000, "2h5m"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        assert_eq!(span(Duration::from_nanos(419_700)), "419µs");
        let now = UnixTime::from_secs(100);
        assert_eq!(distance(UnixTime::from_secs(105), now), "in 5.0s");
        assert_eq!(distance(UnixTime::from_secs(40), now), "1m ago");
    }

    #[test]
    fn bytes_are_in_the_unit_that_fits() {
        for (count, text) in [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (64 << 20, "64.0 MiB")] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_query_is_not_shown() {
        assert_eq!(url("https://a.example/x?token=1"), "https://a.example/x?..");
        assert_eq!(url("https://a.example/x"), "https://a.example/x");
    }
}
