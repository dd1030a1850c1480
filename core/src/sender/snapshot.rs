//! Snapshots, written while the machine runs, and what they make unnecessary.
//!
//! A snapshot is fuzzy: its parts are taken at different moments. That is sound because records are absolute. Whatever
//! a part shows too new is said again by a record behind the snapshot's beginning, and replaying those records brings
//! every entity to its last state. A part never shows what is not durable when the snapshot is complete: its last part
//! waits until every record made before it is acknowledged.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::fmt;
use core::time::Duration;

use super::Sender;
use super::contract::{Output, SnapshotPart, Watermark};
use super::deliveries::Place;
use super::drain::Step;
use super::jobs::Work;
use crate::id::JournalSeq;
use crate::journal::{self, Accepted, Due, EventRecord, Mark, Record, Remembered, SnapshotBegin};
use crate::limits;
use crate::time::UnixTime;

/// Entries looked at in one step, at most.
const PIECE: u32 = 1024;

/// When snapshots are taken, and the one that is being taken.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// Bytes of records since the last one began.
    since: u64,
    /// Bytes of the last one.
    size: u64,
    number: u64,
    current: Option<Current>,
    watermark: Option<Watermark>,
}

struct Current {
    begin: JournalSeq,
    part: u32,
    size: u64,
    phase: Phase,
    bytes: BytesMut,
    /// The last record whose effects it may show; set when everything has been looked at.
    through: Option<JournalSeq>,
    durable: bool,
}

impl fmt::Debug for Current {
    /// Without the records: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { begin, part, size, phase, bytes, through, durable } = self;
        f.debug_struct("Current")
            .field("begin", begin)
            .field("part", part)
            .field("size", size)
            .field("phase", phase)
            .field("bytes", &bytes.len())
            .field("through", through)
            .field("durable", durable)
            .finish()
    }
}

/// What is being looked at, and from which entry on.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Endpoints(u32),
    Tenants(u32),
    Events(u32),
    Deliveries(u32),
    Lanes(u32),
    Remembered(u32),
    End,
}

impl Snapshots {
    pub(crate) fn note_record(&mut self, bytes: u64) {
        self.since += bytes;
    }

    pub(crate) fn note_durable(&mut self, durable: JournalSeq) {
        if let Some(current) = &mut self.current {
            current.durable = current.through.is_some_and(|through| through <= durable);
        }
    }

    /// There are at least four times as many bytes of records between two snapshots as a snapshot has, so that the work stays
    /// proportional to what is recorded.
    fn is_due(&self, every: u64) -> bool {
        self.since >= every.max(self.size.saturating_mul(4))
    }

    /// Whether a step would do something, when snapshots are to be `every` so many bytes of records apart.
    pub(crate) fn is_ready(&self, every: u64) -> bool {
        match &self.current {
            Some(current) => current.through.is_none() || current.durable,
            None => self.is_due(every) || self.watermark.is_some(),
        }
    }
}

impl Sender {
    /// A step towards the next snapshot.
    pub(super) fn step_snapshot(&mut self) -> Step {
        if let Some(watermark) = self.snapshots.watermark.take() {
            return Step::Effect(Output::Reclaim(watermark));
        }
        if !self.snapshots.is_ready(self.limits.snapshot_every) {
            return Step::Nothing;
        }
        let Some(mut current) = self.snapshots.current.take() else {
            self.begin_snapshot();
            return Step::Worked;
        };
        let mut looked = 0;
        while current.through.is_none() && current.bytes.len() < limits::SNAPSHOT_PART / 2 {
            looked += self.snapshot_some(&mut current);
            if let Phase::End = current.phase {
                current.through = Some(self.outbox.last());
                current.durable = self.outbox.durable() == self.outbox.last();
            }
            if looked >= PIECE {
                break;
            }
        }
        let full = current.bytes.len() >= limits::SNAPSHOT_PART / 2;
        let Some(through) = current.through.filter(|_| current.durable) else {
            let part = full.then(|| self.take_part(&mut current, false));
            self.snapshots.current = Some(current);
            return part.map_or(Step::Worked, |part| Step::Effect(Output::Snapshot(part)));
        };
        self.add(&mut current, &Record::SnapshotEnd { through });
        let part = self.take_part(&mut current, true);
        self.snapshots.size = current.size;
        let needed_from = current.begin.next();
        self.snapshots.watermark = Some(Watermark { snapshot: part.number, needed_from });
        Step::Effect(Output::Snapshot(part))
    }

    fn begin_snapshot(&mut self) {
        self.snapshots.since = 0;
        self.snapshots.number += 1;
        let begin = self.outbox.last();
        let mut current = Current {
            begin,
            part: 0,
            size: 0,
            phase: Phase::Endpoints(0),
            bytes: BytesMut::new(),
            through: None,
            durable: false,
        };
        let record = Record::SnapshotBegin(SnapshotBegin {
            since: begin,
            seed: self.seed,
            incarnation: self.incarnation,
            next_subscription: self.next_subscription,
        });
        self.add(&mut current, &record);
        self.snapshots.current = Some(current);
    }

    fn add(&self, current: &mut Current, record: &Record) {
        let before = current.bytes.len();
        journal::encode(JournalSeq::ZERO, record, &mut current.bytes);
        current.size += (current.bytes.len() - before) as u64;
    }

    fn take_part(&self, current: &mut Current, last: bool) -> SnapshotPart {
        let part = current.part;
        current.part += 1;
        SnapshotPart { number: self.snapshots.number, part, last, bytes: current.bytes.split().freeze() }
    }

    /// Adds the next entry or passes over some; says how many it looked at.
    fn snapshot_some(&self, current: &mut Current) -> u32 {
        match current.phase {
            Phase::Endpoints(at) if at < self.endpoints.slab.end() => {
                current.phase = Phase::Endpoints(at + 1);
                self.snapshot_endpoint(current, at);
            }
            Phase::Endpoints(_) => current.phase = Phase::Tenants(0),
            Phase::Tenants(at) if at < self.tenants.end() => {
                current.phase = Phase::Tenants(at + 1);
                let synced = self.tenants.get(at).and_then(|tenant| Some((tenant.id.clone(), tenant.synced?)));
                if let Some((tenant, (revision, _))) = synced {
                    self.add(current, &Record::Synced { tenant, revision, at: self.now.wall });
                }
            }
            Phase::Tenants(_) => current.phase = Phase::Events(0),
            Phase::Events(at) if at < self.jobs.slab.end() => {
                current.phase = Phase::Events(at + 1);
                self.snapshot_event(current, at);
            }
            Phase::Events(_) => current.phase = Phase::Deliveries(0),
            Phase::Deliveries(at) if at < self.deliveries.end() => {
                current.phase = Phase::Deliveries(at + 1);
                self.snapshot_delivery(current, at);
            }
            Phase::Deliveries(_) => current.phase = Phase::Lanes(0),
            Phase::Lanes(at) if at < self.lanes.slab.end() => {
                current.phase = Phase::Lanes(at + 1);
                self.snapshot_lane(current, at);
            }
            Phase::Lanes(_) => current.phase = Phase::Remembered(0),
            Phase::Remembered(at) if at < self.repeats.end() => {
                current.phase = Phase::Remembered(at + 1);
                self.snapshot_remembered(current, at);
            }
            Phase::Remembered(_) => current.phase = Phase::End,
            Phase::End => {}
        }
        1
    }

    fn snapshot_remembered(&self, current: &mut Current, at: u32) {
        let Some((known, tenant, age)) = self.repeats.get(at, self.now.mono) else { return };
        let record = Record::Remembered(Box::new(Remembered {
            event: known.seq,
            name: known.name.to_bytes(),
            id: known.event.clone(),
            digest: known.digest,
            at: self.now.wall.saturating_sub(age),
            tenant: Some(self.tenants[tenant].id.clone()),
        }));
        self.add(current, &record);
    }

    fn snapshot_endpoint(&self, current: &mut Current, at: u32) {
        let Some(slot) = self.endpoints.slab.get(at).filter(|slot| !slot.removed) else { return };
        self.add(current, &Record::Endpoint(Box::new(self.endpoint_record(&slot.standing()))));
        let further = [self.consent_record(at), slot.key_use.as_ref().map(|uses| uses.record(&slot.key, self.now))];
        further.iter().flatten().for_each(|record| self.add(current, record));
        if !slot.breaker.is_closed() || slot.streak.failures() > 0 {
            self.add(current, &Record::Health(Box::new(self.health_of(slot))));
        }
    }

    fn snapshot_event(&self, current: &mut Current, at: u32) {
        let Some(job) = self.jobs.slab.get(at) else { return };
        #[cfg(postrider_planted)]
        if crate::planted::breaks(22) && !job.has_passed_all() {
            return;
        }
        let open = if job.in_flight() > 0 { self.open_of(at) } else { Vec::new() };
        let passed_all = job.has_passed_all();
        let work = job.work().filter(|_| !passed_all);
        let mark = Mark { event: job.seq, through: work.map_or(0, |work| work.through), open };
        let tenant = self.tenants[job.tenant].id.clone();
        let awake = work.and_then(|work| Some((work.event_type.as_ref()?, work.high_water)));
        let asleep = || self.jobs.asleep.find(job.seq).filter(|_| !passed_all);
        let (event_type, high_water) = awake.or_else(asleep).unzip();
        let accepted = Accepted {
            id: self.jobs.id(at),
            tenant,
            event_type: event_type.map(ToString::to_string).unwrap_or_default(),
            time: UnixTime::EPOCH,
            content_type: None,
            payload: Bytes::new(),
            key: self.jobs.threads.key(at).cloned(),
            idempotency: None,
            expires: self.jobs.expires(at),
            digest: job.digest,
            high_water: high_water.unwrap_or_default(),
            at: job.at,
            replay: self.jobs.replays.get(at).cloned().map(Box::new),
        };
        let beyond = |work: &Work| work.skip.iter().copied().filter(|number| *number > work.through).collect();
        let record = Record::Event(Box::new(EventRecord {
            mark,
            passed_all,
            cancelled: self.is_void(at),
            accepted,
            payload_len: self.accounts.bytes(at),
            done: work.map(beyond).unwrap_or_default(),
        }));
        self.add(current, &record);
    }

    fn snapshot_delivery(&self, current: &mut Current, at: u32) {
        let Some(delivery) = self.deliveries.get(at) else { return };
        let delay = match delivery.place {
            Place::Timer | Place::Laned => delivery.due.saturating_since(self.now.mono),
            Place::Nowhere | Place::Ready | Place::Stalled | Place::InFlight => Duration::ZERO,
        };
        #[cfg(postrider_planted)]
        if crate::planted::breaks(20) && delay > Duration::from_secs(64) {
            return;
        }
        let record = Record::Pending {
            event: self.jobs.slab[delivery.event].seq,
            subscription: delivery.subscription,
            attempts: delivery.attempts,
            due: Due { written: self.now.wall, delay },
            lane: self.lanes.laned(at).filter(|_| self.endpoints.slab[delivery.endpoint].laned > 0),
        };
        self.add(current, &record);
    }

    /// Behind the events: what is said of an event that had ended by then is known to its lane.
    fn snapshot_lane(&self, current: &mut Current, at: u32) {
        let Some((endpoint, key, last)) = self.lane_record(at) else { return };
        self.add(current, &Record::Lane { endpoint, key, last });
    }
}
