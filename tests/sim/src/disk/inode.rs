//! The content of a file: what is read of it, and what a loss of power would leave.

use std::collections::BTreeMap;

use super::{Counts, SECTOR};
use crate::rng::Rng;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What is read. Bytes between its end and `len` are zeros.
    pub(super) bytes: Vec<u8>,
    pub(super) len: u64,
    /// Sectors that are pending, with what is durable of them; `None` stands for zeros.
    ///
    /// In order; there are few, and most are the last of the file.
    pub(super) pending: Vec<(u32, Old)>,
    /// The durable length, while another one is pending.
    pub(super) old_len: Option<u64>,
    /// Sectors that a failed sync dropped: they read as written, and no sync makes them durable.
    pub(super) dropped: BTreeMap<u32, Old>,
    /// Open files of it.
    pub(super) handles: u32,
    /// Memory of sectors that are not pending any more, for those that come.
    #[expect(clippy::vec_box, reason = "boxes go from here to what is pending, and come back")]
    pub(super) spare: Vec<Box<[u8; SECTOR]>>,
}

/// Sectors whose memory is kept.
const SPARE: usize = 8;

type Old = Option<Box<[u8; SECTOR]>>;

impl Inode {
    pub(super) fn pending(&self) -> usize {
        self.pending.len() + usize::from(self.old_len.is_some())
    }

    /// Whether a loss of power changes nothing.
    pub(super) fn is_durable(&self) -> bool {
        self.pending() == 0 && self.dropped.is_empty()
    }

    /// The bytes of a sector as they are read.
    fn sector(&mut self, at: u32) -> Old {
        let start = at as usize * SECTOR;
        let part = self.bytes.get(start..).unwrap_or_default();
        let part = &part[..part.len().min(SECTOR)];
        if part.iter().all(|byte| *byte == 0) {
            return None;
        }
        let mut sector = self.spare.pop().unwrap_or_else(|| Box::new([0; SECTOR]));
        sector[..part.len()].copy_from_slice(part);
        sector[part.len()..].fill(0);
        Some(sector)
    }

    fn set_sector(&mut self, at: u32, old: &Old) {
        let start = at as usize * SECTOR;
        let end = (start + SECTOR).min(self.bytes.len());
        if old.is_some() && end < start + SECTOR {
            self.bytes.resize(start + SECTOR, 0);
        }
        match old {
            Some(old) => self.bytes[start..start + SECTOR].copy_from_slice(&old[..]),
            None if start < end => self.bytes[start..end].fill(0),
            None => {}
        }
    }

    fn note_sector(&mut self, at: u32) {
        let Err(place) = self.pending.binary_search_by_key(&at, |(other, _)| *other) else { return };
        let old = match self.dropped.remove(&at) {
            Some(old) => old,
            None => self.sector(at),
        };
        self.pending.insert(place, (at, old));
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = usize::try_from(offset).expect("simulated files are small");
        let end = start + bytes.len();
        for sector in start / SECTOR..end.div_ceil(SECTOR) {
            self.note_sector(u32::try_from(sector).expect("simulated files are small"));
        }
        if self.bytes.len() == start {
            self.bytes.extend_from_slice(bytes);
        } else {
            if self.bytes.len() < end {
                self.bytes.resize(end, 0);
            }
            self.bytes[start..end].copy_from_slice(bytes);
        }
        if self.len < end as u64 {
            self.note_len();
            self.len = end as u64;
        }
    }

    fn note_len(&mut self) {
        self.old_len.get_or_insert(self.len);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.note_len();
        let keep = usize::try_from(len).expect("simulated files are small");
        if keep < self.bytes.len() {
            for sector in keep / SECTOR..self.bytes.len().div_ceil(SECTOR) {
                self.note_sector(u32::try_from(sector).expect("simulated files are small"));
            }
            self.bytes.truncate(keep);
        }
        self.len = len;
    }

    pub(super) fn sync(&mut self) {
        for (_, old) in self.pending.drain(..) {
            if self.spare.len() < SPARE {
                self.spare.extend(old);
            }
        }
        self.old_len = None;
    }

    pub(super) fn drop_pending(&mut self) {
        self.dropped.extend(self.pending.drain(..));
        if let Some(len) = self.old_len.take() {
            // The length is metadata, which the file system keeps in a log of its own.
            self.len = self.len.max(len);
        }
    }

    pub(super) fn lose(
        &mut self,
        survives: &mut impl FnMut(&mut Rng) -> bool,
        rng: &mut Rng,
        tears: bool,
        counts: &mut Counts,
    ) {
        let new_len = self.len;
        if let Some(old) = self.old_len.take()
            && !survives(rng)
        {
            self.len = old;
        }
        for (at, old) in std::mem::take(&mut self.pending) {
            // What was cut off is whole again where the cut was lost.
            let kept = new_len.saturating_sub(u64::from(at) * SECTOR as u64);
            let kept = usize::try_from(kept).unwrap_or(usize::MAX).min(SECTOR);
            let uncut = self.len > new_len && kept < SECTOR;
            if !survives(rng) {
                counts.sectors_lost += 1;
                self.set_sector(at, &old);
            } else if tears && rng.below(4) == 0 {
                counts.sectors_torn += 1;
                self.tear(at, &old, rng.index(SECTOR).min(kept));
            } else if uncut {
                self.tear(at, &old, kept);
            }
        }
        for (at, old) in std::mem::take(&mut self.dropped) {
            if !survives(rng) {
                counts.sectors_lost += 1;
                self.set_sector(at, &old);
            }
        }
        let keep = usize::try_from(self.len).expect("simulated files are small");
        self.bytes.truncate(keep);
    }

    /// Leaves the first `new` bytes of a sector, and the rest as it was.
    fn tear(&mut self, at: u32, old: &Old, new: usize) {
        let mut torn = self.sector(at).unwrap_or_else(|| Box::new([0; SECTOR]));
        match old {
            Some(old) => torn[new..].copy_from_slice(&old[new..]),
            None => torn[new..].fill(0),
        }
        self.set_sector(at, &Some(torn));
    }
}
