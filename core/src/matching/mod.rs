//! Which endpoints want an event: type patterns and subscriptions.
//!
//! An event type is a dotted name such as `order.item.added`. A [`Pattern`] names types, and a [`Subscription`] is a
//! set of patterns.
//!
//! ```text
//! type    = segment *("." segment)          at most 256 bytes
//! segment = 1*(ALPHA / DIGIT / "_" / ":" / "/" / "-")
//! pattern = part *("." part)                at most 256 bytes
//! part    = segment / "*" / "**"            `*` is exactly one segment, `**` is zero or more
//! ```
//!
//! Everything else is exact, upper and lower case included. A text outside this grammar is no event type, and nothing
//! matches it.

mod event_type;
mod explain;
mod near;
mod pattern;
mod subscription;

#[cfg(test)]
mod tests;

pub use event_type::{EventType, TypeError, validate_type};
pub use explain::{Explained, Mismatch};
pub use near::{NearMiss, NearMissReason};
pub use pattern::{Pattern, PatternError};
pub use subscription::{Subscription, SubscriptionError};
