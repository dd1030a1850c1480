//! Entries that keep their place.

use alloc::vec::Vec;

/// A table whose entries are named by small numbers that stay the same while the entry lives. A freed number is given
/// out again, last freed first, so whoever keeps a number beyond the entry's life must be able to tell.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Makes room for so many entries more at once.
    pub(crate) fn reserve(&mut self, entries: usize) {
        self.entries.reserve_exact(entries);
    }

    /// Puts an entry in and says where. There are at most `u32::MAX - 1` entries, which every limit stays below.
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.entries[at as usize] = Some(entry);
            return at;
        }
        let at = u32::try_from(self.entries.len()).expect("limits keep slabs below 2^32 entries");
        self.entries.push(Some(entry));
        at
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let entry = self.entries.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(entry)
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.entries.get(at as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.entries.get_mut(at as usize)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// One more than the largest number in use so far.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("limits keep slabs below 2^32 entries")
    }

    /// All entries with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(&self.entries).filter_map(|(at, entry)| Some((at, entry.as_ref()?)))
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
