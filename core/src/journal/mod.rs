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
//! * A **lazy** record (all others) holds back nothing and waits for company, at most
//!   [`LINGER`](crate::limits::LINGER). If a crash loses one, the worst that follows is that a request is sent again
//!   under the same `webhook-id`, or that a snapshot is made again.
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
//! # The seam
//!
//! A frame knows its length and its number and nothing else: no checksum tells a damaged frame from a sound one, no
//! footer tells which frames were written together. Whatever proves bytes whole is laid *around* frames (checksums,
//! batches, segments), and only bytes that passed it are given to [`Frames`] here. Decoding is total all the same:
//! arbitrary bytes give records or an error, never a panic, and never more memory than twice the frame and
//! [`DECODE_OVERHEAD`].
//!
//! Stores that are no byte log (a table with a row for each record) take a batch apart with [`keyed`], keep each frame
//! under its [`RecordKey`], and give the same frames back.

mod batch;
mod body;
mod codec;
mod error;
#[cfg(test)]
mod file_tests;
mod kind;
mod record;
mod salvage;
mod scan;
mod sealed;
mod seat;
mod segment;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use self::batch::{Batch, BatchWriter, FOOTER, RECORD_CRC, Records, record_at};
pub use self::codec::{DECODE_OVERHEAD, FRAME_HEAD, Frames, Keyed, RecordKey, VERSION, decode, encode, keyed, peek};
pub use self::error::{CodecError, Why};
pub use self::kind::Kind;
pub use self::record::{
    Accepted, Due, EndpointRecord, EventRecord, HeaderRecord, Kept, KeyRecord, Mark, OutcomeRecord, Record, Remembered,
    RetiredRecord, SnapshotBegin, StateRecord, Then,
};
pub use self::salvage::{Piece, Salvage};
pub use self::scan::{End, Scan, Tail, resync};
pub use self::sealed::{OpenError, StoredKey, StoredValue};
pub use self::seat::{Chain, Holds, Seat, StoreId};
pub use self::segment::{FORMAT, HeadError, SEGMENT_HEAD, SegmentHead, SnapshotHead};
