//! What is worth telling a person or a metric.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::id::{AttemptId, EndpointKey, EventId, JournalSeq, TenantId};
use crate::registration::consent::ConsentReason;
use crate::registration::lifecycle::Reason;
use crate::response::Ruling;
use crate::retry::{Exhausted, FailedTooLong, Overstayed, Transition};
use crate::signing::receipt::ReceiptCheck;
use crate::time::UnixTime;

/// Something worth telling. Losing one never hangs or lies to anyone: each can be found out by a getter too.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// All deliveries of an event have ended; its report can be read.
    Settled {
        /// The tenant.
        tenant: TenantId,
        /// The event.
        event: EventId,
    },
    /// An attempt failed and is followed by another.
    Retrying {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The event.
        event: EventId,
        /// Which attempt failed, counted from 1.
        attempt: u16,
        /// Why.
        ruling: Ruling,
        /// When the next one is due, from now.
        delay: Duration,
    },
    /// A delivery has no attempt left.
    Exhausted {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The event.
        event: EventId,
        /// Attempts made.
        attempts: u16,
        /// Why the last one failed.
        ruling: Ruling,
        /// Why there is no further one.
        why: Exhausted,
    },
    /// The first of a strict lane has no attempt left in its schedule and is tried on; what is behind it waits. Cancelling
    /// the event, or another ordering, lets that go.
    LaneBlocked {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The event.
        event: EventId,
        /// The ordering key.
        key: Arc<str>,
        /// Attempts made.
        attempts: u16,
        /// Deliveries that wait behind it.
        waiting: usize,
        /// Why the last attempt failed.
        ruling: Ruling,
        /// When the next one is due, from now.
        delay: Duration,
    },
    /// A newer event under the same ordering key took a delivery's place while its endpoint was down.
    Superseded {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The event.
        event: EventId,
    },
    /// A delivery must not be tried again.
    Refused {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The event.
        event: EventId,
        /// Why.
        ruling: Ruling,
    },
    /// A delivery expired before it could be made.
    Expired {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The event.
        event: EventId,
        /// Why.
        why: Expiry,
    },
    /// A delivery's payload could not be read back.
    Lost {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The event.
        event: EventId,
    },
    /// Something happened to an endpoint that no command did: the rule says what.
    Endpoint {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The rule, what it went by, and what is due next.
        reason: Reason,
    },
    /// An endpoint's breaker opened, opened again, or closed.
    Breaker {
        /// The endpoint.
        endpoint: EndpointKey,
        /// What happened: the rule, its inputs, and when the next probe may be made.
        change: Transition,
    },
    /// An endpoint has failed for so long that it was disabled: what waits for it is held for 72 h.
    Disabled {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The rule and its inputs.
        reason: FailedTooLong,
    },
    /// Something happened about the consent of an endpoint's owner: the rule says what.
    Consent {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The rule, what it went by, and what is due next.
        reason: ConsentReason,
    },
    /// An endpoint that is asked for receipts has begun to answer without them or with wrong ones, or gives right ones
    /// again. Told at each change, not of each answer; the deliveries are made all the same.
    Receipt {
        /// The endpoint.
        endpoint: EndpointKey,
        /// The event whose answer was the first.
        event: EventId,
        /// What it came to.
        check: ReceiptCheck,
    },
    /// A receiver asked for a longer pause than we make.
    HintAboveCap {
        /// The endpoint.
        endpoint: EndpointKey,
        /// What it asked for.
        asked: Duration,
    },
    /// The adapter did not report an attempt in time; the machine ended it.
    Overdue {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Payloads could not be read back for now; tried again in a minute.
    LoadFailed {
        /// How many.
        records: usize,
    },
    /// Repeats of a tenant's oldest events are no longer recognised, though their window has not passed.
    WindowShrunk {
        /// Whose.
        tenant: TenantId,
        /// How young the forgotten event was.
        age: Duration,
    },
    /// The log has dropped the history of the oldest ended events, because it took more room than its budget.
    HistoryTrimmed {
        /// How many events.
        events: u64,
        /// Those that ended before this time.
        before: UnixTime,
    },
    /// The log failed; records are issued again.
    JournalBroken {
        /// The first of them.
        from: JournalSeq,
    },
    /// The log is full; nothing is accepted until there is room.
    JournalFull,
    /// The log failed twice in a row: the machine has stopped.
    Fenced,
    /// The monotonic clock went back, and was held.
    ClockWentBack {
        /// By how much.
        by: Duration,
    },
    /// This many notices were not kept, because nobody read them.
    Folded(u64),
}

/// Why a delivery expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// Its event was worth sending until then.
    Event {
        /// The time that the event gives.
        expires: UnixTime,
    },
    /// It grew older than its endpoint's schedule allows.
    Age {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        max: Duration,
    },
    /// It waited for its endpoint for longer than that allows.
    Queue(Overstayed),
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { expires } => write!(f, "its event was worth sending until {expires}"),
            Self::Age { age, max } => write!(f, "it is {age:.0?} old, and attempts end at {max:.0?}"),
            Self::Queue(why) => write!(f, "{why}"),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled { event, .. } => write!(f, "{event}: all deliveries have ended"),
            Self::Retrying { endpoint, event, attempt, ruling, delay } => {
                write!(f, "{event} to {endpoint}: attempt {attempt} failed ({ruling}), next in {delay:.1?}")
            }
            Self::Exhausted { endpoint, event, attempts, ruling, why } => {
                write!(f, "{event} to {endpoint}: given up after {attempts} attempts, the last because {ruling}")?;
                match why {
                    Exhausted::Attempts { .. } => Ok(()),
                    Exhausted::Age { .. } => write!(f, "; {why}"),
                }
            }
            Self::LaneBlocked { endpoint, event, key, attempts, waiting, ruling, delay } => {
                write!(
                    f,
                    "{event} to {endpoint}: attempt {attempts} failed ({ruling}), and {waiting} events under the key {key:?} \
                     wait for it; next in {delay:.1?}"
                )
            }
            Self::Superseded { endpoint, event } => {
                write!(f, "{event} to {endpoint}: superseded by a newer event under its key")
            }
            Self::Refused { endpoint, event, ruling } => write!(f, "{event} to {endpoint}: refused for good, {ruling}"),
            Self::Expired { endpoint, event, why } => {
                write!(f, "{event} to {endpoint}: expired before it was delivered, because {why}")
            }
            Self::Lost { endpoint, event } => write!(f, "{event} to {endpoint}: lost, its payload cannot be read"),
            Self::Consent { endpoint, reason } => write!(f, "{endpoint}: {reason}"),
            Self::Endpoint { endpoint, reason } => write!(f, "{endpoint}: {reason}"),
            Self::Breaker { endpoint, change } => write!(f, "the breaker of {endpoint} {change}"),
            Self::Disabled { endpoint, reason } => {
                write!(f, "{endpoint} is disabled: {reason}; what waits for it is held for 72 h")
            }
            Self::Receipt { endpoint, event, check: ReceiptCheck::Verified } => {
                write!(f, "{event} to {endpoint}: the receipt is verified again")
            }
            Self::Receipt { endpoint, event, check } => write!(f, "{event} to {endpoint}: delivered, but {check}"),
            Self::HintAboveCap { endpoint, asked } => {
                write!(f, "{endpoint} asked for a pause of {asked:.0?}; 24 h is the most that is given")
            }
            Self::Overdue { attempt } => write!(f, "{attempt} was not reported in time and has been ended"),
            Self::LoadFailed { records } => {
                write!(f, "{records} payloads could not be read back, trying again in 60 s")
            }
            Self::WindowShrunk { tenant, age } => {
                write!(
                    f,
                    "tenant {tenant}: repeats of events older than {age:.0?} are no longer recognised: there are too many"
                )
            }
            Self::HistoryTrimmed { events, before } => {
                write!(
                    f,
                    "the history of {events} events that ended before {before} was dropped, to keep to the disk budget"
                )
            }
            Self::JournalBroken { from } => write!(f, "the log failed at record {from}; writing it again"),
            Self::JournalFull => f.write_str("the log is full: nothing is accepted until there is room"),
            Self::Fenced => f.write_str("the log failed twice in a row: this sender has stopped"),
            Self::ClockWentBack { by } => write!(f, "the monotonic clock went back by {by:?} and was held"),
            Self::Folded(count) => write!(f, "{count} notices were not kept"),
        }
    }
}
