//! Defects that were found in other systems, each as a test: `core/src/manual/field.rs` tells of them, and names the
//! tests elsewhere that are about the others.

use std::time::Duration;

use postrider_core::encoding::Encoding;
use postrider_core::event::Event;
use postrider_core::matching::filter::{Filter, Flat};
use postrider_core::registration::{Endpoint, Policy, Target};
use postrider_core::response::{Profile, Reply, Verdict, verdict};
use postrider_core::sender::Config;
use postrider_core::time::UnixTime;
use postrider_testkit::{Answer, Sandbox};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Whether a time lies where an upward jitter of at most 20 % puts it.
fn is_jittered(at: Duration, base: Duration) -> bool {
    at >= base && at <= base.mul_f64(1.2)
}

/// A floor after 429 that was in a branch which no status reached. Here the endpoint rests as a whole, and after a failure
/// that is no throttle it does not.
#[test]
fn d2_a_throttle_holds_the_whole_endpoint() {
    for (status, rests) in [(429, true), (502, true), (503, true), (504, true), (500, false)] {
        let mut sandbox = Sandbox::new();
        sandbox.receiver("acme").schedule([Duration::ZERO, 5 * MINUTE]).answers([status, 204]);
        let first = sandbox.publish("order.paid", json!(1));
        let second = sandbox.publish("order.paid", json!(2));
        sandbox.advance(HOUR);
        let at = sandbox.schedule_of("acme", &second)[0];
        assert_eq!(at >= MINUTE, rests, "{status}: {at:?}");
        assert!(is_jittered(sandbox.schedule_of("acme", &first)[1], 5 * MINUTE), "{status}");
        sandbox.assert_delivered("acme", &second).attempts(1);
    }
}

/// A hint of an hour that was cut to twice the step of the schedule, and then undercut by a jitter that goes down.
#[test]
fn d3_no_attempt_is_earlier_than_the_hint() {
    for status in [400, 429, 500, 503] {
        let mut sandbox = Sandbox::new();
        let asks = Reply::new(status).header("retry-after", b"3600");
        sandbox.receiver("acme").answers([Answer::from(asks), 204.into()]);
        for number in 0..20 {
            let event = sandbox.publish("order.paid", json!(number));
            sandbox.advance(2 * HOUR);
            let attempts = sandbox.schedule_of("acme", &event);
            if number == 0 {
                assert!(is_jittered(attempts[1], HOUR), "{status}: {attempts:?}");
            }
        }
    }
}

/// A task for all endpoints that was done again as a whole, those included that had taken the event.
#[test]
fn d5_who_has_taken_an_event_is_not_sent_it_again() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("good").answers([204]);
    sandbox.receiver("bad").answers([500, 500, 500, 204]);
    let event = sandbox.publish("order.paid", json!(1));
    for _ in 0..3 {
        sandbox.advance(SECOND);
        sandbox.restart(SECOND);
    }
    sandbox.advance(24 * HOUR);
    sandbox.assert_delivered("bad", &event).attempts(4).signed();
    assert_eq!(sandbox.attempts_of("good", &event).len(), 1);
}

/// A filter that matched where a field was missing, a panic at an unknown operator, and numbers that fell together.
#[test]
fn d7_filters_mean_what_they_say() {
    let holds = |pattern: &str, event: &str| {
        Filter::eventbridge(pattern).unwrap().matches(&Flat::of(event.as_bytes()).unwrap())
    };
    assert!(!holds(r#"{"a": [1], "b": [2]}"#, r#"{"a": 1}"#), "a field that is missing does not match");
    assert!(holds(r#"{"b": [{"exists": false}]}"#, r#"{"a": 1}"#));
    assert!(!holds(r#"{"a": ["10"]}"#, r#"{"a": "0010"}"#), "texts are no numbers");
    assert!(!holds(r#"{"a": [9007199254740993]}"#, r#"{"a": 9007199254740992}"#), "nothing is rounded");
    let refused = Filter::eventbridge(r#"{"a": [{"$resembles": 1}]}"#).unwrap_err().to_string();
    assert!(refused.contains("/a"), "{refused}");
}

/// A form whose signature was made over the JSON that it came from, with its decimals lost.
#[test]
fn d9_a_form_is_signed_as_it_is_sent_and_keeps_its_digits() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("acme").endpoint(|endpoint| endpoint.encoding(Encoding::Form));
    let text = r#"{"price": 12.50, "large": 9007199254740993, "small": 1e-9}"#;
    let event = sandbox.publish_event(Event::json_bytes("order.paid", text.into()).unwrap().id("one"));
    let delivered = sandbox.assert_delivered("acme", &event).attempts(1).signed();
    let body = String::from_utf8(delivered.attempt().request.body().to_vec()).unwrap();
    for field in ["data[price]=12.50", "data[large]=9007199254740993", "data[small]=1e-9"] {
        assert!(body.split('&').any(|found| found == field), "{field}: {body}");
    }
}

/// 304 and the like that counted as success, and requests into the private network.
#[test]
fn d12_what_is_no_success_is_none_and_no_request_goes_inside() {
    for status in (300..400).chain(100..200) {
        for profile in [Profile::StandardWebhooks, Profile::CloudEvents] {
            let ruling = verdict(&Ok(Reply::new(status)), profile, UnixTime::EPOCH);
            assert!(matches!(ruling.verdict, Verdict::Retry { .. }), "{status}: {ruling}");
        }
    }
    let mut sandbox = Sandbox::with(Config::new().policy(Policy::default()));
    for url in ["https://10.0.0.1/", "https://169.254.169.254/", "https://[::ffff:10.0.0.1]/", "https://localhost/"] {
        assert!(Target::parse(url, &Policy::default()).is_err(), "{url}");
        let put = sandbox.command(|sender, now| sender.put(now, Endpoint::new("inside", url)));
        assert!(put.is_err(), "{url}");
    }
}

/// A claim of 5 s on the work, and a timeout that could be set longer: a second request went out beside the first. Here
/// the next attempt is due only from the end of the one before, however long that takes.
#[test]
fn d13_no_second_attempt_beside_the_first() {
    let mut sandbox = Sandbox::new();
    let patient = |endpoint: Endpoint| endpoint.timeout(MINUTE);
    let setup = sandbox.receiver("acme").endpoint(patient).schedule([Duration::ZERO, SECOND]);
    setup.answers([Answer::Timeout, 204.into()]);
    let event = sandbox.publish("order.paid", json!(1));
    sandbox.advance(MINUTE - SECOND);
    assert_eq!(sandbox.attempts_of("acme", &event).len(), 1);
    sandbox.advance(MINUTE);
    let attempts = sandbox.schedule_of("acme", &event);
    assert!(attempts.len() == 2 && is_jittered(attempts[1] - MINUTE, SECOND), "{attempts:?}");
    sandbox.assert_delivered("acme", &event).attempts(2);
}

/// An attempt whose outcome was written after, and apart from, when the next is due, so that either could get lost. Here
/// both are one record: after a crash the next attempt has the next number and its own time.
#[test]
fn d14_an_outcome_and_what_follows_are_one_record() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("acme").answers([500, 500, 204]);
    let event = sandbox.publish("order.paid", json!(1));
    sandbox.restart(SECOND);
    sandbox.advance(MINUTE);
    sandbox.restart(SECOND);
    sandbox.advance(HOUR);
    let numbers: Vec<u16> = sandbox.attempts_of("acme", &event).iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let attempts = sandbox.schedule_of("acme", &event);
    assert!(is_jittered(attempts[1], 5 * SECOND), "{attempts:?}");
    assert!(is_jittered(attempts[2] - attempts[1], 5 * MINUTE), "{attempts:?}");
    sandbox.assert_delivered("acme", &event).attempts(3);
}
