//! The headers that files begin with.

use core::fmt;

use super::seat::{Chain, Holds, Seat, StoreId};

/// The format of files that is written, and the newest that is read.
pub const FORMAT: u16 = 1;

/// Bytes of the header of a segment, and of a snapshot.
pub const SEGMENT_HEAD: usize = 64;

const SEGMENT_MAGIC: &[u8; 8] = b"PSTRLOG\0";
const SNAPSHOT_MAGIC: &[u8; 8] = b"PSTRSNAP";
const COMPACTED: u16 = 1;
/// Bytes of the checksum, with which a header ends in every format.
const CRC: usize = 4;

/// What a segment of the log begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct SegmentHead {
    /// The format of what follows.
    pub format: u16,
    /// The store.
    pub store: StoreId,
    /// Its number, from 1; of a compacted one, the first of the numbers that it stands for.
    pub number: u64,
    /// How many numbers behind that one it stands for too.
    pub covers: u32,
    /// It is what compaction left.
    pub compacted: bool,
    /// The chain after the last batch of the segment before; of a compacted one, of the segment before its first.
    pub previous: Chain,
}

impl SegmentHead {
    /// A new segment of the log.
    pub const fn plain(store: StoreId, number: u64, previous: Chain) -> Self {
        Self { format: FORMAT, store, number, covers: 0, compacted: false, previous }
    }

    /// A segment that stands for `number..=number + covers`.
    pub const fn compacted(store: StoreId, number: u64, covers: u32, previous: Chain) -> Self {
        Self { format: FORMAT, store, number, covers, compacted: true, previous }
    }

    /// What the checksums in it are bound to.
    pub fn seat(&self) -> Seat {
        Seat::new(self.store, if self.compacted { Holds::Compacted } else { Holds::Plain }, self.number)
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEAD] {
        let flags = if self.compacted { COMPACTED } else { 0 };
        write(&Fields {
            magic: SEGMENT_MAGIC,
            format: self.format,
            flags,
            store: self.store,
            number: self.number,
            previous: self.previous,
            covers: self.covers,
        })
    }

    /// Reads the first [`SEGMENT_HEAD`] bytes; more may follow.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let fields = read(bytes, SEGMENT_MAGIC)?;
        let compacted = fields.flags == COMPACTED;
        if fields.flags & !COMPACTED != 0 || fields.number == 0 || (!compacted && fields.covers != 0) {
            return Err(HeadError::Damaged);
        }
        let Fields { format, store, number, covers, previous, .. } = fields;
        Ok(Self { format, store, number, covers, compacted, previous })
    }
}

/// What a snapshot begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct SnapshotHead {
    /// The format of what follows.
    pub format: u16,
    /// The store.
    pub store: StoreId,
    /// Its number, from 1.
    pub number: u64,
}

impl SnapshotHead {
    /// A new snapshot.
    pub const fn new(store: StoreId, number: u64) -> Self {
        Self { format: FORMAT, store, number }
    }

    /// What the checksums in it are bound to.
    pub fn seat(&self) -> Seat {
        Seat::new(self.store, Holds::Snapshot, self.number)
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEAD] {
        write(&Fields {
            magic: SNAPSHOT_MAGIC,
            format: self.format,
            flags: 0,
            store: self.store,
            number: self.number,
            previous: Chain::START,
            covers: 0,
        })
    }

    /// Reads the first [`SEGMENT_HEAD`] bytes; more may follow.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let fields = read(bytes, SNAPSHOT_MAGIC)?;
        if fields.flags != 0 || fields.number == 0 || fields.previous != Chain::START || fields.covers != 0 {
            return Err(HeadError::Damaged);
        }
        Ok(Self { format: fields.format, store: fields.store, number: fields.number })
    }
}

/// Why bytes are no header of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// The file is shorter than a header: it was never finished.
    Short {
        /// Bytes that there are.
        have: usize,
    },
    /// The file was written by a later release, in a format that is not known here. It is whole.
    Newer {
        /// Its format.
        format: u16,
        /// The newest that is read here.
        known: u16,
    },
    /// The file does not begin as one of a journal does, or its checksum is wrong.
    Damaged,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { have } => write!(f, "the file's header has {have} bytes, it must have {SEGMENT_HEAD}"),
            Self::Newer { format, known } => {
                write!(f, "the file has format {format}, formats up to {known} are read here; use a newer release")
            }
            Self::Damaged => f.write_str("the file's header is damaged, or it is no file of a journal"),
        }
    }
}

impl core::error::Error for HeadError {}

struct Fields {
    magic: &'static [u8; 8],
    format: u16,
    flags: u16,
    store: StoreId,
    number: u64,
    previous: Chain,
    covers: u32,
}

fn write(fields: &Fields) -> [u8; SEGMENT_HEAD] {
    let mut out = [0; SEGMENT_HEAD];
    out[..8].copy_from_slice(fields.magic);
    out[8..10].copy_from_slice(&fields.format.to_le_bytes());
    out[10..12].copy_from_slice(&fields.flags.to_le_bytes());
    out[12..16].copy_from_slice(&(SEGMENT_HEAD as u32).to_le_bytes());
    out[16..32].copy_from_slice(&fields.store.to_bytes());
    out[32..40].copy_from_slice(&fields.number.to_le_bytes());
    out[40..56].copy_from_slice(&fields.previous.to_bytes());
    out[56..60].copy_from_slice(&fields.covers.to_le_bytes());
    let crc = crc32c::crc32c(&out[..SEGMENT_HEAD - CRC]);
    out[SEGMENT_HEAD - CRC..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads a header that begins with `magic`. In every format the magic, the format and the length stand where they do
/// here and the checksum stands last, so that a header of a later format can be told from a damaged one.
fn read(bytes: &[u8], magic: &'static [u8; 8]) -> Result<Fields, HeadError> {
    let Some(fixed) = bytes.first_chunk::<SEGMENT_HEAD>() else {
        return Err(HeadError::Short { have: bytes.len() });
    };
    let len = u32_at(fixed, 12) as usize;
    if &fixed[..8] != magic || len < SEGMENT_HEAD {
        return Err(HeadError::Damaged);
    }
    let Some((covered, crc)) = bytes.get(..len).and_then(<[u8]>::split_last_chunk::<CRC>) else {
        return Err(HeadError::Damaged);
    };
    if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err(HeadError::Damaged);
    }
    let format = u16::from_le_bytes([fixed[8], fixed[9]]);
    if format > FORMAT {
        return Err(HeadError::Newer { format, known: FORMAT });
    }
    if format == 0 || len != SEGMENT_HEAD {
        return Err(HeadError::Damaged);
    }
    Ok(Fields {
        magic,
        format,
        flags: u16::from_le_bytes([fixed[10], fixed[11]]),
        store: StoreId::from_bytes(array_at(fixed, 16)),
        number: u64::from_le_bytes(array_at(fixed, 32)),
        previous: Chain::from_bytes(array_at(fixed, 40)),
        covers: u32_at(fixed, 56),
    })
}

/// The `N` bytes at `at`, which are there.
pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the caller checked that the bytes are there")
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}
