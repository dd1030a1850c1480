//! How far records were durable, in a small file beside the log.
//!
//! The end of a log cannot tell by itself whether it was cut: a file that lost its last batches looks like one that
//! never had them. After each sync of the log the place of its last record is written here, without a sync of its own;
//! at each opening and with each new segment it is synced.
//! What is read here was durable once; it may be old after a loss of power, and then tells less. A log that ends
//! before it is damaged.
//!
//! A file that is damaged itself tells nothing, as one that is missing does, and no opening fails for it. It is written
//! without a sync while the log is, so that a loss of power in the middle of a sector can leave it torn together with
//! the end of the log: nobody can tell that from damage to both, and a journal that only lost its power must open.

use postrider_core::id::JournalSeq;
use postrider_core::journal::StoreId;

use super::names;
use crate::{Disk, File};

const MAGIC: &[u8; 8] = b"PSTRACK\0";
const LEN: usize = 20;

/// The file.
pub(crate) struct Acked<F> {
    /// `None` once it failed: it is a help, and the log goes on without it.
    file: Option<F>,
    crc: StoreCrc,
}

impl<F: File> Acked<F> {
    /// The file on this disk, made if there is none.
    pub(crate) fn open<D: Disk<File = F>>(disk: &D, store: StoreId) -> Self {
        let file = disk.open(names::ACKED).or_else(|_| disk.create(names::ACKED, LEN as u64));
        Self { file: file.ok(), crc: StoreCrc::new(store) }
    }

    /// Everything up to this record is durable.
    pub(crate) fn tell(&mut self, seq: JournalSeq) {
        let bytes = encode(self.crc, seq);
        if self.file.as_ref().is_some_and(|file| file.write_at(0, &bytes).is_err()) {
            self.file = None;
        }
    }

    /// Makes it durable itself.
    pub(crate) fn sync(&mut self) {
        if self.file.as_ref().is_some_and(|file| file.sync().is_err()) {
            self.file = None;
        }
    }
}

/// The bytes of the file on this disk.
pub(crate) struct Raw([u8; LEN]);

impl Raw {
    /// `None` when there is no such file, or a shorter one.
    pub(crate) fn read<D: Disk>(disk: &D) -> Option<Self> {
        let mut bytes = [0; LEN];
        let read = disk.open(names::ACKED).and_then(|file| file.read_at(0, &mut bytes));
        matches!(read, Ok(LEN)).then_some(Self(bytes))
    }

    /// Makes a file of them on another disk, durably but for its name.
    pub(crate) fn write<D: Disk>(&self, disk: &D) -> std::io::Result<()> {
        let file = disk.create(names::ACKED, 0)?;
        file.write_at(0, &self.0)?;
        file.sync()
    }

    /// What they say of this store; zero when they are of another, or damaged.
    pub(crate) fn of(&self, store: StoreId) -> JournalSeq {
        decode(store, &self.0).unwrap_or(JournalSeq::ZERO)
    }
}

/// What the file on this disk says.
pub(crate) fn read<D: Disk>(disk: &D, store: StoreId) -> JournalSeq {
    Raw::read(disk).map_or(JournalSeq::ZERO, |raw| raw.of(store))
}

/// The CRC32C of a store's name and the magic.
#[derive(Clone, Copy)]
struct StoreCrc(u32);

impl StoreCrc {
    fn new(store: StoreId) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(&store.to_bytes()), MAGIC))
    }
}

fn encode(StoreCrc(crc): StoreCrc, seq: JournalSeq) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&seq.get().to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &out[8..16]);
    out[16..].copy_from_slice(&crc.to_le_bytes());
    out
}

fn decode(store: StoreId, bytes: &[u8; LEN]) -> Option<JournalSeq> {
    let seq = JournalSeq::new(u64::from_le_bytes(*bytes[8..].first_chunk()?));
    (*bytes == encode(StoreCrc::new(store), seq)).then_some(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_tells_nothing() {
        let store = StoreId::from_bytes([7; 16]);
        let bytes = encode(StoreCrc::new(store), JournalSeq::new(4711));
        assert_eq!(decode(store, &bytes), Some(JournalSeq::new(4711)));
        assert_eq!(decode(StoreId::from_bytes([8; 16]), &bytes), None);
        for bit in 0..LEN * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(store, &bytes), None, "bit {bit}");
        }
        assert_eq!(decode(store, &[0; LEN]), None);
    }
}
