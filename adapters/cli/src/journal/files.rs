//! The files of a journal's directory, looked at and never changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{self, HeadError, RECORD_CRC, SEGMENT_HEAD, SegmentHead, SnapshotHead, StoreId};

use crate::exit::Refusal;

/// A file of the log.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Its name.
    pub(crate) name: String,
    /// Its number, by its name.
    pub(crate) number: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// What it begins with.
    pub(crate) head: Result<SegmentHead, HeadError>,
    /// The number of its first record, as far as that can be told without judging it.
    pub(crate) first: Option<JournalSeq>,
}

/// A file that a snapshot is in.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Its name.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// What it begins with.
    pub(crate) head: Result<SnapshotHead, HeadError>,
}

/// A journal's directory as it was when it was looked at. Another process may hold and change it meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) path: PathBuf,
    /// In the order of their numbers, without those that a compacted one stands for.
    pub(crate) segments: Vec<Segment>,
    /// The oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
    /// Files of other kinds, and their bytes.
    pub(crate) others: u64,
    pub(crate) other_bytes: u64,
}

/// Looks so often, if files come and go meanwhile.
const LOOKS: usize = 10;

impl Files {
    /// Looks at a directory, which must have a journal in it.
    pub(crate) fn look(path: &Path) -> Result<Self, Refusal> {
        let failed = |why: &dyn std::fmt::Display| Refusal::new(format!("{}: {why}", path.display()));
        for _ in 0..LOOKS {
            let names = names(path).map_err(|why| failed(&why))?;
            match Self::of(path, &names) {
                Ok(files) if self::names(path).is_ok_and(|again| again == names) => {
                    if files.segments.is_empty() && files.snapshots.is_empty() {
                        return Err(failed(&"there is no journal in this directory"));
                    }
                    return Ok(files);
                }
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => return Err(failed(&why)),
            }
        }
        Err(failed(&"files come and go too fast to be looked at; try again"))
    }

    /// Whether there is a journal in a directory, or anything left of one.
    pub(crate) fn are_in(path: &Path) -> bool {
        let is_part = |name: &String| [".seg", ".snap"].iter().any(|ending| numbered(name, ending).is_some());
        names(path).is_ok_and(|names| names.keys().any(is_part))
    }

    fn of(path: &Path, names: &BTreeMap<String, u64>) -> io::Result<Self> {
        let mut files =
            Self { path: path.to_owned(), segments: Vec::new(), snapshots: Vec::new(), others: 0, other_bytes: 0 };
        for (name, bytes) in names {
            let (name, bytes) = (name.clone(), *bytes);
            if let Some(number) = numbered(&name, ".seg") {
                let start = beginning(&path.join(&name))?;
                let head = SegmentHead::decode(&start);
                files.segments.push(Segment { name, number, bytes, head, first: first_record(&start) });
            } else if numbered(&name, ".snap").is_some() {
                let head = SnapshotHead::decode(&beginning(&path.join(&name))?);
                files.snapshots.push(Snapshot { name, bytes, head });
            } else {
                files.others += 1;
                files.other_bytes += bytes;
            }
        }
        files.forget_covered();
        Ok(files)
    }

    /// Leaves out the segments that a compacted one stands for: they are removed when the store is opened.
    fn forget_covered(&mut self) {
        let mut through = 0;
        self.segments.retain(|segment| {
            let covered = segment.number <= through;
            if let Ok(head) = &segment.head {
                through = through.max(segment.number + u64::from(head.covers));
            }
            !covered
        });
    }

    /// The name of the store, by the first header that has one.
    pub(crate) fn store(&self) -> Option<StoreId> {
        let segments = self.segments.iter().filter_map(|segment| segment.head.as_ref().ok().map(|head| head.store));
        let snapshots = self.snapshots.iter().filter_map(|snapshot| snapshot.head.as_ref().ok().map(|head| head.store));
        segments.chain(snapshots).next()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let snapshots: u64 = self.snapshots.iter().map(|snapshot| snapshot.bytes).sum();
        segments + snapshots + self.other_bytes
    }

    /// The whole of a file.
    pub(crate) fn read(&self, name: &str) -> io::Result<Bytes> {
        fs::read(self.path.join(name)).map(Bytes::from)
    }

    /// What a file has from an offset on, at most so many bytes.
    pub(crate) fn read_from(&self, name: &str, offset: u64, most: u64) -> io::Result<Bytes> {
        let mut file = File::open(self.path.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// The names and lengths of a directory's files.
fn names(path: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // A file that has gone since it was listed has no length.
        if let (Ok(name), Ok(about)) = (entry.file_name().into_string(), entry.metadata())
            && about.is_file()
        {
            names.insert(name, about.len());
        }
    }
    Ok(names)
}

/// The number in a name of ten digits and an ending.
fn numbered(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    (digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The header of a file, and the head of the record behind it.
fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take((SEGMENT_HEAD + RECORD_CRC + RECORD_HEAD) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes of a record that tell its number: its head and what every kind begins with.
const RECORD_HEAD: usize = journal::FRAME_HEAD;

fn first_record(start: &[u8]) -> Option<JournalSeq> {
    let head = start.get(SEGMENT_HEAD + RECORD_CRC..)?.first_chunk::<RECORD_HEAD>()?;
    let seq = u64::from_le_bytes(*head.last_chunk()?);
    (seq > 0).then(|| JournalSeq::new(seq))
}
