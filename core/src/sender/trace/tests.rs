use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};
use core::time::Duration;
use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::id::{AttemptId, EndpointKey, EventId, JournalSeq, TenantId};
use crate::journal::Frames;
use crate::limits::Limits;
use crate::matching::filter::Language;
use crate::registration::{Endpoint, Policy};
use crate::response::{Reply, TransportError};
use crate::secret::Secret;
use crate::seed::Seed;
use crate::sender::{Close, Config, Input, LoadError, LoadRequest, Output, PersistFailure, ReplayAs, Wake};
use crate::time::{Instant, Now, UnixTime};

const SEED: Seed = Seed::from_bytes([7; 32]);
const SALT: [u8; 32] = [3; 32];

/// Something to do.
#[derive(Clone, Debug)]
enum Op {
    Publish(u8, u8),
    Replay(u8, u8, bool),
    Mistake,
    Put(u8, u8),
    Pause(u8),
    Resume(u8),
    Remove(u8),
    AddKey(u8, u8),
    RevokeKey(u8, u8),
    Cancel(u8),
    Answer(u16, u8),
    Fail,
    Persisted,
    Broken,
    Load(bool),
    Later(u16),
    Drain(u8),
    Close(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..12u8, 0..3u8).prop_map(|(id, content)| Op::Publish(id, content)),
        1 => Just(Op::Mistake),
        3 => (0..12u8, 0..3u8, any::<bool>()).prop_map(|(id, to, fresh)| Op::Replay(id, to, fresh)),
        4 => (0..3u8, 0..4u8).prop_map(|(endpoint, how)| Op::Put(endpoint, how)),
        1 => (0..3u8).prop_map(Op::Pause),
        1 => (0..3u8).prop_map(Op::Resume),
        1 => (0..3u8).prop_map(Op::Remove),
        1 => (0..3u8, 0..4u8).prop_map(|(endpoint, key)| Op::AddKey(endpoint, key)),
        1 => (0..3u8, 0..4u8).prop_map(|(endpoint, key)| Op::RevokeKey(endpoint, key)),
        1 => (0..12u8).prop_map(Op::Cancel),
        6 => (prop_oneof![Just(204), Just(500), Just(429), Just(410)], any::<u8>()).prop_map(|(s, n)| Op::Answer(s, n)),
        1 => Just(Op::Fail),
        8 => Just(Op::Persisted),
        1 => Just(Op::Broken),
        2 => any::<bool>().prop_map(Op::Load),
        4 => any::<u16>().prop_map(Op::Later),
        10 => (1..40u8).prop_map(Op::Drain),
        1 => any::<bool>().prop_map(Op::Close),
    ]
}

fn secret(number: u8) -> Secret {
    Secret::from_bytes([b'A' + number; 32]).unwrap()
}

fn key(number: u8) -> EndpointKey {
    EndpointKey::new(format!("endpoint-{number}")).unwrap()
}

fn event_id(number: u8) -> EventId {
    EventId::new(format!("event-{number}")).unwrap()
}

fn config() -> Config {
    let mut limits = Limits::default();
    (limits.snapshot_every, limits.resident) = (4096, 200);
    Config::new().limits(limits).policy(Policy::development()).operational_events(true)
}

/// What goes on around a machine.
struct World {
    machine: Recorder,
    trace: BytesMut,
    now: Now,
    open: Vec<AttemptId>,
    loads: Vec<LoadRequest>,
    log: Vec<(JournalSeq, crate::journal::Record)>,
    handed: JournalSeq,
}

impl World {
    fn new(detail: Detail) -> Self {
        let now = Now { mono: Instant::from_millis(1), wall: UnixTime::from_secs(1_000_000) };
        let mut machine = Recorder::new(config(), SEED, now, detail, SALT);
        Self {
            trace: BytesMut::from(&machine.take().unwrap()[..]),
            machine,
            now,
            open: Vec::new(),
            loads: Vec::new(),
            log: Vec::new(),
            handed: JournalSeq::ZERO,
        }
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now;
        match *op {
            Op::Publish(id, content) => {
                let data = format!("secret-content-{content}");
                let event = Event::json("order.paid", &data).unwrap().id(event_id(id).as_str());
                let _ = self.machine.publish(now, event);
            }
            Op::Replay(id, to, fresh) => {
                let event = Event::json("order.paid", &"secret-content-0").unwrap();
                let how = if fresh { ReplayAs::Fresh } else { ReplayAs::Same };
                let _ = self
                    .machine
                    .replay(now, crate::sender::Replay::new(event, &format!("{id}"), event_id(id), key(to).id, how));
            }
            Op::Mistake => {
                let _ = self.machine.publish(now, Event::json("order.paid", &1).unwrap().tenant(""));
                let _ = self.machine.put(now, Endpoint::new("x", "ftp://nowhere"));
            }
            Op::Put(endpoint, how) => {
                let url = format!("http://127.0.0.1/hook?token=hidden-{}", how / 2);
                let put = Endpoint::new(key(endpoint).id.as_str(), url)
                    .events(if how % 2 == 0 { ["order.**"] } else { ["**"] })
                    .signing_key(secret(how))
                    .secret_header("x-token", "hidden-header");
                // Content that a trace with stand-ins does not have decides what is sent.
                let put =
                    if how == 1 { put.filter(Language::EventBridge, r#"{"data": [{"suffix": "1"}]}"#) } else { put };
                let _ = self.machine.put(now, put);
            }
            Op::Pause(endpoint) => drop(self.machine.pause(now, &key(endpoint))),
            Op::Resume(endpoint) => drop(self.machine.resume(now, &key(endpoint))),
            Op::Remove(endpoint) => drop(self.machine.remove(now, &key(endpoint))),
            Op::AddKey(endpoint, number) => drop(self.machine.add_key(now, &key(endpoint), &secret(number))),
            Op::RevokeKey(endpoint, number) => {
                drop(self.machine.revoke_key(now, &key(endpoint), secret(number).id()));
            }
            Op::Cancel(id) => drop(self.machine.cancel(now, &TenantId::default(), &event_id(id))),
            Op::Answer(status, nth) => {
                let reply =
                    Reply::new(status).header("retry-after", b"7").with_body(Bytes::from_static(b"hidden-body"));
                self.complete(nth, Ok(reply));
            }
            Op::Fail => self.complete(0, Err(TransportError::ConnectRefused)),
            Op::Persisted => self.machine.handle(now, Input::Persisted(self.handed)),
            Op::Broken => {
                let why = PersistFailure::Broken;
                self.machine.handle(now, Input::PersistFailed { from: self.machine.durable().next(), why });
            }
            Op::Load(found) => self.answer_load(found),
            Op::Later(ms) => {
                self.now = self.now.advanced(Duration::from_millis(u64::from(ms) * 100));
                self.machine.handle(self.now, Input::Tick);
            }
            Op::Drain(most) => self.drain(most),
            Op::Close(at_once) => {
                self.machine.close(now, if at_once { Close::Now } else { Close::Drain });
            }
        }
        self.trace.put(self.machine.take().unwrap());
    }

    fn complete(&mut self, nth: u8, outcome: crate::response::Outcome) {
        if !self.open.is_empty() {
            let attempt = self.open.swap_remove(usize::from(nth) % self.open.len());
            self.machine.handle(self.now, Input::Completed { attempt, outcome });
        }
    }

    fn answer_load(&mut self, found: bool) {
        let Some(request) = self.loads.pop() else { return };
        let wanted = |(seq, _): &&(JournalSeq, _)| request.records().contains(seq);
        let records = self.log.iter().filter(wanted).cloned().collect();
        let result = if found { Ok(records) } else { Err(LoadError::Unavailable) };
        self.machine.handle(self.now, Input::Loaded { request: request.id(), result });
    }

    fn drain(&mut self, most: u8) {
        for _ in 0..most {
            match self.machine.poll_output() {
                Output::Persist(batch) => {
                    self.handed = self.handed.max(batch.last());
                    for read in Frames::new(batch.bytes().clone()) {
                        let (seq, record) = read.unwrap();
                        self.log.retain(|(known, _)| *known != seq);
                        self.log.push((seq, record));
                    }
                }
                Output::Load(request) => self.loads.push(request),
                Output::Transmit(transmit) => self.open.push(transmit.attempt()),
                Output::Wait(Wake::Ready) => {}
                Output::Wait(_) => return,
                Output::Snapshot(_) | Output::Reclaim(_) | Output::Abort(_) | Output::Notice(_) => {}
            }
        }
    }

    /// The same store, opened again.
    fn reopen(&mut self, detail: Detail) {
        let mut log = core::mem::take(&mut self.log);
        log.sort_by_key(|(seq, _)| *seq);
        let restore = log.iter().cloned().fold(Recorder::restore(config(), detail, SALT), RecorderRestore::record);
        self.machine = restore.finish(self.now).unwrap();
        (self.log, self.handed) = (log, self.machine.durable());
        self.open.clear();
        self.loads.clear();
        self.trace = BytesMut::from(&self.machine.take().unwrap()[..]);
    }
}

fn replayed(trace: &BytesMut) -> Result<Option<Difference>, TraceError> {
    Replay::new(trace.clone().freeze())?.run()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_run_is_run_again_without_a_difference(
        before in prop::collection::vec(op(), 0..60),
        after in prop::collection::vec(op(), 0..60),
        everything: bool,
    ) {
        let detail = if everything { Detail::Everything } else { Detail::StandIns };
        let mut world = World::new(detail);
        before.iter().for_each(|op| world.apply(op));
        prop_assert_eq!(replayed(&world.trace), Ok(None));
        // A log that was never handed anything is an empty store.
        if world.log.is_empty() {
            return Ok(());
        }
        world.reopen(detail);
        after.iter().for_each(|op| world.apply(op));
        prop_assert_eq!(replayed(&world.trace), Ok(None));
        for hidden in ["secret-content", "hidden-", "AAAAAAAA", "BBBBBBBB"] {
            let there = world.trace.windows(hidden.len()).any(|bytes| bytes == hidden.as_bytes());
            prop_assert!(everything || !there, "{} is in the trace", hidden);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_reason_to_panic(ops in prop::collection::vec(op(), 0..30), at: prop::sample::Index, to: u8) {
        let mut world = World::new(Detail::StandIns);
        ops.iter().for_each(|op| world.apply(op));
        let at = at.index(world.trace.len());
        world.trace[at] = to;
        let _ = replayed(&world.trace);
        world.trace.truncate(at);
        let _ = replayed(&world.trace);
    }
}

#[test]
fn a_difference_is_told_with_the_state_before_and_after() {
    let mut world = World::new(Detail::StandIns);
    for op in [Op::Put(0, 0), Op::Drain(20), Op::Persisted, Op::Publish(1, 1), Op::Drain(20), Op::Persisted] {
        world.apply(&op);
    }
    world.apply(&Op::Drain(3));
    // The checksum of the last output.
    let end = world.trace.len() - 1;
    world.trace[end] ^= 1;
    let difference = replayed(&world.trace).unwrap().unwrap();
    assert_eq!(difference.of, Ruled::Output);
    assert_eq!((difference.before.events, difference.after.events), (1, 1));
    assert_eq!((difference.before.in_flight, difference.after.in_flight), (0, 1));
    let told = difference.to_string();
    assert!(told.contains("Persisted(") && told.contains("before the call:") && told.contains("in flight"), "{told}");
}

#[test]
fn what_is_no_trace_is_refused_with_a_reason() {
    assert_eq!(Replay::new("").err(), Some(TraceError::NoTrace));
    assert_eq!(Replay::new("PSTRTRCE").err(), Some(TraceError::NoTrace));
    assert_eq!(Replay::new("PSTRTRCE\x09").err(), Some(TraceError::Version { found: 9, known: VERSION }));
    assert_eq!(Replay::new("PSTRTRCE\x02").err(), Some(TraceError::Damaged { at: 9 }));
}

#[test]
fn without_a_tape_it_is_a_sender() {
    let mut machine = Recorder::off(crate::sender::Sender::new(config(), SEED, Now::default()));
    assert!(machine.publish(Now::default(), Event::json("a.b", &1).unwrap().id("x")).is_ok());
    assert_eq!((machine.take(), machine.untaken(), machine.events()), (None, 0, 1));
}
