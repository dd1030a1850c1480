//! The segment that takes records: appending, syncing, and what a failure leaves.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{self, BatchWriter, Chain, FOOTER, Kind, RECORD_CRC, SEGMENT_HEAD, SegmentHead};

use super::found::is_full;
use super::keeper::Keeper;
use super::segments::{Location, Sealed, Segments, discard};
use super::{StoreError, names};
use crate::{Disk, File};

/// The smallest file that is reserved when there is little room.
const SMALL: u64 = 64 * 1024;

/// The end of the log.
pub(super) struct Writing<D: Disk> {
    current: Option<Current<D>>,
    /// The last record written.
    last: JournalSeq,
    /// The last record that is durable.
    durable: JournalSeq,
    /// Events that ended with a record that is not durable yet: that record, and the event.
    ending: VecDeque<(JournalSeq, JournalSeq)>,
    buffer: Vec<u8>,
}

struct Current<D: Disk> {
    number: u64,
    file: Arc<D::File>,
    /// Bytes reserved for it.
    size: u64,
    writer: BatchWriter,
    /// Where its durable part ends, and the chain there.
    sound: (u64, Chain),
    dirty: bool,
}

/// A sync under way: of which file, and what is durable once it has succeeded. Whatever is written meanwhile is for the
/// next one.
#[must_use = "what is synced counts only when the store is told"]
pub struct Syncing<F> {
    file: Arc<F>,
    number: u64,
    last: JournalSeq,
    sound: (u64, Chain),
}

impl<F: File> Syncing<F> {
    /// Syncs the file; on whichever thread.
    pub fn run(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// A batch that is to be written.
pub(super) struct Frames<'a> {
    pub(super) first: JournalSeq,
    pub(super) last: JournalSeq,
    pub(super) bytes: &'a Bytes,
}

impl Frames<'_> {
    /// Bytes that they take in a file, in one batch.
    fn size(&self) -> u64 {
        let count = (self.last.get() - self.first.get()).saturating_add(1);
        self.bytes.len() as u64 + count.saturating_mul(RECORD_CRC as u64) + FOOTER as u64
    }
}

impl<D: Disk> Writing<D> {
    /// Goes on behind a record that is durable.
    pub(super) const fn behind(last: JournalSeq) -> Self {
        Self { current: None, last, durable: last, ending: VecDeque::new(), buffer: Vec::new() }
    }

    pub(super) const fn last(&self) -> JournalSeq {
        self.last
    }

    pub(super) const fn durable(&self) -> JournalSeq {
        self.durable
    }

    /// Bytes that are reserved and not written.
    pub(super) fn reserved(&self) -> u64 {
        self.current.as_ref().map_or(0, |now| now.size.saturating_sub(now.writer.offset()))
    }

    /// Writes a batch; where it does not fit, a new segment of `size` bytes is begun, or of what `room` allows.
    pub(super) fn append(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
        frames: &Frames<'_>,
        size: u64,
        room: &mut dyn FnMut(&Segments<D>) -> Option<u64>,
    ) -> Result<(), StoreError> {
        if frames.first != self.last.next() || frames.last < frames.first {
            return Err(StoreError::OutOfOrder { next: self.last.next(), first: frames.first });
        }
        let need = frames.size();
        if self.reserved() < need {
            self.seal(segments, keeper)?;
            let room = room(segments);
            self.begin(segments, need, size, room)?;
        }
        let now = self.current.as_mut().expect("a segment was begun");
        let (start, before) = (now.writer.offset(), now.writer.clone());
        self.buffer.clear();
        if now.writer.write(frames.bytes, &mut self.buffer).is_err() || self.buffer.len() as u64 != need {
            now.writer = before;
            return Err(StoreError::OutOfOrder { next: self.last.next(), first: frames.first });
        }
        now.dirty = true;
        if let Err(error) = now.file.write_at(start, &self.buffer) {
            return Err(self.fail(segments, keeper, &error, "writing"));
        }
        segments.grown(now.writer.offset(), frames.last, now.writer.chain());
        let number = now.number;
        self.last = frames.last;
        self.note(segments, keeper, number, start, frames.bytes);
        Ok(())
    }

    /// Makes durable what was written.
    pub(super) fn sync(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
    ) -> Result<JournalSeq, StoreError> {
        let Some(syncing) = self.begin_sync() else { return Ok(self.durable) };
        #[cfg(postrider_planted)]
        if postrider_core::planted::breaks(60) {
            self.durable = self.last;
            return Ok(self.last);
        }
        #[cfg(postrider_planted)]
        if postrider_core::planted::breaks(63) {
            let _ = syncing.run();
        }
        let synced = syncing.run();
        self.end_sync(segments, keeper, &syncing, synced)
    }

    /// What is to be synced, if anything was written that is not.
    pub(super) fn begin_sync(&mut self) -> Option<Syncing<D::File>> {
        let now = self.current.as_mut().filter(|now| now.dirty)?;
        now.dirty = false;
        let sound = (now.writer.offset(), now.writer.chain());
        Some(Syncing { file: now.file.clone(), number: now.number, last: self.last, sound })
    }

    /// Takes note of how a sync ended. One of a segment that takes no more records changes nothing: a write to it failed
    /// meanwhile, and what was not durable then is written again.
    pub(super) fn end_sync(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
        syncing: &Syncing<D::File>,
        synced: io::Result<()>,
    ) -> Result<JournalSeq, StoreError> {
        let Some(now) = self.current.as_mut().filter(|now| now.number == syncing.number) else {
            return Ok(self.durable);
        };
        if let Err(error) = synced {
            return Err(self.fail(segments, keeper, &error, "syncing"));
        }
        now.sound = syncing.sound;
        now.writer.durable(now.sound.0);
        self.durable = syncing.last;
        while let Some((_, event)) = self.ending.pop_front_if(|(seq, _)| *seq <= syncing.last) {
            segments.ended(event);
        }
        Ok(self.durable)
    }

    /// Whether a batch fits into the segment that takes records.
    pub(super) fn fits(&self, frames: &Frames<'_>) -> bool {
        self.current.is_none() || self.reserved() >= frames.size()
    }

    /// Ends the segment that takes records: what was written is durable, and the file no longer than that.
    pub(super) fn seal(&mut self, segments: &mut Segments<D>, keeper: &mut dyn Keeper<D>) -> Result<(), StoreError> {
        let Some(now) = &mut self.current else { return Ok(()) };
        // The zeros behind the end do no harm where a file cannot be cut.
        now.dirty |= now.file.set_len(now.writer.offset()).is_ok();
        self.sync(segments, keeper)?;
        self.current = None;
        keeper.sealed(&segments.seal());
        Ok(())
    }

    fn note(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
        segment: u64,
        mut offset: u64,
        bytes: &Bytes,
    ) {
        let mut rest = &bytes[..];
        while let Ok((key, len)) = journal::peek(rest) {
            let (frame, behind) = rest.split_at(len);
            rest = behind;
            let len = u32::try_from(frame.len()).expect("a batch is shorter than 4 GiB");
            match key.kind {
                Kind::Accepted => segments.accepted(key.seq, offset, len),
                #[cfg(postrider_planted)]
                Kind::Outcome if postrider_core::planted::breaks(65) => {
                    self.ending.extend(key.event.map(|event| (key.seq, event)))
                }
                Kind::Ended => self.ending.extend(key.event.map(|event| (key.seq, event))),
                Kind::Genesis
                | Kind::Opened
                | Kind::Endpoint
                | Kind::Removed
                | Kind::Queued
                | Kind::Outcome
                | Kind::Mark
                | Kind::Cancelled
                | Kind::SnapshotBegin
                | Kind::Event
                | Kind::Pending
                | Kind::Remembered
                | Kind::SnapshotEnd
                | Kind::Purged
                | Kind::Erased
                | Kind::Kept
                | Kind::Lane
                | Kind::Health
                | Kind::Synced
                | Kind::Consent
                | Kind::KeyUse => {}
            }
            keeper.note(&key, frame, Location { segment, offset, len });
            offset += (RECORD_CRC + frame.len()) as u64;
        }
    }

    /// Nothing behind the last durable record counts any more: the segment ends there, and the next one says so. It is
    /// not synced again, for a sync that failed may say that all is well the next time and have dropped what it had.
    fn fail(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
        error: &io::Error,
        doing: &str,
    ) -> StoreError {
        let now = self.current.take().expect("only a segment that is open fails");
        let (len, chain) = now.sound;
        #[cfg(postrider_planted)]
        let (len, chain) =
            if postrider_core::planted::breaks(69) { (now.writer.offset(), now.writer.chain()) } else { (len, chain) };
        let _ = now.file.set_len(len);
        let from = self.durable.next();
        segments.forget(from);
        keeper.forget(from);
        self.ending.clear();
        self.last = self.durable;
        segments.grown(len, self.durable, chain);
        keeper.sealed(&segments.seal());
        StoreError::of(error, doing, &names::segment(now.number))
    }

    /// Makes the next segment. Its header and its name are durable before anything is written to it.
    fn begin(&mut self, segments: &mut Segments<D>, need: u64, size: u64, room: Option<u64>) -> Result<(), StoreError> {
        let least = SEGMENT_HEAD as u64 + need;
        if room.is_some_and(|room| room < least) {
            return Err(StoreError::Full);
        }
        let (number, previous) = segments.newest().map_or((1, Chain::START), |last| (last.through() + 1, last.chain));
        let head = SegmentHead { format: segments.format(), ..SegmentHead::plain(segments.store(), number, previous) };
        let mut size = size.min(room.unwrap_or(u64::MAX)).max(least);
        let file = loop {
            match make(segments.disk(), &head, size) {
                Ok(file) => break file,
                Err(error) if is_full(&error) && size > least => {
                    size = if size > SMALL { (size / 8).max(SMALL).max(least) } else { least };
                }
                Err(error) => return Err(StoreError::of(&error, "making", &names::segment(number))),
            }
        };
        let file = Arc::new(file);
        segments.opened(number, file.clone());
        let len = SEGMENT_HEAD as u64;
        let (first, last) = (self.last.next(), self.last);
        segments
            .push(Sealed { number, covers: 0, compacted: false, len, first, last, previous, chain: previous }, true);
        let writer = BatchWriter::new(head.seat(), len, previous);
        self.current = Some(Current { number, file, size, writer, sound: (len, previous), dirty: false });
        Ok(())
    }
}

/// A new segment of this size.
fn make<D: Disk>(disk: &D, head: &SegmentHead, size: u64) -> io::Result<D::File> {
    let name = names::segment(head.number);
    let aside = names::aside(&name);
    discard(disk, &aside);
    let made = || {
        let file = disk.create(&aside, size)?;
        file.write_at(0, &head.encode())?;
        file.sync()?;
        disk.rename(&aside, &name)?;
        #[cfg(postrider_planted)]
        if postrider_core::planted::breaks(61) {
            return Ok(file);
        }
        disk.sync_dir()?;
        Ok(file)
    };
    made().inspect_err(|_| discard(disk, &aside))
}
