//! The words between a sender and its driver.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

use super::notice::Notice;
use super::transmit::Transmit;
use crate::id::{AttemptId, JournalSeq, LoadId};
use crate::journal::{self, Record, RecordKey};
use crate::response::Outcome;
use crate::time::UnixTime;
pub use crate::wake::Wake;

/// A fact: something that has happened already and cannot be refused. A stale one is counted and dropped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// Only time passed.
    Tick,
    /// An attempt ended. Reported exactly once for each [`Output::Transmit`].
    Completed {
        /// Which.
        attempt: AttemptId,
        /// How.
        outcome: Outcome,
    },
    /// Every record up to this one is durable.
    Persisted(JournalSeq),
    /// The records from this one on could not be made durable.
    PersistFailed {
        /// The first that is not durable.
        from: JournalSeq,
        /// Why.
        why: PersistFailure,
    },
    /// Bytes that the log can still take, over all that has been handed to it. Without it, there is no end.
    Room(u64),
    /// The answer to an [`Output::Load`].
    Loaded {
        /// Which.
        request: LoadId,
        /// The records asked for, in any order, or why there are none.
        result: Result<Vec<(JournalSeq, Record)>, LoadError>,
    },
    /// How many attempts the adapter can carry at once. Absolute, not a change.
    Credit(u32),
    /// The log has dropped what it kept of events that had ended, because that took more room than its budget. An event
    /// that has not ended is never dropped.
    Trimmed {
        /// How many events.
        events: u64,
        /// Those that ended before this time; what ended since is still there.
        before: UnixTime,
    },
}

/// Why records could not be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two call for different answers, and there is no third answer")]
pub enum PersistFailure {
    /// A write or a sync failed. The log has sealed what it had and begins a new segment; the machine issues the
    /// records again, with the same numbers. Twice in a row fences the machine.
    Broken,
    /// There is no room. The machine issues the records again when [`Input::Room`] says that there is.
    Full,
}

/// Why records could not be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// Not now; asked again in a minute.
    Unavailable,
    /// They are damaged or missing: the deliveries that need them end as lost.
    Corrupt,
}

/// An effect: something that the driver must do. Owned, without lifetimes.
#[derive(Debug)]
#[must_use = "an effect that is not carried out is lost"]
#[expect(clippy::exhaustive_enums, reason = "a driver that ignores a new effect must not compile")]
pub enum Output {
    /// Append the batch to the log, in order, make it durable, then feed [`Input::Persisted`] with its last record.
    Persist(PersistBatch),
    /// Read records back, then feed [`Input::Loaded`].
    Load(LoadRequest),
    /// Write a part of a snapshot aside; after its last part the snapshot is complete and stands for what it says.
    Snapshot(SnapshotPart),
    /// What the log no longer needs may go.
    Reclaim(Watermark),
    /// Carry an attempt, then feed [`Input::Completed`].
    Transmit(Transmit),
    /// This attempt is over for the machine: free its socket, then feed [`Input::Completed`] as for any attempt.
    Abort(AttemptId),
    /// Tell whoever listens.
    Notice(Notice),
    /// Nothing more for now; ends the drain.
    Wait(Wake),
}

/// Records to append, at once or not at all.
#[derive(Clone)]
#[must_use = "records that are not written are lost"]
pub struct PersistBatch {
    pub(crate) first: JournalSeq,
    pub(crate) last: JournalSeq,
    pub(crate) gating: bool,
    pub(crate) bytes: Bytes,
}

impl PersistBatch {
    /// The first record.
    pub fn first(&self) -> JournalSeq {
        self.first
    }

    /// The last record; [`Input::Persisted`] names it.
    pub fn last(&self) -> JournalSeq {
        self.last
    }

    /// Whether effects wait for it. A batch without such records is written like any other, so that it survives the
    /// process; its sync may come a little later, up to [`LINGER`](crate::limits::LINGER) or
    /// [`LINGER_RECORDS`](crate::limits::LINGER_RECORDS) records.
    pub fn is_gating(&self) -> bool {
        self.gating
    }

    /// The records, encoded one behind the other.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records one by one with what they are about, for stores that are no byte log.
    pub fn records(&self) -> impl Iterator<Item = (RecordKey, Bytes)> + '_ {
        journal::keyed(&self.bytes)
    }
}

impl fmt::Debug for PersistBatch {
    /// Without the records: they hold secrets and payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistBatch")
            .field("first", &self.first)
            .field("last", &self.last)
            .field("gating", &self.gating)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// Records to read back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "deliveries wait for it"]
pub struct LoadRequest {
    pub(crate) id: LoadId,
    pub(crate) records: Vec<JournalSeq>,
}

impl LoadRequest {
    /// Which request this is; [`Input::Loaded`] names it.
    pub fn id(&self) -> LoadId {
        self.id
    }

    /// The records wanted, at most [`LOAD_RECORDS`](crate::limits::LOAD_RECORDS).
    pub fn records(&self) -> &[JournalSeq] {
        &self.records
    }
}

/// A part of a snapshot: encoded records.
#[derive(Clone)]
#[must_use = "a snapshot with a hole is none"]
pub struct SnapshotPart {
    pub(crate) number: u64,
    pub(crate) part: u32,
    pub(crate) last: bool,
    pub(crate) bytes: Bytes,
}

impl SnapshotPart {
    /// Which snapshot, counted from 1 in each run of the machine.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Which part of it, counted from 0. Part 0 begins a new snapshot, and whatever came before without an end is void.
    pub fn part(&self) -> u32 {
        self.part
    }

    /// Whether it is complete with this part.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Encoded records, at most [`SNAPSHOT_PART`](crate::limits::SNAPSHOT_PART) bytes, or one record that is larger.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl fmt::Debug for SnapshotPart {
    /// Without the records: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotPart")
            .field("number", &self.number)
            .field("part", &self.part)
            .field("last", &self.last)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// What the log must keep. Beside the newest complete snapshot, restoring needs every record from
/// [`needed_from`](Self::needed_from) on. Of earlier ones only the accepted records of events without an
/// [`Ended`](Record::Ended) are needed, because they can be asked for with [`Output::Load`]: the log knows them by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "space comes back only when it is acted on"]
pub struct Watermark {
    pub(crate) snapshot: u64,
    pub(crate) needed_from: JournalSeq,
}

impl Watermark {
    /// The snapshot that makes earlier records unnecessary; older snapshots may go, once it is on disk.
    pub fn snapshot(&self) -> u64 {
        self.snapshot
    }

    /// Records before this one may go, but for the accepted records of events that have not ended.
    pub fn needed_from(&self) -> JournalSeq {
        self.needed_from
    }
}
