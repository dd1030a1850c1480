//! Who keeps what has ended: the seam between the store and history.
//!
//! The store knows which events are pending and where their accepted records are; whatever else is worth keeping in
//! segments that recovery no longer reads, and how long, a [`Keeper`] decides. It sees every record once, and does its
//! work in pieces, between the store's own.

use std::collections::BTreeSet;

use bytes::Bytes;
use postrider_core::id::{JournalSeq, TenantId};
use postrider_core::journal::{RecordKey, SegmentHead};
use postrider_core::time::UnixTime;

use super::segments::{Location, Sealed, Segments};
use super::{Options, StoreError};
use crate::Disk;
use crate::history::{Answer, History, HistoryError, Query};

/// Keeps what has ended, and takes back the space of what is not kept.
///
/// Everything happens on the store's thread. A keeper holds no record of its own that cannot be made again from the
/// segments: what it writes (indexes of sealed segments) is a copy, and may be lost.
pub(crate) trait Keeper<D: Disk>: Send {
    /// An endpoint as the snapshot in use describes it, before any segment: outcomes name subscriptions, and the
    /// segments that say whose these are may be gone.
    fn endpoint(&mut self, frame: &Bytes);

    /// A sealed segment of `len` bytes was found at opening, the oldest first. What is known of it from an index that
    /// was written when it was sealed: then it need not be read. `None` when there is no index that belongs to this
    /// very header and length, or when it is damaged: then each of its records is [noted](Self::note), and
    /// [`sealed`](Self::sealed) is called.
    fn found(&mut self, disk: &D, head: &SegmentHead, len: u64) -> Option<Sealed>;

    /// Everything that opening reads has been read; what is noted from now on is new.
    fn opened(&mut self);

    /// A record and what it is about, as it is written or read at opening, in order of places within a segment. It may
    /// not be durable yet: see [`forget`](Self::forget).
    fn note(&mut self, key: &RecordKey, frame: &[u8], at: Location);

    /// Records from this place on that were noted are void, because they could not be made durable. They are written
    /// again, to another segment, with the same places.
    fn forget(&mut self, from: JournalSeq);

    /// A segment takes no more records; all that were noted of it and not forgotten are durable.
    fn sealed(&mut self, segment: &Sealed);

    /// Does one bounded piece of work: about 1 MiB of reading and writing at most, beside what
    /// [`Segments::replace`] does.
    fn tidy(&mut self, segments: &mut Segments<D>, wall: UnixTime) -> Result<Tidied, StoreError>;

    /// Nobody will append to this store: from now on [`tidy`](Self::tidy) also rewrites segments that openings still
    /// read, record for record, where something in them was erased.
    fn scrub(&mut self);

    /// Whose events are in any segment.
    fn tenants(&mut self, segments: &mut Segments<D>) -> Result<BTreeSet<TenantId>, HistoryError>;

    /// Answers a question.
    fn answer(&mut self, segments: &mut Segments<D>, query: &Query, wall: UnixTime) -> Result<Answer, HistoryError>;
}

/// The keeper of a store that is opened so.
pub(super) fn of<D: Disk>(options: &Options) -> Box<dyn Keeper<D>> {
    Box::new(History::new(options.retention.clone(), options.segment_bytes))
}

/// What a piece of tidying did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tidied {
    /// There is nothing to do.
    Nothing,
    /// Something was done, and there may be more.
    Worked,
    /// Something was done, and ended events were forgotten before their time, because the budget of history was
    /// exceeded.
    Trimmed {
        /// How many.
        events: u64,
        /// Those that ended before this time.
        before: UnixTime,
    },
}
