//! Where a node keeps its records: the seam at which a store of your own goes into the simulator.
//!
//! A [`Store`] is one process's view of what is kept; [`Stores`] opens it at every start of a node, over a disk that
//! outlives the process. The world plays the log's thread: it appends batches as they come, syncs them together after
//! as long as its disk takes, and a crash may fall anywhere in between.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{Frames, Record};
use postrider_core::sender::{LoadError, PersistBatch, SnapshotPart, Watermark};
use postrider_core::time::UnixTime;
use postrider_journal::history::{Answer, HistoryError, Query};
use postrider_journal::store::Tidied;

use crate::disk::SimDisk;
use crate::profile::Profile;

/// A store of one node, while a process has it open.
pub trait Store {
    /// Writes records; they need not be durable before [`sync`](Self::sync) has returned.
    fn append(&mut self, batch: &PersistBatch) -> Result<(), Failure>;

    /// Makes durable what was appended, and says which record is the last that is. After a failure of this or of
    /// [`append`](Self::append) what is not durable comes again, with the same numbers.
    fn sync(&mut self) -> Result<JournalSeq, Failure>;

    /// Reads records back.
    fn load(&mut self, wanted: &[JournalSeq]) -> Result<Vec<(JournalSeq, Record)>, LoadError>;

    /// Takes a part of a snapshot.
    fn snapshot(&mut self, part: &SnapshotPart);

    /// Learns what is no longer needed.
    fn reclaim(&mut self, mark: Watermark);

    /// Does one piece of housekeeping.
    fn tidy(&mut self, wall: UnixTime) -> Result<Tidied, Failure>;

    /// Answers a question about what has ended. What is not a store's to keep need not be answered.
    fn history(&mut self, query: &Query, wall: UnixTime) -> Result<Answer, HistoryError> {
        let _ = (query, wall);
        Err(HistoryError::NotKept)
    }

    /// Bytes that it can still take.
    fn room(&mut self) -> Option<u64>;
}

/// Why a store did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A write or a sync failed.
    Broken,
    /// There is no room.
    Full,
}

/// A store as it was found.
pub struct Opened {
    /// The store.
    pub store: Box<dyn Store>,
    /// What a machine is restored from: the newest snapshot's records, numbered 0, then those behind it.
    pub records: Vec<(JournalSeq, Record)>,
    /// Events that it reports as lost.
    pub lost: Vec<String>,
    /// Runs of records that it reports as lost, first and last.
    pub missing: Vec<(JournalSeq, JournalSeq)>,
}

impl fmt::Debug for Opened {
    /// Without the records, in which there are keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("records", &self.records.len())
            .field("lost", &self.lost)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

/// Why a store cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// It is damaged, and says where; these events are named as lost.
    Damaged(String, Vec<String>),
    /// The disk did not do what was asked; trying again may help.
    Io(String),
}

/// Opens the stores of nodes.
pub trait Stores {
    /// Opens what a node has on its disk, or begins anew on an empty one. With `salvage`, damage is no reason to
    /// refuse: everything intact is there, and what is lost is named.
    fn open(&mut self, disk: &SimDisk, profile: &Profile, wall: UnixTime, salvage: bool) -> Result<Opened, Unopened>;

    /// Whether what it acknowledged survives a loss of power; otherwise nodes are only killed.
    fn is_durable(&self) -> bool {
        true
    }

    /// Takes from a disk that no process uses whatever a node's log does not need, above all what was purged and erased,
    /// as people do by hand. False where nothing is promised of that.
    fn compact(&mut self, disk: &SimDisk, profile: &Profile, wall: UnixTime) -> Result<bool, String> {
        let _ = (disk, profile, wall);
        Ok(false)
    }
}

/// Stores that keep their records in memory, outside of the process that dies: the simplest that can be, and an example
/// of one of your own.
///
/// ```
/// use postrider_sim::profile::Scale;
/// use postrider_sim::store::InMemory;
/// use postrider_sim::world::{Cast, World};
///
/// let cast = Cast { stores: Box::new(InMemory::default()), ..Cast::usual() };
/// let verdict = World::new(7, &Scale::hours(1), cast).run();
/// assert_eq!(verdict.broken, None);
/// ```
#[derive(Debug, Default)]
pub struct InMemory {
    /// What survives of each node, by the identity of its disk.
    nodes: Vec<(SimDisk, Arc<Mutex<Kept>>)>,
}

#[derive(Clone, Default)]
struct Kept {
    records: BTreeMap<JournalSeq, Bytes>,
    snapshot: Vec<Bytes>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("records", &self.records.len()).finish_non_exhaustive()
    }
}

struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    appended: Vec<PersistBatch>,
    durable: JournalSeq,
    parts: Vec<Bytes>,
}

impl Stores for InMemory {
    fn open(&mut self, disk: &SimDisk, _: &Profile, _: UnixTime, _: bool) -> Result<Opened, Unopened> {
        let kept = match self.nodes.iter().find(|(known, _)| known.is(disk)) {
            Some((_, kept)) => Arc::clone(kept),
            None => {
                let kept = Arc::<Mutex<Kept>>::default();
                self.nodes.push((disk.clone(), Arc::clone(&kept)));
                kept
            }
        };
        let records: Vec<_> = {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.snapshot.iter().chain(kept.records.values()).flat_map(read).collect()
        };
        let durable = records.last().map_or(JournalSeq::ZERO, |(seq, _)| *seq);
        let store = Box::new(MemoryStore { kept, appended: Vec::new(), durable, parts: Vec::new() });
        Ok(Opened { store, records, lost: Vec::new(), missing: Vec::new() })
    }

    fn is_durable(&self) -> bool {
        false
    }
}

fn read(bytes: &Bytes) -> Vec<(JournalSeq, Record)> {
    Frames::new(bytes.clone()).map(|frame| frame.expect("a machine's own records can be read")).collect()
}

impl Store for MemoryStore {
    fn append(&mut self, batch: &PersistBatch) -> Result<(), Failure> {
        self.appended.push(batch.clone());
        Ok(())
    }

    fn sync(&mut self) -> Result<JournalSeq, Failure> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in self.appended.drain(..) {
            kept.records.extend(batch.records().map(|(key, frame)| (key.seq, frame)));
            self.durable = batch.last();
        }
        Ok(self.durable)
    }

    fn load(&mut self, wanted: &[JournalSeq]) -> Result<Vec<(JournalSeq, Record)>, LoadError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = wanted.iter().map(|seq| kept.records.get(seq).ok_or(LoadError::Corrupt));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flat_map(read).collect())
    }

    fn snapshot(&mut self, part: &SnapshotPart) {
        if part.part() == 0 {
            self.parts.clear();
        }
        self.parts.push(part.bytes().clone());
        if part.is_last() {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).snapshot = std::mem::take(&mut self.parts);
        }
    }

    fn reclaim(&mut self, mark: Watermark) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.records = kept.records.split_off(&mark.needed_from());
    }

    fn tidy(&mut self, _: UnixTime) -> Result<Tidied, Failure> {
        Ok(Tidied::Nothing)
    }

    fn room(&mut self) -> Option<u64> {
        None
    }
}
