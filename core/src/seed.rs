//! Entropy as a parameter: jitter is a pure function of a seed and of what it is for.

use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The 32 bytes from which every choice that looks random is derived.
///
/// The adapter takes them from the operating system once, when a store is made, and they are the store's first
/// record: the same store therefore makes the same choices on every run and on every platform.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the journal.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// A fraction in `0..2^32` (read it as `value / 2^32`) that is fixed by the seed and by `parts`, in order.
    ///
    /// Parts are kept apart by their lengths, so that `["ab", "c"]` and `["a", "bc"]` are different questions.
    pub fn fraction(&self, parts: &[&[u8]]) -> u32 {
        let [a, b, c, d, ..] = self.derive(parts);
        u32::from_le_bytes([a, b, c, d])
    }

    /// 32 bytes that are fixed by the seed and by `parts`, in order, kept apart in the same way; nobody who does not know
    /// the seed can tell them from random ones.
    pub fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let seed = Seed::from_bytes([7; 32]);
        assert_ne!(seed.fraction(&[b"ab", b"c"]), seed.fraction(&[b"a", b"bc"]));
        assert_eq!(seed.fraction(&[b"ab", b"c"]), seed.fraction(&[b"ab", b"c"]));
    }
}
