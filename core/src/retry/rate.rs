//! How many attempts an endpoint may be given in how much time.

use crate::time::Instant;
use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

/// A rate: so many attempts a second, minute or hour, and how many of them may come at once. 16 bytes.
///
/// ```
/// use postrider_core::retry::Rate;
///
/// let rate = Rate::per_minute(100)?.with_burst(10)?;
/// assert_eq!(rate.to_string(), "100 per minute, 10 at once");
/// # Ok::<(), postrider_core::retry::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    burst: NonZeroU32,
    per: Per,
}

/// What a rate counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever writes a rate down must know each")]
pub enum Per {
    /// A second.
    Second,
    /// A minute, as the rates of CloudEvents webhooks (`WebHook-Allowed-Rate`).
    Minute,
    /// An hour.
    Hour,
}

/// Why a rate was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateError {
    /// The number of attempts is out of range.
    Count(u32),
    /// The number of those at once is out of range.
    Burst(u32),
}

/// What keeps an endpoint's attempts to its [`Rate`]: the generic cell rate algorithm (ITU-T I.371), exact. 32 bytes.
///
/// Between any two times no more attempts are taken than the rate times what lies between them, plus the burst. It keeps
/// one number, the time at which its debt is paid, in parts of a nanosecond so small that an attempt costs a whole number
/// of them: nothing is rounded, so nothing drifts, however long it runs. A clock that goes back is given nothing for time
/// that it passes again.
///
/// With a burst of one, whoever asks late has lost that time: attempts keep their distance. Where a full rate matters
/// the burst should cover how late one may ask; a timer of a millisecond and 1,000 a second need 2.
///
/// A new endpoint starts with a [`full`](Self::full) burst. After a restart it starts [`empty`](Self::empty), since
/// the process that died may have used all of it a moment before.
///
/// ```
/// use postrider_core::retry::{Gcra, Rate, Pace};
/// use postrider_core::time::Instant;
///
/// let at = Instant::from_millis;
/// let mut pace = Gcra::full(Rate::per_second(10)?.with_burst(2)?);
/// assert_eq!(pace.take(at(0)), Pace::Ready);
/// assert_eq!(pace.take(at(0)), Pace::Ready);
/// assert_eq!(pace.take(at(0)), Pace::At(at(100)));
/// assert_eq!(pace.take(at(99)), Pace::At(at(100)), "asking costs nothing");
/// assert_eq!(pace.take(at(100)), Pace::Ready);
/// # Ok::<(), postrider_core::retry::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    /// When the debt is paid, in nanoseconds times the rate's count.
    paid: u128,
    rate: Rate,
}

/// Whether something may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "now or later")]
pub enum Pace {
    /// Now.
    Ready,
    /// Not before this time, which lies ahead; [`Instant::LAST`] stands for beyond the end of the clock, too.
    At(Instant),
}

impl Rate {
    /// The largest number of attempts, in a unit of time and at once.
    pub const MOST: u32 = 1_000_000;

    /// So many a second, one at once. 1 to [`MOST`](Self::MOST).
    pub const fn per_second(count: u32) -> Result<Self, RateError> {
        Self::new(count, Per::Second)
    }

    /// So many a minute, one at once.
    pub const fn per_minute(count: u32) -> Result<Self, RateError> {
        Self::new(count, Per::Minute)
    }

    /// So many an hour, one at once.
    pub const fn per_hour(count: u32) -> Result<Self, RateError> {
        Self::new(count, Per::Hour)
    }

    /// So many in this unit of time, one at once: evenly spaced.
    pub const fn new(count: u32, per: Per) -> Result<Self, RateError> {
        match NonZeroU32::new(count) {
            Some(count) if count.get() <= Self::MOST => Ok(Self { count, burst: NonZeroU32::MIN, per }),
            Some(_) | None => Err(RateError::Count(count)),
        }
    }

    /// Sets how many may come at once, after a rest long enough for them: 1 to [`MOST`](Self::MOST).
    pub const fn with_burst(self, burst: u32) -> Result<Self, RateError> {
        match NonZeroU32::new(burst) {
            Some(burst) if burst.get() <= Self::MOST => Ok(Self { burst, ..self }),
            Some(_) | None => Err(RateError::Burst(burst)),
        }
    }

    /// How many in the unit of time.
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    /// How many at once.
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }

    /// The unit of time.
    pub const fn per(self) -> Per {
        self.per
    }

    /// Nanoseconds between two attempts, times the count: what an attempt costs.
    const fn cost(self) -> u128 {
        self.per.length().as_nanos()
    }

    /// The whole burst. Below 2^42 times 2^20.
    const fn whole(self) -> u128 {
        self.cost() * self.burst.get() as u128
    }

    /// A time, in the unit of the debt. Below 2^64 times 2^20.
    const fn scaled(self, time: Instant) -> u128 {
        time.as_nanos() as u128 * self.count.get() as u128
    }
}

impl Per {
    /// How long it is.
    pub const fn length(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
        }
    }
}

impl Gcra {
    /// One that may give its whole burst at once: for an endpoint that is new.
    pub const fn full(rate: Rate) -> Self {
        Self { paid: 0, rate }
    }

    /// One that gives nothing before the time that one attempt takes: for an endpoint that was restored.
    pub const fn empty(rate: Rate, now: Instant) -> Self {
        Self { paid: rate.scaled(now) + rate.whole(), rate }
    }

    /// Takes an attempt, if it may start now; otherwise nothing changes.
    pub fn take(&mut self, now: Instant) -> Pace {
        let pace = self.next(now);
        match pace {
            Pace::Ready => self.paid = self.paid.max(self.rate.scaled(now)) + self.rate.cost(),
            Pace::At(_) => {}
        }
        pace
    }

    /// Gives back an attempt that was taken and not made. Never more than was taken: it makes no more than the burst.
    pub const fn give_back(&mut self) {
        self.paid = self.paid.saturating_sub(self.rate.cost());
    }

    /// Changes the rate. What is available at once stays as it is, but is at most the new burst: a change gives nobody an
    /// attempt that was not there before, and takes none beyond that. The rest comes at the new rate.
    pub fn set_rate(&mut self, now: Instant, rate: Rate) {
        let debt = self.paid.saturating_sub(self.rate.scaled(now));
        // What is left of the old burst, in old costs; negative is not possible but for a clock that went back.
        let available = self.rate.whole().saturating_sub(debt);
        // Below 2^62 times 2^42: no overflow. Rounded down, for the endpoint.
        let available = (available * rate.cost() / self.rate.cost()).min(rate.whole());
        *self = Self { paid: rate.scaled(now) + rate.whole() - available, rate };
    }

    /// When an attempt may be taken; nothing changes.
    pub fn next(&self, now: Instant) -> Pace {
        let earliest = (self.paid + self.rate.cost()).saturating_sub(self.rate.whole());
        if earliest <= self.rate.scaled(now) {
            return Pace::Ready;
        }
        let nanos = earliest.div_ceil(u128::from(self.rate.count()));
        Pace::At(Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// How many attempts may be taken at once, now.
    pub fn available(&self, now: Instant) -> u32 {
        let debt = self.paid.saturating_sub(self.rate.scaled(now));
        let whole = self.rate.whole().saturating_sub(debt) / self.rate.cost();
        u32::try_from(whole).expect("at most the burst")
    }

    /// Its rate.
    pub const fn rate(&self) -> Rate {
        self.rate
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}, {} at once", self.count, self.per, self.burst)
    }
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = Rate::MOST;
        match self {
            Self::Count(count) => write!(f, "the rate of {count} attempts is not within 1 to {most}"),
            Self::Burst(burst) => write!(f, "the burst of {burst} attempts is not within 1 to {most}"),
        }
    }
}

impl core::error::Error for RateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn rate() -> impl Strategy<Value = Rate> {
        let per = prop_oneof![Just(Per::Second), Just(Per::Minute), Just(Per::Hour)];
        let number = || prop_oneof![1..20_u32, 1..=Rate::MOST];
        (number(), number(), per)
            .prop_map(|(count, burst, per)| Rate::new(count, per).unwrap().with_burst(burst).unwrap())
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Rate>() <= 16 && size_of::<Gcra>() <= 32, "{}", size_of::<Gcra>());
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        assert_eq!(Rate::per_second(0).unwrap_err().to_string(), "the rate of 0 attempts is not within 1 to 1000000");
        assert_eq!(Rate::per_hour(1_000_001), Err(RateError::Count(1_000_001)));
        let rate = Rate::per_minute(7).unwrap();
        assert_eq!(rate.with_burst(0).unwrap_err().to_string(), "the burst of 0 attempts is not within 1 to 1000000");
        assert_eq!(rate.with_burst(1_000_001), Err(RateError::Burst(1_000_001)));
        assert_eq!((rate.count(), rate.per(), rate.burst()), (7, Per::Minute, 1));
        assert_eq!(rate.to_string(), "7 per minute, 1 at once");
    }

    #[test]
    fn it_does_not_drift() {
        // A seventh of a second is no whole number of nanoseconds, so that each attempt starts a part of one late.
        let mut pace = Gcra::full(Rate::per_second(7).unwrap().with_burst(2).unwrap());
        let mut now = Instant::ORIGIN;
        for _ in 0..700_001 {
            assert_eq!(pace.take(now), Pace::Ready);
            match pace.next(now) {
                Pace::Ready => {}
                Pace::At(next) => now = next,
            }
        }
        assert_eq!(now, Instant::from_millis(100_000_000), "700,000 attempts take 100,000 s, to the nanosecond");
    }

    #[test]
    fn after_a_restart_it_is_empty() {
        let (rate, now) = (Rate::per_second(10).unwrap().with_burst(50).unwrap(), Instant::from_millis(777));
        let mut pace = Gcra::empty(rate, now);
        assert_eq!((pace.available(now), pace.take(now)), (0, Pace::At(Instant::from_millis(877))));
        assert_eq!(pace.available(Instant::from_millis(877)), 1);
        assert_eq!(pace.available(Instant::from_millis(1_000_000)), 50);
        assert_eq!(Gcra::full(rate).available(now), 50);
    }

    #[test]
    fn what_was_not_made_is_given_back() {
        let mut pace = Gcra::full(Rate::per_hour(1).unwrap());
        assert_eq!(pace.take(Instant::ORIGIN), Pace::Ready);
        assert_ne!(pace.next(Instant::ORIGIN), Pace::Ready);
        pace.give_back();
        assert_eq!(pace, Gcra::full(pace.rate()));
        pace.give_back();
        assert_eq!(pace.available(Instant::ORIGIN), 1);
    }

    #[test]
    fn a_change_gives_nothing_at_once_that_was_not_there() {
        let (now, at) = (Instant::from_millis(5000), Instant::from_millis);
        let (ten, hundred) = (Rate::per_second(10).unwrap(), Rate::per_second(100).unwrap());
        let mut used = Gcra::full(ten.with_burst(4).unwrap());
        (0..4).for_each(|_| assert_eq!(used.take(now), Pace::Ready));
        let mut faster = used;
        faster.set_rate(now, hundred.with_burst(1000).unwrap());
        assert_eq!(
            (faster.available(now), faster.next(now)),
            (0, Pace::At(at(5010))),
            "the new rate, and no new burst"
        );
        let mut slower = used;
        slower.set_rate(now, Rate::per_hour(1).unwrap());
        assert_eq!(slower.next(now), Pace::At(at(5000 + 3_600_000)), "one hour, not four");
        let mut rested = Gcra::full(ten.with_burst(4).unwrap());
        rested.set_rate(now, hundred.with_burst(1000).unwrap());
        assert_eq!(rested.available(now), 4);
        rested.set_rate(now, ten);
        assert_eq!(rested.available(now), 1);
        let before = used;
        used.set_rate(now, used.rate());
        assert_eq!(used, before, "the same rate changes nothing");
    }

    #[test]
    fn the_ends_of_the_clock_do_no_harm() {
        let rate = Rate::per_hour(1).unwrap().with_burst(Rate::MOST).unwrap();
        let mut pace = Gcra::empty(rate, Instant::LAST);
        assert_eq!(pace.take(Instant::LAST), Pace::At(Instant::LAST));
        let mut pace = Gcra::full(Rate::per_second(Rate::MOST).unwrap());
        assert_eq!(pace.take(Instant::LAST), Pace::Ready);
        assert_eq!(pace.take(Instant::LAST), Pace::At(Instant::LAST), "never, since that lies beyond");
        assert_ne!(pace.take(Instant::ORIGIN), Pace::Ready);
        pace.set_rate(Instant::LAST, rate);
        pace.set_rate(Instant::ORIGIN, Rate::per_second(Rate::MOST).unwrap());
        assert_ne!(pace.take(Instant::ORIGIN), Pace::Ready);
    }

    proptest! {
        /// Between any two times that it was asked at: at most rate x t + burst, whatever the clock does.
        #[test]
        fn it_is_never_above_the_rate(
            rate in rate(),
            start: u64,
            empty: bool,
            steps in prop::collection::vec((-50_000..200_000_i64, 1..6_u8), 1..120),
        ) {
            let mut pace = match empty {
                true => Gcra::empty(rate, Instant::from_nanos(start)),
                false => Gcra::full(rate),
            };
            // Steps are thousandths of what an attempt takes.
            let (cost, mut now) = (rate.cost() as i128, i128::from(start));
            // Time that has been taken from does not count twice.
            let (mut latest, mut taken) = (if empty { start } else { 0 }, Vec::new());
            for (step, asks) in steps {
                now = (now + i128::from(step) * cost / i128::from(rate.count()) / 1000).clamp(0, i128::from(u64::MAX));
                for _ in 0..asks {
                    if pace.take(Instant::from_nanos(now as u64)) == Pace::Ready {
                        latest = latest.max(now as u64);
                        taken.push(latest);
                    }
                }
            }
            let bound = |nanos: u64| (u128::from(nanos) * u128::from(rate.count()) / rate.cost()) + u128::from(rate.burst());
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    prop_assert!((last - first + 1) as u128 <= bound(to - from));
                }
                if empty {
                    let most = u128::from(from - start) * u128::from(rate.count()) / rate.cost();
                    prop_assert!((first + 1) as u128 <= most, "no burst after a restart");
                }
            }
        }

        /// The same, told as a bucket of which each nanosecond fills a part.
        #[test]
        fn it_is_a_bucket(
            rate in rate(),
            steps in prop::collection::vec((0..3000_u64, 1..4_u8), 1..100),
        ) {
            let (cost, whole) = (rate.cost(), rate.whole());
            let (mut pace, mut bucket, mut now) = (Gcra::full(rate), whole, 0_u64);
            for (step, asks) in steps {
                let passed = (u128::from(step) * cost / u128::from(rate.count()) / 1000) as u64;
                now += passed;
                bucket = whole.min(bucket + u128::from(passed) * u128::from(rate.count()));
                for _ in 0..asks {
                    let at = Instant::from_nanos(now);
                    prop_assert_eq!(u128::from(pace.available(at)), bucket / cost);
                    match pace.take(at) {
                        Pace::Ready => bucket = bucket.checked_sub(cost).expect("it has one"),
                        Pace::At(then) => {
                            let missing = (cost - bucket).div_ceil(u128::from(rate.count()));
                            prop_assert_eq!(u128::from(then.as_nanos() - now), missing);
                        }
                    }
                }
            }
        }

        /// What is available never grows by a change, and lies within the new burst.
        #[test]
        fn a_change_of_rate_is_no_gift(
            (from, to) in (rate(), rate()),
            now: u64,
            taken in 0..40_u32,
            passed in 0..10_000_000_000_u64,
        ) {
            let mut pace = Gcra::full(from);
            for _ in 0..taken {
                let _ = pace.take(Instant::from_nanos(now));
            }
            let then = Instant::from_nanos(now.saturating_add(passed));
            let before = pace.available(then);
            pace.set_rate(then, to);
            let after = pace.available(then);
            prop_assert_eq!(after, before.min(to.burst()));
            pace.set_rate(then, from);
            prop_assert!(pace.available(then) <= before);
        }
    }
}
