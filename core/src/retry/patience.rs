//! How long a delivery may wait for its endpoint.

use core::fmt;
use core::time::Duration;

/// How long a delivery may wait, once it could start but for its endpoint (paused, throttled, its breaker open, its
/// concurrency or rate used up), before it is given up: for what is worthless when it comes late. 8 bytes.
///
/// It is looked at when the attempt would start, never by a timer: what waits for an endpoint that is held costs nothing
/// until the hold ends. The wait is counted from the time at which the attempt was due, and for the first attempt from
/// when the event was accepted; each attempt has it anew. For a bound on the age of a delivery as a whole see
/// [`Schedule::with_max_age`](super::Schedule::with_max_age).
///
/// ```
/// use core::time::Duration;
/// use postrider_core::retry::QueueLimit;
///
/// let limit = QueueLimit::new(Duration::from_secs(60))?;
/// assert!(limit.check(Duration::from_secs(60)).is_ok());
/// let why = limit.check(Duration::from_secs(61)).unwrap_err();
/// assert_eq!(why.to_string(), "it waited 61s for its endpoint, at most 60s is allowed");
/// # Ok::<(), postrider_core::retry::QueueLimitError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimit {
    millis: u64,
}

/// A delivery has waited too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overstayed {
    /// How long it waited.
    pub waited: Duration,
    /// How long it may.
    pub max: Duration,
}

/// The limit is not within 1 ms to [`QueueLimit::LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "one number, out of its range")]
pub struct QueueLimitError(pub Duration);

impl QueueLimit {
    /// The longest limit: 30 days.
    pub const LONGEST: Duration = Duration::from_hours(30 * 24);

    /// At most this long, 1 ms to [`LONGEST`](Self::LONGEST); parts of a millisecond are dropped.
    pub fn new(limit: Duration) -> Result<Self, QueueLimitError> {
        if limit < Duration::from_millis(1) || limit > Self::LONGEST {
            return Err(QueueLimitError(limit));
        }
        Ok(Self { millis: limit.as_millis() as u64 })
    }

    /// Whether an attempt may start that has waited so long.
    pub const fn check(self, waited: Duration) -> Result<(), Overstayed> {
        let max = self.get();
        if waited.as_nanos() > max.as_nanos() { Err(Overstayed { waited, max }) } else { Ok(()) }
    }

    /// How long it is.
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.millis)
    }
}

impl fmt::Display for Overstayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it waited {:?} for its endpoint, at most {:?} is allowed", self.waited, self.max)
    }
}

impl fmt::Display for QueueLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit of {:?} on waiting for the endpoint is not within 1 ms to 30 days", self.0)
    }
}

impl core::error::Error for QueueLimitError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let short = Duration::from_micros(999);
        assert_eq!(QueueLimit::new(short), Err(QueueLimitError(short)));
        assert!(QueueLimit::new(QueueLimit::LONGEST + Duration::from_nanos(1)).is_err());
        assert!(QueueLimit::new(QueueLimit::LONGEST).is_ok());
        let text = QueueLimitError(Duration::ZERO).to_string();
        assert_eq!(text, "the limit of 0ns on waiting for the endpoint is not within 1 ms to 30 days");
        assert_eq!(size_of::<QueueLimit>(), 8);
    }

    proptest! {
        #[test]
        fn it_is_over_when_more_has_passed(millis in 1..2_592_000_000_u64, waited: Duration) {
            let max = Duration::from_millis(millis);
            let limit = QueueLimit::new(max).unwrap();
            prop_assert_eq!(limit.get(), max);
            prop_assert_eq!(limit.check(max), Ok(()));
            let over = (waited > max).then_some(Overstayed { waited, max });
            prop_assert_eq!(limit.check(waited).err(), over);
        }
    }
}
