//! When to try again: schedules, jitter, timers, windows.
//!
//! A [`Schedule`] lists the delays before each attempt; a [`Plan`] applies it to one delivery, with the jitter that
//! the seed fixes, so that the whole course can be shown ahead. The [`Wheel`] keeps what is due later, a [`List`]
//! what waits in order, both without memory of their own for an entry: the links lie in the caller's slab. A
//! [`Window`] says how many attempts one endpoint can carry at once.
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
pub use rate::{Gcra, Per, Rate, RateError, Turn};
pub use schedule::{Exhausted, Exponential, Factor, Schedule, ScheduleError};
pub use streak::{DisableRule, DisableRuleError, FailedTooLong, Streak};
pub use wheel::{Due, Timed, Wheel};
pub use window::Window;
