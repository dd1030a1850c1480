//! What is to happen, by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::observe::SimTime;
use crate::rng::Rng;

/// Events of one type by the time at which they happen; those of the same time in an order that is drawn.
#[derive(Debug)]
pub struct Schedule<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
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
        Self { heap: BinaryHeap::new(), ties, count: 0 }
    }

    /// Lets something happen.
    pub fn at(&mut self, at: SimTime, event: E) {
        self.count += 1;
        let tie = self.ties.u64() << 40 | (self.count & 0xFF_FFFF_FFFF);
        self.heap.push(Reverse(Entry { key: u128::from(at.0) << 64 | u128::from(tie), event }));
    }

    /// What happens next.
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        self.heap.pop().map(|Reverse(entry)| (SimTime((entry.key >> 64) as u64), entry.event))
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
}
