//! The indexes of all segments, wherever they are: of the active segment and of those just sealed in memory, of all
//! others in files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use postrider_core::id::JournalSeq;
use postrider_core::journal::SEGMENT_HEAD;

use super::file::{self, Head, Index};
use super::rows::{self, Rows, Summary};
use super::survey::Standing;
use super::tables::{Names, Tables};
use crate::store::segments::Sealed;
use crate::{Disk, LogError};

/// Index files that are kept open, at most.
const OPEN_FILES: usize = 16;

/// A sealed segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) sealed: Sealed,
    pub(super) rows: Source,
    /// How much of it is still needed.
    pub(super) standing: Standing,
}

/// Where the index of a sealed segment is.
#[derive(Debug)]
pub(super) enum Source {
    /// In memory, because its file is not there yet.
    Memory(Box<Tables>),
    /// In its file.
    File(Arc<Head>),
    /// Nowhere: the segment was found without it, and is still to be read for it.
    Missing(Box<Summary>),
}

impl Source {
    /// No index of a segment that begins with that place. It may be about any event.
    pub(super) fn missing(first: JournalSeq) -> Self {
        Self::Missing(Box::new(Summary { oldest: JournalSeq::ZERO, ..Summary::new(first) }))
    }
}

impl Segment {
    pub(super) fn summary(&self) -> &Summary {
        match &self.rows {
            Source::Memory(tables) => tables.summary(),
            Source::File(head) => &head.summary,
            Source::Missing(summary) => summary,
        }
    }

    /// How many records of erasures it has.
    pub(super) fn erasures(&self) -> u64 {
        match &self.rows {
            Source::Memory(tables) => tables.erasures(),
            Source::File(head) => head.erasures(),
            Source::Missing(_) => 0,
        }
    }

    /// Bytes of it behind its header.
    pub(super) const fn data(&self) -> u64 {
        self.sealed.len.saturating_sub(SEGMENT_HEAD as u64)
    }
}

/// The indexes of all segments.
pub(super) struct Shelf<D: Disk> {
    /// The sealed ones, by number.
    pub(super) sealed: BTreeMap<u64, Segment>,
    /// The one that takes records.
    pub(super) active: Option<(u64, Tables)>,
    open: VecDeque<(u64, Index<D::File>)>,
}

impl<D: Disk> Shelf<D> {
    pub(super) const fn new() -> Self {
        Self { sealed: BTreeMap::new(), active: None, open: VecDeque::new() }
    }

    /// The numbers of all segments, the oldest first.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.sealed.keys().copied().chain(self.active.as_ref().map(|(number, _)| *number)).collect()
    }

    /// What is known of a segment as a whole.
    pub(super) fn summary(&self, number: u64) -> Option<&Summary> {
        let active = self.active.as_ref().filter(|(active, _)| *active == number).map(|(_, tables)| tables.summary());
        active.or_else(|| self.sealed.get(&number).map(Segment::summary))
    }

    /// The segment that has the record at that place, if any has it.
    pub(super) fn holder(&self, seq: JournalSeq) -> Option<u64> {
        if let Some((number, tables)) = &self.active
            && tables.summary().base <= seq
        {
            return Some(*number);
        }
        let behind = self.sealed.values().rev().find(|segment| segment.sealed.first <= seq);
        behind.map(|segment| segment.sealed.number)
    }

    /// The rows of a segment.
    pub(super) fn rows(&mut self, disk: &D, number: u64) -> Result<&mut dyn Rows, LogError> {
        if let Some((active, tables)) = &mut self.active
            && *active == number
        {
            tables.sort();
            return Ok(tables);
        }
        let gone = || LogError::Damaged { place: file::name(number), why: "there is no such index".to_owned() };
        match &mut self.sealed.get_mut(&number).ok_or_else(gone)?.rows {
            Source::Memory(tables) => {
                tables.sort();
                Ok(&mut **tables)
            }
            Source::Missing(_) => Err(gone()),
            Source::File(head) => {
                let at = match self.open.iter().position(|(open, _)| *open == number) {
                    Some(at) => at,
                    None => {
                        let name = file::name(number);
                        let failed = |error: std::io::Error| LogError::Io {
                            doing: format!("opening {name}"),
                            kind: error.kind(),
                        };
                        let index = Index::new(head.clone(), disk.open(&name).map_err(failed)?);
                        self.open.truncate(OPEN_FILES - 1);
                        self.open.push_front((number, index));
                        0
                    }
                };
                if at > 0 {
                    let used = self.open.remove(at).expect("it was just found");
                    self.open.push_front(used);
                }
                Ok(&mut self.open[0].1)
            }
        }
    }

    /// Looks for whose a subscription is in the index of a segment, then in all others, the newest first. An endpoint that
    /// was removed, disabled or wants something else now has lost the subscription under which earlier outcomes name it,
    /// and the record that gave it that may have gone: then only indexes know it that were made before. One that is
    /// damaged is passed over.
    pub(super) fn look_for(&mut self, disk: &D, subscription: u32, near: u64, names: &mut Names) {
        if !names.lacks(subscription) {
            return;
        }
        let others = self.numbers().into_iter().rev().filter(|number| *number != near);
        for number in std::iter::once(near).chain(others) {
            let missing = |segment: &Segment| matches!(segment.rows, Source::Missing(_));
            if self.sealed.get(&number).is_some_and(missing) || self.summary(number).is_none() {
                continue;
            }
            let rows = self.rows(disk, number);
            let found = rows.and_then(|rows| rows::endpoint(rows, subscription)).ok().flatten();
            if found.is_some() {
                return names.found(subscription, found.as_ref());
            }
        }
        names.found(subscription, None);
    }

    /// A segment that is still to be read for its index.
    pub(super) fn missing(&self) -> Option<u64> {
        let missing = |segment: &&Segment| matches!(segment.rows, Source::Missing(_)) && !segment.standing.stuck;
        self.sealed.values().find(missing).map(|segment| segment.sealed.number)
    }

    /// The segment whose index turned out to be damaged.
    pub(super) fn bad(&self) -> Option<u64> {
        self.open.iter().find(|(_, index)| index.is_bad()).map(|(number, _)| *number)
    }

    /// Lets go of open files of these numbers: other files bear their names now.
    pub(super) fn close(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        self.open.retain(|(open, _)| !numbers.contains(open));
    }

    /// Adds a sealed segment.
    pub(super) fn insert(&mut self, sealed: Sealed, rows: Source) {
        self.close(sealed.number..=sealed.through());
        self.sealed.insert(sealed.number, Segment { sealed, rows, standing: Standing::default() });
    }

    /// The oldest event that any record is about.
    pub(super) fn oldest(&self) -> JournalSeq {
        let sealed = self.sealed.values().map(|segment| segment.summary().oldest);
        let active = self.active.as_ref().map(|(_, tables)| tables.summary().oldest);
        sealed.chain(active).min().unwrap_or(JournalSeq::new(u64::MAX))
    }
}
