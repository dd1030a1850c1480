//! Who waits for one value.

use alloc::collections::BTreeSet;

/// One branch of one filter: the filter's number, and the branch's in the lowest 16 bits.
pub(super) type Entry = u64;

/// A set of entries, mostly of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Entries {
    #[default]
    None,
    One(Entry),
    Many(BTreeSet<Entry>),
}

impl Entries {
    /// Returns whether it was not there.
    pub(super) fn add(&mut self, entry: Entry) -> bool {
        match self {
            Self::None => *self = Self::One(entry),
            Self::One(one) if *one == entry => return false,
            Self::One(one) => *self = Self::Many([*one, entry].into()),
            Self::Many(many) => return many.insert(entry),
        }
        true
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, entry: Entry) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => {
                let found = *one == entry;
                if found {
                    *self = Self::None;
                }
                found
            }
            Self::Many(many) => {
                let found = many.remove(&entry);
                if let (Some(one), 1) = (many.first().copied(), many.len()) {
                    *self = Self::One(one);
                }
                found
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(many) => many.len(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(*one), None),
            Self::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }
}
