//! What a journal's records come to: endpoints, and the events that have not ended. A fold like that of the machine, which
//! needs no key and starts nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{
    Accepted, Due, EndpointRecord, EventRecord, Mark, OutcomeRecord, Record, SnapshotBegin, Then,
};
use postrider_core::matching::Subscription;
use postrider_core::seed::Seed;
use postrider_core::time::UnixTime;

/// The state that records come to.
#[derive(Default)]
pub(crate) struct State {
    /// The store's seed, which fixes jitter. Never shown.
    pub(crate) seed: Option<Seed>,
    /// How often the store was opened.
    pub(crate) incarnation: u32,
    /// The last record that the snapshot stands for.
    pub(crate) since: JournalSeq,
    /// The endpoints as they are.
    pub(crate) endpoints: BTreeMap<EndpointKey, EndpointRecord>,
    /// Subscriptions by number, those of the past included.
    pub(crate) owners: HashMap<u32, EndpointKey>,
    /// Events that have not ended.
    pub(crate) events: BTreeMap<JournalSeq, Event>,
}

/// An event that has not ended.
pub(crate) struct Event {
    pub(crate) tenant: TenantId,
    pub(crate) id: EventId,
    pub(crate) event_type: String,
    pub(crate) at: UnixTime,
    /// It was cancelled: what waits is discarded.
    pub(crate) cancelled: bool,
    high_water: u32,
    /// The fan-out has passed these; all others are accounted for one by one.
    through: u32,
    passed_all: bool,
    /// It sends another again, to one endpoint.
    is_replay: bool,
    skip: BTreeSet<u32>,
    waiting: BTreeMap<u32, Waiting>,
}

/// A delivery that waits.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    /// Attempts that have failed.
    pub(crate) attempts: u16,
    /// When the next is due; at once, if that is not known.
    pub(crate) due: Due,
}

impl Waiting {
    /// The time at which the next attempt is due.
    pub(crate) fn at(&self) -> UnixTime {
        self.due.written.saturating_add(self.due.delay)
    }
}

impl Event {
    /// Whether it sends another again.
    pub(crate) fn is_replay(&self) -> bool {
        self.is_replay
    }

    fn new(accepted: &Accepted) -> Self {
        Self {
            tenant: accepted.tenant.clone(),
            id: accepted.id.clone(),
            event_type: accepted.event_type.clone(),
            at: accepted.at,
            cancelled: false,
            high_water: accepted.high_water,
            through: 0,
            passed_all: accepted.replay.is_some(),
            is_replay: accepted.replay.is_some(),
            skip: BTreeSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Deliveries that are known to wait. Those that the fan-out has not reached are not among them.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What is owed to an endpoint of its tenant: `None` when nothing is (any more), `Some(None)` when the first attempt
    /// has not been made.
    pub(crate) fn owed(&self, endpoint: &EndpointRecord) -> Option<Option<Waiting>> {
        if self.is_replay {
            // Whether the endpoint wants it does not matter.
            let mut numbers = endpoint.retired.iter().map(|old| old.number).chain(endpoint.subscription);
            return numbers.find_map(|number| self.waiting.get(&number)).map(|waiting| Some(*waiting));
        }
        let retired = endpoint.retired.iter().filter(|old| self.high_water <= old.at);
        let wanted =
            |number, patterns: Result<Subscription, _>, filter: &Option<_>| (number, patterns.ok(), filter.is_some());
        let retired = retired.map(|old| wanted(old.number, Subscription::parse(old.patterns.lines()), &old.filter));
        let live = endpoint.subscription;
        let live = live.map(|number| wanted(number, Subscription::parse(&endpoint.patterns), &endpoint.filter));
        let seen = retired.chain(live).filter(|(number, ..)| *number < self.high_water);
        let named =
            |wanted: &Option<Subscription>| wanted.as_ref().is_some_and(|wanted| wanted.matches(&self.event_type));
        let matching = seen.filter(|(_, wanted, _)| named(wanted)).map(|(number, _, filtered)| (number, filtered));
        let mut owed = None;
        for (number, filtered) in matching {
            if let Some(waiting) = self.waiting.get(&number) {
                return Some(Some(*waiting));
            }
            // Whether a filter lets it pass is not known here.
            if !filtered && !self.passed_all && number > self.through && !self.skip.contains(&number) {
                owed = Some(None);
            }
        }
        // A subscription that is neither live nor remembered can still have a delivery that waits.
        owed
    }

    fn account(&mut self, subscription: u32) {
        if subscription > self.through {
            self.skip.insert(subscription);
        }
    }

    fn mark(&mut self, mark: &Mark) {
        self.through = self.through.max(mark.through);
        self.skip = self.skip.split_off(&self.through.saturating_add(1));
        for subscription in &mark.open {
            self.waiting.entry(*subscription).or_insert_with(|| Waiting { attempts: 0, due: Due::default() });
        }
    }
}

impl State {
    /// Takes in a record of a snapshot, or one of the log that the snapshot does not stand for.
    pub(crate) fn apply(&mut self, seq: JournalSeq, record: &Record) {
        match record {
            Record::Genesis { seed } => self.seed = Some(*seed),
            Record::Opened { incarnation, .. } => self.incarnation = *incarnation,
            Record::Accepted(accepted) => {
                let new = !self.events.contains_key(&seq);
                self.events.entry(seq).or_insert_with(|| Event::new(accepted));
                if let Some(replay) = accepted.replay.as_ref().filter(|_| new) {
                    self.wait(seq, replay.subscription, 0, Due::default());
                }
            }
            Record::Endpoint(endpoint) => self.endpoint(endpoint),
            Record::Removed { endpoint, .. } => {
                self.endpoints.remove(endpoint);
            }
            Record::Queued { event, subscription, .. } => self.wait(*event, *subscription, 0, Due::default()),
            Record::Outcome(outcome) => self.outcome(outcome),
            Record::Mark(mark) => {
                if let Some(event) = self.events.get_mut(&mark.event) {
                    event.mark(mark);
                }
            }
            Record::Ended { event, .. } => {
                self.events.remove(event);
            }
            Record::Cancelled { event, .. } => {
                if let Some(event) = self.events.get_mut(event) {
                    event.cancelled = true;
                }
            }
            Record::SnapshotBegin(SnapshotBegin { since, seed, incarnation, .. }) => {
                (self.since, self.seed, self.incarnation) = (*since, Some(*seed), *incarnation);
            }
            Record::Event(event) => self.event(event),
            Record::Pending { event, subscription, attempts, due, .. } => {
                self.wait(*event, *subscription, *attempts, *due);
            }
            Record::Purged { .. }
            | Record::Erased { .. }
            | Record::Kept(_)
            | Record::Health(_)
            | Record::Remembered(_)
            | Record::SnapshotEnd { .. }
            | Record::Lane { .. }
            | Record::Synced { .. }
            | Record::Consent(_)
            | Record::KeyUse(_) => {}
        }
    }

    /// Takes in an endpoint's subscriptions, without its state: what an older record tells of names.
    pub(crate) fn name(&mut self, endpoint: &EndpointRecord) {
        let retired = endpoint.retired.iter().map(|old| old.number);
        for number in retired.chain(endpoint.subscription) {
            self.owners.insert(number, endpoint.key.clone());
        }
    }

    /// When the oldest event that has not ended was accepted.
    pub(crate) fn oldest(&self) -> Option<&Event> {
        self.events.values().next()
    }

    /// Deliveries that are known to wait, by endpoint.
    pub(crate) fn waiting_by_endpoint(&self) -> HashMap<&EndpointKey, u64> {
        let mut counts = HashMap::new();
        let all = self.events.values().flat_map(|event| event.waiting.keys());
        for key in all.filter_map(|number| self.owners.get(number)) {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    fn endpoint(&mut self, record: &EndpointRecord) {
        self.name(record);
        self.endpoints.insert(record.key.clone(), record.clone());
    }

    fn wait(&mut self, event: JournalSeq, subscription: u32, attempts: u16, due: Due) {
        let Some(event) = self.events.get_mut(&event) else { return };
        event.waiting.insert(subscription, Waiting { attempts, due });
        event.account(subscription);
    }

    fn outcome(&mut self, outcome: &OutcomeRecord) {
        let Some(event) = self.events.get_mut(&outcome.event) else { return };
        match outcome.then {
            Then::Retry(due) => {
                event.waiting.insert(outcome.subscription, Waiting { attempts: outcome.attempts, due });
            }
            Then::Delivered
            | Then::Exhausted
            | Then::Refused
            | Then::Discarded
            | Then::Expired
            | Then::Lost
            | Then::Superseded => {
                event.waiting.remove(&outcome.subscription);
            }
        }
        event.account(outcome.subscription);
    }

    fn event(&mut self, record: &EventRecord) {
        let mut event = Event::new(&record.accepted);
        event.mark(&record.mark);
        (event.passed_all, event.cancelled) = (record.passed_all, record.cancelled);
        record.done.iter().for_each(|subscription| event.account(*subscription));
        self.events.insert(record.mark.event, event);
    }
}
