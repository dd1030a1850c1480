//! What callers are told.

use std::fmt;

use postrider_core::id::{EndpointId, EventId, JournalSeq};
use postrider_core::secret::Secret;
use postrider_core::sender::{Change, Put, Receipt as Accepted, SyncDone, Told};
use postrider_journal::Durability;

/// A promise that holds: the event is in the log, and is delivered to every endpoint that wanted it, or the reason why
/// not can be read.
///
/// Printed, it says what the promise is worth:
/// `accepted order-1001-paid, on disk at 412, 1 endpoint` or `accepted order-1001-paid, in memory only, 1 endpoint`.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    accepted: Accepted,
    durability: Durability,
}

impl Receipt {
    pub(super) fn new(accepted: Accepted, durability: Durability) -> Self {
        Self { accepted, durability }
    }

    /// The event's id; of a repeat, the first one's.
    pub fn event(&self) -> &EventId {
        &self.accepted.event
    }

    /// The record that accepts it.
    pub fn seq(&self) -> JournalSeq {
        self.accepted.seq
    }

    /// Whether the event is new; `false` for a repeat, which changed nothing.
    pub fn is_fresh(&self) -> bool {
        self.accepted.fresh
    }

    /// Who is told.
    pub fn told(&self) -> &Told {
        &self.accepted.told
    }

    /// What the promise survives.
    pub fn durability(&self) -> Durability {
        self.durability
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accepted { event, seq, told, .. } = &self.accepted;
        write!(f, "accepted {event}, {}", self.durability)?;
        match self.durability {
            Durability::Memory => {}
            Durability::Disk => write!(f, " at {seq}")?,
        }
        write!(f, ", {told}")
    }
}

/// What registering an endpoint came to, durably.
#[derive(Clone, Debug)]
pub struct Registered {
    put: Put,
    minted: Option<Secret>,
}

impl Registered {
    pub(super) fn new(put: Put, minted: Option<Secret>) -> Self {
        Self { put, minted }
    }

    /// The secret that was minted, for an endpoint that is new and brought none. This is the only time that it is
    /// shown: give [`Secret::reveal`] to whoever runs the receiver.
    pub fn created(&self) -> Option<&Secret> {
        self.minted.as_ref()
    }

    /// Whether the endpoint was created, updated, or exactly so already.
    pub fn put(&self) -> &Put {
        &self.put
    }

    /// The record behind it.
    pub fn change(&self) -> Change {
        self.put.change()
    }
}

/// What making a tenant's endpoints equal to a list came to, durably.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncReport {
    /// What was added, changed and removed, and what stayed; or that a newer list was applied before.
    pub done: SyncDone,
    /// The secrets that were minted, for endpoints that are new and brought none. This is the only time that they are
    /// shown: give each [`Secret::reveal`] to whoever runs the receiver.
    pub minted: Vec<(EndpointId, Secret)>,
}
