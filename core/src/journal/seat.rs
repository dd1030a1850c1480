//! Whose bytes they are and where they lie: what every checksum of a file is bound to.

use core::fmt;
use sha2::{Digest as _, Sha256};

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
        let digest = Sha256::new().chain_update(self.0).chain_update(batch).finalize();
        Self(*digest.first_chunk().expect("a SHA-256 has 32 bytes"))
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
const DOMAIN: &[u8] = b"postrider batch 1\0";

impl Seat {
    /// The file of that kind with that number. It can be named without its header, from the name of the file and the
    /// store's other files, so that a damaged header does not take the records with it.
    pub fn new(store: StoreId, holds: Holds, number: u64) -> Self {
        let crc = crc32c::crc32c(&store.to_bytes());
        let crc = crc32c::crc32c_append(crc, &[Self::byte(holds)]);
        Self { store, holds, number, crc: crc32c::crc32c_append(crc, &number.to_le_bytes()) }
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
        crc32c::crc32c_append(crc32c::crc32c_append(self.crc, &offset.to_le_bytes()), bytes)
    }

    /// The beginning of the digest of a batch at `offset`.
    pub(super) fn digest(&self, offset: u64) -> Sha256 {
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.store.to_bytes())
            .chain_update([Self::byte(self.holds)])
            .chain_update(self.number.to_le_bytes())
            .chain_update(offset.to_le_bytes())
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
