//! Ordering keys: what a receiver sees of a lane, one by one and in general.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postrider_core::event::Event;
use postrider_core::id::{AttemptId, EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{Frames, Record};
use postrider_core::registration::{Endpoint, EndpointError, Ordering, Policy};
use postrider_core::response::Reply;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Fate, Input, Notice, Output, Resolver, Restore, Sender, Transmit, Wake};
use postrider_core::time::{Instant, Now, UnixTime};
use proptest::prelude::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A sender whose log acknowledges at once, and what it has sent and nobody has answered.
struct Rig {
    sender: Sender,
    config: Config,
    now: Now,
    log: Vec<(JournalSeq, Record)>,
    /// The last record that something waits for: a crash loses none up to it.
    safe: JournalSeq,
    open: Vec<Transmit>,
    notices: Vec<Notice>,
    /// Attempts that the machine gave up, and when.
    aborted: BTreeMap<AttemptId, Instant>,
    snapshot: Vec<(JournalSeq, Record)>,
    parts: Vec<(JournalSeq, Record)>,
}

impl Rig {
    fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self::with(Config::new(), endpoints)
    }

    fn with(config: Config, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_800_000_000) };
        let sender = Sender::new(config.clone(), Seed::from_bytes([1; 32]), now);
        let (log, safe) = (Vec::new(), JournalSeq::ZERO);
        let (open, notices, aborted, snapshot, parts) = Default::default();
        let mut rig = Self { sender, config, now, log, safe, open, notices, aborted, snapshot, parts };
        for endpoint in endpoints {
            rig.sender.put(now, endpoint).unwrap();
        }
        rig.drain();
        rig
    }

    fn publish(&mut self, id: &str, key: Option<&str>) -> JournalSeq {
        let event = Event::json("order.paid", &1).unwrap().id(id);
        let event = key.into_iter().fold(event, Event::key);
        let seq = self.sender.publish(self.now, event).unwrap().seq;
        self.drain();
        seq
    }

    fn drain(&mut self) {
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.extend(Frames::new(batch.bytes().clone()).map(Result::unwrap));
                    if batch.is_gating() {
                        self.safe = batch.last();
                    }
                    self.sender.handle(self.now, Input::Persisted(batch.last()));
                }
                Output::Transmit(transmit) => self.open.push(transmit),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Load(request) => {
                    let wanted = |record: &&(JournalSeq, Record)| request.records().contains(&record.0);
                    let result = Ok(self.log.iter().filter(wanted).cloned().collect());
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result });
                }
                Output::Snapshot(part) => {
                    self.parts.extend(Frames::new(part.bytes().clone()).map(Result::unwrap));
                    if part.is_last() {
                        self.snapshot = core::mem::take(&mut self.parts);
                    }
                }
                Output::Abort(attempt) => _ = self.aborted.insert(attempt, self.now.mono),
                Output::Reclaim(_) | Output::Wait(Wake::Ready) => {}
                Output::Wait(_) => return,
            }
        }
    }

    /// Answers the oldest open attempt of an event.
    fn answer(&mut self, event: &str, status: u16) {
        let at = self.open.iter().position(|open| open.event().as_str() == event).unwrap();
        self.answer_at(at, status);
    }

    fn answer_at(&mut self, at: usize, status: u16) {
        let attempt = self.open.remove(at).attempt();
        self.sender.handle(self.now, Input::Completed { attempt, outcome: Ok(Reply::new(status)) });
        self.drain();
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.advanced(by);
        self.sender.handle(self.now, Input::Tick);
        self.drain();
    }

    /// A crash that loses lazy records behind `lost` from the end, but none that somebody was told of.
    fn crash(&mut self, lost: usize) {
        let keep = self.log.len().saturating_sub(lost);
        let safe = self.safe;
        let mut at = 0;
        self.log.retain(|(seq, _)| {
            at += 1;
            at <= keep || *seq <= safe
        });
        self.open.clear();
        self.parts.clear();
        let through = self.snapshot.iter().find_map(|(_, record)| match record {
            Record::SnapshotEnd { through } => Some(*through),
            _ => None,
        });
        let sound = through.is_none_or(|through| self.log.last().is_some_and(|(last, _)| *last >= through));
        if !sound {
            // No store takes a snapshot for complete before the records are durable that it shows.
            self.snapshot.clear();
        }
        let all: Vec<_> = self.snapshot.iter().chain(&self.log).cloned().collect();
        self.sender =
            all.into_iter().fold(Restore::new(self.config.clone()), Restore::record).finish(self.now).unwrap();
        self.drain();
    }

    fn flying(&self) -> Vec<&str> {
        self.open.iter().map(|open| open.event().as_str()).collect()
    }

    fn fate(&self, event: &str) -> Fate {
        self.sender.report(&TenantId::default(), &EventId::new(event).unwrap()).unwrap().deliveries[0].fate
    }
}

/// A header of an attempt.
fn header(transmit: &Transmit, name: &str) -> Option<String> {
    let request = transmit.clear_by(Resolver::Simulation).unwrap().request();
    request.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

fn endpoint(id: &str, ordering: Ordering) -> Endpoint {
    let schedule = [0, 1, 2].map(Duration::from_secs);
    Endpoint::new(id, "https://hooks.acme.com/hooks").secret(SECRET).schedule(schedule).ordering(ordering)
}

fn key(id: &str) -> EndpointKey {
    EndpointKey::new(id).unwrap()
}

#[test]
fn one_of_a_key_at_a_time_and_other_keys_are_not_held_up() {
    let mut rig = Rig::new([endpoint("e", Ordering::Strict)]);
    let first = rig.publish("a1", Some("a"));
    let second = rig.publish("a2", Some("a"));
    rig.publish("b1", Some("b"));
    rig.publish("n1", None);
    assert_eq!(rig.flying(), ["a1", "b1", "n1"]);
    let named = |transmit: &Transmit| {
        ["postrider-key", "postrider-sequence", "postrider-previous-sequence"].map(|name| header(transmit, name))
    };
    assert_eq!(named(&rig.open[0]), [Some("a".into()), Some(first.to_string()), None]);
    assert_eq!(named(&rig.open[2]), [None, None, None]);
    rig.answer("a1", 204);
    assert_eq!(rig.flying(), ["b1", "n1", "a2"]);
    let linked = [Some("a".into()), Some(second.to_string()), Some(first.to_string())];
    assert_eq!(named(&rig.open[2]), linked);
    rig.answer("a2", 500);
    rig.advance(Duration::from_secs(2));
    assert_eq!(named(&rig.open[2]), linked, "a retry says the same");
    rig.crash(0);
    rig.advance(Duration::from_secs(60));
    let again = rig.open.iter().find(|open| open.event().as_str() == "a2").unwrap();
    assert_eq!(named(again), linked, "and so does one after a restart");
}

#[test]
fn without_the_option_keys_do_not_matter() {
    let mut rig = Rig::new([endpoint("e", Ordering::None)]);
    rig.publish("a1", Some("a"));
    rig.publish("a2", Some("a"));
    assert_eq!(rig.flying(), ["a1", "a2"]);
    assert_eq!(header(&rig.open[0], "postrider-sequence"), None);
}

#[test]
fn a_failing_head_holds_its_lane_until_it_is_exhausted_or_for_ever() {
    for ordering in [Ordering::SkipOnExhaust, Ordering::Strict] {
        let mut rig = Rig::new([endpoint("e", ordering)]);
        rig.publish("a1", Some("a"));
        rig.publish("a2", Some("a"));
        for _ in 0..3 {
            assert_eq!(rig.flying(), ["a1"]);
            rig.answer("a1", 500);
            rig.advance(Duration::from_secs(3));
        }
        if ordering == Ordering::SkipOnExhaust {
            assert_eq!((rig.fate("a1"), rig.flying()), (Fate::Exhausted, vec!["a2"]));
            continue;
        }
        assert!(rig.flying().is_empty());
        let told = rig.notices.iter().find(|notice| matches!(notice, Notice::LaneBlocked { .. })).unwrap();
        let text = told.to_string();
        assert!(text.contains("attempt 3 failed") && text.contains("1 events under the key \"a\" wait"), "{text}");
        rig.advance(Duration::from_secs(290));
        assert!(rig.flying().is_empty(), "not before five minutes");
        rig.advance(Duration::from_secs(60));
        assert_eq!((rig.flying(), rig.open[0].number()), (vec!["a1"], 4));
        // Whoever cancels it lets the others go, once the adapter has let go of the attempt.
        rig.sender.cancel(rig.now, &TenantId::default(), &EventId::new("a1").unwrap()).unwrap();
        rig.drain();
        assert_eq!(rig.flying(), ["a1"]);
        rig.answer("a1", 500);
        assert_eq!(rig.flying(), ["a2"]);
    }
}

#[test]
fn an_attempt_that_is_not_reported_keeps_its_lane() {
    let mut rig = Rig::new([endpoint("e", Ordering::SkipOnExhaust)]);
    rig.publish("a1", Some("a"));
    rig.publish("a2", Some("a"));
    rig.advance(Duration::from_secs(26));
    assert_eq!(rig.flying(), ["a1"], "the machine has given it up, the adapter still has it");
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.flying(), ["a1"]);
    rig.answer_at(0, 200);
    assert_eq!((rig.flying(), rig.fate("a1")), (vec!["a2"], Fate::Delivered));
}

#[test]
fn while_an_endpoint_is_down_only_the_newest_of_a_key_is_kept() {
    let mut rig = Rig::new([endpoint("e", Ordering::SkipOnExhaust).coalesce(true)]);
    rig.publish("a1", Some("a"));
    for event in ["a2", "a3"] {
        rig.publish(event, Some("a"));
    }
    assert_eq!(rig.sender.stats().tally.superseded, 0, "it is not down, only busy");
    rig.answer("a1", 204);
    rig.answer("a2", 204);
    rig.answer("a3", 204);
    rig.sender.pause(rig.now, &key("e")).unwrap();
    for event in ["a4", "a5", "a6"] {
        rig.publish(event, Some("a"));
    }
    rig.publish("b1", Some("b"));
    assert_eq!(["a4", "a5"].map(|event| rig.fate(event)), [Fate::Superseded; 2]);
    assert_eq!(rig.notices.iter().filter(|notice| matches!(notice, Notice::Superseded { .. })).count(), 2);
    rig.crash(0);
    rig.sender.resume(rig.now, &key("e")).unwrap();
    rig.drain();
    rig.answer("a6", 500);
    rig.answer("b1", 204);
    // It has failed and waits; a newer one takes its place and its time.
    rig.publish("a7", Some("a"));
    assert_eq!(rig.fate("a6"), Fate::Superseded);
    assert!(!rig.flying().contains(&"a7"));
    rig.advance(Duration::from_secs(2));
    assert!(rig.flying().contains(&"a7"), "{:?}", rig.flying());
    assert_eq!(rig.open.iter().find(|open| open.event().as_str() == "a7").unwrap().number(), 1);
}

#[test]
fn coalescing_needs_an_ordering() {
    let refused = endpoint("e", Ordering::None).coalesce(true).check(&Policy::default());
    assert_eq!(refused, Err(EndpointError::CoalesceUnordered));
    assert!(refused.unwrap_err().to_string().contains("set ordering to strict or skip-on-exhaust"));
}

#[test]
fn an_emptied_lane_is_remembered_over_snapshots() {
    let mut config = Config::new();
    config.limits.snapshot_every = 200;
    let mut rig = Rig::with(config, [endpoint("e", Ordering::Strict)]);
    let mut last = None;
    for round in 0..40 {
        let seq = rig.publish(&format!("a{round}"), Some("a"));
        assert_eq!(header(&rig.open[0], "postrider-previous-sequence"), last.map(|last: JournalSeq| last.to_string()));
        rig.answer_at(0, 204);
        rig.advance(Duration::from_secs(1));
        if round % 3 == 0 {
            rig.crash(0);
        }
        last = Some(seq);
    }
    assert!(!rig.snapshot.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Option<u8>),
    Answer(u8, bool),
    Later(u16),
    Crash(u8),
    Pause(bool),
    Cancel(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::option::weighted(0.9, 0..2_u8).prop_map(Step::Publish),
        10 => (any::<u8>(), proptest::bool::weighted(0.6)).prop_map(|(nth, ok)| Step::Answer(nth, ok)),
        4 => prop_oneof![0..5_u16, 0..1000_u16].prop_map(Step::Later),
        2 => (0..8_u8).prop_map(Step::Crash),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => any::<u8>().prop_map(Step::Cancel),
    ]
}

/// What a naive reader knows: which events a lane has, in order, and which of them are through.
#[derive(Default)]
struct Naive {
    /// Events by key, in the order in which they were accepted.
    lanes: BTreeMap<u8, Vec<(u32, JournalSeq)>>,
    key_of: BTreeMap<u32, u8>,
    /// Events that need not be waited for any more, by endpoint.
    through: BTreeSet<(String, u32)>,
    /// Those that a receiver has taken, in this order.
    taken: BTreeMap<(String, u8), Vec<u32>>,
    previous: BTreeMap<(String, u32), Option<String>>,
    noticed: usize,
}

impl Naive {
    fn look(&mut self, rig: &Rig) {
        for notice in &rig.notices[self.noticed..] {
            if let Notice::Exhausted { endpoint, event, .. } | Notice::Superseded { endpoint, event } = notice {
                self.through.insert((endpoint.id.to_string(), number(event)));
            }
        }
        self.noticed = rig.notices.len();
        let mut busy = BTreeSet::new();
        // A slot comes back 5 s after its attempt was given up.
        let freed = |at: &Instant| rig.now.mono >= at.saturating_add(Duration::from_secs(5));
        let held = |open: &&Transmit| !rig.aborted.get(&open.attempt()).is_some_and(freed);
        for open in rig.open.iter().filter(held) {
            let (to, event) = (open.endpoint().id.to_string(), number(open.event()));
            let Some(key) = self.key_of.get(&event) else { continue };
            if to != "n" {
                assert!(busy.insert((to, *key)), "two of one lane are in flight");
            }
        }
    }

    fn started(&mut self, transmit: &Transmit) {
        let (to, event) = (transmit.endpoint().id.to_string(), number(transmit.event()));
        let Some(key) = self.key_of.get(&event).filter(|_| to != "n") else { return };
        let lane = &self.lanes[key];
        for (earlier, _) in lane.iter().take_while(|(earlier, _)| *earlier < event) {
            let through = self.through.contains(&(to.clone(), *earlier));
            assert!(through, "e{event} to {to} starts before e{earlier} is through");
        }
        let at = lane.iter().position(|(other, _)| *other == event).unwrap();
        assert_eq!(header(transmit, "postrider-sequence"), Some(lane[at].1.to_string()));
        let previous = header(transmit, "postrider-previous-sequence");
        assert_eq!(previous, at.checked_sub(1).map(|before| lane[before].1.to_string()), "e{event} to {to}");
        let said = self.previous.entry((to, event)).or_insert_with(|| previous.clone());
        assert_eq!(*said, previous);
    }

    fn answered(&mut self, transmit: &Transmit, ok: bool) {
        let (to, event) = (transmit.endpoint().id.to_string(), number(transmit.event()));
        if !ok {
            return;
        }
        let first = self.through.insert((to.clone(), event));
        if let (true, Some(key)) = (first, self.key_of.get(&event)) {
            self.taken.entry((to, *key)).or_default().push(event);
        }
    }
}

fn number(event: &EventId) -> u32 {
    event.as_str()[1..].parse().unwrap()
}

/// Does all this to a sender with a strict endpoint, one that skips what is exhausted and one without lanes, then lets all
/// end well.
fn run(steps: &[Step], resident: usize, every: u64) {
    let mut config = Config::new();
    (config.limits.resident, config.limits.snapshot_every) = (resident, every);
    let endpoints = [
        endpoint("s", Ordering::Strict),
        endpoint("x", Ordering::SkipOnExhaust).concurrency(2),
        endpoint("n", Ordering::None),
    ];
    let mut rig = Rig::with(config, endpoints);
    let mut naive = Naive::default();
    let mut events = 0;
    for step in steps.iter().cloned() {
        let open = rig.open.len();
        let mut kept = open;
        match step {
            Step::Publish(lane) => {
                events += 1;
                let text = lane.map(|lane| format!("k{lane}"));
                // It is known before it is sent.
                if let Some(lane) = lane {
                    naive.key_of.insert(events, lane);
                }
                let seq = rig.publish(&format!("e{events}"), text.as_deref());
                if let Some(lane) = lane {
                    naive.lanes.entry(lane).or_default().push((events, seq));
                }
            }
            Step::Answer(nth, ok) if open > 0 => {
                let at = usize::from(nth) % open;
                let transmit = rig.open[at].clone();
                naive.answered(&transmit, ok);
                rig.answer_at(at, if ok { 204 } else { 500 });
                kept -= 1;
            }
            Step::Answer(..) => {}
            Step::Later(secs) => rig.advance(Duration::from_secs(secs.into())),
            Step::Crash(lost) => {
                rig.crash(lost.into());
                kept = 0;
            }
            Step::Pause(pause) => {
                let key = key("x");
                if pause { rig.sender.pause(rig.now, &key) } else { rig.sender.resume(rig.now, &key) }.unwrap();
                rig.drain();
            }
            Step::Cancel(nth) if events > 0 => {
                let event = u32::from(nth) % events + 1;
                let id = EventId::new(format!("e{event}")).unwrap();
                if rig.sender.cancel(rig.now, &TenantId::default(), &id).is_ok() {
                    for to in ["s", "x", "n"] {
                        naive.through.insert((to.to_owned(), event));
                    }
                }
                rig.drain();
            }
            Step::Cancel(_) => {}
        }
        naive.look(&rig);
        // Attempts that were given up may have been reported by nobody; the new ones are at the end.
        for transmit in &rig.open[kept.min(rig.open.len())..] {
            naive.started(transmit);
        }
    }
    rig.sender.resume(rig.now, &key("x")).unwrap();
    rig.drain();
    for _ in 0..10_000 {
        if rig.sender.is_settled() && rig.open.is_empty() {
            break;
        }
        while !rig.open.is_empty() {
            let kept = rig.open.len() - 1;
            let transmit = rig.open[0].clone();
            naive.answered(&transmit, true);
            rig.answer_at(0, 204);
            naive.look(&rig);
            rig.open[kept..].iter().for_each(|transmit| naive.started(transmit));
        }
        let kept = rig.open.len();
        rig.advance(Duration::from_secs(60));
        naive.look(&rig);
        rig.open[kept..].iter().for_each(|transmit| naive.started(transmit));
    }
    assert!(rig.sender.is_settled());
    assert_eq!((rig.sender.pending(), rig.sender.in_flight()), (0, 0));
    for ((to, _), taken) in naive.taken.iter().filter(|((to, _), _)| to != "n") {
        assert!(taken.is_sorted(), "{}: {:?}", to, taken);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn lanes_are_as_a_naive_reader_expects(
        steps in proptest::collection::vec(step(), 1..120),
        resident in prop_oneof![Just(0_usize), Just(1 << 20)],
        every in prop_oneof![Just(1_u64 << 26), 100..2000_u64],
    ) {
        run(&steps, resident, every);
    }
}
