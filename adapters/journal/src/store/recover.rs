//! Reading a store from its disk: what is there, what of it counts, and what is damaged. Changes nothing.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{
    self, Batch, Chain, End, FORMAT, FRAME_HEAD, HeadError, Kind, Piece, Record, RecordKey, SEGMENT_HEAD, Salvage,
    Scan, Seat, SegmentHead, StoreId,
};

use super::found::{Corrupt, Damage, Found, LostEvent, OpenError};
use super::keeper::Keeper;
use super::lost::{self, Lost};
use super::segments::{Location, Sealed, Segments};
use super::snapshots::{self, Kept, Summary};
use super::{acked, names};
use crate::{Disk, File, LogError};

/// What is on a disk.
pub(super) struct Survey {
    pub(super) found: Found,
    /// Every place where it is damaged.
    pub(super) damage: Vec<Corrupt>,
    /// The snapshots that can be used, the oldest first; the last is used.
    pub(super) kept: Vec<Kept>,
    /// The highest number that a snapshot bears.
    pub(super) last_snapshot: u64,
    /// The last record that the snapshot in use makes unnecessary.
    pub(super) since: JournalSeq,
    /// Ranges of records behind `since` that are lost for good.
    pub(super) gaps: Vec<(JournalSeq, JournalSeq)>,
    /// There is no snapshot to use, and the log begins with this record instead of the first.
    pub(super) headless: Option<JournalSeq>,
    /// Batches at the end of the last segment that may not be on the disk: they were not acknowledged, as far as can
    /// be told. They are in no segment of the table.
    pub(super) tail: Vec<Batch>,
    /// Files that count for nothing.
    pub(super) leftovers: Vec<String>,
}

/// Reads everything that opening needs and puts the segments into the table, which is empty. A store without files
/// gets the name `new`.
pub(super) fn survey<D: Disk>(
    segments: &mut Segments<D>,
    keeper: &mut dyn Keeper<D>,
    new: StoreId,
    how: How,
) -> Result<Survey, OpenError> {
    // Before anything is listed: what it tells of is in files that are there already.
    let acked = acked::Raw::read(segments.disk());
    let files = Files::list(segments.disk())?;
    let store = files.store(segments.disk())?.unwrap_or(new);
    segments.named(store);
    let newest = files.segments.iter().rev().find_map(|file| file.head.as_ref().ok());
    segments.write_format(newest.map_or(FORMAT, |head| head.format));
    let mut reading = Reading {
        store,
        whole: how == How::Whole,
        log: LogReader::new(Lost::read(segments.disk())),
        damage: Vec::new(),
        found: Found::default(),
        tail: VecDeque::new(),
        acked: acked.map_or(JournalSeq::ZERO, |acked| acked.of(store)),
    };
    let (kept, through) = reading.snapshot(segments.disk(), keeper, &files)?;
    // A snapshot ends only when what it may show is durable.
    reading.acked = reading.acked.max(through);
    reading.log(segments, keeper, &files)?;
    if how != How::ToWrite && !reading.tail.is_empty() {
        reading.release(segments, keeper);
        keeper.sealed(&segments.seal());
    }
    // What is lost before the batches that are held back is lost all the same.
    if let Some(first) = reading.tail.front().map(|batch| batch.first) {
        reading.follow(segments, first);
        reading.log.first.get_or_insert(first);
        reading.see_held_back();
    }
    reading.found.last = reading.end(segments);
    reading.name(segments.disk())?;
    let Reading { log, damage, mut found, tail, .. } = reading;
    found.segments = segments.sealed().count() as u64;
    let headless = found.snapshot.is_none() && log.first.is_some_and(|first| first > JournalSeq::new(1));
    Ok(Survey {
        found,
        damage,
        last_snapshot: files.snapshots.last().copied().unwrap_or(0),
        since: log.since,
        headless: log.first.filter(|_| headless),
        gaps: log.gaps,
        tail: tail.into(),
        leftovers: files.leftovers_besides(&kept),
        kept,
    })
}

/// What a survey is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The store goes on: what may not be on the disk is held back in [`Survey::tail`].
    ToWrite,
    /// The store is looked at.
    ToLook,
    /// The store is looked at, and every byte is read.
    Whole,
}

/// The files of a store, by what they are.
struct Files {
    segments: Vec<Headed>,
    snapshots: Vec<u64>,
    leftovers: Vec<String>,
}

struct Headed {
    number: u64,
    len: u64,
    head: Result<SegmentHead, HeadError>,
}

impl Files {
    fn list<D: Disk>(disk: &D) -> Result<Self, OpenError> {
        let mut files = Self { segments: Vec::new(), snapshots: Vec::new(), leftovers: Vec::new() };
        for name in disk.list().map_err(|error| OpenError::io("listing", "its directory", &error))? {
            if name.ends_with(names::ASIDE) {
                files.leftovers.push(name);
            } else if let Some(number) = names::segment_number(&name) {
                files.segments.push(Headed::read(disk, &name, number)?);
            } else {
                files.snapshots.extend(names::snapshot_number(&name));
            }
        }
        files.snapshots.sort_unstable();
        files.segments.sort_unstable_by_key(|file| file.number);
        files.leave_unfinished(disk)?;
        files.leave_covered();
        Ok(files)
    }

    /// The last segment may have been in the making: it then holds nothing but zeros.
    fn leave_unfinished<D: Disk>(&mut self, disk: &D) -> Result<(), OpenError> {
        let Some(last) = self.segments.last().filter(|last| last.head.is_err()) else { return Ok(()) };
        let name = names::segment(last.number);
        let bytes = snapshots::read_all(disk, &name).map_err(io)?;
        if bytes.len() < SEGMENT_HEAD || bytes.iter().all(|byte| *byte == 0) {
            self.leftovers.push(name);
            self.segments.pop();
        }
        Ok(())
    }

    /// Segments that a compacted one stands for.
    fn leave_covered(&mut self) {
        let (mut through, leftovers) = (0, &mut self.leftovers);
        self.segments.retain(|file| {
            let covered = file.number <= through;
            if covered {
                leftovers.push(names::segment(file.number));
            } else if let Some(head) = file.head.as_ref().ok().filter(|head| head.number == file.number) {
                through = file.number.saturating_add(head.covers.into());
            }
            !covered
        });
    }

    /// Files that count for nothing when these snapshots are kept.
    fn leftovers_besides(self, kept: &[Kept]) -> Vec<String> {
        let over = self.snapshots.into_iter().filter(|number| kept.iter().all(|kept| kept.number != *number));
        self.leftovers.into_iter().chain(over.map(names::snapshot)).collect()
    }

    /// The name of the store: that of most of its files.
    fn store<D: Disk>(&self, disk: &D) -> Result<Option<StoreId>, OpenError> {
        let mut votes: BTreeMap<StoreId, usize> = BTreeMap::new();
        for head in self.segments.iter().filter_map(|file| file.head.as_ref().ok()) {
            *votes.entry(head.store).or_default() += 1;
        }
        for number in &self.snapshots {
            if let Some(head) = snapshots::head(disk, *number)? {
                *votes.entry(head.store).or_default() += 1;
            }
        }
        Ok(votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(store, _)| store))
    }
}

impl Headed {
    fn read<D: Disk>(disk: &D, name: &str, number: u64) -> Result<Self, OpenError> {
        let mut bytes = vec![0; SEGMENT_HEAD];
        let mut read = || {
            let file = disk.open(name)?;
            std::io::Result::Ok((file.len()?, file.read_at(0, &mut bytes)?))
        };
        let (len, got) = read().map_err(|error| OpenError::io("reading", name, &error))?;
        let head = SegmentHead::decode(&bytes[..got]);
        if let Err(HeadError::Newer { format, known }) = head {
            return Err(OpenError::Newer { file: name.to_owned(), format, known });
        }
        Ok(Self { number, len, head })
    }

    /// Its header, if it is sound and belongs to this file of this store.
    fn own_head(&self, store: StoreId) -> Option<&SegmentHead> {
        self.head.as_ref().ok().filter(|head| head.store == store && head.number == self.number)
    }
}

/// A survey in the making.
struct Reading {
    store: StoreId,
    whole: bool,
    log: LogReader,
    damage: Vec<Corrupt>,
    found: Found,
    /// Batches of the last segment that are not known to be durable yet.
    tail: VecDeque<Batch>,
    acked: JournalSeq,
}

/// How far the log has been read.
struct LogReader {
    since: JournalSeq,
    /// The first record read.
    first: Option<JournalSeq>,
    /// The last record read; `None` before the first of a log that does not begin at the beginning.
    last: Option<JournalSeq>,
    /// The damage whose end has not been seen.
    open: Option<usize>,
    /// The pending events of the snapshot.
    events: Vec<JournalSeq>,
    /// Which of them have been seen accepted or ended.
    seen: Vec<bool>,
    lost: Lost,
    gaps: Vec<(JournalSeq, JournalSeq)>,
}

impl LogReader {
    fn new(lost: Lost) -> Self {
        let (events, seen, gaps) = (Vec::new(), Vec::new(), Vec::new());
        Self { since: JournalSeq::ZERO, first: None, last: None, open: None, events, seen, lost, gaps }
    }

    /// The event was accepted before the snapshot, or has ended since: whether the snapshot knows it.
    fn see(&mut self, event: JournalSeq) -> bool {
        let at = self.events.binary_search(&event);
        at.inspect(|at| self.seen[*at] = true).is_ok()
    }
}

impl Reading {
    /// Chooses a snapshot. Says which can be used, and how far the log must go for the one in use.
    fn snapshot<D: Disk>(
        &mut self,
        disk: &D,
        keeper: &mut dyn Keeper<D>,
        files: &Files,
    ) -> Result<(Vec<Kept>, JournalSeq), OpenError> {
        let mut newest_first = files.snapshots.iter().rev();
        for number in newest_first.by_ref() {
            let Some(Summary { since, through, events, endpoints }) = snapshots::summary(disk, self.store, *number)?
            else {
                self.found.damaged_snapshots.push(*number);
                continue;
            };
            endpoints.iter().for_each(|frame| keeper.endpoint(frame));
            self.found.snapshot = Some(*number);
            (self.log.since, self.log.seen, self.log.events) = (since, vec![false; events.len()], events);
            let older = newest_first.find_map(|older| {
                let since = snapshots::since(disk, self.store, *older)?;
                Some(Kept { number: *older, since })
            });
            return Ok((older.into_iter().chain([Kept { number: *number, since }]).collect(), through));
        }
        Ok((Vec::new(), JournalSeq::ZERO))
    }

    fn log<D: Disk>(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
        files: &Files,
    ) -> Result<(), OpenError> {
        let mut expected = files.segments.first().map_or(1, |first| first.number);
        if expected == 1 {
            self.log.last = Some(JournalSeq::ZERO);
        }
        for (at, file) in files.segments.iter().enumerate() {
            if expected < file.number {
                self.report(Corrupt::new(expected, 0, Damage::Missing));
            }
            let next = files.segments.get(at + 1);
            let head = self.head(segments, file, next)?;
            expected = head.number.saturating_add(head.covers.into()).saturating_add(1);
            let stop = next.filter(|next| next.number == expected && !head.compacted);
            let stop = stop.and_then(|next| next.own_head(self.store)).map(|next| next.previous);
            if let Some(known) = (!self.whole && next.is_some()).then(|| keeper.found(segments.disk(), &head, file.len))
                && let Some(known) = known.filter(|known| self.needs_no_reading(known, stop))
            {
                self.log.last = Some(known.last);
                segments.push(known, false);
                continue;
            }
            self.segment(segments, keeper, head, stop, &files.segments[at + 1..])?;
        }
        Ok(())
    }

    /// The first record behind a segment, as far as the segments behind it tell: what a segment has from there on was
    /// written again, or for the first time, in one of them.
    fn below<D: Disk>(&self, disk: &D, behind: &[Headed]) -> Result<Option<JournalSeq>, OpenError> {
        for file in behind {
            let Some(head) = file.own_head(self.store) else { continue };
            let bytes = snapshots::read_all(disk, &names::segment(file.number)).map_err(io)?;
            let rest = bytes.slice(SEGMENT_HEAD.min(bytes.len())..);
            let first = Salvage::new(head.seat(), &rest, SEGMENT_HEAD as u64, None).find_map(|piece| first(&piece));
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }

    /// The header of a segment; when it is damaged, one that can stand for it.
    fn head<D: Disk>(
        &mut self,
        segments: &Segments<D>,
        file: &Headed,
        next: Option<&Headed>,
    ) -> Result<SegmentHead, OpenError> {
        match &file.head {
            Ok(head) if file.own_head(self.store).is_some() => return Ok(*head),
            Ok(_) => self.report(Corrupt::new(file.number, 0, Damage::Foreign)),
            Err(_) => self.report(Corrupt::new(file.number, 0, Damage::Head)),
        }
        let previous = segments.newest().map_or(Chain::START, |before| before.chain);
        let through = next.map_or(file.number, |next| next.number - 1);
        let covers = u32::try_from(through - file.number).unwrap_or(u32::MAX);
        let compacted = SegmentHead::compacted(self.store, file.number, covers, previous);
        let bytes = snapshots::read_all(segments.disk(), &names::segment(file.number)).map_err(io)?;
        let rest = bytes.slice(SEGMENT_HEAD.min(bytes.len())..);
        let is_compacted = journal::record_at(compacted.seat(), &rest, SEGMENT_HEAD as u64).is_some();
        Ok(if is_compacted { compacted } else { SegmentHead::plain(self.store, file.number, previous) })
    }

    /// Whether what an index says of a segment is enough.
    fn needs_no_reading(&self, known: &Sealed, stop: Option<Chain>) -> bool {
        let LogReader { since, last, events, .. } = &self.log;
        let behind = |event: &&JournalSeq| known.first <= **event && **event <= known.last;
        known.last <= *since
            && stop.is_none_or(|stop| stop == known.chain)
            && (known.compacted || last.is_none_or(|last| last.next() == known.first))
            && !events.iter().any(|event| behind(&event))
    }

    /// Reads a segment from its beginning to its end.
    fn segment<D: Disk>(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
        head: SegmentHead,
        stop: Option<Chain>,
        behind: &[Headed],
    ) -> Result<(), OpenError> {
        let is_last = behind.is_empty();
        let bytes = snapshots::read_all(segments.disk(), &names::segment(head.number)).map_err(io)?;
        let bytes = bytes.slice(SEGMENT_HEAD.min(bytes.len())..);
        let before = self.log.last;
        let first = before.unwrap_or(JournalSeq::ZERO).next();
        let sealed = Sealed {
            number: head.number,
            covers: head.covers,
            compacted: head.compacted,
            len: SEGMENT_HEAD as u64,
            first,
            last: before.unwrap_or(JournalSeq::ZERO),
            previous: head.previous,
            chain: head.previous,
        };
        segments.push(sealed, false);
        let mut scan = Scan::new(head.seat(), &bytes, SEGMENT_HEAD as u64, head.previous);
        let mut ended = head.compacted.then_some(true);
        let mut chain = head.previous;
        // Nothing says where it ends but what is behind it.
        let below = if stop.is_none() && !head.compacted { self.below(segments.disk(), behind)? } else { None };
        while stop != Some(chain) {
            let Some(batch) = scan.next().filter(|batch| below.is_none_or(|below| batch.first < below)) else { break };
            chain = batch.chain;
            ended = head.compacted.then_some(batch.ends);
            // What was rewritten was durable before it had its name.
            if is_last && !head.compacted {
                self.hold(segments, keeper, batch);
            } else {
                self.batch(segments, keeper, &batch);
            }
        }
        if stop != Some(chain) {
            let more = stop.is_some() || ended == Some(false);
            let below = if below.is_none() { self.below(segments.disk(), behind)? } else { below };
            let may_be_torn = is_last && !head.compacted;
            self.tail(segments, keeper, &scan, Rest { bytes: &bytes, seat: head.seat(), more, may_be_torn, below });
        }
        // What is to be written again is no part of the segment.
        if self.tail.is_empty() {
            keeper.sealed(&segments.seal());
        }
        Ok(())
    }

    /// Takes a batch of the last segment: it waits until one behind it says that it was durable.
    fn hold<D: Disk>(&mut self, segments: &mut Segments<D>, keeper: &mut dyn Keeper<D>, batch: Batch) {
        let durable = batch.durable;
        self.tail.push_back(batch);
        while let Some(first) = self.tail.pop_front_if(|first| first.end <= durable || first.first <= self.acked) {
            self.batch(segments, keeper, &first);
        }
    }

    /// What is held back counts once it was written again. An event whose end is in it may have lost its payload already,
    /// for that end was durable, however little is left that says so.
    fn see_held_back(&mut self) {
        for (_, frame) in self.tail.iter().flat_map(Batch::records) {
            if let Ok((RecordKey { kind: Kind::Ended, event: Some(event), .. }, _)) = journal::peek(&frame) {
                self.log.see(event);
            }
        }
    }

    /// Looks at what stands behind the last sound batch of a segment.
    fn tail<D: Disk>(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
        scan: &Scan,
        Rest { bytes, seat, more, may_be_torn, below }: Rest<'_>,
    ) {
        let tail = scan.tail();
        let number = segments.newest().expect("it was just pushed").number;
        let written = || bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| (SEGMENT_HEAD + at + 1) as u64);
        match tail.end {
            End::Clean if !more => {}
            End::Clean => self.report(Corrupt::new(number, tail.at, Damage::Short)),
            End::Torn if may_be_torn && self.acked <= self.reached() => {
                self.found.torn = written().saturating_sub(tail.at)
            }
            #[cfg(postrider_planted)]
            End::Torn | End::Damaged if postrider_core::planted::breaks(62) => {
                self.found.torn = written().saturating_sub(tail.at)
            }
            End::Torn | End::Damaged => {
                self.release(segments, keeper);
                let before = self.damage.len();
                let rest = bytes.slice((tail.at - SEGMENT_HEAD as u64) as usize..);
                let pieces = Salvage::new(seat, &rest, tail.at, self.log.last);
                let here = |piece: &Piece| first(piece).zip(below).is_none_or(|(first, below)| first < below);
                pieces.take_while(here).for_each(|piece| self.piece(segments, keeper, piece, &rest, tail.at));
                // All that is left is sound by itself, and yet not what the file once had.
                if self.damage.len() == before {
                    self.report(Corrupt::new(number, tail.at, Damage::Records));
                }
            }
        }
    }

    /// The last record of the log, those included that wait to be known durable.
    fn reached(&self) -> JournalSeq {
        self.tail.back().map(|batch| batch.last).or(self.log.last).unwrap_or(JournalSeq::ZERO)
    }

    /// Takes what waits as it is: what comes behind it is damaged.
    fn release<D: Disk>(&mut self, segments: &mut Segments<D>, keeper: &mut dyn Keeper<D>) {
        for batch in std::mem::take(&mut self.tail) {
            self.batch(segments, keeper, &batch);
        }
    }

    fn piece<D: Disk>(
        &mut self,
        segments: &mut Segments<D>,
        keeper: &mut dyn Keeper<D>,
        piece: Piece,
        bytes: &Bytes,
        base: u64,
    ) {
        match piece {
            Piece::Batch(batch) => self.batch(segments, keeper, &batch),
            Piece::Record { offset, frame, .. } => {
                self.record(segments, keeper, offset, &frame);
            }
            Piece::Lost { from, to } => {
                let number = segments.newest().expect("a piece is of a segment").number;
                if self.log.open.is_none() {
                    self.report(Corrupt::new(number, from, Damage::Records));
                }
                let guess = lost::guess(&bytes.slice((from - base) as usize..(to - base) as usize));
                // Damage may have changed its place: one that cannot be is no help.
                let after = self.log.last.unwrap_or(JournalSeq::ZERO).get();
                let most = after.saturating_add((to - base) / FRAME_HEAD as u64);
                let guess = guess.filter(|guess| after < guess.seq.get() && guess.seq.get() <= most);
                if let Some(open) = self.log.open {
                    self.damage[open].ids.extend(guess);
                }
            }
        }
    }

    fn batch<D: Disk>(&mut self, segments: &mut Segments<D>, keeper: &mut dyn Keeper<D>, batch: &Batch) {
        for (offset, frame) in batch.records() {
            self.record(segments, keeper, offset, &frame);
        }
        let last = self.log.last.unwrap_or(batch.last);
        segments.grown(batch.end, last, batch.chain);
    }

    /// Takes a record of the last segment in the table.
    fn record<D: Disk>(&mut self, segments: &mut Segments<D>, keeper: &mut dyn Keeper<D>, offset: u64, frame: &Bytes) {
        let Ok((key, len)) = journal::peek(frame) else { return };
        // It was written again, because it could not be made durable here or there.
        if self.log.last.is_some_and(|last| key.seq <= last) {
            return;
        }
        self.follow(segments, key.seq);
        self.found.records += 1;
        self.log.first.get_or_insert(key.seq);
        self.log.last = Some(key.seq);
        match (key.kind, key.event) {
            (Kind::Accepted, Some(event)) => {
                let known = self.log.see(event);
                if (known || event > self.log.since) && segments.holds(event, offset) {
                    segments.accepted(event, offset, len as u32);
                }
            }
            (Kind::Ended, Some(event)) => {
                self.log.see(event);
                segments.ended(event);
            }
            (_, _) => {}
        }
        let segment = segments.newest().expect("a record is in a segment").number;
        keeper.note(&key, frame, Location { segment, offset, len: len as u32 });
    }

    /// The next record is `seq`: what should have come between is lost.
    fn follow<D: Disk>(&mut self, segments: &Segments<D>, seq: JournalSeq) {
        let needed = self.log.since.next();
        // Nothing is known of what was before the first segment that is left; what opening needs must be there.
        let expected = self.log.last.map_or_else(|| needed.min(seq), JournalSeq::next);
        let gap = Some((expected, before(seq))).filter(|(first, last)| first <= last);
        let newest = segments.newest().expect("a record is in a segment");
        self.close(gap, newest.number, newest.len);
    }

    /// Records are missing at a place, or none are: ends the damage that is open there, or is damage itself.
    fn close(&mut self, gap: Option<(JournalSeq, JournalSeq)>, segment: u64, offset: u64) {
        #[cfg(postrider_planted)]
        let gap = gap.filter(|_| !postrider_core::planted::breaks(62));
        let open = self.log.open.take();
        let Some((first, last)) = gap else { return };
        let needed = (first.max(self.log.since.next()), last);
        match open {
            Some(open) => self.damage[open].records = gap,
            None if needed.0 <= needed.1 && !self.log.lost.covers(needed.0, needed.1) => {
                let mut corrupt = Corrupt::new(segment, offset, Damage::Short);
                corrupt.records = gap;
                self.damage.push(corrupt);
            }
            None => {}
        }
        if needed.0 <= needed.1 {
            self.log.gaps.push(needed);
        }
    }

    /// The log has been read: does it go as far as it must, and has it the payloads of what is pending? Says what the
    /// last record is, be it lost.
    fn end<D: Disk>(&mut self, segments: &Segments<D>) -> JournalSeq {
        let reached = self.reached();
        let lost = self.log.lost.ranges().map(|(_, last)| last).max().unwrap_or(JournalSeq::ZERO);
        // What is left of an event's record at the damaged end of the log says that there was a log up to it.
        let named = self.log.open.and_then(|open| self.damage[open].ids.iter().map(|id| id.seq).max());
        let must = self.acked.max(lost).max(named.unwrap_or(JournalSeq::ZERO));
        #[cfg(postrider_planted)]
        let must = if postrider_core::planted::breaks(62) { reached } else { must };
        let (segment, offset) = segments.newest().map_or((1, 0), |newest| (newest.number, newest.len));
        let short = Some((reached.next(), must)).filter(|(first, last)| first <= last);
        // Behind a snapshot's beginning records are needed, before it they should be there all the same.
        if short.is_some() && self.log.open.is_none() && !self.log.lost.covers(reached.next(), must) {
            self.report(Corrupt::new(segment, offset, Damage::Short));
        }
        self.close(short, segment, offset);
        for (event, seen) in self.log.events.iter().zip(&self.log.seen) {
            let known = *seen || self.log.lost.covers(*event, *event);
            if known || self.damage.iter().any(|at| at.range().is_some_and(|range| range.contains(&event.get()))) {
                continue;
            }
            let segment =
                segments.sealed().rev().find(|sealed| sealed.first <= *event).map_or(1, |sealed| sealed.number);
            let mut corrupt = Corrupt::new(segment, SEGMENT_HEAD as u64, Damage::Short);
            corrupt.records = Some((*event, *event));
            self.damage.push(corrupt);
        }
        reached.max(must)
    }

    /// Names the events that are lost, as far as the snapshot in use knows them.
    fn name<D: Disk>(&mut self, disk: &D) -> Result<(), OpenError> {
        for at in &mut self.damage {
            if let Some(range) = at.range() {
                at.ids.retain(|id| range.contains(&id.seq.get()));
            }
            at.ids.sort();
            at.ids.dedup_by_key(|id| id.seq);
        }
        let Some(number) = self.found.snapshot.filter(|_| !self.damage.is_empty()) else { return Ok(()) };
        let frames = snapshots::batches(disk, self.store, number)?.into_iter().flatten();
        for (_, mut frame) in frames.flat_map(|batch| batch.records()) {
            let named = match journal::decode(&mut frame) {
                Ok((_, Record::Event(event))) => Some((event.mark.event, event.accepted.tenant, event.accepted.id)),
                Ok(_) | Err(_) => None,
            };
            let Some((seq, tenant, event)) = named else { continue };
            let here = |at: &&mut Corrupt| at.range().is_some_and(|range| range.contains(&seq.get()));
            if let Some(at) = self.damage.iter_mut().find(here) {
                // What the snapshot says counts more than what is left of a damaged record.
                at.ids.retain(|id| id.seq != seq);
                at.ids.push(LostEvent { seq, tenant, event });
            }
        }
        self.damage.iter_mut().for_each(|at| at.ids.sort());
        Ok(())
    }

    fn report(&mut self, corrupt: Corrupt) {
        self.log.open.get_or_insert(self.damage.len());
        self.damage.push(corrupt);
    }
}

/// A segment whose sound part has been read.
struct Rest<'a> {
    /// All of it but the header.
    bytes: &'a Bytes,
    seat: Seat,
    /// There should be more of it.
    more: bool,
    may_be_torn: bool,
    /// Records from here on are in another segment.
    below: Option<JournalSeq>,
}

/// The first record of a piece.
fn first(piece: &Piece) -> Option<JournalSeq> {
    match piece {
        Piece::Batch(batch) => Some(batch.first),
        Piece::Record { seq, .. } => Some(*seq),
        Piece::Lost { .. } => None,
    }
}

/// The place before this one.
const fn before(seq: JournalSeq) -> JournalSeq {
    JournalSeq::new(seq.get().saturating_sub(1))
}

fn io(error: LogError) -> OpenError {
    match error {
        LogError::Io { doing, kind } => OpenError::Io { doing, kind },
        LogError::Damaged { place, why } => {
            OpenError::Io { doing: format!("{place}: {why}"), kind: std::io::ErrorKind::InvalidData }
        }
    }
}
