//! A list that only grows, in pages, so that it is never copied.

use std::ops::Index;

/// Entries of a page.
const PAGE: usize = 512;

/// Entries by their places.
#[derive(Debug)]
pub(super) struct Book<T> {
    pages: Vec<Vec<T>>,
}

impl<T> Default for Book<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Book<T> {
    pub(super) fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    pub(super) fn push(&mut self, entry: T) {
        match self.pages.last_mut().filter(|page| page.len() < PAGE) {
            Some(page) => page.push(entry),
            None => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(entry);
                self.pages.push(page);
            }
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.pages.get(place / PAGE)?.get(place % PAGE)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.pages.get_mut(place / PAGE)?.get_mut(place % PAGE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// The first place whose entry is none of those that `before` holds for; it holds for the first ones.
    pub(super) fn partition_point(&self, before: impl Fn(&T) -> bool) -> usize {
        let full = self.pages.partition_point(|page| page.last().is_some_and(&before));
        self.pages.get(full).map_or(self.len(), |page| full * PAGE + page.partition_point(before))
    }
}

impl<T> Index<usize> for Book<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        &self.pages[place / PAGE][place % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_vector_would() {
        let (mut book, mut vector) = (Book::default(), Vec::new());
        for number in 0..3 * PAGE as u64 + 5 {
            book.push(number / 3);
            vector.push(number / 3);
            assert_eq!((book.len(), book.get(vector.len())), (vector.len(), None));
            assert_eq!(book[vector.len() - 1], number / 3);
        }
        assert!(book.iter().eq(&vector));
        for least in [0, 1, 170, 171, 341, 342, 510, 511, 512, 513, 600] {
            let place = vector.partition_point(|entry| *entry < least);
            assert_eq!(book.partition_point(|entry| *entry < least), place, "{least}");
        }
    }
}
