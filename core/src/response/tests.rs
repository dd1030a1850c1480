//! The table row by row, the vectors case by case, and the values of the room.

use super::*;
use crate::limits::RETRY_AFTER_CAP;
use crate::time::UnixTime;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;
use serde_json::Value;

const RESPONSES: &str = include_str!("../../../tests/vectors/responses.json");
const RETRY_AFTER: &str = include_str!("../../../tests/vectors/retry_after.json");

const NOW: UnixTime = UnixTime::from_secs(1_445_412_480);
const RETRY: Verdict = Verdict::Retry { not_before: None };
const THROTTLED: Verdict = Verdict::Throttled { not_before: None };

fn rule_of(reply: Reply, profile: Profile) -> Ruling {
    verdict(&Ok(reply), profile, NOW)
}

/// The row with this code decides these statuses, with these verdicts under the two profiles.
fn check_row(code: &str, statuses: &[u16], standard: Verdict, cloudevents: Verdict) {
    for &status in statuses {
        for (profile, expected) in [(Profile::StandardWebhooks, standard), (Profile::CloudEvents, cloudevents)] {
            let ruling = rule_of(Reply::new(status), profile);
            assert_eq!((ruling.rule.code(), ruling.verdict), (code, expected), "{status} under {profile:?}");
            assert_eq!(ruling.cause, Cause::Status(status));
            assert!(ruling.to_string().starts_with(&format!("{status} ")), "{ruling}");
        }
    }
}

fn check_client_error(code: &str, status: u16) {
    check_row(code, &[status], RETRY, Verdict::Refused(RefusedWhy::Status(status)));
}

macro_rules! rows {
    ($($name:ident: $check:expr;)*) => { $(#[test] fn $name() { $check; })* };
}

rows! {
    row_success: check_row("success", &[200, 201, 202, 204, 206, 299], Verdict::Delivered, Verdict::Delivered);
    row_bad_request: check_client_error("bad-request", 400);
    row_unauthorized: check_client_error("unauthorized", 401);
    row_payment_required: check_client_error("payment-required", 402);
    row_forbidden: check_client_error("forbidden", 403);
    row_not_found: check_client_error("not-found", 404);
    row_method_not_allowed: check_client_error("method-not-allowed", 405);
    row_gone: check_row("gone", &[410], Verdict::Gone, Verdict::Gone);
    row_too_large: check_client_error("too-large", 413);
    row_unsupported_type: check_client_error("unsupported-type", 415);
    row_unprocessable: check_client_error("unprocessable", 422);
    row_too_many: check_row("too-many", &[429], THROTTLED, THROTTLED);
    row_headers_too_large: check_client_error("headers-too-large", 431);
    row_bad_gateway: check_row("bad-gateway", &[502], THROTTLED, THROTTLED);
    row_unavailable: check_row("unavailable", &[503], THROTTLED, THROTTLED);
    row_gateway_timeout: check_row("gateway-timeout", &[504], THROTTLED, THROTTLED);
    row_interim: check_row("interim", &[100, 101, 103, 199], RETRY, RETRY);
    row_redirect: check_row("redirect", &[300, 301, 302, 304, 307, 308, 399], RETRY, RETRY);
    row_client_error: check_row("client-error", &[406, 408, 409, 411, 425, 451, 499], RETRY, RETRY);
    row_server_error: check_row("server-error", &[500, 501, 505, 520, 599], RETRY, RETRY);
    row_unknown: check_row("unknown", &[0, 99, 600, 999, u16::MAX], RETRY, RETRY);
}

#[test]
fn without_a_response_only_what_was_denied_or_is_unwanted_is_refused() {
    for error in every_error() {
        let ruling = verdict(&Err(error), Profile::CloudEvents, NOW);
        assert_eq!(ruling, verdict(&Err(error), Profile::StandardWebhooks, NOW), "the profile makes no difference");
        let refused = |denial| (Verdict::Refused(RefusedWhy::Denied(denial)), "denied");
        let expected = match error {
            TransportError::Denied(denial) if denial != Denial::NoAddress => refused(denial),
            TransportError::Unwanted => (Verdict::Refused(RefusedWhy::Unwanted), "unwanted"),
            other => {
                assert!(!matches!(other.fault(), Fault::Policy), "{other}");
                (RETRY, "no-response")
            }
        };
        assert_eq!((ruling.verdict, ruling.rule.code()), expected, "{error}");
        assert_eq!(ruling.to_string(), error.to_string());
        assert_eq!((ruling.cause, ruling.asked), (Cause::Transport(error), None));
    }
}

#[test]
fn retry_after_is_honoured_on_any_failure_and_only_there() {
    let asked = Some(Duration::from_secs(30));
    for status in (0..=1100).filter(|status| !(200..=299).contains(status)) {
        for profile in [Profile::StandardWebhooks, Profile::CloudEvents] {
            let ruling = rule_of(Reply::new(status).header("Retry-After", b"30"), profile);
            match ruling.verdict {
                Verdict::Retry { not_before } | Verdict::Throttled { not_before } => assert_eq!(not_before, asked),
                Verdict::Gone => assert_eq!(status, 410),
                Verdict::Refused(_) => assert_eq!(profile, Profile::CloudEvents),
                Verdict::Delivered => panic!("{status} is no success"),
            }
            assert_eq!(ruling.asked, asked);
        }
    }
    let delivered = rule_of(Reply::new(200).header("Retry-After", b"30"), Profile::default());
    assert_eq!((delivered.verdict, delivered.asked), (Verdict::Delivered, None));
}

#[test]
fn a_hint_above_the_cap_is_cut_and_told() {
    let day = RETRY_AFTER_CAP.as_secs();
    let at_cap = rule_of(Reply::new(500).header("retry-after", format!("{day}").as_bytes()), Profile::default());
    assert_eq!((at_cap.verdict, at_cap.above_cap()), (Verdict::Retry { not_before: Some(RETRY_AFTER_CAP) }, None));
    let above = rule_of(Reply::new(500).header("retry-after", b"90000"), Profile::default());
    assert_eq!(above.verdict, at_cap.verdict);
    assert_eq!(above.above_cap(), Some(Duration::from_secs(90_000)));
    assert_eq!(
        above.to_string(),
        "500 says that the receiver failed; it asked for 90000 s, of which 86400 s are honoured"
    );
}

#[test]
fn a_date_counts_from_the_receivers_clock_if_it_tells_it() {
    // The receiver's clock is an hour ahead of ours, and it asks for 30 s.
    let reply = Reply::new(503).header("Retry-After", b"Wed, 21 Oct 2015 08:28:30 GMT");
    let hour = Duration::from_secs(3600);
    assert_eq!(reply.hint(NOW).floor(), Some(hour + Duration::from_secs(30)));
    let dated = reply.clone().header("Date", b"Wed, 21 Oct 2015 08:28:00 GMT");
    assert_eq!(dated.hint(NOW).floor(), Some(Duration::from_secs(30)));
    let undated = reply.header("Date", b"yesterday");
    assert_eq!(undated.hint(NOW).floor(), Some(hour + Duration::from_secs(30)), "no valid date, no help");
    let seconds = Reply::new(503).header("Date", b"Thu, 01 Jan 1970 00:00:00 GMT").header("Retry-After", b"5");
    assert_eq!(seconds.hint(NOW).floor(), Some(Duration::from_secs(5)), "seconds need no clock");
}

#[test]
fn a_reply_counts_its_head_and_keeps_little() {
    let mut map = http::HeaderMap::new();
    map.append("retry-after", http::HeaderValue::from_static("1"));
    map.append("retry-after", http::HeaderValue::from_static("7"));
    map.append("server", http::HeaderValue::from_static("x"));
    let reply = Reply::new(500).headers(&map);
    assert_eq!(reply.head_bytes(), 15 + 16 + 16 + 11);
    assert!(reply.exceeds(57) && !reply.exceeds(58));
    assert_eq!(reply.hint(NOW).asked(), Some(Duration::from_secs(7)));

    let many = (0..100).fold(Reply::new(500), |reply, n| reply.header("Retry-After", n.to_string().as_bytes()));
    assert_eq!(many.hint(NOW).asked(), Some(Duration::from_secs(3)), "the lines after the fourth are not looked at");

    let kept = Reply::new(400).with_body(b"secret words".as_slice().into()).cut_body(6);
    assert_eq!(kept.body().map(|body| &body[..]), Some(b"secret".as_slice()));
    let shown = format!("{kept:?}");
    assert!(!shown.contains("secret") && shown.contains("body_bytes: Some(6)"), "{shown}");
    assert!(size_of::<Reply>() <= 128, "{}", size_of::<Reply>());
}

fn every_error() -> Vec<TransportError> {
    (0..=u16::MAX).filter_map(|n| TransportError::from_wire((n >> 8) as u8, n as u8)).collect()
}

#[test]
fn the_wire_form_of_an_error_is_total_and_exact() {
    let every = every_error();
    assert_eq!(every.len(), 16 + 8 + 6, "every variant, with every denial and phase, has exactly one form");
    for n in 0..=u16::MAX {
        let wire = ((n >> 8) as u8, n as u8);
        if let Some(error) = TransportError::from_wire(wire.0, wire.1) {
            assert_eq!(error.to_wire(), wire, "{error}");
        }
    }
    let distinct = |texts: Vec<String>| texts.iter().collect::<alloc::collections::BTreeSet<_>>().len();
    assert_eq!(distinct(every.iter().map(|error| error.code().to_string()).collect()), every.len());
    assert_eq!(distinct(every.iter().map(ToString::to_string).collect()), every.len());
}

#[test]
fn an_error_says_where_whether_and_who() {
    use TransportError as E;
    for (error, phase, sent, fault) in [
        (E::Denied(Denial::Address), Phase::Resolve, Sent::Nothing, Fault::Policy),
        (E::Denied(Denial::Unencodable), Phase::Resolve, Sent::Nothing, Fault::Ours),
        (E::NameNotFound, Phase::Resolve, Sent::Nothing, Fault::Receiver),
        (E::NameFailed, Phase::Resolve, Sent::Nothing, Fault::Network),
        (E::ConnectRefused, Phase::Connect, Sent::Nothing, Fault::Receiver),
        (E::TlsExpired, Phase::Tls, Sent::Nothing, Fault::Receiver),
        (E::SendFailed, Phase::Send, Sent::Maybe, Fault::Network),
        (E::Closed, Phase::Head, Sent::Maybe, Fault::Receiver),
        (E::TimedOut(Phase::Connect), Phase::Connect, Sent::Nothing, Fault::Network),
        (E::TimedOut(Phase::Body), Phase::Body, Sent::Maybe, Fault::Receiver),
        (E::Aborted, Phase::Head, Sent::Maybe, Fault::Ours),
        (E::LocalResources, Phase::Connect, Sent::Nothing, Fault::Ours),
        (E::Unwanted, Phase::Head, Sent::Maybe, Fault::Receiver),
    ] {
        assert_eq!((error.phase(), error.sent(), error.fault()), (phase, sent, fault), "{error}");
    }
}

proptest! {
    #[test]
    fn a_reply_reads_its_lines_as_they_were_sent(
        lines in prop::collection::vec("[ \t]{0,2}(0{0,40}[0-9]{0,45}|-1|[a-z]{0,50}|Wed, 21 Oct 2015 07:2[0-9]:00 GMT)", 0..4),
        millis: u64,
    ) {
        let wall = UnixTime::from_millis(millis);
        let reply = lines.iter().fold(Reply::new(500), |reply, line| reply.header("RETRY-AFTER", line.as_bytes()));
        prop_assert_eq!(reply.hint(wall), retry_after(lines.iter().map(|line| line.as_bytes()), wall, None));
    }

    #[test]
    fn a_floor_never_exceeds_the_cap(value: Vec<u8>, secs: u64, millis: u64, date: Option<u32>) {
        let wall = UnixTime::from_millis(millis);
        let date = date.map(|secs| UnixTime::from_secs(secs.into()));
        let dated = http_date::format(UnixTime::from_secs(secs));
        for value in [value.as_slice(), secs.to_string().as_bytes(), dated.as_bytes()] {
            let hint = retry_after([value], wall, date);
            prop_assert!(hint.floor() <= Some(RETRY_AFTER_CAP));
            prop_assert_eq!(hint.above_cap().is_some(), hint.asked() > Some(RETRY_AFTER_CAP));
        }
    }
}

/// The values that a case accepts.
fn accepted(case: &Value, expected: &Value) -> Vec<Value> {
    let also = case.get("also_ok").and_then(Value::as_array).cloned().unwrap_or_default();
    [vec![expected.clone()], also].concat()
}

fn cases(text: &str) -> Vec<Value> {
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(cases.len() > 50, "the file has its cases");
    cases
}

#[test]
fn vectors_retry_after() {
    for case in cases(RETRY_AFTER) {
        let input = &case["input"];
        let values: Vec<&[u8]> =
            input["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap().as_bytes()).collect();
        let now = UnixTime::from_secs(input["now"].as_u64().unwrap());
        let lines = values.iter().map(|value| ("Retry-After", value));
        let hint = retry_after(values.iter().copied(), now, None);
        assert_eq!(Reply::new(503).headers(lines).hint(now), hint, "{}", case["id"]);
        let asked = hint.asked();
        let fits = accepted(&case, &case["expected"]).iter().any(|ok| match ok["delay_s"].as_u64() {
            Some(secs) => asked == Some(Duration::from_secs(secs)),
            None if ok["delay_s"] == "saturate" => hint.above_cap().is_some() && hint.floor() == Some(RETRY_AFTER_CAP),
            None => ok["ignore"] == true && asked.is_none(),
        });
        assert!(fits, "{}: {}: {asked:?}", case["id"], case["description"]);
    }
}

#[test]
fn vectors_responses() {
    for case in cases(RESPONSES) {
        let outcome = outcome_of(&case["input"]);
        for (key, profile) in [("standard_webhooks", Profile::StandardWebhooks), ("cloudevents", Profile::CloudEvents)]
        {
            let class = match verdict(&outcome, profile, NOW).verdict {
                Verdict::Delivered => "delivered",
                Verdict::Retry { .. } => "retry",
                Verdict::Throttled { .. } => "throttled",
                Verdict::Gone => "gone-disable",
                Verdict::Refused(_) => "rejected-permanently",
            };
            let accepted = accepted(&case, &case["expected"][key]);
            assert!(accepted.iter().any(|ok| ok == class), "{}: {class}, not one of {accepted:?}", case["id"]);
        }
    }
}

fn outcome_of(input: &Value) -> Outcome {
    use TransportError as E;
    if let Some(status) = input["status"].as_u64() {
        let lines = input["headers"].as_array().into_iter().flatten();
        let lines = lines.map(|line| (line[0].as_str().unwrap(), line[1].as_str().unwrap()));
        return Ok(Reply::new(status.try_into().unwrap()).headers(lines));
    }
    Err(match input["transport"].as_str().unwrap() {
        "dns-nxdomain" => E::NameNotFound,
        "dns-servfail" => E::NameFailed,
        "connect-refused" => E::ConnectRefused,
        "connect-timeout" => E::TimedOut(Phase::Connect),
        "network-unreachable" => E::Unreachable,
        "tls-cert-expired" => E::TlsExpired,
        "tls-cert-name-mismatch" => E::TlsWrongName,
        "tls-untrusted-root" => E::TlsUntrusted,
        "reset-before-request-sent" => E::SendFailed,
        "closed-after-interim" | "reset-after-request-sent" | "reset-mid-response-head" | "eof-before-status-line" => {
            E::Closed
        }
        "response-timeout" => E::TimedOut(Phase::Head),
        "malformed-status-line" => E::MalformedHead,
        "blocked-address" => E::Denied(Denial::Address),
        other => panic!("the vectors have a new transport outcome: {other}"),
    })
}
