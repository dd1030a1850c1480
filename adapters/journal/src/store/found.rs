//! What opening a store found, and why it can fail.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;

use postrider_core::id::{EventId, JournalSeq, TenantId};

/// What opening a store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Segments of the log.
    pub segments: u64,
    /// Records read of them, those that a snapshot stands for included.
    pub records: u64,
    /// The number of the snapshot that is used; `None` when the log is read from its beginning.
    pub snapshot: Option<u64>,
    /// Snapshots newer than that one which are damaged.
    pub damaged_snapshots: Vec<u64>,
    /// The last record.
    pub last: JournalSeq,
    /// Events that have not ended.
    pub pending: u64,
    /// Bytes cut off behind the last sound batch: a write that was not finished, and was not acknowledged.
    pub torn: u64,
    /// What [`Recovery::Salvage`](super::Recovery::Salvage) could not bring back now.
    pub lost: Vec<Corrupt>,
}

/// A place where a store is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corrupt {
    /// The number of the segment.
    pub segment: u64,
    /// The byte of its file at which the damage begins.
    pub offset: u64,
    /// What is wrong there.
    pub damage: Damage,
    /// The places of the records that are lost, the first and the last; `None` when none is, or when that cannot be
    /// told. In a segment that compaction has rewritten, records between them may have been gone before.
    pub records: Option<(JournalSeq, JournalSeq)>,
    /// The events that are lost, as far as they can be named: from what is left of their records, or from a snapshot.
    /// They may be fewer than the records, for a record may be of something else, or name its event by place alone.
    pub ids: Vec<LostEvent>,
}

/// An event whose record is lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct LostEvent {
    /// The place of its accepted record.
    pub seq: JournalSeq,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its id. When only a part of its damaged record could be read, the damage may have changed it.
    pub event: EventId,
}

/// What is wrong with a place of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Damage {
    /// The file is missing.
    Missing,
    /// Its header is not what was written.
    Head,
    /// It belongs to another store, or bears another's number.
    Foreign,
    /// Records are not what was written.
    Records,
    /// Records are missing: the file is shorter than it was, or is not the one that the next one follows.
    Short,
}

impl Damage {
    /// Its name, as it stands in files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Head => "header",
            Self::Foreign => "foreign",
            Self::Records => "damaged",
            Self::Short => "short",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the file is missing",
            Self::Head => "its header is damaged",
            Self::Foreign => "it belongs to another store or bears another number",
            Self::Records => "its bytes are damaged",
            Self::Short => "records are missing",
        })
    }
}

impl Corrupt {
    pub(crate) const fn new(segment: u64, offset: u64, damage: Damage) -> Self {
        Self { segment, offset, damage, records: None, ids: Vec::new() }
    }

    /// The places that are lost, as a range.
    pub(crate) fn range(&self) -> Option<RangeInclusive<u64>> {
        self.records.map(|(first, last)| first.get()..=last.get())
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} at byte {}: {}", self.segment, self.offset, self.damage)?;
        match self.records {
            Some((first, last)) if first == last => write!(f, "; record {first} is lost")?,
            Some((first, last)) => write!(f, "; records {first} to {last} are lost")?,
            None => {}
        }
        if let Some(first) = self.ids.first() {
            write!(f, ", among them event {} of {}", first.event, first.tenant)?;
            if self.ids.len() > 1 {
                write!(f, " and {} more", self.ids.len() - 1)?;
            }
        }
        Ok(())
    }
}

/// Why a store cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Something that was acknowledged is not what it was: every place, in order. Nothing was changed. Opening with
    /// [`Recovery::Salvage`](super::Recovery::Salvage) goes on with everything that is intact.
    Corrupt(Vec<Corrupt>),
    /// No snapshot is sound, and the log does not go back to the beginning. Nothing was changed.
    NoBeginning {
        /// The first record that there is.
        first: JournalSeq,
    },
    /// It was written by a later release.
    Newer {
        /// The file that says so.
        file: String,
        /// Its format.
        format: u16,
        /// The newest format that is read here.
        known: u16,
    },
    /// Another process has it, and kept it for as long as was waited.
    Busy {
        /// The number of that process, if it can be told.
        process: Option<u32>,
    },
    /// The operating system did not do what was asked.
    Io {
        /// What was being done, and with which file.
        doing: String,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
}

impl OpenError {
    pub(crate) fn io(doing: &str, name: &str, error: &io::Error) -> Self {
        Self::Io { doing: format!("{doing} {name}"), kind: error.kind() }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(places) => {
                f.write_str("the journal is damaged")?;
                if let Some(first) = places.first() {
                    write!(f, " in {first}")?;
                }
                if places.len() > 1 {
                    write!(f, "; and {} more places", places.len() - 1)?;
                }
                Ok(())
            }
            Self::NoBeginning { first } => {
                write!(f, "the journal has no sound snapshot, and its log begins with record {first} instead of 1")
            }
            Self::Newer { file, format, known } => write!(
                f,
                "{file} has format {format} and this release reads formats up to {known}: use the release that wrote it"
            ),
            Self::Busy { process: Some(process) } => write!(f, "process {process} uses the journal"),
            Self::Busy { process: None } => f.write_str("another process uses the journal"),
            Self::Io { doing, kind } => write!(f, "the journal failed {doing}: {kind}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why a store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// A write or a sync failed. Of what was appended, nothing behind the last durable record counts: the machine is
    /// told [`Broken`](postrider_core::sender::PersistFailure::Broken) and issues those records again.
    Broken {
        /// What was being done, and with which file.
        doing: String,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// There is no room. As with `Broken`, nothing behind the last durable record counts; the machine is told
    /// [`Full`](postrider_core::sender::PersistFailure::Full).
    Full,
    /// The batch does not begin with the record that comes next, or is no run of records. It was not written.
    OutOfOrder {
        /// The record that comes next.
        next: JournalSeq,
        /// The first of the batch.
        first: JournalSeq,
    },
    /// What was asked for is still needed, or is no run of segments. Nothing was changed.
    NotSettled,
}

impl StoreError {
    pub(crate) fn of(error: &io::Error, doing: &str, name: &str) -> Self {
        if is_full(error) { Self::Full } else { Self::Broken { doing: format!("{doing} {name}"), kind: error.kind() } }
    }
}

/// Whether there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { doing, kind } => write!(f, "the journal failed {doing}: {kind}"),
            Self::Full => f.write_str("the journal has no room left"),
            Self::OutOfOrder { next, first } => {
                write!(f, "record {next} comes next in the journal, the batch begins with {first}")
            }
            Self::NotSettled => f.write_str("the journal still needs these segments"),
        }
    }
}

impl std::error::Error for StoreError {}
