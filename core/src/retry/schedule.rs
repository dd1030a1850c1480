//! How long to wait before each attempt.

use crate::limits::{SCHEDULE_DELAY, SCHEDULE_STEPS};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// The default: the example of the Standard Webhooks specification, 75 h 35 min in all.
const DEFAULT: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// The delays before the first, second, third... attempt of a delivery, each counted from the end of the attempt
/// before it (the first from when the delivery was owed). There are as many attempts as delays.
///
/// A schedule *is* its delays, however they were written: as a list ([`new`](Self::new)), as an exponential one
/// ([`exponential`](Self::exponential)), or as a single attempt ([`once`](Self::once)). Any of them may be cut to a number
/// of attempts ([`with_attempts`](Self::with_attempts)), and bounded by the age that a delivery may reach
/// ([`with_max_age`](Self::with_max_age)). Two schedules that do the same are equal.
///
/// The default is 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. It takes 16 bytes for each delay, and a clone
/// shares them. Whoever writes one down writes [`delays`](Self::delays) and [`max_age`](Self::max_age).
///
/// ```
/// use core::time::Duration;
/// use postrider_core::retry::{Exponential, Factor, Schedule};
///
/// let secs = Duration::from_secs;
/// let doubling = Exponential { base: secs(30), factor: Factor::DOUBLE, cap: secs(7200), attempts: 11 };
/// let schedule = Schedule::exponential(doubling)?;
/// assert_eq!(schedule.delays()[..4], [secs(0), secs(30), secs(60), secs(120)]);
/// assert_eq!((schedule.delay(10), schedule.delay(11)), (Some(secs(7200)), None));
///
/// let schedule = schedule.with_max_age(secs(3600))?;
/// assert_eq!(schedule.after(6, secs(1000)), Ok(secs(960)));
/// assert!(schedule.after(6, secs(3000)).is_err(), "it would be older than an hour");
/// # Ok::<(), postrider_core::retry::ScheduleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    delays: Arc<[Duration]>,
    max_age: Option<Duration>,
}

/// An exponential schedule: the first attempt at once, the second `base` after the first has failed, and each further
/// delay `factor` times the one before it, but at most `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the four numbers that make such a schedule")]
pub struct Exponential {
    /// The delay before the second attempt; above zero.
    pub base: Duration,
    /// What each delay is multiplied by to give the next.
    pub factor: Factor,
    /// No delay is longer. At least `base`, at most [`SCHEDULE_DELAY`].
    pub cap: Duration,
    /// How many attempts there are, the first included: 1 to [`SCHEDULE_STEPS`].
    pub attempts: u16,
}

/// A ratio of at least 1, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    numerator: u32,
    denominator: u32,
}

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exhausted {
    /// The schedule has no more.
    Attempts {
        /// How many there were.
        made: u16,
    },
    /// The delivery would be too old when the next was due.
    Age {
        /// How old it would be.
        age: Duration,
        /// How old it may be.
        max: Duration,
    },
}

/// Why a schedule was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleError {
    /// It has no delays, so nothing would ever be sent.
    Empty,
    /// It has more delays than allowed.
    TooMany {
        /// How many it may have.
        max: usize,
    },
    /// A delay is longer than allowed.
    TooLong {
        /// Before which attempt, counted from 1.
        attempt: u16,
        /// The delay.
        delay: Duration,
        /// How long it may be.
        max: Duration,
    },
    /// An exponential schedule starts at zero, and would never leave it.
    ZeroBase,
    /// A factor is below 1, or a division by zero.
    Shrinking {
        /// Above the line.
        numerator: u32,
        /// Below the line.
        denominator: u32,
    },
    /// An exponential schedule may not even reach its first delay.
    CapBelowBase {
        /// The cap.
        cap: Duration,
        /// The base.
        base: Duration,
    },
    /// The cap of an exponential schedule is longer than a delay may be.
    CapTooLong {
        /// The cap.
        cap: Duration,
        /// How long it may be.
        max: Duration,
    },
    /// The largest age does not even allow the first attempt.
    AgeBelowFirst {
        /// The age.
        age: Duration,
        /// The delay before the first attempt.
        first: Duration,
    },
    /// The largest age is beyond any schedule, so that it bounds nothing.
    AgeTooLong {
        /// The age.
        age: Duration,
        /// How long it may be.
        max: Duration,
    },
}

impl Schedule {
    /// The longest age that [`with_max_age`](Self::with_max_age) takes: [`SCHEDULE_STEPS`] times [`SCHEDULE_DELAY`].
    pub const LONGEST: Duration = Duration::from_secs(SCHEDULE_DELAY.as_secs() * SCHEDULE_STEPS as u64);

    /// A schedule of these delays: 1 to [`SCHEDULE_STEPS`], each at most [`SCHEDULE_DELAY`]. No more than one beyond
    /// the largest number is read.
    pub fn new(delays: impl IntoIterator<Item = Duration>) -> Result<Self, ScheduleError> {
        let delays: Vec<_> = delays.into_iter().take(SCHEDULE_STEPS + 1).collect();
        if delays.is_empty() {
            return Err(ScheduleError::Empty);
        }
        if delays.len() > SCHEDULE_STEPS {
            return Err(ScheduleError::TooMany { max: SCHEDULE_STEPS });
        }
        match (1..).zip(&delays).find(|(_, delay)| **delay > SCHEDULE_DELAY) {
            Some((attempt, delay)) => Err(ScheduleError::TooLong { attempt, delay: *delay, max: SCHEDULE_DELAY }),
            None => Ok(Self { delays: delays.into(), max_age: None }),
        }
    }

    /// A schedule that grows by a factor. Each product is rounded down to a nanosecond, the same on every platform.
    pub fn exponential(of: Exponential) -> Result<Self, ScheduleError> {
        let Exponential { base, factor, cap, attempts } = of;
        if base.is_zero() {
            return Err(ScheduleError::ZeroBase);
        }
        if cap < base {
            return Err(ScheduleError::CapBelowBase { cap, base });
        }
        if cap > SCHEDULE_DELAY {
            return Err(ScheduleError::CapTooLong { cap, max: SCHEDULE_DELAY });
        }
        let growing = core::iter::successors(Some(base), |delay| Some(factor.times(*delay).min(cap)));
        Self::new(core::iter::once(Duration::ZERO).chain(growing).take(usize::from(attempts)))
    }

    /// One attempt at once, and no retry.
    pub fn once() -> Self {
        Self { delays: Arc::new([Duration::ZERO]), max_age: None }
    }

    /// The same, but with at most this many attempts. Refused is 0, and more than [`SCHEDULE_STEPS`]; a number above
    /// that of the delays changes nothing.
    pub fn with_attempts(self, max: u16) -> Result<Self, ScheduleError> {
        match usize::from(max) {
            0 => Err(ScheduleError::Empty),
            max if max > SCHEDULE_STEPS => Err(ScheduleError::TooMany { max: SCHEDULE_STEPS }),
            max if max >= self.delays.len() => Ok(self),
            max => Ok(Self { delays: self.delays[..max].into(), ..self }),
        }
    }

    /// The same, but no attempt is made of a delivery that was owed longer ago than this. At least the first delay, so
    /// that there is an attempt at all, and at most [`LONGEST`](Self::LONGEST).
    ///
    /// Unlike a number of attempts it also ends deliveries that were held back: by a pause, a breaker or a hint of the
    /// receiver.
    pub fn with_max_age(self, age: Duration) -> Result<Self, ScheduleError> {
        let first = self.delays[0];
        if age < first || age.is_zero() {
            return Err(ScheduleError::AgeBelowFirst { age, first });
        }
        if age > Self::LONGEST {
            return Err(ScheduleError::AgeTooLong { age, max: Self::LONGEST });
        }
        Ok(Self { max_age: Some(age), ..self })
    }

    /// How many attempts it allows, their age aside.
    pub fn attempts(&self) -> u16 {
        u16::try_from(self.delays.len()).expect("a schedule has at most SCHEDULE_STEPS delays")
    }

    /// How old a delivery may be when an attempt starts, where that is bounded.
    pub const fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// The delay, without jitter, after attempt number `failed` has failed; 0 asks for the one before the first
    /// attempt. `None` when there is no further attempt. Age is not looked at; see [`after`](Self::after).
    pub fn delay(&self, failed: u16) -> Option<Duration> {
        self.delays.get(usize::from(failed)).copied()
    }

    /// The delay, without jitter, after attempt number `failed` has failed, of a delivery that was then owed for `age`;
    /// or why there is no further attempt.
    pub fn after(&self, failed: u16, age: Duration) -> Result<Duration, Exhausted> {
        let delay = self.delay(failed).ok_or(Exhausted::Attempts { made: failed })?;
        self.check_age(age.saturating_add(delay)).map(|()| delay)
    }

    /// Whether an attempt may start of a delivery of this age. To be asked when it starts, too: it may have waited for
    /// its endpoint.
    pub fn check_age(&self, age: Duration) -> Result<(), Exhausted> {
        match self.max_age {
            Some(max) if age > max => Err(Exhausted::Age { age, max }),
            Some(_) | None => Ok(()),
        }
    }

    /// All delays, without jitter.
    pub fn delays(&self) -> &[Duration] {
        &self.delays
    }

    /// How old a delivery is when its last attempt starts, if all fail at once, the receiver asks for nothing, and
    /// without jitter (which adds up to a fifth, within the largest age).
    pub fn span(&self) -> Duration {
        let ages = self.delays.iter().scan(Duration::ZERO, |age, delay| {
            *age += *delay;
            Some(*age)
        });
        ages.take_while(|age| self.check_age(*age).is_ok()).last().expect("the first delay is within the largest age")
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self { delays: Arc::new(DEFAULT), max_age: None }
    }
}

impl Factor {
    /// Each delay twice the one before.
    pub const DOUBLE: Self = Self { numerator: 2, denominator: 1 };

    /// `numerator / denominator`; at least 1.
    pub const fn new(numerator: u32, denominator: u32) -> Result<Self, ScheduleError> {
        if denominator == 0 || numerator < denominator {
            return Err(ScheduleError::Shrinking { numerator, denominator });
        }
        Ok(Self { numerator, denominator })
    }

    /// `delay` times this, rounded down to a nanosecond.
    fn times(self, delay: Duration) -> Duration {
        // Below 2^94 times below 2^32: no overflow.
        let nanos = delay.as_nanos() * u128::from(self.numerator) / u128::from(self.denominator);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempts { made } => write!(f, "all {made} attempts of the schedule were made"),
            Self::Age { age, max } => {
                write!(f, "at the next attempt it would be {age:?} old, and attempts end at {max:?}")
            }
        }
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => {
                f.write_str("the schedule has no delays; one is needed for each attempt, the first included")
            }
            Self::TooMany { max } => write!(f, "the schedule has more than {max} delays"),
            Self::TooLong { attempt, delay, max } => {
                write!(f, "the delay before attempt {attempt} is {delay:?}, at most {max:?} is allowed")
            }
            Self::ZeroBase => f.write_str("the base of the exponential schedule is zero; it must be longer to grow"),
            Self::Shrinking { numerator, denominator } => {
                write!(f, "the factor {numerator}/{denominator} of the exponential schedule is not at least 1")
            }
            Self::CapBelowBase { cap, base } => {
                write!(f, "the cap of the exponential schedule is {cap:?}, and must be at least its base of {base:?}")
            }
            Self::CapTooLong { cap, max } => {
                write!(f, "the cap of the exponential schedule is {cap:?}, at most {max:?} is allowed")
            }
            Self::AgeBelowFirst { age, first } => {
                write!(f, "the largest age is {age:?}; it must be above zero and at least the first delay of {first:?}")
            }
            Self::AgeTooLong { age, max } => write!(f, "the largest age is {age:?}, at most {max:?} is allowed"),
        }
    }
}

impl core::error::Error for ScheduleError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    const DOUBLING: Exponential = Exponential { base: secs(30), factor: Factor::DOUBLE, cap: secs(7200), attempts: 11 };

    #[test]
    fn the_default_is_the_one_agreed() {
        let schedule = Schedule::default();
        let delays = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        assert_eq!(schedule.delays(), delays.map(Duration::from_secs));
        assert_eq!(schedule.attempts(), 10);
        assert_eq!(schedule.delay(1), Some(secs(5)), "after the first attempt failed");
        assert_eq!(schedule.delay(9), Some(secs(86_400)));
        assert_eq!(schedule.delay(10), None);
        assert_eq!(schedule.span(), Duration::from_mins(75 * 60 + 35) + secs(5));
        assert_eq!(Schedule::new(DEFAULT), Ok(schedule));
    }

    #[test]
    fn a_schedule_is_bounded() {
        assert_eq!(Schedule::new([]), Err(ScheduleError::Empty));
        let longest = Schedule::new([SCHEDULE_DELAY; SCHEDULE_STEPS]).unwrap();
        assert_eq!(longest.span(), Schedule::LONGEST);
        let endless = core::iter::repeat(Duration::ZERO);
        assert_eq!(Schedule::new(endless), Err(ScheduleError::TooMany { max: SCHEDULE_STEPS }));
        let long = SCHEDULE_DELAY + Duration::from_nanos(1);
        let error = Schedule::new([Duration::ZERO, long]).unwrap_err();
        assert_eq!(error, ScheduleError::TooLong { attempt: 2, delay: long, max: SCHEDULE_DELAY });
        assert!(error.to_string().starts_with("the delay before attempt 2 is 2592000.000000001s, at most 2592000s"));
    }

    #[test]
    fn an_exponential_schedule_grows_to_its_cap() {
        let schedule = Schedule::exponential(DOUBLING).unwrap();
        assert_eq!(schedule, Schedule::new([0, 30, 60, 120, 240, 480, 960, 1920, 3840, 7200, 7200].map(secs)).unwrap());
        let linear = Exponential { factor: Factor::new(7, 7).unwrap(), attempts: 3, ..DOUBLING };
        assert_eq!(Schedule::exponential(linear).unwrap().delays(), [0, 30, 30].map(secs));
        let half = Exponential { base: Duration::from_nanos(3), factor: Factor::new(3, 2).unwrap(), ..DOUBLING };
        let delays = Schedule::exponential(half).unwrap();
        assert!(delays.delays().iter().map(Duration::as_nanos).eq([0, 3, 4, 6, 9, 13, 19, 28, 42, 63, 94]));
        let steep = Exponential { factor: Factor::new(u32::MAX, 1).unwrap(), cap: SCHEDULE_DELAY, ..DOUBLING };
        assert_eq!(Schedule::exponential(steep).unwrap().delay(2), Some(SCHEDULE_DELAY));
        let single = Exponential { attempts: 1, ..DOUBLING };
        assert_eq!(Schedule::exponential(single), Ok(Schedule::once()));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let of = |change: fn(&mut Exponential)| {
            let mut of = DOUBLING;
            change(&mut of);
            Schedule::exponential(of).unwrap_err().to_string()
        };
        assert!(of(|of| of.base = Duration::ZERO).starts_with("the base of the exponential schedule is zero"));
        assert!(of(|of| of.cap = secs(29)).ends_with("is 29s, and must be at least its base of 30s"));
        assert!(of(|of| of.cap = secs(2_592_001)).ends_with("is 2592001s, at most 2592000s is allowed"));
        assert_eq!(of(|of| of.attempts = 0), ScheduleError::Empty.to_string());
        assert_eq!(of(|of| of.attempts = 65), "the schedule has more than 64 delays");
        for (numerator, denominator) in [(1, 2), (0, 0), (1, 0), (0, 1)] {
            assert_eq!(Factor::new(numerator, denominator), Err(ScheduleError::Shrinking { numerator, denominator }));
        }
        let default = Schedule::default;
        assert_eq!(default().with_attempts(0), Err(ScheduleError::Empty));
        assert_eq!(default().with_attempts(65), Err(ScheduleError::TooMany { max: 64 }));
        let age = Duration::ZERO;
        assert_eq!(default().with_max_age(age), Err(ScheduleError::AgeBelowFirst { age, first: age }));
        let late = Schedule::new([secs(60)]).unwrap();
        assert!(
            late.clone().with_max_age(secs(59)).unwrap_err().to_string().ends_with("at least the first delay of 60s")
        );
        assert_eq!(late.with_max_age(secs(60)).unwrap().span(), secs(60));
        let age = Schedule::LONGEST + secs(1);
        assert_eq!(default().with_max_age(age), Err(ScheduleError::AgeTooLong { age, max: Schedule::LONGEST }));
    }

    #[test]
    fn bounds_cut_any_schedule() {
        let schedule = Schedule::default().with_attempts(3).unwrap();
        assert_eq!(schedule.delays(), [0, 5, 300].map(secs));
        assert_eq!(schedule.clone().with_attempts(64), Ok(schedule.clone()));
        let schedule = schedule.with_max_age(secs(304)).unwrap();
        assert_eq!((schedule.attempts(), schedule.span()), (3, secs(5)), "the third would be 305 s old");
        assert_eq!(schedule.after(2, secs(4)), Ok(secs(300)));
        let error = schedule.after(2, secs(5)).unwrap_err();
        assert_eq!(error, Exhausted::Age { age: secs(305), max: secs(304) });
        assert_eq!(error.to_string(), "at the next attempt it would be 305s old, and attempts end at 304s");
        assert_eq!(schedule.after(3, Duration::ZERO), Err(Exhausted::Attempts { made: 3 }));
        assert!(schedule.after(1, Duration::MAX).is_err());
        assert!(
            schedule.check_age(secs(304)).is_ok() && schedule.check_age(secs(304) + Duration::from_nanos(1)).is_err()
        );
        assert_eq!(schedule.max_age(), Some(secs(304)));
    }

    proptest! {
        #[test]
        fn an_exponential_schedule_never_shrinks_and_stays_within_its_bounds(
            base in 1..=SCHEDULE_DELAY.as_nanos() as u64,
            longer in 0..=SCHEDULE_DELAY.as_nanos() as u64,
            numerator: u32,
            denominator in 1..=u32::MAX,
            attempts in 1..=SCHEDULE_STEPS as u16,
        ) {
            let (base, cap) = (Duration::from_nanos(base), Duration::from_nanos(base.saturating_add(longer)).min(SCHEDULE_DELAY));
            let (numerator, denominator) = (numerator.max(denominator), numerator.clamp(1, denominator));
            let factor = Factor::new(numerator, denominator).unwrap();
            let schedule = Schedule::exponential(Exponential { base, factor, cap, attempts }).unwrap();
            prop_assert_eq!(schedule.attempts(), attempts);
            prop_assert_eq!(schedule.delay(0), Some(Duration::ZERO));
            for pair in schedule.delays()[1..].windows(2) {
                let exact = pair[0].as_nanos() * u128::from(numerator) / u128::from(denominator);
                prop_assert_eq!(pair[1].as_nanos(), exact.min(cap.as_nanos()));
                prop_assert!(pair[1] >= pair[0]);
            }
        }

        #[test]
        fn the_span_is_the_age_at_the_last_attempt(
            delays in prop::collection::vec(0..1000_u64, 1..20),
            max in prop::option::of(1..8000_u64),
        ) {
            let schedule = Schedule::new(delays.iter().copied().map(secs)).unwrap();
            let schedule = match max {
                Some(max) => schedule.with_max_age(secs(max.max(delays[0]))).unwrap(),
                None => schedule,
            };
            let (mut age, mut made) = (Duration::ZERO, 0);
            while let Ok(delay) = schedule.after(made, age) {
                age += delay;
                made += 1;
            }
            prop_assert_eq!(schedule.span(), age);
            prop_assert!(made >= 1 && made <= schedule.attempts());
        }
    }
}
