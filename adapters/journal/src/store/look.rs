//! The reading half of a store.

use std::collections::BTreeSet;

use bytes::Bytes;
use postrider_core::id::{JournalSeq, TenantId};
use postrider_core::journal::{self, FOOTER, RECORD_CRC, Record, SEGMENT_HEAD, Seat, StoreId};
use postrider_core::sender::LoadError;
use postrider_core::time::UnixTime;

use super::found::{Corrupt, Found, OpenError};
use super::keeper::{self, Keeper};
use super::recover::{self, How, Survey};
use super::segments::{Sealed, Segments};
use super::{Options, names, snapshots};
use crate::history::{Answer, HistoryError, Query, Retention};
use crate::{Disk, LogError, Records};

/// A store that is looked at: nothing on its disk is changed.
///
/// Unlike an opening, a look goes on when there is damage, without what is damaged, and tells of it.
pub struct Look<D: Disk> {
    pub(super) segments: Segments<D>,
    pub(super) keeper: Box<dyn Keeper<D>>,
    pub(super) found: Found,
    pub(super) damage: Vec<Corrupt>,
    pub(super) gaps: Vec<(JournalSeq, JournalSeq)>,
    pub(super) since: JournalSeq,
}

/// A segment of a store that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// The last number that it stands for; greater than `number` when it was made of several.
    pub through: u64,
    /// Compaction has rewritten it.
    pub compacted: bool,
    /// Bytes of it that count.
    pub len: u64,
    /// Its first record, or the one that comes next when it has none.
    pub first: JournalSeq,
    /// Its last record, or the last before it when it has none.
    pub last: JournalSeq,
    /// Pending events that were accepted in it.
    pub pending: usize,
}

impl<D: Disk> Look<D> {
    pub(super) fn new(disk: D, how: How) -> Result<Self, OpenError> {
        // Nothing is forgotten by looking: what is still there is shown.
        let options = Options { retention: Retention::forever(), ..Options::default() };
        let mut segments = Segments::new(disk, options.store);
        let mut keeper = keeper::of(&options);
        let survey = recover::survey(&mut segments, keeper.as_mut(), options.store, how)?;
        Ok(Self::of(segments, keeper, survey))
    }

    pub(super) fn of(segments: Segments<D>, keeper: Box<dyn Keeper<D>>, survey: Survey) -> Self {
        let Survey { mut found, damage, gaps, since, .. } = survey;
        found.pending = segments.pending().count() as u64;
        Self { segments, keeper, found, damage, gaps, since }
    }

    /// Looks at the store on this disk and reads every byte of its log.
    pub(crate) fn whole(disk: D) -> Result<Self, OpenError> {
        Self::new(disk, How::Whole)
    }

    /// Reads every snapshot there is to its end: its number, and whether it is sound.
    pub(crate) fn snapshots(&self) -> Result<Vec<(u64, bool)>, OpenError> {
        let names = self.segments.disk().list().map_err(|error| OpenError::io("listing", "its directory", &error))?;
        let mut numbers: Vec<_> = names.iter().filter_map(|name| names::snapshot_number(name)).collect();
        numbers.sort_unstable();
        let sound = |number| snapshots::summary(self.segments.disk(), self.id(), number).map(|read| read.is_some());
        numbers.into_iter().map(|number| Ok((number, sound(number)?))).collect()
    }

    /// What there is.
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// Every place that is damaged.
    pub fn damage(&self) -> &[Corrupt] {
        &self.damage
    }

    /// The name of the store.
    pub const fn id(&self) -> StoreId {
        self.segments.store()
    }

    /// Ranges of records that are lost for good, behind what the snapshot in use stands for.
    pub fn gaps(&self) -> &[(JournalSeq, JournalSeq)] {
        &self.gaps
    }

    /// The segments, the oldest first.
    pub fn segments(&self) -> impl Iterator<Item = SegmentInfo> + '_ {
        self.segments.sealed().map(|sealed| SegmentInfo {
            number: sealed.number,
            through: sealed.through(),
            compacted: sealed.compacted,
            len: sealed.len,
            first: sealed.first,
            last: sealed.last,
            pending: self.segments.pending_in(sealed.number).0,
        })
    }

    /// What a machine is restored from; see [`Store::records`](super::Store::records).
    pub fn records(&self) -> Records<'_> {
        let snapshot = self.found.snapshot.into_iter().flat_map(|number| self.snapshot(number));
        Box::new(snapshot.chain(self.log(self.since)))
    }

    /// Every record of the log that is left, in order, whether a snapshot stands for it or not.
    pub fn all(&self) -> Records<'_> {
        Box::new(self.log(JournalSeq::ZERO))
    }

    /// Reads the accepted records of pending events; see [`Store::load`](super::Store::load).
    pub fn load(&mut self, seqs: &[JournalSeq]) -> Result<Vec<(JournalSeq, Record)>, LoadError> {
        let mut records = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let Some((segment, offset)) = self.segments.place(*seq) else { continue };
            match self.segments.frame(segment, offset) {
                Ok((found, mut frame)) if found == *seq => records.extend(journal::decode(&mut frame)),
                Ok(_) | Err(LogError::Damaged { .. }) => {}
                Err(LogError::Io { .. }) => return Err(LoadError::Unavailable),
            }
        }
        #[cfg(postrider_planted)]
        for (_, record) in &mut records {
            if let Record::Accepted(accepted) = record
                && postrider_core::planted::breaks(68)
            {
                accepted.payload.truncate(accepted.payload.len().saturating_sub(1));
            }
        }
        if records.is_empty() && !seqs.is_empty() { Err(LoadError::Corrupt) } else { Ok(records) }
    }

    /// Whose events are in the log, pending or ended, by the indexes of its segments.
    pub fn tenants(&mut self) -> Result<BTreeSet<TenantId>, HistoryError> {
        self.keeper.tenants(&mut self.segments)
    }

    /// Answers a question about what has ended, and shows whatever is still there: how long it is to be kept, the sender
    /// knows that writes the log. A segment without an index is read whole first, and if it is [damaged](Self::damage),
    /// only up to the damage.
    pub fn history(&mut self, query: &Query, wall: UnixTime) -> Result<Answer, HistoryError> {
        self.keeper.answer(&mut self.segments, query, wall)
    }

    fn snapshot(&self, number: u64) -> impl Iterator<Item = Result<(JournalSeq, Record), LogError>> + '_ {
        let scan = snapshots::batches(self.segments.disk(), self.id(), number);
        let (scan, error) = match scan {
            Ok(scan) => (scan, None),
            Err(error) => (None, Some(of(error))),
        };
        let frames = scan.into_iter().flatten().flat_map(|batch| batch.records());
        let records = frames.map(move |(offset, frame)| decode(&frame, &names::snapshot(number), offset));
        records.chain(error.map(Err))
    }

    /// The records of the log behind `since`.
    fn log(&self, since: JournalSeq) -> impl Iterator<Item = Result<(JournalSeq, Record), LogError>> + '_ {
        let segments = self.segments.sealed().filter(move |sealed| sealed.last > since);
        segments.flat_map(move |sealed| self.segment(sealed, since))
    }

    fn segment(
        &self,
        sealed: &Sealed,
        since: JournalSeq,
    ) -> impl Iterator<Item = Result<(JournalSeq, Record), LogError>> + use<D> {
        let name = names::segment(sealed.number);
        let (bytes, error) = match snapshots::read_all(self.segments.disk(), &name) {
            Ok(bytes) => (bytes, None),
            Err(error) => (Bytes::new(), Some(error)),
        };
        let bytes = bytes.slice(..(sealed.len as usize).min(bytes.len()));
        let frames = Frames { seat: sealed.head(self.id()).seat(), at: SEGMENT_HEAD, failed: false, bytes };
        #[cfg(postrider_planted)]
        let twice = if postrider_core::planted::breaks(64) { 2 } else { 1 };
        #[cfg(postrider_planted)]
        let frames = frames.flat_map(move |frame| std::iter::repeat_n(frame, twice));
        let records = frames.filter_map(move |(offset, frame)| match frame {
            Some((seq, _)) if seq <= since => None,
            Some((_, frame)) => Some(decode(&frame, &name, offset)),
            None => Some(Err(changed(&name, offset))),
        });
        records.chain(error.map(Err))
    }
}

/// Where a footer has the byte that no record has there, and that byte.
const FOOTER_KIND_AT: usize = RECORD_CRC + 4;
const FOOTER_KIND: u8 = 0xF0;

/// The frames of a segment that was read to its end before: batches and the chain are not looked at again, the
/// checksum of each record is.
struct Frames {
    seat: Seat,
    bytes: Bytes,
    at: usize,
    failed: bool,
}

impl Iterator for Frames {
    /// Where the record is, and the record; the last is `None` when it is not what it was.
    type Item = (u64, Option<(JournalSeq, Bytes)>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed && self.at < self.bytes.len() {
            let offset = self.at as u64;
            let record = journal::record_at(self.seat, &self.bytes.slice(self.at..), offset);
            if let Some((_, frame)) = &record {
                self.at += RECORD_CRC + frame.len();
            } else if self.bytes.get(self.at + FOOTER_KIND_AT) == Some(&FOOTER_KIND) {
                self.at += FOOTER;
                continue;
            } else {
                self.failed = true;
            }
            return Some((offset, record));
        }
        None
    }
}

fn changed(name: &str, offset: u64) -> LogError {
    let why = "the record there is not what was read before".to_owned();
    LogError::Damaged { place: format!("in {name} at byte {offset}"), why }
}

/// A record in memory of its own, so that it does not hold that of the whole file.
fn decode(frame: &[u8], name: &str, offset: u64) -> Result<(JournalSeq, Record), LogError> {
    let mut frame = Bytes::copy_from_slice(frame);
    journal::decode(&mut frame)
        .map_err(|why| LogError::Damaged { place: format!("in {name} at byte {offset}"), why: why.to_string() })
}

fn of(error: OpenError) -> LogError {
    match error {
        OpenError::Io { doing, kind } => LogError::Io { doing, kind },
        other => LogError::Damaged { place: "in a snapshot".to_owned(), why: other.to_string() },
    }
}

impl<D: Disk> std::fmt::Debug for Look<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Look").field("found", &self.found).field("damage", &self.damage).finish_non_exhaustive()
    }
}
