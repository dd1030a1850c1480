//! What is to happen, by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::observe::SimTime;
use crate::rng::Rng;

/// Events that are kept in order; most of what is to happen soon is among them.
const NEAR: usize = 24;

/// Events of one type by the time at which they happen; those of the same time in an order that is drawn.
#[derive(Debug)]
pub struct Schedule<E> {
    /// The first ones, the very first last. None of the others comes before any of them.
    near: Vec<Entry<E>>,
    far: BinaryHeap<Reverse<Entry<E>>>,
    ties: Rng,
    count: u64,
}

#[derive(Debug)]
struct Entry<E> {
    /// The time, and behind it what decides between those of the same time.
    key: u128,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl<E> Schedule<E> {
    /// Nothing is to happen.
    pub fn new(ties: Rng) -> Self {
        Self { near: Vec::with_capacity(NEAR + 1), far: BinaryHeap::new(), ties, count: 0 }
    }

    /// Lets something happen.
    pub fn at(&mut self, at: SimTime, event: E) {
        self.count += 1;
        let tie = self.ties.u64() << 40 | (self.count & 0xFF_FFFF_FFFF);
        let entry = Entry { key: u128::from(at.0) << 64 | u128::from(tie), event };
        let latest = self.near.first().map(|latest| latest.key);
        if latest.is_none_or(|latest| entry.key > latest) && !self.far.is_empty() {
            return self.far.push(Reverse(entry));
        }
        let place = self.near.iter().rposition(|other| other.key > entry.key).map_or(0, |place| place + 1);
        self.near.insert(place, entry);
        if self.near.len() > NEAR {
            self.far.push(Reverse(self.near.remove(0)));
        }
    }

    /// What happens next.
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        if self.near.is_empty() {
            self.come_near();
        }
        let entry = self.near.pop()?;
        Some((SimTime((entry.key >> 64) as u64), entry.event))
    }

    /// Takes the first of those that are far, when none is near.
    fn come_near(&mut self) {
        let next = std::iter::from_fn(|| self.far.pop()).map(|Reverse(entry)| entry);
        self.near.extend(next.take(NEAR / 2));
        self.near.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_decides_and_then_chance() {
        let mut schedule = Schedule::new(Rng::new(5));
        (0..100_u32).for_each(|n| schedule.at(SimTime(u64::from(n / 50)), n));
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop()).map(|(_, n)| n).collect();
        assert!(order[..50].iter().all(|n| *n < 50) && order[50..].iter().all(|n| *n >= 50));
        assert_ne!(order, (0..100).collect::<Vec<_>>());
    }

    /// However many there are, near and far, what comes is the first of what is left.
    #[test]
    fn always_the_first() {
        let (mut schedule, mut left, mut drawn) = (Schedule::new(Rng::new(5)), Vec::new(), Rng::new(6));
        for round in 0..20_000_u64 {
            // The number swells and falls, so that the near ones overflow and run out.
            if drawn.below(100) < [70, 30][(round / 300 % 2) as usize] {
                let at = drawn.below([50, 100_000][(round % 2) as usize]);
                schedule.at(SimTime(at), at);
                left.push(at);
            } else {
                let first = left.iter().copied().min();
                assert_eq!(schedule.pop().map(|(at, event)| (at.0, event)), first.map(|first| (first, first)));
                left.iter().position(|at| Some(*at) == first).map(|place| left.swap_remove(place));
            }
        }
    }
}
