//! What an outcome means, and what `Retry-After` asks for.

use std::time::Duration;

use postrider_core::limits::RETRY_AFTER_CAP;
use postrider_core::response::{self, Denial, Outcome, Phase, Profile, Reply, TransportError, Verdict, verdict};
use postrider_core::time::UnixTime;
use serde_json::{Value, json};

use super::{Told, judge};
use crate::case::{Case, Input};

/// A number of seconds, a hint above the cap, or none. A hint above the cap has its number too.
pub(super) fn retry_after(case: &Case) -> Result<Told, String> {
    let (asked, above_cap) = asked(&case.input)?;
    let got = match asked {
        Some(delay) => json!({ "delay_s": delay.as_secs(), "above_cap": above_cap }),
        None => json!({ "ignore": true }),
    };
    Ok(judge(case, got, |expected, _| match &expected["delay_s"] {
        Value::Number(secs) => asked.is_some() && asked == secs.as_u64().map(Duration::from_secs),
        Value::String(word) => word == "saturate" && above_cap,
        _ => expected["ignore"] == true && asked.is_none(),
    }))
}

/// What the lines ask for, and whether that is above the cap.
fn asked(input: &Input) -> Result<(Option<Duration>, bool), String> {
    let (values, now) = (input.texts("values")?, UnixTime::from_secs(input.number("now")?));
    let hint = response::retry_after(values.iter().map(|value| value.as_bytes()), now, None);
    let lines = values.iter().map(|value| ("Retry-After", value));
    if Reply::new(503).headers(lines).hint(now) != hint {
        return Err("a reply reads its lines otherwise than `retry_after` does".to_owned());
    }
    Ok((hint.asked(), hint.above_cap().is_some() && hint.floor() == Some(RETRY_AFTER_CAP)))
}

/// The classes under both profiles. `also_ok` lists classes that either may have.
pub(super) fn classify(case: &Case) -> Result<Told, String> {
    let outcome = outcome(&case.input)?;
    let class = |profile| match verdict(&outcome, profile, UnixTime::from_secs(1_445_412_480)).verdict {
        Verdict::Delivered => "delivered",
        Verdict::Retry { .. } => "retry",
        Verdict::Throttled { .. } => "throttled",
        Verdict::Gone => "gone-disable",
        Verdict::Refused(_) => "rejected-permanently",
    };
    let got = [("standard_webhooks", class(Profile::StandardWebhooks)), ("cloudevents", class(Profile::CloudEvents))];
    let allowed = |(profile, class): &(&str, &str)| {
        let also = case.also_ok.iter().any(|also| also == class || also[*profile] == **class);
        also || case.expected[*profile] == **class
    };
    let passes = got.iter().all(allowed);
    Ok(Told { passes, got: json!({ got[0].0: got[0].1, got[1].0: got[1].1 }).to_string() })
}

/// A status decides, whatever happened to the body afterwards. Interim replies are skipped by drivers.
fn outcome(input: &Input) -> Result<Outcome, String> {
    use TransportError as E;
    if let Some(status) = input.maybe_number("status")? {
        let status = u16::try_from(status).map_err(|_| "`status` is no status")?;
        return Ok(Ok(Reply::new(status).headers(input.headers()?)));
    }
    Ok(Err(match input.text("transport")? {
        "dns-nxdomain" => E::NameNotFound,
        "connect-refused" => E::ConnectRefused,
        "connect-timeout" => E::TimedOut(Phase::Connect),
        "tls-timeout" | "tls-handshake-timeout" => E::TimedOut(Phase::Tls),
        "response-timeout" => E::TimedOut(Phase::Head),
        "network-unreachable" | "host-unreachable" => E::Unreachable,
        "tls-cert-expired" => E::TlsExpired,
        "tls-cert-name-mismatch" => E::TlsWrongName,
        "tls-untrusted-root" | "tls-self-signed" => E::TlsUntrusted,
        "reset-before-request-sent" => E::SendFailed,
        "head-too-large" | "response-head-too-large" => E::HeadTooLarge,
        "blocked-address" => E::Denied(Denial::Address),
        // What the core is told of the others is their kind.
        other => by_kind(other).ok_or_else(|| format!("the transport outcome `{other}` is not known"))?,
    }))
}

fn by_kind(name: &str) -> Option<TransportError> {
    use TransportError as E;
    let kinds = [
        ("dns-", E::NameFailed),
        ("connect-", E::ConnectFailed),
        ("tls-", E::TlsFailed),
        ("malformed-", E::MalformedHead),
        ("reset-", E::Closed),
        ("closed-", E::Closed),
        ("eof-", E::Closed),
    ];
    kinds.into_iter().find(|(kind, _)| name.starts_with(kind)).map(|(_, error)| error)
}
