//! What is worth telling a person or a metric.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::claim::ClaimError;
use super::contract::{DeliveryId, ExchangeId};
use super::skew::ClockSkew;
use crate::signing::VerifyError;

/// Something worth telling. Losing one never hangs or lies to anyone: each is counted in
/// [`ReceiverStats`](super::ReceiverStats) too.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RecvNotice {
    /// A request was not accepted. Its sender is not told why, you are.
    Unverified {
        /// The exchange.
        exchange: ExchangeId,
        /// What was wrong.
        why: VerifyError,
    },
    /// The application did not end a delivery in its time. Whoever waited was answered 503, and the event may be
    /// delivered again.
    TimedOut {
        /// The delivery.
        delivery: DeliveryId,
        /// The event's id, or the digest of what was signed.
        webhook_id: Arc<str>,
    },
    /// A delivery that had timed out has ended after all, before its event came again: repeats are now answered
    /// without a delivery.
    Late {
        /// The delivery.
        delivery: DeliveryId,
        /// The event's id, or the digest of what was signed.
        webhook_id: Arc<str>,
    },
    /// An event of a line is delivered although something before it has not come: its time is over, or too many wait.
    Gap {
        /// The line, by its scope and key.
        line: Arc<str>,
        /// The event's id, or the digest of what was signed.
        webhook_id: Arc<str>,
        /// The last place in the line that has ended, where one is known.
        last: Option<u64>,
        /// The event's place.
        place: u64,
    },
    /// The store of claims did not do what it was asked. An event that could not be claimed is not delivered, and its sender
    /// is told to come again; one whose end could not be committed is done, and may be delivered again.
    NotClaimed {
        /// The delivery.
        delivery: DeliveryId,
        /// The event's id, or the digest of what was signed.
        webhook_id: Arc<str>,
        /// Whether its application had finished.
        ended: bool,
        /// What went wrong.
        why: ClaimError,
    },
    /// Repeats of an event are no longer recognised, though its window has not passed: there are too many events.
    WindowShrunk {
        /// How long ago its delivery ended.
        age: Duration,
    },
    /// Requests that a known key signed come out of time, one after the other: the wall clocks of sender and receiver seem to
    /// differ. None of them was accepted. Told at the fifth in a row and whenever there are twice as many.
    ClockSkew {
        /// By how much, as far as those requests show.
        skew: ClockSkew,
        /// How many there were.
        requests: u32,
    },
    /// The monotonic clock went back, and was held.
    ClockWentBack {
        /// By how much.
        by: Duration,
    },
    /// This many notices were not kept, because nobody read them.
    Folded(u64),
}

impl fmt::Display for RecvNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverified { exchange, why } => write!(f, "{exchange} was not accepted: {why}"),
            Self::TimedOut { delivery, webhook_id } => {
                write!(f, "{webhook_id}: {delivery} was not ended in time, and may come again")
            }
            Self::Late { delivery, webhook_id } => write!(f, "{webhook_id}: {delivery} ended late, and counts"),
            Self::Gap { line, webhook_id, last: Some(last), place } => {
                write!(f, "{webhook_id}: at {place} of {line} nothing has come since {last}, and it is delivered")
            }
            Self::Gap { line, webhook_id, last: None, place } => {
                write!(f, "{webhook_id}: at {place} of {line} nothing before it has come, and it is delivered")
            }
            Self::NotClaimed { delivery, webhook_id, ended: false, why } => {
                write!(f, "{webhook_id}: {delivery} is not begun: {why}")
            }
            Self::NotClaimed { delivery, webhook_id, ended: true, why } => {
                write!(f, "{webhook_id}: {delivery} has ended, and may come again: {why}")
            }
            Self::WindowShrunk { age } => {
                write!(f, "repeats of an event from {age:.0?} ago are no longer recognised: there are too many events")
            }
            Self::ClockSkew { skew: ClockSkew::Ahead(by), requests } => write!(
                f,
                "{requests} signed requests in a row are too old: this receiver's clock seems to be {by:.0?} ahead of the \
                 sender's"
            ),
            Self::ClockSkew { skew: ClockSkew::Behind(by), requests } => write!(
                f,
                "{requests} signed requests in a row are ahead of their time: this receiver's clock seems to be {by:.0?} \
                 behind the sender's"
            ),
            Self::ClockWentBack { by } => write!(f, "the monotonic clock went back by {by:?} and was held"),
            Self::Folded(count) => write!(f, "{count} notices were not kept"),
        }
    }
}
