//! How much an endpoint is given, and when it is left alone.

use core::fmt;
use core::time::Duration;

use super::{Endpoint, EndpointError};
use crate::retry::{BreakerPolicy, DisableRule, Exponential, QueueLimit, Rate, Schedule};

/// How much an endpoint is given, and when it is left alone.
///
/// By default its breaker opens and it is disabled by the usual rules; it has no rate, and deliveries wait for it without
/// a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pacing {
    /// How many attempts it is given in how much time; `None` for as many as come.
    pub rate: Option<Rate>,
    /// When its breaker opens; `None` for never.
    pub breaker: Option<BreakerPolicy>,
    /// When it is disabled because it keeps failing; `None` for never.
    pub disable: Option<DisableRule>,
    /// How long a delivery may wait for it; `None` for as long as it takes.
    pub queue: Option<QueueLimit>,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { rate: None, breaker: Some(BreakerPolicy::DEFAULT), disable: Some(DisableRule::DEFAULT), queue: None }
    }
}

/// Whether an endpoint's breaker lets attempts start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a breaker must show each")]
pub enum Circuit {
    /// Any.
    Closed,
    /// None for this long.
    Open {
        /// How long still.
        rest: Duration,
    },
    /// One, the probe, when there is a delivery.
    HalfOpen,
    /// None until the probe has ended.
    Probing,
}

impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("breaker closed"),
            Self::Open { rest } => write!(f, "breaker open for {rest:.1?}"),
            Self::HalfOpen => f.write_str("breaker half-open, the next delivery is the probe"),
            Self::Probing => f.write_str("breaker half-open, the probe is in flight"),
        }
    }
}

/// How often, how late and how much at once.
impl Endpoint {
    /// Sets delays that grow by a factor.
    pub fn exponential(self, of: Exponential) -> Self {
        self.schedule_or(Schedule::exponential(of))
    }

    /// Sets one attempt, and no retry.
    pub fn once(self) -> Self {
        self.schedule_or(Ok(Schedule::once()))
    }

    /// Sets a schedule that is made already.
    pub fn retry(self, schedule: Schedule) -> Self {
        self.schedule_or(Ok(schedule))
    }

    /// Cuts the schedule to so many attempts, whatever it is: 1 to [`SCHEDULE_STEPS`](crate::limits::SCHEDULE_STEPS).
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Bounds the age at which an attempt of a delivery may start, counted from when its event was accepted, whatever the
    /// schedule is; see [`Schedule::with_max_age`]. A delivery that would be older at its next attempt is exhausted, and
    /// one that grew too old while it waited for the endpoint expires.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets how many attempts it is given in how much time; without it, as many as come.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.pacing.rate = Some(rate);
        self
    }

    /// Sets when its breaker opens and for how long; without it, [`BreakerPolicy::DEFAULT`]. While it is open, deliveries
    /// wait and spend no attempts; then one of them is the probe.
    pub fn breaker(mut self, policy: BreakerPolicy) -> Self {
        self.pacing.breaker = Some(policy);
        self
    }

    /// Lets its breaker never open.
    pub fn no_breaker(mut self) -> Self {
        self.pacing.breaker = None;
        self
    }

    /// Sets when it is disabled because it keeps failing; without it, [`DisableRule::DEFAULT`].
    pub fn disable_after(mut self, rule: DisableRule) -> Self {
        self.pacing.disable = Some(rule);
        self
    }

    /// Lets it never be disabled because it fails.
    pub fn never_disable(mut self) -> Self {
        self.pacing.disable = None;
        self
    }

    /// Sets how long a delivery may wait for it before it expires, once it could start but for the endpoint: 1 ms to 30
    /// days; without it, as long as it takes. See [`QueueLimit`].
    pub fn queue_limit(mut self, limit: Duration) -> Self {
        match QueueLimit::new(limit) {
            Ok(limit) => self.pacing.queue = Some(limit),
            Err(why) => self.note(EndpointError::QueueLimit(why)),
        }
        self
    }

    /// How it is paced, as the journal says it.
    pub(crate) fn paced(mut self, pacing: Result<Pacing, EndpointError>) -> Self {
        match pacing {
            Ok(pacing) => self.pacing = pacing,
            Err(why) => self.note(why),
        }
        self
    }
}
