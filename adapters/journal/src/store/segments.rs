//! The segments of a store: which there are, how they are read, rewritten and removed.

use std::collections::VecDeque;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use postrider_core::id::JournalSeq;
use postrider_core::journal::{
    self, BatchWriter, Chain, FOOTER, FORMAT, Kind, RECORD_CRC, SEGMENT_HEAD, Seat, SegmentHead, StoreId,
};

use super::events::Events;
use super::{StoreError, names};
use crate::{Disk, File, LogError};

/// Files that are kept open for reading, at most.
const OPEN_FILES: usize = 32;

/// Bytes of a file that is being rewritten that are written between two syncs of it: so much is dirty at once, and the
/// log's own syncs wait for no more than that.
const SYNC_EVERY: u64 = 4 << 20;

/// Bytes that one read of a record asks for before its length is known.
const READ_AHEAD: usize = 4096;

/// Bytes that one read asks for at most where the records before were wanted too; more only for a longer record.
const READ_AT_ONCE: usize = 64 * 1024;

/// A segment that takes no more records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Its number; of a compacted one, the first number that it stands for.
    pub(crate) number: u64,
    /// How many numbers behind its own it stands for too.
    pub(crate) covers: u32,
    /// It was rewritten: places ascend in it and may have gaps.
    pub(crate) compacted: bool,
    /// Bytes of it that count, the header included. The file may be longer, with bytes that are void.
    pub(crate) len: u64,
    /// Its first record; one behind `last` when it has none.
    pub(crate) first: JournalSeq,
    /// Its last record, or the last before it when it has none.
    pub(crate) last: JournalSeq,
    /// The chain that it begins with.
    pub(crate) previous: Chain,
    /// The chain after its last batch.
    pub(crate) chain: Chain,
}

impl Sealed {
    /// The last number that it stands for.
    pub(crate) const fn through(&self) -> u64 {
        self.number.saturating_add(self.covers as u64)
    }

    /// Whether it has no records.
    pub(crate) fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// Its header.
    pub(crate) const fn head(&self, store: StoreId) -> SegmentHead {
        if self.compacted {
            SegmentHead::compacted(store, self.number, self.covers, self.previous)
        } else {
            SegmentHead::plain(store, self.number, self.previous)
        }
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The number of the segment.
    pub(crate) segment: u64,
    /// Where the record begins in the file, with its checksum.
    pub(crate) offset: u64,
    /// Bytes of its frame, behind the checksum.
    pub(crate) len: u32,
}

/// The segments of a store, and where the accepted records of pending events are in them.
pub(crate) struct Segments<D: Disk> {
    disk: D,
    store: StoreId,
    /// The format of new segments.
    format: u16,
    /// In order of numbers, which is the order of places.
    list: Vec<Entry>,
    /// The last of the list still takes records.
    open: bool,
    settled: JournalSeq,
    /// Files open for reading, the one used last in front.
    files: VecDeque<(u64, Arc<D::File>)>,
    /// Counts changes of files, so that space is measured again after one.
    changes: u64,
    /// Memory for reading single records.
    window: Window,
}

struct Entry {
    sealed: Sealed,
    events: Events,
}

/// Bytes of a segment that were read at once, for records that are wanted at one moment. Lists go backwards: when they
/// come to what lies before the bytes, twice as many are read.
#[derive(Default)]
pub(crate) struct Window {
    segment: u64,
    /// Where they begin in the file.
    start: u64,
    /// How many there are in the buffer.
    len: usize,
    buffer: Vec<u8>,
    /// Bytes that were asked for the last time.
    asked: usize,
    seat: Option<(u64, Seat)>,
}

impl Window {
    /// Nothing in it counts any more.
    const fn clear(&mut self) {
        (self.len, self.seat) = (0, None);
    }

    /// The bytes from an offset on that is not before them.
    fn from(&self, offset: u64) -> &[u8] {
        let at = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        self.buffer[..self.len].get(at..).unwrap_or_default()
    }

    /// Bytes of the record there, its checksum included, as far as its beginning is here.
    fn need(&self, segment: u64, offset: u64) -> Option<usize> {
        if self.segment != segment || offset < self.start {
            return None;
        }
        let len = self.from(offset).get(RECORD_CRC..)?.first_chunk()?;
        Some((RECORD_CRC + 4).saturating_add(u32::from_le_bytes(*len) as usize))
    }

    /// Whether all of the record is here.
    fn has(&self, segment: u64, offset: u64) -> bool {
        self.need(segment, offset).is_some_and(|need| need <= self.from(offset).len())
    }

    /// From where on, and how many bytes are to be read for the record there.
    fn place(&mut self, segment: u64, offset: u64) -> (u64, usize) {
        let back = self.start.checked_sub(offset).filter(|back| self.len > 0 && *back <= READ_AT_ONCE as u64 / 2);
        let goes_back = self.segment == segment && back.is_some_and(|back| back > 0);
        self.asked = if goes_back { (2 * self.asked).clamp(READ_AHEAD, READ_AT_ONCE) } else { READ_AHEAD };
        ((offset + READ_AHEAD as u64).saturating_sub(self.asked as u64).min(offset), self.asked)
    }
}

impl<D: Disk> Segments<D> {
    /// The disk, for files of one's own.
    pub(crate) const fn disk(&self) -> &D {
        &self.disk
    }

    /// The store.
    pub(crate) const fn store(&self) -> StoreId {
        self.store
    }

    /// The sealed segments, the oldest first.
    pub(crate) fn sealed(&self) -> impl DoubleEndedIterator<Item = &Sealed> {
        self.list[..self.list.len() - usize::from(self.open)].iter().map(|entry| &entry.sealed)
    }

    /// A sealed segment.
    pub(crate) fn get(&self, number: u64) -> Option<&Sealed> {
        self.sealed().find(|sealed| sealed.number == number)
    }

    /// No opening will read a record up to this one again, but for the accepted records of pending events: both kept
    /// snapshots stand for them. Only segments whose last record is at or below it may be rewritten or removed.
    pub(crate) const fn settled(&self) -> JournalSeq {
        self.settled
    }

    /// Whether the event has not durably ended, so that its accepted record must be kept.
    pub(crate) fn is_pending(&self, event: JournalSeq) -> bool {
        self.place(event).is_some()
    }

    /// How many pending events have their accepted records in a segment, and about how many bytes these take.
    pub(crate) fn pending_in(&self, number: u64) -> (usize, u64) {
        let entry = self.list.iter().find(|entry| entry.sealed.number == number);
        entry.map_or((0, 0), |entry| (entry.events.live(), entry.events.live_bytes()))
    }

    /// Reads bytes of a segment: fewer than `len` only at its end.
    pub(crate) fn read(&mut self, number: u64, offset: u64, len: usize) -> Result<Bytes, LogError> {
        let mut bytes = vec![0; len];
        let read = self.file(number).and_then(|file| file.read_at(offset, &mut bytes));
        let read = read.map_err(|error| failed("reading", &names::segment(number), &error))?;
        bytes.truncate(read);
        Ok(Bytes::from(bytes))
    }

    /// Reads one record and checks it against its checksum: its place, and its frame in memory of its own.
    pub(crate) fn frame(&mut self, segment: u64, offset: u64) -> Result<(JournalSeq, Bytes), LogError> {
        let mut window = self.window();
        let read = self.record(&mut window, segment, offset);
        let read = read.map(|(seq, frame)| (seq, Bytes::copy_from_slice(frame)));
        self.give_back(window);
        read
    }

    /// An empty window.
    pub(crate) fn window(&mut self) -> Window {
        std::mem::take(&mut self.window)
    }

    /// Takes a window back that is not needed any more: the next one has its memory. What was read is forgotten.
    pub(crate) fn give_back(&mut self, mut window: Window) {
        window.clear();
        if window.buffer.len() <= READ_AT_ONCE {
            self.window = window;
        }
    }

    /// The same of one record of several that are wanted at one moment, which share the reads of what lies side by side.
    pub(crate) fn record<'w>(
        &mut self,
        window: &'w mut Window,
        segment: u64,
        offset: u64,
    ) -> Result<(JournalSeq, &'w [u8]), LogError> {
        let damaged = || LogError::Damaged {
            place: format!("in {} at byte {offset}", names::segment(segment)),
            why: "the record there is not what was written".to_owned(),
        };
        let known = window.seat.filter(|(number, _)| *number == segment);
        let seat = match known {
            Some((_, seat)) => seat,
            None => {
                let entry = self.list.iter().find(|entry| entry.sealed.number == segment);
                let seat = entry.ok_or_else(damaged)?.sealed.head(self.store).seat();
                window.seat = Some((segment, seat));
                seat
            }
        };
        if !window.has(segment, offset) {
            let (from, len) = window.place(segment, offset);
            self.fill(window, segment, from, len)?;
            let need = window.need(segment, offset).ok_or_else(damaged)?;
            if need > window.from(offset).len() {
                let end = self.file(segment).and_then(|file| file.len());
                let end = end.map_err(|error| failed("reading", &names::segment(segment), &error))?;
                if need as u64 > end.saturating_sub(offset) {
                    return Err(damaged());
                }
                self.fill(window, segment, offset, need)?;
            }
        }
        journal::frame_at(seat, window.from(offset), offset).ok_or_else(damaged)
    }

    /// Reads bytes of a segment into a window.
    fn fill(&mut self, window: &mut Window, segment: u64, from: u64, len: usize) -> Result<(), LogError> {
        window.clear();
        if window.buffer.len() < len {
            window.buffer = vec![0; len];
        }
        let read = self.file(segment).and_then(|file| file.read_at(from, &mut window.buffer[..len]));
        let read = read.map_err(|error| failed("reading", &names::segment(segment), &error))?;
        (window.segment, window.start, window.len) = (segment, from, read);
        Ok(())
    }

    /// Begins to rewrite a run of adjacent sealed segments as one, aside: from the first number that a segment stands
    /// for to the last number that one stands for. Unless all of it is at or below [`settled`](Self::settled), every
    /// record must be written again, each at its place: `whole`.
    pub(crate) fn rewrite(&self, run: RangeInclusive<u64>, whole: bool) -> Result<Rewrite<D>, StoreError> {
        let settled = |at: &Range<usize>| self.list[at.clone()].iter().all(|entry| entry.sealed.last <= self.settled);
        let at = self.run(&run).filter(|at| whole || settled(at)).ok_or(StoreError::NotSettled)?;
        let first = &self.list[at.start].sealed;
        let covers = u32::try_from(run.end() - run.start()).map_err(|_| StoreError::NotSettled)?;
        let head = SegmentHead::compacted(self.store, first.number, covers, first.previous);
        Rewrite::new(&self.disk, head, first.first)
    }

    /// Puts what was rewritten in the place of its run: durable when this returns. The accepted records of events that
    /// are still pending must all have been written again, or the run stays and what was rewritten is gone.
    pub(crate) fn replace(&mut self, rewrite: Rewrite<D>) -> Result<Sealed, StoreError> {
        let run = rewrite.head.number..=rewrite.head.number + u64::from(rewrite.head.covers);
        let whole = |at: &Range<usize>| {
            let mut pending = self.list[at.clone()].iter().flat_map(|entry| entry.events.iter());
            pending.all(|(event, _)| rewrite.events.offset(event).is_some())
        };
        let Some(at) = self.run(&run).filter(whole) else {
            rewrite.discard(self);
            return Err(StoreError::NotSettled);
        };
        self.changed();
        // Its places end where those of the run ended.
        let (mut events, mut sealed, named) = rewrite.rename(&self.disk, self.list[at.end - 1].sealed.last)?;
        sealed.first = self.list[at.start].sealed.first;
        let ended: Vec<_> = events.iter().map(|(event, _)| event).filter(|event| !self.is_pending(*event)).collect();
        ended.into_iter().for_each(|event| _ = events.end(event));
        // From here on its name stands for the new file, even if that does not last.
        self.files.retain(|(number, _)| !run.contains(number));
        let replaced: Vec<_> = self.list.splice(at, [Entry { sealed: sealed.clone(), events }]).collect();
        named?;
        for entry in replaced.iter().skip(1) {
            // One that stays is removed at the next opening: the new one stands for it.
            discard(&self.disk, &names::segment(entry.sealed.number));
        }
        Ok(sealed)
    }

    /// Removes the oldest segment, when `number` names it, nothing in it is needed and it is not the only one; whether
    /// that was so.
    pub(crate) fn remove(&mut self, number: u64) -> Result<bool, StoreError> {
        let oldest = self.list.first().is_some_and(|Entry { sealed, events }| {
            sealed.number == number && sealed.last <= self.settled && events.live() == 0
        });
        if !oldest || self.list.len() == 1 {
            return Ok(false);
        }
        let name = names::segment(number);
        // Of removals that are not durable a crash may keep any, and a later one without an earlier would leave a hole.
        self.disk.sync_dir().map_err(|error| StoreError::of(&error, "naming what comes before", &name))?;
        self.disk.remove(&name).map_err(|error| StoreError::of(&error, "removing", &name))?;
        self.files.retain(|(open, _)| *open != number);
        self.list.remove(0);
        self.changed();
        Ok(true)
    }

    /// To be told when a file of one's own was made or removed, so that space is counted again.
    pub(crate) const fn changed(&mut self) {
        self.changes += 1;
    }
}

/// What the store alone does.
impl<D: Disk> Segments<D> {
    /// The segments of a store that have been found, all sealed.
    pub(super) fn new(disk: D, store: StoreId) -> Self {
        let (list, files) = (Vec::new(), VecDeque::new());
        let (settled, window) = (JournalSeq::ZERO, Window::default());
        Self { disk, store, format: FORMAT, list, open: false, settled, files, changes: 0, window }
    }

    /// A segment that was made behind the others, with the accepted records of pending events in it.
    pub(super) fn push_with(&mut self, sealed: Sealed, events: Events) {
        self.push(sealed, false);
        self.list.last_mut().expect("it was just pushed").events = events;
    }

    /// The format of new segments.
    pub(super) const fn format(&self) -> u16 {
        self.format
    }

    /// New segments have this format.
    pub(super) const fn write_format(&mut self, format: u16) {
        self.format = format;
    }

    /// Empties the table.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.files.clear();
        self.open = false;
        self.changed();
    }

    /// The store has this name.
    pub(super) const fn named(&mut self, store: StoreId) {
        self.store = store;
    }

    pub(super) fn settle(&mut self, settled: JournalSeq) {
        self.settled = settled;
    }

    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// The last segment, whether it takes records or not.
    pub(super) fn newest(&self) -> Option<&Sealed> {
        self.list.last().map(|entry| &entry.sealed)
    }

    /// Adds a segment behind the others. The one before it is sealed.
    pub(super) fn push(&mut self, sealed: Sealed, open: bool) {
        debug_assert!(!self.open, "one segment at a time takes records");
        debug_assert!(self.newest().is_none_or(|last| last.through() < sealed.number), "numbers ascend");
        let events = Events::new(sealed.first);
        self.list.push(Entry { sealed, events });
        self.open = open;
        self.changed();
    }

    /// Whether the last segment can hold an accepted record there.
    pub(super) fn holds(&self, seq: JournalSeq, offset: u64) -> bool {
        self.list.last().is_some_and(|entry| entry.events.holds(seq, offset))
    }

    /// An event was accepted: its record is in the last segment.
    pub(super) fn accepted(&mut self, seq: JournalSeq, offset: u64, len: u32) {
        self.list.last_mut().expect("a record is in a segment").events.add(seq, offset, len);
    }

    /// The last segment has come so far.
    pub(super) fn grown(&mut self, len: u64, last: JournalSeq, chain: Chain) {
        let sealed = &mut self.list.last_mut().expect("a record is in a segment").sealed;
        (sealed.len, sealed.last, sealed.chain) = (len, last, chain);
    }

    /// The last segment takes no more records.
    pub(super) fn seal(&mut self) -> Sealed {
        self.open = false;
        self.changed();
        self.newest().expect("a segment was open").clone()
    }

    /// Records from this place on are void. They are in the last segment.
    pub(super) fn forget(&mut self, from: JournalSeq) {
        if let Some(entry) = self.list.last_mut() {
            entry.events.forget(from);
        }
    }

    /// The event has durably ended.
    pub(super) fn ended(&mut self, event: JournalSeq) {
        if let Some(at) = self.holder(event) {
            self.list[at].events.end(event);
        }
    }

    /// Where the event's accepted record is, if it is pending: the segment and the offset.
    pub(super) fn place(&self, event: JournalSeq) -> Option<(u64, u64)> {
        let entry = &self.list[self.holder(event)?];
        Some((entry.sealed.number, entry.events.offset(event)?))
    }

    /// The pending events, in order, and where their accepted records are.
    pub(super) fn pending(&self) -> impl Iterator<Item = JournalSeq> + '_ {
        self.list.iter().flat_map(|entry| entry.events.iter().map(|(event, _)| event))
    }

    /// A file that was just made.
    pub(super) fn opened(&mut self, number: u64, file: Arc<D::File>) {
        self.files.push_front((number, file));
        self.files.truncate(OPEN_FILES);
    }

    /// The entry that would hold the accepted record of this event.
    fn holder(&self, event: JournalSeq) -> Option<usize> {
        self.list.partition_point(|entry| entry.sealed.first <= event).checked_sub(1)
    }

    /// Which of the list stand for exactly these numbers, all of them sealed.
    fn run(&self, run: &RangeInclusive<u64>) -> Option<Range<usize>> {
        let start = self.list.iter().position(|entry| entry.sealed.number == *run.start())?;
        let len = self.list[start..].iter().position(|entry| entry.sealed.through() == *run.end())? + 1;
        let sealed = self.list.len() - usize::from(self.open);
        (start + len <= sealed).then_some(start..start + len)
    }

    fn file(&mut self, number: u64) -> io::Result<Arc<D::File>> {
        match self.files.iter().position(|(open, _)| *open == number) {
            Some(at) => {
                let found = self.files.remove(at).expect("it was just found");
                self.files.push_front(found);
            }
            None => {
                let file = self.disk.open(&names::segment(number))?;
                self.opened(number, Arc::new(file));
            }
        }
        Ok(self.files[0].1.clone())
    }
}

/// A segment that is being made aside, most often in the place of a run of others.
///
/// In memory are the batch that came last, the same as it is written, and 16 bytes or so for each pending event: about
/// 3 MiB with batches of 1 MiB, however large the segment becomes.
pub(crate) struct Rewrite<D: Disk> {
    head: SegmentHead,
    aside: String,
    file: D::File,
    /// Behind the batches that are in the file.
    writer: BatchWriter,
    /// The frames of the last batch, which is marked as the last when it is written.
    held: BytesMut,
    /// Where the next batch begins.
    at: u64,
    /// How far it was synced.
    synced: u64,
    events: Events,
    first: JournalSeq,
    buffer: Vec<u8>,
}

impl<D: Disk> Rewrite<D> {
    pub(super) fn new(disk: &D, head: SegmentHead, first: JournalSeq) -> Result<Self, StoreError> {
        let aside = names::aside(&names::segment(head.number));
        let of = |error: io::Error| StoreError::of(&error, "making", &aside);
        // What a rewriting that failed left behind.
        discard(disk, &aside);
        let file = disk.create(&aside, 0).map_err(of)?;
        file.write_at(0, &head.encode()).map_err(of)?;
        let at = SEGMENT_HEAD as u64;
        let writer = BatchWriter::new(head.seat(), at, head.previous);
        let (held, events) = (BytesMut::new(), Events::new(first));
        Ok(Self { head, aside, file, writer, held, at, synced: 0, events, first, buffer: Vec::new() })
    }

    /// Writes frames as one batch; their places ascend, from batch to batch too. Says where each lies. The batch is in
    /// memory until the next one comes: 1 MiB is a good size.
    pub(crate) fn push(&mut self, frames: &[Bytes]) -> Result<Vec<Location>, StoreError> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        self.write(false)?;
        let seats = self.seats(frames).ok_or(StoreError::NotSettled)?;
        for (frame, at) in frames.iter().zip(&seats) {
            self.held.extend_from_slice(frame);
            self.at = at.offset + RECORD_CRC as u64 + u64::from(at.len);
            if let Ok((key, _)) = journal::peek(frame)
                && key.kind == Kind::Accepted
            {
                self.events.add(key.seq, at.offset, at.len);
            }
        }
        self.at += FOOTER as u64;
        Ok(seats)
    }

    /// Gives up what was written.
    pub(crate) fn discard(self, segments: &mut Segments<D>) {
        discard(&segments.disk, &self.aside);
        segments.changed();
    }

    /// Makes it a segment whose places end with `last`, durably.
    pub(super) fn install(self, disk: &D, last: JournalSeq) -> Result<(Events, Sealed), StoreError> {
        let (events, sealed, named) = self.rename(disk, last)?;
        named.map(|()| (events, sealed))
    }

    /// The same; whether its name lasts is told apart from whether it has it.
    fn rename(mut self, disk: &D, last: JournalSeq) -> Result<(Events, Sealed, Result<(), StoreError>), StoreError> {
        let name = names::segment(self.head.number);
        let done = self.write(true).and_then(|()| {
            let done = self.file.sync().and_then(|()| disk.rename(&self.aside, &name));
            done.map_err(|error| StoreError::of(&error, "making", &name))
        });
        if let Err(error) = done {
            discard(disk, &self.aside);
            return Err(error);
        }
        let named = disk.sync_dir().map_err(|error| StoreError::of(&error, "naming", &name));
        let sealed = Sealed {
            number: self.head.number,
            covers: self.head.covers,
            compacted: self.head.compacted,
            len: self.writer.offset(),
            first: self.first,
            last,
            previous: self.head.previous,
            chain: self.writer.chain(),
        };
        Ok((self.events, sealed, named))
    }

    /// Writes the batch that is held.
    fn write(&mut self, is_last: bool) -> Result<(), StoreError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let (start, frames) = (self.writer.offset(), self.held.split().freeze());
        self.buffer.clear();
        let written = match is_last {
            true => self.writer.write_end(&frames, &mut self.buffer),
            false => self.writer.write(&frames, &mut self.buffer),
        };
        written.map_err(|_| StoreError::NotSettled)?;
        let mut done = self.file.write_at(start, &self.buffer);
        if done.is_ok() && !is_last && self.writer.offset() - self.synced >= SYNC_EVERY {
            done = self.file.sync();
            self.synced = self.writer.offset();
        }
        done.map_err(|error| StoreError::of(&error, "writing", &self.aside))
    }

    /// Where the frames will lie, if accepted records can lie there.
    fn seats(&self, frames: &[Bytes]) -> Option<Vec<Location>> {
        let mut offset = self.at;
        let mut seats = Vec::with_capacity(frames.len());
        for frame in frames {
            let (key, len) = journal::peek(frame).ok().filter(|(_, len)| *len == frame.len())?;
            if key.kind == Kind::Accepted && !self.events.holds(key.seq, offset) {
                return None;
            }
            seats.push(Location { segment: self.head.number, offset, len: u32::try_from(len).ok()? });
            offset += (RECORD_CRC + len) as u64;
        }
        Some(seats)
    }
}

/// Gives a file that was made aside its name, durably: its bytes first, then the name.
pub(super) fn install<D: Disk>(disk: &D, file: &D::File, aside: &str, name: &str) -> Result<(), StoreError> {
    let done = file.sync().and_then(|()| disk.rename(aside, name));
    if let Err(error) = done {
        discard(disk, aside);
        return Err(StoreError::of(&error, "making", name));
    }
    disk.sync_dir().map_err(|error| StoreError::of(&error, "naming", name))
}

/// Removes a file that counts for nothing; one that stays is removed at the next opening.
pub(super) fn discard<D: Disk>(disk: &D, name: &str) {
    let _ = disk.remove(name);
}

/// What went wrong with a file.
pub(super) fn failed(doing: &str, name: &str, error: &io::Error) -> LogError {
    LogError::Io { doing: format!("{doing} {name}"), kind: error.kind() }
}
