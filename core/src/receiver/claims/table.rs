//! The entries of the claims: found by number, id, content and time.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::name::{Digest, IdKey, Name};
use crate::receiver::claim::{ClaimToken, Ending};
use crate::receiver::contract::DeliveryId;
use crate::receiver::order::Place;
use crate::table::{Chains, Slab};
use crate::time::Instant;

/// Ids in one chain, at most. Their hash has no key, so whoever signs can make many meet in one: what is more lies in a
/// tree. Where nobody does so, one such chain is not to be expected among as many ids as there can be.
pub(super) const CHAIN: usize = 16;

/// Stands for no entry.
const NONE: u32 = u32::MAX;

/// What is known of an event.
#[derive(Debug)]
pub(super) struct Entry {
    number: u64,
    pub(super) name: Name,
    pub(super) state: State,
    queue: Queue,
    filed: Filed,
    /// When it is overdue, while it is in progress; else when it has ended.
    time: Instant,
    /// The neighbours in its queue.
    before: u32,
    after: u32,
    rare: Option<Box<Rare>>,
}

/// What few entries have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// What else was signed and came under its id, which the signature does not cover, while it was not free.
    pub(super) variants: Vec<Digest>,
    /// Exchanges that wait for it, but for the first.
    pub(super) waiters: Vec<u32>,
    /// Its claim in a store of claims.
    pub(super) token: Option<ClaimToken>,
    /// Its place, where receiving is ordered.
    pub(super) place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// The first exchange that waits for it, if it has not left.
    InProgress { first: Option<u32> },
    /// It has taken too long, and may still end.
    Overdue,
    /// It has had no effect, and is owed.
    Owed,
    /// It has ended for good.
    Over(Ending),
}

/// Entries in order of their time, and of their number where that is the same. Times of one queue mostly come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// In progress, by when they are overdue.
    Going,
    /// The same, of those that have more time because they are held for their turn.
    Held,
    /// The others, by when they ended.
    Ended,
}

/// Where an entry is found by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filed {
    /// Nowhere: it has none, or another has it.
    Nowhere,
    Chain,
    Tree,
}

#[derive(Debug)]
struct Ends {
    first: u32,
    last: u32,
    len: usize,
}

/// The entries.
#[derive(Debug, Default)]
pub(super) struct Table {
    slab: Slab<Entry>,
    by_number: Chains,
    /// The newest entry of each id, and of each replay of it.
    by_id: Chains,
    /// Those that found no room in a chain.
    crowded: BTreeMap<IdKey, u32>,
    /// The one entry of each content, where the signature covers no id. An entry may have several.
    by_digest: BTreeMap<(u32, Digest), u32>,
    going: Ends,
    held: Ends,
    ended: Ends,
}

impl Default for Ends {
    fn default() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }
}

impl Entry {
    pub(super) fn delivery(&self) -> DeliveryId {
        DeliveryId(self.number)
    }

    pub(super) fn time(&self) -> Instant {
        self.time
    }

    pub(super) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(super) fn has_rare(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    /// What few entries have, which it has from now on.
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What else came under its id.
    pub(super) fn variants(&self) -> &[Digest] {
        self.rare.as_ref().map_or(&[], |rare| &rare.variants)
    }

    pub(super) fn take_variants(&mut self) -> Vec<Digest> {
        self.rare.as_mut().map(|rare| core::mem::take(&mut rare.variants)).unwrap_or_default()
    }

    /// What orders a queue.
    pub(super) fn key(&self) -> (Instant, u64) {
        (self.time, self.number)
    }
}

impl core::ops::Index<u32> for Table {
    type Output = Entry;

    fn index(&self, at: u32) -> &Entry {
        &self.slab[at]
    }
}

impl core::ops::IndexMut<u32> for Table {
    fn index_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.slab[at]
    }
}

impl Table {
    /// The entry of a delivery.
    pub(super) fn find(&self, delivery: DeliveryId) -> Option<u32> {
        self.by_number.chain(delivery.0).find(|at| self.slab[*at].number == delivery.0)
    }

    /// The newest entry of an id, or of a replay of it.
    pub(super) fn of_id(&self, name: &Name) -> Option<u32> {
        name.id.as_ref()?;
        let found = self.by_id.chain(name.hash()).find(|at| self.slab[*at].name.is_same_id(name));
        if found.is_some() || self.crowded.is_empty() {
            return found;
        }
        self.crowded.get(&name.id_key()?).copied()
    }

    /// Calls with the newest entry of an id and of each replay of it.
    pub(super) fn all_of_id(&self, name: &Name, call: impl FnMut(u32)) {
        let Some(key) = name.id_key() else { return };
        let chained = self.by_id.chain(name.hash()).filter(|at| self.slab[*at].name.is_of_same_id(name));
        let replays = key.clone().replay(None)..=key.replay(Some(u64::MAX));
        let crowded = self.crowded.range(replays).map(|(_, at)| *at);
        chained.chain(crowded).for_each(call);
    }

    /// The entry of a content.
    pub(super) fn of_digest(&self, scope: u32, digest: &Digest) -> Option<u32> {
        self.by_digest.get(&(scope, *digest)).copied()
    }

    /// Makes an entry the one of a content.
    pub(super) fn set_digest(&mut self, digest: Digest, at: u32) {
        self.by_digest.insert((self.slab[at].name.scope, digest), at);
    }

    /// Puts an entry in that is in progress until `deadline`, found by its number alone.
    pub(super) fn insert(&mut self, number: u64, name: Name, first: u32, deadline: Instant) -> u32 {
        let at = self.slab.insert(Entry {
            number,
            name,
            state: State::InProgress { first: Some(first) },
            queue: Queue::Going,
            filed: Filed::Nowhere,
            time: deadline,
            before: NONE,
            after: NONE,
            rare: None,
        });
        let slab = &self.slab;
        self.by_number.insert(number, at, |at| slab[at].number);
        self.link(at, Queue::Going, deadline);
        at
    }

    /// Has an entry found by its id, in place of the one that was.
    pub(super) fn file(&mut self, at: u32, before: Option<u32>) {
        if let Some(before) = before {
            self.unfile(before);
        }
        let hash = self.slab[at].name.hash();
        if self.by_id.chain(hash).count() < CHAIN {
            let slab = &self.slab;
            self.by_id.insert(hash, at, |at| slab[at].name.hash());
            self.slab[at].filed = Filed::Chain;
        } else if let Some(key) = self.slab[at].name.id_key() {
            self.crowded.insert(key, at);
            self.slab[at].filed = Filed::Tree;
        }
    }

    fn unfile(&mut self, at: u32) {
        let entry = &mut self.slab[at];
        match core::mem::replace(&mut entry.filed, Filed::Nowhere) {
            Filed::Nowhere => {}
            Filed::Chain => self.by_id.remove(entry.name.hash(), at),
            Filed::Tree => {
                entry.name.id_key().map(|key| self.crowded.remove(&key));
            }
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, at: u32) -> Entry {
        self.unfile(at);
        self.unlink(at);
        self.by_number.remove(self.slab[at].number, at);
        let entry = self.slab.remove(at).expect("a number is only kept while its entry lives");
        for digest in entry.name.digest().into_iter().chain(entry.variants()) {
            let key = (entry.name.scope, *digest);
            // Content whose window had passed may be another's by now.
            if self.by_digest.get(&key) == Some(&at) {
                self.by_digest.remove(&key);
            }
        }
        entry
    }

    /// Puts an entry into another queue or at another time.
    pub(super) fn move_to(&mut self, at: u32, queue: Queue, time: Instant) {
        self.unlink(at);
        self.link(at, queue, time);
    }

    /// The first entry of a queue.
    pub(super) fn first(&self, queue: Queue) -> Option<u32> {
        Some(self.ends(queue).first).filter(|at| *at != NONE)
    }

    /// Entries of a queue.
    pub(super) fn len(&self, queue: Queue) -> usize {
        self.ends(queue).len
    }

    fn ends(&self, queue: Queue) -> &Ends {
        match queue {
            Queue::Going => &self.going,
            Queue::Held => &self.held,
            Queue::Ended => &self.ended,
        }
    }

    fn ends_mut(&mut self, queue: Queue) -> &mut Ends {
        match queue {
            Queue::Going => &mut self.going,
            Queue::Held => &mut self.held,
            Queue::Ended => &mut self.ended,
        }
    }

    fn link(&mut self, at: u32, queue: Queue, time: Instant) {
        let key = (time, self.slab[at].number);
        let mut before = self.ends(queue).last;
        while before != NONE && self.slab[before].key() > key {
            before = self.slab[before].before;
        }
        let after = if before == NONE { self.ends(queue).first } else { self.slab[before].after };
        self.join(queue, before, at);
        self.join(queue, at, after);
        self.ends_mut(queue).len += 1;
        let entry = &mut self.slab[at];
        (entry.queue, entry.time) = (queue, time);
    }

    fn unlink(&mut self, at: u32) {
        let Entry { queue, before, after, .. } = self.slab[at];
        self.join(queue, before, after);
        self.ends_mut(queue).len -= 1;
    }

    /// Makes two entries neighbours, or one the first or last of a queue.
    fn join(&mut self, queue: Queue, before: u32, after: u32) {
        match before {
            NONE => self.ends_mut(queue).first = after,
            before => self.slab[before].after = after,
        }
        match after {
            NONE => self.ends_mut(queue).last = before,
            after => self.slab[after].before = before,
        }
    }
}

#[cfg(test)]
impl Table {
    /// Whether nothing is left in it.
    pub(super) fn is_bare(&self) -> bool {
        let queues = [&self.going, &self.held, &self.ended];
        self.slab.len() == 0
            && self.crowded.is_empty()
            && self.by_digest.is_empty()
            && queues.iter().all(|ends| (ends.first, ends.last, ends.len) == (NONE, NONE, 0))
    }

    /// What orders a queue, in order.
    pub(super) fn in_order(&self, queue: Queue) -> impl Iterator<Item = (Instant, u64)> {
        let next = |at: &u32| Some(self.slab[*at].after).filter(|at| *at != NONE);
        core::iter::successors(self.first(queue), next).map(|at| self.slab[at].key())
    }
}
