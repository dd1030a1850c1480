//! How long to wait before each attempt.

use crate::id::EndpointKey;
use crate::limits::{SCHEDULE_DELAY, SCHEDULE_STEPS, THROTTLE_CAP};
use crate::seed::Seed;
use crate::time::Instant;
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
/// The default is 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. A clone shares the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Arc<[Duration]>);

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
}

impl Schedule {
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
            None => Ok(Self(delays.into())),
        }
    }

    /// How many attempts it allows.
    pub fn attempts(&self) -> u16 {
        u16::try_from(self.0.len()).expect("a schedule has at most SCHEDULE_STEPS delays")
    }

    /// The delay, without jitter, after attempt number `failed` has failed; 0 asks for the one before the first
    /// attempt. `None` when there is no further attempt.
    pub fn delay(&self, failed: u16) -> Option<Duration> {
        self.0.get(usize::from(failed)).copied()
    }

    /// All delays, without jitter.
    pub fn delays(&self) -> &[Duration] {
        &self.0
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self(Arc::new(DEFAULT))
    }
}

/// A schedule applied to one delivery: every delay with its jitter. It is made where it is needed; nothing is kept.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    schedule: &'a Schedule,
    seed: &'a Seed,
    event: &'a str,
    endpoint: &'a EndpointKey,
}

impl<'a> Plan<'a> {
    /// The plan of the delivery of `event` to `endpoint`.
    pub const fn new(schedule: &'a Schedule, seed: &'a Seed, event: &'a str, endpoint: &'a EndpointKey) -> Self {
        Self { schedule, seed, event, endpoint }
    }

    /// The delay after attempt number `failed` has failed, with jitter; 0 asks for the one before the first attempt.
    /// `None` when there is no further attempt.
    pub fn delay(&self, failed: u16) -> Option<Duration> {
        let base = self.schedule.delay(failed)?;
        #[cfg(postrider_planted)]
        let base = if crate::planted::breaks(40) { base * 3 / 2 } else { base };
        Some(jitter(self.seed, self.event, self.endpoint, failed, base))
    }

    /// When to try again, after attempt number `failed` ended at `ended` and the receiver asked for `floor`.
    ///
    /// It is never before `ended` plus the longer of the delay and `floor`. `None` when there is no further attempt.
    pub fn next_due(&self, ended: Instant, failed: u16, floor: Option<Duration>) -> Option<Instant> {
        let delay = self.delay(failed)?;
        Some(ended.saturating_add(delay.max(floor.unwrap_or_default())))
    }

    /// How long the whole endpoint rests after attempt number `failed` was throttled: as long as it asked for, or
    /// this delivery's delay but at most [`THROTTLE_CAP`], whichever is longer. After the last attempt it is the cap.
    pub fn rest(&self, failed: u16, floor: Option<Duration>) -> Duration {
        let delay = self.delay(failed).unwrap_or(THROTTLE_CAP).min(THROTTLE_CAP);
        delay.max(floor.unwrap_or_default())
    }

    /// Every delay with its jitter, from that before the first attempt on: what will happen if all attempts fail and
    /// the receiver asks for nothing.
    pub fn preview(self) -> impl ExactSizeIterator<Item = Duration> + use<'a> {
        (0..self.schedule.attempts()).map(move |failed| self.delay(failed).expect("one delay for each attempt"))
    }
}

/// `base` with jitter: a duration between `base` and `base` + 20 %, uniform over seeds, events, endpoints and
/// attempts, and always the same for the same ones. `failed` is the number of the attempt that failed.
///
/// Only upward, so that no delay is shorter than agreed; exact integer arithmetic, so that every platform agrees.
pub fn jitter(seed: &Seed, event: &str, endpoint: &EndpointKey, failed: u16, base: Duration) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    if base.is_zero() {
        return base;
    }
    let fraction = seed.fraction(&[
        b"retry",
        event.as_bytes(),
        endpoint.tenant.as_str().as_bytes(),
        endpoint.id.as_str().as_bytes(),
        &failed.to_le_bytes(),
    ]);
    // Below 2^94 times below 2^32: no overflow.
    let extra = (base.as_nanos() * u128::from(fraction) / 5) >> 32;
    let secs = u64::try_from(extra / NANOS).expect("a fifth of a duration is a duration");
    base.saturating_add(Duration::new(secs, (extra % NANOS) as u32))
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
        }
    }
}

impl core::error::Error for ScheduleError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const SEED: Seed = Seed::from_bytes([7; 32]);

    fn endpoint() -> EndpointKey {
        EndpointKey::new("acme").unwrap()
    }

    #[test]
    fn the_default_is_the_one_agreed() {
        let schedule = Schedule::default();
        let secs = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        assert_eq!(schedule.delays(), secs.map(Duration::from_secs));
        assert_eq!(schedule.attempts(), 10);
        assert_eq!(schedule.delay(1), Some(Duration::from_secs(5)), "after the first attempt failed");
        assert_eq!(schedule.delay(9), Some(Duration::from_secs(86_400)));
        assert_eq!(schedule.delay(10), None);
        assert_eq!(Schedule::new(DEFAULT), Ok(schedule));
    }

    #[test]
    fn a_schedule_is_bounded() {
        assert_eq!(Schedule::new([]), Err(ScheduleError::Empty));
        assert!(Schedule::new([SCHEDULE_DELAY; SCHEDULE_STEPS]).is_ok());
        let endless = core::iter::repeat(Duration::ZERO);
        assert_eq!(Schedule::new(endless), Err(ScheduleError::TooMany { max: SCHEDULE_STEPS }));
        let long = SCHEDULE_DELAY + Duration::from_nanos(1);
        let error = Schedule::new([Duration::ZERO, long]).unwrap_err();
        assert_eq!(error, ScheduleError::TooLong { attempt: 2, delay: long, max: SCHEDULE_DELAY });
        assert!(error.to_string().starts_with("the delay before attempt 2 is 2592000.000000001s, at most 2592000s"));
    }

    #[test]
    fn jitter_is_fixed_by_all_that_it_is_for() {
        let base = Duration::from_secs(3600);
        let of = |seed, event, endpoint: &EndpointKey, failed| jitter(&seed, event, endpoint, failed, base);
        let first = of(SEED, "msg_1", &endpoint(), 1);
        assert_eq!(first, of(SEED, "msg_1", &endpoint(), 1));
        assert_ne!(first, of(Seed::from_bytes([8; 32]), "msg_1", &endpoint(), 1));
        assert_ne!(first, of(SEED, "msg_2", &endpoint(), 1));
        assert_ne!(first, of(SEED, "msg_1", &EndpointKey::new("other").unwrap(), 1));
        assert_ne!(first, of(SEED, "msg_1", &endpoint().of(crate::id::TenantId::new("other").unwrap()), 1));
        assert_ne!(first, of(SEED, "msg_1", &endpoint(), 2));
        assert_eq!(first, Duration::from_nanos(FIRST), "the value that every platform and version gives");
        assert_eq!(jitter(&SEED, "msg_1", &endpoint(), 0, Duration::MAX), Duration::MAX, "saturates");
    }

    /// Written down once; a change of it would change the schedules of stores that exist.
    const FIRST: u64 = 3_938_931_368_384;

    #[test]
    fn jitter_is_uniform_over_seeds() {
        const SEEDS: u32 = 100_000;
        let base = Duration::from_secs(1000);
        let (endpoint, mut sum, mut tenths) = (endpoint(), Duration::ZERO, [0_u32; 10]);
        for n in 0..SEEDS {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_le_bytes());
            let delay = jitter(&Seed::from_bytes(bytes), "msg_1", &endpoint, 1, base);
            sum += delay;
            tenths[((delay - base).as_millis() / 20_000) as usize] += 1;
        }
        let mean = sum / SEEDS;
        assert!(mean.abs_diff(base.mul_f64(1.1)) < base / 100, "{mean:?}");
        assert!(tenths.iter().all(|n| (9500..10_500).contains(n)), "{tenths:?}");
    }

    #[test]
    fn a_preview_is_what_happens() {
        let (schedule, endpoint) = (Schedule::default(), endpoint());
        let plan = Plan::new(&schedule, &SEED, "msg_1", &endpoint);
        let mut now = Instant::ORIGIN;
        for (failed, delay) in (0..).zip(plan.preview()) {
            let due = plan.next_due(now, failed, None).unwrap();
            assert_eq!(due, now.saturating_add(delay));
            now = due;
        }
        assert_eq!(plan.preview().len(), 10);
        assert_eq!(plan.next_due(now, 10, Some(Duration::from_secs(1))), None, "a hint makes no further attempt");
    }

    #[test]
    fn a_throttled_endpoint_rests_for_the_longer_of_the_two() {
        let (schedule, endpoint) = (Schedule::default(), endpoint());
        let plan = Plan::new(&schedule, &SEED, "msg_1", &endpoint);
        let secs = Duration::from_secs;
        assert_eq!(plan.rest(1, None), plan.delay(1).unwrap());
        assert_eq!(plan.rest(1, Some(secs(300))), secs(300));
        assert_eq!(plan.rest(2, None), THROTTLE_CAP, "five minutes, capped");
        assert_eq!(plan.rest(2, Some(secs(1))), THROTTLE_CAP);
        assert_eq!(plan.rest(10, None), THROTTLE_CAP, "nothing follows");
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_bounds(seed: [u8; 32], event: alloc::string::String, failed: u16, base: Duration) {
            let delay = jitter(&Seed::from_bytes(seed), &event, &endpoint(), failed, base);
            prop_assert!(delay >= base);
            prop_assert!(delay.saturating_sub(base) <= base / 5 + Duration::from_nanos(1));
        }

        #[test]
        fn next_due_is_never_early(
            seed: [u8; 32],
            delays in prop::collection::vec(0..=SCHEDULE_DELAY.as_secs(), 1..=SCHEDULE_STEPS),
            failed in 0..70_u16,
            ended: u64,
            floor: Option<Duration>,
        ) {
            let schedule = Schedule::new(delays.into_iter().map(Duration::from_secs)).unwrap();
            let (seed, endpoint, ended) = (Seed::from_bytes(seed), endpoint(), Instant::from_nanos(ended));
            let plan = Plan::new(&schedule, &seed, "msg_1", &endpoint);
            let due = plan.next_due(ended, failed, floor);
            prop_assert_eq!(due.is_none(), failed >= schedule.attempts());
            if let Some((due, delay)) = due.zip(schedule.delay(failed)) {
                prop_assert!(due >= ended.saturating_add(delay));
                prop_assert!(due >= ended.saturating_add(floor.unwrap_or_default()));
                let latest = (delay * 6 / 5 + Duration::from_nanos(1)).max(floor.unwrap_or_default());
                prop_assert!(due <= ended.saturating_add(latest));
            }
        }
    }
}
