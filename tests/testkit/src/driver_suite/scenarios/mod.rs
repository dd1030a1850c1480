//! The scenarios, by what they are about.

/// Ends a scenario with what is wrong.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

mod addresses;
mod control;
mod deadlines;
mod delivery;
mod framing;
mod https;
mod responses;

use super::Scenario;

/// Every scenario.
pub(super) fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        delivery::SCENARIOS,
        framing::SCENARIOS,
        responses::SCENARIOS,
        addresses::SCENARIOS,
        https::SCENARIOS,
        deadlines::SCENARIOS,
        control::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}
