//! Journals to damage: written by a real sender through the real store, and what is true of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postrider_core::event::Event;
use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{self, Frames, Kind as Of, Record, StoreId};
use postrider_core::limits::Limits;
use postrider_core::registration::Endpoint;
use postrider_core::response::{Reply, TransportError};
use postrider_core::secret::Secret;
use postrider_core::seed::Seed;
use postrider_core::sender::{
    Config, Input, LoadError, Output, PersistBatch, PersistFailure, Restore, Sender, SnapshotPart, Transmit, Wake,
};
use postrider_core::time::{Instant, Now, UnixTime};
use postrider_journal::store::StoreError;
use postrider_journal::{Options, Store};

use crate::damage::Kind;
use crate::dice::Dice;
use crate::disk::{Disk, Op, Still};

/// What was written to a journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// Every record's frame; the first is that of record 1.
    pub(crate) frames: Vec<Bytes>,
    /// The accepted events, by the places of their records.
    pub(crate) events: BTreeMap<u64, Accepted>,
    /// The snapshots, by the numbers of their files.
    pub(crate) snapshots: BTreeMap<u64, Snapshot>,
}

/// An event that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) tenant: TenantId,
    pub(crate) id: EventId,
    /// The record that says that it ended.
    pub(crate) ended: Option<u64>,
}

/// A snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) since: u64,
    pub(crate) through: u64,
    /// Its records, encoded.
    pub(crate) bytes: Bytes,
    /// The events that are pending in it.
    pub(crate) events: Vec<u64>,
}

impl Truth {
    /// The events whose payloads are owed when the log ends with this record.
    pub(crate) fn pending(&self, last: u64) -> impl Iterator<Item = u64> + '_ {
        let accepted = self.events.range(..=last);
        accepted.filter(move |(_, event)| event.ended.is_none_or(|ended| ended > last)).map(|(seq, _)| *seq)
    }

    fn note(&mut self, batch: &PersistBatch) {
        for (key, frame) in batch.records() {
            let seq = key.seq.get();
            if let Some(known) = self.frames.get(seq as usize - 1) {
                assert_eq!(*known, frame, "a record that is issued again is the same");
                continue;
            }
            assert_eq!(seq, self.frames.len() as u64 + 1, "records are consecutive");
            match (key.kind, journal::decode(&mut frame.clone())) {
                (Of::Accepted, Ok((_, Record::Accepted(accepted)))) => {
                    let event = Accepted { tenant: accepted.tenant, id: accepted.id, ended: None };
                    self.events.insert(seq, event);
                }
                (Of::Ended, Ok(_)) => {
                    let event = key.event.and_then(|event| self.events.get_mut(&event.get()));
                    event.expect("what ends was accepted").ended = Some(seq);
                }
                (_, read) => assert!(read.is_ok(), "a sender's own records can be read"),
            }
            self.frames.push(Bytes::copy_from_slice(&frame));
        }
    }

    fn note_snapshot(&mut self, number: u64, bytes: Bytes) {
        let mut snapshot = Snapshot { bytes: bytes.clone(), ..Snapshot::default() };
        for record in Frames::new(bytes) {
            match record.expect("a sender's own snapshot can be read") {
                (_, Record::SnapshotBegin(begin)) => snapshot.since = begin.since.get(),
                (_, Record::SnapshotEnd { through }) => snapshot.through = through.get(),
                (_, Record::Event(event)) => snapshot.events.push(event.mark.event.get()),
                (_, _) => {}
            }
        }
        self.snapshots.insert(number, snapshot);
    }
}

/// A journal at every moment of its life.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) truth: Truth,
    pub(crate) stills: Vec<Still>,
    /// Moments at which a segment is made, a snapshot gets its name, and segments are rewritten or removed.
    making: [Vec<usize>; 3],
}

impl World {
    /// The moments at which this kind of crash happens; `None` for any moment.
    pub(crate) fn near(&self, kind: Kind) -> Option<&[usize]> {
        let making = [Kind::CrashSegment, Kind::CrashSnapshot, Kind::CrashCompaction];
        making.iter().position(|of| *of == kind).map(|at| &self.making[at][..])
    }

    /// The world with this number: small or large segments, many or few pending events, with or without snapshots,
    /// restarts and a disk that fails once.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut dice = Dice::new(&[seed, 1, number]);
        let mut life = Life::new(&mut dice, number);
        let steps = dice.within(40, 110);
        for _ in 0..steps {
            life.step(&mut dice);
        }
        life.settle(&mut dice);
        life.end(&mut dice)
    }
}

/// A sender and its store.
struct Life {
    disk: Disk,
    options: Options,
    store: Option<Store<Disk>>,
    sender: Sender,
    config: Config,
    now: Now,
    truth: Truth,
    /// The parts of the snapshot that is being made.
    parts: BytesMut,
    open: Vec<Transmit>,
    published: u64,
    payload: usize,
    /// Receivers fail once in so many attempts.
    fail: u64,
    faults: bool,
}

impl Life {
    fn new(dice: &mut Dice, number: u64) -> Self {
        let mut options = Options::default();
        options.segment_bytes = [4096, 8 << 10, 16 << 10, 64 << 10][dice.below(4)];
        let mut id = [0; 16];
        id.iter_mut().for_each(|byte| *byte = dice.roll() as u8);
        options.store = StoreId::from_bytes(id);
        options.reserve = 0;
        let mut limits = Limits::default();
        limits.snapshot_every = [6 << 10, 16 << 10, 40 << 10, 1 << 30][number as usize % 4];
        limits.resident = 8 << 10;
        let config = Config::new().limits(limits);
        let now = Now { mono: Instant::from_millis(1_000), wall: UnixTime::from_secs(1_800_000_000) };
        let disk = Disk::watched();
        let mut life = Self {
            store: Some(open(&disk, &options)),
            sender: Sender::new(config.clone(), Seed::from_bytes([number as u8; 32]), now),
            disk,
            options,
            config,
            now,
            truth: Truth::default(),
            parts: BytesMut::new(),
            open: Vec::new(),
            published: 0,
            payload: [64, 500, 2500][dice.below(3)],
            fail: [2, 4, 20][dice.below(3)],
            faults: dice.once_in(3),
        };
        life.sender.handle(now, Input::Credit(16));
        for at in 0..dice.within(1, 4) {
            life.put(at);
        }
        life.settle(dice);
        life
    }

    fn put(&mut self, at: usize) {
        let secret = Secret::from_bytes([at as u8 + 1; 32]).expect("32 bytes are a key");
        let endpoint = Endpoint::new(format!("e{at}"), "https://hooks.test-postrider.com/in")
            .events([["**", "order.**", "user.*", "order.paid"][at % 4]])
            .concurrency(2)
            .schedule([0, 5, 60, 600].map(Duration::from_secs))
            .signing_key(secret);
        self.sender.put(self.now, endpoint).expect("an endpoint that can be registered");
    }

    fn step(&mut self, dice: &mut Dice) {
        match dice.below(24) {
            0..10 => {
                for _ in 0..dice.within(1, 3) {
                    self.publish(dice);
                }
            }
            10..16 => self.complete(dice),
            16 => self.advance(Duration::from_millis(dice.below(4000) as u64)),
            17 => self.advance(Duration::from_secs(dice.below(900) as u64)),
            18 => {
                let at = EndpointKey::new(format!("e{}", dice.below(5))).expect("a key");
                let _ =
                    if dice.once_in(2) { self.sender.pause(self.now, &at) } else { self.sender.resume(self.now, &at) };
            }
            19 => {
                let event = EventId::new(format!("ev{}", dice.below(self.published as usize))).expect("an id");
                let _ = self.sender.cancel(self.now, &TenantId::default(), &event);
            }
            20 => self.tidy(),
            21 if dice.once_in(3) => self.restart(dice),
            22 if self.faults => self.disk.fail_sync(true),
            _ => self.sync(),
        }
        self.drain(dice);
    }

    fn publish(&mut self, dice: &mut Dice) {
        let len = dice.below(self.payload) + usize::from(dice.once_in(12)) * 3000;
        let body: Vec<u8> = match dice.below(4) {
            0 => vec![0; len],
            1 => vec![dice.roll() as u8; len],
            _ => (0..len).map(|_| dice.roll() as u8).collect(),
        };
        let event_type = ["order.paid", "order.shipped", "user.created", "nobody.cares"][dice.below(4)];
        let event = Event::raw(event_type, "application/octet-stream", Bytes::from(body)).expect("an event");
        // Refused where the world is full, which is as good.
        let _ = self.sender.publish(self.now, event.id(format!("ev{}", self.published)));
        self.published += 1;
    }

    fn complete(&mut self, dice: &mut Dice) {
        for _ in 0..dice.within(1, 6) {
            if self.open.is_empty() {
                return;
            }
            let transmit = self.open.swap_remove(dice.below(self.open.len()));
            let outcome = match dice.once_in(self.fail) {
                true if dice.once_in(2) => Err(TransportError::ConnectRefused),
                true => Ok(Reply::new(500)),
                false => Ok(Reply::new(200)),
            };
            self.sender.handle(self.now, Input::Completed { attempt: transmit.attempt(), outcome });
        }
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.advanced(by);
        self.sender.handle(self.now, Input::Tick);
    }

    fn store(&mut self) -> &mut Store<Disk> {
        self.store.as_mut().expect("the store is open but for a moment")
    }

    fn tidy(&mut self) {
        let wall = self.now.wall;
        for _ in 0..8 {
            if self.store().tidy(wall).is_err() {
                return;
            }
        }
    }

    /// Carries out what the sender asks for; batches are synced at once, or several at a time.
    fn drain(&mut self, dice: &mut Dice) {
        loop {
            match self.sender.poll_output() {
                Output::Persist(batch) => {
                    self.truth.note(&batch);
                    match self.store().append(&batch) {
                        Ok(()) if batch.is_gating() && dice.once_in(3) => self.sync(),
                        Ok(()) | Err(StoreError::OutOfOrder { .. }) => {}
                        Err(_) => self.failed(),
                    }
                }
                Output::Load(request) => {
                    let result = self.store().load(request.records());
                    assert!(!matches!(result, Err(LoadError::Corrupt)), "what is pending can be loaded");
                    self.sender.handle(self.now, Input::Loaded { request: request.id(), result });
                }
                Output::Snapshot(part) => self.snapshot(&part),
                Output::Reclaim(mark) => {
                    self.store().reclaim(mark);
                    if dice.once_in(2) {
                        self.tidy();
                    }
                }
                Output::Transmit(transmit) => self.open.push(transmit),
                Output::Abort(attempt) => {
                    self.open.retain(|open| open.attempt() != attempt);
                    let outcome = Err(TransportError::ConnectFailed);
                    self.sender.handle(self.now, Input::Completed { attempt, outcome });
                }
                Output::Notice(_) | Output::Wait(Wake::Ready) => {}
                Output::Wait(_) => return,
            }
        }
    }

    fn snapshot(&mut self, part: &SnapshotPart) {
        if part.part() == 0 {
            self.parts.clear();
        }
        self.parts.extend_from_slice(part.bytes());
        self.store().snapshot(part);
        if part.is_last() {
            let names = self.disk.names();
            let numbers = names.iter().filter_map(|name| name.strip_suffix(".snap")?.parse().ok());
            let bytes = self.parts.split().freeze();
            // Where it could not be written, the one before it is the newest, and known already.
            let newest: Option<u64> = numbers.max();
            if let Some(newest) = newest.filter(|newest| !self.truth.snapshots.contains_key(newest)) {
                self.truth.note_snapshot(newest, bytes);
            }
        }
    }

    fn sync(&mut self) {
        match self.store().sync() {
            Ok(durable) => {
                self.disk.acked(durable.get());
                self.sender.handle(self.now, Input::Persisted(durable));
            }
            Err(_) => self.failed(),
        }
    }

    fn failed(&mut self) {
        let from = self.store().durable().next();
        self.sender.handle(self.now, Input::PersistFailed { from, why: PersistFailure::Broken });
    }

    /// Everything that is written becomes durable.
    fn settle(&mut self, dice: &mut Dice) {
        for _ in 0..3 {
            self.drain(dice);
            self.sync();
        }
        self.drain(dice);
    }

    /// The process ends, well or badly, and another goes on.
    fn restart(&mut self, dice: &mut Dice) {
        if !self.is_written(dice) {
            return;
        }
        let store = self.store.take().expect("the store is open but for a moment");
        if dice.once_in(2) {
            drop(store);
        } else if store.close().is_ok() {
            self.disk.acked(self.truth.frames.len() as u64);
        }
        let store = open(&self.disk, &self.options);
        let records = store.records().map(|record| record.expect("nothing is damaged yet"));
        let sender = records.fold(Restore::new(self.config.clone()), Restore::record).finish(self.now);
        self.sender = sender.expect("nothing is lost yet");
        let durable = store.durable();
        self.disk.acked(durable.get());
        assert_eq!(durable.get(), self.truth.frames.len() as u64, "what was written survives the process");
        self.store = Some(store);
        self.open.clear();
        self.parts.clear();
        self.sender.handle(self.now, Input::Credit(16));
    }

    /// Whether everything that was issued is in the file, as it is when nothing failed.
    fn is_written(&mut self, dice: &mut Dice) -> bool {
        self.disk.fail_sync(false);
        if self.store().last().get() < self.truth.frames.len() as u64 {
            self.settle(dice);
        }
        self.store().last().get() == self.truth.frames.len() as u64
    }

    fn end(mut self, dice: &mut Dice) -> World {
        let is_written = self.is_written(dice);
        let store = self.store.take().expect("the store is open but for a moment");
        if is_written && dice.once_in(2) && store.close().is_ok() {
            self.disk.acked(self.truth.frames.len() as u64);
        }
        let stills = self.disk.stills();
        let making = [is_making, is_naming, is_replacing].map(|of: fn(&Still) -> bool| {
            stills.iter().enumerate().filter(|(_, still)| of(still)).map(|(at, _)| at).collect()
        });
        World { options: self.options, truth: self.truth, stills, making }
    }
}

fn is_making(still: &Still) -> bool {
    still.name.strip_suffix(".tmp").is_some_and(|name| name.ends_with(".seg") && still.state.content(name).is_none())
        || still.op == Op::Rename && still.name.ends_with(".seg") && still.state.content(&still.name).is_none()
}

fn is_naming(still: &Still) -> bool {
    still.name.ends_with(".snap") || still.name.ends_with(".snap.tmp")
}

fn is_replacing(still: &Still) -> bool {
    let there = |name: &str| name.ends_with(".seg") && still.state.content(name).is_some();
    match still.op {
        Op::Rename | Op::Remove => there(&still.name),
        Op::Create | Op::Write | Op::SetLen | Op::Sync | Op::SyncDir | Op::End => {
            still.name.strip_suffix(".tmp").is_some_and(there)
        }
    }
}

fn open(disk: &Disk, options: &Options) -> Store<Disk> {
    Store::open(disk.clone(), options.clone(), UnixTime::EPOCH).expect("nothing is damaged yet")
}

/// The number of a snapshot's file.
pub(crate) fn snapshot_name(number: u64) -> Arc<str> {
    Arc::from(format!("{number:010}.snap"))
}

/// The place of a record.
pub(crate) const fn seq(at: u64) -> JournalSeq {
    JournalSeq::new(at)
}
