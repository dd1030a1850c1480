//! A log in memory, which forgets what was not acknowledged when it is cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{Frames, Kind, Record};
use postrider_core::sender::{
    Config, LoadError, LoadRequest, PersistBatch, Restore, RestoreError, Sender, SnapshotPart, Watermark,
};
use postrider_core::time::Now;

/// Records that a sender has written, its newest complete snapshot, and the batches that wait for their
/// acknowledgement. A crash may keep any prefix of those.
#[derive(Clone, Default)]
pub struct MemoryLog {
    records: BTreeMap<JournalSeq, Bytes>,
    /// Events that have not ended: their accepted records stay.
    owed: BTreeSet<JournalSeq>,
    waiting: VecDeque<PersistBatch>,
    /// The snapshot that is being written.
    parts: Vec<Bytes>,
    snapshot: Option<(u64, Vec<Bytes>)>,
    durable: JournalSeq,
}

impl fmt::Debug for MemoryLog {
    /// Without the records: they hold secrets and payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog")
            .field("records", &self.records.len())
            .field("waiting", &self.waiting)
            .field("snapshot", &self.snapshot.as_ref().map(|(number, _)| number))
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a batch; it is not durable yet.
    pub fn append(&mut self, batch: PersistBatch) {
        self.waiting.push_back(batch);
    }

    /// Makes the oldest batch durable. Returns its last record, for [`Input::Persisted`], and its records.
    ///
    /// [`Input::Persisted`]: postrider_core::sender::Input::Persisted
    pub fn sync_one(&mut self) -> Option<(JournalSeq, Vec<(JournalSeq, Record)>)> {
        let batch = self.waiting.pop_front()?;
        for (key, frame) in batch.records() {
            if key.kind == Kind::Accepted {
                self.owed.insert(key.seq);
            } else if key.kind == Kind::Ended {
                self.owed.remove(&key.event.unwrap_or_default());
            }
            self.records.insert(key.seq, frame);
        }
        self.durable = batch.last();
        Some((batch.last(), read(batch.bytes())))
    }

    /// Fails everything that is not durable. Returns the first record of it, for [`Input::PersistFailed`].
    ///
    /// [`Input::PersistFailed`]: postrider_core::sender::Input::PersistFailed
    pub fn fail(&mut self) -> Option<JournalSeq> {
        let first = self.waiting.front()?.first();
        self.waiting.clear();
        Some(first)
    }

    /// Takes a part of a snapshot; with its last part it is complete and replaces the one before.
    pub fn snapshot(&mut self, part: &SnapshotPart) {
        if part.part() == 0 {
            self.parts.clear();
        }
        self.parts.push(part.bytes().clone());
        if part.is_last() {
            self.snapshot = Some((part.number(), std::mem::take(&mut self.parts)));
        }
    }

    /// Forgets what the sender says that the log need not keep.
    ///
    /// # Panics
    /// When the snapshot that makes it unnecessary is not there.
    pub fn reclaim(&mut self, watermark: Watermark) {
        let there = self.snapshot.as_ref().map(|(number, _)| *number);
        assert_eq!(there, Some(watermark.snapshot()), "records may only go for a snapshot that is complete");
        self.records.retain(|seq, _| *seq >= watermark.needed_from() || self.owed.contains(seq));
    }

    /// Reads records back.
    pub fn load(&self, request: &LoadRequest) -> Result<Vec<(JournalSeq, Record)>, LoadError> {
        let frames = request.records().iter().map(|seq| self.records.get(seq).ok_or(LoadError::Corrupt));
        let frames = frames.collect::<Result<Vec<_>, _>>()?;
        Ok(frames.into_iter().flat_map(read).collect())
    }

    /// The process dies: what was not acknowledged is lost, but for the first `survive` batches that happened to reach
    /// the disk, and a snapshot without an end is void. Returns what survived beyond the acknowledged.
    pub fn cut(&mut self, survive: usize) -> Vec<(JournalSeq, Record)> {
        let survive = survive.min(self.waiting.len());
        let survived = (0..survive).filter_map(|_| self.sync_one()).flat_map(|(_, records)| records).collect();
        self.waiting.clear();
        self.parts.clear();
        survived
    }

    /// A sender from what is durable: the snapshot, then the records.
    pub fn restore(&self, config: Config, now: Now) -> Result<Sender, RestoreError> {
        let snapshot = self.snapshot.iter().flat_map(|(_, parts)| parts).flat_map(read);
        let records = self.records.values().flat_map(read);
        snapshot.chain(records).fold(Restore::new(config), Restore::record).finish(now)
    }

    /// The last record that is durable.
    pub fn durable(&self) -> JournalSeq {
        self.durable
    }

    /// The last record that it was given.
    pub fn last(&self) -> JournalSeq {
        self.waiting.back().map_or(self.durable, PersistBatch::last)
    }

    /// Batches that are not acknowledged.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Records that it keeps.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it keeps no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

fn read(bytes: &Bytes) -> Vec<(JournalSeq, Record)> {
    Frames::new(bytes.clone()).map(|frame| frame.expect("the sender's own records can be read")).collect()
}
