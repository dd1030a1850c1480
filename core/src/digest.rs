//! SHA-256 of a few bytes: without the buffer of a hasher that is fed piece by piece.

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

/// What the padding takes at least.
pub(crate) const PADDING: usize = 9;

/// The state before the first block (FIPS 180-4, section 5.3.3).
const START: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// The digest of the first `len` bytes of `blocks`, behind which there are zeros, at least [`PADDING`] of them.
pub(crate) fn sha256<const N: usize>(mut blocks: [[u8; BLOCK]; N], len: usize) -> [u8; 32] {
    let used = (len + PADDING).div_ceil(BLOCK);
    let bytes = blocks.as_flattened_mut();
    bytes[len] = 0x80;
    bytes[used * BLOCK - 8..used * BLOCK].copy_from_slice(&(len as u64 * 8).to_be_bytes());
    let mut state = START;
    compress256(&mut state, &blocks[..used]);
    let mut out = [0; 32];
    out.as_chunks_mut().0.iter_mut().zip(state).for_each(|(out, word)| *out = word.to_be_bytes());
    out
}

/// Blocks that texts fit in that are as long as usual.
const USUAL: usize = 3;

/// The digest of these parts, one behind the other.
pub(crate) fn sha256_of<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let whole: usize = parts.iter().map(|part| part.len()).sum();
    if whole > USUAL * BLOCK - PADDING {
        return parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into();
    }
    let mut blocks = [[0; BLOCK]; USUAL];
    let mut left = blocks.as_flattened_mut();
    for part in parts {
        let place;
        (place, left) = left.split_at_mut(part.len());
        place.copy_from_slice(part);
    }
    sha256(blocks, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_digest_of_those_bytes() {
        for len in 0..=4 * BLOCK - PADDING {
            let mut blocks = [[0; BLOCK]; 4];
            let bytes = &mut blocks.as_flattened_mut()[..len];
            bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 7 + len) as u8);
            let whole: [u8; 32] = Sha256::digest(bytes).into();
            assert_eq!(sha256(blocks, len), whole, "{len} bytes");
            let (front, back) = blocks.as_flattened()[..len].split_at(len / 3);
            assert_eq!(sha256_of([front, &[], back]), whole, "{len} bytes in parts");
        }
    }
}
