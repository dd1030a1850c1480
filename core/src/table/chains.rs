//! Finding entries of a table by a hash, at 8 or 12 bytes an entry and without a pause for growing.

use alloc::vec;
use alloc::vec::Vec;

/// Stands for the end of a chain.
const END: u32 = u32::MAX;

/// Chains of the entries of a table, one for each bucket (linear hashing, after Litwin): with each entry that comes in,
/// at most one bucket is split, so no call pays for growing the whole. The caller compares entries, and tells the hash
/// of one when its bucket is split.
///
/// Hashes must be keyed where somebody else chooses what is hashed.
#[derive(Debug)]
pub(crate) struct Chains<L = Bare> {
    /// The first entry of each bucket.
    heads: Vec<u32>,
    /// What is behind each in its chain.
    links: Vec<L>,
    len: usize,
}

/// A link of a chain.
pub(crate) trait ChainLink: Copy {
    fn new(hash: u64, next: u32) -> Self;
    /// The entry behind.
    fn next(self) -> u32;
    fn set_next(&mut self, next: u32);
    /// As much of the entry's hash as its bucket depends on, where that is known.
    fn hash(self) -> Option<u64>;
}

/// A link that says what is behind and no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare(u32);

/// A link that knows 32 bits of its entry's hash besides. Where entries are many and seldom looked at, few of those that are
/// not the one are looked at, and none when a bucket is split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marked {
    next: u32,
    hash: u32,
}

impl ChainLink for Bare {
    fn new(_hash: u64, next: u32) -> Self {
        Self(next)
    }

    fn next(self) -> u32 {
        self.0
    }

    fn set_next(&mut self, next: u32) {
        self.0 = next;
    }

    fn hash(self) -> Option<u64> {
        None
    }
}

impl ChainLink for Marked {
    fn new(hash: u64, next: u32) -> Self {
        Self { next, hash: hash as u32 }
    }

    fn next(self) -> u32 {
        self.next
    }

    fn set_next(&mut self, next: u32) {
        self.next = next;
    }

    fn hash(self) -> Option<u64> {
        Some(self.hash.into())
    }
}

impl<L> Default for Chains<L> {
    fn default() -> Self {
        Self { heads: vec![END], links: Vec::new(), len: 0 }
    }
}

impl<L: ChainLink> Chains<L> {
    /// Makes buckets for so many entries at once, when there is none yet: then none has to be split.
    pub(crate) fn reserve(&mut self, entries: usize) {
        if self.len == 0 && entries > self.heads.len() {
            self.heads = vec![END; entries];
            self.links.reserve_exact(entries.saturating_sub(self.links.len()));
        }
    }

    /// The entries in the chain of a hash; others than those of this hash are among them.
    pub(crate) fn chain(&self, hash: u64) -> impl Iterator<Item = u32> {
        let some = |at: u32| (at != END).then_some(at);
        core::iter::successors(some(self.heads[self.bucket(hash)]), move |at| some(self.links[*at as usize].next()))
    }

    /// The entry with this hash that is the one looked for.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let may_be = |at: u32| self.links[at as usize].hash().is_none_or(|known| known as u32 == hash as u32);
        self.chain(hash).find(|at| may_be(*at) && is_it(*at))
    }

    /// Puts an entry in, which must not be there. `hash_of` gives the hash of any that is.
    pub(crate) fn insert(&mut self, hash: u64, at: u32, hash_of: impl Fn(u32) -> u64) {
        let place = at as usize;
        if place >= self.links.len() {
            self.links.resize(place + 1, L::new(0, END));
        }
        let bucket = self.bucket(hash);
        self.links[place] = L::new(hash, self.heads[bucket]);
        self.heads[bucket] = at;
        self.len += 1;
        // A bucket depends on no more than 32 bits.
        if self.len > self.heads.len() && self.heads.len() < END as usize {
            self.split(hash_of);
        }
    }

    /// Takes an entry out that is there.
    pub(crate) fn remove(&mut self, hash: u64, at: u32) {
        let bucket = self.bucket(hash);
        let behind = self.links[at as usize].next();
        self.len -= 1;
        if self.heads[bucket] == at {
            self.heads[bucket] = behind;
            return;
        }
        let mut before = self.heads[bucket];
        while self.links[before as usize].next() != at {
            before = self.links[before as usize].next();
        }
        self.links[before as usize].set_next(behind);
    }

    /// Which bucket a hash belongs to: those behind the one to be split next know one bit less of it.
    fn bucket(&self, hash: u64) -> usize {
        let count = self.heads.len();
        let mask = count.next_power_of_two() - 1;
        let bucket = hash as usize & mask;
        if bucket < count { bucket } else { bucket & (mask >> 1) }
    }

    /// Makes one more bucket, of the entries of one other that belong there.
    fn split(&mut self, hash_of: impl Fn(u32) -> u64) {
        let new = self.heads.len();
        let old = new - (new + 1).next_power_of_two() / 2;
        let mut at = core::mem::replace(&mut self.heads[old], END);
        self.heads.push(END);
        while at != END {
            let link = self.links[at as usize];
            let bucket = self.bucket(link.hash().unwrap_or_else(|| hash_of(at)));
            self.links[at as usize].set_next(self.heads[bucket]);
            self.heads[bucket] = at;
            at = link.next();
        }
    }
}

/// Mixes a number so that all its bits bear on all of the result (the finisher of `SplitMix64`): for numbers that nobody
/// else chooses.
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A key for hashing what others choose: without it they cannot find texts that meet in one bucket.
#[derive(Clone, Copy, Default)]
pub(crate) struct HashKey(u64, u64);

impl core::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashKey(..)")
    }
}

impl HashKey {
    pub(crate) fn new(seed: crate::seed::Seed) -> Self {
        let word = |part: &[u8]| u64::from(seed.fraction(&[b"hash", part])) << 32 | u64::from(seed.fraction(&[part]));
        Self(word(b"first"), word(b"second"))
    }

    /// The hash of a digest: a product of its halves, each with a part of the key. Who does not know the key can choose
    /// digests, and still not which of them meet.
    pub(crate) fn of_digest(self, digest: [u8; 16]) -> u64 {
        let [low, high] = [u128::from_le_bytes(digest), u128::from_le_bytes(digest) >> 64].map(|half| half as u64);
        let product = u128::from(low ^ self.0) * u128::from(high ^ self.1);
        mix(product as u64 ^ (product >> 64) as u64)
    }

    /// The hash of a number and a text (`SipHash` with one round a word and three at the end).
    pub(crate) fn hash(self, number: u32, text: &[u8]) -> u64 {
        let mut state = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        let mut take = |word: u64| {
            state[3] ^= word;
            round(&mut state);
            state[0] ^= word;
        };
        take(u64::from(number));
        let (words, rest) = text.as_chunks::<8>();
        words.iter().for_each(|word| take(u64::from_le_bytes(*word)));
        take(rest_of(text, rest) | (text.len() as u64) << 56);
        state[2] ^= 0xff;
        (0..3).for_each(|_| round(&mut state));
        state.into_iter().fold(0, |all, word| all ^ word)
    }
}

/// The bytes of a text behind its last whole word of eight, as one word with zeros behind them. No copy of a few bytes,
/// which would take longer than all the rest.
pub(crate) fn rest_of(text: &[u8], rest: &[u8]) -> u64 {
    let shift = |bytes: usize| 8 * bytes as u32;
    if let (Some(last), false) = (text.last_chunk(), rest.is_empty()) {
        return u64::from_le_bytes(*last) >> shift(8 - rest.len());
    }
    match (rest.first_chunk(), rest.last_chunk(), rest) {
        (Some(first), Some(last), _) => {
            let [first, last] = [*first, *last].map(|four| u64::from(u32::from_le_bytes(four)));
            first | last << shift(rest.len() - 4)
        }
        (_, _, []) => 0,
        (_, _, short) => short.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

const fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    c = c.wrapping_add(d);
    b = b.rotate_left(13) ^ a;
    d = d.rotate_left(16) ^ c;
    a = a.rotate_left(32);
    c = c.wrapping_add(b);
    a = a.wrapping_add(d);
    b = b.rotate_left(17) ^ c;
    d = d.rotate_left(21) ^ a;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes and goes: what is there is found, and nothing else.
        #[test]
        fn what_is_in_is_found(ops in prop::collection::vec((any::<bool>(), 0..200_u32), 0..600)) {
            as_a_map_would::<Bare>(&ops);
            as_a_map_would::<Marked>(&ops);
        }
    }

    fn as_a_map_would<L: ChainLink>(ops: &[(bool, u32)]) {
        let hash = |at: u32| mix(u64::from(at) / 3);
        let (mut chains, mut model) = (Chains::<L>::default(), BTreeMap::new());
        for (put, at) in ops.iter().copied() {
            match (put, model.contains_key(&at)) {
                (true, false) => {
                    chains.insert(hash(at), at, hash);
                    model.insert(at, ());
                }
                (false, true) => {
                    chains.remove(hash(at), at);
                    model.remove(&at);
                }
                (true, true) | (false, false) => {}
            }
            for at in 0..200 {
                let times = chains.chain(hash(at)).filter(|found| *found == at).count();
                assert_eq!(times, usize::from(model.contains_key(&at)));
                assert_eq!(chains.find(hash(at), |found| found == at).is_some(), times == 1);
            }
        }
    }

    #[test]
    fn chains_stay_short() {
        let key = HashKey::new(crate::seed::Seed::from_bytes([5; 32]));
        let of_text = |at: u32| key.hash(1, &at.to_le_bytes());
        assert!(longest_chain(of_text) < 14);
        // Digests that somebody chose: alike but for some bits, anywhere.
        for shift in [0, 20, 64, 90] {
            assert!(longest_chain(|at| key.of_digest((u128::from(at) << shift).to_le_bytes())) < 14, "{shift}");
        }
    }

    #[test]
    fn the_rest_of_a_text_is_its_bytes_and_zeros() {
        let text: Vec<u8> = (1..=40).collect();
        for len in 0..=text.len() {
            let text = &text[text.len() - len..];
            let rest = text.as_chunks::<8>().1;
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            assert_eq!(rest_of(text, rest), u64::from_le_bytes(word), "{len}");
        }
    }

    #[test]
    fn numbers_in_a_row_need_no_hash() {
        let mut chains = Chains::<Bare>::default();
        (0..10_000).for_each(|at| chains.insert(at.into(), at, u64::from));
        assert!((0..10_000).all(|at: u32| chains.chain(at.into()).count() <= 2));
    }

    fn longest_chain(hash: impl Fn(u32) -> u64) -> usize {
        let mut chains = Chains::<Bare>::default();
        (0..100_000).for_each(|at| chains.insert(hash(at), at, &hash));
        (0..chains.heads.len()).map(|bucket| chains.chain(bucket as u64).count()).max().unwrap()
    }

    #[test]
    fn number_text_and_key_all_count() {
        let key = |n| HashKey::new(crate::seed::Seed::from_bytes([n; 32]));
        let hashes = [
            key(1).hash(1, b"abcdefgh"),
            key(2).hash(1, b"abcdefgh"),
            key(1).hash(2, b"abcdefgh"),
            key(1).hash(1, b"abcdefgh\0"),
            key(1).hash(1, b"abcdefg"),
            key(1).hash(1, b""),
        ];
        let distinct: alloc::collections::BTreeSet<_> = hashes.into_iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }
}
