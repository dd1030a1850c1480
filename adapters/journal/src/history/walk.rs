//! Reads a sealed segment from its beginning to its end, record by record.

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{self, FOOTER, RECORD_CRC, SEGMENT_HEAD, Seat};

use crate::store::segments::{Sealed, Segments};
use crate::{Disk, LogError};

/// Bytes read at once; more only for a record that is longer.
const WINDOW: usize = 512 * 1024;
/// What stands in a footer where a frame has its kind.
const FOOTER_KIND: u8 = 0xF0;
/// Where that is, counted from the checksum.
const KIND: usize = RECORD_CRC + 4;

/// A reader's place in a segment.
pub(super) struct Walk {
    number: u64,
    seat: Seat,
    at: u64,
    end: u64,
}

/// A record, and where it begins.
pub(super) struct Found {
    pub(super) seq: JournalSeq,
    pub(super) offset: u64,
    pub(super) frame: Bytes,
}

impl Walk {
    pub(super) fn new<D: Disk>(segments: &Segments<D>, sealed: &Sealed) -> Self {
        let seat = sealed.head(segments.store()).seat();
        Self { number: sealed.number, seat, at: SEGMENT_HEAD as u64, end: sealed.len }
    }

    /// The next records, about half a MiB of them; none at the end. They share memory.
    pub(super) fn step<D: Disk>(&mut self, segments: &mut Segments<D>) -> Result<Vec<Found>, LogError> {
        let mut want = WINDOW;
        loop {
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            if left == 0 {
                return Ok(Vec::new());
            }
            let bytes = segments.read(self.number, self.at, want.min(left))?;
            let (found, used) = self.cut(&bytes);
            if used > 0 {
                self.at += used as u64;
                if !found.is_empty() {
                    return Ok(found);
                }
                continue;
            }
            // Nothing whole was in it: a record that is longer, or damage.
            let len = bytes.get(RECORD_CRC..).and_then(<[u8]>::first_chunk);
            let need = len.map_or(usize::MAX, |len| (u32::from_le_bytes(*len) as usize).saturating_add(KIND));
            if need <= want || need > left {
                return Err(self.damaged());
            }
            want = need;
        }
    }

    /// The records of `bytes`, and how many bytes they and the footers between them have.
    fn cut(&self, bytes: &Bytes) -> (Vec<Found>, usize) {
        let (mut found, mut used) = (Vec::new(), 0);
        loop {
            let offset = self.at + used as u64;
            if let Some((seq, frame)) = journal::record_at(self.seat, &bytes.slice(used..), offset) {
                used += RECORD_CRC + frame.len();
                found.push(Found { seq, offset, frame });
            } else if bytes.len() - used >= FOOTER && bytes[used + KIND] == FOOTER_KIND {
                used += FOOTER;
            } else {
                return (found, used);
            }
        }
    }

    fn damaged(&self) -> LogError {
        LogError::Damaged {
            place: format!("in segment {} at byte {}", self.number, self.at),
            why: "what is there is neither a record nor a footer".to_owned(),
        }
    }
}
