use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};
use core::time::Duration;
use proptest::prelude::*;

use super::*;
use crate::encoding::Encoding;
use crate::event::Event;
use crate::id::{AttemptId, EndpointKey, EventId, JournalSeq, TenantId};
use crate::journal::Frames;
use crate::limits::Limits;
use crate::matching::filter::Language;
use crate::registration::consent::{ConsentBy, Origin};
use crate::registration::quota::Quotas;
use crate::registration::{Endpoint, Ordering, Policy};
use crate::response::{Reply, TransportError};
use crate::retry::{BreakerPolicy, Rate};
use crate::secret::Secret;
use crate::seed::Seed;
use crate::sender::{
    Called, Close, Config, Input, LoadError, LoadRequest, Output, PersistFailure, Purpose, ReplayAs, Resolver, Wake,
};
use crate::signing::Dialect;
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
    Disable(u8),
    ExpireKey(u8, u8, u16),
    AddPair(u8, u8),
    RotateKey(u8, u8, u16),
    FinishRotation(u8),
    /// Endpoints of a tenant by number, each in one of the ways.
    Sync(u8, u64, Vec<(u8, u8)>),
    /// An answer that agrees, to whatever it comes.
    Agree(u8),
    CalledBack(u8, bool),
    Rewrite(u8),
    Erase(u8),
    Purge(u8),
    Credit(u8),
    Room(u16),
    Drain(u8),
    Close(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..12u8, 0..3u8).prop_map(|(id, content)| Op::Publish(id, content)),
        1 => Just(Op::Mistake),
        3 => (0..12u8, 0..3u8, any::<bool>()).prop_map(|(id, to, fresh)| Op::Replay(id, to, fresh)),
        4 => (0..3u8, 0..WAYS).prop_map(|(endpoint, how)| Op::Put(endpoint, how)),
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
        4 => registering(),
        2 => any::<u8>().prop_map(Op::Agree),
        1 => any::<(u8, bool)>().prop_map(|(nth, agrees)| Op::CalledBack(nth, agrees)),
        1 => (0..12u8).prop_map(Op::Erase),
        1 => (0..2u8).prop_map(Op::Purge),
        1 => (0..9u8).prop_map(Op::Credit),
        1 => any::<u16>().prop_map(Op::Room),
        10 => (1..40u8).prop_map(Op::Drain),
        1 => any::<bool>().prop_map(Op::Close),
    ]
}

/// What registration has beside putting endpoints.
fn registering() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => (0..3u8).prop_map(Op::Disable),
        1 => (0..3u8, 0..4u8, any::<u16>()).prop_map(|(endpoint, key, at)| Op::ExpireKey(endpoint, key, at)),
        1 => (0..3u8, 0..4u8).prop_map(|(endpoint, key)| Op::AddPair(endpoint, key)),
        2 => (0..3u8, 0..4u8, any::<u16>()).prop_map(|(endpoint, key, time)| Op::RotateKey(endpoint, key, time)),
        1 => (0..3u8).prop_map(Op::FinishRotation),
        3 => (0..2u8, 0..6u64, prop::collection::vec((0..4u8, 0..WAYS), 0..4))
            .prop_map(|(tenant, revision, list)| Op::Sync(tenant, revision, list)),
        1 => (0..3u8).prop_map(Op::Rewrite),
    ]
}

/// Ways in which an endpoint may be described.
const WAYS: u8 = 13;

/// An endpoint described in one of the ways.
fn described(number: u8, way: u8) -> Endpoint {
    let url = format!("http://127.0.0.1/hook?token=hidden-{}", way / 2);
    let put = Endpoint::new(key(number).id.as_str(), url)
        .events(if way.is_multiple_of(2) { ["order.**"] } else { ["**"] })
        .signing_key(secret(way % 4))
        .secret_header("x-token", "hidden-header");
    match way {
        // Content that a trace with stand-ins does not have decides what is sent.
        1 => put.filter(Language::EventBridge, r#"{"data": [{"suffix": "1"}]}"#),
        4 => put.consent(ConsentBy::CloudEvents).consent_rate(120),
        5 => put.consent(ConsentBy::Challenge),
        6 => put.ordering(Ordering::Strict).schedule([0, 1].map(Duration::from_secs)),
        7 => put.ordering(Ordering::SkipOnExhaust).coalesce(true).max_age(Duration::from_secs(600)),
        8 => put.rate(Rate::per_second(1).unwrap()).concurrency(1).queue_limit(Duration::from_secs(60)),
        9 => put.encoding(Encoding::Xml).thin(["/id"]).keep_answers(true).bearer("hidden-token"),
        10 => put.sign([Dialect::Standard, Dialect::Stripe]).breaker(BreakerPolicy::DEFAULT).never_disable(),
        // Answers come with a receipt, none of which fits.
        12 => put.receipts(true),
        11 => put.filter(Language::CloudEvents, r#"[{"prefix": {"type": "order"}}]"#).basic("name", "hidden-word"),
        _ => put,
    }
}

fn pair(number: u8) -> Secret {
    Secret::from_pair_bytes([b'P' + number; 64]).expect("it has 64 bytes")
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
    (limits.tenant_in_flight, limits.host_in_flight) = (7, 6);
    let config = Config::new().limits(limits).policy(Policy::development()).operational_events(true);
    let config = config.operational_events_of(other(), false).quotas(Quotas::default().pending(40));
    let config = config.quotas_of(other(), Quotas::default().endpoints(2));
    config.origin(Origin::new("events.example.com").unwrap()).callback("https://hooks.example.com/confirm").unwrap()
}

fn other() -> TenantId {
    TenantId::new("other").unwrap()
}

fn tenant(number: u8) -> TenantId {
    if number == 0 { TenantId::default() } else { other() }
}

/// What goes on around a machine.
struct World {
    machine: Recorder,
    trace: BytesMut,
    now: Now,
    open: Vec<AttemptId>,
    /// Paths of callback URLs that were offered.
    offered: Vec<alloc::string::String>,
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
            offered: Vec::new(),
            loads: Vec::new(),
            log: Vec::new(),
            handed: JournalSeq::ZERO,
        }
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now;
        match op.clone() {
            Op::Publish(id, content) => {
                let data = format!("secret-content-{content}");
                let event = Event::json("order.paid", &data).unwrap().id(event_id(id).as_str());
                let event = if id % 3 == 0 { event.key("a key is a name") } else { event };
                let event = if id % 4 == 3 { event.tenant("other") } else { event };
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
                let _ = self.machine.put(now, described(endpoint, how));
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
            Op::Disable(endpoint) => drop(self.machine.disable(now, &key(endpoint))),
            Op::ExpireKey(endpoint, number, after) => {
                let at = now.wall.saturating_add(Duration::from_secs(after.into()));
                drop(self.machine.expire_key(now, &key(endpoint), secret(number).id(), at));
            }
            Op::AddPair(endpoint, number) => drop(self.machine.add_key(now, &key(endpoint), &pair(number))),
            Op::RotateKey(endpoint, number, overlap) => {
                let overlap = Duration::from_secs(u64::from(overlap) * 10);
                drop(self.machine.rotate_key(now, &key(endpoint), &secret(number), overlap));
            }
            Op::FinishRotation(endpoint) => drop(self.machine.finish_rotation(now, &key(endpoint))),
            Op::Sync(of, revision, list) => {
                let of = tenant(of);
                let list = list.into_iter().map(|(number, way)| described(number, way).tenant(of.as_str()));
                drop(self.machine.sync(now, &of, revision, &list.collect::<Vec<_>>()));
            }
            Op::Agree(nth) => {
                let reply = Reply::new(200).header("webhook-allowed-origin", b"events.example.com");
                let reply = reply.header("postrider-receipt", b"v1,hidden-receipt");
                self.complete(nth, Ok(reply.header("webhook-allowed-rate", b"60")));
            }
            Op::CalledBack(nth, agrees) => self.called_back(nth, agrees),
            Op::Rewrite(endpoint) => drop(self.machine.rewrite(now, &key(endpoint))),
            Op::Erase(id) => drop(self.machine.erase(now, &TenantId::default(), &event_id(id))),
            Op::Purge(of) => drop(self.machine.purge(now, &tenant(of))),
            Op::Credit(attempts) => self.machine.handle(now, Input::Credit(attempts.into())),
            Op::Room(kib) => self.machine.handle(now, Input::Room(u64::from(kib) << 10)),
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

    /// The owner of an endpoint, or somebody who guesses, calls back.
    fn called_back(&mut self, nth: u8, agrees: bool) {
        let known = self.offered.len();
        let path = match known.checked_sub(1) {
            Some(_) => self.offered[usize::from(nth) % known].clone(),
            None => "/confirm/a-token-that-nobody-was-offered-at-all".to_string(),
        };
        let origin = if agrees { "events.example.com" } else { "other.example.com" };
        let called = Called::new("GET", &path).headers([("webhook-allowed-origin", origin)]);
        drop(self.machine.called_back(self.now, &called));
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
                Output::Transmit(transmit) => {
                    // Of some the request is built, so that it is known which keys have signed.
                    if transmit.purpose() == Purpose::Handshake || self.open.len().is_multiple_of(2) {
                        let request = transmit.clear_by(Resolver::Simulation).unwrap().request();
                        let offered = request.headers().get("webhook-request-callback");
                        self.offered.extend(offered.map(|url| url.to_str().unwrap().to_string()));
                    }
                    self.open.push(transmit.attempt());
                }
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
    assert_eq!(Replay::new("PSTRTRCE\x03").err(), Some(TraceError::Damaged { at: 9 }));
}

#[test]
fn without_a_tape_it_is_a_sender() {
    let mut machine = Recorder::off(crate::sender::Sender::new(config(), SEED, Now::default()));
    assert!(machine.publish(Now::default(), Event::json("a.b", &1).unwrap().id("x")).is_ok());
    assert_eq!((machine.take(), machine.untaken(), machine.events()), (None, 0, 1));
}
