//! When an endpoint has failed for so long that it is disabled.

use crate::limits;
use crate::time::{Instant, Now, UnixTime};
use core::fmt;
use core::time::Duration;

/// When an endpoint that keeps failing is disabled: at a failed attempt, when the first failure since the last success is
/// at least so old, and at least so many attempts have failed since. Never by time alone.
///
/// The default is 120 h and 5 attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisableRule {
    age: Duration,
    failures: u32,
}

/// Why a rule was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisableRuleError {
    /// The age is out of range.
    Age(Duration),
    /// It asks for no failure, or for too many.
    Failures(u32),
}

/// The failures of one endpoint since its last success. 24 bytes.
///
/// What counts as a failure is what counts for a [`Breaker`](super::Breaker).
///
/// How old the first of them is, is measured by the monotonic clock while a process runs, and by the wall clock across
/// restarts. It is written down as [`first_failed`](Self::first_failed) and [`failures`](Self::failures), and can be
/// folded from the attempts: the time of the first failure after the last success, and the number of failures.
///
/// ```
/// use core::time::Duration;
/// use postrider_core::retry::{DisableRule, Streak};
/// use postrider_core::time::Instant;
///
/// let (rule, mut streak) = (DisableRule::default(), Streak::new());
/// let hour = |hours: u64| Instant::from_millis(hours * 3_600_000);
/// for hours in [0, 10, 100, 119] {
///     assert_eq!(streak.record_failure(&rule, hour(hours)), None);
/// }
/// let reason = streak.record_failure(&rule, hour(121)).expect("old enough, and the fifth");
/// assert_eq!(reason.to_string(), "all 5 attempts of the last 121 h failed; it is disabled after 5 in 120 h");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// How old the first failure was at `since`, in nanoseconds; a first failure may lie before the clock's origin.
    before: u64,
    since: Instant,
    failures: u32,
}

/// Why an endpoint is to be disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedTooLong {
    /// How many attempts have failed since the last success.
    pub failures: u32,
    /// How long ago the first of them did.
    pub age: Duration,
    /// The rule.
    pub rule: DisableRule,
}

impl DisableRule {
    /// The default, for an associated constant.
    pub const DEFAULT: Self = Self { age: limits::DISABLE_AFTER, failures: limits::DISABLE_FAILURES };

    /// After this age, 1 min to 365 days, and this many failures, 1 to 1,000,000.
    pub fn new(age: Duration, failures: u32) -> Result<Self, DisableRuleError> {
        if age < Duration::from_mins(1) || age > Duration::from_hours(365 * 24) {
            return Err(DisableRuleError::Age(age));
        }
        if !(1..=1_000_000).contains(&failures) {
            return Err(DisableRuleError::Failures(failures));
        }
        Ok(Self { age, failures })
    }

    /// How old the first failure must be.
    pub const fn age(&self) -> Duration {
        self.age
    }

    /// How many attempts must have failed.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

impl Default for DisableRule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Streak {
    /// No failures.
    pub const fn new() -> Self {
        Self { before: 0, since: Instant::ORIGIN, failures: 0 }
    }

    /// One that was written down: so many failures, the first of them at that time. A time that lies ahead counts as
    /// now.
    pub fn restore(first_failed: UnixTime, failures: u32, now: Now) -> Self {
        let before = u64::try_from(now.wall.saturating_since(first_failed).as_nanos()).unwrap_or(u64::MAX);
        if failures == 0 { Self::new() } else { Self { before, since: now.mono, failures } }
    }

    /// An attempt failed. Says so when the endpoint is now to be disabled; and again with each further failure.
    pub fn record_failure(&mut self, rule: &DisableRule, now: Instant) -> Option<FailedTooLong> {
        if self.failures == 0 {
            *self = Self { before: 0, since: now, failures: 0 };
        }
        self.failures = self.failures.saturating_add(1);
        let age = self.age(now);
        let too_long = self.failures >= rule.failures && age >= rule.age;
        too_long.then_some(FailedTooLong { failures: self.failures, age, rule: *rule })
    }

    /// An attempt succeeded, or somebody resumed the endpoint or gave it another address. Gives how many had failed.
    pub const fn reset(&mut self) -> u32 {
        let failures = self.failures;
        *self = Self::new();
        failures
    }

    /// How many attempts have failed since the last success; counted up to 2^32 - 1.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// How old the first failure is; zero without any.
    pub fn age(&self, now: Instant) -> Duration {
        if self.failures == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.before).saturating_add(now.saturating_since(self.since))
    }

    /// When the first attempt failed, by the wall clock as it is now; `None` without any.
    pub fn first_failed(&self, now: Now) -> Option<UnixTime> {
        (self.failures > 0).then(|| now.wall.saturating_sub(self.age(now.mono)))
    }
}

impl fmt::Display for FailedTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failures, age, rule } = self;
        let (age, needed) = (Whole(*age), Whole(rule.age));
        write!(
            f,
            "all {failures} attempts of the last {age} failed; it is disabled after {} in {needed}",
            rule.failures
        )
    }
}

/// A time in whole hours, or in minutes when it is less than two.
struct Whole(Duration);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() / 60 {
            minutes @ ..120 => write!(f, "{minutes} min"),
            minutes => write!(f, "{} h", minutes / 60),
        }
    }
}

impl fmt::Display for DisableRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(age) => write!(f, "the age of {age:?} to disable at is not within 1 min to 365 days"),
            Self::Failures(failures) => write!(f, "the {failures} failures to disable at are not within 1 to 1000000"),
        }
    }
}

impl core::error::Error for DisableRuleError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const RULE: DisableRule = DisableRule::DEFAULT;

    const fn hours(hours: u64) -> Instant {
        Instant::from_millis(hours * 3_600_000)
    }

    #[test]
    fn it_takes_age_and_failures_together() {
        assert!(size_of::<Streak>() <= 24);
        let mut many = Streak::new();
        assert!((0..1000).all(|_| many.record_failure(&RULE, hours(1)).is_none()), "many, but young");
        assert_eq!(many.record_failure(&RULE, Instant::from_nanos(hours(121).as_nanos() - 1)), None);
        assert!(many.record_failure(&RULE, hours(121)).is_some());
        let mut few = Streak::new();
        assert!((0..4).all(|n| few.record_failure(&RULE, hours(n * 1000)).is_none()), "old, but few");
        let reason = few.record_failure(&RULE, hours(4000)).unwrap();
        assert_eq!((reason.failures, reason.age, reason.rule), (5, Duration::from_hours(4000), RULE));
        assert!(few.record_failure(&RULE, hours(4000)).is_some(), "until somebody acts on it");
    }

    #[test]
    fn a_success_starts_anew() {
        let mut streak = Streak::new();
        assert!((0..4).all(|n| streak.record_failure(&RULE, hours(n)).is_none()));
        assert_eq!(streak.reset(), 4);
        assert_eq!((streak, streak.age(hours(500))), (Streak::new(), Duration::ZERO));
        assert!((0..10).all(|_| streak.record_failure(&RULE, hours(500)).is_none()), "the first of them is young");
        assert_eq!(streak.age(hours(501)), Duration::from_hours(1));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let age = Duration::from_secs(59);
        assert_eq!(DisableRule::new(age, 5), Err(DisableRuleError::Age(age)));
        assert_eq!(
            DisableRule::new(age, 5).unwrap_err().to_string(),
            "the age of 59s to disable at is not within 1 min to 365 days"
        );
        assert!(DisableRule::new(Duration::from_hours(365 * 24) + age, 5).is_err());
        let age = Duration::from_hours(1);
        assert_eq!(DisableRule::new(age, 0), Err(DisableRuleError::Failures(0)));
        assert_eq!(DisableRule::new(age, 1_000_001), Err(DisableRuleError::Failures(1_000_001)));
        let rule = DisableRule::new(age, 1).unwrap();
        assert_eq!((rule.age(), rule.failures()), (age, 1));
        let mut streak = Streak::new();
        assert_eq!(streak.record_failure(&rule, hours(7)), None);
        let reason = streak.record_failure(&rule, hours(8)).unwrap().to_string();
        assert_eq!(reason, "all 2 attempts of the last 60 min failed; it is disabled after 1 in 60 min");
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Wait(u64),
        Failure,
        Success,
        Restart { down: u64 },
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..60_u64).prop_map(Op::Wait),
            6 => Just(Op::Failure),
            1 => Just(Op::Success),
            1 => (0..60_u64).prop_map(|down| Op::Restart { down }),
        ]
    }

    proptest! {
        /// Beside the times of all failures since the last success, on a wall clock that is right.
        #[test]
        fn it_is_what_the_list_of_failures_says(ops in prop::collection::vec(op(), 0..100)) {
            let (mut streak, mut failed) = (Streak::new(), alloc::vec::Vec::new());
            let (mut mono, mut wall) = (0, 1_000_000);
            for op in ops {
                match op {
                    Op::Wait(by) => {
                        mono += by;
                        wall += by;
                    }
                    Op::Failure => {
                        failed.push(wall);
                        let told = streak.record_failure(&RULE, hours(mono));
                        let expected = failed.len() >= 5 && wall - failed[0] >= 120;
                        prop_assert_eq!(told.is_some(), expected);
                    }
                    Op::Success => {
                        prop_assert_eq!(streak.reset() as usize, failed.len());
                        failed.clear();
                    }
                    Op::Restart { down } => {
                        let now = |mono, wall| Now { mono: hours(mono), wall: UnixTime::from_secs(wall * 3600) };
                        let first = streak.first_failed(now(mono, wall));
                        prop_assert_eq!(first, failed.first().map(|hour| UnixTime::from_secs(hour * 3600)));
                        wall += down;
                        mono = 0;
                        streak = Streak::restore(first.unwrap_or_default(), streak.failures(), now(mono, wall));
                    }
                }
                prop_assert_eq!(streak.failures() as usize, failed.len());
            }
        }

        #[test]
        fn no_time_makes_it_panic(mono: u64, wall: u64, first: u64, failures: u32, then: u64) {
            let now = Now { mono: Instant::from_nanos(mono), wall: UnixTime::from_millis(wall) };
            let mut streak = Streak::restore(UnixTime::from_millis(first), failures, now);
            prop_assert_eq!(streak.failures(), failures);
            let age = streak.age(Instant::from_nanos(then));
            let told = streak.record_failure(&RULE, Instant::from_nanos(then));
            prop_assert_eq!(told.is_some(), failures >= 4 && age >= RULE.age());
            prop_assert!(streak.first_failed(now).is_some());
        }
    }
}
