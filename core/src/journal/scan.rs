//! Reading a file from its beginning, and telling how it ends.

use alloc::vec::Vec;
use bytes::Bytes;
use core::iter::FusedIterator;

use super::batch::{Area, Batch, FOOTER, KIND, KIND_AT, RECORD_CRC, in_order};
use super::codec;
use super::seat::{Chain, Holds, Seat};
use crate::id::JournalSeq;

/// The smallest unit that a disk writes whole.
const SECTOR: u64 = 512;
/// As many zeros at the edge of a sector are a write that did not arrive.
const BLANK: usize = 32;

/// The sound batches of a file, in order, up to the first byte that is not one. Each follows from the one before it by
/// its chain and, in the log, by its numbers. What ended the scan is told by [`Scan::tail`].
#[derive(Clone, Debug)]
pub struct Scan {
    area: Area,
    at: usize,
    chain: Chain,
    /// The last number seen; in a plain segment also what the first must follow.
    last: Option<JournalSeq>,
    over: bool,
}

impl Scan {
    /// Reads `bytes`, which begin at offset `base` of the file, behind a batch with the chain `previous`: behind the
    /// header, `base` is [`SEGMENT_HEAD`](super::SEGMENT_HEAD) and `previous` the header's (of a snapshot,
    /// [`Chain::START`]).
    pub fn new(seat: Seat, bytes: &Bytes, base: u64, previous: Chain) -> Self {
        Self { area: Area { seat, base, bytes: bytes.clone() }, at: 0, chain: previous, last: None, over: false }
    }

    /// Demands that the first record follow `last`: has the next number in a plain segment, and a higher one in a
    /// compacted one.
    pub fn behind(self, last: JournalSeq) -> Self {
        Self { last: Some(last), ..self }
    }

    /// The offset behind the last batch given.
    pub fn offset(&self) -> u64 {
        self.area.base + self.at as u64
    }

    /// The chain after the last batch given.
    pub const fn link(&self) -> Chain {
        self.chain
    }

    /// What stands behind the last batch given; to be asked when there is none left. Reads all that is left.
    pub fn tail(&self) -> Tail {
        let marks = Marks::from(&self.area, self.at);
        let end = marks.end(&self.area, self.at);
        let resumes = match end {
            End::Clean => None,
            End::Torn | End::Damaged => marks.batch(&self.area, self.at + 1).map(|batch| (batch.offset, batch.first)),
        };
        Tail { at: self.offset(), end, chain: self.chain, resumes }
    }
}

impl Iterator for Scan {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.over {
            return None;
        }
        let sound = self
            .area
            .batch(self.at)
            .filter(|batch| batch.follows(self.chain) && in_order(self.area.seat.holds(), self.last, batch.first));
        let Some(batch) = sound else {
            self.over = true;
            return None;
        };
        self.at = self.area.index(batch.end);
        (self.chain, self.last) = (batch.chain, Some(batch.last));
        Some(batch)
    }
}

impl FusedIterator for Scan {}

/// How the sound part of a file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tail {
    /// Where: the offset behind the last sound batch.
    pub at: u64,
    /// What stands there.
    pub end: End,
    /// The chain there.
    pub chain: Chain,
    /// The next batch behind it that is sound in itself, and its first record.
    pub resumes: Option<(u64, JournalSeq)>,
}

/// What stands behind the last sound batch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the three call for different answers, and there is no fourth answer")]
pub enum End {
    /// Zeros, or nothing.
    Clean,
    /// A write that was not finished and, as far as can be told, not acknowledged. In the last segment it is cut off,
    /// and the cut made durable before anything is written there; in any other it is damage.
    Torn,
    /// Bytes that were written and are not what they were.
    Damaged,
}

/// The offset of the first batch at or behind `from` that is sound in itself; `bytes` begin at offset `base` of the
/// file. Nothing that a payload holds is taken for one: see [the room](super).
pub fn resync(seat: Seat, bytes: &Bytes, base: u64, from: u64) -> Option<u64> {
    let area = Area { seat, base, bytes: bytes.clone() };
    let from = usize::try_from(from.saturating_sub(base)).ok()?;
    Some(Marks::from(&area, from).batch(&area, from)?.offset)
}

impl Area {
    /// Where an offset of the file, which is not before the bytes, lies in them.
    pub(super) fn index(&self, offset: u64) -> usize {
        usize::try_from(offset - self.base).expect("the offset is within bytes that are in memory")
    }

    /// The length that stands at `at`, where a record may begin: its kind, version and reserved field are those of
    /// one. Its bytes need not be there.
    fn plausible(&self, at: usize) -> Option<usize> {
        let len = codec::plausible(self.bytes.get(at..)?.get(RECORD_CRC..)?)?;
        Some(len.saturating_add(RECORD_CRC))
    }

    /// Where, behind `at`, the next sound record or footer begins; `to` if there is none before. The work is bounded
    /// by a multiple of `to - at`.
    pub(super) fn next_sound(&self, at: usize, to: usize) -> usize {
        let sound = |place: usize| self.record(place).is_some() || self.footer(place).is_some();
        // The damage is inside a record: what its payload looks like does not matter.
        if let Some(next) = self.plausible(at).and_then(|len| at.checked_add(len))
            && (next == to || next < to && sound(next))
        {
            return next;
        }
        let mut budget = (to - at).saturating_mul(64);
        for place in at + 1..to {
            if let Some(len) = self.plausible(place).filter(|len| *len <= to - place) {
                let Some(left) = budget.checked_sub(len) else { return to };
                budget = left;
                if self.record(place).is_some() {
                    return place;
                }
            } else if self.footer(place).is_some() {
                return place;
            }
        }
        to
    }

    /// How far ahead of `at` the next bytes are that a footer may begin with.
    fn next_footer_like(&self, at: usize) -> Option<usize> {
        self.bytes.get(at..)?.get(KIND_AT..)?.iter().position(|byte| *byte == KIND)
    }

    /// Where the last byte that is not zero ends.
    pub(super) fn written(&self) -> usize {
        self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
    }

    /// Whether part of a sector within `from..to` is blank, as it is when its write did not arrive. Parts of a few bytes
    /// at the edges count only where nothing else tells whether their sectors arrived: where `edges` says so.
    fn has_hole(&self, from: usize, to: usize, edges: (bool, bool)) -> bool {
        let blank = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let mut at = from;
        while at < to {
            let sector = (SECTOR - (self.base + at as u64) % SECTOR) as usize;
            let end = (at + sector).min(to);
            let Some(part) = self.bytes.get(at..end) else { return true };
            let counts = part.len() >= BLANK || (at == from && edges.0) || (end == to && edges.1);
            let edge = part.len().min(BLANK);
            if counts && (blank(&part[..edge]) || blank(&part[part.len() - edge..])) {
                return true;
            }
            at = end;
        }
        false
    }

    /// Whether something that is not sound within `from..to` has a hole.
    fn lacks(&self, from: usize, to: usize) -> bool {
        let mut at = from;
        while at < to {
            if let Some((len, _)) = self.record(at) {
                at += len;
            } else if self.footer(at).is_some() {
                at += FOOTER;
            } else {
                let next = self.next_sound(at, to);
                if self.has_hole(at, next, self.untold(from, at, next)) {
                    return true;
                }
                at = next;
            }
        }
        false
    }

    /// Whether nothing sound tells that the first sector of `at..next`, and that its last one, arrived. What is sound in
    /// a sector tells it, unless it is zeros itself, as the end of a payload may be: those are there without the sector.
    /// Before `from` it may have been there already.
    fn untold(&self, from: usize, at: usize, next: usize) -> (bool, bool) {
        let blank = |bytes: Option<&[u8]>| bytes.is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0));
        let within = |at: usize| ((self.base + at as u64) % SECTOR) as usize;
        let end = |at: usize| at + (SECTOR as usize - within(at)) % SECTOR as usize;
        let before = blank(self.bytes.get(at.saturating_sub(within(at)).max(from)..at));
        let after = blank(self.bytes.get(next..end(next).min(self.bytes.len())));
        let apart = end(at + 1) < next;
        (at == from || before && (apart || after), after && (apart || before))
    }
}

/// A sound footer.
struct Mark {
    at: usize,
    /// Where its batch begins.
    start: Option<usize>,
    /// The most that it or one behind it says was durable.
    durable: u64,
}

/// The sound footers of a file behind a place, in order.
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// Those at or behind `from`. Whether their batches are sound is left open.
    pub(super) fn from(area: &Area, from: usize) -> Self {
        let mut marks = Vec::new();
        let mut at = from;
        while let Some(skip) = area.next_footer_like(at) {
            at += skip;
            match area.footer(at) {
                Some(footer) => {
                    let start = at.checked_sub(footer.bytes as usize);
                    let durable = start.map_or(0, |start| footer.durable(area.base + start as u64));
                    marks.push(Mark { at, start, durable });
                    at += FOOTER;
                }
                None => at += 1,
            }
        }
        let mut most = 0;
        for mark in marks.iter_mut().rev() {
            most = mark.durable.max(most);
            mark.durable = most;
        }
        Self(marks)
    }

    /// The first sound batch that begins at or behind `from`.
    pub(super) fn batch(&self, area: &Area, from: usize) -> Option<Batch> {
        self.behind(from)
            .iter()
            .filter_map(|mark| mark.start)
            .find_map(|start| if start >= from { area.batch(start) } else { None })
    }

    /// What stands at `at`, where there is no sound batch.
    pub(super) fn end(&self, area: &Area, at: usize) -> End {
        if area.written() <= at {
            return End::Clean;
        }
        let marks = self.behind(at);
        if let (Some(first), Some(last)) = (marks.first(), marks.last()) {
            let acknowledged = first.durable > area.base + at as u64;
            return if acknowledged || !area.lacks(at, last.at) { End::Damaged } else { End::Torn };
        }
        // No footer is left. Either it was not written, or it is what was damaged.
        let mut end = at;
        while let Some((len, _)) = area.record(end) {
            end += len;
        }
        if area.plausible(end).is_some() || area.has_hole(end, end + FOOTER, (true, true)) {
            End::Torn
        } else {
            End::Damaged
        }
    }

    fn behind(&self, at: usize) -> &[Mark] {
        &self.0[self.0.partition_point(|mark| mark.at < at)..]
    }
}

/// Whether records of this kind of file are numbered in order.
pub(super) const fn numbered(holds: Holds) -> bool {
    match holds {
        Holds::Plain | Holds::Compacted => true,
        Holds::Snapshot => false,
    }
}
