//! When to try again, and how much at once: schedules, jitter, timers, breakers, rates, windows, shares.
//!
//! Small machines and values, each usable alone. None reads a clock, and all arithmetic is in integers.
//!
//! | question | answer | bytes |
//! | --- | --- | --- |
//! | When is a delivery tried again, and when no more? | [`Schedule`], by a [`Plan`] with the jitter that the seed fixes, so that the whole course can be shown ahead | 40, and 16 for each delay, shared |
//! | Is the endpoint left alone, and when is it asked again? | [`Breaker`], by a [`BreakerPolicy`] | 64 |
//! | Has it failed for so long that it is disabled? | [`Streak`], by a [`DisableRule`] | 24 |
//! | How many attempts in how much time? | [`Gcra`], by a [`Rate`] | 32 |
//! | How many at once? | [`Window`]: halved by a throttle, ramped after a rest | 6 |
//! | How long may a delivery wait for its endpoint? | [`QueueLimit`] | 8 |
//! | Who is next? | [`Tiers`] of tenants and endpoints, each [`Fair`] | 16, and 12 for each of both |
//! | Retries or new events? | [`Budget`] | 8 |
//! | What is due later, and what waits in order? | [`Wheel`] and [`List`], without memory of their own for an entry: the links lie in the caller's slab | 8 for each |
//! | What of it survives a restart? | a [`Deadline`] | 24 |
//!
//! ```
//! use core::time::Duration;
//! use postrider_core::id::EndpointKey;
//! use postrider_core::retry::{Plan, Schedule};
//! use postrider_core::seed::Seed;
//! use postrider_core::time::Instant;
//!
//! let (schedule, seed) = (Schedule::default(), Seed::from_bytes([7; 32]));
//! let endpoint = EndpointKey::new("acme")?;
//! let plan = Plan::new(&schedule, &seed, "msg_1", &endpoint);
//! assert_eq!(plan.preview().count(), 10);
//!
//! // The first attempt failed 100 ms after the origin, and the receiver asked for a minute.
//! let due = plan.next_due(Instant::from_millis(100), 1, Some(Duration::from_secs(60)));
//! assert_eq!(due, Some(Instant::from_millis(60_100)));
//! # Ok::<(), postrider_core::id::IdError>(())
//! ```

mod breaker;
mod budget;
mod deadline;
mod fair;
mod list;
mod patience;
mod plan;
mod rate;
mod schedule;
mod streak;
mod wheel;
mod window;

pub use breaker::{Admission, Breaker, BreakerPolicy, BreakerPolicyError, SavedBreaker, Transition};
pub use budget::{Budget, BudgetError, Next};
pub use deadline::Deadline;
pub use fair::{Balance, Fair, Flows, Groups, Tiers};
pub use list::{Link, Links, List};
pub use patience::{Overstayed, QueueLimit, QueueLimitError};
pub use plan::{Plan, jitter};
pub use rate::{Gcra, Pace, Per, Rate, RateError};
pub use schedule::{Exhausted, Exponential, Factor, Schedule, ScheduleError};
pub use streak::{DisableRule, DisableRuleError, FailedTooLong, Streak};
pub use wheel::{Due, Timed, Wheel};
pub use window::Window;
