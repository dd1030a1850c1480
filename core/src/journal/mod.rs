//! The journal: what a machine's state is rebuilt from, as records and as bytes.
//!
//! A journal is one sequence of [`Record`]s, numbered from 1 without gaps by [`JournalSeq`](crate::id::JournalSeq).
//! The machine alone decides what is written and in which order, and gives every record its number. Adapters write
//! the bytes, make them durable, acknowledge them and read them back; they never make, change or reorder a record.
//! Whoever folds the records of a journal in order has the machine that wrote it, for records are absolute: they say
//! what is, not what changed.
//!
//! # Gating and lazy records
//!
//! Two kinds of record differ in what waits for them ([`Record::is_gating`]):
//!
//! * A **gating** record (genesis, opened, accepted, endpoint, removed, cancelled) holds back everything that depends
//!   on it until it is durable: a receipt is not confirmed and no request is sent before. It asks to be written at
//!   once.
//! * A **lazy** record (all others) holds back nothing. The machine hands it out when a drain has nothing else to do,
//!   and at once it is written; only its sync waits for company, at most [`LINGER`](crate::limits::LINGER). A process
//!   that is killed therefore loses none that was written, and if a loss of power loses one, the worst that follows is
//!   that a request is sent again under the same `webhook-id`, or that a snapshot is made again.
//!
//! Both kinds share one sequence and one order; a gating record never overtakes a lazy one.
//!
//! # Frames
//!
//! [`encode`] writes a record as one frame, and [`decode`] reads it back. Numbers are little-endian.
//!
//! | bytes | field | |
//! | --- | --- | --- |
//! | 0..4 | len | bytes after this field, at least 12 |
//! | 4 | kind | [`Kind`] |
//! | 5 | version | 1 |
//! | 6..8 | reserved | 0 |
//! | 8..16 | seq | the record's place |
//! | 16.. | body | what the kind says |
//!
//! In a body, times are milliseconds (`u64`), durations nanoseconds (`u64`), flags one byte that is 0 or 1, options a
//! flag and then the value, short strings a `u16` length and the bytes, payloads a `u32` length and the bytes, lists a
//! count and the items. The names of the event and the delivery come first, so that [`peek`] finds them without
//! reading the rest. A signing key starts with a byte that tells its form: 0 is plain, 1 is sealed (the key's id follows, then the
//! sealed bytes). A header's value ends with one: 0 is open, 1 secret and plain, 2 secret and sealed.
//! Each record has one encoding only: what [`decode`] accepts, [`encode`] writes again byte for byte.
//!
//! Records that a machine writes often are small. With its header a frame takes
//!
//! | record | bytes |
//! | --- | --- |
//! | queued | 28 |
//! | ended, cancelled | 32 |
//! | mark | 32, and 4 for each open delivery |
//! | outcome that ends a delivery | 46, 8 for each key that signed, and at most 5 for the time that the attempt took (8 from 18 minutes on); an answer that is kept comes on top |
//! | outcome with a retry | 62, and the same: at most 75 with one key and an attempt shorter than 18 minutes |
//! | pending | 46 |
//!
//! # Files
//!
//! A frame knows its length and its number and nothing else. What proves bytes whole is laid around frames, in files
//! that begin with a header: segments of the log, and snapshots. Numbers are little-endian; a header has
//! [`SEGMENT_HEAD`] bytes.
//!
//! | bytes | field | |
//! | --- | --- | --- |
//! | 0..8 | magic | `PSTRLOG\0`, or `PSTRSNAP` |
//! | 8..10 | format | [`FORMAT`] |
//! | 10..12 | flags | bit 0: compacted |
//! | 12..16 | length of the header | 64 |
//! | 16..32 | store | [`StoreId`] |
//! | 32..40 | number | from 1 |
//! | 40..56 | previous | the chain before the first batch; zeros in a snapshot |
//! | 56..60 | covers | how many numbers behind its own a compacted segment stands for |
//! | 60..64 | checksum | CRC32C of the bytes before |
//!
//! In every later format the first 16 bytes mean the same and the checksum stands last, so that a newer file is told
//! from a damaged one ([`HeadError::Newer`]).
//!
//! Behind it come batches without a space between, then zeros. A batch is a run of records, each its checksum (`u32`)
//! and its frame, and a footer of [`FOOTER`] bytes.
//!
//! | bytes | field | |
//! | --- | --- | --- |
//! | 0..4 | checksum | |
//! | 4..8 | len | 56, the bytes after this field |
//! | 8 | kind | `0xF0`, which no record has |
//! | 9 | version | 1 |
//! | 10..12 | flags | bit 0: the end of a snapshot |
//! | 12..20 | last | the number of the last record |
//! | 20..24 | count | records, at least 1 |
//! | 24..32 | first | the number of the first record |
//! | 32..36 | bytes | of the records with their checksums |
//! | 36..40 | pending | bytes before the batch that were not durable when it was made |
//! | 40..56 | chain | SHA-256(chain before, digest), its first 16 bytes |
//! | 56..64 | seal | the digest's first 8 bytes |
//!
//! A checksum is the CRC32C of the store's id, what the file holds (one byte: 0 plain, 1 compacted, 2 snapshot), its
//! number, the offset of the checksum in the file, and the bytes behind it. The *digest* is the SHA-256 of
//! `postrider batch 1\0`, the same four with the offset of the batch, the footer from `len` to `pending`, and the
//! checksums of the records. So the chain proves that a batch is the one behind the batch before it, and the seal that
//! it is the one that was written at this place, though what lies before be lost.
//!
//! In a plain segment numbers are consecutive, in a compacted one they ascend, in a snapshot records have none.
//!
//! **Bytes of another place are no record.** A sector that was doubled or misplaced, and a file of another store, fail
//! every checksum. So does what somebody embeds in a payload: whoever can only choose payloads may know everything here
//! but the store's id, 16 random bytes that leave the store in no request and no answer. Without it, what they make
//! passes for a record once in 2^32 tries and for a batch once in 2^64, each try being good for one offset of one file;
//! and payloads are searched only where damage has taken the length of the record around them. Whoever reads the files
//! knows the id, and holds the records already.
//!
//! **A write that was not finished is not damage.** Disks write sectors in any order: after a crash a batch may be
//! there whole behind one that is not, and neither was acknowledged. So a footer says what was durable when its batch
//! was made. Unsound bytes before that were acknowledged, and are [damage](End::Damaged). Behind it they were all
//! written since the last sync that anything tells of, and it counts whether a part of a sector that should hold
//! something is blank, which is how a sector reads that never arrived in a fresh file: if so, they are a write that was
//! [not finished](End::Torn), otherwise damage. What cannot be told is damage that blanks a sector of the last sync's
//! writes, for then nothing speaks of their having been acknowledged. All this needs that files are made of zeros and
//! that a torn tail is cut, and the cut made durable, before anything is appended.
//!
//! [`Scan`] reads what is sound from the beginning, [`Salvage`] what is sound at all. Both are total: arbitrary bytes
//! give batches, records and gaps, never a panic, and take no more memory than there are bytes. The search for a record
//! behind a damaged length gives up after reading 64 times what it searches, and calls the rest of that batch lost.
//! [`decode`] is total too and takes no more memory than twice the frame and [`DECODE_OVERHEAD`].
//!
//! Stores that are no byte log (a table with a row for each record) take a batch apart with [`keyed`], keep each frame
//! under its [`RecordKey`], and give the same frames back.

mod batch;
mod body;
mod codec;
mod endpoint;
mod error;
#[cfg(test)]
mod file_tests;
mod glance;
mod kind;
mod pacing;
mod record;
mod salvage;
mod scan;
mod sealed;
mod seat;
mod segment;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use self::batch::{Batch, BatchWriter, FOOTER, RECORD_CRC, Records, frame_at, record_at};
pub(crate) use self::codec::kinds;
pub use self::codec::{DECODE_OVERHEAD, FRAME_HEAD, Frames, Keyed, RecordKey, VERSION, decode, encode, keyed, peek};
pub use self::error::{CodecError, Why};
pub use self::glance::{AcceptedGlance, Glance, OutcomeGlance, glance};
pub use self::kind::Kind;
pub use self::pacing::{BreakerRecord, DisableRecord, HealthRecord, PacingRecord, RateRecord, Setting};
pub use self::record::{
    Accepted, AskRecord, CauseRecord, ConsentRecord, DialectRecord, Due, EndpointRecord, EventRecord, FilterRecord,
    HeaderRecord, Kept, KeyRecord, KeyUseRecord, Laned, Mark, OutcomeRecord, Record, Remembered, ReplayRecord,
    RetiredRecord, SnapshotBegin, StateRecord, Then, UseRecord,
};
pub use self::salvage::{Piece, Salvage};
pub use self::scan::{End, Scan, Tail, resync};
pub use self::sealed::{OpenError, StoredKey, StoredValue};
pub use self::seat::{Chain, Holds, Seat, StoreId};
pub use self::segment::{FORMAT, HeadError, SEGMENT_HEAD, SegmentHead, SnapshotHead};
