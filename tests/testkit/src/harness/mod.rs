//! A sender under test: ops in, a log in memory below, and every law watched while it runs.

mod check;
mod fixture;
mod law;
mod recover;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{AttemptId, EndpointKey, EventId, JournalSeq};
use postrider_core::limits;
use postrider_core::registration::consent::{Consent, Origin};
use postrider_core::registration::sync::Synced;
use postrider_core::response::{Outcome, Reply};
use postrider_core::secret::KeyId;
use postrider_core::seed::Seed;
use postrider_core::sender::{
    Change, CommandError, Config, Input, Life, LoadError, LoadRequest, Output, PersistFailure, Purpose, Put, Resolver,
    Sender, Stats, Transmit, Wake,
};
use postrider_core::time::{Instant, Now, UnixTime};

pub use self::law::{Law, Violation};

use crate::MemoryLog;
use crate::ledger::{Incarnate, Ledger};
use crate::ops::{End, Loads, Op, Setup};

/// An attempt that the sender waits for.
#[derive(Debug)]
struct Open {
    transmit: Transmit,
    /// The endpoint as it was registered when the attempt began.
    to: Incarnate,
    aborted: bool,
}

/// What the model knows of an event that was accepted.
#[derive(Clone, Debug)]
struct Event {
    id: EventId,
    /// The event that it sends again.
    replay_of: Option<EventId>,
    /// Who wanted it when it was accepted.
    matched: BTreeSet<Incarnate>,
    accepted: Now,
    /// The lowest that the wall clock has been since.
    lowest: UnixTime,
    /// Seconds after which it expires.
    expires: Option<u16>,
    /// Its ordering key.
    lane: Option<u8>,
}

/// What the model knows of an endpoint.
#[derive(Clone, Debug)]
struct Endpoint {
    number: u32,
    wants: u8,
    /// 0 active, 1 paused, 2 disabled, 3 gone, 4 unverified.
    state: u8,
    /// How its owner is asked for consent, 0 for not at all.
    asks: u8,
    /// Its owner has consented, as far as anybody was asked.
    consented: bool,
    /// The last record about it that a command made.
    last: JournalSeq,
    revoked: BTreeSet<u8>,
    /// The record since which it surely has lanes.
    ordered: Option<JournalSeq>,
}

/// A sender, the log that it writes to, and a model of what it owes.
#[derive(Debug)]
pub struct Harness {
    sender: Sender,
    config: Config,
    log: MemoryLog,
    ledger: Ledger,
    now: Now,
    /// The latest monotonic time that the sender was told.
    latest: Instant,
    credit: u32,
    open: VecDeque<Open>,
    reported: Vec<AttemptId>,
    loads: VecDeque<LoadRequest>,
    /// The revision of the list that was applied last.
    synced: Option<u64>,
    events: BTreeMap<JournalSeq, Event>,
    latest_of: BTreeMap<EventId, JournalSeq>,
    endpoints: BTreeMap<u8, Endpoint>,
    registered: BTreeMap<u8, u32>,
    /// Deliveries that a receiver has taken.
    taken: BTreeSet<(JournalSeq, Incarnate)>,
    due: BTreeMap<(JournalSeq, EndpointKey), (u16, Instant)>,
    rest: BTreeMap<EndpointKey, Instant>,
    /// Endpoints for which deliveries may expire although their events do not.
    impatient: BTreeSet<u8>,
    first_after_restore: BTreeMap<(JournalSeq, Incarnate), u16>,
    /// Requests for records failed: deliveries may wait for reasons that the model does not know.
    loads_failed: bool,
    loads_corrupt: bool,
    /// Events whose cancelling was accepted.
    cancelled: BTreeSet<JournalSeq>,
    /// The log said that it is full, and has not said since that there is room for everything.
    full: bool,
    restarted: bool,
    /// The record of the sender's opening.
    opened: JournalSeq,
    since_wait: u32,
    waits: Option<Wake>,
    outputs: u64,
    calls: u64,
    violations: Vec<Violation>,
    trace: Option<String>,
    thorough: bool,
}

impl Harness {
    /// A sender with two endpoints, of which one wants everything and one wants orders.
    pub fn new(setup: &Setup) -> Self {
        let now = Now { mono: Instant::from_millis(1_000_000_000), wall: UnixTime::from_secs(1_800_000_000) };
        let origin = Origin::new("events.example.com").expect("a name");
        let config = Config::new().limits(setup.limits.clone()).origin(origin);
        let config = config.callback("https://hooks.example.com/confirm").expect("a place");
        let mut harness = Self {
            sender: Sender::new(config.clone(), Seed::from_bytes([9; 32]), now),
            config,
            log: MemoryLog::new(),
            ledger: Ledger::default(),
            now,
            latest: now.mono,
            credit: 64,
            open: VecDeque::new(),
            reported: Vec::new(),
            loads: VecDeque::new(),
            synced: None,
            events: BTreeMap::new(),
            latest_of: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            registered: BTreeMap::new(),
            taken: BTreeSet::new(),
            due: BTreeMap::new(),
            rest: BTreeMap::new(),
            impatient: BTreeSet::new(),
            first_after_restore: BTreeMap::new(),
            loads_failed: false,
            loads_corrupt: false,
            cancelled: BTreeSet::new(),
            full: false,
            restarted: false,
            opened: JournalSeq::ZERO,
            since_wait: 0,
            waits: None,
            outputs: 0,
            calls: 0,
            violations: Vec::new(),
            trace: None,
            thorough: false,
        };
        harness.apply(&Op::Credit(setup.credit));
        harness.apply(&Op::Put { endpoint: 0, wants: 0, concurrency: 3, schedule: 0, order: 0 });
        harness.apply(&Op::Put { endpoint: 1, wants: 1, concurrency: 2, schedule: 1, order: 1 });
        harness.apply(&Op::Settle);
        harness
    }

    /// Compares whole states at rest too, which takes longer.
    pub fn thorough(mut self) -> Self {
        self.thorough = true;
        self
    }

    /// Writes every output down.
    pub fn traced(mut self) -> Self {
        self.trace = Some(String::new());
        self
    }

    /// Everything that was written down: outputs, the bytes of batches, and the heads and bodies of requests.
    pub fn trace(&self) -> &str {
        self.trace.as_deref().unwrap_or_default()
    }

    /// What was broken so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The sender.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Does one thing.
    pub fn apply(&mut self, op: &Op) {
        let before = self.before();
        if !matches!(op, Op::Drain(_) | Op::DrainAll | Op::Settle) {
            self.waits = None;
        }
        match *op {
            Op::Publish { id, kind, variant, expires, key, lane } => {
                self.publish(id, kind, variant, (expires, key, lane));
            }
            Op::Replay { id, endpoint } => self.replay(id, endpoint),
            Op::Put { endpoint, wants, concurrency, schedule, order } => {
                self.put(endpoint, wants, (concurrency, schedule, order));
            }
            Op::Pause(at) => {
                let change = self.sender.pause(self.now, &fixture::key(at));
                self.state(at, change, 1);
            }
            Op::Resume(at) => {
                let change = self.sender.resume(self.now, &fixture::key(at));
                let open = self.endpoints.get(&at).is_some_and(|known| known.asks != 0 && !known.consented);
                self.state(at, change, if open { 4 } else { 0 });
            }
            Op::Disable(at) => {
                let was = self.endpoints.get(&at).map_or(2, |known| known.state);
                let change = self.sender.disable(self.now, &fixture::key(at));
                let changed = change.as_ref().is_ok_and(|change| change.changed);
                self.state(at, change, if changed { 2 } else { was });
            }
            Op::Remove(at) => {
                if self.sender.remove(self.now, &fixture::key(at)).is_ok() {
                    self.endpoints.remove(&at);
                    self.rest.remove(&fixture::key(at));
                }
            }
            Op::AddKey(at, key) => {
                let change = self.sender.add_key(self.now, &fixture::key(at), &fixture::secret(at, key));
                self.rekeyed(at, change);
            }
            Op::ExpireKey(at, key, secs) => {
                let expires = self.now.wall.saturating_add(Duration::from_secs(secs.into()));
                let change = self.sender.expire_key(self.now, &fixture::key(at), self.key_id(at, key), expires);
                self.rekeyed(at, change);
            }
            Op::RevokeKey(at, key) => {
                let change = self.sender.revoke_key(self.now, &fixture::key(at), self.key_id(at, key));
                let done = change.is_ok();
                self.rekeyed(at, change);
                if done && let Some(known) = self.endpoints.get_mut(&at) {
                    known.revoked.insert(key);
                }
            }
            Op::RotateKey(at, key, secs) => {
                let overlap = Duration::from_secs(secs.into());
                let key = fixture::secret(at, key);
                let change = self.sender.rotate_key(self.now, &fixture::key(at), &key, overlap);
                self.rekeyed(at, change);
            }
            Op::FinishRotation(at) => {
                let change = self.sender.finish_rotation(self.now, &fixture::key(at));
                self.rekeyed(at, change);
            }
            Op::Ask(at, by) => self.ask(at, by),
            Op::Grant(nth) => self.grant(nth),
            Op::Sync { revision, listed, wants } => self.sync(revision, listed, wants),
            Op::Cancel(id) => {
                let id = fixture::event_id(id);
                if self.sender.cancel(self.now, &fixture::tenant_of(&id), &id).is_ok() {
                    self.cancelled.extend(self.latest_of.get(&id));
                }
            }
            Op::Erase(id) => {
                let id = fixture::event_id(id);
                if self.sender.erase(self.now, &fixture::tenant_of(&id), &id).is_ok() {
                    self.cancelled.extend(self.latest_of.get(&id));
                    let again = self.events.iter().filter(|(_, event)| event.replay_of.as_ref() == Some(&id));
                    self.cancelled.extend(again.map(|(seq, _)| *seq));
                }
            }
            Op::Purge(other) => {
                if self.sender.purge(self.now, &fixture::tenant(other)).is_ok() {
                    let of_tenant =
                        self.events.iter().filter(|(_, event)| fixture::tenant_of(&event.id) == fixture::tenant(other));
                    self.cancelled.extend(of_tenant.map(|(seq, _)| *seq));
                }
            }
            Op::Tick(millis) => {
                self.now = self.now.advanced(Duration::from_millis(millis.into()));
                self.fact(Input::Tick);
            }
            Op::Jump(mono, wall) => {
                let moved = |at: u64, by: i32, unit: u64| at.saturating_add_signed(i64::from(by) * unit as i64);
                self.now.mono = Instant::from_nanos(moved(self.now.mono.as_nanos(), mono, 1_000_000));
                self.now.wall = UnixTime::from_millis(moved(self.now.wall.as_millis(), wall, 1));
                for event in self.events.values_mut() {
                    event.lowest = event.lowest.min(self.now.wall);
                }
                self.fact(Input::Tick);
            }
            Op::Complete(nth, end) => self.complete(nth, end),
            Op::CompleteTwice(nth, end) => {
                if !self.reported.is_empty() {
                    let attempt = self.reported[usize::from(nth) % self.reported.len()];
                    self.stale(attempt, end);
                }
            }
            Op::CompleteUnknown(end) => self.stale(fixture::foreign_attempt(), end),
            Op::Ack(batches) => (0..batches).for_each(|_| self.acknowledge()),
            Op::Fail(why) => self.fail(why),
            Op::Room(bytes) => {
                self.full &= bytes < u32::MAX;
                self.fact(Input::Room(bytes.into()));
            }
            Op::AnswerLoad(how) => self.answer_load(how),
            Op::Credit(credit) => {
                self.credit = credit.into();
                self.fact(Input::Credit(self.credit));
            }
            Op::Drain(polls) => {
                for _ in 0..polls {
                    let _ = self.poll();
                }
            }
            Op::DrainAll => self.drain(),
            Op::Settle => self.settle(),
            Op::Close(how) => self.sender.close(self.now, how),
        }
        self.latest = self.latest.max(self.now.mono);
        self.calls += 1;
        self.after(op, &before);
    }

    /// Takes outputs until the sender waits for something.
    pub fn drain(&mut self) {
        while !matches!(self.poll(), Some(Wake::At(_) | Wake::Input | Wake::Closed)) {}
    }

    /// Drains and acknowledges until there is nothing left to acknowledge.
    fn settle(&mut self) {
        loop {
            self.drain();
            if self.log.waiting() == 0 {
                return;
            }
            self.acknowledge();
        }
    }

    fn fact(&mut self, input: Input) {
        self.waits = None;
        self.sender.handle(self.now, input);
    }

    fn violate(&mut self, law: Law, what: impl Into<String>) {
        if self.violations.len() < 100 {
            self.violations.push(Violation { law, what: what.into() });
        }
    }

    /// Takes one output and carries it out.
    fn poll(&mut self) -> Option<Wake> {
        let steps = self.sender.stats().steps;
        let idle = self.waits.take();
        let output = self.sender.poll_output();
        self.outputs += 1;
        let steps = self.sender.stats().steps - steps;
        if steps > 257 {
            self.violate(Law::Cost, format!("one poll took {steps} steps"));
        }
        self.write_down(&output);
        if !matches!(output, Output::Wait(_)) {
            self.since_wait += 1;
        }
        if self.since_wait > 256 {
            self.violate(Law::Progress, "more than 256 outputs without a wait");
            self.since_wait = 0;
        }
        if let Some(before) = idle
            && !matches!(&output, Output::Wait(wake) if *wake == before)
        {
            self.violate(Law::Progress, format!("at rest with {before:?}, polling again gave {output:?}"));
        }
        match output {
            Output::Persist(batch) => {
                self.log.append(batch);
                if self.log.waiting() > limits::UNACKED_BATCHES + limits::LAZY_BATCHES {
                    self.violate(Law::Bounds, format!("{} batches wait for the log", self.log.waiting()));
                }
            }
            Output::Load(request) => self.loads.push_back(request),
            Output::Snapshot(part) => self.log.snapshot(&part),
            Output::Reclaim(watermark) => self.log.reclaim(watermark),
            Output::Transmit(transmit) => self.transmitted(transmit),
            Output::Abort(attempt) => {
                for open in self.open.iter_mut().filter(|open| open.transmit.attempt() == attempt) {
                    open.aborted = true;
                }
            }
            Output::Notice(notice) => self.noticed(&notice),
            Output::Wait(wake) => {
                self.since_wait = 0;
                self.at_rest(wake);
                return Some(wake);
            }
        }
        None
    }

    fn acknowledge(&mut self) {
        if let Some((last, records)) = self.log.sync_one() {
            for (seq, record) in &records {
                self.ledger.note(*seq, record);
            }
            self.fact(Input::Persisted(last));
        }
    }

    fn fail(&mut self, why: PersistFailure) {
        if let Some(from) = self.log.fail() {
            self.full |= why == PersistFailure::Full;
            self.fact(Input::PersistFailed { from, why });
        }
    }

    fn answer_load(&mut self, how: Loads) {
        let Some(request) = self.loads.pop_front() else { return };
        let result = match how {
            Loads::Ok => self.log.load(&request),
            Loads::Unavailable => Err(LoadError::Unavailable),
            Loads::Corrupt => Err(LoadError::Corrupt),
        };
        self.loads_failed |= result.is_err();
        self.loads_corrupt |= how == Loads::Corrupt;
        self.fact(Input::Loaded { request: request.id(), result });
    }

    fn stale(&mut self, attempt: AttemptId, end: End) {
        let before = self.sender.stats();
        self.fact(Input::Completed { attempt, outcome: end.outcome() });
        let stats = self.sender.stats();
        let counted = self.sender.life() != Life::Running || stats.stale == before.stale + 1;
        if !counted || stats.tally != before.tally {
            self.violate(Law::Credit, "an attempt that is not open was taken for one");
        }
    }

    fn complete(&mut self, nth: u8, end: End) {
        if self.open.is_empty() {
            return;
        }
        let at = usize::from(nth) % self.open.len();
        let open = self.open.remove(at).expect("it is within the length");
        if open.transmit.purpose() != Purpose::Delivery {
            return self.answered(&open, end.outcome(), false);
        }
        self.expect_due(&open, end);
        let attempt = open.transmit.attempt();
        if end.is_success() {
            let event = self.latest_of[open.transmit.event()];
            self.taken.insert((event, open.to.clone()));
        }
        self.reported.push(attempt);
        let stale = self.sender.stats().stale;
        self.fact(Input::Completed { attempt, outcome: end.outcome() });
        if self.sender.stats().stale == stale {
            self.expect_rest(&open, end);
        }
    }

    fn state(&mut self, at: u8, change: Result<Change, CommandError>, state: u8) {
        if let (Ok(change), Some(known)) = (change, self.endpoints.get_mut(&at)) {
            known.state = state;
            known.last = known.last.max(change.seq);
            self.rest.remove(&fixture::key(at));
        }
    }

    fn rekeyed(&mut self, at: u8, change: Result<Change, CommandError>) {
        if let (Ok(change), Some(known)) = (change, self.endpoints.get_mut(&at)) {
            known.last = known.last.max(change.seq);
        }
    }

    fn key_id(&self, at: u8, key: u8) -> KeyId {
        fixture::secret(at, key).id()
    }

    fn put(&mut self, at: u8, wants: u8, (concurrency, schedule, order): (u8, u8, u8)) {
        let known = self.endpoints.contains_key(&at);
        let asks = self.endpoints.get(&at).map_or(0, |known| known.asks);
        let endpoint = fixture::endpoint(at, wants, (concurrency, schedule, order), !known);
        let endpoint = endpoint.consent(fixture::way(asks));
        let Ok(put) = self.sender.put(self.now, endpoint) else { return };
        if fixture::expires(schedule) {
            self.impatient.insert(at);
        }
        if known == matches!(put, Put::Created(_)) {
            self.violate(Law::Drain, "an endpoint was created that was there, or updated that was not");
        }
        let registered = self.registered.entry(at).or_default();
        *registered += u32::from(!known);
        let last = put.change().seq;
        let fresh = Endpoint {
            number: *registered,
            wants,
            state: 0,
            asks: 0,
            consented: false,
            last,
            revoked: BTreeSet::new(),
            ordered: None,
        };
        let endpoint = self.endpoints.entry(at).or_insert(fresh);
        (endpoint.wants, endpoint.last) = (wants, last);
        endpoint.ordered = (order > 0).then(|| endpoint.ordered.unwrap_or(last));
    }

    /// Puts an endpoint with another way to ask for consent.
    fn ask(&mut self, at: u8, by: u8) {
        let Some(known) = self.endpoints.get(&at) else { return };
        let endpoint = fixture::endpoint(at, known.wants, (2, 1, 0), false).consent(fixture::way(by));
        let (was, state) = (known.asks, known.state);
        let Ok(put) = self.sender.put(self.now, endpoint) else { return };
        let last = put.change().seq;
        let known = self.endpoints.get_mut(&at).expect("it was just there");
        (known.last, known.ordered) = (known.last.max(last), None);
        if was != by {
            (known.asks, known.consented) = (by, false);
            known.state = match (state, by) {
                (4, 0) => 0,
                (0, 1..) => 4,
                (state, _) => state,
            };
        }
    }

    /// The owner of an endpoint that is being asked consents.
    fn grant(&mut self, nth: u8) {
        let asks: Vec<_> =
            (0..self.open.len()).filter(|at| self.open[*at].transmit.purpose() != Purpose::Delivery).collect();
        if asks.is_empty() {
            return;
        }
        let open = self.open.remove(asks[usize::from(nth) % asks.len()]).expect("it was just there");
        let reply = match open.transmit.purpose() {
            Purpose::Delivery | Purpose::Handshake => Reply::new(200).header("webhook-allowed-origin", b"*"),
            Purpose::Challenge => {
                let asked = open.transmit.clear_by(Resolver::Simulation).expect("it is JSON");
                let token = asked
                    .body()
                    .windows(43)
                    .find(|text| text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')));
                Reply::new(200).with_body(Bytes::copy_from_slice(token.expect("a token has 43 characters")))
            }
        };
        self.answered(&open, Ok(reply), true);
    }

    /// An ask for consent ends, and its endpoint may be in another state.
    fn answered(&mut self, open: &Open, outcome: Outcome, granted: bool) {
        let attempt = open.transmit.attempt();
        self.reported.push(attempt);
        self.fact(Input::Completed { attempt, outcome });
        let at = fixture::place(&open.to.0);
        let view = self.sender.endpoint(&open.to.0);
        let Some(known) = self.endpoints.get_mut(&at).filter(|known| known.number == open.to.1) else { return };
        let Some(view) = view else { return };
        // Only an answer that was waited for counts, and only one that says so is consent.
        let given = view.consent.as_ref().is_some_and(Consent::is_given);
        if given && !known.consented && !granted {
            self.violate(Law::Drain, format!("{} was not given consent, and has it", open.to.0));
        } else if given && !known.consented {
            known.consented = true;
            known.last = self.sender.last_record();
        }
        let Some(known) = self.endpoints.get_mut(&at) else { return };
        known.state = fixture::code(view.state);
    }

    fn sync(&mut self, revision: u8, listed: u8, wants: u8) {
        let tenant = fixture::tenant(false);
        let is_listed = |at: &u8| listed & (1 << at) != 0;
        let entry = |at: u8| {
            let asks = self.endpoints.get(&at).map_or(0, |known| known.asks);
            let fresh = !self.endpoints.contains_key(&at);
            fixture::endpoint(at, wants, (2, 1, 0), fresh).consent(fixture::way(asks))
        };
        let list: Vec<_> = (0..3).filter(is_listed).map(entry).collect();
        let before = self.sender.last_record();
        let Ok(done) = self.sender.sync(self.now, &tenant, revision.into(), &list) else {
            if self.sender.last_record() != before {
                self.violate(Law::Drain, "a list that was refused changed something");
            }
            return;
        };
        let is_older = self.synced.is_some_and(|applied| applied > revision.into());
        if is_older != matches!(done.synced, Synced::Stale { .. }) || (is_older && done.change.changed) {
            self.violate(Law::Drain, format!("list {revision} was {:?} after {:?}", done.synced, self.synced));
        }
        if is_older {
            return;
        }
        self.synced = Some(revision.into());
        let Synced::Plan(plan) = &done.synced else { return };
        let touched: BTreeSet<_> =
            plan.added.iter().map(|entry| &entry.id).chain(plan.changed.iter().map(|entry| &entry.id)).collect();
        for at in 0..3 {
            if !is_listed(&at) {
                self.endpoints.remove(&at);
                self.rest.remove(&fixture::key(at));
            } else {
                let last = done.change.seq;
                let registered = self.registered.entry(at).or_default();
                *registered += u32::from(!self.endpoints.contains_key(&at));
                let number = *registered;
                let revoked = BTreeSet::new();
                let fresh =
                    Endpoint { number, wants, state: 0, asks: 0, consented: false, last, revoked, ordered: None };
                let known = self.endpoints.entry(at).or_insert(fresh);
                known.wants = wants;
                if touched.contains(&fixture::key(at).id) {
                    (known.last, known.ordered) = (known.last.max(last), None);
                }
            }
        }
    }

    fn incarnate(&self, key: &EndpointKey) -> Incarnate {
        let at = fixture::place(key);
        (key.clone(), self.registered.get(&at).copied().unwrap_or(0))
    }

    fn before(&self) -> Before {
        Before {
            life: self.sender.life(),
            stats: self.sender.stats(),
            sizes: self.sizes(),
            mono: self.sender.now().mono,
        }
    }

    fn sizes(&self) -> (JournalSeq, JournalSeq, usize, usize, usize) {
        let sender = &self.sender;
        (sender.last_record(), sender.durable(), sender.in_flight(), sender.pending(), sender.events())
    }
}

/// What was so before an op.
struct Before {
    life: Life,
    stats: Stats,
    sizes: (JournalSeq, JournalSeq, usize, usize, usize),
    mono: Instant,
}
