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
use core::ops::Bound;
use core::time::Duration;

use super::contract::{DeliveryId, ExchangeId};
use crate::time::{Instant, UnixTime};

/// Entries forgotten in one call, at most; more than one comes in with it, so the rest goes with later calls.
const FORGET_AT_ONCE: usize = 4;

/// The ids in progress, and those remembered for a time and up to a number.
#[derive(Debug, Default)]
pub(super) struct Claims {
    entries: BTreeMap<DeliveryId, Entry>,
    /// The one entry of each id, and of each replay of it.
    by_id: BTreeMap<Arc<str>, DeliveryId>,
    /// Those in progress, by when they are overdue.
    deadlines: BTreeSet<(Instant, DeliveryId)>,
    /// The others, by when they ended.
    ended: BTreeSet<(Instant, DeliveryId)>,
    made: u64,
}

#[derive(Debug)]
struct Entry {
    /// What it is found by.
    key: Arc<str>,
    id: Arc<str>,
    /// The newest request that came for it was signed then.
    signed: UnixTime,
    state: State,
}

/// What a request brings that is looked for here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) id: &'a str,
    /// The number of the replay that it is, where it counts as one.
    pub(super) replay: Option<u64>,
    pub(super) signed: UnixTime,
}

impl Name<'_> {
    /// An id has no NUL, so that what belongs to it stands right behind it.
    fn key(&self) -> Arc<str> {
        match self.replay {
            None => Arc::from(self.id),
            Some(number) => Arc::from(alloc::format!("{}\0{number}", self.id)),
        }
    }
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
    /// What is known of an id or of a replay of it. What ended a window ago or earlier is not known any more. A replay
    /// that was not signed later than everything else under its id is taken for what came then.
    pub(super) fn find(&mut self, name: &Name<'_>, now: Instant, window: Duration) -> Known {
        let key = name.key();
        let known = self.by_id.get(&key).map_or(Known::Free, |at| self.known(*at, now, window));
        if known != Known::Free || name.replay.is_none() {
            if let Some(entry) = self.by_id.get(&key).and_then(|at| self.entries.get_mut(at)) {
                entry.signed = entry.signed.max(name.signed);
            }
            return known;
        }
        let of_id = self.by_id.range::<str, _>((Bound::Included(name.id), Bound::Unbounded)).take_while(|(key, _)| {
            key.strip_prefix(name.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('\0'))
        });
        let newest = of_id.map(|(_, at)| *at).max_by_key(|at| self.entries[at].signed);
        newest.filter(|at| name.signed <= self.entries[at].signed).map_or(Known::Free, |at| self.known(at, now, window))
    }

    fn known(&self, delivery: DeliveryId, now: Instant, window: Duration) -> Known {
        match &self.entries[&delivery].state {
            State::InProgress { .. } => Known::InProgress(delivery),
            State::Over { since, fate } if now.saturating_since(*since) < window => Known::Over(*fate),
            State::Over { .. } | State::Overdue { .. } => Known::Free,
        }
    }

    /// Claims a free id for an exchange, which becomes its first waiter.
    pub(super) fn claim(&mut self, name: &Name<'_>, deadline: Instant, by: ExchangeId) -> (DeliveryId, Arc<str>) {
        let key = name.key();
        if let Some(before) = self.by_id.get(&key).copied() {
            self.remove(before);
        }
        self.made += 1;
        let id = if name.replay.is_none() { Arc::clone(&key) } else { Arc::from(name.id) };
        let delivery = DeliveryId(self.made);
        let state = State::InProgress { deadline, waiters: Vec::from([by]) };
        let entry = Entry { key: Arc::clone(&key), id: Arc::clone(&id), signed: name.signed, state };
        self.entries.insert(delivery, entry);
        self.by_id.insert(key, delivery);
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
        self.by_id.remove(&entry.key);
        match entry.state {
            State::InProgress { deadline, .. } => self.deadlines.remove(&(deadline, delivery)),
            State::Overdue { since } | State::Over { since, .. } => self.ended.remove(&(since, delivery)),
        };
        Some(entry)
    }
}
