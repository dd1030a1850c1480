//! Whose bytes they are and where they lie: what every checksum of a file is bound to.

use core::fmt;

use crate::digest::{BLOCK, sha256};

/// The name of a store: 16 random bytes, minted by the adapter when the store is made.
///
/// It is written into the header of every file, and every checksum is bound to it. Nothing that is sent, shown to
/// producers or to receivers tells it: whoever can only choose payloads cannot make bytes that pass for records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId([u8; 16]);

impl StoreId {
    /// The name with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({self})")
    }
}

/// What all batches up to one hash to: the first 16 bytes of SHA-256 over the link before and the batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain([u8; 16]);

impl Chain {
    /// Before the first batch of a store, and of each snapshot.
    pub const START: Self = Self([0; 16]);

    /// The link with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The link after this one, over the digest of the next batch.
    pub(super) fn after(self, batch: &[u8; 32]) -> Self {
        let mut link = [0; BLOCK];
        link[..16].copy_from_slice(&self.0);
        link[16..48].copy_from_slice(batch);
        Self(*sha256([link], 48).first_chunk().expect("a SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// What a file holds, and with that which numbers its records have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the format is versioned as a whole")]
pub enum Holds {
    /// The log as it was written: numbers are consecutive.
    Plain,
    /// What is left of the log after compaction: numbers ascend.
    Compacted,
    /// A snapshot: its records have no numbers of their own.
    Snapshot,
}

/// Which file of which store. Every checksum in a file covers it, and the offset at which the bytes lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    store: StoreId,
    holds: Holds,
    number: u64,
    /// The CRC32C of all of that, which the checksum of a record goes on from.
    crc: u32,
}

/// Keeps digests of batches apart from every other use of SHA-256.
const DOMAIN: &[u8; 18] = b"postrider batch 1\0";

/// Bytes of [`Seat::place`].
pub(super) const PLACE: usize = 51;

/// The CRC32C of each byte, without the inversions before and after.
const CRC_OF_BYTE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

impl Seat {
    /// The file of that kind with that number. It can be named without its header, from the name of the file and the
    /// store's other files, so that a damaged header does not take the records with it.
    pub fn new(store: StoreId, holds: Holds, number: u64) -> Self {
        let mut bytes = [0; 25];
        bytes[..16].copy_from_slice(&store.to_bytes());
        bytes[16] = Self::byte(holds);
        bytes[17..].copy_from_slice(&number.to_le_bytes());
        Self { store, holds, number, crc: crc32c::crc32c(&bytes) }
    }

    /// What the file holds.
    pub const fn holds(&self) -> Holds {
        self.holds
    }

    /// The store.
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// The number of the file.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The checksum of bytes that lie behind a checksum at `offset`.
    pub(super) fn crc(&self, offset: u64, bytes: &[u8]) -> u32 {
        // What makes long runs fast costs more than eight steps of this.
        let step = |crc: u32, byte: u8| CRC_OF_BYTE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
        let seat = !offset.to_le_bytes().into_iter().fold(!self.crc, step);
        crc32c::crc32c_append(seat, bytes)
    }

    /// What the digest of a batch at `offset` begins with.
    pub(super) fn place(&self, offset: u64) -> [u8; PLACE] {
        let mut out = [0; PLACE];
        let (store, number) = (self.store.to_bytes(), self.number.to_le_bytes());
        out[..18].copy_from_slice(DOMAIN);
        out[18..34].copy_from_slice(&store);
        out[34] = Self::byte(self.holds);
        out[35..43].copy_from_slice(&number);
        out[43..].copy_from_slice(&offset.to_le_bytes());
        out
    }

    const fn byte(holds: Holds) -> u8 {
        match holds {
            Holds::Plain => 0,
            Holds::Compacted => 1,
            Holds::Snapshot => 2,
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({:?} {} of {})", self.holds, self.number, self.store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_covers_the_store_the_file_the_offset_and_the_bytes() {
        let seat = Seat::new(StoreId::from_bytes([0xA5; 16]), Holds::Snapshot, 0x0102_0304_0506_0708);
        for offset in [0, 1, 64, 0xDEAD_BEEF, u64::MAX] {
            let mut whole = [0xA5; 16].to_vec();
            whole.push(2);
            whole.extend(0x0102_0304_0506_0708_u64.to_le_bytes());
            whole.extend(offset.to_le_bytes());
            whole.extend(b"any bytes");
            assert_eq!(seat.crc(offset, b"any bytes"), crc32c::crc32c(&whole), "{offset}");
        }
    }
}
