//! A log that dies with its process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{Frames, Kind};
use postrider_core::sender::{Input, LoadError, LoadRequest, PersistBatch, SnapshotPart, Watermark};

use crate::{Done, Durability, Log, LogError, Records};

/// A log in memory: acknowledges at once, within [`append`](Log::append), and never fails.
///
/// [`new`](Self::new) keeps the accepted events that have not ended, so that a machine can let go of their payloads and
/// load them again; a machine cannot be restored from it. [`keeping`](Self::keeping) keeps everything that restoring
/// needs, as a log on disk does: for tests, and for a sender that is taken down and put up again within one process.
///
/// A clone is the same log.
#[derive(Clone, Default)]
pub struct MemoryLog {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// Keep every record, not only accepted events that have not ended.
    all: bool,
    frames: BTreeMap<JournalSeq, Bytes>,
    /// Bytes of `frames`.
    bytes: usize,
    /// Parts of the newest complete snapshot.
    snapshot: Vec<Bytes>,
    /// Parts of the one that has no end yet.
    partial: Vec<Bytes>,
}

impl MemoryLog {
    /// A log that keeps the events that have not ended, and nothing else. Its memory is that of their records.
    pub fn new() -> Self {
        Self::default()
    }

    /// A log that keeps every record until it is reclaimed, so that a machine can be restored from a clone of it.
    pub fn keeping() -> Self {
        let log = Self::new();
        log.kept().all = true;
        log
    }

    /// How many records it keeps, those of snapshots aside.
    pub fn len(&self) -> usize {
        self.kept().frames.len()
    }

    /// Whether it keeps no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the records that it keeps, those of snapshots aside.
    pub fn bytes(&self) -> usize {
        self.kept().bytes
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked while holding it had not begun to change it, or had finished.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for MemoryLog {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn records(&mut self) -> Records<'_> {
        let kept = self.kept();
        if !kept.all {
            return Box::new(std::iter::empty());
        }
        let parts: Vec<_> = kept.snapshot.iter().chain(kept.frames.values()).cloned().collect();
        Box::new(
            parts.into_iter().flat_map(Frames::new).map(|read| {
                read.map_err(|why| LogError::Damaged { place: "in memory".to_owned(), why: why.to_string() })
            }),
        )
    }

    fn append(&mut self, batch: PersistBatch, done: Done) {
        self.kept().append(&batch);
        done(Input::Persisted(batch.last()));
    }

    fn load(&mut self, request: LoadRequest, done: Done) {
        let found: Vec<_> = {
            let kept = self.kept();
            request.records().iter().filter_map(|seq| kept.frames.get(seq).cloned()).collect()
        };
        let records = found.into_iter().flat_map(Frames::new).collect::<Result<Vec<_>, _>>();
        done(Input::Loaded { request: request.id(), result: records.map_err(|_| LoadError::Corrupt) });
    }

    fn snapshot(&mut self, part: SnapshotPart) {
        let mut kept = self.kept();
        if !kept.all {
            return;
        }
        if part.part() == 0 {
            kept.partial.clear();
        }
        kept.partial.push(part.bytes().clone());
        if part.is_last() {
            kept.snapshot = std::mem::take(&mut kept.partial);
        }
    }

    fn reclaim(&mut self, mark: Watermark) {
        let mut kept = self.kept();
        let needed = kept.frames.split_off(&mark.needed_from());
        let freed = std::mem::replace(&mut kept.frames, needed);
        kept.bytes -= freed.values().map(Bytes::len).sum::<usize>();
    }
}

impl Kept {
    fn append(&mut self, batch: &PersistBatch) {
        for (key, frame) in batch.records() {
            if self.all || key.kind == Kind::Accepted {
                // A small frame must not keep the memory of a large batch.
                let crowded = frame.len() * 2 < batch.bytes().len();
                let frame = if crowded { Bytes::copy_from_slice(&frame) } else { frame };
                self.bytes += frame.len();
                let replaced = self.frames.insert(key.seq, frame);
                self.bytes -= replaced.map_or(0, |old| old.len());
            } else if key.kind == Kind::Ended {
                let ended = key.event.and_then(|event| self.frames.remove(&event));
                self.bytes -= ended.map_or(0, |old| old.len());
            }
        }
    }
}

impl fmt::Debug for MemoryLog {
    /// Without the records, in which there are keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept();
        f.debug_struct("MemoryLog").field("records", &kept.frames.len()).field("bytes", &kept.bytes).finish()
    }
}
