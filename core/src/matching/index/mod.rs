//! From an event type to the subscriptions that want it.

mod cursor;
mod list;
mod nearest;
mod trie;

use alloc::vec::Vec;
use core::fmt;

pub use cursor::Cursor;
use list::Lists;
use trie::Trie;

use super::{EventType, NearMiss, Subscription, validate_type};

/// Up to this many subscriptions are counted one by one where patterns overlap.
const COUNTED: usize = 256;

/// The subscriptions of one tenant, found by event type.
///
/// A subscription is known by a number that the caller gives. Numbers only grow, and none is used twice: a subscription
/// that changes is removed and inserted under a new number. Numbers are below `u32::MAX`.
///
/// # Cost
///
/// Patterns are kept in a tree by segments, each with the ascending list of its subscriptions' numbers. For a type of T
/// segments (at most 128):
///
/// | call | cost |
/// | --- | --- |
/// | [`insert`](Self::insert), [`remove`](Self::remove) | for each pattern its segments, each O(log siblings), and amortised O(1) or O(log n) in its list |
/// | [`cursor`](Self::cursor) | O(T) steps for each stored pattern that fits a beginning of the type: by matches, not by subscriptions |
/// | [`next`](Self::next) | O(k) for k matching patterns, without allocating; amortised over a stream also the removed numbers that it skips, never more than live ones |
/// | [`count`](Self::count) | as `cursor`, plus at most 256 steps of `next` |
/// | [`near_miss`](Self::near_miss) | at most 1,024 tree nodes and 64 patterns compared |
///
/// # Memory
///
/// 4 bytes for each pattern of each subscription (at most 8 and a bit where lists have just grown or numbers were
/// removed), and about 100 bytes for each different beginning of a pattern. Lists and nodes that become empty are used
/// again; their slots stay as many as they were at the peak.
///
/// A list that is used again for another pattern cannot mislead an older [`Cursor`]: it only holds numbers that were
/// inserted later, and those are at or above the high water of every cursor made before.
#[derive(Debug, Default)]
pub struct Index {
    trie: Trie,
    lists: Lists,
    /// One above the last number inserted.
    next: u32,
}

impl Index {
    /// An index without subscriptions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subscription under its number, by its types: a content filter is not looked at.
    ///
    /// # Panics
    ///
    /// When the number is not above all that were inserted before, or is `u32::MAX`: the order of the lists and the
    /// promise of [`Cursor`] rest on it.
    pub fn insert(&mut self, number: u32, subscription: &Subscription) {
        assert!(number >= self.next && number < u32::MAX, "subscription numbers grow, and end before u32::MAX");
        self.next = number + 1;
        for pattern in subscription.patterns() {
            let list = self.trie.list_of(pattern, &mut self.lists);
            self.lists[list].push(number);
        }
    }

    /// Takes a subscription out again. `subscription` is what was inserted under this number. Returns whether it was
    /// there; if not, nothing changes.
    pub fn remove(&mut self, number: u32, subscription: &Subscription) -> bool {
        let mut found = false;
        for pattern in subscription.patterns() {
            found |= self.trie.remove(pattern, number, &mut self.lists);
        }
        found
    }

    /// Begins the stream of the subscriptions below `high_water` that want this type. A high water above the numbers
    /// inserted so far is lowered to them, so that later ones are never given. A text that is no event type is wanted by
    /// none.
    pub fn cursor(&self, event_type: &str, high_water: u32) -> Cursor {
        Cursor::new(high_water.min(self.next), &self.resolve(event_type), &self.lists)
    }

    /// The next live subscription of the stream, in ascending order, each once even if several of its patterns match.
    /// After the last one it is `None` for ever. `cursor` was made by this index.
    pub fn next(&self, cursor: &mut Cursor) -> Option<u32> {
        cursor.advance(&self.lists)
    }

    /// How many subscriptions want this type now.
    pub fn count(&self, event_type: &str) -> Reach {
        self.count_in(&self.resolve(event_type))
    }

    /// [`count`](Self::count) and [`cursor`](Self::cursor) at the price of one.
    pub(crate) fn wanted(&self, event_type: &EventType, high_water: u32) -> (Reach, Cursor) {
        let lists = self.trie.resolve(event_type.as_str());
        (self.count_in(&lists), Cursor::new(high_water.min(self.next), &lists, &self.lists))
    }

    fn count_in(&self, lists: &[u32]) -> Reach {
        let live = || lists.iter().map(|list| self.lists[*list].live());
        let (at_least, at_most) = (live().max().unwrap_or(0), live().sum());
        if at_least == at_most || at_most > COUNTED {
            return Reach { at_least, at_most };
        }
        let mut cursor = Cursor::new(self.next, lists, &self.lists);
        let exact = core::iter::from_fn(|| self.next(&mut cursor)).count();
        Reach { at_least: exact, at_most: exact }
    }

    /// For a type that nobody wants: a pattern that somebody subscribed to and that nearly names it, with the reason.
    ///
    /// It visits at most 1,024 nodes of the tree, the most promising first, and compares at most 64 patterns, so it may
    /// miss one; a type of more than 32 segments has none. Call it only where [`Self::count`] is zero: it does not look
    /// for patterns that match.
    pub fn near_miss(&self, event_type: &str) -> Option<NearMiss> {
        validate_type(event_type).ok()?;
        nearest::nearest(&self.trie, event_type)
    }

    /// Whether there are no subscriptions.
    pub fn is_empty(&self) -> bool {
        self.trie.is_empty()
    }

    /// The lists of all patterns that name the type, each once.
    fn resolve(&self, event_type: &str) -> Vec<u32> {
        if validate_type(event_type).is_err() {
            return Vec::new();
        }
        self.trie.resolve(event_type)
    }
}

/// How many subscriptions want a type. The bounds differ only where patterns overlap and hold more than 256 numbers
/// together, since one subscription may then be in several lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// At least so many.
    pub at_least: usize,
    /// At most so many.
    pub at_most: usize,
}

impl Reach {
    /// The number, if it is known exactly.
    pub fn exact(self) -> Option<usize> {
        (self.at_least == self.at_most).then_some(self.at_least)
    }

    /// Those of two lists that have none in common.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self { at_least: self.at_least + other.at_least, at_most: self.at_most + other.at_most }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exact() {
            Some(number) => write!(f, "{number}"),
            None => write!(f, "{} to {}", self.at_least, self.at_most),
        }
    }
}

#[cfg(test)]
mod tests;
