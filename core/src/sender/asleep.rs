//! Fan-outs that had not begun when the machine was restored: 24 bytes each, until their turn comes.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::Sender;
use super::jobs::{Begun, Body, Jobs};
use crate::id::JournalSeq;
use crate::matching::EventType;

/// While fewer events than this go round, more are woken.
const AWAKE: usize = 64;
/// And one in so many turns, however many go round.
const EVERY: u8 = 16;
/// Events forgotten in one step that were cancelled in their sleep, at most.
const FORGET_AT_ONCE: usize = 32;

/// Events that are asleep, in the order in which they were accepted, and some that were and have ended.
#[derive(Debug, Default)]
pub(crate) struct Asleep {
    sleepers: VecDeque<Sleeper>,
    /// Those whose turn has come and that wait for an earlier one under the same ordering key.
    parked: BTreeMap<JournalSeq, Sleeper>,
    types: Vec<EventType>,
    turns: u8,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sleeper {
    pub(crate) seq: JournalSeq,
    pub(crate) job: u32,
    pub(crate) event_type: u32,
    pub(crate) high_water: u32,
}

impl Asleep {
    /// Lets events sleep, in order; their types are named by their places.
    pub(crate) fn new(sleepers: VecDeque<Sleeper>, types: Vec<EventType>) -> Self {
        Self { sleepers, parked: BTreeMap::new(), types, turns: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sleepers.is_empty()
    }

    /// What an event is that is asleep, and its high-water mark.
    pub(crate) fn find(&self, seq: JournalSeq) -> Option<(&EventType, u32)> {
        let at = self.sleepers.binary_search_by_key(&seq, |sleeper| sleeper.seq);
        let sleeper = at.map_or_else(|_| self.parked.get(&seq), |at| self.sleepers.get(at))?;
        Some((&self.types[sleeper.event_type as usize], sleeper.high_water))
    }

    /// Lets one sleep on until an earlier one under the same key has been fanned out.
    pub(crate) fn park(&mut self, sleeper: Sleeper) {
        self.parked.insert(sleeper.seq, sleeper);
    }

    pub(crate) fn unpark(&mut self, seq: JournalSeq) -> Option<Sleeper> {
        self.parked.remove(&seq)
    }
}

impl Jobs {
    /// The event that has slept longest, if it still does.
    fn first_asleep(&self) -> Option<Sleeper> {
        self.asleep.sleepers.front().copied()
    }

    fn is_asleep(&self, sleeper: &Sleeper) -> bool {
        self.slab.get(sleeper.job).is_some_and(|job| job.seq == sleeper.seq && job.body == Body::Asleep)
    }

    /// The high-water mark of the oldest event that has subscriptions to pass. It is the lowest.
    pub(crate) fn oldest_high_water(&self) -> Option<u32> {
        let awake = self.unfinished.first_key_value().map(|(seq, high_water)| (*seq, *high_water));
        let asleep = self.first_asleep().map(|sleeper| (sleeper.seq, sleeper.high_water));
        let parked = self.asleep.parked.first_key_value().map(|(seq, sleeper)| (*seq, sleeper.high_water));
        awake.into_iter().chain(asleep).chain(parked).min().map(|(_, high_water)| high_water)
    }

    /// Forgets those in front that were cancelled in their sleep; a few at a time.
    pub(crate) fn tidy_asleep(&mut self) {
        for _ in 0..FORGET_AT_ONCE {
            match self.first_asleep() {
                Some(first) if !self.is_asleep(&first) => _ = self.asleep.sleepers.pop_front(),
                _ => break,
            }
        }
        if self.asleep.sleepers.is_empty() && self.asleep.parked.is_empty() {
            self.asleep = Asleep::default();
        }
    }
}

impl Sender {
    /// Whether an event could be woken, if nothing else can be fanned out: none that is awake waits for others' payloads.
    pub(super) fn has_asleep(&self) -> bool {
        let few = self.queues.scan.len() < AWAKE;
        !self.jobs.asleep.is_empty() && self.queues.scan_crowd.is_empty() && (few || self.queues.scan.is_ready())
    }

    /// Wakes an event when few go round, and now and then when many do: neither those that come nor those that slept
    /// wait for the others to be through.
    pub(super) fn wake_asleep(&mut self) {
        let asleep = &mut self.jobs.asleep;
        if asleep.is_empty() {
            return;
        }
        asleep.turns = (asleep.turns + 1) % EVERY;
        let few = self.queues.scan.len() < AWAKE && self.queues.scan_crowd.is_empty();
        if !few && asleep.turns > 0 {
            return;
        }
        self.jobs.tidy_asleep();
        let Some(sleeper) = self.jobs.first_asleep().filter(|first| self.jobs.is_asleep(first)) else { return };
        self.jobs.asleep.sleepers.pop_front();
        self.wake_or_park(sleeper);
        self.jobs.tidy_asleep();
    }

    /// Lets the fan-out of an event that slept begin.
    pub(super) fn rouse(&mut self, sleeper: Sleeper) {
        let Sleeper { job: at, high_water, event_type, .. } = sleeper;
        let event_type = self.jobs.asleep.types[event_type as usize].clone();
        let job = &mut self.jobs.slab[at];
        job.body = Body::Away;
        let cursor = self.tenants[job.tenant].index.cursor(event_type.as_str(), high_water);
        self.jobs.go_on(at, event_type, cursor, Begun { high_water, ..Begun::default() });
        self.start_scan(at);
    }
}
