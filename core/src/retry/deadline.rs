//! A time to come that survives a restart.

use crate::time::{Instant, Now, UnixTime};
use core::time::Duration;

/// How long from when something lies ahead: how a due time is written down, since a monotonic clock means nothing after
/// a restart and a wall clock may be wrong. 24 bytes.
///
/// ```
/// use core::time::Duration;
/// use postrider_core::retry::Deadline;
/// use postrider_core::time::{Instant, Now, UnixTime};
///
/// let now = Now { mono: Instant::from_millis(500), wall: UnixTime::from_secs(1_000_000) };
/// let written = Deadline::new(now, Instant::from_millis(30_500));
/// assert_eq!(written.delay, Duration::from_secs(30));
///
/// // Ten seconds later, in another process.
/// let now = Now { mono: Instant::ORIGIN, wall: UnixTime::from_secs(1_000_010) };
/// assert_eq!(written.resume(now), Instant::from_millis(20_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data that is written down")]
pub struct Deadline {
    /// The wall clock when it was written.
    pub written: UnixTime,
    /// How much later it is.
    pub delay: Duration,
}

impl Deadline {
    /// `until`, as seen at `now`; one that has passed has no delay.
    pub const fn new(now: Now, until: Instant) -> Self {
        Self { written: now.wall, delay: until.saturating_since(now.mono) }
    }

    /// What is left of it: at least zero and at most the whole delay, whatever the wall clock says (law L5).
    pub const fn left(self, wall: UnixTime) -> Duration {
        self.delay.saturating_sub(wall.saturating_since(self.written))
    }

    /// When that is, on this process's clock.
    pub fn resume(self, now: Now) -> Instant {
        now.mono.saturating_add(self.left(now.wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_left_is_clamped(mono: u64, until: u64, written: u64, wall: u64) {
            let now = Now { mono: Instant::from_nanos(mono), wall: UnixTime::from_millis(written) };
            let deadline = Deadline::new(now, Instant::from_nanos(until));
            prop_assert_eq!(deadline.delay.as_nanos(), u128::from(until.saturating_sub(mono)));
            let passed = u128::from(wall.saturating_sub(written)) * 1_000_000;
            let left = deadline.left(UnixTime::from_millis(wall));
            prop_assert_eq!(left.as_nanos(), deadline.delay.as_nanos().saturating_sub(passed));
            prop_assert!(left <= deadline.delay);
            prop_assert_eq!(deadline.resume(now), Instant::from_nanos(until.max(mono)), "no time passed");
        }
    }
}
