//! Corners of the sending machine that random calls rarely reach: what it holds when others misbehave for long, and who
//! goes on when somebody before them ends.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey, EventId, JournalSeq, LoadId, TenantId};
use postrider_core::limits::{self, Limits};
use postrider_core::registration::{Endpoint, State};
use postrider_core::response::Reply;
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{
    Close, CommandError, Config, Input, Life, LoadError, LoadRequest, Output, PersistFailure, PutError, Refused,
    Resolver, Sender, Transmit, Wake,
};
use postrider_core::signing::standard;
use postrider_core::time::{Instant, Now, UnixTime};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A sender under a log that acknowledges at once as long as it is `writing`, and gives payloads back when asked.
struct Rig {
    sender: Sender,
    now: Now,
    writing: bool,
    handed: JournalSeq,
    loads: Vec<LoadRequest>,
    aborts: Vec<AttemptId>,
    ready: usize,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_800_000_000) };
        let sender = Sender::new(Config::new().limits(limits), Seed::from_bytes([1; 32]), now);
        let mut rig = Self {
            sender,
            now,
            writing: true,
            handed: JournalSeq::ZERO,
            loads: Vec::new(),
            aborts: Vec::new(),
            ready: 0,
        };
        assert!(rig.drain().is_empty());
        rig
    }

    fn put(&mut self, endpoint: Endpoint) -> Vec<Transmit> {
        self.sender.put(self.now, endpoint).unwrap();
        self.drain()
    }

    fn publish(&mut self, id: &str) -> Vec<Transmit> {
        self.sender.publish(self.now, event(id)).unwrap();
        self.drain()
    }

    fn cancel(&mut self, id: &str) -> Vec<Transmit> {
        self.sender.cancel(self.now, &TenantId::default(), &EventId::new(id).unwrap()).unwrap();
        self.drain()
    }

    fn drain(&mut self) -> Vec<Transmit> {
        let mut sent = Vec::new();
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.handed = batch.last();
                    if self.writing {
                        self.sender.handle(self.now, Input::Persisted(batch.last()));
                    }
                }
                Output::Transmit(transmit) => sent.push(transmit),
                Output::Abort(attempt) => self.aborts.push(attempt),
                Output::Load(request) => self.loads.push(request),
                Output::Wait(Wake::Ready) => self.ready += 1,
                Output::Notice(_) | Output::Snapshot(_) | Output::Reclaim(_) => {}
                Output::Wait(_) => return sent,
            }
        }
    }

    fn reply(&mut self, transmit: &Transmit, status: u16) -> Vec<Transmit> {
        let outcome = Ok(Reply::new(status));
        self.sender.handle(self.now, Input::Completed { attempt: transmit.attempt(), outcome });
        self.drain()
    }

    fn loaded(&mut self, request: LoadId, why: LoadError) -> Vec<Transmit> {
        self.sender.handle(self.now, Input::Loaded { request, result: Err(why) });
        self.drain()
    }

    fn advance(&mut self, by: Duration) -> Vec<Transmit> {
        self.now = self.now.advanced(by);
        self.sender.handle(self.now, Input::Tick);
        self.drain()
    }

    /// What the sender holds, by the length of it written out.
    fn holds(&self) -> usize {
        format!("{:?}", self.sender).len()
    }

    /// Does the same over and over, and says whether what the sender holds stays as it is after a while.
    fn stays_bounded(&mut self, times: usize, mut what: impl FnMut(&mut Self, usize)) {
        (0..times).for_each(|n| what(self, n));
        let before = self.holds();
        (times..4 * times).for_each(|n| what(self, n));
        let after = self.holds();
        assert!(after < before + before / 4, "it held {before} and then {after}");
    }
}

/// Limits under which little is remembered of what has ended.
fn forgetful() -> Limits {
    let mut limits = Limits::default();
    limits.idempotency_entries = 4;
    limits.idempotency_total = 16;
    limits.reports = 4;
    limits
}

fn endpoint(id: &str) -> Endpoint {
    Endpoint::new(id, "https://hooks.acme.com/hooks").events(["order.**"]).secret(SECRET).no_breaker()
}

fn event(id: &str) -> Event {
    Event::json_bytes("order.paid", Bytes::from_static(b"{\"id\":1}")).unwrap().id(id)
}

fn key(id: &str) -> EndpointKey {
    EndpointKey::new(id).unwrap()
}

#[test]
fn no_request_leaves_unsigned_while_keys_are_replaced() {
    let signed = |transmit: &Transmit, secret: &str| {
        let request = transmit.clear_by(Resolver::Simulation).unwrap().request();
        let verifier = standard::Verifier::new([&Secret::parse(secret).unwrap()]).unwrap();
        verifier.verify(request.headers(), request.body(), transmit.started().wall).is_ok()
    };
    let other = Secret::from_bytes([8; 32]).unwrap();
    let mut rig = Rig::new(Limits::default());
    rig.put(endpoint("acme"));
    let sent = rig.publish("a");
    rig.writing = false;
    let replaced = Endpoint::new("acme", "https://hooks.acme.com/hooks").events(["order.**"]).secret(other.reveal());
    rig.sender.put(rig.now, replaced).unwrap();
    rig.drain();
    assert!(signed(&sent[0], SECRET), "the old key signs until the new one is durable");
    rig.writing = true;
    rig.sender.handle(rig.now, Input::Persisted(rig.handed));
    rig.drain();
    assert!(signed(&sent[0], &other.reveal()) && !signed(&sent[0], SECRET));
}

#[test]
fn a_refused_event_leaves_no_tenant() {
    let mut limits = forgetful();
    limits.events = 0;
    let mut rig = Rig::new(limits);
    rig.stays_bounded(100, |rig, n| {
        let refused = rig.sender.publish(rig.now, event("a").tenant(format!("tenant-{n}")));
        assert!(matches!(refused, Err(Refused::Overloaded(_))));
    });
}

#[test]
fn a_tenant_goes_with_its_last_event() {
    let mut rig = Rig::new(forgetful());
    rig.stays_bounded(100, |rig, n| {
        rig.sender.publish(rig.now, event("a").tenant(format!("tenant-{n}"))).unwrap();
        rig.drain();
        assert!(rig.sender.is_settled());
    });
}

#[test]
fn a_tenant_goes_with_its_last_endpoint() {
    let mut rig = Rig::new(forgetful());
    rig.stays_bounded(100, |rig, n| {
        let tenant = format!("tenant-{n}");
        rig.put(endpoint("e").tenant(&tenant));
        let key = EndpointKey { tenant: TenantId::new(&tenant).unwrap(), ..key("e") };
        rig.sender.remove(rig.now, &key).unwrap();
        rig.drain();
    });
}

#[test]
fn a_tenant_that_comes_back_finds_what_it_left() {
    let mut rig = Rig::new(forgetful());
    let tenant = TenantId::new("other").unwrap();
    rig.sender.publish(rig.now, event("a").tenant("other")).unwrap();
    rig.drain();
    rig.put(endpoint("mine"));
    let report = rig.sender.report(&tenant, &EventId::new("a").unwrap());
    assert!(report.is_some_and(|report| report.deliveries.is_empty()), "its report keeps the tenant");
    rig.put(endpoint("e").tenant("other"));
    rig.sender.publish(rig.now, event("b").tenant("other")).unwrap();
    let sent = rig.drain();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].endpoint().tenant, tenant);
}

#[test]
fn cancelled_events_leave_the_ring_of_fan_outs() {
    let mut rig = Rig::new(forgetful());
    rig.put(endpoint("e"));
    rig.sender.handle(rig.now, Input::Credit(0));
    rig.stays_bounded(200, |rig, n| {
        let id = format!("ev{n}");
        assert!(rig.publish(&id).is_empty() && rig.cancel(&id).is_empty());
        assert!(rig.sender.is_settled());
    });
}

#[test]
fn removed_endpoints_leave_the_ring_and_the_index() {
    let mut rig = Rig::new(forgetful());
    rig.put(endpoint("e"));
    rig.sender.handle(rig.now, Input::Credit(0));
    // Its fan-out does not end, so earlier subscriptions may still be seen by it.
    rig.publish("a");
    rig.stays_bounded(100, |rig, _| {
        rig.put(endpoint("other"));
        rig.put(endpoint("other").events(["user.**"]));
        rig.sender.remove(rig.now, &key("other")).unwrap();
        rig.drain();
    });
    rig.sender.handle(rig.now, Input::Credit(1));
    assert_eq!(rig.drain().len(), 1);
}

#[test]
fn who_waits_for_payloads_leaves_when_it_ends() {
    let mut limits = forgetful();
    limits.resident = 0;
    let mut rig = Rig::new(limits);
    rig.put(endpoint("e").concurrency(1000));
    rig.sender.handle(rig.now, Input::Credit(1000));
    // As many as may be asked for at once, and the log says nothing.
    (0..256).for_each(|n| assert!(rig.publish(&format!("first-{n}")).is_empty()));
    rig.stays_bounded(2000, |rig, n| {
        let id = format!("ev{n}");
        assert!(rig.publish(&id).is_empty() && rig.cancel(&id).is_empty());
        assert_eq!(rig.sender.events(), 256);
    });
}

#[test]
fn payloads_that_cannot_be_read_now_are_not_asked_for_when_their_events_have_ended() {
    let mut limits = forgetful();
    limits.resident = 0;
    let mut rig = Rig::new(limits);
    rig.put(endpoint("e"));
    rig.stays_bounded(200, |rig, n| {
        let id = format!("ev{n}");
        assert!(rig.publish(&id).is_empty());
        let request = rig.loads.pop().unwrap().id();
        assert!(rig.loaded(request, LoadError::Unavailable).is_empty());
        assert!(rig.cancel(&id).is_empty());
        assert!(rig.sender.is_settled());
    });
}

#[test]
fn commands_are_refused_while_the_log_is_far_behind() {
    let mut limits = Limits::default();
    limits.unwritten = 10_000;
    let mut rig = Rig::new(limits);
    rig.put(endpoint("e"));
    rig.writing = false;
    let refused = (0..1000).find_map(|n| {
        let done =
            if n % 2 == 0 { rig.sender.pause(rig.now, &key("e")) } else { rig.sender.resume(rig.now, &key("e")) };
        done.err()
    });
    assert_eq!(refused, Some(CommandError::Overloaded));
    assert!(matches!(rig.sender.put(rig.now, endpoint("f")), Err(PutError::Overloaded(_))));
    assert!(matches!(rig.sender.publish(rig.now, event("a")), Err(Refused::Overloaded(_))));
    rig.drain();
    rig.writing = true;
    rig.sender.handle(rig.now, Input::Persisted(rig.handed));
    rig.drain();
    rig.put(endpoint("f"));
}

#[test]
fn nothing_starts_while_the_log_is_far_behind() {
    let mut limits = Limits::default();
    limits.unwritten = 10_000;
    let mut rig = Rig::new(limits);
    rig.put(endpoint("e").schedule([Duration::ZERO; 60]));
    rig.put(endpoint("gone").concurrency(1));
    let mut flying = Vec::new();
    for n in 0..50 {
        flying.extend(rig.publish(&format!("ev{n}")));
    }
    rig.writing = false;
    let mut attempts = 0;
    while let Some(transmit) = flying.pop() {
        if transmit.endpoint() == &key("e") {
            attempts += 1;
            flying.extend(rig.reply(&transmit, 500));
        }
    }
    assert!((100..1000).contains(&attempts), "{attempts} outcomes wait for the log");
    assert!(rig.advance(Duration::from_secs(50)).is_empty());
    rig.writing = true;
    rig.sender.handle(rig.now, Input::Persisted(rig.handed));
    assert!(!rig.drain().is_empty(), "they go on when the log does");
}

#[test]
fn who_waits_behind_a_cancelled_event_whose_payload_is_away_goes_on() {
    let mut rig = behind_a_payload();
    rig.loads.clear();
    assert!(rig.cancel("a").is_empty());
    assert_eq!(rig.loads.len(), 1, "the payload of the next one is asked for");
}

#[test]
fn who_waits_behind_a_lost_payload_goes_on() {
    let mut rig = behind_a_payload();
    let request = rig.loads.remove(0).id();
    assert!(rig.loaded(request, LoadError::Corrupt).is_empty());
    assert_eq!(rig.loads.len(), 1, "the payload of the next one is asked for");
}

/// Two events wait at an endpoint that takes one at a time; the first waits for its payload.
fn behind_a_payload() -> Rig {
    let mut limits = forgetful();
    limits.resident = 0;
    let mut rig = Rig::new(limits);
    rig.put(endpoint("e").concurrency(1));
    rig.sender.pause(rig.now, &key("e")).unwrap();
    rig.drain();
    for id in ["a", "b"] {
        assert!(rig.publish(id).is_empty());
    }
    rig.sender.resume(rig.now, &key("e")).unwrap();
    assert!(rig.drain().is_empty());
    assert_eq!((rig.loads.len(), rig.sender.pending()), (1, 2));
    rig
}

#[test]
fn an_endpoint_that_was_changed_very_often_is_gone_all_the_same() {
    let mut rig = Rig::new(Limits::default());
    rig.put(endpoint("e"));
    let sent = rig.publish("a");
    // One that waits, so that earlier subscriptions are still referred to.
    let waits = rig.publish("w");
    rig.reply(&waits[0], 500);
    for n in 0..limits::RETIRED {
        rig.put(endpoint("e").events(["order.**".to_string(), format!("user.u{n}")]));
    }
    let refused = rig.sender.put(rig.now, endpoint("e"));
    assert!(matches!(refused, Err(PutError::TooManyChanges(_))));
    rig.reply(&sent[0], 410);
    assert!(matches!(rig.sender.endpoint(&key("e")).unwrap().state, State::Gone { .. }));
    assert!(rig.publish("b").is_empty());
    assert_eq!(rig.sender.pending(), 0);
    rig.sender.resume(rig.now, &key("e")).unwrap();
    rig.drain();
    assert_eq!(rig.publish("c").len(), 1);
}

#[test]
fn removing_an_endpoint_for_which_much_waits_does_not_hold_up_others() {
    let mut rig = Rig::new(Limits::default());
    rig.put(endpoint("e"));
    rig.sender.pause(rig.now, &key("e")).unwrap();
    rig.drain();
    (0..20_000).for_each(|n| assert!(rig.publish(&format!("ev{n}")).is_empty()));
    rig.put(endpoint("other"));
    rig.sender.publish(rig.now, event("last")).unwrap();
    rig.sender.remove(rig.now, &key("e")).unwrap();
    rig.ready = 0;
    loop {
        match rig.sender.poll_output() {
            Output::Persist(batch) => rig.sender.handle(rig.now, Input::Persisted(batch.last())),
            Output::Transmit(_) => break,
            Output::Wait(Wake::Ready) => rig.ready += 1,
            Output::Notice(_) | Output::Snapshot(_) | Output::Reclaim(_) => {}
            output => panic!("{output:?}"),
        }
    }
    assert!(rig.sender.pending() > 10_000, "only {} wait still", rig.sender.pending());
}

#[test]
fn a_log_that_fails_while_closing_aborts_nothing_twice() {
    let mut rig = Rig::new(Limits::default());
    rig.put(endpoint("e"));
    rig.publish("a");
    rig.writing = false;
    rig.sender.pause(rig.now, &key("e")).unwrap();
    rig.sender.close(rig.now, Close::Now);
    rig.drain();
    for _ in 0..2 {
        let from = rig.sender.durable().next();
        rig.sender.handle(rig.now, Input::PersistFailed { from, why: PersistFailure::Broken });
        rig.drain();
    }
    assert_eq!(rig.sender.life(), Life::Fenced);
    assert_eq!(rig.aborts.len(), 1);
}

#[test]
fn an_attempt_that_closing_aborted_is_not_aborted_again_when_it_is_overdue() {
    let mut rig = Rig::new(Limits::default());
    rig.put(endpoint("e"));
    rig.publish("a");
    rig.writing = false;
    rig.sender.pause(rig.now, &key("e")).unwrap();
    rig.sender.close(rig.now, Close::Now);
    rig.drain();
    rig.advance(Duration::from_secs(60));
    assert_eq!(rig.aborts.len(), 1);
}

#[test]
fn a_clock_at_its_end_stops_nothing() {
    let mut rig = Rig::new(Limits::default());
    rig.put(endpoint("e"));
    let sent = rig.publish("a");
    rig.now.mono = Instant::from_nanos(u64::MAX);
    rig.sender.handle(rig.now, Input::Tick);
    rig.drain();
    rig.reply(&sent[0], 500);
    rig.publish("b");
    rig.now.mono = Instant::ORIGIN;
    rig.sender.handle(rig.now, Input::Tick);
    rig.drain();
}
