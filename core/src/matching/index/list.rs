//! The subscriptions of one pattern, and the slab of all such lists.

use alloc::vec::Vec;

/// Below this capacity a list is not worth shrinking.
const SHRINK_ABOVE: usize = 16;

/// The numbers of the subscriptions that hold one pattern, ascending. Removed ones stay in place, marked, until they are
/// more than half: then the list is compacted and its generation changes, because positions have moved.
#[derive(Debug, Default)]
pub(super) struct List {
    numbers: Vec<u32>,
    /// One bit for each position, set when its number was removed. Positions beyond its end are live.
    dead: Vec<u64>,
    removed: usize,
    /// Grows at most once for each number that is removed, and there are fewer than 2^32 of those: it never repeats.
    generation: u32,
}

impl List {
    /// Appends a number above all others.
    pub(super) fn push(&mut self, number: u32) {
        self.numbers.push(number);
    }

    /// Removes a number, amortised O(log n): a search, and a compaction that as many removals have paid for. Returns
    /// whether it was there.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        let Ok(at) = self.numbers.binary_search(&number) else { return false };
        let (word, bit) = (at / 64, 1 << (at % 64));
        if word >= self.dead.len() {
            self.dead.resize(word + 1, 0);
        }
        if self.dead[word] & bit != 0 {
            return false;
        }
        self.dead[word] |= bit;
        self.removed += 1;
        if self.removed * 2 > self.numbers.len() {
            self.compact();
        }
        true
    }

    /// How many numbers are live.
    pub(super) fn live(&self) -> usize {
        self.numbers.len() - self.removed
    }

    /// Changes when positions have moved.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// The first position whose number is above `number`; 0 for `None`.
    pub(super) fn after(&self, number: Option<u32>) -> usize {
        number.map_or(0, |number| self.numbers.partition_point(|n| *n <= number))
    }

    /// The number at this position, live or not.
    pub(super) fn get(&self, at: usize) -> Option<u32> {
        self.numbers.get(at).copied()
    }

    /// The first live position from `at` on, or one beyond the end. Removed ones are skipped 64 at a time.
    pub(super) fn live_from(&self, mut at: usize) -> usize {
        while let Some(word) = self.dead.get(at / 64) {
            let live = !word >> (at % 64);
            if live != 0 {
                return at + live.trailing_zeros() as usize;
            }
            at = (at / 64 + 1) * 64;
        }
        at
    }

    fn compact(&mut self) {
        let mut at = 0;
        let dead = &self.dead;
        self.numbers.retain(|_| {
            let live = dead.get(at / 64).is_none_or(|word| word & (1 << (at % 64)) == 0);
            at += 1;
            live
        });
        self.dead = Vec::new();
        self.removed = 0;
        self.generation = self.generation.wrapping_add(1);
        if self.numbers.capacity() > SHRINK_ABOVE.max(self.numbers.len() * 4) {
            self.numbers.shrink_to(self.numbers.len() * 2);
        }
    }
}

/// All lists of an index. A list that became empty is freed and its place is used again, with its generation going on,
/// so that a cursor which knew the old list searches the new one.
#[derive(Debug, Default)]
pub(super) struct Lists {
    lists: Vec<List>,
    free: Vec<u32>,
}

impl Lists {
    /// An empty list. The caller pushes to it before anything else happens.
    pub(super) fn alloc(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.lists.push(List::default());
            u32::try_from(self.lists.len() - 1).expect("there are fewer lists than subscription numbers times patterns")
        })
    }

    /// Gives back a list without live numbers.
    pub(super) fn free(&mut self, list: u32) {
        debug_assert_eq!(self[list].numbers.len(), 0, "the removal of the last number compacted the list");
        self.free.push(list);
    }

    /// How many lists have live numbers.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.lists.len() - self.free.len()
    }
}

impl core::ops::Index<u32> for Lists {
    type Output = List;

    fn index(&self, list: u32) -> &List {
        &self.lists[list as usize]
    }
}

impl core::ops::IndexMut<u32> for Lists {
    fn index_mut(&mut self, list: u32) -> &mut List {
        &mut self.lists[list as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(list: &List) -> Vec<u32> {
        let mut at = list.live_from(0);
        let mut seen = Vec::new();
        while let Some(number) = list.get(at) {
            seen.push(number);
            at = list.live_from(at + 1);
        }
        seen
    }

    #[test]
    fn removed_numbers_are_skipped_then_compacted() {
        let mut list = List::default();
        (0..200).for_each(|n| list.push(n * 2));
        (0..100).for_each(|n| assert!(list.remove(n * 2)));
        assert!(!list.remove(0) && !list.remove(1) && !list.remove(400));
        assert_eq!((list.live(), list.generation(), list.get(0)), (100, 0, Some(0)));
        assert_eq!(live(&list), (100..200).map(|n| n * 2).collect::<Vec<_>>());

        assert!(list.remove(398));
        assert_eq!((list.live(), list.generation(), list.get(0)), (99, 1, Some(200)));
        list.push(500);
        assert_eq!(live(&list).last(), Some(&500));
        assert_eq!((list.after(Some(200)), list.after(Some(201)), list.after(None)), (1, 1, 0));
    }

    #[test]
    fn memory_follows_the_live_numbers() {
        let mut list = List::default();
        (0..10_000).for_each(|n| list.push(n));
        (0..9_990).for_each(|n| assert!(list.remove(n)));
        assert_eq!(list.live(), 10);
        assert!(list.numbers.capacity() <= 40, "{}", list.numbers.capacity());
    }
}
