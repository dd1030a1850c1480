//! The thread of a log: what waits is written, synced once, and told.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use postrider_core::id::JournalSeq;
use postrider_core::limits::{LINGER, LINGER_RECORDS};
use postrider_core::sender::{Input, LoadRequest, PersistBatch, PersistFailure, SnapshotPart, Watermark};

use super::syncer::Syncer;
use super::wall;
use crate::history::Query;
use crate::lock::Lock;
use crate::store::{StoreError, Syncing, Tidied};
use crate::{Answered, Done, StdDisk, StdFile, Store, Tell};

/// Jobs taken before what they wrote is synced, at most.
const TURN: usize = 256;

/// Under load, a piece of tidying is done this often.
const TIDY_EVERY: Duration = Duration::from_millis(50);

/// When there is nothing to tidy, or it failed, it is looked at again after this time.
const TIDY_AGAIN: Duration = Duration::from_secs(10);

/// How often room is looked at while the log is full.
const ROOM_AGAIN: Duration = Duration::from_millis(200);

/// A change of room is told when it is as many bytes.
const ROOM_STEP: u64 = 1 << 20;

/// What the thread is asked to do.
pub(super) enum Job {
    Append(PersistBatch, Done),
    Load(LoadRequest, Done),
    Snapshot(SnapshotPart),
    Reclaim(Watermark),
    History(Query, Answered),
    Attach(Tell),
    /// A sync has ended.
    Synced(Syncing<StdFile>, io::Result<()>),
    /// Nobody will ask any more.
    Close,
}

pub(super) struct Worker {
    store: Store<StdDisk>,
    jobs: Receiver<Job>,
    /// What came while the end of a sync was waited for.
    came: VecDeque<Job>,
    syncer: Syncer,
    /// A sync is under way.
    syncing: bool,
    closing: bool,
    /// Appended and not told to be durable: the last record of each batch, and its answer.
    waiting: VecDeque<(JournalSeq, Done)>,
    /// Something waits for what was appended.
    gating: bool,
    /// How many records were appended that nothing waits for, and when the first came.
    lingering: Option<(Instant, usize)>,
    /// A write failed: batches that were issued before the machine heard of it still come.
    failed: bool,
    /// To be answered after the next sync.
    later: VecDeque<Job>,
    room: Room,
    tidied: Instant,
    /// When there may be something to tidy.
    tidy_at: Instant,
}

/// What the machine knows of the room that there is.
#[derive(Default)]
struct Room {
    tell: Option<Tell>,
    told: Option<u64>,
    /// The machine waits for room, and is told even of the reserve: what it holds would bring some.
    full: bool,
}

impl Worker {
    pub(super) fn new(store: Store<StdDisk>, jobs: Receiver<Job>, syncer: Syncer) -> Self {
        let now = Instant::now();
        Self {
            store,
            jobs,
            came: VecDeque::new(),
            syncer,
            syncing: false,
            closing: false,
            waiting: VecDeque::new(),
            gating: false,
            lingering: None,
            failed: false,
            later: VecDeque::new(),
            room: Room::default(),
            tidied: now,
            tidy_at: now,
        }
    }

    /// Works until nobody can ask any more; then everything is durable. The directory is let go of at the end.
    pub(super) fn run(mut self, lock: Lock) -> Result<(), StoreError> {
        while self.turn() {}
        self.end_sync();
        let synced = self.store.sync();
        self.committed(synced);
        while let Some(job) = self.later.pop_front() {
            self.answer(job);
        }
        let closed = self.store.close();
        drop(lock);
        closed
    }

    /// Takes what waits, syncs when it must, then does what can wait. False at the end.
    fn turn(&mut self) -> bool {
        let came = self.came.pop_front().map(Ok);
        let first = came.unwrap_or_else(|| match self.patience() {
            Some(Duration::ZERO) => self.jobs.try_recv().map_err(|error| error == TryRecvError::Disconnected),
            Some(time) => self.jobs.recv_timeout(time).map_err(|error| error == RecvTimeoutError::Disconnected),
            None => self.jobs.recv().map_err(|_| true),
        });
        let worked = match first {
            Err(true) => return false,
            Err(false) => false,
            Ok(job) => {
                self.take(job);
                for _ in 1..TURN {
                    // Behind what came before it.
                    let Some(job) = self.came.pop_front().or_else(|| self.jobs.try_recv().ok()) else { break };
                    self.take(job);
                }
                true
            }
        };
        if self.must_commit() {
            self.commit();
        }
        if self.closing {
            return false;
        }
        if let Some(job) = self.later.pop_front() {
            self.answer(job);
        } else if !worked || self.tidied.elapsed() >= TIDY_EVERY {
            self.tidy();
        }
        if !self.syncing {
            self.tell_room();
        }
        true
    }

    /// How long to wait for the next job; for ever if nothing else will come up.
    fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        if self.gating && !self.syncing || !self.later.is_empty() {
            return Some(Duration::ZERO);
        }
        // While a sync is under way its end is what comes next.
        let sync = self.lingering.filter(|_| !self.syncing).map(|(since, _)| since + LINGER);
        let room = self.room.full.then(|| now + ROOM_AGAIN);
        let next = sync.into_iter().chain(room).fold(self.tidy_at, Instant::min);
        Some(next.saturating_duration_since(now))
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Append(batch, done) => self.append(&batch, done),
            Job::Snapshot(part) => self.store.snapshot(&part),
            Job::Reclaim(mark) => {
                self.store.reclaim(mark);
                self.tidy_at = Instant::now();
            }
            Job::Attach(tell) => self.room.tell = Some(tell),
            Job::Load(..) | Job::History(..) => self.later.push_back(job),
            Job::Synced(syncing, synced) => {
                self.syncing = false;
                let ended = self.store.end_sync(&syncing, synced);
                self.committed(ended);
                self.tell_room();
            }
            Job::Close => self.closing = true,
        }
    }

    fn append(&mut self, batch: &PersistBatch, done: Done) {
        if !self.store.fits(batch) {
            // The segment is about to be closed, and has to be durable then.
            self.end_sync();
        }
        let durable = self.store.durable();
        match self.store.append(batch) {
            Ok(()) => {
                self.failed = false;
                self.waiting.push_back((batch.last(), done));
                if batch.is_gating() {
                    self.gating = true;
                } else {
                    let records = (batch.last().get() - batch.first().get()).saturating_add(1);
                    let (_, all) = self.lingering.get_or_insert_with(|| (Instant::now(), 0));
                    *all = all.saturating_add(usize::try_from(records).unwrap_or(usize::MAX));
                }
                if self.store.durable() > durable {
                    // The segment before was full, and was synced.
                    self.room.full = false;
                }
            }
            // The machine issued it before it heard of the failure, and will issue it again.
            Err(StoreError::OutOfOrder { next, first }) if self.failed && next < first => {
                done(Input::Persisted(self.store.durable()));
            }
            Err(error) => self.fail(&error, Some((batch.last(), done))),
        }
    }

    fn must_commit(&self) -> bool {
        let lingered = |(since, records): (Instant, usize)| records >= LINGER_RECORDS || since.elapsed() >= LINGER;
        !self.syncing && (self.gating || self.lingering.is_some_and(lingered))
    }

    /// One sync for everything that was appended. What is appended meanwhile waits for the next one.
    fn commit(&mut self) {
        (self.gating, self.lingering) = (false, None);
        let Some(syncing) = self.store.begin_sync() else {
            self.committed(Ok(self.store.durable()));
            return;
        };
        self.syncing = true;
        if let Err(syncing) = self.syncer.sync(syncing) {
            let synced = syncing.run();
            self.take(Job::Synced(syncing, synced));
        }
    }

    /// Waits for the sync that is under way; what comes meanwhile is taken after it.
    fn end_sync(&mut self) {
        let mut others = VecDeque::new();
        while self.syncing {
            match self.jobs.recv() {
                Ok(job @ Job::Synced(..)) => self.take(job),
                Ok(job) => others.push_back(job),
                Err(_) => self.syncing = false,
            }
        }
        self.came.append(&mut others);
    }

    fn committed(&mut self, synced: Result<JournalSeq, StoreError>) {
        match synced {
            Ok(durable) => {
                self.room.full = false;
                while let Some((_, done)) = self.waiting.pop_front_if(|(last, _)| *last <= durable) {
                    done(Input::Persisted(durable));
                }
            }
            Err(error) => self.fail(&error, None),
        }
    }

    fn answer_all(&mut self, mut answer: impl FnMut(JournalSeq, Done)) {
        (self.gating, self.lingering) = (false, None);
        self.waiting.drain(..).for_each(|(last, done)| answer(last, done));
    }

    /// Nothing that is not durable counts. The machine hears first what is durable, then once of the failure; whatever
    /// else was appended or tried hears again what is durable.
    fn fail(&mut self, error: &StoreError, tried: Option<(JournalSeq, Done)>) {
        self.failed = true;
        let why = match error {
            StoreError::Full => PersistFailure::Full,
            StoreError::Broken { .. } | StoreError::OutOfOrder { .. } | StoreError::NotSettled => {
                PersistFailure::Broken
            }
        };
        self.room.full = why == PersistFailure::Full;
        let durable = self.store.durable();
        let mut failure = Some(Input::PersistFailed { from: durable.next(), why });
        self.waiting.extend(tried);
        self.answer_all(|last, done| {
            let failure = if last > durable { failure.take() } else { None };
            done(failure.unwrap_or(Input::Persisted(durable)));
        });
        self.tidy_at = Instant::now();
    }

    fn answer(&mut self, job: Job) {
        match job {
            Job::Load(request, done) => {
                let result = self.store.load(request.records());
                done(Input::Loaded { request: request.id(), result });
            }
            Job::History(query, done) => done(self.store.history(&query, wall())),
            Job::Append(..) | Job::Snapshot(_) | Job::Reclaim(_) | Job::Attach(_) | Job::Synced(..) | Job::Close => {}
        }
    }

    fn tidy(&mut self) {
        let now = Instant::now();
        if now < self.tidy_at {
            return;
        }
        self.tidied = now;
        match self.store.tidy(wall()) {
            Ok(Tidied::Worked) => {}
            Ok(Tidied::Trimmed { events, before }) => self.room.say(Input::Trimmed { events, before }),
            Ok(Tidied::Nothing) | Err(_) => self.tidy_at = now + TIDY_AGAIN,
        }
    }

    /// Tells the room that there is, when that has changed much or is waited for.
    fn tell_room(&mut self) {
        if self.room.tell.is_none() {
            return;
        }
        let room = if self.room.full { self.store.free() } else { self.store.room() };
        let Some(room) = room else { return };
        let step = ROOM_STEP.min(room / 16);
        if self.room.full || self.room.told.is_none_or(|told| told.abs_diff(room) > step) {
            self.room.told = Some(room);
            self.room.say(Input::Room(room));
        }
    }
}

impl Room {
    fn say(&self, input: Input) {
        if let Some(tell) = &self.tell {
            tell(input);
        }
    }
}
