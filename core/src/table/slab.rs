//! Entries that keep their place.

use alloc::vec::Vec;

/// Entries of a page, as a power of two.
const PAGE: usize = 9;

/// A table whose entries are named by small numbers that stay the same while the entry lives. A freed number is given
/// out again, last freed first, so whoever keeps a number beyond the entry's life must be able to tell.
///
/// Entries are kept in pages, and only the first of these grows: no call copies the others, and there is never room for
/// more than one page too many.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Vec<Option<T>>>,
    /// One more than the largest number in use so far.
    end: usize,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), end: 0, free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Makes room for so many entries more.
    pub(crate) fn reserve(&mut self, entries: usize) {
        let pages = (self.end + entries).div_ceil(1 << PAGE);
        self.pages.reserve_exact(pages.saturating_sub(self.pages.len()));
    }

    /// Puts an entry in and says where. There are at most `u32::MAX - 1` entries, which every limit stays below.
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(at) = self.free.pop() {
            let (page, place) = split(at);
            self.pages[page][place] = Some(entry);
            return at;
        }
        let at = self.end();
        let (page, _) = split(at);
        if page == self.pages.len() {
            self.pages.push(if page == 0 { Vec::new() } else { Vec::with_capacity(1 << PAGE) });
        }
        self.pages[page].push(Some(entry));
        self.end += 1;
        at
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let (page, place) = split(at);
        let entry = self.pages.get_mut(page)?.get_mut(place)?.take()?;
        self.free.push(at);
        Some(entry)
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        let (page, place) = split(at);
        self.pages.get(page)?.get(place)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let (page, place) = split(at);
        self.pages.get_mut(page)?.get_mut(place)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.free.len()
    }

    /// One more than the largest number in use so far.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.end).expect("limits keep slabs below 2^32 entries")
    }

    /// All entries with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(self.pages.iter().flatten()).filter_map(|(at, entry)| Some((at, entry.as_ref()?)))
    }
}

/// The page of an entry, and its place there.
const fn split(at: u32) -> (usize, usize) {
    (at as usize >> PAGE, at as usize & ((1 << PAGE) - 1))
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
        fn as_a_map_would(ops in prop::collection::vec((0..4_u8, any::<u16>()), 0..40)) {
            let (mut slab, mut model, mut next) = (Slab::default(), BTreeMap::new(), 0_u32);
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
