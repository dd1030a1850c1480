//! Values by number, where numbers are given out one after the other: each is found in one step, and what has gone leaves
//! no more than a page behind.

use std::collections::BTreeMap;

/// Values of a page.
const PAGE: usize = 64;

/// Numbers from here on are no places in pages: those of what a node makes itself.
const FAR: u64 = 1 << 24;

/// Values by their numbers.
#[derive(Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Page<T>>,
    /// No page before this one has a value.
    low: usize,
    far: BTreeMap<u64, T>,
}

/// Values whose numbers follow one another; one without values has no slots, unless it is the last.
#[derive(Debug)]
struct Page<T> {
    held: usize,
    slots: Vec<Option<T>>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), low: 0, far: BTreeMap::new() }
    }
}

impl<T> Pages<T> {
    pub(super) fn get(&self, number: u64) -> Option<&T> {
        let Some((page, slot)) = place(number) else { return self.far.get(&number) };
        self.pages.get(page)?.slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let Some((page, slot)) = place(number) else { return self.far.get_mut(&number) };
        self.pages.get_mut(page)?.slots.get_mut(slot)?.as_mut()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.get(number).is_some()
    }

    /// Puts a value there, whatever there was before.
    pub(super) fn insert(&mut self, number: u64, value: T) {
        let Some((page, slot)) = place(number) else {
            self.far.insert(number, value);
            return;
        };
        let page = self.page(page);
        page.held += usize::from(page.slots[slot].is_none());
        page.slots[slot] = Some(value);
    }

    /// The value that is there, or else the one that is put there.
    pub(super) fn or_insert_with(&mut self, number: u64, value: impl FnOnce() -> T) -> &mut T {
        let Some((page, slot)) = place(number) else { return self.far.entry(number).or_insert_with(value) };
        let page = self.page(page);
        page.held += usize::from(page.slots[slot].is_none());
        page.slots[slot].get_or_insert_with(value)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let Some((at, slot)) = place(number) else { return self.far.remove(&number) };
        let is_last = at + 1 == self.pages.len();
        let page = self.pages.get_mut(at)?;
        let value = page.slots.get_mut(slot)?.take()?;
        page.held -= 1;
        if page.held == 0 && !is_last {
            page.slots = Vec::new();
        }
        Some(value)
    }

    /// All that are there with their numbers, from this one on, in the order of numbers.
    pub(super) fn range(&self, from: u64) -> impl Iterator<Item = (u64, &T)> {
        let (page, slot) = place(from).unwrap_or((self.pages.len(), 0));
        let first = page.max(self.low).min(self.pages.len());
        let skipped = if first == page { slot } else { 0 };
        let near = self.pages[first..].iter().enumerate().flat_map(move |(at, page)| {
            page.slots.iter().zip(number(first + at)..).filter_map(|(value, number)| Some((number, value.as_ref()?)))
        });
        let near = near.skip_while(move |(number, _)| (*number as usize) < first * PAGE + skipped);
        near.chain(self.far.range(from..).map(|(number, value)| (*number, value)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.range(0)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let near = self.pages[self.low..].iter_mut().flat_map(|page| page.slots.iter_mut().flatten());
        near.chain(self.far.values_mut())
    }

    /// Forgets those for which `keep` does not hold.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        let gone: Vec<_> = self.iter().filter(|(_, value)| !keep(value)).map(|(number, _)| number).collect();
        gone.into_iter().for_each(|number| {
            self.remove(number);
        });
    }

    /// A page with slots. Those before that have become empty have no more.
    fn page(&mut self, at: usize) -> &mut Page<T> {
        if self.pages.len() <= at {
            if let Some(last) = self.pages.last_mut().filter(|last| last.held == 0) {
                last.slots = Vec::new();
            }
            self.pages.resize_with(at + 1, || Page { held: 0, slots: Vec::new() });
            while self.low < at && self.pages[self.low].held == 0 {
                self.low += 1;
            }
        }
        self.low = self.low.min(at);
        let page = &mut self.pages[at];
        if page.slots.is_empty() {
            page.slots.resize_with(PAGE, || None);
        }
        page
    }
}

/// The page and the slot of a number.
fn place(number: u64) -> Option<(usize, usize)> {
    let place = usize::try_from(number).ok().filter(|_| number < FAR)?;
    Some((place / PAGE, place % PAGE))
}

/// The number of a page's first slot.
fn number(page: usize) -> u64 {
    (page * PAGE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers drawn by a rule of which nothing depends on pages.
    fn drawn(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    #[test]
    fn as_a_map_would() {
        let (mut pages, mut map, mut seed) = (Pages::default(), BTreeMap::new(), 7);
        for round in 0..40_000_u64 {
            let near = round / 10 + drawn(&mut seed) % 200;
            let number = if drawn(&mut seed).is_multiple_of(50) { near | 1 << 63 } else { near };
            match drawn(&mut seed) % 5 {
                0 => {
                    pages.insert(number, round);
                    map.insert(number, round);
                }
                1 => assert_eq!(pages.or_insert_with(number, || round), map.entry(number).or_insert(round)),
                2 | 3 => assert_eq!(pages.remove(number), map.remove(&number)),
                _ => assert_eq!(pages.get_mut(number), map.get_mut(&number)),
            }
            assert_eq!(pages.contains(number), map.contains_key(&number));
            if round.is_multiple_of(500) {
                let all: Vec<_> = map.range(number..).map(|(number, value)| (*number, value)).collect();
                assert_eq!(pages.range(number).collect::<Vec<_>>(), all);
                assert!(pages.values_mut().eq(map.values_mut()));
                pages.retain(|value| value % 7 > 0);
                map.retain(|_, value| *value % 7 > 0);
                assert_eq!(pages.iter().count(), map.len());
            }
        }
        assert!(pages.pages.iter().filter(|page| page.held == 0 && !page.slots.is_empty()).count() <= 1);
    }
}
