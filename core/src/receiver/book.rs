//! What every store of claims means: which events are claimed, owed and over, whatever the store keeps that in.
//!
//! A [`ClaimBook`] is pure, as everything here: it is told the time and what was asked, and answers. A store in memory is
//! one behind a lock; a store that outlives its process writes down each [`BookRecord`] that an operation makes, and
//! makes the book again of them.
//!
//! ```text
//!   unseen ──claim──> held ──commit──> over ──age, number──> unseen
//!     ^                │  └──lease──> lapsed ──commit──┘
//!     ├────release─────┤                │
//!     ^                └─release, said──┴─> owed ──claim──> held
//!     └──────────────age, number────────────────┘
//! ```
//!
//! * [`Claim::key`] decides where it is known. Held: [`Claimed::Held`]. Over, and its window has not passed:
//!   [`Claimed::Over`]. All else is granted, under a new token.
//! * [`Claim::said`] counts only where the key is unseen. If an event that came under the same is held or over, the answer
//!   is that event's, and the key belongs to it from then on; [`VARIANTS`] keys besides its own belong to an event, at most.
//!   What was said stays with the event that it came with first, for as long as that one is held or over.
//! * A key that was claimed under something said, and whose claim was released or whose lease ran out, is *owed*: it is
//!   granted again whatever has come under the same meanwhile. A key without anything said is simply unseen again.
//! * A claim with [`replay_of`](Claim::replay_of) is granted only if it was signed later than everything held or over under
//!   that key and its replays; else it is answered like the newest of them.
//! * A commit counts for as long as nobody else was granted the event and it is remembered, though its lease ran out. A
//!   second commit of the same claim changes nothing and is no error.
//!
//! These are the rules of a machine without a store ("what one event is" in the [receiver](super)), where they are argued.
//!
//! **Bounds.** What ended is remembered for [`BookLimits::window`], and up to [`BookLimits::ids`]; the oldest is forgotten
//! first, and [`ClaimBook::shrunk`] tells of those that were over and whose window had not passed. Held claims are as many
//! as the machines that share the book have deliveries in progress, and are never forgotten. An event takes its key, and
//! what was said, and about 400 bytes; each further key 100 more and itself.
//!
//! **Time.** A book has a clock of its own: it goes on by what the clock that it is told goes on, and stands still when that
//! goes back. So no lease is ever shortened by a clock that is set back, and none is lengthened by more than the time that
//! it was not told. A clock that is set forward ends leases and windows early by as much; stores should tell a time that
//! goes on steadily. What is restored from records was written under an earlier clock: if that was ahead, what ended in the
//! future ended now, and is remembered for a window more; if it was behind, windows are shorter by as much.
//!
//! **Cost.** O(log n) for each operation; a replay's also in the number of its event's replays that failed.

mod record;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

pub use self::record::{BookRecord, EventRecord, RecordError};
use super::claim::{Claim, ClaimError, ClaimToken, Claimed, Commit, Ending, Release};
use crate::time::UnixTime;

/// Keys that belong to an event besides its own, at most.
pub const VARIANTS: usize = 16;

/// Leases that are found to have run out in one operation, at most.
const LAPSE_AT_ONCE: usize = 4;

/// Events forgotten in one operation, at most: more than begin to be remembered in it.
const FORGET_AT_ONCE: usize = 2 * LAPSE_AT_ONCE;

/// How much a book remembers, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BookLimits {
    /// How long an event is remembered after it has ended. 24 hours.
    pub window: Duration,
    /// Events that have ended and are remembered at once. 100,000.
    pub ids: usize,
    /// Lines whose last place is remembered; the one that was committed to longest ago is forgotten first. 10,000.
    pub lines: usize,
}

impl Default for BookLimits {
    fn default() -> Self {
        Self { window: Duration::from_secs(24 * 3600), ids: 100_000, lines: 10_000 }
    }
}

impl BookLimits {
    /// With this window.
    #[must_use]
    pub const fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// With so many events.
    #[must_use]
    pub const fn ids(self, ids: usize) -> Self {
        Self { ids, ..self }
    }

    /// With so many lines.
    #[must_use]
    pub const fn lines(self, lines: usize) -> Self {
        Self { lines, ..self }
    }
}

/// Events by what they are known by, and what became of each. See the [module](self).
#[derive(Clone, Debug)]
pub struct ClaimBook {
    limits: BookLimits,
    /// The book's own time, and the time that it was last told.
    clock: UnixTime,
    told: UnixTime,
    next: ClaimToken,
    /// Each under the token of its newest claim.
    events: BTreeMap<ClaimToken, Event>,
    by_key: BTreeMap<Arc<str>, ClaimToken>,
    by_said: BTreeMap<Arc<str>, ClaimToken>,
    /// Events under which nothing is said, with their replays: the key of the first, when it was signed, the event.
    by_root: BTreeSet<(Arc<str>, UnixTime, ClaimToken)>,
    /// Those that are held, by when their lease runs out.
    leases: BTreeSet<(UnixTime, ClaimToken)>,
    /// The others, by when they ended.
    ended: BTreeSet<(UnixTime, ClaimToken)>,
    lines: Lines,
    change: Option<BookRecord>,
    shrunk: Option<Duration>,
    forgotten_early: u64,
}

#[derive(Clone, Debug)]
struct Event {
    key: Arc<str>,
    said: Option<Arc<str>>,
    /// Other keys that are its own; some may have become another event's.
    others: Vec<Arc<str>>,
    replay_of: Option<Arc<str>>,
    /// The newest request that came for it.
    signed: UnixTime,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Held {
        until: UnixTime,
    },
    /// Its lease ran out, and it may still be committed.
    Lapsed {
        since: UnixTime,
    },
    Owed {
        since: UnixTime,
    },
    Over {
        since: UnixTime,
        ending: Ending,
    },
}

/// The last place of each line, and which was committed to when.
#[derive(Clone, Debug, Default)]
struct Lines {
    places: BTreeMap<Arc<str>, (u64, u64)>,
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
}

impl ClaimBook {
    /// A book in which nothing stands.
    pub fn new(limits: BookLimits, now: UnixTime) -> Self {
        Self {
            limits,
            clock: now,
            told: now,
            next: ClaimToken::new(1),
            events: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_said: BTreeMap::new(),
            by_root: BTreeSet::new(),
            leases: BTreeSet::new(),
            ended: BTreeSet::new(),
            lines: Lines::default(),
            change: None,
            shrunk: None,
            forgotten_early: 0,
        }
    }

    /// Claims an event, if it is free.
    pub fn claim(&mut self, now: UnixTime, claim: &Claim) -> Claimed {
        self.begin(now);
        let claimed = self.find(claim).unwrap_or_else(|| {
            let place = claim.line.as_ref().and_then(|line| self.lines.places.get(line)).map(|(place, _)| *place);
            Claimed::Granted { token: self.grant(claim), place }
        });
        self.tidy();
        claimed
    }

    /// Ends a claim for good.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Lost`] where the event has been granted again since, was released or is not known any more. Its place
    /// in a line counts all the same.
    pub fn commit(&mut self, now: UnixTime, commit: &Commit) -> Result<(), ClaimError> {
        self.begin(now);
        let committed = self.end(commit);
        let place = commit.place.clone();
        if let Some((line, place)) = &place {
            self.lines.set(line, *place, self.limits.lines);
        }
        self.change = match committed {
            Ok(true) => {
                self.record(commit.token).map(|(event, _)| BookRecord::Over { event, ending: commit.ending, place })
            }
            Ok(false) | Err(_) => place.map(|(line, place)| BookRecord::Place { line, place }),
        };
        self.tidy();
        committed.map(|_| ())
    }

    /// Gives a claim back: its event is free. Of a claim that has ended it does nothing.
    pub fn release(&mut self, now: UnixTime, release: &Release) {
        self.begin(now);
        let event = self.events.get(&release.token).filter(|event| event.key == release.key);
        if let Some(event) = event.filter(|_| self.is_known(release.token)) {
            match (event.state, event.said.is_some()) {
                (State::Held { .. } | State::Lapsed { .. }, true) => {
                    self.set(release.token, State::Owed { since: self.clock });
                }
                (State::Held { .. } | State::Lapsed { .. }, false) => drop(self.remove(release.token)),
                (State::Owed { .. } | State::Over { .. }, _) => {}
            }
        }
        self.tidy();
    }

    /// What the last operation changed that a book which is made again must know; once. A store that outlives its process
    /// writes it down before it answers: with a [gating](BookRecord::is_gating) one it answers only after that is durable.
    ///
    /// Nothing is written of a claim under which nothing is said: whoever makes the book again has no claims in progress,
    /// and such an event is as good as unseen.
    pub fn change(&mut self) -> Option<BookRecord> {
        self.change.take()
    }

    /// Everything that a book which is made again must know, in the order in which it must be told.
    pub fn records(&self) -> impl Iterator<Item = BookRecord> + '_ {
        let lines = self.lines.by_use.values().map(|line| {
            let (place, _) = self.lines.places[line];
            BookRecord::Place { line: Arc::clone(line), place }
        });
        let events = self.events.keys().filter(|token| self.is_known(**token)).filter_map(|token| {
            let (event, state) = self.record(*token)?;
            match state {
                State::Held { .. } | State::Lapsed { .. } | State::Owed { .. } => {
                    event.said.is_some().then_some(BookRecord::Owed(event))
                }
                State::Over { ending, .. } => Some(BookRecord::Over { event, ending, place: None }),
            }
        });
        [BookRecord::Tokens { next: self.next }].into_iter().chain(lines).chain(events)
    }

    /// Tells a book that is being made again what was written down, in order. Claims that were in progress are not any
    /// more: whoever had them cannot be told of, and their tokens count for nothing.
    pub fn apply(&mut self, record: BookRecord) {
        let told = (self.shrunk, self.forgotten_early);
        match record {
            BookRecord::Tokens { next } => self.next = self.next.max(next),
            BookRecord::Owed(event) => {
                let since = event.at.min(self.clock);
                self.enter(event, State::Owed { since });
            }
            BookRecord::Over { event, ending, place } => {
                if let Some((line, place)) = place {
                    self.lines.set(&line, place, self.limits.lines);
                }
                let since = event.at.min(self.clock);
                self.enter(event, State::Over { since, ending });
            }
            BookRecord::Seen { key, of, signed } => {
                if let Some(token) = self.by_key.get(&of).copied() {
                    self.join(token, &key);
                    self.raise(token, signed);
                }
            }
            BookRecord::Place { line, place } => self.lines.set(&line, place, self.limits.lines),
        }
        self.tidy();
        // What is too much now was too much when it was written, and was told of then.
        (self.shrunk, self.forgotten_early) = told;
    }

    /// The youngest age at which an event that was over has been forgotten before its window had passed, since this was
    /// last asked: the window is as short as that.
    pub fn shrunk(&mut self) -> Option<Duration> {
        self.shrunk.take()
    }

    /// Events that were over and were forgotten before their window had passed.
    pub fn forgotten_early(&self) -> u64 {
        self.forgotten_early
    }

    /// The token of the next claim that is granted; each is larger than all before, those of earlier lives included.
    pub fn next_token(&self) -> ClaimToken {
        self.next
    }

    /// Claims in progress.
    pub fn held(&self) -> usize {
        self.leases.len()
    }

    /// Events that have ended, those among them that are owed or whose lease ran out.
    pub fn remembered(&self) -> usize {
        self.ended.len()
    }

    /// Lines whose last place is known.
    pub fn lines(&self) -> usize {
        self.lines.places.len()
    }

    fn begin(&mut self, now: UnixTime) {
        self.clock = self.clock.saturating_add(now.saturating_since(self.told));
        self.told = now;
        self.change = None;
    }

    /// What is known of what is claimed; `None` if it is free.
    fn find(&mut self, claim: &Claim) -> Option<Claimed> {
        let at = self.by_key.get(&claim.key).copied().filter(|at| self.is_known(*at));
        if let Some(at) = at {
            let known = self.taken(at);
            if claim.said.is_none() && self.raise(at, claim.signed) && matches!(known, Some(Claimed::Over(_))) {
                self.change =
                    Some(BookRecord::Seen { key: claim.key.clone(), of: claim.key.clone(), signed: claim.signed });
            }
            if known.is_some() || claim.replay_of.is_none() {
                return known;
            }
        }
        let said = claim.said.as_ref().filter(|_| at.is_none());
        if let Some(at) = said.and_then(|said| self.by_said.get(said)).copied() {
            let known = self.taken(at)?;
            if self.join(at, &claim.key) && matches!(known, Claimed::Over(_)) {
                let of = self.events[&at].key.clone();
                self.change = Some(BookRecord::Seen { key: claim.key.clone(), of, signed: claim.signed });
            }
            return Some(known);
        }
        let root = claim.replay_of.as_ref()?;
        let later = (root.clone(), claim.signed, ClaimToken::new(0))
            ..=(root.clone(), UnixTime::from_millis(u64::MAX), ClaimToken::new(u64::MAX));
        self.by_root.range(later).rev().find_map(|(_, _, at)| self.taken(*at))
    }

    /// The answer to whoever claims this event; `None` if it is free.
    fn taken(&self, at: ClaimToken) -> Option<Claimed> {
        match self.events[&at].state {
            State::Held { until } if self.clock < until => {
                Some(Claimed::Held { lease: until.saturating_since(self.clock) })
            }
            State::Over { since, ending } if self.is_recent(since) => Some(Claimed::Over(ending)),
            State::Held { .. } | State::Lapsed { .. } | State::Owed { .. } | State::Over { .. } => None,
        }
    }

    /// Whether it is in progress, or its window has not passed.
    fn is_known(&self, at: ClaimToken) -> bool {
        match self.events[&at].state {
            State::Held { until } => self.is_recent(until),
            State::Lapsed { since } | State::Owed { since } | State::Over { since, .. } => self.is_recent(since),
        }
    }

    fn is_recent(&self, since: UnixTime) -> bool {
        self.clock.saturating_since(since) < self.limits.window
    }

    /// Another key belongs to an event, if there is room for it. Says whether that is new.
    fn join(&mut self, at: ClaimToken, key: &Arc<str>) -> bool {
        let event = self.events.get_mut(&at).expect("each index is of an event");
        if event.key == *key || event.others.len() >= VARIANTS || event.others.contains(key) {
            return false;
        }
        event.others.push(key.clone());
        self.by_key.insert(key.clone(), at);
        true
    }

    /// A request came for an event. Says whether it was signed later than those before.
    fn raise(&mut self, at: ClaimToken, signed: UnixTime) -> bool {
        let event = self.events.get_mut(&at).expect("each index is of an event");
        if signed <= event.signed {
            return false;
        }
        if event.said.is_none() {
            let root = event.root();
            self.by_root.remove(&(root.clone(), event.signed, at));
            self.by_root.insert((root, signed, at));
        }
        event.signed = signed;
        true
    }

    fn grant(&mut self, claim: &Claim) -> ClaimToken {
        let token = self.next;
        self.next = ClaimToken::new(token.get().saturating_add(1));
        let mut event = Event {
            key: claim.key.clone(),
            said: claim.said.clone(),
            others: Vec::new(),
            replay_of: claim.replay_of.clone(),
            signed: claim.signed,
            state: State::Held { until: self.clock.saturating_add(claim.lease) },
        };
        if let Some(at) = self.by_key.get(&claim.key).copied() {
            let is_known = self.is_known(at);
            let before = self.remove(at).filter(|_| is_known);
            if let Some(before) = before {
                event.signed = event.signed.max(before.signed);
                event.said = before.said.or(event.said);
                event.others = before.others;
                event.others.push(before.key);
                // Those that came again after its window are another's by now.
                event.others.retain(|other| *other != claim.key && !self.by_key.contains_key(other));
            }
        }
        // What was said stays with what is held or over under it.
        let holder = event.said.as_ref().and_then(|said| self.by_said.get(said));
        let holds = holder.is_none_or(|holder| self.taken(*holder).is_none());
        self.insert(token, event, holds);
        if let Some((event, _)) = self.record(token)
            && event.said.is_some()
        {
            self.change = Some(BookRecord::Owed(event));
        }
        token
    }

    /// Ends the claim of a commit; `false` if the same commit has ended it before.
    fn end(&mut self, commit: &Commit) -> Result<bool, ClaimError> {
        let event = self.events.get(&commit.token).filter(|event| event.key == commit.key);
        match event.filter(|_| self.is_known(commit.token)).ok_or(ClaimError::Lost)?.state {
            State::Held { .. } | State::Lapsed { .. } => {
                self.set(commit.token, State::Over { since: self.clock, ending: commit.ending });
                Ok(true)
            }
            State::Over { .. } => Ok(false),
            State::Owed { .. } => Err(ClaimError::Lost),
        }
    }

    /// Enters what was written down, in place of what stands there.
    fn enter(&mut self, record: EventRecord, state: State) {
        let EventRecord { key, said, holds_said, others, replay_of, signed, token, at: _ } = record;
        self.next = self.next.max(ClaimToken::new(token.get().saturating_add(1)));
        self.remove(token);
        if let Some(before) = self.by_key.get(&key).copied() {
            self.remove(before);
        }
        self.insert(token, Event { key, said, others, replay_of, signed, state }, holds_said);
    }

    fn insert(&mut self, token: ClaimToken, event: Event, holds_said: bool) {
        for key in event.others.iter().chain([&event.key]) {
            self.by_key.insert(key.clone(), token);
        }
        match &event.said {
            Some(said) if holds_said => _ = self.by_said.insert(said.clone(), token),
            Some(_) => {}
            None => _ = self.by_root.insert((event.root(), event.signed, token)),
        }
        let state = event.state;
        self.events.insert(token, event);
        self.set(token, state);
    }

    fn remove(&mut self, token: ClaimToken) -> Option<Event> {
        let event = self.events.remove(&token)?;
        for key in event.others.iter().chain([&event.key]) {
            if self.by_key.get(key) == Some(&token) {
                self.by_key.remove(key);
            }
        }
        match &event.said {
            Some(said) if self.by_said.get(said) == Some(&token) => _ = self.by_said.remove(said),
            Some(_) => {}
            None => _ = self.by_root.remove(&(event.root(), event.signed, token)),
        }
        self.take_out(token, event.state);
        Some(event)
    }

    fn set(&mut self, token: ClaimToken, state: State) {
        let event = self.events.get_mut(&token).expect("each index is of an event");
        let before = core::mem::replace(&mut event.state, state);
        self.take_out(token, before);
        match state {
            State::Held { until } => self.leases.insert((until, token)),
            State::Lapsed { since } | State::Owed { since } | State::Over { since, .. } => {
                self.ended.insert((since, token))
            }
        };
    }

    fn take_out(&mut self, token: ClaimToken, state: State) {
        match state {
            State::Held { until } => self.leases.remove(&(until, token)),
            State::Lapsed { since } | State::Owed { since } | State::Over { since, .. } => {
                self.ended.remove(&(since, token))
            }
        };
    }

    /// Lets some leases run out, and forgets some of what is too old or too much.
    fn tidy(&mut self) {
        for _ in 0..LAPSE_AT_ONCE {
            let Some((until, token)) = self.leases.first().copied().filter(|(until, _)| *until <= self.clock) else {
                break;
            };
            self.set(token, State::Lapsed { since: until });
        }
        for _ in 0..FORGET_AT_ONCE {
            let Some((since, token)) = self.ended.first().copied() else { break };
            let (age, recent) = (self.clock.saturating_since(since), self.is_recent(since));
            if recent && self.ended.len() <= self.limits.ids {
                break;
            }
            let event = self.remove(token).expect("each index is of an event");
            if recent && matches!(event.state, State::Over { .. }) {
                self.forgotten_early = self.forgotten_early.saturating_add(1);
                self.shrunk = Some(self.shrunk.map_or(age, |before| before.min(age)));
            }
        }
    }

    /// An event as it is written down, and what it is now. What is held is owed when its lease runs out.
    fn record(&self, token: ClaimToken) -> Option<(EventRecord, State)> {
        let event = self.events.get(&token)?;
        let at = match event.state {
            State::Held { until } => until,
            State::Lapsed { since } | State::Owed { since } | State::Over { since, .. } => since,
        };
        let is_own = |key: &&Arc<str>| self.by_key.get(*key) == Some(&token);
        let record = EventRecord {
            key: event.key.clone(),
            said: event.said.clone(),
            holds_said: event.said.as_ref().is_some_and(|said| self.by_said.get(said) == Some(&token)),
            others: event.others.iter().filter(is_own).cloned().collect(),
            replay_of: event.replay_of.clone(),
            signed: event.signed,
            token,
            at,
        };
        Some((record, event.state))
    }
}

impl Event {
    /// The key of what it is a replay of, or its own.
    fn root(&self) -> Arc<str> {
        self.replay_of.as_ref().unwrap_or(&self.key).clone()
    }
}

impl Lines {
    /// The last place of a line, unless a later one is known.
    fn set(&mut self, line: &Arc<str>, place: u64, most: usize) {
        self.uses += 1;
        let (last, used) = self.places.entry(line.clone()).or_insert((place, self.uses));
        self.by_use.remove(used);
        (*last, *used) = (place.max(*last), self.uses);
        self.by_use.insert(self.uses, line.clone());
        while self.places.len() > most {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.places.remove(&oldest);
        }
    }
}
