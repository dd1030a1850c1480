//! Records to frames and back.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use core::fmt;
use core::iter::FusedIterator;

use super::body;
use super::error::{CodecError, Why};
use super::kind::{Kind, Subject};
use super::record::Record;
use super::wire::{Reader, Writer};
use crate::id::JournalSeq;

/// Bytes of a frame before its body.
pub const FRAME_HEAD: usize = 16;

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u8 = 1;

/// Decoding a frame allocates at most twice the frame's bytes and this much.
///
/// The rest is what lists of names take in memory beyond their bytes; the format bounds how many items they have.
pub const DECODE_OVERHEAD: usize = 128 * 1024;

/// Bytes of the length field, which do not count in the length.
const LEN: usize = 4;

/// Appends the frame of `record` at the place `seq` to `out`.
///
/// Not written are the payload of a snapshot's [`Record::Event`], which stays in its accepted record, and what a
/// duration has beyond `u64::MAX` nanoseconds (584 years).
///
/// Keys are written plain: `out` is as secret as they are.
///
/// # Panics
///
/// When a value is larger than the format can hold. The limits of a machine are far below: strings, header values and
/// keys 65,535 bytes, 1,024 patterns, 255 headers, 255 keys, 65,535 steps of a schedule, a record 4 GiB.
pub fn encode(seq: JournalSeq, record: &Record, out: &mut BytesMut) {
    let start = out.len();
    out.reserve(FRAME_HEAD);
    out.put_u32_le(0);
    out.put_u8(record.kind().byte());
    out.put_u8(VERSION);
    out.put_u16_le(0);
    out.put_u64_le(seq.get());
    body::write(record, &mut Writer::new(out));
    let len = u32::try_from(out.len() - start - LEN).expect("limits keep a record below 4 GiB");
    out[start..start + LEN].copy_from_slice(&len.to_le_bytes());
}

/// Reads the first frame of `bytes` and removes it from them; after an error `bytes` are as they were.
///
/// The payload shares the memory of `bytes` and keeps all of it alive; everything else is copied.
///
/// The form of the record is checked, not its sense: whether a status, a state or a number that it names exists is for
/// those who read it.
pub fn decode(bytes: &mut Bytes) -> Result<(JournalSeq, Record), CodecError> {
    let head = head(bytes)?;
    let record = body::read(head.kind, &bytes.slice(..head.end))?;
    bytes.advance(head.end);
    Ok((head.seq, record))
}

/// Reads what the first frame of `bytes` is about, and how many bytes it has, without reading its body: whether the
/// body can be read is left open.
pub fn peek(bytes: &[u8]) -> Result<(RecordKey, usize), CodecError> {
    let head = head(bytes)?;
    let mut reader = Reader::new(&bytes[..head.end], FRAME_HEAD);
    let (event, subscription) = match head.kind.subject() {
        Subject::Itself => (Some(head.seq), None),
        Subject::Event => (Some(reader.seq("event")?), None),
        Subject::Delivery => (Some(reader.seq("event")?), Some(reader.u32("subscription")?)),
        Subject::Other => (None, None),
    };
    Ok((RecordKey { kind: head.kind, seq: head.seq, event, subscription }, head.end))
}

/// What a record is about: what a store that is no byte log may file it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "plain data of a versioned format")]
pub struct RecordKey {
    /// Its kind.
    pub kind: Kind,
    /// Its place, unique in a journal.
    pub seq: JournalSeq,
    /// The event that it is about; the record's own place for [`Record::Accepted`].
    pub event: Option<JournalSeq>,
    /// The subscription, where it is about one delivery of that event.
    pub subscription: Option<u32>,
}

/// Takes a batch of frames apart: each frame, and what it is about. The frames share the memory of the batch.
///
/// The batch holds whole frames and nothing else, as [`encode`] wrote them one after the other. At anything else the
/// iterator ends, and [`Keyed::rest`] is not empty.
pub fn keyed(batch: &Bytes) -> Keyed {
    Keyed { rest: batch.clone() }
}

/// The frames of a batch with their keys; see [`keyed`].
#[derive(Clone)]
pub struct Keyed {
    rest: Bytes,
}

impl Keyed {
    /// What has not been taken apart: empty once a sound batch has been read to its end.
    pub const fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Keyed {
    type Item = (RecordKey, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, len) = peek(&self.rest).ok()?;
        Some((key, self.rest.split_to(len)))
    }
}

impl FusedIterator for Keyed {}

impl fmt::Debug for Keyed {
    /// Without the bytes, in which there may be keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("left", &self.rest.len()).finish()
    }
}

/// The records of a run of frames, in order.
///
/// The iterator ends after the last frame, or after the first error. An error that [is torn](CodecError::is_torn)
/// says that the last frame is incomplete; every other one is damage. Places in errors are counted from the beginning
/// of the run.
///
/// Without a checksum a damaged length looks like a torn frame when it points past the end; telling these apart is the
/// work of whatever is laid around frames.
#[derive(Clone)]
pub struct Frames {
    rest: Bytes,
    at: usize,
    failed: bool,
}

impl Frames {
    /// The records of `bytes`, whose payloads will share their memory.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { rest: bytes.into(), at: 0, failed: false }
    }

    /// Where the next frame begins, counted in bytes from the beginning of the run; after an error, where the frame
    /// begins that could not be read. Everything before it was read.
    pub const fn offset(&self) -> usize {
        self.at
    }
}

impl Iterator for Frames {
    type Item = Result<(JournalSeq, Record), CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let before = self.rest.len();
        match decode(&mut self.rest) {
            Ok(read) => {
                self.at += before - self.rest.len();
                Some(Ok(read))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error.after(self.at)))
            }
        }
    }
}

impl FusedIterator for Frames {}

impl fmt::Debug for Frames {
    /// Without the bytes, in which there may be keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("offset", &self.at).field("left", &self.rest.len()).finish_non_exhaustive()
    }
}

/// A frame's header. All of the frame is there.
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) seq: JournalSeq,
    /// Bytes of the frame.
    pub(super) end: usize,
}

pub(super) fn head(bytes: &[u8]) -> Result<Head, CodecError> {
    let have = bytes.len();
    let Some(len) = bytes.first_chunk::<LEN>() else {
        return Err(CodecError::new(0, Why::Torn { have, need: FRAME_HEAD as u64 }));
    };
    let len = u32::from_le_bytes(*len);
    let need = u64::from(len) + LEN as u64;
    if need < FRAME_HEAD as u64 {
        return Err(CodecError::new(0, Why::Short { len }));
    }
    let end = match usize::try_from(need) {
        Ok(end) if end <= have => end,
        Ok(_) | Err(_) => return Err(CodecError::new(0, Why::Torn { have, need })),
    };
    let mut reader = Reader::new(&bytes[..end], LEN);
    let kind = reader.u8("kind")?;
    let kind = Kind::from_byte(kind).ok_or_else(|| CodecError::new(4, Why::Kind { byte: kind }))?;
    let version = reader.u8("version")?;
    if version != VERSION {
        return Err(CodecError::new(5, Why::Version { byte: version }));
    }
    let reserved = reader.u16("reserved")?;
    if reserved != 0 {
        return Err(CodecError::new(6, Why::Reserved { value: reserved }));
    }
    Ok(Head { kind, seq: reader.seq("seq")?, end })
}

/// How many bytes the frame has that begins so, if its kind, version and reserved field are those of one; its body
/// need not be there.
pub(super) fn plausible(bytes: &[u8]) -> Option<usize> {
    announced(bytes).map(|(_, len)| len)
}

/// The same, and its kind.
#[inline]
fn announced(bytes: &[u8]) -> Option<(Kind, usize)> {
    let (len, rest) = bytes.get(..FRAME_HEAD)?.split_first_chunk::<LEN>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?.checked_add(LEN)?;
    let kind = Kind::from_byte(rest[0])?;
    (len >= FRAME_HEAD && rest[1..4] == [VERSION, 0, 0]).then_some((kind, len))
}

/// The frames of a run that [`encode`] wrote, with their kinds, at little cost: only whoever has just seen them written
/// looks at them so.
#[inline]
pub(crate) fn kinds(mut run: &[u8]) -> impl Iterator<Item = (Kind, &[u8])> {
    core::iter::from_fn(move || {
        let (kind, len) = announced(run)?;
        let (frame, rest) = run.split_at_checked(len)?;
        run = rest;
        Some((kind, frame))
    })
}
