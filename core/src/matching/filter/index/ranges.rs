//! Which ranges a number lies in, by their number and not by that of all ranges.
//!
//! Ranges are kept by the ranks of their ends (see [`Number::rank`](super::super::number::Number::rank)) in an interval
//! tree over all 64-bit ranks that is never balanced because it is never built: a range belongs to the node at which the
//! bits of its ends part, and a rank looks into the nodes on its way only. There the ranges are in two orders: those
//! around a rank in the lower half are those that begin at or before it, and in the upper half those that end at or
//! behind it.

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::RangeInclusive;

use super::entries::Entry;

/// Up to so many ranges are counted one by one.
const COUNTED: usize = 256;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// By how many bits the ends share, and these bits.
    nodes: BTreeMap<(u8, u64), Node>,
    /// How many nodes there are with so many bits.
    levels: BTreeMap<u8, usize>,
    len: usize,
}

/// The ranges that part here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    by_start: BTreeSet<(u64, Entry)>,
    by_end: BTreeSet<(u64, Entry)>,
}

/// Ranges of one node around a rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) node: &'a Node,
    /// Those that begin at or before this rank, or end at or behind it.
    pub(super) upper: bool,
    pub(super) rank: u64,
}

impl Ranges {
    pub(super) fn add(&mut self, range: RangeInclusive<u64>, entry: Entry) -> bool {
        let key = key(&range);
        let node = self.nodes.entry(key).or_insert_with(|| {
            *self.levels.entry(key.0).or_default() += 1;
            Node::default()
        });
        node.by_end.insert((*range.end(), entry));
        let added = node.by_start.insert((*range.start(), entry));
        self.len += usize::from(added);
        added
    }

    pub(super) fn remove(&mut self, range: RangeInclusive<u64>, entry: Entry) -> bool {
        let key = key(&range);
        let Some(node) = self.nodes.get_mut(&key) else { return false };
        node.by_end.remove(&(*range.end(), entry));
        let removed = node.by_start.remove(&(*range.start(), entry));
        if node.by_start.is_empty() {
            self.nodes.remove(&key);
            let level = self.levels.get_mut(&key.0).expect("a node is counted at its level");
            *level -= 1;
            if *level == 0 {
                self.levels.remove(&key.0);
            }
        }
        self.len -= usize::from(removed);
        removed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// About how many ranges there are around the rank: up to 256 are counted, and more taken for half of all.
    pub(super) fn crowd(&self, rank: u64) -> usize {
        let count = self.around(rank).flat_map(Around::iter).take(COUNTED).count();
        if count < COUNTED { count } else { count.max(self.len / 2) }
    }

    /// The ranges around the rank, at most 65 groups.
    pub(super) fn around(&self, rank: u64) -> impl Iterator<Item = Around<'_>> {
        self.levels.keys().filter_map(move |level| {
            let node = self.nodes.get(&(*level, shared(rank, *level)))?;
            let upper = *level < 64 && rank & (1 << (63 - level)) != 0;
            Some(Around { node, upper, rank })
        })
    }
}

impl<'a> Around<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = Entry> + 'a {
        let (lower, upper) = if self.upper {
            (None, Some(self.node.by_end.range((self.rank, 0)..)))
        } else {
            (Some(self.node.by_start.range(..=(self.rank, Entry::MAX))), None)
        };
        lower.into_iter().flatten().chain(upper.into_iter().flatten()).map(|(_, entry)| *entry)
    }
}

/// Where the ends part.
fn key(range: &RangeInclusive<u64>) -> (u8, u64) {
    let level = (range.start() ^ range.end()).leading_zeros() as u8;
    (level, shared(*range.start(), level))
}

/// The first bits of a rank.
fn shared(rank: u64, bits: u8) -> u64 {
    rank.checked_shr(64 - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn any_rank() -> impl Strategy<Value = u64> {
        prop_oneof![0_u64..64, Just(u64::MAX), any::<u64>(), (u64::MAX - 40)..=u64::MAX]
    }

    proptest! {
        #[test]
        fn it_gives_what_a_scan_gives(
            ends in prop::collection::vec((any_rank(), any_rank()), 0..40),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            ranks in prop::collection::vec(any_rank(), 1..20),
        ) {
            let mut all: Vec<(RangeInclusive<u64>, Entry)> = (0..)
                .zip(&ends)
                .map(|(entry, (one, other))| (*one.min(other)..=*one.max(other), entry))
                .collect();
            let mut ranges = Ranges::default();
            for (range, entry) in &all {
                prop_assert!(ranges.add(range.clone(), *entry) && !ranges.add(range.clone(), *entry));
            }
            for at in removed {
                if !all.is_empty() {
                    let (range, entry) = all.remove(at.index(all.len()));
                    prop_assert!(ranges.remove(range.clone(), entry) && !ranges.remove(range, entry));
                }
            }
            prop_assert_eq!((ranges.len, ranges.is_empty()), (all.len(), all.is_empty()));
            for rank in ranks.into_iter().chain(ends.iter().map(|(one, _)| *one)) {
                let mut found: Vec<Entry> = ranges.around(rank).flat_map(Around::iter).collect();
                found.sort_unstable();
                let wanted: Vec<Entry> =
                    all.iter().filter(|(range, _)| range.contains(&rank)).map(|(_, entry)| *entry).collect();
                prop_assert_eq!((ranges.crowd(rank), found), (wanted.len(), wanted));
            }
            for (range, entry) in all {
                ranges.remove(range, entry);
            }
            prop_assert_eq!(ranges, Ranges::default());
        }
    }
}
