//! A schedule applied to one delivery.

use super::schedule::{Exhausted, Schedule};
use crate::id::EndpointKey;
use crate::limits::THROTTLE_CAP;
use crate::seed::Seed;
use crate::time::Instant;
use core::time::Duration;

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
    /// Age is not looked at; see [`after`](Self::after).
    pub fn next_due(&self, ended: Instant, failed: u16, floor: Option<Duration>) -> Option<Instant> {
        let delay = self.delay(failed)?;
        Some(ended.saturating_add(delay.max(floor.unwrap_or_default())))
    }

    /// How long to wait after attempt number `failed` has failed, when the delivery was then owed for `age` and the
    /// receiver asked for `floor`; or why there is no further attempt. The whole decision after a failure.
    pub fn after(&self, failed: u16, age: Duration, floor: Option<Duration>) -> Result<Duration, Exhausted> {
        let delay = self.delay(failed).ok_or(Exhausted::Attempts { made: failed })?;
        let delay = delay.max(floor.unwrap_or_default());
        self.schedule.check_age(age.saturating_add(delay)).map(|()| delay)
    }

    /// How long the whole endpoint rests after attempt number `failed` was throttled: as long as it asked for, or
    /// this delivery's delay but at most [`THROTTLE_CAP`], whichever is longer. After the last attempt it is the cap.
    pub fn rest(&self, failed: u16, floor: Option<Duration>) -> Duration {
        let delay = self.delay(failed).unwrap_or(THROTTLE_CAP).min(THROTTLE_CAP);
        delay.max(floor.unwrap_or_default())
    }

    /// Every delay with its jitter, from that before the first attempt on: what will happen if all attempts fail at once
    /// and the receiver asks for nothing. It ends where the largest age does.
    pub fn preview(self) -> impl ExactSizeIterator<Item = Duration> + use<'a> {
        let mut age = Duration::ZERO;
        let fits =
            |failed: &u16| self.after(*failed, age, None).inspect(|delay| age = age.saturating_add(*delay)).is_ok();
        let bounded = self.schedule.max_age().is_some();
        let attempts = self.schedule.attempts();
        let made = if bounded { (0..attempts).take_while(fits).count() as u16 } else { attempts };
        (0..made).map(move |failed| self.delay(failed).expect("one delay for each attempt"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{SCHEDULE_DELAY, SCHEDULE_STEPS};
    use proptest::prelude::*;

    const SEED: Seed = Seed::from_bytes([7; 32]);

    fn endpoint() -> EndpointKey {
        EndpointKey::new("acme").unwrap()
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

    #[test]
    fn an_age_ends_a_plan_wherever_it_waited() {
        let secs = Duration::from_secs;
        let schedule = Schedule::new([0, 10, 10, 10].map(secs)).unwrap().with_max_age(secs(24)).unwrap();
        let endpoint = endpoint();
        let plan = Plan::new(&schedule, &SEED, "msg_1", &endpoint);
        assert_eq!(plan.preview().len(), 3, "the fourth would be at least 30 s old");
        assert_eq!(plan.after(1, secs(3), None), Ok(plan.delay(1).unwrap()));
        assert_eq!(plan.after(1, secs(3), Some(secs(21))), Ok(secs(21)));
        let age = secs(25);
        assert_eq!(plan.after(1, secs(3), Some(secs(22))), Err(Exhausted::Age { age, max: secs(24) }));
        assert_eq!(plan.after(4, secs(3), None), Err(Exhausted::Attempts { made: 4 }));
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
