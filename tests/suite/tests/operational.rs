//! Operational events: what tenants are told of their endpoints and deliveries, once, and never of what they are told.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, JournalSeq, TenantId};
use postrider_core::journal::{Frames, Record};
use postrider_core::registration::Endpoint;
use postrider_core::response::Reply;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, OPERATIONAL, Output, Resolver, Restore, Sender, Wake};
use postrider_core::time::{Instant, Now, UnixTime};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Rig {
    sender: Sender,
    now: Now,
    log: Vec<(JournalSeq, Record)>,
    /// What each endpoint was sent: type, id and body.
    got: Vec<(String, String, String)>,
    /// What each endpoint answers.
    answers: BTreeMap<&'static str, u16>,
}

fn config() -> Config {
    Config::new().operational_events(true)
}

fn key(name: &str) -> EndpointKey {
    EndpointKey::new(name).unwrap()
}

impl Rig {
    fn new(config: Config) -> Self {
        let now = Now { mono: Instant::from_millis(1), wall: UnixTime::from_secs(1_800_000_000) };
        let sender = Sender::new(config, Seed::from_bytes([1; 32]), now);
        let answers = BTreeMap::from([("orders", 500), ("ops", 204)]);
        let mut rig = Self { sender, now, log: Vec::new(), got: Vec::new(), answers };
        let orders = Endpoint::new("orders", "https://orders.acme.com/").secret(SECRET).events(["order.*"]);
        rig.put(orders.schedule([0, 1, 1, 1, 1].map(Duration::from_secs)));
        let ops = Endpoint::new("ops", "https://ops.acme.com/").secret(SECRET).events(["endpoint.*", "delivery.*"]);
        rig.put(ops.schedule([0, 1, 1, 1, 1].map(Duration::from_secs)));
        rig
    }

    fn put(&mut self, endpoint: Endpoint) {
        self.sender.put(self.now, endpoint).unwrap();
        self.drain();
    }

    fn publish(&mut self, id: &str) {
        let event = Event::json_bytes("order.paid", Bytes::from_static(b"{\"id\": 7}")).unwrap().id(id);
        self.sender.publish(self.now, event).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.extend(Frames::new(batch.bytes().clone()).map(Result::unwrap));
                    self.sender.handle(self.now, Input::Persisted(batch.last()));
                }
                Output::Transmit(transmit) => {
                    let to = transmit.endpoint().id.as_str().to_owned();
                    let body = transmit.clear_by(Resolver::Simulation).unwrap();
                    let body = String::from_utf8(body.body().to_vec()).unwrap();
                    let status = self.answers[to.as_str()];
                    self.got.push((to, transmit.event().as_str().to_owned(), body));
                    let outcome = Ok(Reply::new(status));
                    self.sender.handle(self.now, Input::Completed { attempt: transmit.attempt(), outcome });
                }
                Output::Load(request) => {
                    let wanted = |(seq, _): &&(JournalSeq, Record)| request.records().contains(seq);
                    let records = self.log.iter().filter(wanted).cloned().collect();
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result: Ok(records) });
                }
                Output::Wait(Wake::Ready) | Output::Notice(_) | Output::Abort(_) => {}
                Output::Snapshot(_) | Output::Reclaim(_) => {}
                Output::Wait(_) => return,
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..40 {
            let second = Duration::from_millis(1300);
            self.now = Now { mono: self.now.mono.saturating_add(second), wall: self.now.wall.saturating_add(second) };
            self.sender.handle(self.now, Input::Tick);
            self.drain();
        }
    }

    /// What was told to `ops`, each id once: type and data.
    fn told(&self) -> Vec<(String, serde_json::Value)> {
        let mut seen = std::collections::BTreeSet::new();
        let told = self.got.iter().filter(|(to, id, _)| to == "ops" && seen.insert(id.clone()));
        let parsed = told.map(|(_, id, body)| {
            assert!(id.starts_with(OPERATIONAL), "{id}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            (body["type"].as_str().unwrap().to_owned(), body["data"].clone())
        });
        parsed.collect()
    }

    fn types(&self) -> Vec<String> {
        self.told().into_iter().map(|(event_type, _)| event_type).collect()
    }
}

#[test]
fn a_delivery_that_fails_is_told_of_twice() {
    let mut rig = Rig::new(config());
    rig.publish("e1");
    rig.run();
    let told = rig.told();
    assert_eq!(rig.types(), ["delivery.failing", "delivery.exhausted"]);
    for (event_type, data) in &told {
        assert_eq!((&data["endpoint"], &data["event"]), (&"orders".into(), &"e1".into()), "{event_type}");
    }
    assert_eq!((&told[0].1["attempts"], &told[1].1["attempts"]), (&4.into(), &5.into()));
    assert!(rig.sender.is_settled());
}

#[test]
fn an_endpoint_that_goes_and_comes_is_told_of() {
    let mut rig = Rig::new(config());
    rig.sender.pause(rig.now, &key("orders")).unwrap();
    rig.sender.resume(rig.now, &key("orders")).unwrap();
    rig.sender.disable(rig.now, &key("orders")).unwrap();
    rig.run();
    rig.sender.resume(rig.now, &key("orders")).unwrap();
    rig.answers.insert("orders", 410);
    rig.publish("e1");
    rig.run();
    let told = rig.told();
    let words: Vec<_> = told.iter().map(|(kind, data)| (kind.as_str(), &data["reason"], &data["was"])).collect();
    let (null, text) = (serde_json::Value::Null, |word: &str| serde_json::Value::from(word));
    let (disabled, gone) = (text("disabled"), text("gone"));
    assert_eq!(
        words,
        [
            ("endpoint.disabled", &disabled, &null),
            ("endpoint.recovered", &null, &disabled),
            ("endpoint.disabled", &gone, &null)
        ]
    );
}

#[test]
fn off_unless_wanted_and_silent_where_nobody_listens() {
    let mut rig = Rig::new(Config::new());
    rig.publish("e1");
    rig.sender.disable(rig.now, &key("orders")).unwrap();
    rig.run();
    assert_eq!(rig.types(), Vec::<String>::new());
    let mut rig = Rig::new(config());
    rig.sender.remove(rig.now, &key("ops")).unwrap();
    let before = rig.sender.stats().accepted;
    rig.publish("e1");
    rig.run();
    assert_eq!(rig.sender.stats().accepted, before + 1, "nobody wants what would be told");
}

/// Of one tenant only, whatever holds for the others.
#[test]
fn each_tenant_has_its_own_wish() {
    let nobody = || TenantId::default();
    let other = || TenantId::new("other").unwrap();
    for (config, told) in [
        (Config::new().operational_events_of(nobody(), true), 2),
        (Config::new().operational_events_of(other(), true), 0),
        (config().operational_events_of(nobody(), false), 0),
        (config().operational_events_of(other(), false), 2),
    ] {
        let mut rig = Rig::new(config);
        rig.publish("e1");
        rig.run();
        assert_eq!(rig.told().len(), told);
    }
}

/// Ten failures open the breaker of `orders`; the probe closes it.
fn with_a_breaker(config: Config) -> Rig {
    let mut rig = Rig::new(config);
    let orders = Endpoint::new("orders", "https://orders.acme.com/").secret(SECRET).events(["order.*"]);
    rig.put(orders.schedule([0, 600].map(Duration::from_secs)));
    (0..10).for_each(|number| rig.publish(&format!("e{number}")));
    rig.answers.insert("orders", 204);
    rig.run();
    rig
}

#[test]
fn an_endpoint_whose_breaker_closes_has_recovered() {
    let mut rig = with_a_breaker(config());
    assert_eq!(rig.types(), Vec::<String>::new(), "it is not disabled while its breaker is open");
    (0..20).for_each(|_| rig.run());
    let told = rig.told();
    assert_eq!(told.len(), 1, "{told:?}");
    let (event_type, data) = &told[0];
    assert_eq!((event_type.as_str(), &data["endpoint"]), ("endpoint.recovered", &"orders".into()));
    assert_eq!(data["was"], "open");
}

/// Wherever the log is torn, a breaker that closes is told of once.
#[test]
fn a_breaker_that_closes_is_told_of_once_over_restarts() {
    let mut whole = with_a_breaker(config());
    (0..20).for_each(|_| whole.run());
    let closed = whole.log.iter().rposition(|(_, record)| matches!(record, Record::Health(h) if h.breaker.is_none()));
    let closed = closed.expect("it has closed");
    // From the record on that says that it has opened.
    for cut in closed - 1..=(closed + 4).min(whole.log.len()) {
        let mut rig = Rig::new(config());
        rig.log = whole.log[..cut].to_vec();
        rig.now = whole.now;
        rig.answers.insert("orders", 204);
        let restored = rig.log.iter().cloned().fold(Restore::new(config()), Restore::record).finish(rig.now);
        rig.sender = restored.unwrap();
        rig.drain();
        (0..3).for_each(|_| rig.run());
        let accepted = rig.log.iter().filter(|(_, record)| match record {
            Record::Accepted(event) => event.event_type == "endpoint.recovered",
            _ => false,
        });
        assert_eq!(accepted.count(), 1, "cut behind record {cut}, and the breaker's is {closed}");
    }
}

/// What is told of may fail to be told: nobody is told of that.
#[test]
fn nothing_is_told_of_what_is_told() {
    for status in [500, 410] {
        let mut rig = Rig::new(config());
        rig.answers.insert("ops", status);
        let other = Endpoint::new("also", "https://also.acme.com/").secret(SECRET).events(["endpoint.*", "delivery.*"]);
        rig.answers.insert("also", 204);
        rig.put(other);
        rig.publish("e1");
        rig.run();
        let told = rig.got.iter().filter(|(to, ..)| to == "also").map(|(_, id, _)| id.clone());
        let told: std::collections::BTreeSet<_> = told.collect();
        assert_eq!(told.len(), 2, "failing and exhausted, of e1 alone: {:?}", rig.got);
        assert!(rig.sender.is_settled());
    }
}

/// Wherever the log is torn, what has happened is told exactly once in the end.
#[test]
fn each_is_told_once_over_restarts() {
    let mut whole = Rig::new(config());
    let known = whole.log.len();
    whole.publish("e1");
    whole.run();
    whole.sender.disable(whole.now, &key("orders")).unwrap();
    whole.run();
    let expected = ["delivery.failing", "delivery.exhausted", "endpoint.disabled"];
    assert_eq!(whole.types(), expected);
    for cut in known..=whole.log.len() {
        let mut rig = Rig::new(config());
        rig.log = whole.log[..cut].to_vec();
        rig.now = whole.now;
        let restored = rig.log.iter().cloned().fold(Restore::new(config()), Restore::record).finish(rig.now);
        rig.sender = restored.unwrap();
        rig.drain();
        rig.run();
        let accepted = rig.log.iter().filter_map(|(_, record)| match record {
            Record::Accepted(event) if event.id.as_str().starts_with(OPERATIONAL) => Some(event.event_type.clone()),
            _ => None,
        });
        let accepted: Vec<_> = accepted.collect();
        let happened = rig.log.iter().any(|(_, record)| matches!(record, Record::Accepted(e) if e.id.as_str() == "e1"));
        let disabled = rig.log.iter().any(|(_, record)| matches!(record, Record::Endpoint(e) if e.state.code == 2));
        let most = if disabled {
            3
        } else if happened {
            2
        } else {
            0
        };
        assert_eq!(accepted, expected[..most], "cut behind record {cut}");
    }
}
