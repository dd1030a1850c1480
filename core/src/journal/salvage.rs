//! Reading what is sound of a file that is damaged.

use bytes::Bytes;
use core::fmt;
use core::iter::FusedIterator;

use super::batch::{Area, Batch, FOOTER, RECORD_CRC};
use super::scan::{End, Marks, numbered};
use super::seat::Seat;
use crate::id::JournalSeq;

/// Everything sound of a file, in order, and what was lost between.
///
/// A batch is given whole when its footer proves it; of one that is not, each record that its own checksum proves. A
/// write that was not finished ends it, as it does a [`Scan`](super::Scan). The chain is not followed, because damage
/// breaks it.
pub struct Salvage {
    area: Area,
    at: usize,
    /// Sound footers from the first damage on.
    marks: Option<Marks>,
    /// Up to where records are taken one by one, and the number that they must be below.
    damaged: Option<(usize, Option<JournalSeq>)>,
    last: Option<JournalSeq>,
    end: Option<End>,
}

/// A part of a damaged file.
#[derive(Clone)]
#[expect(clippy::exhaustive_enums, reason = "whoever salvages must deal with each of the three")]
pub enum Piece {
    /// A sound batch.
    Batch(Batch),
    /// A sound record of a batch that is not.
    Record {
        /// Where it begins in the file.
        offset: u64,
        /// Its number.
        seq: JournalSeq,
        /// Its frame.
        frame: Bytes,
    },
    /// Bytes that are neither.
    Lost {
        /// The offset of the first.
        from: u64,
        /// The offset behind the last.
        to: u64,
    },
}

impl Salvage {
    /// Reads `bytes`, which begin at offset `base` of the file; nothing at or below the number `last` is given.
    pub fn new(seat: Seat, bytes: &Bytes, base: u64, last: Option<JournalSeq>) -> Self {
        let area = Area { seat, base, bytes: bytes.clone() };
        Self { area, at: 0, marks: None, damaged: None, last, end: None }
    }

    /// The offset behind what was given.
    pub fn offset(&self) -> u64 {
        self.area.base + self.at as u64
    }

    /// Whether what stands behind the last piece is a write that was not finished; to be asked when there is none
    /// left.
    pub fn is_torn(&self) -> bool {
        self.end == Some(End::Torn)
    }

    /// The next record or gap of a damaged stretch that goes to `to`.
    fn piece(&mut self, to: usize, below: Option<JournalSeq>) -> Option<Piece> {
        while self.at < to && self.area.footer(self.at).is_some() {
            self.at += FOOTER;
        }
        if self.at >= to {
            return None;
        }
        let offset = self.offset();
        if let Some((len, seq)) = self.taken(to, below) {
            let frame = self.area.bytes.slice(self.at + RECORD_CRC..self.at + len);
            self.at += len;
            self.last = Some(seq);
            return Some(Piece::Record { offset, seq, frame });
        }
        self.at = match self.area.record(self.at) {
            // Sound, but of a place where it cannot be.
            Some((len, _)) => (self.at + len).min(to),
            None => self.area.next_sound(self.at, to),
        };
        Some(Piece::Lost { from: offset, to: self.offset() })
    }

    /// The sound record at this place, if its number can be.
    fn taken(&self, to: usize, below: Option<JournalSeq>) -> Option<(usize, JournalSeq)> {
        let (len, seq) = self.area.record(self.at)?;
        let in_place = !numbered(self.area.seat.holds())
            || (self.last.is_none_or(|last| last < seq) && below.is_none_or(|below| seq < below));
        (in_place && len <= to - self.at).then_some((len, seq))
    }

    fn batch(&self) -> Option<Batch> {
        let batch = self.area.batch(self.at)?;
        let in_place = !numbered(self.area.seat.holds()) || self.last.is_none_or(|last| last < batch.first);
        in_place.then_some(batch)
    }
}

impl Iterator for Salvage {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while self.end.is_none() {
            if let Some((to, below)) = self.damaged {
                if let Some(piece) = self.piece(to, below) {
                    return Some(piece);
                }
                self.damaged = None;
            }
            if let Some(batch) = self.batch() {
                self.at = self.area.index(batch.end);
                self.last = Some(batch.last);
                return Some(Piece::Batch(batch));
            }
            let marks = self.marks.get_or_insert_with(|| Marks::from(&self.area, self.at));
            match marks.end(&self.area, self.at) {
                end @ (End::Clean | End::Torn) => self.end = Some(end),
                End::Damaged => {
                    let next = marks.batch(&self.area, self.at + 1);
                    let to = next.as_ref().map_or_else(|| self.area.written(), |next| self.area.index(next.offset));
                    self.damaged = Some((to, next.map(|next| next.first)));
                }
            }
        }
        None
    }
}

impl FusedIterator for Salvage {}

impl fmt::Debug for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salvage").field("area", &self.area).field("at", &self.offset()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Piece {
    /// Without the records: they hold secrets and payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(batch) => batch.fmt(f),
            Self::Record { offset, seq, frame } => {
                f.debug_struct("Record").field("offset", offset).field("seq", seq).field("frame", &frame.len()).finish()
            }
            Self::Lost { from, to } => f.debug_struct("Lost").field("from", from).field("to", to).finish(),
        }
    }
}
