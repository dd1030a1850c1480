//! A log as files of a [`Disk`]: appended to, synced, read back, snapshotted, tidied, and made whole again at opening.
//!
//! [`Store`] has no thread and no clock, and does nothing but what a call asks for: everything that it does to its
//! files goes through [`Disk`] within that call, one operation after the other, so that a simulated disk sees what a
//! real one sees and can stop the world between any two. [`FileLog`](crate::FileLog) is one on a directory, with a
//! thread of its own.
//!
//! # Files
//!
//! | name | |
//! | --- | --- |
//! | `0000000001.seg` | a segment of the log: batches of records behind a header, then zeros up to its reserved size |
//! | `0000000001.snap` | a snapshot; the newest two are kept |
//! | `0000000001.idx` | an index of a sealed segment; it can be made again |
//! | `acked` | how far records were durable when the log was last synced |
//! | `lost.txt` | what salvage could not bring back, for people and for the next opening |
//! | `lock` | held by the process that uses the directory |
//! | `*.tmp` | what was being made; removed at opening |
//!
//! The bytes of segments and snapshots are described in [`postrider_core::journal`].
//!
//! # Order
//!
//! A segment's header and its name are durable before a batch is written to it. A batch is one write; what was written
//! becomes durable with the next sync, all of it or, if the sync fails, nothing that counts. A segment takes no more
//! records once it is full, once a write or a sync of it failed, and at every opening. The header of the next one holds
//! the chain of the last batch that counts: whatever lies behind that batch in the older file is void.
//!
//! Whatever else is written is written aside, synced, renamed, and its name synced; what it replaces is removed after
//! that. So each operation may be the last one before a crash.
//!
//! # Opening
//!
//! The newest sound snapshot is used, else the one before it, else the log from its beginning. A write at the end of
//! the log that was not finished is cut off silently. Batches behind the last one that is known to have been durable
//! are written again, to a new segment, before they count: they may be in the memory of the operating system alone.
//! Anything else that is not as it was written is damage: opening refuses and names it, or goes on without it.

pub(crate) mod acked;
mod events;
mod found;
pub(crate) mod keeper;
mod look;
mod lost;
pub(crate) mod names;
mod open;
mod recover;
pub(crate) mod segments;
mod snapshots;
mod space;
#[cfg(test)]
pub(crate) mod tests;
mod writing;

use postrider_core::id::JournalSeq;
use postrider_core::journal::{FORMAT, Record, StoreId};
use postrider_core::sender::{LoadError, PersistBatch, SnapshotPart, Watermark};
use postrider_core::time::UnixTime;

pub use self::found::{Corrupt, Damage, Found, LostEvent, OpenError, StoreError};
pub use self::keeper::Tidied;
pub use self::look::{Look, SegmentInfo};

use self::acked::Acked;
pub(crate) use self::open::of as unopened;
use self::snapshots::{Part, Snapshots};
use self::space::Space;
pub use self::writing::Syncing;
use self::writing::{Frames, Writing};
use crate::history::{Answer, HistoryError, Query, Retention};
use crate::{Disk, Records};

/// How a store is opened and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Bytes reserved for a segment, at most 1 GiB; a batch that is larger gets one of its own. 64 MiB.
    pub segment_bytes: u64,
    /// What damage leads to. Strict.
    pub recovery: Recovery,
    /// How long ended events stay readable.
    pub retention: Retention,
    /// The name of the store if it is new: 16 random bytes. All zeros unless it is set.
    pub store: StoreId,
    /// Bytes that [`Store::room`] does not tell of, so that outcomes and ends still fit when no event is accepted any
    /// more, and snapshots and compaction have some to work with. 16 MiB.
    pub reserve: u64,
    /// Bytes that all files may take together; `None` for as many as the disk has.
    pub budget: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            recovery: Recovery::Strict,
            retention: Retention::default(),
            store: StoreId::from_bytes([0; 16]),
            reserve: 16 << 20,
            budget: None,
        }
    }
}

/// What damage that opening finds leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a third way would be a silent one")]
pub enum Recovery {
    /// Opening fails with [`OpenError::Corrupt`] and changes nothing.
    #[default]
    Strict,
    /// Opening goes on with everything that is intact. What was lost is told by [`Found::lost`] and kept in `lost.txt`;
    /// damaged segments are written again without it, so that the next strict opening finds nothing.
    Salvage,
}

/// A log as files of a disk, and everything that is done to them.
///
/// After an error of [`append`](Self::append) or [`sync`](Self::sync) nothing behind [`durable`](Self::durable) counts:
/// tell the machine [`Persisted`](postrider_core::sender::Input::Persisted) with that record, which may be further than
/// the last sync came, then [`PersistFailed`](postrider_core::sender::Input::PersistFailed) from the one behind it, and
/// append what the machine issues then; it goes to a new segment. Batches that were issued before that are refused with
/// [`StoreError::OutOfOrder`] and need no answer of their own.
pub struct Store<D: Disk> {
    look: Look<D>,
    options: Options,
    writing: Writing<D>,
    snapshots: Snapshots<D>,
    acked: Acked<D::File>,
    space: Space,
}

impl<D: Disk> Store<D> {
    /// Opens the store on this disk, or makes a new one on an empty disk, and makes it whole. `wall` is the time.
    pub fn open(disk: D, options: Options, wall: UnixTime) -> Result<Self, OpenError> {
        open::open(disk, options, wall)
    }

    /// Reads the store on this disk and changes nothing, while another process may be writing to it.
    pub fn look(disk: D) -> Result<Look<D>, OpenError> {
        Look::new(disk, recover::How::ToLook)
    }

    /// What opening found and did.
    pub const fn found(&self) -> &Found {
        self.look.found()
    }

    /// The name of the store.
    pub const fn id(&self) -> StoreId {
        self.look.id()
    }

    /// Ranges of records that are lost for good and that [`records`](Self::records) leaves out, the first and the last
    /// of each: what [`Restore`](postrider_core::sender::Restore) must be told is missing.
    pub fn gaps(&self) -> &[(JournalSeq, JournalSeq)] {
        self.look.gaps()
    }

    /// What a machine is restored from: the records of the snapshot in use, numbered zero, then those behind it. To be
    /// read before anything is appended. Keys that are sealed in them stay sealed.
    pub fn records(&self) -> Records<'_> {
        self.look.records()
    }

    /// The last record that is durable.
    pub const fn durable(&self) -> JournalSeq {
        self.writing.durable()
    }

    /// The last record that was appended, durable or not.
    pub const fn last(&self) -> JournalSeq {
        self.writing.last()
    }

    /// Writes a batch, which must begin with the record that comes next. It is durable after [`sync`](Self::sync).
    pub fn append(&mut self, batch: &PersistBatch) -> Result<(), StoreError> {
        self.append_frames(&Frames { first: batch.first(), last: batch.last(), bytes: batch.bytes() })
    }

    /// Makes durable what was appended, with one sync of one file, and says what the last durable record is. Without
    /// anything appended it does nothing.
    pub fn sync(&mut self) -> Result<JournalSeq, StoreError> {
        let before = self.durable();
        let Look { segments, keeper, .. } = &mut self.look;
        let synced = self.writing.sync(segments, keeper.as_mut());
        self.tell_durable(before);
        synced
    }

    /// The first half of [`sync`](Self::sync), for those who let another thread [run](Syncing::run) it and go on
    /// appending meanwhile; `None` when nothing waits for a sync. One at a time, and none when a batch is appended that
    /// does not [fit](Self::fits).
    pub fn begin_sync(&mut self) -> Option<Syncing<D::File>> {
        self.writing.begin_sync()
    }

    /// The second half: says what the last durable record is.
    pub fn end_sync(
        &mut self,
        syncing: &Syncing<D::File>,
        synced: std::io::Result<()>,
    ) -> Result<JournalSeq, StoreError> {
        let before = self.durable();
        let Look { segments, keeper, .. } = &mut self.look;
        let ended = self.writing.end_sync(segments, keeper.as_mut(), syncing, synced);
        self.tell_durable(before);
        ended
    }

    /// Whether a batch can be appended without a new segment.
    pub fn fits(&self, batch: &PersistBatch) -> bool {
        self.writing.fits(&Frames { first: batch.first(), last: batch.last(), bytes: batch.bytes() })
    }

    /// Reads the accepted records of pending events back. Those that are damaged or missing are left out.
    ///
    /// # Errors
    ///
    /// [`LoadError::Unavailable`] when a file cannot be read now, [`LoadError::Corrupt`] when none of them is there.
    pub fn load(&mut self, seqs: &[JournalSeq]) -> Result<Vec<(JournalSeq, Record)>, LoadError> {
        self.look.load(seqs)
    }

    /// Writes a part of a snapshot aside, and with the last part makes it count. One that cannot be written, or of
    /// which a part is missing, is dropped, and the ones before it stay.
    pub fn snapshot(&mut self, part: &SnapshotPart) {
        let (number, part, is_last, bytes) = (part.number(), part.part(), part.is_last(), part.bytes());
        self.snapshot_part(&Part { number, part, is_last, bytes });
    }

    /// The machine needs nothing before this mark besides its snapshot and the records of pending events. Acts only
    /// when that snapshot is durable, and then on what the snapshot before it stands for too, should the newer one be
    /// damaged one day. The space itself comes back with [`tidy`](Self::tidy).
    pub fn reclaim(&mut self, mark: Watermark) {
        self.reclaim_of(mark.snapshot());
    }

    /// Does one piece of what takes space back and keeps history in order: at most about 1 MiB of reading and writing.
    /// `wall` is the time. After an error it may be called again, better not at once.
    pub fn tidy(&mut self, wall: UnixTime) -> Result<Tidied, StoreError> {
        let Look { segments, keeper, .. } = &mut self.look;
        if self.snapshots.tidy(segments.disk()) {
            segments.changed();
            return Ok(Tidied::Worked);
        }
        keeper.tidy(segments, wall)
    }

    /// Gives back everything that is not needed, and closes the store; says in how many pieces. `wall` is the time.
    ///
    /// No file has any byte left then of the payloads and answers of events that were erased, or whose tenant was purged,
    /// and that have ended: they are taken out of segments that openings still read, too.
    pub fn compact(mut self, wall: impl Fn() -> UnixTime) -> Result<u64, StoreError> {
        self.scrub();
        let mut pieces = 0;
        while self.tidy(wall())? != Tidied::Nothing {
            pieces += 1;
        }
        self.close().map(|()| pieces)
    }

    /// Nobody will append to this store: gives back what segments have behind their ends, and lets [`tidy`](Self::tidy)
    /// take what was erased out of segments that openings still read, too.
    fn scrub(&mut self) {
        let Look { segments, keeper, .. } = &mut self.look;
        segments.sealed().for_each(|sealed| open::cut(segments.disk(), sealed));
        segments.changed();
        keeper.scrub();
    }

    /// The format that new segments are written in: that of the newest one there was at opening.
    pub const fn format(&self) -> u16 {
        self.look.segments.format()
    }

    /// New segments are written in the newest format from now on.
    pub(crate) const fn upgrade(&mut self) {
        self.look.segments.write_format(FORMAT);
    }

    /// Bytes of records that can still be appended, less [`Options::reserve`]; `None` when there is no bound or it
    /// cannot be told. It grows as deliveries end, snapshots are taken and the store is tidied.
    pub fn room(&mut self) -> Option<u64> {
        Some(self.free()?.saturating_sub(self.options.reserve))
    }

    /// Bytes of records that can still be appended, the reserve included.
    pub(crate) fn free(&mut self) -> Option<u64> {
        let budget = self.space.left(&self.look.segments);
        let disk = self.look.segments.disk().room().ok().flatten();
        let left = budget.into_iter().chain(disk).min()?;
        Some(left.saturating_add(self.writing.reserved()))
    }

    /// Answers a question about what has ended.
    pub fn history(&mut self, query: &Query, wall: UnixTime) -> Result<Answer, HistoryError> {
        self.look.history(query, wall)
    }

    /// Makes everything durable and gives back what was reserved. A store need not be closed.
    pub fn close(mut self) -> Result<(), StoreError> {
        let before = self.durable();
        let Look { segments, keeper, .. } = &mut self.look;
        let sealed = self.writing.seal(segments, keeper.as_mut());
        self.tell_durable(before);
        self.acked.sync();
        sealed
    }

    fn snapshot_part(&mut self, part: &Part<'_>) {
        let segments = &mut self.look.segments;
        if self.snapshots.part(segments.disk(), segments.store(), part) {
            segments.changed();
        }
    }

    fn reclaim_of(&mut self, snapshot: u64) {
        if let Some(settled) = self.snapshots.reclaim(snapshot) {
            self.look.segments.settle(settled);
        }
    }

    fn append_frames(&mut self, frames: &Frames<'_>) -> Result<(), StoreError> {
        let before = self.durable();
        let Look { segments, keeper, .. } = &mut self.look;
        let newest = |segments: &segments::Segments<D>| segments.newest().map(|newest| newest.number);
        let (space, was) = (&mut self.space, newest(segments));
        let size = self.options.segment_bytes;
        let room = &mut |segments: &segments::Segments<D>| space.left(segments);
        let appended = self.writing.append(segments, keeper.as_mut(), frames, size, room);
        let began = newest(segments) != was;
        self.tell_durable(before);
        if began {
            // So that after a loss of power only the end of the newest segment can be gone without a word.
            self.acked.sync();
        }
        appended
    }

    fn tell_durable(&mut self, before: JournalSeq) {
        if self.durable() > before {
            self.acked.tell(self.durable());
        }
    }
}

impl<D: Disk> std::fmt::Debug for Store<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("found", self.found()).field("durable", &self.durable()).finish_non_exhaustive()
    }
}
