//! The sandbox does what its page says.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use postrider_core::response::TransportError;
use postrider_testkit::{Answer, Sandbox};
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn three_failures_and_a_success() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("acme").events(["order.**"]).answers([500.into(), 500.into(), Answer::Timeout, 204.into()]);
    let order = sandbox.publish("order.paid", json!({ "id": 1001 }));
    sandbox.advance(3 * HOUR);
    sandbox.assert_delivered("acme", &order).attempts(4).signed().json("/data/id", 1001);
    let schedule = sandbox.schedule_of("acme", &order);
    let least = [0, 5, 305, 305 + 20 + 1800].map(Duration::from_secs);
    assert_eq!(schedule.len(), 4);
    for (at, least) in schedule.iter().zip(least) {
        assert!(*at >= least && *at <= least.mul_f64(1.2) + Duration::from_secs(1), "{schedule:?}");
    }
}

#[test]
fn the_last_answer_repeats_and_the_schedule_ends() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("acme").answers([TransportError::ConnectRefused]);
    let order = sandbox.publish("order.paid", json!(1));
    sandbox.advance(7 * 24 * HOUR);
    assert_eq!(sandbox.schedule_of("acme", &order).len(), 10);
    sandbox.assert_not_delivered("acme", &order);
    assert!(sandbox.sender().is_settled());
}

#[test]
fn a_failed_assertion_tells_the_history() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("acme").answers([500, 500]);
    let order = sandbox.publish("order.paid", json!(1));
    sandbox.advance(Duration::from_secs(10));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(sandbox.assert_delivered("acme", &order)))).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.starts_with("evt_1 was not delivered to acme\nhistory of evt_1 to acme:\n  attempt 1 after 0.0ns: 500")
    );
    assert!(text.contains("attempt 2 after 5."), "{text}");
    assert!(text.contains("now: acme: waiting"), "{text}");
}

#[test]
fn commands_and_restarts() {
    let mut sandbox = Sandbox::new();
    sandbox.receiver("acme").answers([500, 204]);
    let first = sandbox.publish("order.paid", json!(1));
    sandbox.restart(Duration::from_secs(1));
    sandbox.advance(HOUR);
    sandbox.assert_delivered("acme", &first).attempts(2).signed();
    let key = sandbox.sender().endpoint(&"acme".parse_key()).unwrap().key;
    sandbox.command(|sender, now| sender.pause(now, &key)).unwrap();
    let second = sandbox.publish("order.paid", json!(2));
    sandbox.advance(HOUR);
    sandbox.assert_not_delivered("acme", &second);
    sandbox.command(|sender, now| sender.resume(now, &key)).unwrap();
    sandbox.assert_delivered("acme", &second).attempts(1);
}

trait ParseKey {
    fn parse_key(&self) -> postrider_core::id::EndpointKey;
}

impl ParseKey for str {
    fn parse_key(&self) -> postrider_core::id::EndpointKey {
        postrider_core::id::EndpointKey::new(self).unwrap()
    }
}
