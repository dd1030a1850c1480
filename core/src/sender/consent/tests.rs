//! Endpoints whose owners are asked for consent, from the outside.

use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use http::Method;

use crate::event::Event;
use crate::id::{EndpointKey, JournalSeq};
use crate::journal::{self, Record};
use crate::registration::consent::{ConsentBy, ConsentRule, Origin, Rate, Stage};
use crate::registration::lifecycle::{Cause, Rule};
use crate::registration::{Endpoint, State};
use crate::response::{Outcome, Reply, TransportError};
use crate::secret::Secret;
use crate::seed::Seed;
use crate::sender::{
    Called, CommandError, Config, Input, Notice, Output, Purpose, PutError, Resolver, Restore, Sender, Transmit, Wake,
};
use crate::time::{Instant, Now, UnixTime};

/// A sender on a log that is durable at once.
pub(crate) struct Rig {
    pub(crate) sender: Sender,
    pub(crate) now: Now,
    pub(crate) log: Vec<(JournalSeq, Record)>,
    pub(crate) told: Vec<Notice>,
    /// The last snapshot that is complete, and the one that is being taken.
    pub(crate) snapshots: [Vec<(JournalSeq, Record)>; 2],
    config: Config,
}

fn config() -> Config {
    let config = Config::new().origin(Origin::new("events.example.com").unwrap());
    config.callback("https://hooks.example.com/confirm").unwrap()
}

fn key() -> EndpointKey {
    EndpointKey::new("acme").unwrap()
}

fn acme(by: ConsentBy) -> Endpoint {
    let endpoint = Endpoint::new("acme", "https://acme.example.com/hooks").consent(by).bearer("canary");
    endpoint.signing_key(Secret::from_bytes([7; 32]).unwrap())
}

impl Rig {
    pub(crate) fn new(config: Config) -> Self {
        let now = Now { mono: Instant::from_millis(1_000_000), wall: UnixTime::from_secs(1_800_000_000) };
        let sender = Sender::new(config.clone(), Seed::from_bytes([5; 32]), now);
        let mut rig =
            Self { sender, now, log: Vec::new(), told: Vec::new(), snapshots: [Vec::new(), Vec::new()], config };
        assert!(rig.drain().is_empty());
        rig
    }

    /// With this endpoint and an event for it.
    fn with(by: ConsentBy) -> Self {
        let mut rig = Self::new(config());
        rig.sender.put(rig.now, acme(by)).unwrap();
        rig.sender.publish(rig.now, Event::json("order.paid", &1).unwrap().id("order-1")).unwrap();
        rig
    }

    pub(crate) fn drain(&mut self) -> Vec<Transmit> {
        let mut found = Vec::new();
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    let frames = batch.records().map(|(_, mut frame)| journal::decode(&mut frame).unwrap());
                    self.log.extend(frames);
                    self.sender.handle(self.now, Input::Persisted(batch.last()));
                }
                Output::Transmit(transmit) => found.push(transmit),
                Output::Notice(notice) => self.told.push(notice),
                Output::Wait(Wake::Ready) => {}
                Output::Wait(_) => return found,
                Output::Load(request) => {
                    let wanted = |(seq, _): &&(JournalSeq, Record)| request.records().contains(seq);
                    let result = Ok(self.log.iter().filter(wanted).cloned().collect());
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result });
                }
                Output::Snapshot(part) => {
                    if part.part() == 0 {
                        self.snapshots[1].clear();
                    }
                    self.snapshots[1].extend(journal::Frames::new(part.bytes().clone()).map(Result::unwrap));
                    if part.is_last() {
                        self.snapshots[0] = core::mem::take(&mut self.snapshots[1]);
                    }
                }
                Output::Reclaim(_) | Output::Abort(_) => {}
            }
        }
    }

    fn one(&mut self, purpose: Purpose) -> Transmit {
        let mut found = self.drain();
        assert_eq!(found.iter().map(Transmit::purpose).collect::<Vec<_>>(), [purpose]);
        found.remove(0)
    }

    pub(crate) fn wait(&mut self, by: Duration) {
        self.now = self.now.advanced(by);
        self.sender.handle(self.now, Input::Tick);
    }

    pub(crate) fn answer(&mut self, transmit: &Transmit, outcome: Outcome) {
        self.sender.handle(self.now, Input::Completed { attempt: transmit.attempt(), outcome });
    }

    /// From its records alone.
    pub(crate) fn restart(&mut self) {
        self.restart_from(0);
    }

    /// From the newest snapshot and what lies behind it.
    pub(crate) fn restart_from_snapshot(&mut self) {
        assert!(!self.snapshots[0].is_empty());
        self.restart_from(self.snapshots[0].len());
    }

    fn restart_from(&mut self, snapshot: usize) {
        let records = self.snapshots[0][..snapshot].iter().chain(&self.log).cloned();
        let restore = records.fold(Restore::new(self.config.clone()), Restore::record);
        self.sender = restore.finish(self.now).unwrap();
    }

    fn state(&self) -> State {
        self.sender.endpoint(&key()).unwrap().state
    }

    fn stage(&self) -> Stage {
        self.sender.endpoint(&key()).unwrap().consent.unwrap().stage()
    }

    fn is_unverified(&self) -> bool {
        matches!(self.state(), State::Unverified { .. })
    }
}

fn header(transmit: &Transmit, name: &str) -> Option<alloc::string::String> {
    let request = transmit.clear_by(Resolver::Simulation).unwrap().request();
    request.headers().get(name).map(|value| value.to_str().unwrap().to_string())
}

fn granted() -> Reply {
    Reply::new(200).header("WebHook-Allowed-Origin", b"EVENTS.example.com").header("WebHook-Allowed-Rate", b"120")
}

#[test]
fn a_handshake_lets_what_waits_go() {
    let mut rig = Rig::with(ConsentBy::CloudEvents);
    let ask = rig.one(Purpose::Handshake);
    assert!(rig.is_unverified());
    let cleared = ask.clear_by(Resolver::Simulation).unwrap();
    let (mut head, request) = (Vec::new(), cleared.request());
    cleared.write_head(&mut head);
    let head = alloc::string::String::from_utf8(head).unwrap();
    assert!(head.starts_with("OPTIONS /hooks HTTP/1.1\r\nhost: acme.example.com\r\nuser-agent: postrider/"), "{head}");
    assert!(head.contains("webhook-request-origin: events.example.com\r\n") && !head.contains("content-"), "{head}");
    assert!(head.contains("webhook-request-callback: https://hooks.example.com/confirm/"), "{head}");
    assert!(head.contains("authorization: Bearer canary\r\n"), "whoever guards the endpoint asks for it here too");
    assert_eq!((request.method(), request.body().len()), (&Method::OPTIONS, 0));
    assert!(!alloc::format!("{request:?}").contains("canary") && !alloc::format!("{ask:?}").contains("canary"));

    rig.answer(&ask, Ok(granted()));
    let delivery = rig.one(Purpose::Delivery);
    assert_eq!(delivery.event().as_str(), "order-1");
    assert_eq!(header(&delivery, "webhook-request-origin").as_deref(), Some("events.example.com"));
    let view = rig.sender.endpoint(&key()).unwrap();
    assert_eq!(view.consent.unwrap().limit().unwrap().get(), 120);
    assert_eq!((view.state, view.cause.unwrap().rule), (State::Active, Rule::Agreed));
    let told: Vec<_> = rig.told.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "acme: the endpoint agreed to ask number 1: 120 requests a minute",
            "acme: the endpoint may be sent to, because its owner agreed"
        ]
    );
}

/// 120 requests a minute were granted: what starts keeps to them, and to the endpoint's own rate where that is less.
#[test]
fn what_was_granted_is_kept_to() {
    for (own, a_second) in [(None, 2), (Some(5), 2), (Some(1), 1)] {
        let mut rig = Rig::new(config());
        let mut endpoint = acme(ConsentBy::CloudEvents).concurrency(100);
        if let Some(own) = own {
            endpoint = endpoint.rate(crate::retry::Rate::per_second(own).unwrap());
        }
        rig.sender.put(rig.now, endpoint).unwrap();
        let ask = rig.one(Purpose::Handshake);
        rig.answer(&ask, Ok(granted()));
        for number in 0..40 {
            let event = Event::json("order.paid", &number).unwrap().id(alloc::format!("order-{number}"));
            rig.sender.publish(rig.now, event).unwrap();
        }
        let mut starts = Vec::new();
        for tenth in 0..100_u32 {
            for transmit in rig.drain() {
                starts.push(tenth);
                rig.answer(&transmit, Ok(Reply::new(204)));
            }
            rig.wait(Duration::from_millis(100));
        }
        for from in 0..90 {
            let started = starts.iter().filter(|at| (from..from + 10).contains(*at)).count();
            assert!(started <= a_second + 1, "{started} in the second from {from} on, with its own rate at {own:?}");
        }
        let all = a_second * 10;
        assert!((all..=all + 1).contains(&starts.len()), "{} in ten seconds, its own rate at {own:?}", starts.len());
    }
}

#[test]
fn a_status_is_no_consent() {
    for (reply, rule) in [
        (Reply::new(200), None),
        (Reply::new(204).header("webhook-allowed-origin", b"other.example.com"), Some(Rule::Declined)),
        (granted().header("webhook-allowed-rate", b"-1"), Some(Rule::Declined)),
    ] {
        let mut rig = Rig::with(ConsentBy::CloudEvents);
        let ask = rig.one(Purpose::Handshake);
        rig.answer(&ask, Ok(reply));
        assert!(rig.drain().is_empty());
        let view = rig.sender.endpoint(&key()).unwrap();
        match rule {
            // The callback may still come.
            None => assert!(rig.is_unverified() && matches!(rig.stage(), Stage::Waiting { .. })),
            Some(rule) => {
                assert!(matches!(view.state, State::Disabled { cause: Cause::NoConsent, .. }));
                assert_eq!(view.cause.unwrap().rule, rule);
            }
        }
        let before = rig.state();
        rig.restart();
        assert!(rig.drain().is_empty());
        assert_eq!(rig.state(), before);
    }
}

#[test]
fn a_callback_works_once_and_after_a_restart() {
    let mut rig = Rig::with(ConsentBy::CloudEvents);
    let ask = rig.one(Purpose::Handshake);
    let url = header(&ask, "webhook-request-callback").unwrap();
    let path = url.strip_prefix("https://hooks.example.com").unwrap().to_string();
    rig.answer(&ask, Ok(Reply::new(200)));
    assert!(rig.drain().is_empty());
    rig.restart();
    assert!(rig.drain().is_empty() && matches!(rig.stage(), Stage::Waiting { .. }));

    let called = |path: &str| Called::new("GET", path).headers([("WebHook-Allowed-Rate", "60")]);
    assert_eq!(rig.sender.called_back(rig.now, &called("/confirm/x")), Err(CommandError::UnknownCallback));
    let head = rig.sender.called_back(rig.now, &Called::new("HEAD", &path)).unwrap();
    assert!(matches!(head.rule, ConsentRule::BadCallback(_)) && rig.is_unverified());
    let reason = rig.sender.called_back(rig.now, &called(&path)).unwrap();
    let ConsentRule::GrantedByCallback(Rate::PerMinute(rate)) = reason.rule else { panic!("{reason}") };
    assert_eq!(rate.get(), 60);
    assert_eq!(rig.sender.called_back(rig.now, &called(&path)), Err(CommandError::UnknownCallback));
    assert!(!alloc::format!("{:?}", called(&path)).contains(path.strip_prefix("/confirm/").unwrap()));
    assert_eq!(rig.state(), State::Active);
    rig.drain();
    rig.restart();
    assert_eq!(rig.state(), State::Active);
    assert_eq!(rig.sender.endpoint(&key()).unwrap().consent.unwrap().limit(), Some(rate));
}

#[test]
fn a_challenge_must_come_back() {
    let mut rig = Rig::with(ConsentBy::Challenge);
    let ask = rig.one(Purpose::Challenge);
    let cleared = ask.clear_by(Resolver::Simulation).unwrap();
    let body: serde_json::Value = serde_json::from_slice(cleared.body()).unwrap();
    assert_eq!(body["type"], "endpoint.verify");
    let token = body["data"]["challenge"].as_str().unwrap().to_string();
    assert!(header(&ask, "webhook-signature").unwrap().starts_with("v1,"));
    assert_eq!(header(&ask, "webhook-request-origin"), None);

    rig.answer(&ask, Ok(Reply::new(200).with_body(Bytes::from_static(b"thank you"))));
    assert!(rig.drain().is_empty() && rig.is_unverified());
    rig.wait(Duration::from_secs(60));
    let again = rig.one(Purpose::Challenge);
    let stale = Reply::new(200).with_body(token.into());
    rig.answer(&again, Ok(stale));
    assert!(rig.drain().is_empty() && rig.is_unverified(), "each ask has a token of its own");
    rig.wait(Duration::from_secs(300));
    let third = rig.one(Purpose::Challenge);
    let body: serde_json::Value = serde_json::from_slice(third.clear_by(Resolver::Simulation).unwrap().body()).unwrap();
    let echo = body["data"].to_string();
    rig.answer(&third, Ok(Reply::new(200).with_body(echo.into())));
    drop(rig.one(Purpose::Delivery));
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn who_cannot_be_reached_is_asked_again_and_then_disabled() {
    let mut rig = Rig::with(ConsentBy::Challenge);
    for delay in [60, 300, 1800, 7200, 18_000, 36_000, 0] {
        let ask = rig.one(Purpose::Challenge);
        // Without a report, the machine ends the attempt; the ask ends by its own time.
        match delay {
            300 => rig.wait(Duration::from_secs(120)),
            _ => rig.answer(&ask, Err(TransportError::ConnectRefused)),
        }
        assert!(rig.drain().is_empty());
        rig.wait(Duration::from_secs(delay));
    }
    assert!(matches!(rig.state(), State::Disabled { cause: Cause::NoConsent, .. }));
    assert!(rig.drain().is_empty());
    // Whoever resumes it asks anew.
    rig.sender.resume(rig.now, &key()).unwrap();
    drop(rig.one(Purpose::Challenge));
    assert_eq!(rig.sender.endpoint(&key()).unwrap().cause.unwrap().rule, Rule::ResumedUnverified);
}

#[test]
fn what_is_under_way_ends_with_the_wish_for_it() {
    let mut rig = Rig::with(ConsentBy::Challenge);
    let ask = rig.one(Purpose::Challenge);
    rig.sender.put(rig.now, acme(ConsentBy::None)).unwrap();
    assert_eq!(rig.state(), State::Active);
    drop(rig.one(Purpose::Delivery));
    rig.answer(&ask, Ok(Reply::new(410)));
    assert!(rig.drain().is_empty());
    assert_eq!(rig.state(), State::Active, "nobody asks any more");

    rig.sender.put(rig.now, acme(ConsentBy::Challenge)).unwrap();
    assert!(rig.is_unverified());
    let ask = rig.one(Purpose::Challenge);
    rig.sender.remove(rig.now, &key()).unwrap();
    assert!(rig.drain().is_empty());
    rig.answer(&ask, Ok(Reply::new(200)));
    rig.drain();
    assert_eq!((rig.sender.endpoint(&key()), rig.sender.in_flight()), (None, 1), "the delivery's attempt is left");
}

#[test]
fn another_url_has_another_owner() {
    let mut rig = Rig::with(ConsentBy::CloudEvents);
    let ask = rig.one(Purpose::Handshake);
    rig.answer(&ask, Ok(granted()));
    drop(rig.one(Purpose::Delivery));
    let moved = Endpoint::new("acme", "https://elsewhere.example.com/").consent(ConsentBy::CloudEvents);
    rig.sender.put(rig.now, moved).unwrap();
    assert!(rig.is_unverified());
    rig.sender.publish(rig.now, Event::json("order.paid", &2).unwrap().id("order-2")).unwrap();
    let ask = rig.one(Purpose::Handshake);
    assert_eq!(ask.host(), "elsewhere.example.com");
    rig.restart();
    assert!(rig.is_unverified());
    // The answer of the run before reaches nobody; it is asked anew.
    let ask = rig.one(Purpose::Handshake);
    rig.answer(&ask, Ok(granted()));
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn a_pause_outlasts_consent() {
    let mut rig = Rig::with(ConsentBy::CloudEvents);
    let ask = rig.one(Purpose::Handshake);
    rig.sender.pause(rig.now, &key()).unwrap();
    rig.answer(&ask, Ok(granted()));
    assert!(rig.drain().is_empty());
    assert!(matches!(rig.state(), State::Paused { .. }));
    rig.sender.resume(rig.now, &key()).unwrap();
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn who_has_no_name_cannot_ask_under_it() {
    let mut rig = Rig::new(Config::new());
    let refused = rig.sender.put(rig.now, acme(ConsentBy::CloudEvents)).unwrap_err();
    assert!(matches!(refused, PutError::NoOrigin(_)) && refused.to_string().contains("origin"));
    rig.sender.put(rig.now, acme(ConsentBy::Challenge)).unwrap();
    let refused = rig.sender.put(rig.now, acme(ConsentBy::Challenge).consent_rate(5)).unwrap_err();
    assert!(refused.to_string().contains("only `cloudevents` asks for a rate"), "{refused}");
    assert!(Config::new().callback("http://hooks.example.com").is_err());
}
