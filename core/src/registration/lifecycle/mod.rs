//! The life of an endpoint: what its owner wants, by how well it answers.
//!
//! A [`Life`] is a product. [`Admin`] says what was decided about the endpoint, [`Health`] how it answers while it may be
//! sent to. [`Life::step`] takes what happens to the next life, to what is to be done, and to the reason; it is total,
//! and the two tables that it goes by are written out row by row.
//!
//! # What was decided
//!
//! | is \ happens | register | agreed | declined | withdrawn | pause | resume | disable | failing | answered 410 | hold over | remove |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | unverified | active \* | active | disabled | does | paused | active \* | disabled | - | gone | - | removed |
//! | active | - | - | - | unverified | paused | - | disabled | disabled | gone | - | removed |
//! | paused | - | - | - | - | - | active \* | disabled | - | gone | - | removed |
//! | disabled | - | - | - | - | no | active \* | - | - | gone | does | removed |
//! | gone | active \* | - | - | - | no | no | no | - | - | - | removed |
//! | removed | active \* | - | - | - | no | no | no | - | - | - | - |
//!
//! `-` changes nothing, `no` is a command that is refused, `does` stays and does something (asks anew; discards what
//! waits), and `*` is unverified where consent is needed and not given. Gone and removed end by being registered again,
//! and by nothing else.
//!
//! # How it answers
//!
//! | is \ happens | succeeded | failed | throttled | tripped | rest over |
//! | --- | --- | --- | --- | --- | --- |
//! | ok | - | - | throttled | open | - |
//! | throttled | - | - | throttled | open | ok |
//! | open | - | - | open | - | half-open |
//! | half-open | ok | open | open | open | - |
//!
//! A rest is never shortened by another. A breaker that opens again after a failed probe stays open for twice as long as
//! before, by [`BreakerPolicy::open_for`](crate::retry::BreakerPolicy::open_for) of the default policy.
//!
//! Health is followed while the endpoint is unverified, active or paused, since answers to earlier attempts still come,
//! and a pause does not shorten a rest. It begins anew when the endpoint leaves disabled, gone or removed.
//!
//! # What it means
//!
//! | | new events match | what waits | starts |
//! | --- | --- | --- | --- |
//! | unverified | yes | is held | nothing but the ask for consent |
//! | active, ok | yes | goes out | as many as its window allows |
//! | active, throttled or open | yes | is held until the rest is over | nothing |
//! | active, half-open | yes | is held | one, which decides |
//! | paused | yes | is held | nothing |
//! | disabled | no | is held for 72 h, then discarded | nothing |
//! | gone, removed | no | is discarded | nothing |
//!
//! # What the sender does with it
//!
//! [`State`](super::State) is [`Admin`] under the name that it has where endpoints are shown. Every change of what was
//! decided is a step of the first table, and a record of the journal with its [`Reason`]. The sender's `resume` of a gone endpoint is [`Event::Register`], because that is what it means: to register
//! it again. How an endpoint answers is measured by its breaker ([`retry::Breaker`](crate::retry::Breaker)), whose policy
//! the endpoint chooses, and shown in the words of [`Health`]; the second table is what that comes to with the default
//! policy. Deliveries that were held for too long are discarded one by one, and each of these is a record; the step that
//! says so is told and not recorded.

mod reason;
mod table;

use core::fmt;
use core::time::Duration;

pub use reason::{Reason, Rule};
pub use table::{Answer, Effect};

use crate::limits;
use crate::time::{Instant, Now, UnixTime};

/// What was decided about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a state must show each")]
pub enum Admin {
    /// Its owner has not agreed yet.
    Unverified {
        /// Since when.
        since: UnixTime,
    },
    /// It gets what it wants.
    Active,
    /// Somebody paused it.
    Paused {
        /// Since when.
        since: UnixTime,
    },
    /// It was taken out of service.
    Disabled {
        /// Since when.
        since: UnixTime,
        /// By whom.
        cause: Cause,
    },
    /// It answered 410.
    Gone {
        /// Since when.
        since: UnixTime,
    },
    /// It is forgotten.
    Removed {
        /// Since when.
        since: UnixTime,
    },
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a cause must show each")]
pub enum Cause {
    /// Somebody disabled it.
    Command,
    /// Its attempts have failed for too long.
    Failing,
    /// Its owner did not agree to be sent to.
    NoConsent,
}

/// How an endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a state must show each")]
pub enum Health {
    /// Well enough.
    Ok,
    /// It asked for a rest.
    Throttled {
        /// When the rest is over.
        until: Instant,
    },
    /// Its breaker is open.
    Open {
        /// When it is probed.
        until: Instant,
        /// How often in a row it has opened, counted from 1.
        times: u8,
    },
    /// It is being probed.
    HalfOpen {
        /// How often in a row its breaker has opened.
        times: u8,
    },
}

/// An endpoint's state: the product of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is the product of these two")]
pub struct Life {
    /// What was decided.
    pub admin: Admin,
    /// How it answers.
    pub health: Health,
}

/// What happens to an endpoint, with what its rule goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the table has a column for each")]
pub enum Event {
    /// Its owner registers it: under a name that is new, or explicitly again when it is gone.
    ///
    /// Putting a description over an endpoint that is there is no event of its life, and does not bring back one that is
    /// gone. Only where consent is wished for otherwise than before, it is: this for an unverified endpoint that need not
    /// agree any more, [`Withdrawn`](Self::Withdrawn) for one that has to agree now.
    Register {
        /// Whether it may be sent to: consent is not needed, or was given.
        consent: bool,
    },
    /// Its owner agreed.
    Agreed,
    /// Its owner did not agree.
    Declined,
    /// The consent no longer holds: the URL was changed, or it is to be given anew.
    Withdrawn,
    /// Somebody wants it paused.
    Pause,
    /// Somebody wants it to go on.
    Resume {
        /// Whether it may be sent to: consent is not needed, or was given.
        consent: bool,
    },
    /// Somebody wants it out of service.
    Disable,
    /// An attempt failed, and so have all since long ago.
    Failing {
        /// The first failure since the last success.
        since: UnixTime,
        /// Attempts that have failed since.
        attempts: u32,
    },
    /// It answered 410.
    Gone,
    /// Deliveries of a disabled endpoint have been held for as long as they are
    /// ([`DISABLED_HOLD`](limits::DISABLED_HOLD)). The caller's timer says so.
    HoldOver,
    /// Somebody wants it forgotten.
    Remove,
    /// An attempt was delivered.
    Succeeded,
    /// An attempt failed.
    Failed,
    /// It asked for a rest of this length, at most [`RETRY_AFTER_CAP`](limits::RETRY_AFTER_CAP).
    Throttled {
        /// How long it rests.
        rest: Duration,
    },
    /// Its breaker saw too many failures.
    Tripped {
        /// Attempts that the breaker looked at.
        attempts: u32,
        /// Those that failed.
        failed: u32,
    },
    /// Time has passed. Before the rest is over it changes nothing.
    RestOver,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The life from now on.
    pub to: Life,
    /// What is to be done, in order, once the step is durable.
    pub effects: &'static [Effect],
    /// Whether it changed something, and if not, whether it was refused.
    pub answer: Answer,
    /// Why.
    pub reason: Reason,
}

/// How much may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever starts must know each")]
pub enum Pass {
    /// Nothing.
    Nothing,
    /// One attempt at a time.
    Probe,
    /// As many as its window allows.
    Window,
}

impl Life {
    /// An endpoint of which nothing is known.
    pub const NEW: Self = Self { admin: Admin::Removed { since: UnixTime::EPOCH }, health: Health::Ok };

    /// What becomes of it when something happens. Every pair of life and event has an answer; none panics.
    pub fn step(self, now: Now, event: Event) -> Step {
        table::step(self, now, event)
    }

    /// Whether new events match it.
    pub const fn matches(self) -> bool {
        self.admin.matches()
    }

    /// How much may be started.
    pub const fn pass(self) -> Pass {
        match self.admin {
            Admin::Active => match self.health {
                Health::Ok => Pass::Window,
                Health::HalfOpen { .. } => Pass::Probe,
                Health::Throttled { .. } | Health::Open { .. } => Pass::Nothing,
            },
            Admin::Unverified { .. }
            | Admin::Paused { .. }
            | Admin::Disabled { .. }
            | Admin::Gone { .. }
            | Admin::Removed { .. } => Pass::Nothing,
        }
    }

    /// How long after `now` something is due by itself: the end of a rest, or of a disabled endpoint's hold.
    pub fn due(self, now: Now) -> Option<Duration> {
        match self.admin {
            Admin::Unverified { .. } | Admin::Active | Admin::Paused { .. } => match self.health {
                Health::Throttled { until } | Health::Open { until, .. } => Some(until.saturating_since(now.mono)),
                Health::Ok | Health::HalfOpen { .. } => None,
            },
            Admin::Disabled { since, .. } => {
                Some(limits::DISABLED_HOLD.saturating_sub(now.wall.saturating_since(since)))
            }
            Admin::Gone { .. } | Admin::Removed { .. } => None,
        }
    }
}

/// When a rest ends that is known from a record: one that was written at `at` with [`Reason::next`] of `rest`. A wall
/// clock that went back does not lengthen it, one that went forward may end it.
pub fn rest_after_restart(now: Now, at: UnixTime, rest: Duration) -> Instant {
    let left = at.saturating_add(rest).saturating_since(now.wall);
    now.mono.saturating_add(left.min(rest))
}

impl Admin {
    /// Whether new events match it.
    pub const fn matches(self) -> bool {
        match self {
            Self::Unverified { .. } | Self::Active | Self::Paused { .. } => true,
            Self::Disabled { .. } | Self::Gone { .. } | Self::Removed { .. } => false,
        }
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverified { since } => write!(f, "unverified since {since}"),
            Self::Active => f.write_str("active"),
            Self::Paused { since } => write!(f, "paused since {since}"),
            Self::Disabled { since, cause } => write!(f, "disabled since {since}: {cause}"),
            Self::Gone { since } => write!(f, "gone since {since}: it answered 410"),
            Self::Removed { since } => write!(f, "removed since {since}"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command => "somebody disabled it",
            Self::Failing => "its attempts failed for too long",
            Self::NoConsent => "its owner did not agree",
        })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Throttled { .. } => "throttled",
            Self::Open { .. } => "breaker open",
            Self::HalfOpen { .. } => "breaker half-open",
        })
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.health {
            Health::Ok => write!(f, "{}", self.admin),
            Health::Throttled { .. } | Health::Open { .. } | Health::HalfOpen { .. } => {
                write!(f, "{}, {}", self.admin, self.health)
            }
        }
    }
}

#[cfg(test)]
mod tests;
