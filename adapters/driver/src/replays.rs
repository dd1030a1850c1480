//! What is sent again, once it has ended: one delivery, or everything that history keeps for an endpoint.
//!
//! A sender that writes to a directory keeps payloads for a while after their events have ended
//! ([`Retention`](postrider_journal::history::Retention)). What is kept can be sent again to an endpoint, whether the
//! first time it was delivered or not:
//!
//! ```
//! use postrider_core::id::{EndpointKey, EventId};
//! use postrider_driver::replays;
//! use postrider_journal::history::End;
//!
//! let acme = EndpointKey::new("acme").unwrap();
//! let once = replays::one(&EventId::new("order-1001-paid").unwrap(), &acme);
//! let dead_letters = replays::retained(&acme).ended([End::Exhausted]).named("after-the-outage");
//! # let _ = (once, dead_letters);
//! ```
//!
//! Every request of a replay carries `postrider-replay`, a number that no other replay of the store has. It has the
//! `webhook-id` of the event, or a fresh one and names the event in `postrider-replay-of`. A replay goes to the endpoint
//! that was named and to no other, whether the endpoint wants the event now or not, outside of its lanes, with all
//! attempts of its schedule, let out by a ramp. It does not expire with the event.
//!
//! # Many
//! The endpoint's ended deliveries are walked through from the newest to the oldest, a page at a time, and of their
//! replays at most [`OPEN`] are open at once. What is itself a replay is passed over. The walk is not written down: after
//! a restart it is begun again with the same [name](Retained::named), and passes over what was replayed under it before,
//! for as long as the machine recognises repeats (24 h unless the limits say otherwise).

use std::fmt;

use postrider_core::id::{EndpointKey, EventId, IdError};
use postrider_core::sender::{REPLAYED, ReplayAs, ReplayRefused};
use postrider_core::time::UnixTime;
use postrider_journal::history::End;

/// Replays of one walk that are open at once, at most.
pub const OPEN: usize = 64;

/// The longest name of a replay, in bytes: what an id has room for beside its beginning and the number of an event.
const NAME: usize = EventId::MAX - REPLAYED.len() - 21;

/// One event to one endpoint of the same tenant.
pub fn one(event: &EventId, endpoint: &EndpointKey) -> One {
    One { event: event.clone(), endpoint: endpoint.clone(), how: ReplayAs::Same, name: None }
}

/// Every ended delivery of an endpoint whose payload is kept.
pub fn retained(endpoint: &EndpointKey) -> Retained {
    Retained {
        endpoint: endpoint.clone(),
        ends: Vec::new(),
        from: None,
        to: UnixTime::from_millis(u64::MAX),
        how: ReplayAs::Same,
        name: None,
    }
}

/// See [`one`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct One {
    pub(crate) event: EventId,
    pub(crate) endpoint: EndpointKey,
    pub(crate) how: ReplayAs,
    pub(crate) name: Option<String>,
}

impl One {
    /// Under a fresh id, which names the old one.
    pub fn fresh_id(mut self) -> Self {
        self.how = ReplayAs::Fresh;
        self
    }

    /// Under this name, so that asking again changes nothing. Without one, a name is minted.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// See [`retained`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    pub(crate) endpoint: EndpointKey,
    pub(crate) ends: Vec<End>,
    pub(crate) from: Option<UnixTime>,
    pub(crate) to: UnixTime,
    pub(crate) how: ReplayAs,
    pub(crate) name: Option<String>,
}

impl Retained {
    /// Only deliveries that ended in one of these ways; without it, or with none of them, all.
    pub fn ended(mut self, ends: impl IntoIterator<Item = End>) -> Self {
        self.ends = ends.into_iter().collect();
        self
    }

    /// Only those that ended at or after `from`. Refused with [`ReplayError::Forgotten`] where payloads of that time are
    /// not kept any more; without it, from the time on since which they are.
    pub fn from(mut self, from: UnixTime) -> Self {
        self.from = Some(from);
        self
    }

    /// Only those that ended before `to`.
    pub fn to(mut self, to: UnixTime) -> Self {
        self.to = to;
        self
    }

    /// Each under a fresh id, which names the old one.
    pub fn fresh_ids(mut self) -> Self {
        self.how = ReplayAs::Fresh;
        self
    }

    /// Under this name, by which the walk is cancelled, and gone on with after a restart. Without one, a name is minted.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// Whether a name can be that of a replay.
pub(crate) fn check(name: &str) -> Result<(), IdError> {
    if name.len() > NAME {
        return Err(IdError::TooLong { len: name.len(), max: NAME });
    }
    EventId::new(name).map(drop)
}

/// What a walk came to, or would come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// The name that it had.
    pub name: String,
    /// Deliveries found, by [`End`]; those that are replays themselves are not among them.
    pub found: [u64; 7],
    /// Of these, replays made.
    pub made: u64,
    /// Of the replays made, and of those made before that still waited, those that were delivered.
    pub delivered: u64,
    /// Of the same, those that ended otherwise.
    pub failed: u64,
    /// Replays that had been made under this name before.
    pub before: u64,
    /// Those whose payload is not kept any more, or was erased.
    pub gone: u64,
    /// Those that the sender did not accept.
    pub refused: u64,
    /// Of the replays made, those that were not over when the walk was cancelled; they were cancelled too.
    pub cancelled: u64,
    /// It was cancelled before it came to its end.
    pub cut: bool,
}

impl Replayed {
    /// Deliveries found.
    pub fn all(&self) -> u64 {
        self.found.iter().sum()
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} found", self.all())?;
        let ends = End::ALL.iter().zip(self.found).filter(|(_, count)| *count > 0);
        for (n, (end, count)) in ends.enumerate() {
            write!(f, "{}{count} {end}", if n == 0 { " (" } else { ", " })?;
        }
        if self.all() > 0 {
            f.write_str(")")?;
        }
        let told = [
            (self.made, "replayed"),
            (self.before, "replayed before"),
            (self.delivered, "delivered"),
            (self.failed, "failed"),
            (self.gone, "without payload"),
            (self.refused, "refused"),
            (self.cancelled, "cancelled"),
        ];
        told.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

/// Why something is not sent again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// Its payload is not kept any more, or part of the time asked for is before what is kept.
    Forgotten {
        /// Payloads of events that ended since are kept.
        since: UnixTime,
    },
    /// Nothing is known of the event. If it ended before this time, it has been forgotten.
    Unknown(EventId, UnixTime),
    /// The event was erased.
    Erased(EventId),
    /// The machine refused it.
    Refused(ReplayRefused),
    /// It has a name that no replay can have.
    Name(IdError),
    /// A walk of this name is under way.
    UnderWay(String),
    /// The log failed, or the sender was stopped, before it was safe. It may or may not be there when the store is opened
    /// again; replaying under the same name makes sure.
    NotDurable(String),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forgotten { since } => write!(f, "it is forgotten: payloads are kept of what ended since {since}"),
            Self::Unknown(event, since) => {
                write!(f, "nothing is known of {event}; what ended before {since} is forgotten")
            }
            Self::Erased(event) => write!(f, "{event} was erased"),
            Self::Refused(why) => write!(f, "{why}"),
            Self::Name(why) => write!(f, "the name of a replay {why}"),
            Self::UnderWay(name) => write!(f, "a replay named {name} is under way"),
            Self::NotDurable(name) => {
                write!(f, "the sender stopped before the replay was safe; replay again under the name {name}")
            }
        }
    }
}

impl std::error::Error for ReplayError {}
