//! What the machine knows: events, endpoints, attempts, tenants.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::consent::Asking;
use super::deliveries::{ByEndpoint, Queue};
use super::keys::KeyUse;
use super::report::Tally;
use super::signed::Signed;
use super::transmit::Wire;
use super::turns::{Crowd, Lane, TakesTurns, Turn};
use crate::id::{AttemptId, EndpointKey, JournalSeq};
use crate::matching::Subscription;
use crate::registration::lifecycle::{Life, Pass, Reason};
use crate::registration::{Config, Draft, State};
use crate::retry::{Breaker, Budget, Due, Gcra, Link, Links, List, Streak, Timed, Wheel, Window};
use crate::signing::receipt::ReceiptCheck;
use crate::table::Slab;
use crate::time::Instant;

/// Entries that one call moves between levels of a wheel, at most.
const MOVES: u32 = 64;

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: EndpointKey,
    pub(crate) tenant: u32,
    pub(crate) wire: Arc<Wire>,
    pub(crate) draft: Draft,
    pub(crate) life: Life,
    /// Why it is in its state; `None` while it is as it was registered.
    pub(crate) cause: Option<Reason>,
    /// Where the consent of its owner stands; `None` where it is not asked for.
    pub(crate) consent: Option<Box<Asking>>,
    /// What its answers have said about its keys, if anything.
    pub(crate) key_use: Option<Box<KeyUse>>,
    /// When the hold of a disabled endpoint ends; what waits for one without this is discarded.
    pub(crate) hold: Option<Instant>,
    /// A chore will discard what waits for it.
    pub(crate) discard_queued: bool,
    /// It was removed; the slot goes when nothing refers to it any more.
    pub(crate) removed: bool,
    /// The number of its live subscription.
    pub(crate) subscription: Option<u32>,
    /// Earlier subscriptions, ascending by number.
    pub(crate) retired: Vec<Retired>,
    /// The last record about it; nothing starts before that is durable.
    pub(crate) gate: JournalSeq,
    pub(crate) window: Window,
    pub(crate) in_flight: u16,
    /// Deliveries that could start and wait for their payloads.
    pub(crate) fetching: u16,
    /// All its deliveries that wait or whose retry is in flight.
    pub(crate) deliveries: List<ByEndpoint>,
    /// Those that wait for nothing but the endpoint.
    pub(crate) ready: List<Queue>,
    /// Where it stands among the endpoints for which something waits.
    pub(crate) turn: Turn,
    /// When something is due by itself: the end of a rest by its throttle, its breaker and its rate, of its hold, or
    /// something about its consent.
    pub(crate) until: Option<Instant>,
    /// When it may start again after being throttled; a pause in between does not shorten it.
    pub(crate) throttled: Option<Instant>,
    pub(crate) breaker: Breaker,
    pub(crate) streak: Streak,
    /// What keeps it to its rate, where it has one.
    pub(crate) rate: Option<Box<Gcra>>,
    /// Its schedule has a delay before the first attempt.
    pub(crate) waits_first: bool,
    /// The host and port of its URL, where attempts to these are bounded.
    pub(crate) host: Option<u32>,
    pub(crate) timer: Link,
    pub(crate) tally: Tally,
    /// Its first record, which tells it from another in the same place.
    pub(crate) born: JournalSeq,
    /// Its deliveries that stand in lanes.
    pub(crate) laned: u32,
    /// What its last answer of success came to as to its receipt.
    pub(crate) receipt: ReceiptCheck,
}

/// What the record of an endpoint says of it.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) config: Config,
    pub(crate) draft: Draft,
    pub(crate) state: State,
    pub(crate) cause: Option<Reason>,
    /// The number of its live subscription.
    pub(crate) subscription: Option<u32>,
    pub(crate) retired: Vec<Retired>,
}

/// A subscription that only fan-outs from its time still see.
#[derive(Clone, Debug)]
pub(crate) struct Retired {
    pub(crate) number: u32,
    /// Events with a high-water mark up to this see it.
    pub(crate) at: u32,
    pub(crate) wanted: Subscription,
}

/// All endpoints, and what wakes them.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    pub(crate) slab: Slab<Slot>,
    pub(crate) by_key: BTreeMap<EndpointKey, u32>,
    wheel: Wheel,
}

/// What an attempt has in place of an event that asks for consent; its `seq` is then the record of the ask.
pub(crate) const NO_EVENT: u32 = u32::MAX;

/// An attempt that the adapter carries.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) turn: u32,
    pub(crate) event: u32,
    /// The event's place, which tells whether `event` is still the same one.
    pub(crate) seq: JournalSeq,
    pub(crate) endpoint: u32,
    pub(crate) subscription: u32,
    /// Its entry among the deliveries that wait, where it has one.
    pub(crate) delivery: Option<u32>,
    pub(crate) number: u16,
    /// The lane that it keeps busy.
    pub(crate) lane: Option<u32>,
    /// Its endpoint's breaker waits for how it ends.
    pub(crate) is_probe: bool,
    /// The host and port that it burdens, where these are bounded.
    pub(crate) host: Option<u32>,
    /// Noted by whoever builds the request.
    pub(crate) signed: Signed,
    pub(crate) started: Instant,
    pub(crate) ends: Instant,
    pub(crate) stage: Stage,
    timer: Link,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The adapter has it.
    Flying,
    /// The core gave it up, because it was overdue; its delivery waits again.
    Overdue,
    /// The core ended it together with its delivery.
    Aborted,
}

/// All attempts in flight; each holds a slot of the credit.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    slab: Slab<Attempt>,
    wheel: Wheel,
    turn: u32,
}

/// Something that was done for as long as work remained, a bounded piece at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chore {
    /// Discard everything that waits for an endpoint that is gone or removed, or whose hold has ended.
    Discard(u32),
    /// Abort what is in flight to an endpoint that is gone or removed, then discard what waits for it; the place to go
    /// on at among the attempts.
    AbortTo(u32, u32),
    /// Discard everything that waits for a cancelled event.
    Cancel(u32, JournalSeq),
    /// Let go of the events of a tenant from before its purge, whose record this is; the place to go on at among all
    /// events.
    Purge(u32, JournalSeq, u32),
    /// Abort what is in flight for a cancelled event, then discard what waits for it.
    AbortOf(u32, JournalSeq, u32),
    /// End what was superseded in a lane of an endpoint.
    Supersede(u32, u32),
    /// Let the deliveries of an event go on, whose payload has come.
    Unstall(u32, JournalSeq),
    /// End the deliveries of an event that wait for a payload that is lost.
    Lose(u32, JournalSeq),
}

/// What becomes possible when a record is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gate {
    /// The event may be sent.
    Event(u32),
    /// What the record says of the endpoint holds.
    Endpoint(u32),
    /// The endpoint's owner may be asked for consent.
    Ask(u32),
    /// The event is cancelled or erased.
    Cancel(u32, JournalSeq),
    /// The tenant is purged.
    Purge(u32),
}

/// The queues of the machine.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// Events whose fan-out can go on.
    pub(crate) scan: Lane<0>,
    /// Endpoints that can start a first attempt that waits.
    pub(crate) fresh: Lane<1>,
    /// Endpoints that can start a retry that waits.
    pub(crate) again: Lane<2>,
    /// Events and endpoints that wait for fewer payloads to be under way.
    pub(crate) scan_crowd: Crowd<0>,
    pub(crate) ready_crowd: Crowd<1>,
    /// Who of the first attempts has its turn: false for fan-outs, true for what waits.
    pub(crate) turn: bool,
    /// First attempts or retries.
    pub(crate) budget: Budget,
    /// Turns of first attempts in a row that came to none, though a retry waited.
    pub(crate) idle: u8,
    /// Whether the last step was a chore, so that what can start has the next one.
    pub(crate) chored: bool,
    pub(crate) gates: VecDeque<(JournalSeq, Gate)>,
    pub(crate) aborts: VecDeque<AttemptId>,
    /// Endpoints whose owners are to be asked for consent, with the records that say so.
    pub(crate) asks: VecDeque<(u32, JournalSeq)>,
    pub(crate) chores: VecDeque<Chore>,
}

impl TakesTurns for Slot {
    fn turn(&self) -> Turn {
        self.turn
    }

    fn turn_mut(&mut self) -> &mut Turn {
        &mut self.turn
    }

    fn tenant(&self) -> u32 {
        self.tenant
    }
}

impl Links for Slab<Slot> {
    fn link(&self, handle: u32) -> Link {
        self[handle].timer
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].timer
    }
}

impl Timed for Slab<Slot> {
    fn due(&self, handle: u32) -> Instant {
        self[handle].until.expect("only an endpoint with a time is in the wheel")
    }
}

impl Endpoints {
    /// Wakes the endpoint at a time, instead of the time set before.
    pub(crate) fn wake_at(&mut self, at: u32, until: Option<Instant>) {
        if self.slab[at].until.is_some() {
            self.wheel.remove(&mut self.slab, at);
        }
        self.slab[at].until = until;
        if until.is_some() {
            self.wheel.insert(&mut self.slab, at);
        }
    }

    /// Takes an endpoint whose time has come; a bounded piece of the search.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Due {
        let due = self.wheel.poll(&mut self.slab, now, MOVES);
        if let Due::Entry(at) = due {
            self.slab[at].until = None;
        }
        due
    }

    pub(crate) fn wake(&self) -> Option<Instant> {
        self.wheel.next_wake()
    }
}

impl Links for Slab<Attempt> {
    fn link(&self, handle: u32) -> Link {
        self[handle].timer
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].timer
    }
}

impl Timed for Slab<Attempt> {
    fn due(&self, handle: u32) -> Instant {
        self[handle].ends
    }
}

/// What an attempt is for.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) event: u32,
    pub(crate) seq: JournalSeq,
    pub(crate) endpoint: u32,
    pub(crate) subscription: u32,
    pub(crate) delivery: Option<u32>,
    pub(crate) number: u16,
    pub(crate) lane: Option<u32>,
    pub(crate) is_probe: bool,
    pub(crate) host: Option<u32>,
    pub(crate) signed: Signed,
}

impl Attempts {
    /// Begins an attempt that the core ends by itself at `ends`.
    pub(crate) fn begin(&mut self, incarnation: u32, flight: Flight, started: Instant, ends: Instant) -> AttemptId {
        self.turn = self.turn.wrapping_add(1);
        let at = self.slab.insert(Attempt {
            turn: self.turn,
            event: flight.event,
            seq: flight.seq,
            endpoint: flight.endpoint,
            subscription: flight.subscription,
            delivery: flight.delivery,
            number: flight.number,
            lane: flight.lane,
            is_probe: flight.is_probe,
            host: flight.host,
            signed: flight.signed,
            started,
            ends,
            stage: Stage::Flying,
            timer: Link::default(),
        });
        self.wheel.insert(&mut self.slab, at);
        AttemptId::new(incarnation, at, self.turn)
    }

    /// Where an attempt is, if the core still knows it.
    pub(crate) fn find(&self, id: AttemptId, incarnation: u32) -> Option<u32> {
        let known = id.incarnation() == incarnation && self.slab.get(id.slot())?.turn == id.turn();
        known.then(|| id.slot())
    }

    /// Frees the slot.
    pub(crate) fn end(&mut self, at: u32) -> Attempt {
        self.wheel.remove(&mut self.slab, at);
        self.slab.remove(at).expect("it was just found")
    }

    /// Moves an attempt to a later stage, in which it keeps its slot until `ends`.
    pub(crate) fn give_up(&mut self, at: u32, stage: Stage, ends: Instant, delivery: Option<u32>) {
        self.wheel.remove(&mut self.slab, at);
        self.linger(at, stage, ends, delivery);
    }

    /// The same for one that was just taken from the timer.
    pub(crate) fn linger(&mut self, at: u32, stage: Stage, ends: Instant, delivery: Option<u32>) {
        let attempt = &mut self.slab[at];
        attempt.stage = stage;
        attempt.ends = ends;
        attempt.delivery = delivery;
        self.wheel.insert(&mut self.slab, at);
    }

    /// Frees the slot of an attempt that was just taken from the timer.
    pub(crate) fn forget(&mut self, at: u32) -> Attempt {
        self.slab.remove(at).expect("it was just taken from the timer")
    }

    /// Takes an attempt whose time is over; a bounded piece of the search.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Due {
        self.wheel.poll(&mut self.slab, now, MOVES)
    }

    pub(crate) fn wake(&self) -> Option<Instant> {
        self.wheel.next_wake()
    }

    pub(crate) fn id(&self, at: u32, incarnation: u32) -> AttemptId {
        AttemptId::new(incarnation, at, self.slab[at].turn)
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Attempt> {
        self.slab.get(at)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Attempt)> {
        self.slab.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn end_of_table(&self) -> u32 {
        self.slab.end()
    }
}

impl Attempt {
    /// Whether it asks for consent, and carries no event.
    pub(crate) fn is_ask(&self) -> bool {
        self.event == NO_EVENT
    }
}

impl Slot {
    /// A new endpoint.
    pub(crate) fn new(tenant: u32, wire: Arc<Wire>, born: JournalSeq) -> Self {
        Self {
            key: wire.config.key.clone(),
            tenant,
            draft: Draft::default(),
            life: Life::NEW,
            cause: None,
            consent: None,
            key_use: None,
            hold: None,
            discard_queued: false,
            removed: false,
            subscription: None,
            retired: Vec::new(),
            gate: JournalSeq::ZERO,
            window: Window::new(wire.config.concurrency),
            in_flight: 0,
            fetching: 0,
            deliveries: List::new(),
            ready: List::new(),
            turn: Turn::default(),
            until: None,
            throttled: None,
            breaker: Breaker::new(),
            streak: Streak::new(),
            rate: None,
            waits_first: false,
            host: None,
            timer: Link::default(),
            tally: Tally::default(),
            born,
            laned: 0,
            receipt: ReceiptCheck::NotAsked,
            wire,
        }
    }

    /// What its record says of it.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            config: self.wire.config.clone(),
            draft: self.draft.clone(),
            state: self.life.admin,
            cause: self.cause,
            subscription: self.subscription,
            retired: self.retired.clone(),
        }
    }

    /// Whether deliveries may still be made to it, some time.
    pub(crate) fn is_over(&self) -> bool {
        self.removed || matches!(self.life.admin, State::Gone { .. })
    }

    /// Whether what waits for it is to be discarded: it is over, or was disabled and the hold has ended.
    pub(crate) fn is_discarding(&self) -> bool {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(39) && matches!(self.life.admin, State::Paused { .. }) {
            return true;
        }
        #[cfg(postrider_planted)]
        if crate::planted::breaks(45) && !self.breaker.is_closed() {
            return true;
        }
        self.is_over() || (matches!(self.life.admin, State::Disabled { .. }) && self.hold.is_none())
    }

    /// Whether an event with this high-water mark sees one of its subscriptions.
    pub(crate) fn is_seen(&self, subscription: u32, high_water: u32) -> bool {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(37) {
            return true;
        }
        if self.subscription == Some(subscription) {
            return true;
        }
        let found = self.retired.binary_search_by_key(&subscription, |retired| retired.number);
        found.is_ok_and(|at| high_water <= self.retired[at].at)
    }

    /// Whether its half-open breaker lets one start. What is being fetched will be the probe.
    fn can_probe(&self) -> bool {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(46) {
            return true;
        }
        !self.breaker.is_probing() && self.fetching == 0
    }

    /// Whether it can take another attempt now, as far as it alone is concerned.
    pub(crate) fn can_start(&self, durable: JournalSeq) -> bool {
        if self.removed || self.gate > durable {
            return false;
        }
        let started = u32::from(self.in_flight) + u32::from(self.fetching);
        match self.life.pass() {
            Pass::Nothing => false,
            Pass::Probe | Pass::Window if self.until.is_some() => false,
            #[cfg(postrider_planted)]
            Pass::Probe | Pass::Window if crate::planted::breaks(34) => {
                u32::from(self.in_flight) <= u32::from(self.window.size())
            }
            Pass::Probe | Pass::Window => {
                (self.breaker.is_closed() || self.can_probe()) && self.window.can_start(started)
            }
        }
    }
}
