//! Which endpoints want an event: type patterns, content filters, subscriptions, and the indexes over them.
//!
//! An event type is a dotted name such as `order.item.added`. A [`Pattern`] names types, a [`Subscription`] is a set of
//! patterns, and an [`Index`] holds the subscriptions of one tenant and yields those that want a type as a stream. A
//! subscription may also carry a content [`filter`], which an event that is flattened once is held against.
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
//!
//! ```
//! use postrider_core::matching::{Index, Subscription};
//!
//! let orders = Subscription::parse(["order.**"])?;
//! let paid = Subscription::parse(["*.paid", "order.paid"])?;
//! let mut index = Index::new();
//! index.insert(1, &orders);
//! index.insert(2, &paid);
//!
//! let mut cursor = index.cursor("order.paid", 3);
//! assert_eq!(index.next(&mut cursor), Some(1));
//! assert_eq!(index.next(&mut cursor), Some(2));
//! assert_eq!(index.next(&mut cursor), None);
//! # Ok::<(), postrider_core::matching::SubscriptionError>(())
//! ```

mod event_type;
mod explain;
pub mod filter;
mod index;
mod near;
mod pattern;
mod subscription;

#[cfg(test)]
mod tests;

pub use event_type::{EventType, TypeError, validate_type};
pub use explain::{Explained, Mismatch};
pub use index::{Cursor, Index, Reach};
pub use near::{NearMiss, NearMissReason};
pub use pattern::{Pattern, PatternError};
pub use subscription::{Subscription, SubscriptionError};
