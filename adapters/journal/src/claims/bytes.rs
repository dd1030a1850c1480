//! The bytes of a file of claims, and what is left of them after a crash.
//!
//! | bytes | field | |
//! | --- | --- | --- |
//! | 0..8 | magic | `PSTRCLM\0` |
//! | 8..10 | format | [`FORMAT`] |
//! | 10..16 | reserved | 0 |
//! | 16..24 | number | of the file: one more than that of the file before it |
//! | 24..28 | reserved | 0 |
//! | 28..32 | checksum | CRC32C of the bytes before |
//!
//! Behind it come frames without a space between. Each is one write: some records, each behind its length (`u32`).
//! Numbers are little-endian.
//!
//! | bytes | field | |
//! | --- | --- | --- |
//! | 0..4 | mark | [`MARK`]; it stands in no text |
//! | 4..8 | length | of the records |
//! | 8..16 | durable | how many bytes of the file were durable when it was written |
//! | 16..20 | checksum | CRC32C of the file's number, the frame's offset, and the bytes before |
//! | 20..24 | checksum | CRC32C of the file's number, the frame's offset, and the records |
//!
//! **A write that was not finished is not damage.** A file is only ever appended to, in a place where there was nothing; so
//! of a write that a loss of power cut short every sector is whole or blank: missing or zeros. An unsound place is damage if
//! a sound frame behind it says that it was durable before, or if it has no blank sector that would explain it. What cannot
//! be told is damage that blanks a sector of the last write, or that takes frames off the end.

use postrider_core::receiver::book::BookRecord;

use ::bytes::{BufMut as _, BytesMut};

pub(super) const FORMAT: u16 = 1;

/// Bytes of the file's header.
pub(super) const HEAD: usize = 32;

/// Bytes of a frame's header.
const FRAME: usize = 24;

const MAGIC: &[u8; 8] = b"PSTRCLM\0";
const MARK: [u8; 4] = [0xff, b'c', b'l', 0xfe];

/// The least that a disk writes whole.
const SECTOR: usize = 512;

/// A file's header.
pub(super) fn head(number: u64) -> [u8; HEAD] {
    let mut out = [0; HEAD];
    out[..8].copy_from_slice(MAGIC);
    out[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    out[16..24].copy_from_slice(&number.to_le_bytes());
    let sum = crc32c::crc32c(&out[..28]);
    out[28..].copy_from_slice(&sum.to_le_bytes());
    out
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The number of the file.
    Sound(u64),
    Newer(u16),
    Damaged,
}

pub(super) fn read_head(bytes: &[u8]) -> Head {
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Head::Damaged };
    let sum = crc32c::crc32c(&head[..28]).to_le_bytes();
    if head[..8] != *MAGIC || head[28..] != sum {
        return Head::Damaged;
    }
    match u16::from_le_bytes([head[8], head[9]]) {
        FORMAT => Head::Sound(u64_at(head, 16)),
        format => Head::Newer(format),
    }
}

/// Records that become one frame.
#[derive(Debug, Default)]
pub(super) struct Frame {
    bytes: BytesMut,
    records: u64,
}

impl Frame {
    pub(super) fn add(&mut self, record: &BookRecord) {
        if self.bytes.is_empty() {
            self.bytes.put_bytes(0, FRAME);
        }
        let at = self.bytes.len();
        self.bytes.put_u32_le(0);
        record.encode(&mut self.bytes);
        let len = (self.bytes.len() - at - 4) as u32;
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
        self.records += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Its bytes as they stand in this file at this place, and how many records they are; it is empty then.
    pub(super) fn take(&mut self, number: u64, at: u64, durable: u64) -> (BytesMut, u64) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            let len = (bytes.len() - FRAME) as u32;
            bytes[..4].copy_from_slice(&MARK);
            bytes[4..8].copy_from_slice(&len.to_le_bytes());
            bytes[8..16].copy_from_slice(&durable.to_le_bytes());
            let (head, body) = (sum(number, at, &bytes[..16]), sum(number, at, &bytes[FRAME..]));
            bytes[16..20].copy_from_slice(&head.to_le_bytes());
            bytes[20..24].copy_from_slice(&body.to_le_bytes());
        }
        (bytes, std::mem::take(&mut self.records))
    }
}

/// What there is in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) records: Vec<BookRecord>,
    /// Bytes of writes that were not finished.
    pub(super) torn: usize,
    /// Places that are damaged: the first byte of each, and the one behind it.
    pub(super) damaged: Vec<(usize, usize)>,
}

/// Reads every byte behind the header.
pub(super) fn scan(bytes: &[u8], number: u64) -> Scan {
    let (mut found, mut unsound, mut at) = (Scan::default(), Vec::new(), HEAD.min(bytes.len()));
    let mut durable = 0;
    while at < bytes.len() {
        let frame = Read::sound(bytes, number, at);
        if let Some((frame, records)) = frame.and_then(|frame| Some((frame, records(frame.body)?))) {
            found.records.extend(records);
            durable = durable.max(frame.durable);
            at = frame.end;
        } else {
            let next = (at + 1..bytes.len()).find(|at| Read::sound(bytes, number, *at).is_some());
            let end = next.unwrap_or(bytes.len());
            unsound.push((at, end));
            at = end;
        }
    }
    for (from, to) in unsound {
        if durable > from as u64 || !was_cut(bytes, number, from) {
            found.damaged.push((from, to));
        } else {
            found.torn += to - from;
        }
    }
    found
}

/// A frame.
#[derive(Clone, Copy)]
struct Read<'a> {
    durable: u64,
    body: &'a [u8],
    end: usize,
}

impl<'a> Read<'a> {
    /// The frame at this place, if it is whole.
    fn sound(bytes: &'a [u8], number: u64, at: usize) -> Option<Self> {
        let head = read_frame(bytes, number, at)?;
        let end = at.checked_add(FRAME)?.checked_add(head.len)?;
        let body = bytes.get(at + FRAME..end)?;
        (sum(number, at as u64, body) == head.sum).then_some(Self { durable: head.durable, body, end })
    }
}

struct FrameHead {
    len: usize,
    durable: u64,
    sum: u32,
}

fn read_frame(bytes: &[u8], number: u64, at: usize) -> Option<FrameHead> {
    let head: &[u8; FRAME] = bytes.get(at..)?.first_chunk()?;
    let sound = head[..4] == MARK && u32_at(head, 16) == sum(number, at as u64, &head[..16]);
    sound.then(|| FrameHead { len: u32_at(head, 4) as usize, durable: u64_at(head, 8), sum: u32_at(head, 20) })
}

/// The records of a frame; `None` if they are none.
fn records(mut body: &[u8]) -> Option<Vec<BookRecord>> {
    let mut records = Vec::new();
    while let Some((len, rest)) = body.split_first_chunk() {
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        records.push(BookRecord::decode(record).ok()?);
        body = rest;
    }
    body.is_empty().then_some(records)
}

/// Whether what is unsound at this place is what a write leaves that was not finished.
fn was_cut(bytes: &[u8], number: u64, at: usize) -> bool {
    let end = match read_frame(bytes, number, at) {
        Some(head) => (at + FRAME).saturating_add(head.len),
        None => at + FRAME,
    };
    let mut from = at;
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        if bytes.get(from..to).is_none_or(|part| part.iter().all(|byte| *byte == 0)) {
            return true;
        }
        from = to;
    }
    false
}

fn sum(number: u64, at: u64, bytes: &[u8]) -> u32 {
    let seed = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &at.to_le_bytes());
    crc32c::crc32c_append(seed, bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("a header has its fields"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("a header has its fields"))
}
