//! What one tenant may take up: endpoints, deliveries that wait, payload bytes, events in a time.
//!
//! [`Quotas`] are the limits, [`Usage`] is the account. Asking and charging are one step, so that a refusal changes
//! nothing; it says which quota, its limit, its use, and where waiting helps how long. What is owed already is never
//! refused: it is charged without asking, and may stand above a limit that was lowered.
//!
//! ```
//! use postrider_core::registration::quota::{Quotas, Usage};
//! use postrider_core::time::Instant;
//!
//! let quotas = Quotas::default().pending(100);
//! let mut usage = Usage::default();
//! usage.admit_event(Instant::ORIGIN, &quotas, 60, 1024)?;
//! let refused = usage.admit_event(Instant::ORIGIN, &quotas, 60, 1024).unwrap_err();
//! assert_eq!(refused.to_string(), "the tenant may have 100 pending deliveries; it has 60 and asks for 60 more");
//! # Ok::<(), postrider_core::registration::quota::Exceeded>(())
//! ```

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::time::Instant;

/// Something that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a refusal must show each")]
pub enum Quota {
    /// Endpoints that are registered.
    Endpoints,
    /// Deliveries that have not ended.
    Pending,
    /// Bytes of the payloads of events that have not ended.
    PayloadBytes,
    /// Events published in a time.
    PublishRate,
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endpoints => "endpoints",
            Self::Pending => "pending deliveries",
            Self::PayloadBytes => "payload bytes",
            Self::PublishRate => "events in a time",
        })
    }
}

/// How many events may be published in a time.
///
/// Events that come evenly are admitted at this rate; one that comes after a quiet time may be followed at once by
/// others, as many together as [`burst`](Self::burst) says. In any time `t` at most `burst + t * count / per` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRate {
    count: NonZeroU32,
    per: Duration,
    burst: NonZeroU32,
}

impl PublishRate {
    /// So many events a second, and as many at once.
    pub const fn per_second(count: NonZeroU32) -> Self {
        Self { count, per: Duration::from_secs(1), burst: count }
    }

    /// So many events a minute, and as many at once.
    pub const fn per_minute(count: NonZeroU32) -> Self {
        Self { count, per: Duration::from_secs(60), burst: count }
    }

    /// Sets how many may come at once after a quiet time.
    pub const fn burst(self, burst: NonZeroU32) -> Self {
        Self { burst, ..self }
    }

    /// The time that one event takes up, rounded up so that the rate is never exceeded.
    fn interval(self) -> Duration {
        let nanos = self.per.as_nanos().div_ceil(u128::from(self.count.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How far ahead of evenness a burst may be.
    fn tolerance(self) -> Duration {
        self.interval().saturating_mul(self.burst.get() - 1)
    }
}

/// The limits of one tenant. What is not set is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    endpoints: Option<u64>,
    pending: Option<u64>,
    payload_bytes: Option<u64>,
    publishes: Option<PublishRate>,
}

impl Quotas {
    /// Limits the endpoints that are registered.
    pub const fn endpoints(self, most: u64) -> Self {
        Self { endpoints: Some(most), ..self }
    }

    /// Limits the deliveries that have not ended.
    pub const fn pending(self, most: u64) -> Self {
        Self { pending: Some(most), ..self }
    }

    /// Limits the bytes of the payloads of events that have not ended.
    pub const fn payload_bytes(self, most: u64) -> Self {
        Self { payload_bytes: Some(most), ..self }
    }

    /// Limits how many events are published in a time.
    pub const fn publishes(self, rate: PublishRate) -> Self {
        Self { publishes: Some(rate), ..self }
    }

    /// Whether anything about events is limited.
    pub(crate) const fn limits_events(&self) -> bool {
        self.charges_events() || self.publishes.is_some()
    }

    /// Whether events are charged with what they take up until they have ended.
    pub(crate) const fn charges_events(&self) -> bool {
        self.pending.is_some() || self.payload_bytes.is_some()
    }

    /// The limits as numbers: endpoints, pending deliveries, payload bytes, and of the publish rate how many events in how
    /// many nanoseconds and how many of them at once.
    pub(crate) fn to_wire(self) -> ([Option<u64>; 3], Option<WireRate>) {
        let rate = self.publishes.map(|rate| (rate.count.get(), rate.per, rate.burst.get()));
        ([self.endpoints, self.pending, self.payload_bytes], rate)
    }

    /// The inverse of [`to_wire`](Self::to_wire); `None` for a rate without events.
    pub(crate) fn from_wire(numbers: [Option<u64>; 3], rate: Option<WireRate>) -> Option<Self> {
        let [endpoints, pending, payload_bytes] = numbers;
        let publishes = match rate {
            None => None,
            Some((count, per, burst)) => {
                Some(PublishRate { count: NonZeroU32::new(count)?, per, burst: NonZeroU32::new(burst)? })
            }
        };
        Some(Self { endpoints, pending, payload_bytes, publishes })
    }
}

/// A publish rate as it is written: events, in which time, and how many at once.
pub(crate) type WireRate = (u32, Duration, u32);

/// A quota that would be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exceeded {
    /// Which.
    pub quota: Quota,
    /// What it allows; of the publish rate, how many events at once.
    pub limit: u64,
    /// What is used up; of the publish rate, how many events of a burst.
    pub used: u64,
    /// What was asked for besides.
    pub wanted: u64,
    /// How long to wait before the same is admitted, where time alone helps.
    pub wait: Option<Duration>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, limit, used, wanted, wait } = self;
        match quota {
            Quota::Endpoints | Quota::Pending | Quota::PayloadBytes => {
                write!(f, "the tenant may have {limit} {quota}; it has {used} and asks for {wanted} more")
            }
            Quota::PublishRate => {
                write!(
                    f,
                    "the tenant publishes faster than it may: {used} of the {limit} events of a burst are used up"
                )?;
                wait.map_or(Ok(()), |wait| write!(f, "; try again in {wait:.3?}"))
            }
        }
    }
}

impl core::error::Error for Exceeded {}

/// What a tenant takes up. Counts saturate at both ends, so that an account that is wrong stays an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    endpoints: u64,
    pending: u64,
    payload_bytes: u64,
    /// When the events admitted so far would have come, had they come evenly. None before the first.
    even: Option<Instant>,
    /// The latest time seen.
    latest: Instant,
}

impl Usage {
    /// Endpoints that are registered.
    pub const fn endpoints(&self) -> u64 {
        self.endpoints
    }

    /// Deliveries that have not ended.
    pub const fn pending(&self) -> u64 {
        self.pending
    }

    /// Bytes of the payloads of events that have not ended.
    pub const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Charges a new endpoint, if the tenant may have it.
    pub fn admit_endpoint(&mut self, quotas: &Quotas) -> Result<(), Exceeded> {
        room(Quota::Endpoints, quotas.endpoints, self.endpoints, 1)?;
        self.count_endpoint();
        Ok(())
    }

    /// Charges an event with as many deliveries as it is going to have at least, and the bytes of its payload, if the
    /// tenant may have all of it. A clock that goes back stands still here.
    ///
    /// Nobody can have saved up a burst before the first event: after a restart the rate begins empty.
    pub fn admit_event(&mut self, now: Instant, quotas: &Quotas, deliveries: u64, bytes: u64) -> Result<(), Exceeded> {
        let now = now.max(self.latest);
        let even = quotas.publishes.map(|rate| self.pace(now, rate)).transpose()?;
        room(Quota::Pending, quotas.pending, self.pending, deliveries)?;
        room(Quota::PayloadBytes, quotas.payload_bytes, self.payload_bytes, bytes)?;
        self.latest = now;
        self.even = even.or(self.even);
        self.count_event(deliveries, bytes);
        Ok(())
    }

    /// Charges an endpoint that is there, such as one that was read back.
    pub const fn count_endpoint(&mut self) {
        self.endpoints = self.endpoints.saturating_add(1);
    }

    /// Charges an event that is there, such as one that was read back, or the further deliveries of one.
    pub const fn count_event(&mut self, deliveries: u64, bytes: u64) {
        self.pending = self.pending.saturating_add(deliveries);
        self.payload_bytes = self.payload_bytes.saturating_add(bytes);
    }

    /// An endpoint is gone from the account.
    pub const fn endpoint_removed(&mut self) {
        self.endpoints = self.endpoints.saturating_sub(1);
    }

    /// So many deliveries have ended.
    pub const fn deliveries_ended(&mut self, deliveries: u64) {
        self.pending = self.pending.saturating_sub(deliveries);
    }

    /// An event has ended, and its payload is no longer held.
    pub const fn event_ended(&mut self, bytes: u64) {
        self.payload_bytes = self.payload_bytes.saturating_sub(bytes);
    }

    /// When the next event would come if this one is admitted, by the generic cell rate algorithm (ITU-T I.371).
    fn pace(&self, now: Instant, rate: PublishRate) -> Result<Instant, Exceeded> {
        let (interval, tolerance) = (rate.interval(), rate.tolerance());
        let empty = now.saturating_add(tolerance);
        // A rate that was lowered may find the account further ahead than it can be.
        let even = self.even.unwrap_or(empty).max(now);
        let ahead = even.saturating_since(now);
        match ahead.checked_sub(tolerance) {
            Some(wait) if !wait.is_zero() => {
                let used = ahead.as_nanos().div_ceil(interval.as_nanos().max(1));
                let limit = u64::from(rate.burst.get());
                let used = u64::try_from(used).unwrap_or(u64::MAX).min(limit);
                Err(Exceeded { quota: Quota::PublishRate, limit, used, wanted: 1, wait: Some(wait) })
            }
            Some(_) | None => Ok(even.saturating_add(interval)),
        }
    }
}

fn room(quota: Quota, limit: Option<u64>, used: u64, wanted: u64) -> Result<(), Exceeded> {
    match limit {
        // Nothing more is asked for, so that nothing more is refused, even above a limit that was lowered.
        Some(limit) if wanted > 0 && used.saturating_add(wanted) > limit => {
            Err(Exceeded { quota, limit, used, wanted, wait: None })
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn count(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    #[test]
    fn a_refusal_names_the_quota_its_limit_and_its_use() {
        let quotas = Quotas::default().endpoints(2).payload_bytes(10).publishes(PublishRate::per_second(count(2)));
        let mut usage = Usage::default();
        usage.admit_endpoint(&quotas).unwrap();
        usage.admit_endpoint(&quotas).unwrap();
        let refused = usage.admit_endpoint(&quotas).unwrap_err();
        assert_eq!(refused.to_string(), "the tenant may have 2 endpoints; it has 2 and asks for 1 more");
        usage.endpoint_removed();
        usage.admit_endpoint(&quotas).unwrap();

        let at = Instant::from_millis;
        usage.admit_event(at(0), &quotas, 5, 10).unwrap();
        let before = usage;
        let refused = usage.admit_event(at(100), &quotas, 5, 0).unwrap_err();
        assert_eq!((refused.quota, refused.wait), (Quota::PublishRate, Some(Duration::from_millis(400))));
        assert_eq!(
            refused.to_string(),
            "the tenant publishes faster than it may: 2 of the 2 events of a burst are used up; try again in 400.000ms"
        );
        let refused = usage.admit_event(at(500), &quotas, 5, 1).unwrap_err();
        assert_eq!((refused.quota, refused.limit, refused.used), (Quota::PayloadBytes, 10, 10));
        assert_eq!(usage, before, "a refusal changes nothing");
        usage.event_ended(10);
        usage.deliveries_ended(5);
        usage.admit_event(at(500), &quotas, 0, 1).unwrap();
        assert_eq!((usage.pending(), usage.payload_bytes(), usage.endpoints()), (0, 1, 2));
    }

    #[test]
    fn what_is_owed_is_charged_above_a_limit() {
        let quotas = Quotas::default().pending(1);
        let mut usage = Usage::default();
        usage.count_event(5, 5);
        usage.admit_event(Instant::ORIGIN, &quotas, 0, 5).unwrap();
        assert_eq!(usage.admit_event(Instant::ORIGIN, &quotas, 1, 0).unwrap_err().used, 5);
        usage.deliveries_ended(9);
        assert_eq!(usage.pending(), 0);
    }

    #[test]
    fn a_burst_is_saved_up_by_being_quiet_and_not_by_starting() {
        let quotas = Quotas::default().publishes(PublishRate::per_second(count(1)).burst(count(3)));
        let mut usage = Usage::default();
        let mut admitted = |secs: u64| {
            let now = Instant::from_millis(secs * 1000);
            (0..10).take_while(|_| usage.admit_event(now, &quotas, 0, 0).is_ok()).count()
        };
        assert_eq!([100, 101, 103, 200, 150, 201].map(&mut admitted), [1, 1, 2, 3, 0, 1]);
    }

    proptest! {
        /// In any time at most the burst and the rate's share are admitted, whatever the clock does; and whoever waits as
        /// long as the refusal says is admitted.
        #[test]
        fn the_rate_is_never_exceeded(
            rate in 1..200_u32,
            burst in 1..20_u32,
            steps in prop::collection::vec((0..400_u64, any::<bool>(), 1..40_u8), 1..60),
        ) {
            let rate = PublishRate::per_second(count(rate)).burst(count(burst));
            let quotas = Quotas::default().publishes(rate);
            let (mut usage, mut clock, mut latest) = (Usage::default(), 1_000_u64, 0);
            let mut admitted: Vec<u64> = Vec::new();
            for (millis, back, tries) in steps {
                clock = if back { clock.saturating_sub(millis) } else { clock + millis };
                latest = latest.max(clock);
                for _ in 0..tries {
                    match usage.admit_event(Instant::from_millis(clock), &quotas, 1, 1) {
                        Ok(()) => admitted.push(latest),
                        Err(refused) => {
                            let wait = refused.wait.unwrap();
                            let then = usage.latest.max(Instant::from_millis(clock)).saturating_add(wait);
                            prop_assert!(usage.clone().admit_event(then, &quotas, 0, 0).is_ok());
                            let early = then.saturating_sub(Duration::from_nanos(1));
                            prop_assert!(usage.clone().admit_event(early, &quotas, 0, 0).is_err());
                        }
                    }
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let most = f64::from(burst) + (to - from) as f64 * f64::from(rate.count.get()) / 1000.0;
                    prop_assert!((last - first + 1) as f64 <= most + 1e-6);
                }
            }
            prop_assert_eq!(usage.pending(), admitted.len() as u64);
        }

        /// The account is the sum of what is there.
        #[test]
        fn the_account_is_the_sum(events in prop::collection::vec((0..9_u64, 0..99_u64, any::<bool>()), 0..40)) {
            let quotas = Quotas::default().pending(30).payload_bytes(300);
            let (mut usage, mut held) = (Usage::default(), Vec::new());
            for (deliveries, bytes, end) in events {
                if usage.admit_event(Instant::ORIGIN, &quotas, deliveries, bytes).is_ok() {
                    held.push((deliveries, bytes));
                }
                if end && !held.is_empty() {
                    let (deliveries, bytes) = held.remove(0);
                    usage.deliveries_ended(deliveries);
                    usage.event_ended(bytes);
                }
                let sum = held.iter().fold((0, 0), |(d, b), (deliveries, bytes)| (d + deliveries, b + bytes));
                prop_assert_eq!((usage.pending(), usage.payload_bytes()), sum);
                prop_assert!(sum.0 <= 30 && sum.1 <= 300);
            }
        }
    }
}
