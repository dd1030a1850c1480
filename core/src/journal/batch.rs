//! Batches: records with their checksums, and a footer that proves them whole.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::iter::FusedIterator;
use sha2::{Digest as _, Sha256};

use super::codec::{self, FRAME_HEAD};
use super::error::CodecError;
use super::seat::{Chain, Holds, PLACE, Seat};
use super::segment::{array_at, u32_at};
use crate::digest::{BLOCK, PADDING, sha256};
use crate::id::JournalSeq;

/// Bytes of a footer.
pub const FOOTER: usize = 64;

/// Bytes of the checksum before each frame.
pub const RECORD_CRC: usize = 4;

/// The byte that stands in a footer where a frame has its kind. No record has it.
pub(super) const KIND: u8 = 0xF0;
/// Where it stands in a footer.
pub(super) const KIND_AT: usize = RECORD_CRC + 4;
const VERSION: u8 = 1;
/// The flag of the last batch of a snapshot.
const END: u16 = 1;
/// What a footer says of its own length.
const LEN: u32 = (FOOTER - RECORD_CRC - 4) as u32;
/// Where the chain begins in a footer; everything before it but the checksum is in the digest.
const CHAIN: usize = 40;
const SEAL: usize = 56;

/// Makes the bytes of batches, one after the other, for one file.
///
/// A clone is a place to go back to when a write fails.
#[derive(Clone, Debug)]
pub struct BatchWriter {
    seat: Seat,
    at: u64,
    durable: u64,
    chain: Chain,
}

impl BatchWriter {
    /// A writer that goes on at offset `at` of the file, behind a batch with the chain `previous`. Everything before
    /// `at` is durable.
    pub const fn new(seat: Seat, at: u64, previous: Chain) -> Self {
        Self { seat, at, durable: at, chain: previous }
    }

    /// Where the next batch begins in the file.
    pub const fn offset(&self) -> u64 {
        self.at
    }

    /// The chain after the last batch.
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// Everything before `offset` is durable: to be told after each sync, for the batches that come then. Recovery
    /// tells a write that was not finished from damage by it.
    pub fn durable(&mut self, offset: u64) {
        self.durable = self.durable.max(offset.min(self.at));
    }

    /// Appends `frames` (whole frames as [`encode`](super::encode) makes them, at least one) to `out` as one batch,
    /// and gives the chain after it. After an error nothing has changed.
    ///
    /// # Panics
    ///
    /// When the batch has 4 GiB or more.
    pub fn write(&mut self, frames: &Bytes, out: &mut Vec<u8>) -> Result<Chain, CodecError> {
        self.append(Cut(frames), 0, out)
    }

    /// Like [`write`](Self::write), for the last batch of a snapshot.
    pub fn write_end(&mut self, frames: &Bytes, out: &mut Vec<u8>) -> Result<Chain, CodecError> {
        self.append(Cut(frames), END, out)
    }

    /// Like [`write`](Self::write), from frames that do not lie side by side.
    pub fn write_records<'f>(
        &mut self,
        frames: impl IntoIterator<Item = &'f [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<Chain, CodecError> {
        self.append(frames.into_iter().map(first), 0, out)
    }

    fn append<'f>(
        &mut self,
        frames: impl Iterator<Item = Result<Numbered<'f>, CodecError>>,
        flags: u16,
        out: &mut Vec<u8>,
    ) -> Result<Chain, CodecError> {
        let start = out.len();
        let written = self.records(frames, out).and_then(|seqs| seqs.ok_or_else(empty));
        let (first, last, count) = match written {
            Ok(written) => written,
            Err(error) => {
                out.truncate(start);
                return Err(error);
            }
        };
        let bytes = u32::try_from(out.len() - start).expect("limits keep batches below 4 GiB");
        let pending = u32::try_from(self.at - self.durable).unwrap_or(u32::MAX);
        let mut footer = Footer { flags, last, count, first, bytes, pending, chain: self.chain, seal: [0; 8] };
        let digest = footer.digest(&self.seat, self.at, &out[start..]);
        footer.chain = self.chain.after(&digest);
        footer.seal = array_at(&digest, 0);
        out.extend(footer.encode(&self.seat, self.at + u64::from(bytes)));
        self.at += u64::from(bytes) + FOOTER as u64;
        self.chain = footer.chain;
        Ok(self.chain)
    }

    /// Appends records, and says the first and last number and how many they are.
    fn records<'f>(
        &self,
        frames: impl Iterator<Item = Result<Numbered<'f>, CodecError>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<(JournalSeq, JournalSeq, u32)>, CodecError> {
        let (start, mut seqs) = (out.len(), None);
        for frame in frames {
            let (seq, frame) = frame?;
            let (first, count) = seqs.map_or((seq, 0), |(first, _, count)| (first, count));
            seqs = Some((first, seq, count + 1));
            let offset = self.at + (out.len() - start) as u64;
            out.extend_from_slice(&self.seat.crc(offset, frame).to_le_bytes());
            out.extend_from_slice(frame);
        }
        Ok(seqs)
    }
}

/// A frame and its number.
type Numbered<'f> = (JournalSeq, &'f [u8]);

/// The first frame of some bytes.
fn first(bytes: &[u8]) -> Result<Numbered<'_>, CodecError> {
    codec::peek(bytes).map(|(key, len)| (key.seq, &bytes[..len]))
}

/// What the codec says of no bytes at all.
fn empty() -> CodecError {
    codec::peek(&[]).expect_err("no frame is empty")
}

/// Whole frames that lie side by side.
struct Cut<'f>(&'f [u8]);

impl<'f> Iterator for Cut<'f> {
    type Item = Result<Numbered<'f>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        Some(first(self.0).inspect(|(_, frame)| self.0 = &self.0[frame.len()..]))
    }
}

/// A sound batch: its records and its footer are what was written there.
#[derive(Clone)]
#[non_exhaustive]
pub struct Batch {
    /// Where it begins in the file.
    pub offset: u64,
    /// Where it ends: the offset behind its footer.
    pub end: u64,
    /// Its first record.
    pub first: JournalSeq,
    /// Its last record.
    pub last: JournalSeq,
    /// How many records it has, at least one.
    pub count: u32,
    /// The chain after it.
    pub chain: Chain,
    /// Whether it ends a snapshot.
    pub ends: bool,
    /// Everything before this offset of the file was durable when the batch was made.
    pub durable: u64,
    /// The records with their checksums.
    bytes: Bytes,
    digest: [u8; 32],
}

impl Batch {
    /// Its records: where each begins in the file, which is where its checksum lies, and its frame. The frames share
    /// the memory of the file.
    pub fn records(&self) -> Records {
        Records { at: self.offset, rest: self.bytes.clone() }
    }

    /// Whether it is the one behind a batch with the chain `previous`.
    pub fn follows(&self, previous: Chain) -> bool {
        previous.after(&self.digest) == self.chain
    }
}

impl fmt::Debug for Batch {
    /// Without the records: they hold secrets and payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("offset", &self.offset)
            .field("end", &self.end)
            .field("first", &self.first)
            .field("last", &self.last)
            .field("count", &self.count)
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

/// The records of a [`Batch`].
#[derive(Clone)]
pub struct Records {
    at: u64,
    rest: Bytes,
}

impl Iterator for Records {
    type Item = (u64, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let (_, len) = codec::peek(self.rest.get(RECORD_CRC..)?).ok()?;
        let frame = self.rest.split_to(RECORD_CRC + len).slice(RECORD_CRC..);
        let at = self.at;
        self.at += (RECORD_CRC + len) as u64;
        Some((at, frame))
    }
}

impl FusedIterator for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("at", &self.at).field("left", &self.rest.len()).finish()
    }
}

/// The sound record at `offset` of a file: its number and its frame. `bytes` begin there, with its checksum, and may
/// go on behind it. `None` when it is not what was written there.
pub fn record_at(seat: Seat, bytes: &Bytes, offset: u64) -> Option<(JournalSeq, Bytes)> {
    let (seq, frame) = frame_at(seat, bytes, offset)?;
    Some((seq, bytes.slice(RECORD_CRC..RECORD_CRC + frame.len())))
}

/// Like [`record_at`], from bytes that nobody shares.
pub fn frame_at(seat: Seat, bytes: &[u8], offset: u64) -> Option<(JournalSeq, &[u8])> {
    let (crc, frames) = bytes.split_first_chunk::<RECORD_CRC>()?;
    let (seq, frame) = first(frames).ok()?;
    (seat.crc(offset, frame) == u32::from_le_bytes(*crc)).then_some((seq, frame))
}

/// The bytes of a file from an offset on, and which file that is.
#[derive(Clone)]
pub(super) struct Area {
    pub(super) seat: Seat,
    pub(super) base: u64,
    pub(super) bytes: Bytes,
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from {} of {:?}", self.bytes.len(), self.base, self.seat)
    }
}

impl Area {
    /// The length of the sound record at `at`, its checksum included, and its number.
    pub(super) fn record(&self, at: usize) -> Option<(usize, JournalSeq)> {
        let (seq, frame) = frame_at(self.seat, self.bytes.get(at..)?, self.base + at as u64)?;
        Some((RECORD_CRC + frame.len(), seq))
    }

    /// The sound footer at `at`; whether its batch is sound is left open.
    pub(super) fn footer(&self, at: usize) -> Option<Footer> {
        let bytes: &[u8; FOOTER] = self.bytes.get(at..)?.first_chunk()?;
        Footer::decode(bytes, &self.seat, self.base + at as u64)
    }

    /// The sound batch at `at`, wherever in the chain it may stand.
    pub(super) fn batch(&self, at: usize) -> Option<Batch> {
        let (mut end, mut first, mut last, mut count) = (at, None, JournalSeq::ZERO, 0u32);
        let footer = loop {
            match self.record(end) {
                Some((len, seq)) => {
                    if !in_order(self.seat.holds(), first.map(|_| last), seq) {
                        return None;
                    }
                    (first, last, count) = (first.or(Some(seq)), seq, count.checked_add(1)?);
                    end += len;
                }
                None => break self.footer(end)?,
            }
        };
        let offset = self.base + at as u64;
        let digest = footer.digest(&self.seat, offset, &self.bytes[at..end]);
        let sound = first == Some(footer.first)
            && (last, count) == (footer.last, footer.count)
            && footer.bytes as usize == end - at
            && footer.seal == digest[..8];
        sound.then(|| Batch {
            offset,
            end: self.base + (end + FOOTER) as u64,
            first: footer.first,
            last,
            count,
            chain: footer.chain,
            ends: footer.flags & END != 0,
            durable: footer.durable(offset),
            bytes: self.bytes.slice(at..end),
            digest,
        })
    }
}

/// Whether a record may have the number `seq` behind one with the number `last`.
pub(super) fn in_order(holds: Holds, last: Option<JournalSeq>, seq: JournalSeq) -> bool {
    let Some(last) = last else { return true };
    match holds {
        Holds::Plain => last.get().checked_add(1) == Some(seq.get()),
        Holds::Compacted => seq > last,
        Holds::Snapshot => true,
    }
}

/// What stands in a footer.
#[derive(Clone, Debug)]
pub(super) struct Footer {
    pub(super) flags: u16,
    pub(super) last: JournalSeq,
    pub(super) count: u32,
    pub(super) first: JournalSeq,
    /// Bytes of the records before it.
    pub(super) bytes: u32,
    /// Bytes before the batch that were not durable when it was made; `u32::MAX` for that many or more.
    pub(super) pending: u32,
    pub(super) chain: Chain,
    pub(super) seal: [u8; 8],
}

impl Footer {
    fn encode(&self, seat: &Seat, offset: u64) -> [u8; FOOTER] {
        let mut out = [0; FOOTER];
        out[RECORD_CRC..CHAIN].copy_from_slice(&self.fields());
        out[CHAIN..SEAL].copy_from_slice(&self.chain.to_bytes());
        out[SEAL..].copy_from_slice(&self.seal);
        let crc = seat.crc(offset, &out[RECORD_CRC..]);
        out[..RECORD_CRC].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; FOOTER], seat: &Seat, offset: u64) -> Option<Self> {
        let flags = u16::from_le_bytes([bytes[10], bytes[11]]);
        if bytes[8] != KIND || bytes[9] != VERSION || flags & !END != 0 || u32_at(bytes, 4) != LEN {
            return None;
        }
        if seat.crc(offset, &bytes[RECORD_CRC..]) != u32_at(bytes, 0) {
            return None;
        }
        Some(Self {
            flags,
            last: JournalSeq::new(u64::from_le_bytes(array_at(bytes, 12))),
            count: u32_at(bytes, 20),
            first: JournalSeq::new(u64::from_le_bytes(array_at(bytes, 24))),
            bytes: u32_at(bytes, 32),
            pending: u32_at(bytes, 36),
            chain: Chain::from_bytes(array_at(bytes, CHAIN)),
            seal: array_at(bytes, SEAL),
        })
    }

    /// Everything between the checksum and the chain.
    fn fields(&self) -> [u8; CHAIN - RECORD_CRC] {
        let mut out = [0; CHAIN - RECORD_CRC];
        out[..4].copy_from_slice(&LEN.to_le_bytes());
        (out[4], out[5]) = (KIND, VERSION);
        out[6..8].copy_from_slice(&self.flags.to_le_bytes());
        out[8..16].copy_from_slice(&self.last.get().to_le_bytes());
        out[16..20].copy_from_slice(&self.count.to_le_bytes());
        out[20..28].copy_from_slice(&self.first.get().to_le_bytes());
        out[28..32].copy_from_slice(&self.bytes.to_le_bytes());
        out[32..36].copy_from_slice(&self.pending.to_le_bytes());
        out
    }

    /// The digest of the batch of `records` at `offset`, with all that stands before the chain.
    pub(super) fn digest(&self, seat: &Seat, offset: u64, records: &[u8]) -> [u8; 32] {
        const FIELDS: usize = PLACE + CHAIN - RECORD_CRC;
        // As many blocks as the usual batch of a few records needs.
        let mut blocks = [[0; BLOCK]; 3];
        let part = blocks.as_flattened_mut();
        part[..PLACE].copy_from_slice(&seat.place(offset));
        part[PLACE..FIELDS].copy_from_slice(&self.fields());
        let (mut long, mut end, mut rest) = (None, FIELDS, records);
        while let Some((crc, frame)) = rest.split_first_chunk::<RECORD_CRC>() {
            if end + RECORD_CRC + PADDING > part.len() {
                long.get_or_insert_with(Sha256::new).update(&part[..end]);
                end = 0;
            }
            part[end..end + RECORD_CRC].copy_from_slice(crc);
            end += RECORD_CRC;
            let len = frame.first_chunk().map_or(0, |len| u32::from_le_bytes(*len) as usize);
            rest = frame.get(len.saturating_add(4)..).unwrap_or_default();
        }
        match long {
            Some(long) => long.chain_update(&part[..end]).finalize().into(),
            None => sha256(blocks, end),
        }
    }

    pub(super) fn durable(&self, offset: u64) -> u64 {
        if self.pending == u32::MAX { 0 } else { offset.saturating_sub(self.pending.into()) }
    }
}

const _: () = assert!(FOOTER == RECORD_CRC + FRAME_HEAD + 44);
