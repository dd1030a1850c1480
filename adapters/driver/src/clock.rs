//! The two clocks of a process, as the machine is told them.

use std::time::{Duration, Instant as StdInstant, SystemTime};

use postrider_core::sender::Wake;
use postrider_core::time::{Instant, Now, UnixTime};

/// A clock whose origin is the moment when it was started. A copy is the same clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: StdInstant,
}

impl Clock {
    /// Starts a clock: its [`Instant::ORIGIN`] is now.
    pub fn start() -> Self {
        Self { origin: StdInstant::now() }
    }

    /// Both clocks, read one directly after the other. A wall clock before 1970 reads as 1970.
    pub fn now(&self) -> Now {
        Now { mono: self.instant(StdInstant::now()), wall: wall(SystemTime::now()) }
    }

    /// How long to sleep until `wake`, rounded up to a whole millisecond, so that the machine is never asked too early;
    /// zero for [`Wake::Ready`] and for what is due. `None` where only a fact or a command can change anything.
    pub fn until(&self, wake: Wake) -> Option<Duration> {
        match wake {
            Wake::Ready => Some(Duration::ZERO),
            Wake::At(at) => Some(round_up(at.saturating_since(self.instant(StdInstant::now())))),
            Wake::Input | Wake::Closed => None,
        }
    }

    /// A point of this clock on the operating system's, for socket time-outs and timers. What lies too far ahead to be
    /// expressed is a year ahead.
    pub fn std_deadline(&self, at: Instant) -> StdInstant {
        let since = at.saturating_since(Instant::ORIGIN);
        self.origin.checked_add(since).unwrap_or_else(|| StdInstant::now() + YEAR)
    }

    /// A point of the operating system's clock on this one; the origin for what lies before it.
    pub fn instant(&self, at: StdInstant) -> Instant {
        Instant::ORIGIN.saturating_add(at.saturating_duration_since(self.origin))
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn wall(at: SystemTime) -> UnixTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn round_up(rest: Duration) -> Duration {
    let millis = rest.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_is_rounded_up() {
        assert_eq!(round_up(Duration::ZERO), Duration::ZERO);
        assert_eq!(round_up(Duration::from_nanos(1)), Duration::from_millis(1));
        assert_eq!(round_up(Duration::from_millis(5)), Duration::from_millis(5));
        assert_eq!(round_up(Duration::from_nanos(5_000_001)), Duration::from_millis(6));
    }

    #[test]
    fn a_wake_becomes_a_sleep() {
        let clock = Clock::start();
        assert_eq!(clock.until(Wake::Ready), Some(Duration::ZERO));
        assert_eq!(clock.until(Wake::Input), None);
        assert_eq!(clock.until(Wake::Closed), None);
        assert_eq!(clock.until(Wake::At(Instant::ORIGIN)), Some(Duration::ZERO));
        let ahead = clock.now().mono.saturating_add(Duration::from_secs(100));
        let rest = clock.until(Wake::At(ahead)).unwrap();
        assert!(rest <= Duration::from_secs(100) && rest > Duration::from_secs(90), "{rest:?}");
        assert_eq!(rest.subsec_nanos() % 1_000_000, 0);
    }

    #[test]
    fn both_directions_agree() {
        let clock = Clock::start();
        let at = Instant::from_nanos(1_234_567_891);
        assert_eq!(clock.instant(clock.std_deadline(at)), at);
        assert!(clock.std_deadline(Instant::from_nanos(u64::MAX)) > StdInstant::now());
    }

    #[test]
    fn a_wall_clock_before_1970_reads_as_1970() {
        assert_eq!(wall(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), UnixTime::EPOCH);
        assert_eq!(wall(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)), UnixTime::from_millis(1500));
    }
}
