//! A node's clocks, which are not the world's.

use crate::observe::{Clocks, SimTime};

/// What the wall clock shows when the world begins, in milliseconds since 1970: 2026-01-01T00:00:00Z.
pub const EPOCH: u64 = 1_767_225_600_000;

/// Clocks that drift, jump and stand still.
///
/// The monotonic clock begins anew with each process; the wall clock belongs to the machine and outlives them.
#[derive(Clone, Debug)]
pub struct NodeClock {
    /// The world's time at which the stretch began that is described here.
    since: SimTime,
    mono: u64,
    /// Nanoseconds, so that drift is not lost in rounding.
    wall: u128,
    /// Both clocks run so many millionths too fast.
    drift: i32,
    frozen: bool,
}

impl NodeClock {
    /// Clocks that are right.
    pub fn new() -> Self {
        Self { since: SimTime(0), mono: 0, wall: u128::from(EPOCH) * 1_000_000, drift: 0, frozen: false }
    }

    /// The right wall clock, in milliseconds since 1970.
    pub fn truth(at: SimTime) -> u64 {
        EPOCH + at.0 / 1_000_000
    }

    /// What the clocks show.
    pub fn at(&self, at: SimTime) -> Clocks {
        let passed = self.passed(at);
        let wall = (self.wall + u128::from(passed)) / 1_000_000;
        let mono = if self.frozen { self.mono } else { self.mono + passed };
        Clocks { mono, wall: u64::try_from(wall).expect("the year 584554531 is far") }
    }

    /// The first time at which the monotonic clock shows `mono` or more.
    pub fn when(&self, mono: u64) -> SimTime {
        let passed = u128::from(mono.saturating_sub(self.mono));
        let rate = u128::from(self.rate());
        let truth = (passed * 1_000_000).div_ceil(rate);
        self.since.after(u64::try_from(truth).unwrap_or(u64::MAX / 2).min(u64::MAX / 2))
    }

    /// A process starts: its monotonic clock shows `mono`.
    pub fn boot(&mut self, at: SimTime, mono: u64) {
        self.rebase(at);
        self.mono = mono;
    }

    /// From now on the clocks run `drift` millionths too fast.
    pub fn set_drift(&mut self, at: SimTime, drift: i32) {
        self.rebase(at);
        self.drift = drift;
    }

    /// The wall clock jumps by so many milliseconds, but not to before 1970.
    pub fn step(&mut self, at: SimTime, by: i64) {
        self.rebase(at);
        let nanos = u128::from(by.unsigned_abs()) * 1_000_000;
        self.wall = if by < 0 { self.wall.saturating_sub(nanos) } else { self.wall + nanos };
    }

    /// The node stands still from now on: its wall clock goes on, its monotonic clock does not.
    pub fn freeze(&mut self, at: SimTime) {
        self.rebase(at);
        self.frozen = true;
    }

    /// The node goes on.
    pub fn thaw(&mut self, at: SimTime) {
        self.rebase(at);
        self.frozen = false;
    }

    /// How many milliseconds the wall clock must jump to be right.
    pub fn error(&self, at: SimTime) -> i64 {
        let shown = i64::try_from(self.at(at).wall).expect("dates fit");
        i64::try_from(Self::truth(at)).expect("dates fit") - shown
    }

    fn rate(&self) -> u64 {
        1_000_000_u64.saturating_add_signed(i64::from(self.drift))
    }

    fn passed(&self, at: SimTime) -> u64 {
        let truth = at.since(self.since);
        if self.drift == 0 {
            return truth;
        }
        u64::try_from(u128::from(truth) * u128::from(self.rate()) / 1_000_000).expect("584 years are long")
    }

    fn rebase(&mut self, at: SimTime) {
        let passed = self.passed(at);
        if !self.frozen {
            self.mono += passed;
        }
        self.wall += u128::from(passed);
        self.since = at;
    }
}

impl Default for NodeClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_never_early_and_hardly_late() {
        let mut clock = NodeClock::new();
        for drift in [-50_000, -200, -1, 0, 1, 200, 50_000] {
            clock.set_drift(SimTime(1_000_000_007), drift);
            for mono in [2_000_000_001, 2_000_000_002, 86_400_000_000_003] {
                let when = clock.when(mono);
                assert!(clock.at(when).mono >= mono);
                assert!(clock.at(SimTime(when.0 - 2)).mono < mono);
            }
        }
    }

    #[test]
    fn a_suspended_node_sees_only_its_wall_clock_jump() {
        let mut clock = NodeClock::new();
        clock.boot(SimTime(0), 5);
        clock.freeze(SimTime(0));
        clock.thaw(SimTime(10_000_000));
        assert_eq!(clock.at(SimTime(10_000_000)), Clocks { mono: 5, wall: EPOCH + 10 });
        clock.step(SimTime(10_000_000), -10);
        assert_eq!(clock.error(SimTime(10_000_000)), 10);
    }
}
