//! What endpoints may be like: all that is possible, where nobody was told what became of a command.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::filters::{self, names};
use super::pages::Pages;
use super::possible::Possible;
use crate::observe::{Ask, Note, Place, SECOND, SimTime, Spec, Told, Wish};

/// What waits for a disabled endpoint is held this long: 72 h.
pub(super) const HOLD: u64 = 72 * 3600 * SECOND;

/// All endpoints that were ever registered.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    all: Pages<Endpoint>,
    of_tenant: BTreeMap<u32, Vec<u32>>,
    /// Endpoints of calls that have no answer yet.
    calls: BTreeMap<u64, (u32, Kind, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Put,
    Resume,
    Remove,
    Other,
}

/// One endpoint, as far as it is known.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) node: u32,
    pub(super) specs: Possible<Rc<Spec>>,
    pub(super) states: Possible<State>,
    /// How often it was registered anew.
    pub(super) generation: u32,
    /// It may have answered 410, and nobody has resumed it for sure since.
    gone: bool,
    /// The tick of the last 410.
    gone_at: u64,
    /// The last tick at which what waits for it may have been discarded.
    over: u64,
    /// It may have been disabled since then.
    pub(super) disabled: Option<SimTime>,
    /// When it was last described.
    described: u64,
    /// Attempts that any description of it has allowed: the fewest and the most.
    pub(super) attempts: (u16, u16),
    /// Any description of it has let the first of a lane be tried on when its schedule had ended.
    pub(super) tried_on: bool,
    /// The shortest time that any description has let a delivery wait or grow old.
    patience: Option<u64>,
    /// No attempt has failed since its last success before this; `None` before its first attempt.
    failing: Option<SimTime>,
    /// It may have been disabled since then because it kept failing, by what was seen until this tick, and nobody has
    /// resumed it for sure since.
    tripped: Option<(SimTime, u64)>,
    /// Its owner may have declined since then, by what was seen at this tick, in the same way.
    declined: Option<(SimTime, u64)>,
    /// The last tick at which its owner consented; 0 for never. Nobody is asked who need not be.
    pub(super) consented: u64,
    /// The tick of the last removal that was confirmed: what was consented to before is void.
    pub(super) removed: u64,
}

/// The administrative state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Absent,
    Active,
    Paused,
    Disabled,
}

impl Endpoint {
    /// Whether an event that is accepted now is owed to it: for sure, and possibly.
    pub(super) fn wants(&self, event_type: &str, payload: &[u8], at: SimTime, jumps: bool) -> (bool, bool) {
        let passes = |spec: &Spec| spec.filter.is_none_or(|filter| filters::passes(filter, event_type, payload));
        let named = |spec: &Rc<Spec>| spec.patterns.iter().any(|pattern| names(pattern, event_type)) && passes(spec);
        let matches = |state: &State| matches!(state, State::Active | State::Paused);
        let in_service = || !self.gone && self.put_out().is_none() && self.may_be_disabled(at, jumps).is_none();
        let ((all_named, any_named), (all_match, any_match)) = (self.specs.which(named), self.states.which(matches));
        (all_named && all_match && in_service(), any_named && any_match)
    }

    /// Whether what waited for it since `since` may have been discarded.
    pub(super) fn may_discard(&self, since: u64, at: SimTime, jumps: bool) -> bool {
        let held = |from: SimTime| jumps || at.since(from) >= HOLD / 20 * 17;
        self.over >= since || self.held_since().is_some_and(held)
    }

    /// Whether a delivery of this age, in nanoseconds, may have expired, though its event has not.
    pub(super) fn may_expire(&self, age: u64, jumps: bool) -> bool {
        self.patience.is_some_and(|patience| jumps || age >= patience / 10 * 8)
    }

    /// How long it may have been failing.
    pub(super) fn failing_for(&self, at: SimTime) -> u64 {
        self.failing.map_or(0, |from| at.since(from))
    }

    /// Since when it may be disabled, because it has been failing for so long that a rule that it may have says so.
    fn may_be_disabled(&self, at: SimTime, jumps: bool) -> Option<SimTime> {
        let least = self.specs.all().filter_map(|spec| spec.pace.disable).map(|(age, _)| age / 10 * 8).min()?;
        let from = self.failing?;
        if jumps {
            return Some(from);
        }
        (at.since(from) >= least).then(|| from.after(least))
    }

    /// Takes note of whether it may be disabled by now.
    fn trip(&mut self, at: SimTime, tick: u64, jumps: bool) {
        if let Some(from) = self.may_be_disabled(at, jumps) {
            self.tripped = Some((self.tripped.map_or(from, |(first, _)| first), tick));
        }
    }

    /// When what waits for it began to be held, at the earliest.
    pub(super) fn held_since(&self) -> Option<SimTime> {
        self.disabled.into_iter().chain(self.put_out()).min()
    }

    /// Since when it may be disabled although nobody has asked for that.
    fn put_out(&self) -> Option<SimTime> {
        self.tripped.into_iter().chain(self.declined).map(|(from, _)| from).min()
    }

    /// Whether it is in service for sure, so that what it answers counts.
    pub(super) fn is_in_service(&self) -> bool {
        !self.gone && self.states.all().all(|state| matches!(state, State::Active | State::Paused))
    }

    /// Whether it may be out of service, so that whoever wants it back begins anew.
    pub(super) fn may_be_out(&self) -> bool {
        self.put_out().is_some() || !self.is_in_service()
    }

    /// Whether it was described anew after this tick.
    pub(super) fn changed_since(&self, tick: u64) -> bool {
        self.described > tick
    }

    /// How it surely wants events under one key: the weaker, where both are possible.
    pub(super) fn place(&self) -> Place {
        let weaker = |one: Place, other: Place| match (one, other) {
            (Place::Anywhere, _) | (_, Place::Anywhere) => Place::Anywhere,
            (Place::Skip, _) | (_, Place::Skip) => Place::Skip,
            (Place::Strict, Place::Strict) => Place::Strict,
        };
        self.specs.all().map(|spec| spec.place).reduce(weaker).unwrap_or(Place::Anywhere)
    }

    /// Whether it surely has tried an event on since this tick for which its schedule has no attempt, however old that is.
    pub(super) fn has_tried_on(&self, since: u64) -> bool {
        let ageless = self.specs.all().all(|spec| spec.pace.max_age.is_none());
        self.place() == Place::Strict && ageless && !self.changed_since(since)
    }

    /// Whether it may try an event on for which its schedule has no attempt.
    pub(super) fn may_try_on(&self) -> bool {
        self.specs.all().any(|spec| spec.place == Place::Strict)
    }

    /// Whether only the newest event of a key may be kept for it.
    pub(super) fn coalesces(&self) -> bool {
        self.specs.all().any(|spec| spec.coalesce)
    }

    /// Whether attempts may start.
    pub(super) fn may_start(&self) -> bool {
        self.states.all().any(|state| *state == State::Active)
    }
}

impl Endpoints {
    pub(super) fn get(&self, endpoint: u32) -> Option<&Endpoint> {
        self.all.get(endpoint.into())
    }

    /// Whether an endpoint may have been taken out of service since it was last registered or resumed: somebody disabled
    /// it, it was gone, or it kept failing.
    pub(super) fn may_lack_a_name(&self, endpoint: u32) -> bool {
        let may_be = |endpoint: &Endpoint| {
            let disabled = endpoint.states.all().any(|state| *state == State::Disabled);
            disabled || endpoint.gone || endpoint.held_since().is_some()
        };
        self.get(endpoint).is_none_or(may_be)
    }

    /// Endpoints of a tenant to which an event may be owed, and whether it is for sure.
    pub(super) fn matching(
        &self,
        tenant: u32,
        event_type: &str,
        payload: &[u8],
        at: SimTime,
        jumps: bool,
    ) -> impl Iterator<Item = (u32, bool)> {
        let ours = self.of_tenant.get(&tenant).into_iter().flatten();
        ours.filter_map(move |number| match self.get(*number)?.wants(event_type, payload, at, jumps) {
            (sure, true) => Some((*number, sure)),
            (_, false) => None,
        })
    }

    pub(super) fn asked(&mut self, at: SimTime, tick: u64, node: u32, call: u64, wish: &Wish<'_>) {
        let (number, kind) = match wish {
            Wish::Put(spec) => {
                self.put(tick, node, call, spec);
                (spec.endpoint, Kind::Put)
            }
            Wish::Pause(number) | Wish::Disable(number) | Wish::AddKey(number, _) => (*number, Kind::Other),
            Wish::ExpireKey(number, ..) | Wish::RevokeKey(number, _) => (*number, Kind::Other),
            Wish::RotateKey(number, ..) | Wish::FinishRotation(number) => (*number, Kind::Other),
            Wish::Resume(number) => (*number, Kind::Resume),
            Wish::Remove(number) => (*number, Kind::Remove),
            Wish::Publish(_) | Wish::Cancel { .. } | Wish::Purge(_) | Wish::Erase { .. } | Wish::Close(_) => return,
        };
        self.calls.insert(call, (number, kind, tick));
        let Some(endpoint) = self.all.get_mut(number.into()) else { return };
        match wish {
            Wish::Pause(_) => endpoint.states.ask(call, State::Paused),
            Wish::Disable(_) => {
                endpoint.states.ask(call, State::Disabled);
                endpoint.disabled.get_or_insert(at);
            }
            Wish::Resume(_) => {
                if endpoint.disabled.is_some_and(|from| at.since(from) >= HOLD / 20 * 17) {
                    endpoint.over = tick;
                }
                endpoint.states.ask(call, State::Active);
            }
            Wish::Remove(_) => {
                endpoint.states.ask(call, State::Absent);
                endpoint.over = tick;
            }
            Wish::Put(_)
            | Wish::AddKey(..)
            | Wish::ExpireKey(..)
            | Wish::RevokeKey(..)
            | Wish::RotateKey(..)
            | Wish::FinishRotation(_)
            | Wish::Publish(_)
            | Wish::Cancel { .. }
            | Wish::Purge(_)
            | Wish::Erase { .. }
            | Wish::Close(_) => {}
        }
    }

    fn put(&mut self, tick: u64, node: u32, call: u64, spec: &Spec) {
        let attempts = u16::try_from(spec.schedule.len()).unwrap_or(u16::MAX);
        let spec = Rc::new(spec.clone());
        let endpoint = self.all.or_insert_with(spec.endpoint.into(), || {
            self.of_tenant.entry(spec.tenant).or_default().push(spec.endpoint);
            Endpoint {
                node,
                specs: Possible(Vec::new()),
                states: Possible(vec![(0, State::Absent)]),
                generation: 0,
                gone: false,
                gone_at: 0,
                over: 0,
                disabled: None,
                described: 0,
                attempts: (u16::MAX, 0),
                tried_on: false,
                patience: None,
                failing: None,
                tripped: None,
                declined: None,
                consented: 0,
                removed: 0,
            }
        });
        if endpoint.states.all().any(|state| *state == State::Absent) {
            endpoint.states.ask(call, State::Active);
            endpoint.generation += 1;
            endpoint.over = endpoint.over.max(tick - 1);
        }
        endpoint.described = tick;
        // One with a largest age may be given up after any attempt, and the first of a strict lane is tried on.
        let fewest = if spec.pace.max_age.is_some() { 1 } else { attempts };
        endpoint.attempts = (endpoint.attempts.0.min(fewest), endpoint.attempts.1.max(attempts));
        endpoint.tried_on |= spec.place == Place::Strict;
        let patience = spec.pace.queue.into_iter().chain(spec.pace.max_age).min();
        endpoint.patience = endpoint.patience.into_iter().chain(patience).min();
        endpoint.specs.ask(call, spec);
    }

    pub(super) fn answered(&mut self, call: u64, told: Told) {
        let Some((number, kind, asked)) = self.calls.remove(&call) else { return };
        let Some(endpoint) = self.all.get_mut(number.into()) else { return };
        endpoint.specs.answer(call, told);
        if kind == Kind::Put && matches!(told, Told::Ok { .. }) {
            endpoint.put_ok(call);
        } else {
            endpoint.states.answer(call, told);
        }
        if matches!(told, Told::Ok { .. }) && matches!(kind, Kind::Resume | Kind::Remove) {
            // A 410 that came after the call was made is not undone by it.
            endpoint.gone &= endpoint.gone_at > asked;
            endpoint.tripped = endpoint.tripped.filter(|(_, tick)| *tick > asked);
            endpoint.declined = endpoint.declined.filter(|(_, tick)| *tick > asked);
        }
        if matches!(told, Told::Ok { .. }) && kind == Kind::Remove {
            endpoint.removed = asked;
        }
        if !endpoint.states.all().any(|state| *state == State::Disabled) {
            endpoint.disabled = None;
        }
    }

    pub(super) fn gone(&mut self, number: u32, tick: u64) {
        if let Some(endpoint) = self.all.get_mut(number.into()) {
            (endpoint.gone, endpoint.gone_at, endpoint.over) = (true, tick, tick);
        }
    }

    /// Its owner was asked for consent, and this came of it: the word alone counts in a handshake, and in a challenge with
    /// a status of 2xx.
    pub(super) fn replied(&mut self, number: u32, at: SimTime, tick: u64, status: Option<u16>, word: bool) {
        let Some(endpoint) = self.all.get_mut(number.into()) else { return };
        let challenged = endpoint.specs.all().any(|spec| spec.ask == Ask::Challenge);
        let fine = !challenged || status.is_some_and(|status| (200..300).contains(&status));
        if word && fine {
            (endpoint.consented, endpoint.declined) = (tick, None);
            return;
        }
        endpoint.declined = Some((endpoint.declined.map_or(at, |(first, _)| first), tick));
        if challenged && status == Some(410) {
            self.gone(number, tick);
        }
    }

    /// An attempt starts.
    pub(super) fn started(&mut self, number: u32, at: SimTime, tick: u64, jumps: bool) {
        if let Some(endpoint) = self.all.get_mut(number.into()) {
            endpoint.failing.get_or_insert(at);
            endpoint.trip(at, tick, jumps);
        }
    }

    /// An attempt ended; a success ends a row of failures, unless it came too late to count.
    pub(super) fn ended(&mut self, number: u32, at: SimTime, tick: u64, jumps: bool, success: bool) {
        if let Some(endpoint) = self.all.get_mut(number.into()) {
            endpoint.trip(at, tick, jumps);
            if success {
                endpoint.failing = Some(at);
            }
        }
    }

    /// A node is back: it may have forgotten the last successes.
    pub(super) fn restarted(&mut self, node: u32) {
        for endpoint in self.all.values_mut().filter(|endpoint| endpoint.node == node) {
            endpoint.failing = endpoint.failing.map(|_| SimTime(0));
        }
    }

    pub(super) fn noted(&mut self, at: SimTime, tick: u64, note: &Note<'_>) {
        if let Note::Disabled { endpoint, .. } = note
            && let Some(endpoint) = self.all.get_mut((*endpoint).into())
        {
            endpoint.tripped = Some((endpoint.tripped.map_or(at, |(first, _)| first), tick));
        }
        if let Note::HoldEnded(number) | Note::Gone(number) = note
            && let Some(endpoint) = self.all.get_mut((*number).into())
        {
            endpoint.over = tick;
        }
    }
}

impl Endpoint {
    /// A registration is done: it is there, in the state in which it was, or active if it was not there.
    fn put_ok(&mut self, call: u64) {
        let before = |(other, state): &(u64, State)| *other < call && *state == State::Absent;
        self.states.0.retain(|entry| !before(entry));
        if self.states.0.is_empty() {
            self.states.ask(call, State::Active);
        }
    }
}
