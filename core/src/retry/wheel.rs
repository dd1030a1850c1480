//! What is due later.

use super::list::{Ends, Links};
use crate::time::Instant;
use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;

/// A slab whose nodes have a due time besides their [`Link`](super::Link).
pub trait Timed<K = ()>: Links<K> {
    /// When the node is due. It must not change while the node is in a wheel: remove it first.
    fn due(&self, handle: u32) -> Instant;
}

/// A hierarchical timing wheel for millions of entries, exact to a millisecond, over nodes that lie in the caller's
/// slab. It takes about 8 KiB when it is made, and no memory for an entry.
///
/// An entry comes out at the first whole millisecond at or after its due time, never early; the entries of an earlier
/// millisecond come out first, those of one millisecond in the order in which they went in. One that is inserted when
/// the wheel is past its due time counts as due in the wheel's current millisecond. A due time in the last
/// millisecond of the clock's 584 years never comes.
///
/// **Shape.** Eight levels of 64 slots, each level's slots 64 times as long as those of the level below: 2^48
/// milliseconds, more than an [`Instant`] can express. An entry lies at the level of the highest group of six bits in
/// which its due time and the wheel's own time differ, in the slot that this group of its due time names. When the
/// wheel's time enters a slot, the slot's entries move to lower levels. So slot and level follow from the due time,
/// and a node needs no room for them.
///
/// **Cost.** `insert` and `remove` are O(1). An entry moves at most 7 times in its life. How far the clock jumps does
/// not matter: the wheel goes from one occupied slot to the next by bit maps. One [`pop_due`](Self::pop_due) may have
/// to move all entries of a slot; [`poll`](Self::poll) does the same work in parts.
///
/// ```
/// use postrider_core::retry::{Link, Links, Timed, Wheel};
/// use postrider_core::time::Instant;
///
/// struct Slab(Vec<(Link, Instant)>);
///
/// impl Links for Slab {
///     fn link(&self, handle: u32) -> Link { self.0[handle as usize].0 }
///     fn link_mut(&mut self, handle: u32) -> &mut Link { &mut self.0[handle as usize].0 }
/// }
/// impl Timed for Slab {
///     fn due(&self, handle: u32) -> Instant { self.0[handle as usize].1 }
/// }
///
/// let mut slab = Slab(vec![(Link::FREE, Instant::from_millis(5000)), (Link::FREE, Instant::from_millis(70))]);
/// let mut wheel: Wheel = Wheel::new();
/// wheel.insert(&mut slab, 0);
/// wheel.insert(&mut slab, 1);
/// assert_eq!(wheel.next_wake(), Some(Instant::from_millis(70)));
/// assert_eq!(wheel.pop_due(&mut slab, Instant::from_millis(69)), None);
/// assert_eq!(wheel.pop_due(&mut slab, Instant::from_millis(70)), Some(1));
/// ```
pub struct Wheel<K = ()> {
    slots: Box<[[Slot; SLOTS]; LEVELS]>,
    /// One bit for each slot that has entries.
    occupied: [u64; LEVELS],
    /// One bit for each level that has entries.
    levels: u8,
    /// Entries of a slot that the wheel's time has entered, on their way to lower levels.
    moving: Ends,
    /// The wheel's own time in milliseconds. No entry's is before it.
    elapsed: u64,
    /// The first millisecond of the occupied slot that it enters first; the last of all where none is.
    first: u64,
    len: u32,
    links: PhantomData<fn() -> K>,
}

/// What [`Wheel::poll`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a bounded search finds something, finds nothing, or has not finished")]
pub enum Due {
    /// This entry was due, and is in the wheel no more.
    Entry(u32),
    /// Nothing is due.
    Nothing,
    /// The budget is used up: ask again.
    Unfinished,
}

const LEVELS: usize = 8;
const SLOTS: usize = 1 << BITS;
const BITS: u32 = 6;
const NANOS_PER_MILLI: u64 = 1_000_000;

#[derive(Clone, Copy)]
struct Slot {
    entries: Ends,
    /// No entry is due before this millisecond, and one was when it went in. Kept above level 0 only.
    earliest: u64,
}

impl<K> Wheel<K> {
    /// An empty wheel, at the origin of the clock.
    pub fn new() -> Self {
        let slot = Slot { entries: Ends::EMPTY, earliest: u64::MAX };
        Self {
            slots: Box::new([[slot; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            levels: 0,
            moving: Ends::EMPTY,
            elapsed: 0,
            first: u64::MAX,
            len: 0,
            links: PhantomData,
        }
    }

    /// Adds a node, due when the slab says. Panics if it is somewhere already by the same link.
    pub fn insert(&mut self, nodes: &mut impl Timed<K>, handle: u32) {
        self.place(nodes, handle);
        self.len += 1;
    }

    /// Takes a node of this wheel out before it is due. Panics if it is nowhere.
    pub fn remove(&mut self, nodes: &mut impl Timed<K>, handle: u32) {
        if self.moving.is_end(handle) {
            self.moving.unlink(nodes, handle);
        } else {
            // One in the middle of `moving` is taken out just as well: that changes no ends.
            let (level, slot) = self.position(tick_at_or_after(nodes.due(handle)));
            self.slots[level][slot].entries.unlink(nodes, handle);
            self.note_if_empty(level, slot);
        }
        self.len -= 1;
    }

    /// Takes the first entry that is due at `now`. `None` when none is; call it until then.
    ///
    /// Amortised O(levels) for each entry; a single call may move all the entries of one slot of each level.
    pub fn pop_due(&mut self, nodes: &mut impl Timed<K>, now: Instant) -> Option<u32> {
        loop {
            match self.poll(nodes, now, u32::MAX) {
                Due::Entry(handle) => return Some(handle),
                Due::Nothing => return None,
                Due::Unfinished => {}
            }
        }
    }

    /// Like [`pop_due`](Self::pop_due), but moves at most `budget` entries between levels, and is otherwise O(levels).
    ///
    /// While it is [`Due::Unfinished`] everything else may be called too; only the order of entries of the same
    /// millisecond is then not that of their insertion.
    #[inline]
    pub fn poll(&mut self, nodes: &mut impl Timed<K>, now: Instant, budget: u32) -> Due {
        let now = now.as_nanos() / NANOS_PER_MILLI;
        if self.first > now && self.moving.is_empty() {
            self.elapsed = self.elapsed.max(now);
            return Due::Nothing;
        }
        self.poll_slots(nodes, now, budget)
    }

    fn poll_slots(&mut self, nodes: &mut impl Timed<K>, now: u64, mut budget: u32) -> Due {
        loop {
            while !self.moving.is_empty() {
                let Some(left) = budget.checked_sub(1) else { return Due::Unfinished };
                budget = left;
                let handle = self.moving.pop_front(nodes).expect("it is not empty");
                self.place(nodes, handle);
            }
            let Some((level, slot)) = self.first_occupied().filter(|_| self.first <= now) else {
                self.elapsed = self.elapsed.max(now);
                return Due::Nothing;
            };
            self.elapsed = self.first;
            let entries = &mut self.slots[level][slot].entries;
            if level == 0 {
                let handle = entries.pop_front(nodes).expect("its bit is set");
                self.note_if_empty(level, slot);
                self.len -= 1;
                return Due::Entry(handle);
            }
            self.moving = core::mem::replace(entries, Ends::EMPTY);
            self.note_if_empty(level, slot);
        }
    }

    /// When to ask again; `None` when the wheel is empty.
    ///
    /// Never later than the millisecond in which the first entry comes out, and after [`pop_due`](Self::pop_due) gave
    /// `None` later than the `now` that it was given. It is exactly that millisecond, unless an entry was removed that
    /// would have been first: then it may be that entry's, and asking in vain at most 7 times leads to the right
    /// one. While [`poll`](Self::poll) is unfinished it is not later than the `now` that was given.
    pub fn next_wake(&self) -> Option<Instant> {
        if !self.moving.is_empty() {
            return Some(Instant::from_millis(self.elapsed));
        }
        let (level, slot) = self.first_occupied()?;
        Some(Instant::from_millis(match level {
            0 => self.start(level, slot),
            _ => self.slots[level][slot].earliest,
        }))
    }

    /// How many entries it has.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no entries.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&mut self, nodes: &mut impl Timed<K>, handle: u32) {
        let tick = tick_at_or_after(nodes.due(handle));
        let (level, slot) = self.position(tick);
        let (bit, place) = (1 << slot, &mut self.slots[level][slot]);
        place.entries.push_back(nodes, handle);
        place.earliest = if self.occupied[level] & bit == 0 { tick } else { place.earliest.min(tick) };
        self.occupied[level] |= bit;
        self.levels |= 1 << level;
        // A level's slots all come before those of the levels above.
        self.first = self.first.min(self.start(level, slot));
    }

    /// Where an entry due at `tick` lies, as long as the wheel's time has not entered its slot.
    fn position(&self, tick: u64) -> (usize, usize) {
        let tick = tick.max(self.elapsed);
        let level = (tick ^ self.elapsed).checked_ilog2().unwrap_or(0) / BITS;
        (level as usize, (tick >> (level * BITS)) as usize % SLOTS)
    }

    /// The occupied slot that the wheel's time enters first. Every entry of a level is due before those of the levels
    /// above, because it shares more of the wheel's time; and within a level no occupied slot lies behind.
    fn first_occupied(&self) -> Option<(usize, usize)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// The first millisecond of an occupied slot.
    fn start(&self, level: usize, slot: usize) -> u64 {
        let shift = level as u32 * BITS;
        (self.elapsed >> (shift + BITS) << BITS | slot as u64) << shift
    }

    fn note_if_empty(&mut self, level: usize, slot: usize) {
        if self.slots[level][slot].entries.is_empty() {
            self.occupied[level] &= !(1 << slot);
            if self.occupied[level] == 0 {
                self.levels &= !(1 << level);
            }
            self.first = self.first_occupied().map_or(u64::MAX, |(level, slot)| self.start(level, slot));
        }
    }
}

impl<K> Default for Wheel<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for Wheel<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel").field("len", &self.len).field("next_wake", &self.next_wake()).finish_non_exhaustive()
    }
}

/// The first whole millisecond at or after this time: rounding up, so that nothing is early.
const fn tick_at_or_after(due: Instant) -> u64 {
    due.as_nanos().div_ceil(NANOS_PER_MILLI)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Link;
    use alloc::collections::BTreeMap;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::cell::Cell;
    use core::time::Duration;
    use proptest::prelude::*;

    /// Counts how often a due time is asked for, which is once for each placing of an entry.
    struct Slab {
        nodes: Vec<(Link, Instant)>,
        asked: Cell<u32>,
    }

    impl Slab {
        fn new(len: usize) -> Self {
            Self { nodes: vec![(Link::FREE, Instant::ORIGIN); len], asked: Cell::new(0) }
        }
    }

    impl Links for Slab {
        fn link(&self, handle: u32) -> Link {
            self.nodes[handle as usize].0
        }
        fn link_mut(&mut self, handle: u32) -> &mut Link {
            &mut self.nodes[handle as usize].0
        }
    }

    impl Timed for Slab {
        fn due(&self, handle: u32) -> Instant {
            self.asked.set(self.asked.get() + 1);
            self.nodes[handle as usize].1
        }
    }

    /// A wheel beside a sorted map from (millisecond, turn) to entry.
    struct Pair {
        wheel: Wheel,
        slab: Slab,
        model: BTreeMap<(u64, u64), u32>,
        turn: u64,
        now: Instant,
        /// An entry was removed, so that a wake may be early.
        removed: bool,
        /// A poll was unfinished, so that the order within a millisecond may be another.
        mixed: bool,
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Insert { handle: u32, nanos: u64, past: bool },
        Remove { handle: u32 },
        Pop { nanos: u64 },
        Drain { nanos: u64 },
        Poll { nanos: u64, budget: u32 },
    }

    impl Pair {
        fn new(nodes: usize) -> Self {
            let (wheel, slab) = (Wheel::new(), Slab::new(nodes));
            Self { wheel, slab, model: BTreeMap::new(), turn: 0, now: Instant::ORIGIN, removed: false, mixed: false }
        }

        fn step(&mut self, op: Op) {
            let later = |now: Instant, nanos| now.saturating_add(Duration::from_nanos(nanos));
            let last = Instant::from_nanos(u64::MAX - 1);
            match op {
                Op::Insert { handle, nanos, past } => {
                    let due = if past {
                        self.now.saturating_sub(Duration::from_nanos(nanos))
                    } else {
                        later(self.now, nanos)
                    };
                    self.insert(handle, due);
                }
                Op::Remove { handle } => self.remove(handle),
                Op::Pop { nanos } => {
                    self.now = later(self.now, nanos).min(last);
                    self.pop();
                }
                Op::Drain { nanos } => {
                    self.now = later(self.now, nanos).min(last);
                    while self.pop().is_some() {}
                }
                Op::Poll { nanos, budget } => {
                    self.now = later(self.now, nanos).min(last);
                    let _ = self.poll(budget);
                }
            }
            assert_eq!((self.wheel.len(), self.wheel.is_empty()), (self.model.len(), self.model.is_empty()));
            let first = self.model.keys().next().map(|(tick, _)| Instant::from_millis(*tick));
            let wake = self.wheel.next_wake();
            assert!(wake <= first && wake.is_some() == first.is_some(), "{wake:?} is not after {first:?}");
            if !self.removed && self.wheel.moving.is_empty() {
                assert_eq!(wake, first);
            }
        }

        fn insert(&mut self, handle: u32, due: Instant) {
            if self.slab.link(handle).is_free() {
                self.slab.nodes[handle as usize].1 = due;
                self.wheel.insert(&mut self.slab, handle);
                self.turn += 1;
                self.model.insert((tick_at_or_after(due).max(self.wheel.elapsed), self.turn), handle);
            }
        }

        fn remove(&mut self, handle: u32) {
            if !self.slab.link(handle).is_free() {
                self.wheel.remove(&mut self.slab, handle);
                self.model.retain(|_, other| *other != handle);
                self.removed = true;
            }
        }

        fn pop(&mut self) -> Option<u32> {
            let popped = self.wheel.pop_due(&mut self.slab, self.now);
            match popped {
                Some(handle) => self.check_popped(handle),
                None => self.check_idle(),
            }
            popped
        }

        fn poll(&mut self, budget: u32) -> Due {
            let asked = self.slab.asked.get();
            let found = self.wheel.poll(&mut self.slab, self.now, budget);
            assert!(self.slab.asked.get() - asked <= budget);
            match found {
                Due::Entry(handle) => self.check_popped(handle),
                Due::Nothing => self.check_idle(),
                Due::Unfinished => {
                    assert!(self.wheel.next_wake() <= Some(self.now));
                    self.mixed = true;
                }
            }
            found
        }

        fn check_popped(&mut self, handle: u32) {
            assert!(self.slab.nodes[handle as usize].1 <= self.now, "never early");
            let first = *self.model.keys().next().expect("the wheel has no more than the model");
            let place = *self.model.iter().find(|(_, other)| **other == handle).expect("it was in the wheel").0;
            assert_eq!(place.0, first.0, "the earliest millisecond first");
            assert!(place == first || self.mixed, "in the order of insertion");
            self.model.remove(&place);
        }

        fn check_idle(&self) {
            assert!(self.wheel.next_wake().is_none_or(|wake| wake > self.now));
            assert!(self.model.keys().all(|(tick, _)| Instant::from_millis(*tick) > self.now));
        }
    }

    /// Every magnitude is as likely as every other, from a nanosecond to the whole clock.
    fn nanos() -> impl Strategy<Value = u64> {
        (any::<u64>(), prop_oneof![20 => 6..64_u32, 1 => 0..6_u32]).prop_map(|(bits, shift)| bits >> shift)
    }

    fn op(nodes: u32) -> impl Strategy<Value = Op> {
        let handle = 0..nodes;
        prop_oneof![
            8 => (handle.clone(), nanos(), prop::bool::weighted(0.1))
                .prop_map(|(handle, nanos, past)| Op::Insert { handle, nanos, past }),
            1 => handle.prop_map(|handle| Op::Remove { handle }),
            4 => nanos().prop_map(|nanos| Op::Pop { nanos }),
            1 => nanos().prop_map(|nanos| Op::Drain { nanos }),
            2 => (nanos(), 0..4_u32).prop_map(|(nanos, budget)| Op::Poll { nanos, budget }),
        ]
    }

    proptest! {
        #[test]
        fn a_wheel_is_a_sorted_map(ops in prop::collection::vec(op(48), 0..300)) {
            let mut pair = Pair::new(48);
            ops.into_iter().for_each(|op| pair.step(op));
            pair.now = Instant::from_nanos(u64::MAX - 1);
            while pair.pop().is_some() {}
        }

        #[test]
        fn order_and_wakes_are_exact_while_nothing_is_removed(ops in prop::collection::vec(op(48), 0..300)) {
            let mut pair = Pair::new(48);
            for op in ops {
                match op {
                    Op::Insert { .. } | Op::Pop { .. } | Op::Drain { .. } => pair.step(op),
                    Op::Remove { .. } | Op::Poll { .. } => {}
                }
            }
            prop_assert!(!pair.removed && !pair.mixed);
        }

        #[test]
        fn whoever_sleeps_until_each_wake_gets_all_in_time(dues in prop::collection::vec(nanos(), 2..60)) {
            let mut pair = Pair::new(dues.len());
            for (handle, due) in (0..).zip(&dues) {
                pair.insert(handle, Instant::from_nanos(due % (1 << 62)));
            }
            (0..dues.len() as u32).step_by(2).for_each(|handle| pair.remove(handle));
            let (entries, mut in_vain) = (pair.model.len(), 0);
            while let Some(wake) = pair.wheel.next_wake() {
                assert!(wake > pair.now || pair.now == Instant::ORIGIN);
                pair.now = wake;
                in_vain += usize::from(pair.pop().is_none());
                while pair.pop().is_some() {}
            }
            prop_assert!(pair.model.is_empty());
            prop_assert!(in_vain <= 7 * entries, "{} wakes in vain for {} entries", in_vain, entries);
        }
    }

    #[test]
    fn due_times_are_rounded_up() {
        let mut pair = Pair::new(3);
        for (handle, nanos) in [(0, 1_000_001), (1, 1_000_000), (2, 999_999)] {
            pair.insert(handle, Instant::from_nanos(nanos));
        }
        pair.now = Instant::from_nanos(999_999);
        assert_eq!(pair.pop(), None);
        pair.now = Instant::from_nanos(1_999_999);
        assert_eq!([pair.pop(), pair.pop(), pair.pop()], [Some(1), Some(2), None]);
        pair.now = Instant::from_millis(2);
        assert_eq!(pair.pop(), Some(0));
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let mut pair = Pair::new(2);
        pair.now = Instant::from_millis(5000);
        assert_eq!(pair.pop(), None);
        pair.insert(0, Instant::from_millis(100));
        pair.insert(1, Instant::from_millis(6000));
        assert_eq!(pair.wheel.pop_due(&mut pair.slab, Instant::from_millis(4999)), None);
        assert_eq!(pair.pop(), Some(0), "due in the wheel's current millisecond");
        pair.now = Instant::from_millis(6000);
        assert_eq!(pair.pop(), Some(1));
    }

    #[test]
    fn the_cost_is_in_entries_and_not_in_time() {
        const ENTRIES: u32 = 1000;
        let mut pair = Pair::new(ENTRIES as usize);
        let mut bits = 1_u64;
        for handle in 0..ENTRIES {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pair.insert(handle, Instant::from_nanos(bits >> (handle % 40 + 1)));
        }
        pair.now = Instant::from_nanos(u64::MAX - 1);
        while pair.pop().is_some() {}
        assert!(pair.model.is_empty());
        let placings = pair.slab.asked.get();
        assert!(placings <= 8 * ENTRIES, "{placings}: at insertion, and 7 moves");
    }

    #[test]
    fn a_budget_cuts_the_work_of_one_call() {
        let mut pair = Pair::new(100);
        for handle in 0..100 {
            pair.insert(handle, Instant::from_millis(1_000_000));
        }
        pair.now = Instant::from_millis(1_000_000);
        let calls = core::iter::from_fn(|| Some(pair.poll(10))).take_while(|found| *found == Due::Unfinished).count();
        assert_eq!(calls, 29, "a hundred entries move down three levels, ten in a call, and the thirtieth finds one");
        let rest = core::iter::from_fn(|| pair.pop()).count();
        assert_eq!(rest, 99);
    }
}
