//! The machine's first steps, one by one: what is said here in plain calls is what the laws say in general.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{Frames, Record};
use postrider_core::registration::{Endpoint, State};
use postrider_core::response::{Reply, TransportError};
use postrider_core::seed::Seed;
use postrider_core::sender::{
    Close, CommandError, Config, Fate, Input, Life, Notice, Output, Refused, Resolver, Restore, RestoreError, Sender,
    Transmit, Wake,
};
use postrider_core::time::{Instant, Now, UnixTime};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A sender whose log acknowledges at once.
struct Rig {
    sender: Sender,
    now: Now,
    log: Vec<(JournalSeq, Record)>,
    notices: Vec<Notice>,
    aborts: usize,
    wake: Wake,
}

impl Rig {
    fn new() -> Self {
        let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_800_000_000) };
        let sender = Sender::new(Config::new(), Seed::from_bytes([1; 32]), now);
        let mut rig = Self { sender, now, log: Vec::new(), notices: Vec::new(), aborts: 0, wake: Wake::Input };
        rig.sender.put(now, endpoint("acme")).unwrap();
        assert!(rig.drain().is_empty());
        rig
    }

    fn publish(&mut self, id: &str) -> Vec<Transmit> {
        let event = Event::json_bytes("order.paid", Bytes::from_static(b"{\"id\":1}")).unwrap().id(id);
        self.sender.publish(self.now, event).unwrap();
        self.drain()
    }

    fn drain(&mut self) -> Vec<Transmit> {
        let mut sent = Vec::new();
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.extend(Frames::new(batch.bytes().clone()).map(Result::unwrap));
                    self.sender.handle(self.now, Input::Persisted(batch.last()));
                }
                Output::Transmit(transmit) => sent.push(transmit),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Abort(_) => self.aborts += 1,
                Output::Load(request) => {
                    let wanted = |record: &&(JournalSeq, Record)| request.records().contains(&record.0);
                    let result = Ok(self.log.iter().filter(wanted).cloned().collect());
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result });
                }
                Output::Snapshot(_) | Output::Reclaim(_) => panic!("nothing asks for this yet"),
                Output::Wait(Wake::Ready) => {}
                Output::Wait(wake) => {
                    self.wake = wake;
                    return sent;
                }
            }
        }
    }

    fn complete(&mut self, transmit: &Transmit, reply: Reply) -> Vec<Transmit> {
        self.sender.handle(self.now, Input::Completed { attempt: transmit.attempt(), outcome: Ok(reply) });
        self.drain()
    }

    fn advance(&mut self, by: Duration) -> Vec<Transmit> {
        self.now = self.now.advanced(by);
        self.sender.handle(self.now, Input::Tick);
        self.drain()
    }

    fn fate(&self, event: &str) -> Option<Fate> {
        let report = self.sender.report(&TenantId::default(), &id(event))?;
        report.deliveries.first().map(|delivery| delivery.fate)
    }

    fn settle(&mut self) {
        self.advance(Duration::from_secs(1));
        assert!(self.sender.is_settled());
        assert_eq!((self.sender.in_flight(), self.sender.pending(), self.sender.resident()), (0, 0, 0));
    }
}

fn endpoint(id: &str) -> Endpoint {
    Endpoint::new(id, "https://hooks.acme.com/hooks").events(["order.**"]).secret(SECRET)
}

fn id(id: &str) -> EventId {
    EventId::new(id).unwrap()
}

fn acme() -> EndpointKey {
    EndpointKey::new("acme").unwrap()
}

#[test]
fn an_event_goes_out_once_it_is_durable_and_settles() {
    let mut rig = Rig::new();
    let event = Event::json_bytes("order.paid", Bytes::from_static(b"1")).unwrap().id("a");
    let receipt = rig.sender.publish(rig.now, event.clone()).unwrap();
    let Output::Persist(batch) = rig.sender.poll_output() else { panic!("the record goes first") };
    assert!(matches!(rig.sender.poll_output(), Output::Wait(Wake::Input | Wake::At(_))));
    rig.sender.handle(rig.now, Input::Persisted(batch.last()));
    let sent = rig.drain();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].number(), sent[0].event()), (1, &id("a")));
    assert_eq!(rig.fate("a"), Some(Fate::InFlight));
    assert!(rig.complete(&sent[0], Reply::new(204)).is_empty());
    rig.settle();
    assert_eq!(rig.fate("a"), Some(Fate::Delivered));
    assert!(rig.notices.iter().any(|notice| matches!(notice, Notice::Settled { .. })));
    let again = rig.sender.publish(rig.now, event).unwrap();
    assert_eq!((again.fresh, again.seq), (false, receipt.seq));
}

#[test]
fn a_failure_is_tried_again_when_it_is_due_and_not_before() {
    let mut rig = Rig::new();
    let sent = rig.publish("a");
    assert!(rig.complete(&sent[0], Reply::new(500)).is_empty());
    let due = rig.sender.schedule(&id("a"), &acme()).unwrap()[1];
    assert!(rig.advance(due - Duration::from_millis(1)).is_empty());
    // Timers are exact to the next millisecond, and never early.
    let again = rig.advance(Duration::from_millis(2));
    assert_eq!(again[0].number(), 2);
    rig.complete(&again[0], Reply::new(200));
    rig.settle();
    assert_eq!(rig.sender.stats().tally.delivered, 1);
}

#[test]
fn a_throttled_endpoint_rests_as_a_whole() {
    let mut rig = Rig::new();
    let first = rig.publish("a");
    assert!(rig.complete(&first[0], Reply::new(429).header("retry-after", b"120")).is_empty());
    assert!(rig.publish("b").is_empty());
    assert!(rig.advance(Duration::from_secs(119)).is_empty());
    let both = rig.advance(Duration::from_secs(1));
    assert_eq!(both.len(), 2);
    for transmit in &both {
        rig.complete(transmit, Reply::new(204));
    }
    rig.settle();
}

#[test]
fn a_pause_does_not_shorten_what_a_receiver_asked_for() {
    let mut rig = Rig::new();
    let (first, second) = (rig.publish("a"), rig.publish("b"));
    assert!(rig.complete(&first[0], Reply::new(429).header("retry-after", b"120")).is_empty());
    rig.sender.pause(rig.now, &acme()).unwrap();
    assert!(rig.advance(Duration::from_secs(1)).is_empty());
    // One that was in flight says so while the endpoint is paused.
    assert!(rig.complete(&second[0], Reply::new(503).header("retry-after", b"200")).is_empty());
    rig.sender.resume(rig.now, &acme()).unwrap();
    assert!(rig.drain().is_empty());
    assert!(rig.advance(Duration::from_secs(199)).is_empty());
    let both = rig.advance(Duration::from_secs(1));
    assert_eq!(both.len(), 1, "one at first, because it was resumed and throttled");
    let other = rig.complete(&both[0], Reply::new(204));
    rig.complete(&other[0], Reply::new(204));
    rig.settle();
}

#[test]
fn a_gone_endpoint_gets_nothing_more() {
    let mut rig = Rig::new();
    let (a, b) = (rig.publish("a"), rig.publish("b"));
    rig.complete(&a[0], Reply::new(410));
    assert!(matches!(rig.sender.endpoint(&acme()).unwrap().state, State::Gone { .. }));
    assert_eq!(rig.aborts, 1, "what is in flight is aborted");
    rig.complete(&b[0], Reply::new(204));
    assert!(rig.publish("c").is_empty());
    rig.settle();
    assert_eq!(rig.sender.stats().tally.discarded, 2);
}

#[test]
fn a_paused_endpoint_holds_and_a_resumed_one_lets_go() {
    let mut rig = Rig::new();
    rig.sender.pause(rig.now, &acme()).unwrap();
    assert!(rig.publish("a").is_empty());
    rig.sender.resume(rig.now, &acme()).unwrap();
    let sent = rig.drain();
    assert_eq!(sent.len(), 1);
    rig.complete(&sent[0], Reply::new(204));
    rig.settle();
}

#[test]
fn a_disabled_endpoint_is_held_for_72_hours() {
    let mut rig = Rig::new();
    let sent = rig.publish("a");
    rig.complete(&sent[0], Reply::new(500));
    rig.sender.disable(rig.now, &acme()).unwrap();
    assert!(rig.publish("b").is_empty());
    assert!(rig.advance(Duration::from_secs(72 * 3600 - 1)).is_empty());
    assert_eq!(rig.sender.pending(), 1);
    assert!(rig.advance(Duration::from_secs(1)).is_empty());
    rig.settle();
    assert_eq!(rig.sender.stats().tally.discarded, 1);
}

#[test]
fn removing_aborts_and_discards() {
    let mut rig = Rig::new();
    let sent = rig.publish("a");
    rig.sender.remove(rig.now, &acme()).unwrap();
    assert!(rig.drain().is_empty());
    assert_eq!(rig.aborts, 1);
    rig.sender.handle(rig.now, Input::Completed { attempt: sent[0].attempt(), outcome: Err(TransportError::Aborted) });
    rig.drain();
    rig.settle();
    assert!(rig.sender.endpoint(&acme()).is_none());
}

#[test]
fn cancelling_aborts_and_discards() {
    let mut rig = Rig::new();
    let _flying = rig.publish("a");
    rig.sender.cancel(rig.now, &TenantId::default(), &id("a")).unwrap();
    assert!(rig.drain().is_empty());
    assert_eq!(rig.aborts, 1);
    assert!(rig.advance(Duration::from_secs(5)).is_empty());
    rig.settle();
    assert_eq!(rig.sender.stats().tally.discarded, 1);
}

#[test]
fn an_attempt_that_nobody_reports_is_overdue() {
    let mut rig = Rig::new();
    let sent = rig.publish("a");
    assert!(rig.advance(Duration::from_secs(25)).is_empty());
    assert_eq!((rig.aborts, rig.sender.in_flight()), (1, 1));
    // A late success still counts while the delivery waits.
    rig.complete(&sent[0], Reply::new(204));
    rig.settle();
    assert_eq!(rig.sender.stats().late, 1);
    assert_eq!(rig.sender.stats().tally.attempts, 1, "it was counted when it was given up");
}

#[test]
fn a_late_success_is_reported_with_all_attempts_that_were_made() {
    let mut rig = Rig::new();
    let schedule = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3600)];
    rig.sender.put(rig.now, endpoint("acme").schedule(schedule)).unwrap();
    rig.drain();
    let first = rig.publish("a");
    assert!(rig.advance(Duration::from_secs(25)).is_empty());
    let second = rig.advance(Duration::from_secs(2));
    assert_eq!(second[0].number(), 2);
    rig.complete(&second[0], Reply::new(500));
    rig.complete(&first[0], Reply::new(204));
    let report = rig.sender.report(&TenantId::default(), &id("a")).unwrap();
    assert_eq!((report.deliveries[0].fate, report.deliveries[0].attempts), (Fate::Delivered, 2));
    assert_eq!(report.tally.attempts, 2);
    rig.settle();
}

#[test]
fn closing_waits_for_what_is_in_flight() {
    let mut rig = Rig::new();
    let sent = rig.publish("a");
    rig.sender.close(rig.now, Close::Drain);
    assert!(rig.drain().is_empty());
    let event = Event::json_bytes("order.paid", Bytes::from_static(b"1")).unwrap().id("b");
    assert!(matches!(rig.sender.publish(rig.now, event), Err(Refused::Closed(_))));
    assert_eq!(rig.sender.life(), Life::Closing);
    rig.complete(&sent[0], Reply::new(204));
    assert_eq!((rig.sender.life(), rig.wake), (Life::Closed, Wake::Closed));
    assert_eq!(rig.sender.pause(rig.now, &acme()), Err(CommandError::Closed));
}

#[test]
fn a_restored_machine_goes_on_where_the_log_ends() {
    let mut rig = Rig::new();
    let (a, _b) = (rig.publish("a"), rig.publish("b"));
    rig.complete(&a[0], Reply::new(500));
    let due = rig.sender.schedule(&id("a"), &acme()).unwrap()[1];
    rig.sender.close(rig.now, Close::Now);
    rig.drain();
    let log = std::mem::take(&mut rig.log);
    rig.now = Now { mono: Instant::ORIGIN, wall: rig.now.wall.saturating_add(Duration::from_secs(1)) };
    rig.sender = log.iter().cloned().fold(Restore::new(Config::new()), Restore::record).finish(rig.now).unwrap();
    rig.log = log;
    assert_eq!(rig.sender.incarnation(), 2);
    let sent = rig.drain();
    assert_eq!(sent.len(), 1, "b was in flight, and nobody knows how it went");
    assert_eq!((sent[0].number(), sent[0].event()), (1, &id("b")));
    rig.complete(&sent[0], Reply::new(204));
    let sent = rig.advance(due);
    assert_eq!((sent[0].number(), sent[0].event()), (2, &id("a")));
    rig.complete(&sent[0], Reply::new(204));
    rig.settle();
}

#[test]
fn an_attempt_is_recorded_with_its_keys_and_where_asked_for_with_its_answer() {
    let mut rig = Rig::new();
    let answer = Bytes::from(vec![0xff; 3000]);
    for keep in [false, true] {
        let put = rig.sender.put(rig.now, endpoint("acme").keep_answers(keep)).unwrap();
        assert_eq!(put.change().changed, keep);
        rig.drain();
        let sent = rig.publish(if keep { "b" } else { "a" });
        let keys = rig.sender.endpoint(&acme()).unwrap().keys;
        if keep {
            let _ = sent[0].clear_by(Resolver::Simulation).unwrap().request();
        }
        rig.complete(&sent[0], Reply::new(500).with_body(answer.clone()));
        let outcome = |(_, record): &(JournalSeq, Record)| match record {
            Record::Outcome(outcome) => Some(outcome.clone()),
            _ => None,
        };
        let outcome = rig.log.iter().rev().find_map(outcome).unwrap();
        if keep {
            assert_eq!(outcome.signed, [keys[0].0]);
            assert_eq!(outcome.answer.unwrap(), answer[..1024]);
        } else {
            assert_eq!(
                (outcome.signed, outcome.answer),
                (Vec::new(), None),
                "no request was made, no answer asked for"
            );
        }
    }
}

#[test]
fn a_purge_takes_payloads_from_memory_and_ends_what_is_pending() {
    let mut rig = Rig::new();
    let sent: Vec<_> = ["a", "b", "c"].into_iter().flat_map(|id| rig.publish(id)).collect();
    rig.complete(&sent[0], Reply::new(500));
    let tenant = TenantId::default();
    assert!(rig.sender.resident() > 0);
    assert!(rig.sender.purge(rig.now, &tenant).unwrap().changed);
    let later = rig.publish("d");
    assert_eq!((later.len(), rig.aborts), (1, 2), "what comes afterwards is sent, and what was in flight aborted");
    assert_eq!((rig.sender.events(), rig.sender.pending()), (1, 0));
    for id in ["a", "b", "c"] {
        let report = rig.sender.report(&tenant, &self::id(id)).unwrap();
        assert_eq!((report.settled, report.tally.discarded), (true, 1), "{report}");
    }
    let payload = rig.sender.resident();
    rig.sender.erase(rig.now, &tenant, &id("d")).unwrap();
    assert_eq!((payload, rig.sender.resident()), (8, 0), "at once");
    rig.drain();
    assert!(rig.sender.is_settled() && rig.aborts == 3);
    assert!(rig.sender.erase(rig.now, &tenant, &id("nobody")).unwrap().changed, "history may know it");
}

#[test]
fn a_machine_is_saved_from_what_is_left_of_its_log() {
    let mut rig = Rig::new();
    let a = rig.publish("a");
    rig.complete(&a[0], Reply::new(500));
    rig.publish("b");
    let of = |log: &[(JournalSeq, Record)], name: &str| {
        let named = |record: &Record| matches!(record, Record::Accepted(accepted) if accepted.id == id(name));
        log.iter().find(|(_, record)| named(record)).unwrap().0
    };
    let (lost, last) = (of(&rig.log, "a"), rig.sender.last_record());
    let left = || rig.log.iter().filter(|(seq, _)| *seq != lost && *seq != last).cloned();
    let refused = left().fold(Restore::new(Config::new()), Restore::record).finish(rig.now).unwrap_err();
    assert!(matches!(refused, RestoreError::Gap { found, .. } if found == lost.next()), "{refused}");
    let restore = Restore::new(Config::new()).missing(lost, lost).missing(last, last);
    let saved = left().fold(restore, Restore::record).finish(rig.now).unwrap();
    assert_eq!(saved.durable(), last, "numbers that were lost are not given again");
    assert!(saved.report(&TenantId::default(), &id("a")).is_none());
    assert_eq!(saved.events(), usize::from(of(&rig.log, "b") != last));
}
