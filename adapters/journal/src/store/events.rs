//! Where the accepted records of pending events are, 8 bytes each.

use postrider_core::id::JournalSeq;

/// The accepted records of one segment whose events have not ended.
///
/// Sorted by place, relative to the segment's first; an ended one leaves a hole that is closed when half are holes.
#[derive(Debug)]
pub(crate) struct Events {
    base: u64,
    list: Vec<Entry>,
    live: usize,
    /// Accepted records ever noted, and their bytes: tells how many bytes the living ones have, about.
    noted: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    delta: u32,
    /// Where the record begins in the file; [`ENDED`] when the event has ended.
    offset: u32,
}

const ENDED: u32 = u32::MAX;

impl Events {
    /// None, in a segment whose first record is `base`.
    pub(crate) fn new(base: JournalSeq) -> Self {
        Self { base: base.get(), list: Vec::new(), live: 0, noted: 0, bytes: 0 }
    }

    /// Whether [`add`](Self::add) can hold this place.
    pub(crate) fn holds(&self, seq: JournalSeq, offset: u64) -> bool {
        let delta = seq.get().checked_sub(self.base);
        delta.is_some_and(|delta| delta < u64::from(u32::MAX)) && offset < u64::from(ENDED)
    }

    /// An accepted record of `len` bytes at `offset`; places come in ascending order.
    pub(crate) fn add(&mut self, seq: JournalSeq, offset: u64, len: u32) {
        let delta = u32::try_from(seq.get() - self.base).expect("a segment spans fewer than 2^32 places");
        let offset = u32::try_from(offset).expect("a segment with events is shorter than 4 GiB");
        debug_assert!(self.list.last().is_none_or(|last| last.delta < delta), "places ascend");
        self.list.push(Entry { delta, offset });
        self.live += 1;
        self.noted += 1;
        self.bytes += u64::from(len);
    }

    /// Where the event's record is, when it is here and pending.
    pub(crate) fn offset(&self, seq: JournalSeq) -> Option<u64> {
        let offset = self.list[self.at(seq)?].offset;
        (offset != ENDED).then(|| u64::from(offset))
    }

    /// The event has ended. Whether it was here and pending.
    pub(crate) fn end(&mut self, seq: JournalSeq) -> bool {
        let Some(at) = self.at(seq).filter(|at| self.list[*at].offset != ENDED) else { return false };
        self.list[at].offset = ENDED;
        self.live -= 1;
        if self.live < self.list.len() / 2 {
            self.list.retain(|entry| entry.offset != ENDED);
            self.list.shrink_to(self.list.len() * 2);
        }
        true
    }

    /// Takes back everything from this place on.
    pub(crate) fn forget(&mut self, from: JournalSeq) {
        let keep = self.list.partition_point(|entry| self.base + u64::from(entry.delta) < from.get());
        self.list.truncate(keep);
        self.live = self.list.iter().filter(|entry| entry.offset != ENDED).count();
    }

    /// How many are pending.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// Bytes of the records of pending events, as far as their mean tells.
    pub(crate) fn live_bytes(&self) -> u64 {
        if self.noted == 0 { 0 } else { (u128::from(self.bytes) * self.live as u128 / u128::from(self.noted)) as u64 }
    }

    /// The pending events, in order of places, with the places of their records in the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JournalSeq, u64)> + '_ {
        let pending = self.list.iter().filter(|entry| entry.offset != ENDED);
        pending.map(|entry| (JournalSeq::new(self.base + u64::from(entry.delta)), u64::from(entry.offset)))
    }

    fn at(&self, seq: JournalSeq) -> Option<usize> {
        let delta = u32::try_from(seq.get().checked_sub(self.base)?).ok()?;
        self.list.binary_search_by_key(&delta, |entry| entry.delta).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(n: u64) -> JournalSeq {
        JournalSeq::new(n)
    }

    #[test]
    fn what_has_ended_is_found_no_more_and_its_memory_comes_back() {
        let mut events = Events::new(seq(100));
        (0..1000).for_each(|n| events.add(seq(100 + 2 * n), 96 + 50 * n, 40));
        assert_eq!((events.live(), events.live_bytes()), (1000, 40_000));
        assert_eq!((events.offset(seq(102)), events.offset(seq(103)), events.offset(seq(1))), (Some(146), None, None));
        for n in 0..999 {
            assert!(events.end(seq(100 + 2 * n)));
        }
        assert!(!events.end(seq(100)), "only once");
        assert_eq!((events.live(), events.live_bytes()), (1, 40));
        assert_eq!(events.iter().collect::<Vec<_>>(), [(seq(2098), 96 + 50 * 999)]);
        assert!(events.list.capacity() < 10, "{}", events.list.capacity());
    }

    #[test]
    fn what_was_void_is_taken_back() {
        let mut events = Events::new(seq(1));
        (1..=9).for_each(|n| events.add(seq(n), 100 * n, 10));
        events.end(seq(9));
        events.forget(seq(5));
        assert_eq!(events.iter().map(|(seq, _)| seq.get()).collect::<Vec<_>>(), [1, 2, 3, 4]);
        events.add(seq(5), 77, 10);
        assert_eq!(events.offset(seq(5)), Some(77));
    }

    #[test]
    fn places_beyond_its_reach_are_refused() {
        let events = Events::new(seq(10));
        assert!(events.holds(seq(10), 0) && events.holds(seq(10 + u64::from(u32::MAX) - 1), 1));
        assert!(!events.holds(seq(9), 0) && !events.holds(seq(11), u64::from(u32::MAX)));
    }
}
