//! How long a repeat is recognised: against a model that keeps lists.
#![expect(clippy::unwrap_used, reason = "what helpers of a test unwrap is part of the test")]

use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Event;
use postrider_core::id::{JournalSeq, TenantId};
use postrider_core::journal::{Frames, Record, Remembered};
use postrider_core::limits::Limits;
use postrider_core::seed::Seed;
use postrider_core::sender::{Config, Input, Notice, Output, Refused, Restore, Sender, Wake};
use postrider_core::time::{Instant, Now, UnixTime};
use postrider_testkit::MemoryLog;
use proptest::prelude::*;

const WINDOW: Duration = Duration::from_secs(100);
/// Names of each tenant, and of all.
const EACH: usize = 6;
const TOTAL: usize = 14;

/// What happens to a sender.
#[derive(Clone, Debug)]
enum Op {
    Publish { tenant: u8, id: u8, content: u8, key: u8 },
    Pass { millis: u64 },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let publish = (0..4_u8, 0..9_u8, 0..8_u8, 0..9_u8).prop_map(|(tenant, id, content, key)| {
        // Mostly the same content, so that there are repeats.
        Op::Publish { tenant, id, content: content / 7, key }
    });
    prop_oneof![
        8 => publish,
        2 => (1..60_000_u64).prop_map(|millis| Op::Pass { millis }),
        1 => Just(Op::Restart),
    ]
}

/// A name, and the event that it stands for.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    tenant: u8,
    /// Of an event or of an idempotency key.
    name: (char, u8),
    event: u8,
    content: u8,
    at: Instant,
}

/// What the sender should answer.
#[derive(Debug, PartialEq)]
enum Answer {
    Fresh,
    Repeat(u8),
    Conflict,
}

/// All names, in the order in which they came.
#[derive(Default)]
struct Model(Vec<Entry>);

impl Model {
    fn find(&self, tenant: u8, name: (char, u8)) -> Option<&Entry> {
        self.0.iter().find(|entry| (entry.tenant, entry.name) == (tenant, name))
    }

    /// The answer, and by tenant the age of the youngest name that went before its time.
    fn publish(&mut self, now: Instant, new: &Entry, key: Option<u8>) -> (Answer, Vec<(u8, Duration)>) {
        let key = key.map(|key| ('k', key));
        let known = self.find(new.tenant, new.name).or_else(|| self.find(new.tenant, key?));
        if let Some(known) = known {
            let same = known.content == new.content;
            return (if same { Answer::Repeat(known.event) } else { Answer::Conflict }, Vec::new());
        }
        self.0.push(new.clone());
        self.0.extend(key.map(|name| Entry { name, ..new.clone() }));
        (Answer::Fresh, self.forget(now, new.tenant))
    }

    fn forget(&mut self, now: Instant, tenant: u8) -> Vec<(u8, Duration)> {
        let mut shrunk = Vec::new();
        for _ in 0..4 {
            let mine = self.0.iter().filter(|entry| entry.tenant == tenant).count();
            let at = if mine > EACH { self.0.iter().position(|entry| entry.tenant == tenant).unwrap() } else { 0 };
            let age = now.saturating_since(self.0[at].at);
            if mine <= EACH && self.0.len() <= TOTAL && age < WINDOW {
                break;
            }
            let gone = self.0.remove(at);
            if age < WINDOW {
                shrunk.retain(|(tenant, _)| *tenant != gone.tenant);
                shrunk.push((gone.tenant, age));
            }
        }
        shrunk
    }

    /// A restart lets go of what the window has passed.
    fn restart(&mut self, now: Instant) {
        self.0.retain(|entry| now.saturating_since(entry.at) < WINDOW);
    }
}

/// A sender, its log, and what it has told.
struct Rig {
    sender: Sender,
    log: MemoryLog,
    now: Now,
    shrunk: Vec<(u8, Duration)>,
    /// All records that were written, and those of the newest snapshot.
    records: Vec<(JournalSeq, Record)>,
    snapshot: Vec<(JournalSeq, Record)>,
    complete: bool,
}

fn config() -> Config {
    let mut limits = Limits::default();
    limits.idempotency_window = WINDOW;
    limits.idempotency_entries = EACH;
    limits.idempotency_total = TOTAL;
    limits.snapshot_every = 512;
    Config::new().limits(limits)
}

fn tenant(number: u8) -> TenantId {
    TenantId::new(format!("tenant-{number}")).unwrap()
}

impl Rig {
    fn new() -> Self {
        let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_800_000_000) };
        let sender = Sender::new(config(), Seed::from_bytes([3; 32]), now);
        let mut rig = Self {
            sender,
            log: MemoryLog::new(),
            now,
            shrunk: vec![],
            records: vec![],
            snapshot: vec![],
            complete: false,
        };
        rig.drain();
        rig
    }

    fn drain(&mut self) {
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.log.append(batch);
                    let (last, records) = self.log.sync_one().unwrap();
                    self.records.extend(records);
                    self.sender.handle(self.now, Input::Persisted(last));
                }
                Output::Snapshot(part) => {
                    self.log.snapshot(&part);
                    if part.part() == 0 {
                        self.snapshot.clear();
                    }
                    self.snapshot.extend(Frames::new(part.bytes().clone()).map(Result::unwrap));
                    self.complete = part.is_last();
                }
                Output::Reclaim(watermark) => self.log.reclaim(watermark),
                Output::Notice(Notice::WindowShrunk { tenant: whose, age }) => {
                    let number = (0..4).find(|number| tenant(*number) == whose).unwrap();
                    self.shrunk.push((number, age));
                }
                Output::Notice(_) | Output::Wait(Wake::Ready) => {}
                Output::Wait(_) => break,
                output => panic!("{output:?} with no endpoint"),
            }
        }
    }

    fn publish(&mut self, new: &Entry, key: Option<u8>) -> Answer {
        let body = Bytes::from(format!("{}", new.content));
        let event = Event::json_bytes("order.paid", body).unwrap().id(format!("e{}", new.event));
        let event = event.tenant(tenant(new.tenant).as_str());
        let event = match key {
            Some(key) => event.idempotency_key(format!("k{key}")),
            None => event,
        };
        let answer = match self.sender.publish(self.now, event) {
            Ok(receipt) if receipt.fresh => Answer::Fresh,
            Ok(receipt) => Answer::Repeat(receipt.event.as_str()[1..].parse().unwrap()),
            Err(Refused::Conflict(_)) => Answer::Conflict,
            Err(refused) => panic!("{refused}"),
        };
        self.drain();
        answer
    }
}

proptest! {
    /// Over several tenants, restarts and snapshots, a sender knows exactly the names that it should know, and tells whose
    /// names it forgets before their time.
    #[test]
    fn each_tenant_has_its_own_window(keyed: bool, ops in prop::collection::vec(op(), 1..120)) {
        let (mut rig, mut model) = (Rig::new(), Model::default());
        for op in &ops {
            match *op {
                Op::Publish { tenant, id, content, key } => {
                    let key = keyed.then_some(key);
                    let new = Entry { tenant, name: ('e', id), event: id, content, at: rig.now.mono };
                    let (expected, shrunk) = model.publish(rig.now.mono, &new, key);
                    prop_assert_eq!(rig.publish(&new, key), expected, "{:?} of {:?}", op, ops);
                    prop_assert_eq!(core::mem::take(&mut rig.shrunk), shrunk, "{:?} of {:?}", op, ops);
                }
                Op::Pass { millis } => {
                    rig.now = rig.now.advanced(Duration::from_millis(millis));
                    rig.sender.handle(rig.now, Input::Tick);
                    rig.drain();
                }
                Op::Restart => {
                    rig.log.cut(0);
                    rig.sender = rig.log.restore(config(), rig.now).unwrap();
                    model.restart(rig.now.mono);
                    // What has gone before is told of once more where the log still has it.
                    rig.drain();
                    rig.shrunk.clear();
                }
            }
        }
    }
}

#[test]
fn a_lower_limit_takes_effect_at_a_restart_and_is_told() {
    let mut rig = Rig::new();
    for id in 0..5 {
        let new = Entry { tenant: id / 4, name: ('e', id), event: id, content: 0, at: rig.now.mono };
        assert_eq!(rig.publish(&new, None), Answer::Fresh);
        rig.now = rig.now.advanced(Duration::from_secs(1));
    }
    let mut limits = Limits::default();
    limits.idempotency_entries = 3;
    rig.sender = rig.log.restore(Config::new().limits(limits), rig.now).unwrap();
    rig.drain();
    assert_eq!(rig.shrunk, [(0, Duration::from_secs(5))]);
    let again = |id: u8| Entry { tenant: id / 4, name: ('e', id), event: id, content: 0, at: Instant::ORIGIN };
    assert_eq!(rig.publish(&again(1), None), Answer::Repeat(1));
    assert_eq!(rig.publish(&again(4), None), Answer::Repeat(4));
    assert_eq!(rig.publish(&again(0), None), Answer::Fresh);
}

/// Records from before they named their tenant are recognised all the same.
#[test]
fn names_without_a_tenant_are_known() {
    let mut rig = Rig::new();
    let new = Entry { tenant: 2, name: ('e', 1), event: 1, content: 0, at: Instant::ORIGIN };
    for round in 0..100 {
        rig.publish(&Entry { event: 1 + round, ..new.clone() }, None);
        rig.now = rig.now.advanced(Duration::from_secs(1));
        if rig.complete {
            break;
        }
    }
    let older = |(seq, record)| match record {
        Record::Remembered(known) => (seq, Record::Remembered(Box::new(Remembered { tenant: None, ..*known }))),
        record => (seq, record),
    };
    assert!(rig.snapshot.iter().any(|(_, record)| matches!(record, Record::Remembered(_))));
    let records = rig.snapshot.clone().into_iter().map(older).chain(rig.records.clone());
    rig.sender = records.fold(Restore::new(config()), Restore::record).finish(rig.now).unwrap();
    let last = rig.publish(&Entry { event: 1, ..new }, None);
    assert_eq!(last, Answer::Repeat(1));
}
