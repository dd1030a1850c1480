//! Which events have been seen: claim, then commit or abort.
//!
//! ```text
//!   unseen ──claim──> in progress ──Done, Refuse──> over ──age, number──> unseen
//!     ^                 │     │                       ^
//!     ├──────Later──────┘     └─time-out─> overdue ───┤ late Done, Refuse
//!     └───────────claimed again, Later, age, number──┘
//! ```
//!
//! An overdue id is free: a request with it is delivered again, and the delivery before is then forgotten.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::contract::{DeliveryId, ExchangeId};
use crate::time::Instant;

/// Entries forgotten in one call, at most; more than one comes in with it, so the rest goes with later calls.
const FORGET_AT_ONCE: usize = 4;

/// The ids in progress, and those remembered for a time and up to a number.
#[derive(Debug, Default)]
pub(super) struct Claims {
    entries: BTreeMap<DeliveryId, Entry>,
    /// The one entry of each id.
    by_id: BTreeMap<Arc<str>, DeliveryId>,
    /// Those in progress, by when they are overdue.
    deadlines: BTreeSet<(Instant, DeliveryId)>,
    /// The others, by when they ended.
    ended: BTreeSet<(Instant, DeliveryId)>,
    made: u64,
}

#[derive(Debug)]
struct Entry {
    id: Arc<str>,
    state: State,
}

#[derive(Debug)]
enum State {
    InProgress { deadline: Instant, waiters: Vec<ExchangeId> },
    Overdue { since: Instant },
    Over { since: Instant, fate: Fate },
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Refused,
}

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing, or nothing that counts: it can be claimed.
    Free,
    InProgress(DeliveryId),
    Over(Fate),
}

/// What reporting a delivery came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was in progress; these wait for it.
    InTime(Vec<ExchangeId>),
    /// It was overdue, and counts after all. Nobody waits for it.
    Late(Arc<str>),
    /// It was overdue, and its id was free already.
    Freed,
    /// Nothing is known of it.
    Stale,
}

impl Claims {
    /// What is known of an id. What ended a window ago or earlier is not known any more.
    pub(super) fn find(&self, id: &str, now: Instant, window: Duration) -> Known {
        let Some(delivery) = self.by_id.get(id) else { return Known::Free };
        match &self.entries[delivery].state {
            State::InProgress { .. } => Known::InProgress(*delivery),
            State::Over { since, fate } if now.saturating_since(*since) < window => Known::Over(*fate),
            State::Over { .. } | State::Overdue { .. } => Known::Free,
        }
    }

    /// Claims a free id for an exchange, which becomes its first waiter.
    pub(super) fn claim(&mut self, id: &str, deadline: Instant, by: ExchangeId) -> (DeliveryId, Arc<str>) {
        if let Some(before) = self.by_id.get(id).copied() {
            self.remove(before);
        }
        self.made += 1;
        let (delivery, id) = (DeliveryId(self.made), Arc::from(id));
        let state = State::InProgress { deadline, waiters: Vec::from([by]) };
        self.entries.insert(delivery, Entry { id: Arc::clone(&id), state });
        self.by_id.insert(Arc::clone(&id), delivery);
        self.deadlines.insert((deadline, delivery));
        (delivery, id)
    }

    /// Lets another exchange wait for a delivery in progress, unless as many as `most` do.
    pub(super) fn join(&mut self, delivery: DeliveryId, exchange: ExchangeId, most: usize) -> bool {
        let waiters = self.waiters(delivery).filter(|waiters| waiters.len() < most);
        waiters.map(|waiters| waiters.push(exchange)).is_some()
    }

    /// An exchange waits no more; the delivery goes on.
    pub(super) fn leave(&mut self, delivery: DeliveryId, exchange: ExchangeId) {
        if let Some(waiters) = self.waiters(delivery) {
            waiters.retain(|waiter| *waiter != exchange);
        }
    }

    /// A delivery has ended for good.
    pub(super) fn commit(&mut self, delivery: DeliveryId, fate: Fate, now: Instant) -> Ended {
        let Some(entry) = self.entries.get_mut(&delivery) else { return Ended::Stale };
        let ended = match &mut entry.state {
            State::InProgress { deadline, waiters } => {
                self.deadlines.remove(&(*deadline, delivery));
                Ended::InTime(core::mem::take(waiters))
            }
            State::Overdue { since } => {
                self.ended.remove(&(*since, delivery));
                Ended::Late(Arc::clone(&entry.id))
            }
            State::Over { .. } => return Ended::Stale,
        };
        entry.state = State::Over { since: now, fate };
        self.ended.insert((now, delivery));
        ended
    }

    /// A delivery has ended without effect: its id is free.
    pub(super) fn abort(&mut self, delivery: DeliveryId) -> Ended {
        let over = |entry: &Entry| matches!(entry.state, State::Over { .. });
        if self.entries.get(&delivery).is_none_or(over) {
            return Ended::Stale;
        }
        match self.remove(delivery).map(|entry| entry.state) {
            Some(State::InProgress { waiters, .. }) => Ended::InTime(waiters),
            Some(State::Overdue { .. }) => Ended::Freed,
            Some(State::Over { .. }) | None => Ended::Stale,
        }
    }

    /// The first delivery in progress that is overdue at `now`, with who waits for it. It keeps its entry, so that it
    /// can end late: call [`abort`](Self::abort) where it cannot.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(DeliveryId, Arc<str>, Vec<ExchangeId>)> {
        let (_, delivery) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now).copied()?;
        self.deadlines.pop_first();
        self.ended.insert((now, delivery));
        let entry = self.entries.get_mut(&delivery).expect("each deadline is of an entry");
        let waiters = match core::mem::replace(&mut entry.state, State::Overdue { since: now }) {
            State::InProgress { waiters, .. } => waiters,
            State::Overdue { .. } | State::Over { .. } => Vec::new(),
        };
        Some((delivery, Arc::clone(&entry.id), waiters))
    }

    /// Forgets what ended a window ago or earlier, and the oldest while more than `most` have ended. Says the age of
    /// each that was done or refused and is forgotten before its time.
    pub(super) fn forget(
        &mut self,
        now: Instant,
        window: Duration,
        most: usize,
    ) -> impl Iterator<Item = Duration> + use<> {
        let mut early = [None; FORGET_AT_ONCE];
        for early in &mut early {
            let Some((since, delivery)) = self.ended.first().copied() else { break };
            let age = now.saturating_since(since);
            if age < window && self.ended.len() <= most {
                break;
            }
            let entry = self.remove(delivery).expect("what has ended is of an entry");
            *early = match entry.state {
                State::Over { .. } => Some(age).filter(|age| *age < window),
                State::InProgress { .. } | State::Overdue { .. } => None,
            };
        }
        early.into_iter().flatten()
    }

    /// When the next delivery is overdue.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Deliveries in progress.
    pub(super) fn in_progress(&self) -> usize {
        self.deadlines.len()
    }

    /// Ids whose deliveries have ended.
    pub(super) fn remembered(&self) -> usize {
        self.ended.len()
    }

    fn waiters(&mut self, delivery: DeliveryId) -> Option<&mut Vec<ExchangeId>> {
        match &mut self.entries.get_mut(&delivery)?.state {
            State::InProgress { waiters, .. } => Some(waiters),
            State::Overdue { .. } | State::Over { .. } => None,
        }
    }

    fn remove(&mut self, delivery: DeliveryId) -> Option<Entry> {
        let entry = self.entries.remove(&delivery)?;
        self.by_id.remove(&entry.id);
        match entry.state {
            State::InProgress { deadline, .. } => self.deadlines.remove(&(deadline, delivery)),
            State::Overdue { since } | State::Over { since, .. } => self.ended.remove(&(since, delivery)),
        };
        Some(entry)
    }
}
