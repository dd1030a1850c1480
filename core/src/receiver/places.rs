//! Where the machine keeps what it knows by name: entries that keep their place, and chains that find them by a hash.
//!
//! The sender has the like of it; the two machines share no code but the rooms below them.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// Entries, each in the place that it was given for as long as it lives. Places that were left are taken again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    left: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), left: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Gives an entry a place.
    pub(super) fn insert(&mut self, entry: T) -> u32 {
        match self.left.pop() {
            Some(at) => {
                self.places[at as usize] = Some(entry);
                at
            }
            None => {
                self.places.push(Some(entry));
                u32::try_from(self.places.len() - 1).expect("memory ends before 2^32 entries")
            }
        }
    }

    /// Takes an entry out, which must be there.
    pub(super) fn remove(&mut self, at: u32) -> T {
        let entry = self.places[at as usize].take().expect("a place is only kept while its entry lives");
        self.left.push(at);
        entry
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.left.len()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        self.places[at as usize].as_ref().expect("a place is only kept while its entry lives")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        self.places[at as usize].as_mut().expect("a place is only kept while its entry lives")
    }
}

/// Stands for no place.
const NONE: u32 = u32::MAX;

/// Chains of places whose hashes end alike. There are as many chains as places were in at most, and they become more one at
/// a time (linear hashing, after Litwin), so no call pays for all that are there.
#[derive(Debug)]
pub(super) struct Chains {
    firsts: Vec<u32>,
    /// The place behind each in its chain.
    behind: Vec<u32>,
    len: usize,
}

impl Default for Chains {
    fn default() -> Self {
        Self { firsts: vec![NONE], behind: Vec::new(), len: 0 }
    }
}

impl Chains {
    /// The places in the chain of a hash; others than those of this hash are among them.
    pub(super) fn chain(&self, hash: u64) -> impl Iterator<Item = u32> {
        let some = |at: u32| Some(at).filter(|at| *at != NONE);
        core::iter::successors(some(self.firsts[self.which(hash)]), move |at| some(self.behind[*at as usize]))
    }

    /// Puts a place into the chain of a hash, where it must not be. `hash_of` tells the hash of any that is in.
    pub(super) fn insert(&mut self, hash: u64, at: u32, hash_of: impl Fn(u32) -> u64) {
        let needed = at as usize + 1;
        if self.behind.len() < needed {
            self.behind.resize(needed, NONE);
        }
        self.push(hash, at);
        self.len += 1;
        if self.len > self.firsts.len() {
            self.divide(hash_of);
        }
    }

    /// Takes a place out of the chain of a hash, where it must be.
    pub(super) fn remove(&mut self, hash: u64, at: u32) {
        let after = self.behind[at as usize];
        let which = self.which(hash);
        match self.chain(hash).take_while(|other| *other != at).last() {
            Some(before) => self.behind[before as usize] = after,
            None => self.firsts[which] = after,
        }
        self.len -= 1;
    }

    fn push(&mut self, hash: u64, at: u32) {
        let which = self.which(hash);
        self.behind[at as usize] = core::mem::replace(&mut self.firsts[which], at);
    }

    /// The chain of a hash: its last bits, as many as there are chains for, and one less where that chain is still to come.
    fn which(&self, hash: u64) -> usize {
        let bits = self.firsts.len().next_power_of_two() - 1;
        let which = hash as usize & bits;
        if which < self.firsts.len() { which } else { which & (bits >> 1) }
    }

    /// Makes one more chain, of those in another that belong there.
    fn divide(&mut self, hash_of: impl Fn(u32) -> u64) {
        let new = self.firsts.len();
        let old = new - (1 << new.ilog2());
        let mut at = core::mem::replace(&mut self.firsts[old], NONE);
        self.firsts.push(NONE);
        while at != NONE {
            let after = self.behind[at as usize];
            self.push(hash_of(at), at);
            at = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes and goes: what is in is found, and nothing else.
        #[test]
        fn what_is_in_is_found(ops in prop::collection::vec((any::<bool>(), 0..100_u32), 0..400)) {
            let hash = |at: u32| (u64::from(at) / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let (mut chains, mut model) = (Chains::default(), BTreeSet::new());
            for (put, at) in ops {
                if put && model.insert(at) {
                    chains.insert(hash(at), at, hash);
                } else if !put && model.remove(&at) {
                    chains.remove(hash(at), at);
                }
                prop_assert_eq!(chains.len, model.len());
                for at in 0..100 {
                    let times = chains.chain(hash(at)).filter(|found| *found == at).count();
                    prop_assert_eq!(times, usize::from(model.contains(&at)));
                }
            }
        }
    }

    #[test]
    fn chains_of_numbers_in_a_row_are_short() {
        let mut chains = Chains::default();
        (0..10_000).for_each(|at| chains.insert(at.into(), at, u64::from));
        assert!((0..10_000).all(|at: u32| chains.chain(at.into()).count() <= 2));
    }
}
