//! Which events have been seen: claim, then commit or abort.
//!
//! ```text
//!   unseen ──claim──> in progress ──for good──> over ──age, number──> unseen
//!     ^                 │     │                  ^
//!     ├──Later, owed────┘     └─time-out─> overdue ──late, for good
//!     └──────────claimed again, Later, age, number──┘
//! ```
//!
//! What is overdue or owed is free: a request for it is delivered again, and the delivery before is then forgotten.
//!
//! **By what an event is known.** By its id, where the signature covers it, and else by the digest of what was signed:
//! nobody can change either. An id that is not covered is looked at only where the digest is unseen, so it can make a
//! repeat of what looks new and never the other way round. Such an id belongs to the content that it came with first:
//! content that comes again under another one gains nothing by it, and takes it from nobody. Therefore a delivery that
//! failed is remembered as owed where there is such an id: its content is delivered when it comes again, whatever has come
//! under its id meanwhile. Content that came as a repeat by such an id (a sender that signs the time signs each attempt
//! anew) belongs to that event too.
//!
//! What this leaves open: whoever holds signed content that the machine has not seen inside of its window, and knows the id
//! of an event before the machine does, can have that event taken for a repeat. To know both he must usually sit
//! between sender and receiver, behind TLS; of an event that failed and comes again after its window, or whose memory was
//! evicted early, an old capture is enough.

mod name;
mod table;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::claim::{ClaimToken, Ending};
use super::contract::DeliveryId;
use super::order::Place;
use crate::time::Instant;
pub(super) use name::{Digest, Name, digest_text};
use table::{Queue, State, Table};

/// Entries forgotten in one call, at most; more than one comes in with it, so the rest goes with later calls.
const FORGET_AT_ONCE: usize = 4;

/// Other contents that are remembered to have come under the id of an event, at most.
const VARIANTS: usize = 16;

/// The events in progress, and those remembered for a time and up to a number.
#[derive(Debug, Default)]
pub(super) struct Claims {
    table: Table,
    made: u64,
}

/// What is known of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing, or nothing that counts: it can be claimed.
    Free,
    InProgress(DeliveryId),
    Over(Ending),
}

/// What was claimed.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) delivery: DeliveryId,
    pub(super) id: Option<Arc<str>>,
    /// What a person calls it by.
    pub(super) label: Arc<str>,
    pub(super) scope: u32,
    /// What was signed, where the signature covers no id.
    pub(super) digest: Option<Digest>,
}

impl Begun {
    /// A delivery of what has this name.
    pub(super) fn new(delivery: DeliveryId, name: &Name) -> Self {
        let (id, label) = (name.id.clone(), name.label());
        Self { delivery, id, label, scope: name.scope, digest: name.digest().copied() }
    }
}

/// Exchanges that wait for a delivery, by their places, in the order in which they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waiters {
    first: Option<u32>,
    others: Vec<u32>,
}

impl IntoIterator for Waiters {
    type Item = u32;
    type IntoIter = core::iter::Chain<core::option::IntoIter<u32>, alloc::vec::IntoIter<u32>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

/// What reporting a delivery came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was in progress; these wait for it.
    InTime(Waiters),
    /// It was overdue, and counts after all. Nobody waits for it.
    Late(Arc<str>),
    /// It was overdue, and its event was free already.
    Freed,
    /// Nothing is known of it.
    Stale,
}

impl Claims {
    /// What is known of an event or of a replay of it. What ended a window ago or earlier is not known any more. A replay
    /// that was not signed later than everything else under its id is taken for what came then.
    ///
    /// With `alone`, whatever is known is known here. Without it a store of claims knows more: it may know content that is
    /// unseen here, so an id that is not covered decides nothing before the store is asked.
    pub(super) fn find(&mut self, name: &Name, alone: bool, (now, window): (Instant, Duration)) -> Known {
        if let Some(digest) = name.digest() {
            let known = self.find_content(name.scope, digest, now, window);
            let known = known.or_else(|| (!alone || name.id.is_none()).then_some(Known::Free));
            return known.unwrap_or_else(|| self.find_uncovered(name, *digest, now, window));
        }
        let at = self.table.of_id(name);
        let known = at.map_or(Known::Free, |at| self.known(at, now, window));
        if known != Known::Free || name.replay().is_none() {
            if let Some(at) = at {
                let seen = &mut self.table[at].name;
                seen.signed = seen.signed.max(name.signed);
            }
            return known;
        }
        // One that is free, because it failed, says nothing of those before it.
        let mut newest = None;
        self.table.all_of_id(name, |at| {
            let entry = &self.table[at].name;
            let key = Some((entry.signed, entry.replay()));
            let known = self.known(at, now, window);
            if name.signed <= entry.signed && known != Known::Free && newest.map(|(key, _)| key) < key {
                newest = key.map(|key| (key, known));
            }
        });
        newest.map_or(Known::Free, |(_, known)| known)
    }

    /// What is known of what was signed. `None`: it is unseen. What is owed is free.
    fn find_content(&self, scope: u32, digest: &Digest, now: Instant, window: Duration) -> Option<Known> {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(88) {
            return None;
        }
        let at = self.table.of_digest(scope, digest)?;
        match self.table[at].state {
            State::InProgress { .. } => Some(Known::InProgress(self.table[at].delivery())),
            State::Over(_) | State::Overdue | State::Owed => {
                (now.saturating_since(self.table[at].time()) < window).then(|| self.known(at, now, window))
            }
        }
    }

    /// What is known of an id that anyone could have given to what was signed, which is unseen. If it is no news, that
    /// content has been seen with it.
    fn find_uncovered(&mut self, name: &Name, digest: Digest, now: Instant, window: Duration) -> Known {
        let Some(at) = self.table.of_id(name) else { return Known::Free };
        let known = self.known(at, now, window);
        if known != Known::Free && self.table[at].variants().len() < VARIANTS {
            self.table[at].rare_mut().variants.push(digest);
            self.table.set_digest(digest, at);
        }
        known
    }

    fn known(&self, at: u32, now: Instant, window: Duration) -> Known {
        let entry = &self.table[at];
        match entry.state {
            State::InProgress { .. } => Known::InProgress(entry.delivery()),
            #[cfg(postrider_planted)]
            State::Over(_) if crate::planted::breaks(89) => Known::Free,
            State::Over(fate) if now.saturating_since(entry.time()) < window => Known::Over(fate),
            State::Over(_) | State::Overdue | State::Owed => Known::Free,
        }
    }

    /// Claims a free event for an exchange, which becomes its first waiter. Its id is the one that its content came with
    /// first.
    pub(super) fn claim(
        &mut self,
        mut name: Name,
        (by, deadline): (u32, Instant),
        (now, window): (Instant, Duration),
    ) -> Begun {
        let mut variants = Vec::new();
        if let Some(digest) = name.digest().copied() {
            if let Some(before) = self.table.of_digest(name.scope, &digest) {
                let mut before = self.table.remove(before);
                variants = before.take_variants();
                variants.extend(before.name.digest());
                name.take_id(before.name);
                // Those that came again after its window are another's by now.
                let free = |other: &Digest| self.table.of_digest(name.scope, other).is_none();
                variants.retain(|other| *other != digest && free(other));
            }
        } else if let Some(before) = self.table.of_id(&name) {
            name.signed = name.signed.max(self.table.remove(before).name.signed);
        }
        self.made += 1;
        let begun = Begun::new(DeliveryId(self.made), &name);
        // An id that is not covered stays with what is known under it.
        let holder = if name.is_covered() { None } else { self.table.of_id(&name) };
        let is_free = holder.is_none_or(|holder| self.known(holder, now, window) == Known::Free);
        let is_filed = name.id.is_some() && is_free;
        let at = self.table.insert(self.made, name, by, deadline);
        if is_filed {
            self.table.file(at, holder);
        }
        for digest in begun.digest.iter().chain(&variants) {
            self.table.set_digest(*digest, at);
        }
        if !variants.is_empty() {
            self.table[at].rare_mut().variants = variants;
        }
        begun
    }

    /// Gives a delivery in progress until `deadline`.
    pub(super) fn renew(&mut self, delivery: DeliveryId, deadline: Instant) {
        self.give(delivery, Queue::Going, deadline);
    }

    /// Gives a delivery in progress until `deadline`, because it is held for its turn.
    pub(super) fn hold(&mut self, delivery: DeliveryId, deadline: Instant) {
        self.give(delivery, Queue::Held, deadline);
    }

    fn give(&mut self, delivery: DeliveryId, queue: Queue, deadline: Instant) {
        if let Some(at) = self.in_progress_at(delivery) {
            self.table.move_to(at, queue, deadline);
        }
    }

    /// A store has granted a delivery's claim.
    pub(super) fn granted(&mut self, delivery: DeliveryId, token: ClaimToken) {
        if let Some(at) = self.table.find(delivery) {
            self.table[at].rare_mut().token = Some(token);
        }
    }

    /// A delivery has a place in a line.
    pub(super) fn seat(&mut self, delivery: DeliveryId, place: Place) {
        if let Some(at) = self.table.find(delivery) {
            self.table[at].rare_mut().place = Some(place);
        }
    }

    /// The place of a delivery, where it has one.
    pub(super) fn place(&self, delivery: DeliveryId) -> Option<&Place> {
        self.table[self.table.find(delivery)?].rare()?.place.as_ref()
    }

    /// Whether a delivery is in progress.
    pub(super) fn is_in_progress(&self, delivery: DeliveryId) -> bool {
        self.in_progress_at(delivery).is_some()
    }

    /// What a delivery was claimed as.
    pub(super) fn name(&self, delivery: DeliveryId) -> &Name {
        &self.table[self.table.find(delivery).expect("a delivery that is asked for is known")].name
    }

    /// Takes the key and the token of a delivery's claim in a store, where it has one.
    pub(super) fn take_token(&mut self, delivery: DeliveryId) -> Option<(Arc<str>, ClaimToken)> {
        let entry = self.table.find(delivery).map(|at| &mut self.table[at])?;
        let token = entry.has_rare()?.token.take()?;
        Some((entry.name.key(), token))
    }

    /// The first delivery in progress that is overdue at `now`.
    pub(super) fn due(&self, now: Instant) -> Option<DeliveryId> {
        let due = |at: &u32| self.table[*at].time() <= now;
        self.first_overdue().filter(due).map(|at| self.table[at].delivery())
    }

    /// What a person calls a delivery's event by.
    pub(super) fn label(&self, delivery: DeliveryId) -> Option<Arc<str>> {
        self.table.find(delivery).map(|at| self.table[at].name.label())
    }

    /// Lets another exchange wait for a delivery in progress, unless as many as `most` do.
    pub(super) fn join(&mut self, delivery: DeliveryId, exchange: u32, most: usize) -> bool {
        let Some(entry) = self.in_progress_at(delivery).map(|at| &mut self.table[at]) else { return false };
        let first = usize::from(matches!(entry.state, State::InProgress { first: Some(_) }));
        let has_room = first + entry.rare().map_or(0, |rare| rare.waiters.len()) < most;
        if has_room {
            entry.rare_mut().waiters.push(exchange);
        }
        has_room
    }

    /// An exchange waits no more; the delivery goes on.
    pub(super) fn leave(&mut self, delivery: DeliveryId, exchange: u32) {
        let Some(entry) = self.table.find(delivery).map(|at| &mut self.table[at]) else { return };
        if let State::InProgress { first } = &mut entry.state {
            first.take_if(|first| *first == exchange);
            if let Some(rare) = entry.has_rare() {
                rare.waiters.retain(|waiter| *waiter != exchange);
            }
        }
    }

    /// A delivery has ended for good.
    pub(super) fn commit(&mut self, delivery: DeliveryId, fate: Ending, now: Instant) -> Ended {
        let Some(at) = self.table.find(delivery) else { return Ended::Stale };
        let ended = match self.table[at].state {
            State::InProgress { first } => Ended::InTime(self.take_waiters(at, first)),
            State::Overdue => Ended::Late(self.table[at].name.label()),
            State::Owed | State::Over(_) => return Ended::Stale,
        };
        self.end(at, State::Over(fate), now);
        ended
    }

    /// A delivery has ended without effect: its event is free. Where its id is not covered, what the id came with is
    /// remembered, so that no other content can take its place.
    pub(super) fn abort(&mut self, delivery: DeliveryId, now: Instant) -> Ended {
        let Some(at) = self.table.find(delivery) else { return Ended::Stale };
        let ended = match self.table[at].state {
            State::InProgress { first } => Ended::InTime(self.take_waiters(at, first)),
            State::Overdue => Ended::Freed,
            State::Owed | State::Over(_) => return Ended::Stale,
        };
        let name = &self.table[at].name;
        if name.is_covered() || name.id.is_none() {
            self.table.remove(at);
        } else {
            self.end(at, State::Owed, now);
        }
        ended
    }

    /// A delivery in progress has taken too long; says who waits for it. It keeps its entry, so that it can end late.
    pub(super) fn expire(&mut self, delivery: DeliveryId, now: Instant) -> Waiters {
        let Some(at) = self.table.find(delivery) else { return Waiters::default() };
        let State::InProgress { first } = self.table[at].state else { return Waiters::default() };
        let waiters = self.take_waiters(at, first);
        self.end(at, State::Overdue, now);
        waiters
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
            let Some(at) = self.table.first(Queue::Ended) else { break };
            let age = now.saturating_since(self.table[at].time());
            if age < window && self.remembered() <= most {
                break;
            }
            *early = match self.table.remove(at).state {
                State::Over(_) => Some(age).filter(|age| *age < window),
                State::InProgress { .. } | State::Overdue | State::Owed => None,
            };
        }
        early.into_iter().flatten()
    }

    /// When the next delivery is overdue.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.first_overdue().map(|at| self.table[at].time())
    }

    /// Deliveries in progress.
    pub(super) fn in_progress(&self) -> usize {
        self.table.len(Queue::Going) + self.table.len(Queue::Held)
    }

    /// Events whose deliveries have ended.
    pub(super) fn remembered(&self) -> usize {
        self.table.len(Queue::Ended)
    }

    /// The entry of a delivery, if it is in progress.
    fn in_progress_at(&self, delivery: DeliveryId) -> Option<u32> {
        self.table.find(delivery).filter(|at| matches!(self.table[*at].state, State::InProgress { .. }))
    }

    /// The delivery in progress that is overdue first.
    fn first_overdue(&self) -> Option<u32> {
        match (self.table.first(Queue::Going), self.table.first(Queue::Held)) {
            (Some(going), Some(held)) => {
                Some(if self.table[held].key() < self.table[going].key() { held } else { going })
            }
            (going, held) => going.or(held),
        }
    }

    fn take_waiters(&mut self, at: u32, first: Option<u32>) -> Waiters {
        let others = self.table[at].has_rare().map(|rare| core::mem::take(&mut rare.waiters));
        Waiters { first, others: others.unwrap_or_default() }
    }

    fn end(&mut self, at: u32, state: State, now: Instant) {
        self.table[at].state = state;
        self.table.move_to(at, Queue::Ended, now);
    }
}

#[cfg(test)]
mod tests;
