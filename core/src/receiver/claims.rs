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

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::claim::{ClaimToken, Ending};
use super::contract::{DeliveryId, ExchangeId};
use super::order::Place;
use crate::time::{Instant, UnixTime};

/// Entries forgotten in one call, at most; more than one comes in with it, so the rest goes with later calls.
const FORGET_AT_ONCE: usize = 4;

/// Other contents that are remembered to have come under the id of an event, at most.
const VARIANTS: usize = 16;

/// SHA-256 of what was signed.
pub(super) type Digest = [u8; 32];

/// The events in progress, and those remembered for a time and up to a number.
#[derive(Debug, Default)]
pub(super) struct Claims {
    entries: BTreeMap<DeliveryId, Entry>,
    /// The newest entry of each id, and of each replay of it.
    by_id: BTreeMap<IdKey, DeliveryId>,
    /// The one entry of each content, where the signature covers no id. An entry may have several.
    by_digest: BTreeMap<(u32, Digest), DeliveryId>,
    /// Those in progress, by when they are overdue.
    deadlines: BTreeSet<(Instant, DeliveryId)>,
    /// The others, by when they ended.
    ended: BTreeSet<(Instant, DeliveryId)>,
    made: u64,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    state: State,
    /// What else was signed and came under its id, which the signature does not cover, while it was not free.
    variants: Vec<Digest>,
    /// Its claim in a store of claims.
    token: Option<ClaimToken>,
    /// Its place, where receiving is ordered.
    place: Option<Place>,
}

/// What a request brings that is looked for here.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// Whose ids and contents it is among.
    pub(super) scope: u32,
    pub(super) id: Option<Arc<str>>,
    /// What was signed, where the signature covers no id; so it is there where the id is not.
    pub(super) digest: Option<Digest>,
    /// The number of the replay that it is, where it counts as one: only under an id that is covered.
    pub(super) replay: Option<u64>,
    /// When it was signed; of an entry, the newest request that came for it.
    pub(super) signed: UnixTime,
}

/// An id, or a replay of it. Those that are covered and those that are not have nothing to do with each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct IdKey {
    scope: u32,
    covered: bool,
    id: Arc<str>,
    replay: Option<u64>,
}

impl Name {
    /// What a person calls it by.
    fn label(&self) -> Arc<str> {
        match (&self.id, &self.digest) {
            (Some(id), _) => Arc::clone(id),
            (None, Some(digest)) => digest_text(digest).into(),
            (None, None) => Arc::from(""),
        }
    }

    /// The key by which a store of claims knows it.
    pub(super) fn key(&self) -> Arc<str> {
        let scope = self.scope;
        match (&self.digest, &self.id, self.replay) {
            (Some(digest), ..) => format!("{scope}/{}", digest_text(digest)).into(),
            (None, Some(id), Some(number)) => format!("{scope}/replay/{number}/{id}").into(),
            (None, id, _) => format!("{scope}/id/{}", id.as_deref().unwrap_or_default()).into(),
        }
    }

    /// Its id, where anyone could have given it, as a store of claims knows it.
    pub(super) fn said(&self) -> Option<Arc<str>> {
        self.digest?;
        self.id.as_ref().map(|id| format!("{}/said/{id}", self.scope).into())
    }

    /// The key of what it replays, where it is a replay, as a store of claims knows it.
    pub(super) fn replay_of(&self) -> Option<Arc<str>> {
        self.replay?;
        self.id.as_ref().map(|id| format!("{}/id/{id}", self.scope).into())
    }

    fn id_key(&self) -> Option<IdKey> {
        let id = Arc::clone(self.id.as_ref()?);
        Some(IdKey { scope: self.scope, covered: self.digest.is_none(), id, replay: self.replay })
    }

    fn digest_key(&self) -> Option<(u32, Digest)> {
        self.digest.map(|digest| (self.scope, digest))
    }
}

/// A digest as text.
pub(super) fn digest_text(digest: &Digest) -> alloc::string::String {
    digest.iter().fold("sha256:".into(), |text, byte| format!("{text}{byte:02x}"))
}

#[derive(Debug)]
enum State {
    InProgress {
        deadline: Instant,
        waiters: Vec<ExchangeId>,
    },
    /// It has taken too long, and may still end.
    Overdue {
        since: Instant,
    },
    /// It has had no effect, and is owed.
    Owed {
        since: Instant,
    },
    Over {
        since: Instant,
        fate: Ending,
    },
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
}

/// What reporting a delivery came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was in progress; these wait for it.
    InTime(Vec<ExchangeId>),
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
        let Some(id) = name.id_key() else { return self.find_content(name, now, window).unwrap_or(Known::Free) };
        if !id.covered {
            let known = self.find_content(name, now, window);
            let known = known.or_else(|| (!alone).then_some(Known::Free));
            return known.unwrap_or_else(|| self.find_uncovered(&id, name, now, window));
        }
        let known = self.by_id.get(&id).map_or(Known::Free, |at| self.known(*at, now, window));
        if known != Known::Free || id.replay.is_none() {
            if let Some(entry) = self.by_id.get(&id).and_then(|at| self.entries.get_mut(at)) {
                entry.name.signed = entry.name.signed.max(name.signed);
            }
            return known;
        }
        let of_id = IdKey { replay: None, ..id.clone() }..=IdKey { replay: Some(u64::MAX), ..id };
        // One that is free, because it failed, says nothing of those before it.
        let later = self.by_id.range(of_id).map(|(_, at)| *at).filter(|at| name.signed <= self.entries[at].name.signed);
        let taken = later.filter(|at| self.known(*at, now, window) != Known::Free);
        let newest = taken.max_by_key(|at| self.entries[at].name.signed);
        newest.map_or(Known::Free, |at| self.known(at, now, window))
    }

    /// What is known of what was signed. `None`: it is unseen. What is owed is free.
    fn find_content(&self, name: &Name, now: Instant, window: Duration) -> Option<Known> {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(88) {
            return None;
        }
        let at = self.by_digest.get(&name.digest_key()?)?;
        match &self.entries[at].state {
            State::InProgress { .. } => Some(Known::InProgress(*at)),
            State::Over { since, .. } | State::Overdue { since } | State::Owed { since } => {
                (now.saturating_since(*since) < window).then(|| self.known(*at, now, window))
            }
        }
    }

    /// What is known of an id that anyone could have given to what was signed, which is unseen. If it is no news, that
    /// content has been seen with it.
    fn find_uncovered(&mut self, id: &IdKey, name: &Name, now: Instant, window: Duration) -> Known {
        let Some(at) = self.by_id.get(id).copied() else { return Known::Free };
        let known = self.known(at, now, window);
        if known != Known::Free {
            let digest = name.digest.expect("an id that is not covered comes with a digest");
            let variants = &mut self.entries.get_mut(&at).expect("each id is of an entry").variants;
            if variants.len() < VARIANTS {
                variants.push(digest);
                self.by_digest.insert((id.scope, digest), at);
            }
        }
        known
    }

    fn known(&self, delivery: DeliveryId, now: Instant, window: Duration) -> Known {
        match &self.entries[&delivery].state {
            State::InProgress { .. } => Known::InProgress(delivery),
            #[cfg(postrider_planted)]
            State::Over { .. } if crate::planted::breaks(89) => Known::Free,
            State::Over { since, fate } if now.saturating_since(*since) < window => Known::Over(*fate),
            State::Over { .. } | State::Overdue { .. } | State::Owed { .. } => Known::Free,
        }
    }

    /// Claims a free event for an exchange, which becomes its first waiter. Its id is the one that its content came with
    /// first.
    pub(super) fn claim(
        &mut self,
        mut name: Name,
        (by, deadline): (ExchangeId, Instant),
        (now, window): (Instant, Duration),
    ) -> Begun {
        let mut variants = Vec::new();
        let before = name.digest_key().and_then(|key| self.by_digest.get(&key)).copied();
        if let Some(before) = before.and_then(|before| self.remove(before)) {
            name.id = before.name.id.or(name.id);
            variants = before.variants;
            variants.extend(before.name.digest);
            // Those that came again after its window are another's by now.
            let free = |digest: &Digest| !self.by_digest.contains_key(&(name.scope, *digest));
            variants.retain(|digest| Some(*digest) != name.digest && free(digest));
        }
        let before = name.id_key().and_then(|key| self.by_id.get(&key)).copied();
        if let Some(before) = before.filter(|_| name.digest.is_none()).and_then(|before| self.remove(before)) {
            name.signed = name.signed.max(before.name.signed);
        }
        let (id, label) = (name.id.clone(), name.label());
        self.made += 1;
        let delivery = DeliveryId(self.made);
        if let Some(key) = name.id_key() {
            // An id that is not covered stays with what is known under it.
            let known = self.by_id.get(&key).map_or(Known::Free, |at| self.known(*at, now, window));
            if known == Known::Free {
                self.by_id.insert(key, delivery);
            }
        }
        for digest in name.digest.iter().chain(&variants) {
            self.by_digest.insert((name.scope, *digest), delivery);
        }
        let state = State::InProgress { deadline, waiters: Vec::from([by]) };
        self.entries.insert(delivery, Entry { name, state, variants, token: None, place: None });
        self.deadlines.insert((deadline, delivery));
        Begun { delivery, id, label }
    }

    /// Gives a delivery in progress until `deadline`.
    pub(super) fn renew(&mut self, delivery: DeliveryId, deadline: Instant) {
        let Some(entry) = self.entries.get_mut(&delivery) else { return };
        if let State::InProgress { deadline: before, .. } = &mut entry.state {
            self.deadlines.remove(&(*before, delivery));
            self.deadlines.insert((deadline, delivery));
            *before = deadline;
        }
    }

    /// A store has granted a delivery's claim.
    pub(super) fn granted(&mut self, delivery: DeliveryId, token: ClaimToken) {
        if let Some(entry) = self.entries.get_mut(&delivery) {
            entry.token = Some(token);
        }
    }

    /// A delivery has a place in a line.
    pub(super) fn seat(&mut self, delivery: DeliveryId, place: Place) {
        if let Some(entry) = self.entries.get_mut(&delivery) {
            entry.place = Some(place);
        }
    }

    /// The place of a delivery, where it has one.
    pub(super) fn place(&self, delivery: DeliveryId) -> Option<&Place> {
        self.entries.get(&delivery)?.place.as_ref()
    }

    /// Whether a delivery is in progress.
    pub(super) fn is_in_progress(&self, delivery: DeliveryId) -> bool {
        self.entries.get(&delivery).is_some_and(|entry| matches!(entry.state, State::InProgress { .. }))
    }

    /// What a delivery was claimed as.
    pub(super) fn name(&self, delivery: DeliveryId) -> &Name {
        &self.entries[&delivery].name
    }

    /// Takes the key and the token of a delivery's claim in a store, where it has one.
    pub(super) fn take_token(&mut self, delivery: DeliveryId) -> Option<(Arc<str>, ClaimToken)> {
        let entry = self.entries.get_mut(&delivery)?;
        Some((entry.name.key(), entry.token.take()?))
    }

    /// The first delivery in progress that is overdue at `now`.
    pub(super) fn due(&self, now: Instant) -> Option<DeliveryId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, delivery)| *delivery)
    }

    /// What a person calls a delivery's event by.
    pub(super) fn label(&self, delivery: DeliveryId) -> Option<Arc<str>> {
        self.entries.get(&delivery).map(|entry| entry.name.label())
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
    pub(super) fn commit(&mut self, delivery: DeliveryId, fate: Ending, now: Instant) -> Ended {
        let Some(entry) = self.entries.get_mut(&delivery) else { return Ended::Stale };
        let ended = match &mut entry.state {
            State::InProgress { deadline, waiters } => {
                self.deadlines.remove(&(*deadline, delivery));
                Ended::InTime(core::mem::take(waiters))
            }
            State::Overdue { since } => {
                self.ended.remove(&(*since, delivery));
                Ended::Late(entry.name.label())
            }
            State::Owed { .. } | State::Over { .. } => return Ended::Stale,
        };
        entry.state = State::Over { since: now, fate };
        self.ended.insert((now, delivery));
        ended
    }

    /// A delivery has ended without effect: its event is free. Where its id is not covered, what the id came with is
    /// remembered, so that no other content can take its place.
    pub(super) fn abort(&mut self, delivery: DeliveryId, now: Instant) -> Ended {
        let Some(entry) = self.entries.get_mut(&delivery) else { return Ended::Stale };
        let ended = match &mut entry.state {
            State::InProgress { deadline, waiters } => {
                self.deadlines.remove(&(*deadline, delivery));
                Ended::InTime(core::mem::take(waiters))
            }
            State::Overdue { since } => {
                self.ended.remove(&(*since, delivery));
                Ended::Freed
            }
            State::Owed { .. } | State::Over { .. } => return Ended::Stale,
        };
        entry.state = State::Owed { since: now };
        self.ended.insert((now, delivery));
        if entry.name.digest.is_none() || entry.name.id.is_none() {
            self.remove(delivery);
        }
        ended
    }

    /// A delivery in progress has taken too long; says who waits for it. It keeps its entry, so that it can end late.
    pub(super) fn expire(&mut self, delivery: DeliveryId, now: Instant) -> Vec<ExchangeId> {
        let Some(entry) = self.entries.get_mut(&delivery) else { return Vec::new() };
        let State::InProgress { deadline, waiters } = &mut entry.state else { return Vec::new() };
        let waiters = core::mem::take(waiters);
        self.deadlines.remove(&(*deadline, delivery));
        self.ended.insert((now, delivery));
        entry.state = State::Overdue { since: now };
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
            let Some((since, delivery)) = self.ended.first().copied() else { break };
            let age = now.saturating_since(since);
            if age < window && self.ended.len() <= most {
                break;
            }
            let entry = self.remove(delivery).expect("what has ended is of an entry");
            *early = match entry.state {
                State::Over { .. } => Some(age).filter(|age| *age < window),
                State::InProgress { .. } | State::Overdue { .. } | State::Owed { .. } => None,
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

    /// Events whose deliveries have ended.
    pub(super) fn remembered(&self) -> usize {
        self.ended.len()
    }

    fn waiters(&mut self, delivery: DeliveryId) -> Option<&mut Vec<ExchangeId>> {
        match &mut self.entries.get_mut(&delivery)?.state {
            State::InProgress { waiters, .. } => Some(waiters),
            State::Overdue { .. } | State::Owed { .. } | State::Over { .. } => None,
        }
    }

    fn remove(&mut self, delivery: DeliveryId) -> Option<Entry> {
        let entry = self.entries.remove(&delivery)?;
        // An id that is not covered may be another entry's by now.
        if let Some(key) = entry.name.id_key().filter(|key| self.by_id.get(key) == Some(&delivery)) {
            self.by_id.remove(&key);
        }
        for digest in entry.name.digest.iter().chain(&entry.variants) {
            let key = (entry.name.scope, *digest);
            // So may content whose window had passed.
            if self.by_digest.get(&key) == Some(&delivery) {
                self.by_digest.remove(&key);
            }
        }
        match entry.state {
            State::InProgress { deadline, .. } => self.deadlines.remove(&(deadline, delivery)),
            State::Overdue { since } | State::Owed { since } | State::Over { since, .. } => {
                self.ended.remove(&(since, delivery))
            }
        };
        Some(entry)
    }
}
