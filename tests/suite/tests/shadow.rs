//! Shadow evaluation: what another filter, schedule or breaker would have done with a log that is written by hand.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, JournalSeq};
use postrider_core::journal::{Frames, Record};
use postrider_core::matching::filter::{Filter, Language};
use postrider_core::registration::Endpoint;
use postrider_core::response::Reply;
use postrider_core::retry::{BreakerPolicy, Schedule};
use postrider_core::seed::Seed;
use postrider_core::sender::shadow::{Proposal, Shadow};
use postrider_core::sender::{Config, Input, Output, Sender, Wake};
use postrider_core::time::{Instant, Now, UnixTime};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Runs a real machine whose endpoint answers by the second of its life, and gives its log.
fn log(seconds: u64, every: u64, status: impl Fn(u64) -> u16) -> Vec<(JournalSeq, Record)> {
    let start = UnixTime::from_secs(1_800_000_000);
    let at = |second: u64| Now {
        mono: Instant::from_millis(1 + second * 1000),
        wall: start.saturating_add(Duration::from_secs(second)),
    };
    let mut sender = Sender::new(Config::new(), Seed::from_bytes([1; 32]), at(0));
    let acme = Endpoint::new("acme", "https://acme.example.com/").secret(SECRET).events(["order.*"]);
    let acme = acme.filter(Language::EventBridge, r#"{"data": {"n": [{"numeric": ["<", 1000]}]}}"#);
    sender.put(at(0), acme.schedule([0, 60, 60].map(Duration::from_secs))).unwrap();
    let mut records = Vec::new();
    for second in 0..seconds {
        sender.handle(at(second), Input::Tick);
        if second % every == 0 && second < seconds / 2 {
            let data = Bytes::from(format!("{{\"n\": {second}}}"));
            sender
                .publish(at(second), Event::json_bytes("order.paid", data).unwrap().id(format!("e{second}")))
                .unwrap();
        }
        loop {
            match sender.poll_output() {
                Output::Persist(batch) => {
                    records.extend(Frames::new(batch.bytes().clone()).map(Result::unwrap));
                    sender.handle(at(second), Input::Persisted(batch.last()));
                }
                Output::Transmit(transmit) => {
                    let outcome = Ok(Reply::new(status(second)));
                    sender.handle(at(second), Input::Completed { attempt: transmit.attempt(), outcome });
                }
                Output::Wait(Wake::Ready) | Output::Notice(_) | Output::Abort(_) => {}
                Output::Snapshot(_) | Output::Reclaim(_) => {}
                Output::Load(request) => {
                    let wanted = |(seq, _): &&(JournalSeq, Record)| request.records().contains(seq);
                    let result = Ok(records.iter().filter(wanted).cloned().collect());
                    sender.handle(at(second), Input::Loaded { request: request.id(), result });
                }
                Output::Wait(_) => break,
            }
        }
    }
    records
}

fn acme() -> EndpointKey {
    EndpointKey::new("acme").unwrap()
}

#[test]
fn a_filter_is_asked_about_what_came() {
    let records = log(400, 10, |_| 204);
    let filter = Filter::eventbridge(r#"{"data": {"n": [{"numeric": [">=", 100]}]}}"#).unwrap();
    let of = |filter| Shadow::evaluate(acme(), Proposal::new().filter(filter), records.iter().cloned()).filter.unwrap();
    let narrow = of(Some(filter));
    assert_eq!((narrow.asked, narrow.kept, narrow.dropped, narrow.added), (20, 10, 10, 0));
    assert_eq!(narrow.dropped_examples[..2], ["e0", "e10"]);
    assert_eq!((of(None).kept, of(None).added), (20, 0));
    let other = EndpointKey::new("other").unwrap();
    let none = Shadow::evaluate(other, Proposal::new().filter(None), records).filter.unwrap();
    assert_eq!(none.asked, 0);
}

/// The endpoint is down from second 100 to 300, so that what came from 100 on had two retries too early.
#[test]
fn a_longer_schedule_saves_what_a_shorter_one_gave_up() {
    let records = log(800, 20, |second| if (100..300).contains(&second) { 500 } else { 204 });
    let of = |delays: &[u64]| {
        let schedule = Schedule::new(delays.iter().map(|delay| Duration::from_secs(*delay))).unwrap();
        Shadow::evaluate(acme(), Proposal::new().schedule(schedule), records.iter().cloned()).schedule.unwrap()
    };
    let same = of(&[0, 60, 60]);
    assert_eq!((same.deliveries, same.lost), (20, 0));
    let longer = of(&[0, 60, 60, 60, 60, 60]);
    assert!(longer.saved > 0 && longer.lost == 0 && longer.new_attempts > longer.attempts, "{longer:?}");
    let once = of(&[0]);
    assert_eq!((once.new_attempts, once.saved), (20, 0));
    assert!(once.lost > 0, "{once:?}");
}

#[test]
fn a_breaker_holds_what_fails_anyway() {
    let down = |second: u64| if (100..300).contains(&second) { 500 } else { 204 };
    let records = log(1000, 2, down);
    let policy = BreakerPolicy::DEFAULT.with_rule(10, 50, Duration::from_secs(60)).unwrap();
    let of =
        |policy| Shadow::evaluate(acme(), Proposal::new().breaker(policy), records.iter().cloned()).breaker.unwrap();
    let difference = of(policy);
    assert_eq!(difference.opened, 1, "{difference:?}");
    assert!(difference.held_failures > 3 * difference.held_successes, "{difference:?}");
    let never = of(BreakerPolicy::DEFAULT.with_rule(60_000, 100, Duration::from_secs(60)).unwrap());
    assert_eq!((never.opened, never.held_failures, never.held_successes), (0, 0, 0));
    assert_eq!(never.attempts, difference.attempts);
}

#[test]
fn it_says_what_it_found() {
    let records = log(200, 10, |_| 204);
    let proposal = Proposal::new().filter(None).schedule(Schedule::once()).breaker(BreakerPolicy::DEFAULT);
    let differences = Shadow::evaluate(acme(), proposal, records.iter().cloned());
    let text = differences.to_string();
    assert!(
        text.starts_with("filter: of 10 events 10 stay, 0 are dropped, 0 are added\nschedule: 10 deliveries"),
        "{text}"
    );
    assert!(text.contains("breaker: over 10 attempts it would open 0 times\n"), "{text}");
}
