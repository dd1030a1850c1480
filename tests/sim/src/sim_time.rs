//! The world's own time, and the clocks that a node sees.

use std::fmt;

/// Nanoseconds of the world's own time, which no node can see: it runs on while nodes are down or suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(pub u64);

/// One second of [`SimTime`].
pub const SECOND: u64 = 1_000_000_000;

impl SimTime {
    /// This time, `nanos` later.
    pub fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds since `earlier`; 0 when it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for SimTime {
    /// Days, hours, minutes and seconds, such as `2d 03:04:05.000006`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / SECOND;
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        write!(f, "{days}d {hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, self.0 % SECOND / 1000)
    }
}

/// A node's clocks, as the node sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Nanoseconds; begins anew at each restart, stands still while the node is suspended.
    pub mono: u64,
    /// Milliseconds since 1970; has an offset, drifts, and may jump.
    pub wall: u64,
}
