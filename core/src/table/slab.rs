//! Entries that keep their place.

use alloc::vec::Vec;

/// Entries of the first page and of the second, as a power of two.
const PAGE: usize = 9;

/// Pages behind the first, at most: more than 2^32 entries have room in them.
const PAGES: usize = 33 - PAGE;

/// A table whose entries are named by small numbers that stay the same while the entry lives. A freed number is given
/// out again, last freed first, so whoever keeps a number beyond the entry's life must be able to tell.
///
/// Entries are kept in pages, each twice as large as the one before it, and only the first of these grows: no call copies
/// the others. What room was asked for while the table was empty is all in the first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    first: Vec<Option<T>>,
    /// Entries of the first page, when it is full.
    whole: usize,
    /// Those behind the first.
    pages: Vec<Vec<Option<T>>>,
    /// Entries and freed places.
    count: usize,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { first: Vec::new(), whole: 1 << PAGE, pages: Vec::new(), count: 0, free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Makes room for so many entries at once, when there is none yet.
    pub(crate) fn reserve(&mut self, entries: usize) {
        if self.count == 0 {
            self.whole = entries.max(1 << PAGE);
            self.first.reserve_exact(entries);
        }
    }

    /// Puts an entry in and says where. There are at most `u32::MAX - 1` entries, which every limit stays below.
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(at) = self.free.pop() {
            *self.place(at).expect("what was freed has a place") = Some(entry);
            return at;
        }
        let (at, pages) = (self.end(), self.pages.len());
        let page = match self.pages.last_mut() {
            _ if self.first.len() < self.whole => &mut self.first,
            Some(last) if last.len() < 1 << (PAGE + pages - 1) => last,
            Some(_) | None => {
                self.pages.reserve_exact(PAGES - pages);
                self.pages.push_mut(Vec::with_capacity(1 << (PAGE + pages)))
            }
        };
        page.push(Some(entry));
        self.count += 1;
        at
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let entry = self.place(at)?.take()?;
        self.free.push(at);
        Some(entry)
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        match self.first.get(at as usize) {
            Some(entry) => entry.as_ref(),
            None => {
                let (page, place) = self.behind(at);
                self.pages.get(page)?.get(place)?.as_ref()
            }
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.place(at)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.count - self.free.len()
    }

    /// One more than the largest number in use so far.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.count).expect("limits keep slabs below 2^32 entries")
    }

    /// All entries with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let all = self.first.iter().chain(self.pages.iter().flatten());
        (0u32..).zip(all).filter_map(|(at, entry)| Some((at, entry.as_ref()?)))
    }

    #[inline]
    fn place(&mut self, at: u32) -> Option<&mut Option<T>> {
        if (at as usize) < self.first.len() {
            return self.first.get_mut(at as usize);
        }
        let (page, place) = self.behind(at);
        self.pages.get_mut(page)?.get_mut(place)
    }

    /// The page of an entry that is not in the first, and its place there; a page that there is not, where the first has
    /// room for it.
    const fn behind(&self, at: u32) -> (usize, usize) {
        let behind = (at as usize).wrapping_sub(self.whole);
        let page = ((behind >> PAGE) + 1).ilog2() as usize;
        (page, behind - (((1 << page) - 1) << PAGE))
    }
}

impl<T> core::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        self.get(at).expect("a number is only kept while its entry lives")
    }
}

impl<T> core::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        self.get_mut(at).expect("a number is only kept while its entry lives")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes and goes, over as many pages as there are: what lives is in its place, and nothing else.
        #[test]
        fn as_a_map_would(room in 0..2000_usize, ops in prop::collection::vec((0..4_u8, any::<u16>()), 0..40)) {
            let (mut slab, mut model, mut next) = (Slab::default(), BTreeMap::new(), 0_u32);
            slab.reserve(room);
            for (op, number) in ops {
                match op {
                    // Often whole pages at once.
                    0 | 1 => for _ in 0..number % 700 {
                        prop_assert!(model.insert(slab.insert(next), next).is_none());
                        next += 1;
                    },
                    2 => {
                        let gone: Vec<u32> = model.keys().copied().step_by(usize::from(number % 5) + 1).collect();
                        gone.iter().for_each(|at| assert_eq!(slab.remove(*at), model.remove(at)));
                    }
                    _ => {
                        let at = u32::from(number % 2000);
                        prop_assert_eq!(slab.get_mut(at).copied(), model.get(&at).copied());
                        prop_assert_eq!(slab.remove(at), model.remove(&at));
                    }
                }
                prop_assert_eq!(slab.len(), model.len());
                prop_assert!(slab.iter().map(|(at, entry)| (at, *entry)).eq(model.iter().map(|(at, entry)| (*at, *entry))));
                prop_assert!(model.keys().all(|at| *at < slab.end() && slab.get(*at) == model.get(at)));
                prop_assert_eq!(slab.get(slab.end()), None);
            }
        }
    }
}
