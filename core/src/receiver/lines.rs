//! Who waits for whom where receiving is ordered: per line at most one delivery at a time, in the order of their places.
//!
//! ```text
//!            ┌── fits, nobody is out ──────────────> out ──ended──> looks who is next
//!   offered ─┼── before the last ──> late, or out
//!            └── else held ──fits, or its time is over, and nobody is out──> out
//! ```
//!
//! Whoever was let go or is held leaves by [`Lines::ended`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;

use super::contract::DeliveryId;
use super::order::Place;
use crate::time::Instant;

/// The lines, of which those that nobody is in are remembered up to a number.
#[derive(Debug)]
pub(super) struct Lines {
    bounds: Bounds,
    lines: BTreeMap<Arc<str>, Line>,
    /// Where each delivery is that is out or held.
    seats: BTreeMap<DeliveryId, Place>,
    /// Those held, by when they have waited long enough.
    until: BTreeSet<(Instant, DeliveryId)>,
    /// When each of those held has waited long enough.
    held: BTreeMap<DeliveryId, Instant>,
    /// Lines to be looked at: somebody may go.
    stirred: BTreeSet<Arc<str>>,
    /// Empty lines, by when they became so.
    empty: BTreeMap<u64, Arc<str>>,
    touches: u64,
}

/// What may be held, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) hold: Duration,
    pub(super) each: usize,
    pub(super) all: usize,
    pub(super) lines: usize,
    /// Whether what comes after a later one is still delivered.
    pub(super) late: bool,
}

#[derive(Debug, Default)]
struct Line {
    /// The last place whose delivery has ended for good.
    last: Option<u64>,
    out: Option<DeliveryId>,
    waiting: BTreeSet<(u64, DeliveryId)>,
    /// Up to here nobody waits for a predecessor any longer.
    passed: Option<u64>,
    /// Its number among the empty ones.
    empty: Option<u64>,
}

/// What became of one that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It goes.
    Goes,
    /// It waits; [`Lines::step`] tells when it goes.
    Held,
    /// It comes after a later one, and such are not delivered.
    Late,
    /// There are too many.
    Full,
}

/// Somebody who waited and need not any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes.
    Goes { delivery: DeliveryId, gap: Option<Gap> },
    /// A later one has ended before, and such are not delivered.
    Late(DeliveryId),
}

/// A place that was passed without what comes before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) line: Arc<str>,
    /// The last place that has ended, where one is known.
    pub(super) last: Option<u64>,
    /// The place that goes.
    pub(super) at: u64,
}

impl Lines {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lines: BTreeMap::new(),
            seats: BTreeMap::new(),
            until: BTreeSet::new(),
            held: BTreeMap::new(),
            stirred: BTreeSet::new(),
            empty: BTreeMap::new(),
            touches: 0,
        }
    }

    /// Deliveries held.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// The first of those held.
    pub(super) fn first_held(&self) -> Option<DeliveryId> {
        self.held.first_key_value().map(|(delivery, _)| *delivery)
    }

    /// When somebody will have waited long enough.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.until.first().map(|(until, _)| *until)
    }

    /// Whether [`step`](Self::step) has something to do.
    pub(super) fn is_stirred(&self, now: Instant) -> bool {
        !self.stirred.is_empty() || self.wake().is_some_and(|until| until <= now)
    }

    /// How long a delivery that comes now may be held.
    pub(super) fn hold(&self) -> Duration {
        self.bounds.hold
    }

    /// Somebody comes to a place. `last` is the last place of its line that is known from elsewhere.
    pub(super) fn offer(&mut self, now: Instant, delivery: DeliveryId, place: Place, last: Option<u64>) -> Offered {
        let line = self.lines.entry(Arc::clone(&place.line)).or_default();
        if let Some(empty) = line.empty.take() {
            self.empty.remove(&empty);
        }
        line.last = line.last.max(last);
        let late = line.last.is_some_and(|last| place.at <= last);
        let nobody_out = line.out.is_none();
        #[cfg(postrider_planted)]
        let nobody_out = nobody_out || crate::planted::breaks(87);
        let first = nobody_out && line.waiting.first().is_none_or(|(at, _)| place.at <= *at);
        let offered = if late && !self.bounds.late {
            Offered::Late
        } else if first && (late || line.fits(&place)) {
            line.out = Some(delivery);
            Offered::Goes
        } else if line.waiting.len() >= self.bounds.each && line.out.is_some() || self.held.len() >= self.bounds.all {
            Offered::Full
        } else {
            line.waiting.insert((place.at, delivery));
            if line.waiting.len() > self.bounds.each {
                line.passed = line.waiting.first().map(|(at, _)| *at).max(line.passed);
                self.stirred.insert(Arc::clone(&place.line));
            }
            Offered::Held
        };
        let key = Arc::clone(&place.line);
        match offered {
            Offered::Goes => {
                self.seats.insert(delivery, place);
            }
            Offered::Held => {
                let until = now.saturating_add(self.bounds.hold);
                self.seats.insert(delivery, place);
                self.until.insert((until, delivery));
                self.held.insert(delivery, until);
            }
            Offered::Late | Offered::Full => {}
        }
        self.settle(&key);
        offered
    }

    /// One that was let go, or is held no longer, has ended: for good, or to come again.
    pub(super) fn ended(&mut self, delivery: DeliveryId, for_good: bool) {
        let Some(place) = self.seats.remove(&delivery) else { return };
        self.unhold(delivery, &place);
        if let Some(line) = self.lines.get_mut(&place.line) {
            if line.out == Some(delivery) {
                line.out = None;
            }
            if for_good {
                line.last = line.last.max(Some(place.at));
            }
            if !line.waiting.is_empty() {
                self.stirred.insert(Arc::clone(&place.line));
            }
        }
        self.settle(&place.line);
    }

    /// Somebody who is not in the line has ended for good: at another instance, or long after his time.
    pub(super) fn ended_elsewhere(&mut self, place: &Place) {
        let line = self.lines.entry(Arc::clone(&place.line)).or_default();
        line.last = line.last.max(Some(place.at));
        if !line.waiting.is_empty() {
            self.stirred.insert(Arc::clone(&place.line));
        }
        self.settle(&place.line);
    }

    /// Whether a later place than this has ended.
    pub(super) fn is_late(&self, place: &Place) -> bool {
        let last = self.lines.get(&place.line).and_then(|line| line.last);
        last.is_some_and(|last| place.at <= last)
    }

    /// Lets one go that waited, if one may. Each call is one step; `None` when there is nothing to do.
    pub(super) fn step(&mut self, now: Instant) -> Option<Option<Step>> {
        if let Some((until, delivery)) = self.until.first().copied().filter(|(until, _)| *until <= now) {
            self.until.remove(&(until, delivery));
            let place = self.seats.get(&delivery).expect("whoever is held has a place");
            let line = self.lines.get_mut(&place.line).expect("a line with somebody in it is kept");
            line.passed = line.passed.max(Some(place.at));
            self.stirred.insert(Arc::clone(&place.line));
            return Some(None);
        }
        let key = self.stirred.pop_first()?;
        let step = self.look(&key);
        self.settle(&key);
        Some(step)
    }

    /// Looks whether the first who waits in a line may go.
    fn look(&mut self, key: &Arc<str>) -> Option<Step> {
        let line = self.lines.get_mut(key)?;
        let (at, delivery) = *line.waiting.first()?;
        let late = line.last.is_some_and(|last| at <= last);
        if late && !self.bounds.late {
            let place = self.seats.remove(&delivery)?;
            self.unhold(delivery, &place);
            self.stirred.insert(Arc::clone(key));
            return Some(Step::Late(delivery));
        }
        if line.out.is_some() {
            return None;
        }
        let place = self.seats.get(&delivery)?.clone();
        let fits = late || line.fits(&place);
        if !fits && line.passed.is_none_or(|passed| at > passed) {
            return None;
        }
        line.out = Some(delivery);
        let gap = (!fits).then(|| Gap { line: Arc::clone(key), last: line.last, at });
        self.unhold(delivery, &place);
        Some(Step::Goes { delivery, gap })
    }

    fn unhold(&mut self, delivery: DeliveryId, place: &Place) {
        if let Some(until) = self.held.remove(&delivery) {
            self.until.remove(&(until, delivery));
            if let Some(line) = self.lines.get_mut(&place.line) {
                line.waiting.remove(&(place.at, delivery));
            }
        }
    }

    /// Counts a line among the empty ones if nobody is in it, and forgets the oldest of those if there are too many.
    fn settle(&mut self, key: &Arc<str>) {
        let Some(line) = self.lines.get_mut(key) else { return };
        if line.out.is_some() || !line.waiting.is_empty() {
            return;
        }
        line.passed = None;
        self.stirred.remove(key);
        if let Some(before) = line.empty.take() {
            self.empty.remove(&before);
        }
        if line.last.is_none() {
            self.lines.remove(key);
            return;
        }
        self.touches += 1;
        line.empty = Some(self.touches);
        self.empty.insert(self.touches, Arc::clone(key));
        if self.empty.len() > self.bounds.lines
            && let Some((_, oldest)) = self.empty.pop_first()
        {
            self.lines.remove(&oldest);
        }
    }
}

impl Line {
    /// Whether nothing is missing before a place.
    fn fits(&self, place: &Place) -> bool {
        place.after.is_none_or(|before| self.last.is_some_and(|last| before <= last))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const HOLD: Duration = Duration::from_secs(5);

    fn lines(late: bool) -> Lines {
        Lines::new(Bounds { hold: HOLD, each: 3, all: 5, lines: 2, late })
    }

    fn place(line: &str, at: u64) -> Place {
        Place { line: line.into(), at, after: at.checked_sub(1).filter(|before| *before > 0) }
    }

    fn at(secs: u64) -> Instant {
        Instant::from_millis(1_000_000 + secs * 1000)
    }

    /// Everything that goes at `now`.
    fn steps(lines: &mut Lines, now: Instant) -> Vec<Step> {
        core::iter::from_fn(|| lines.step(now)).flatten().collect()
    }

    fn goes(delivery: u64) -> Step {
        Step::Goes { delivery: DeliveryId(delivery), gap: None }
    }

    #[test]
    fn what_came_too_early_waits_for_what_is_before_it() {
        let mut lines = lines(true);
        assert_eq!(lines.offer(at(0), DeliveryId(3), place("a", 3), None), Offered::Held);
        assert_eq!(lines.offer(at(0), DeliveryId(2), place("a", 2), None), Offered::Held);
        assert_eq!(lines.offer(at(1), DeliveryId(1), place("a", 1), None), Offered::Goes);
        assert_eq!(steps(&mut lines, at(1)), []);
        lines.ended(DeliveryId(1), true);
        assert_eq!(steps(&mut lines, at(1)), [goes(2)]);
        lines.ended(DeliveryId(2), true);
        assert_eq!(steps(&mut lines, at(1)), [goes(3)]);
        lines.ended(DeliveryId(3), true);
        assert_eq!((lines.held(), lines.wake()), (0, None));
    }

    #[test]
    fn a_gap_is_passed_after_its_time_and_said() {
        let mut lines = lines(true);
        assert_eq!(lines.offer(at(0), DeliveryId(1), place("a", 1), None), Offered::Goes);
        lines.ended(DeliveryId(1), true);
        assert_eq!(lines.offer(at(0), DeliveryId(4), place("a", 4), None), Offered::Held);
        assert_eq!(lines.offer(at(2), DeliveryId(3), place("a", 3), None), Offered::Held);
        assert_eq!(steps(&mut lines, at(4)), []);
        let gap = Some(Gap { line: "a".into(), last: Some(1), at: 3 });
        assert_eq!(steps(&mut lines, at(5)), [Step::Goes { delivery: DeliveryId(3), gap }]);
        lines.ended(DeliveryId(3), true);
        assert_eq!(steps(&mut lines, at(5)), [goes(4)]);
    }

    #[test]
    fn what_is_wanted_again_keeps_its_place() {
        let mut lines = lines(true);
        assert_eq!(lines.offer(at(0), DeliveryId(1), place("a", 1), None), Offered::Goes);
        assert_eq!(lines.offer(at(0), DeliveryId(2), place("a", 2), None), Offered::Held);
        lines.ended(DeliveryId(1), false);
        assert_eq!(steps(&mut lines, at(1)), []);
        assert_eq!(lines.offer(at(2), DeliveryId(3), place("a", 1), None), Offered::Goes);
        lines.ended(DeliveryId(3), true);
        assert_eq!(steps(&mut lines, at(2)), [goes(2)]);
    }

    #[test]
    fn late_ones_are_dropped_or_marked_as_it_was_asked() {
        for late in [false, true] {
            let mut lines = lines(late);
            assert_eq!(lines.offer(at(0), DeliveryId(1), place("a", 7), Some(6)), Offered::Goes);
            assert_eq!(lines.offer(at(0), DeliveryId(2), place("a", 7), None), Offered::Held);
            lines.ended(DeliveryId(1), true);
            let step = Step::Goes { delivery: DeliveryId(2), gap: None };
            assert_eq!(steps(&mut lines, at(0)), [if late { step } else { Step::Late(DeliveryId(2)) }]);
            lines.ended(DeliveryId(2), true);
            let expected = if late { Offered::Goes } else { Offered::Late };
            assert_eq!(lines.offer(at(0), DeliveryId(3), place("a", 5), None), expected);
        }
    }

    #[test]
    fn too_many_are_not_held() {
        let mut lines = lines(true);
        for n in 3..=5 {
            assert_eq!(lines.offer(at(0), DeliveryId(n), place("a", n), None), Offered::Held);
        }
        assert_eq!(lines.offer(at(0), DeliveryId(6), place("a", 6), None), Offered::Held);
        let gap = Some(Gap { line: "a".into(), last: None, at: 3 });
        assert_eq!(steps(&mut lines, at(0)), [Step::Goes { delivery: DeliveryId(3), gap }]);
        assert_eq!(lines.offer(at(0), DeliveryId(7), place("a", 7), None), Offered::Full, "one is out and three wait");
        assert_eq!(lines.offer(at(0), DeliveryId(8), place("b", 4), None), Offered::Held);
        assert_eq!(lines.offer(at(0), DeliveryId(9), place("b", 5), None), Offered::Held);
        assert_eq!(lines.offer(at(0), DeliveryId(10), place("c", 5), None), Offered::Full, "five are held in all");
        assert_eq!(lines.offer(at(0), DeliveryId(11), place("d", 1), None), Offered::Goes);
    }

    #[test]
    fn empty_lines_are_remembered_up_to_a_number() {
        let mut lines = lines(true);
        for (n, line) in ["a", "b", "c"].into_iter().enumerate() {
            let n = n as u64;
            assert_eq!(lines.offer(at(0), DeliveryId(n), place(line, 1), None), Offered::Goes);
            lines.ended(DeliveryId(n), true);
        }
        assert_eq!(lines.offer(at(0), DeliveryId(8), place("c", 2), None), Offered::Goes);
        assert_eq!(
            lines.offer(at(0), DeliveryId(9), place("a", 2), None),
            Offered::Held,
            "its last place is forgotten"
        );
    }

    proptest! {
        /// Whatever comes in whatever order, ends or comes again: one is out at a time, places go up but for the late ones, a
        /// gap is said, and nobody is left.
        #[test]
        fn lines_release_in_order_or_report_the_gap(
            arrivals in prop::collection::vec((0..3_u8, 1..9_u64, 0..4_u64, prop::bool::weighted(0.8)), 1..60),
            late in prop::bool::ANY,
        ) {
            let mut lines = Lines::new(Bounds { lines: 5, ..lines(late).bounds });
            let mut now = 0;
            let mut out: BTreeMap<u8, (DeliveryId, u64)> = BTreeMap::new();
            let mut last: BTreeMap<u8, u64> = BTreeMap::new();
            let mut seats: BTreeMap<DeliveryId, (u8, u64)> = BTreeMap::new();
            let names = ["a", "b", "c"];
            let goes = |lines: &mut Lines, at_secs: u64, out: &mut BTreeMap<u8, (DeliveryId, u64)>,
                            last: &BTreeMap<u8, u64>, seats: &mut BTreeMap<DeliveryId, (u8, u64)>| {
                let mut turns = 0;
                while let Some(step) = lines.step(at(at_secs)) {
                    turns += 1;
                    assert!(turns < 1000, "it ends");
                    match step {
                        None => {}
                        Some(Step::Late(delivery)) => {
                            let (line, at) = seats.remove(&delivery).expect("it was held");
                            assert!(!late && last[&line] >= at);
                        }
                        Some(Step::Goes { delivery, gap }) => {
                            let (line, at) = seats.remove(&delivery).expect("it was held");
                            assert!(out.insert(line, (delivery, at)).is_none(), "one at a time");
                            let known = last.get(&line).copied();
                            let is_late = known.is_some_and(|last| at <= last);
                            assert!(late || !is_late);
                            let fits = is_late || at == 1 || known.is_some_and(|last| last >= at - 1);
                            assert_eq!(gap.is_some(), !fits);
                        }
                    }
                }
            };
            for (n, (line, seat, pause, for_good)) in arrivals.into_iter().enumerate() {
                let delivery = DeliveryId(n as u64);
                now += pause;
                goes(&mut lines, now, &mut out, &last, &mut seats);
                match lines.offer(at(now), delivery, place(names[usize::from(line)], seat), None) {
                    Offered::Goes => {
                        prop_assert!(out.insert(line, (delivery, seat)).is_none());
                        let is_late = last.get(&line).is_some_and(|last| seat <= *last);
                        prop_assert!(late || !is_late);
                        prop_assert!(is_late || seat == 1 || last.get(&line).is_some_and(|last| *last >= seat - 1));
                    }
                    Offered::Held => { seats.insert(delivery, (line, seat)); }
                    Offered::Late => prop_assert!(!late && last[&line] >= seat),
                    Offered::Full => {}
                }
                if pause == 3 && let Some((ended, seat)) = out.remove(&line) {
                    lines.ended(ended, for_good);
                    if for_good {
                        let last = last.entry(line).or_insert(seat);
                        *last = seat.max(*last);
                    }
                }
                goes(&mut lines, now, &mut out, &last, &mut seats);
            }
            for _ in 0..200 {
                now += 5;
                goes(&mut lines, now, &mut out, &last, &mut seats);
                for (line, (ended, seat)) in core::mem::take(&mut out) {
                    lines.ended(ended, true);
                    let last = last.entry(line).or_insert(seat);
                    *last = seat.max(*last);
                }
            }
            prop_assert!(seats.is_empty() && out.is_empty() && lines.held() == 0 && lines.wake().is_none());
        }
    }
}
