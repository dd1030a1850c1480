//! Content filters in the machine: who is sent what, over changes, removals and restarts, held against a matcher that asks
//! every endpoint; and what is said of those that are refused.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, JournalSeq};
use postrider_core::journal::{Frames, Record};
use postrider_core::limits::Limits;
use postrider_core::matching::filter::Language;
use postrider_core::registration::{Endpoint, EndpointError};
use postrider_core::response::Reply;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Output, PutError, Restore, Sender, Told, Transmit, Wake};
use postrider_core::time::{Instant, Now, UnixTime};
use proptest::prelude::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What something means for an event.
type Means<T> = fn(&T) -> bool;

/// Filters, each with what it means.
const FILTERS: [(Language, &str, Means<Content>); 8] = {
    use Language::{CloudEvents, EventBridge};
    [
        (EventBridge, r#"{"data": {"n": [{"numeric": [">=", 5]}]}}"#, |c| c.n().is_some_and(|n| n >= 5)),
        (EventBridge, r#"{"data": {"color": ["red"]}}"#, |c| c.color() == Some("red")),
        (EventBridge, r#"{"data": {"color": [{"anything-but": "red"}]}}"#, |c| c.color().is_some_and(|c| c != "red")),
        (EventBridge, r#"{"data": {"n": [{"exists": false}]}}"#, |c| c.n().is_none()),
        (EventBridge, r#"{"$or": [{"data": {"color": ["red"]}}, {"data": {"n": [1]}}]}"#, |c| {
            c.color() == Some("red") || c.n() == Some(1)
        }),
        (EventBridge, r#"{"type": [{"prefix": "a."}], "data": {"n": [{"exists": true}]}}"#, |c| {
            c.event_type.starts_with("a.") && c.n().is_some()
        }),
        (CloudEvents, r#"{"suffix": {"type": ".x"}}"#, |c| c.event_type.ends_with(".x")),
        (CloudEvents, r#"{"not": {"exact": {"type": "a.x"}}}"#, |c| c.event_type != "a.x"),
    ]
};

const PATTERNS: [(&str, Means<str>); 3] =
    [("**", |_| true), ("a.*", |t| t.starts_with("a.")), ("*.x", |t| t.ends_with(".x"))];

const TYPES: [&str; 3] = ["a.x", "a.y", "b.x"];

/// What an event says.
#[derive(Clone, Debug)]
struct Content {
    event_type: &'static str,
    n: Option<u8>,
    color: Option<&'static str>,
    json: bool,
}

impl Content {
    fn n(&self) -> Option<u8> {
        self.n.filter(|_| self.json)
    }

    fn color(&self) -> Option<&'static str> {
        self.color.filter(|_| self.json)
    }

    fn event(&self, number: usize) -> Event {
        let mut members = Vec::new();
        members.extend(self.n.map(|n| format!("\"n\": {n}")));
        members.extend(self.color.map(|color| format!("\"color\": {color:?}")));
        let text = Bytes::from(format!("{{{}}}", members.join(", ")));
        let event = if self.json {
            Event::json_bytes(self.event_type, text)
        } else {
            Event::raw(self.event_type, "text/plain", text)
        };
        event.unwrap().id(format!("e{number}"))
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, usize, Option<usize>),
    Remove(u8),
    Disable(u8),
    Resume(u8),
    Publish(Content),
    Credit(u32),
    Drain(u8),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let filter = proptest::option::weighted(0.8, 0..FILTERS.len());
    let content = (0..TYPES.len(), proptest::option::of(0..8u8), 0..3usize, prop::bool::weighted(0.9));
    let content = content.prop_map(|(at, n, color, json)| Content {
        event_type: TYPES[at],
        n,
        color: [None, Some("red"), Some("blue")][color],
        json,
    });
    prop_oneof![
        6 => (0..4u8, 0..PATTERNS.len(), filter).prop_map(|(at, pattern, filter)| Op::Put(at, pattern, filter)),
        1 => (0..4u8).prop_map(Op::Remove),
        1 => (0..4u8).prop_map(Op::Disable),
        2 => (0..4u8).prop_map(Op::Resume),
        8 => content.prop_map(Op::Publish),
        2 => prop_oneof![Just(0), Just(1), Just(8)].prop_map(Op::Credit),
        4 => any::<u8>().prop_map(Op::Drain),
        2 => Just(Op::Restart),
    ]
}

/// One endpoint from its creation to its removal.
#[derive(Clone, Debug)]
struct Life {
    number: usize,
    wants: (usize, Option<usize>),
    enabled: bool,
}

struct Rig {
    sender: Sender,
    now: Now,
    log: Vec<(JournalSeq, Record)>,
    snapshot: Vec<(JournalSeq, Record)>,
    coming: Vec<(JournalSeq, Record)>,
    /// By event, the lives of endpoints that were sent it.
    sent: BTreeMap<String, BTreeSet<usize>>,
}

fn config() -> Config {
    let mut limits = Limits::default();
    (limits.snapshot_every, limits.resident) = (2048, 64);
    Config::new().limits(limits)
}

fn key(at: u8) -> EndpointKey {
    EndpointKey::new(format!("endpoint-{at}")).unwrap()
}

impl Rig {
    fn new() -> Self {
        let now = Now { mono: Instant::from_millis(1), wall: UnixTime::from_secs(1_800_000_000) };
        let sender = Sender::new(config(), Seed::from_bytes([1; 32]), now);
        let (log, snapshot, coming) = (Vec::new(), Vec::new(), Vec::new());
        Self { sender, now, log, snapshot, coming, sent: BTreeMap::new() }
    }

    fn drain(&mut self, most: usize) {
        for _ in 0..most {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.extend(Frames::new(batch.bytes().clone()).map(Result::unwrap));
                    self.sender.handle(self.now, Input::Persisted(batch.last()));
                }
                Output::Transmit(transmit) => self.carry(&transmit),
                Output::Load(request) => {
                    let wanted = |(seq, _): &&(JournalSeq, Record)| request.records().contains(seq);
                    let records = self.log.iter().filter(wanted).cloned().collect();
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result: Ok(records) });
                }
                Output::Snapshot(part) => {
                    self.coming.extend(Frames::new(part.bytes().clone()).map(Result::unwrap));
                    if part.is_last() {
                        self.snapshot = std::mem::take(&mut self.coming);
                    }
                }
                Output::Wait(Wake::Ready) | Output::Notice(_) | Output::Abort(_) | Output::Reclaim(_) => {}
                Output::Wait(_) => return,
            }
        }
    }

    fn carry(&mut self, transmit: &Transmit) {
        let life = transmit.target().path_and_query().trim_start_matches('/').parse().unwrap();
        self.sent.entry(transmit.event().as_str().to_owned()).or_default().insert(life);
        let outcome = Ok(Reply::new(204));
        self.sender.handle(self.now, Input::Completed { attempt: transmit.attempt(), outcome });
    }

    fn restart(&mut self) {
        self.coming.clear();
        let records = self.snapshot.iter().chain(&self.log).cloned();
        let restored = records.fold(Restore::new(config()), Restore::record).finish(self.now);
        self.sender = restored.unwrap();
        // What was not durable has not happened.
        self.drain(4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whoever wanted an event when it was accepted is sent it, and nobody else.
    #[test]
    fn an_event_goes_to_whoever_wanted_its_content_when_it_was_accepted(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut rig = Rig::new();
        rig.drain(usize::MAX);
        let mut lives: BTreeMap<u8, Life> = BTreeMap::new();
        let (mut born, mut gone) = (0, BTreeSet::new());
        let mut owed: Vec<BTreeSet<usize>> = Vec::new();
        for op in ops {
            match op {
                Op::Put(at, pattern, filter) => {
                    let life = lives.entry(at).or_insert_with(|| {
                        born += 1;
                        Life { number: born, wants: (0, None), enabled: true }
                    });
                    let url = format!("https://hooks.acme.com/{}", life.number);
                    let mut endpoint = Endpoint::new(key(at).id.as_str(), url).secret(SECRET).events([PATTERNS[pattern].0]);
                    if let Some((language, text, _)) = filter.map(|filter| FILTERS[filter]) {
                        endpoint = endpoint.filter(language, text);
                    }
                    rig.sender.put(rig.now, endpoint).unwrap();
                    life.wants = (pattern, filter);
                }
                Op::Remove(at) => {
                    if let Some(life) = lives.remove(&at) {
                        rig.sender.remove(rig.now, &key(at)).unwrap();
                        gone.insert(life.number);
                    }
                }
                Op::Disable(at) | Op::Resume(at) => {
                    let enable = matches!(op, Op::Resume(_));
                    if let Some(life) = lives.get_mut(&at) {
                        life.enabled = enable;
                        let sender = &mut rig.sender;
                        let change = if enable { sender.resume(rig.now, &key(at)) } else { sender.disable(rig.now, &key(at)) };
                        change.unwrap();
                    }
                }
                Op::Publish(content) => {
                    let wants = |life: &&Life| {
                        let (pattern, filter) = life.wants;
                        life.enabled
                            && PATTERNS[pattern].1(content.event_type)
                            && filter.is_none_or(|filter| FILTERS[filter].2(&content))
                    };
                    let expected: BTreeSet<_> = lives.values().filter(wants).map(|life| life.number).collect();
                    let receipt = rig.sender.publish(rig.now, content.event(owed.len())).unwrap();
                    let told = match receipt.told {
                        Told::Endpoints(reach) => reach.exact(),
                        Told::Nobody(_) | Told::Filtered(_) => Some(0),
                        Told::AsBefore => None,
                    };
                    // Those that were changed and may still be seen by older events are counted where types are.
                    prop_assert!(told.is_some_and(|told| told >= expected.len()), "{told:?} {expected:?}");
                    owed.push(expected);
                }
                Op::Credit(credit) => rig.sender.handle(rig.now, Input::Credit(credit)),
                Op::Drain(steps) => rig.drain(steps.into()),
                Op::Restart => {
                    // What was said is to be true, so all of it is durable before.
                    rig.sender.handle(rig.now, Input::Credit(0));
                    rig.drain(usize::MAX);
                    rig.restart();
                }
            }
        }
        for (at, _) in lives.iter().filter(|(_, life)| !life.enabled) {
            rig.sender.resume(rig.now, &key(*at)).unwrap();
        }
        rig.sender.handle(rig.now, Input::Credit(64));
        rig.drain(usize::MAX);
        prop_assert!(rig.sender.is_settled());
        for (number, expected) in owed.iter().enumerate() {
            let sent = rig.sent.remove(&format!("e{number}")).unwrap_or_default();
            let alive: BTreeSet<_> = expected.difference(&gone).copied().collect();
            prop_assert!(alive.is_subset(&sent) && sent.is_subset(expected), "e{number}: {sent:?} of {expected:?}, {gone:?}");
        }
    }
}

fn acme(filter: usize) -> Endpoint {
    let (language, text, _) = FILTERS[filter];
    Endpoint::new("acme", "https://hooks.acme.com/1").secret(SECRET).events(["a.*"]).filter(language, text)
}

#[test]
fn a_filter_that_is_none_is_refused_with_its_place() {
    let mut rig = Rig::new();
    let endpoint = Endpoint::new("acme", "https://hooks.acme.com/1").secret(SECRET);
    let endpoint = endpoint.filter(Language::EventBridge, r#"{"data": {"n": [{"numeric": [">", "5"]}]}}"#);
    let refused = rig.sender.put(rig.now, endpoint).unwrap_err();
    assert!(matches!(&refused, PutError::Invalid(_, EndpointError::Filter(_))), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("filter: it has a string at \"/data/n/0/numeric/1\"; expected a number"), "{text}");
}

#[test]
fn whoever_is_refused_by_a_filter_is_told_so() {
    let mut rig = Rig::new();
    rig.sender.put(rig.now, acme(0)).unwrap();
    let few = Content { event_type: "a.x", n: Some(4), color: None, json: true };
    let told = |rig: &mut Rig, event| rig.sender.publish(rig.now, event).unwrap().told.to_string();
    assert_eq!(
        told(&mut rig, few.event(1)),
        "no endpoint wants it; 1 wants its type, but its filter refuses the content"
    );
    let why = |rig: &Rig, event: &Event| {
        let page = rig.sender.explain(event, None, 10);
        (page.items[0].is_told(), page.items[0].to_string())
    };
    assert_eq!(
        why(&rig, &few.event(2)),
        (
            false,
            "acme: `a.x` is wanted by `a.*`, but the filter refuses its content: the condition on `data.n` does not hold"
                .to_owned()
        )
    );
    let many = Content { n: Some(5), ..few };
    assert_eq!(told(&mut rig, many.event(3)), "1 endpoint");
    assert!(why(&rig, &many.event(4)).0);
    let other = Content { event_type: "b.x", ..many };
    assert_eq!(told(&mut rig, other.event(5)), "no endpoint wants it");
    let raw = Content { json: false, ..many };
    assert!(!why(&rig, &raw.event(6)).0, "what is no JSON has no fields");
    rig.sender.put(rig.now, acme(3)).unwrap();
    assert!(why(&rig, &raw.event(7)).0, "and so it lacks them");
}

/// More filters match than one fan-out knows ahead.
#[test]
fn very_many_filters_may_match() {
    let mut rig = Rig::new();
    let many = postrider_core::limits::MATCHED * 2 + 7;
    for number in 0..many {
        let endpoint = Endpoint::new(format!("e{number}"), format!("https://hooks.acme.com/{number}")).secret(SECRET);
        let (language, text, _) = FILTERS[usize::from(number % 3 == 0) * 6];
        rig.sender.put(rig.now, endpoint.filter(language, text)).unwrap();
    }
    rig.sender.handle(rig.now, Input::Credit(64));
    let content = Content { event_type: "a.x", n: Some(7), color: None, json: true };
    rig.sender.publish(rig.now, content.event(1)).unwrap();
    rig.drain(usize::MAX);
    assert_eq!(rig.sent["e1"], (0..many).collect());
    assert!(rig.sender.is_settled());
    // The same after a restart in the middle.
    rig.sender.handle(rig.now, Input::Credit(0));
    rig.sender.publish(rig.now, content.event(2)).unwrap();
    rig.drain(usize::MAX);
    rig.sender.handle(rig.now, Input::Credit(8));
    rig.drain(2000);
    rig.restart();
    rig.sender.handle(rig.now, Input::Credit(64));
    rig.drain(usize::MAX);
    assert_eq!(rig.sent["e2"], (0..many).collect());
}
