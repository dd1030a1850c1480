//! What the durable records say, read without the sender's help: the evidence that the laws are judged by.

use std::collections::{BTreeMap, BTreeSet};

use postrider_core::id::{EndpointKey, EventId, JournalSeq, TenantId};
use postrider_core::journal::{Record, Then};
use postrider_core::secret::KeyId;

/// An endpoint and how often its name had been registered anew.
pub type Incarnate = (EndpointKey, u32);

/// A fold of durable records that knows nothing of how the sender folds them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Endpoints by name and registration.
    pub endpoints: BTreeMap<Incarnate, Entry>,
    /// The registration that a name stands for.
    pub alive: BTreeMap<EndpointKey, u32>,
    /// Events by the place of their records.
    pub events: BTreeMap<JournalSeq, Accepted>,
    /// The revisions of the lists that were applied last.
    pub synced: BTreeMap<TenantId, u64>,
    owners: BTreeMap<u32, Incarnate>,
    registered: BTreeMap<EndpointKey, u32>,
    /// A delivery that ended twice, or for somebody unknown.
    pub faults: Vec<String>,
}

/// What is known of an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// 0 active, 1 paused, 2 disabled, 3 gone, 4 unverified.
    pub code: u8,
    /// How its owner is asked for consent, 0 for not at all.
    pub asks: u8,
    /// Its owner has consented.
    pub consented: bool,
    /// What it wants.
    pub patterns: Vec<String>,
    /// Keys that must never sign again.
    pub revoked: Vec<KeyId>,
    /// It was removed.
    pub removed: bool,
    /// It was gone at some time.
    pub was_gone: bool,
    /// It was disabled at some time.
    pub was_disabled: bool,
}

/// What is known of an event.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub id: EventId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The event that it sends again.
    pub replay_of: Option<EventId>,
    /// It has expired at some time, if it is set.
    pub expires: bool,
    /// It was cancelled or erased, or its tenant purged.
    pub cancelled: bool,
    /// All its deliveries have ended.
    pub ended: bool,
    /// Attempts with outcomes, by delivery.
    pub attempts: BTreeMap<Incarnate, u16>,
    /// How deliveries ended.
    pub ends: BTreeMap<Incarnate, Then>,
    /// Every outcome's number of attempts.
    pub outcomes: BTreeSet<(Incarnate, u16)>,
}

impl Ledger {
    /// Takes note of a durable record.
    pub fn note(&mut self, seq: JournalSeq, record: &Record) {
        match record {
            Record::Accepted(accepted) => {
                let event = Accepted {
                    id: accepted.id.clone(),
                    tenant: accepted.tenant.clone(),
                    replay_of: accepted.replay.as_ref().map(|replay| replay.of.clone()),
                    expires: accepted.expires.is_some(),
                    cancelled: false,
                    ended: false,
                    attempts: BTreeMap::new(),
                    ends: BTreeMap::new(),
                    outcomes: BTreeSet::new(),
                };
                self.events.insert(seq, event);
            }
            Record::Endpoint(endpoint) => {
                let number = match self.alive.get(&endpoint.key) {
                    Some(number) => *number,
                    None => {
                        let number = self.registered.entry(endpoint.key.clone()).or_default();
                        *number += 1;
                        self.alive.insert(endpoint.key.clone(), *number);
                        *number
                    }
                };
                let name = (endpoint.key.clone(), number);
                let retired = endpoint.retired.iter().map(|retired| retired.number);
                let numbers = endpoint.subscription.into_iter().chain(retired);
                self.owners.extend(numbers.map(|number| (number, name.clone())));
                let entry = self.endpoints.entry(name).or_default();
                entry.code = endpoint.state.code;
                entry.asks = endpoint.consent.map_or(0, |ask| ask.by);
                entry.patterns.clone_from(&endpoint.patterns);
                entry.revoked.clone_from(&endpoint.revoked);
                entry.was_gone |= entry.code == 3;
                entry.was_disabled |= entry.code == 2;
            }
            Record::Removed { endpoint, .. } => {
                if let Some(number) = self.alive.remove(endpoint) {
                    self.endpoints.entry((endpoint.clone(), number)).or_default().removed = true;
                }
            }
            Record::Outcome(outcome) => {
                self.outcome(outcome.event, outcome.subscription, outcome.attempts, outcome.then)
            }
            Record::Ended { event, .. } => {
                if let Some(event) = self.events.get_mut(event) {
                    event.ended = true;
                }
            }
            Record::Cancelled { event, .. } => {
                if let Some(event) = self.events.get_mut(event) {
                    event.cancelled = true;
                }
            }
            Record::Purged { tenant, .. } => {
                self.events
                    .values_mut()
                    .filter(|event| event.tenant == *tenant)
                    .for_each(|event| event.cancelled = true);
            }
            Record::Erased { tenant, event: id, .. } => {
                let is_it = |event: &Accepted| event.id == *id || event.replay_of.as_ref() == Some(id);
                let named = self.events.values_mut().filter(|event| event.tenant == *tenant && is_it(event));
                named.for_each(|event| event.cancelled = true);
            }
            Record::Genesis { .. }
            | Record::Opened { .. }
            | Record::Queued { .. }
            | Record::Mark(_)
            | Record::SnapshotBegin(_)
            | Record::Event(_)
            | Record::Pending { .. }
            | Record::Remembered(_)
            | Record::SnapshotEnd { .. }
            | Record::Lane { .. }
            | Record::Health(_)
            | Record::Kept(_)
            | Record::KeyUse(_) => {}
            Record::Synced { tenant, revision, .. } => _ = self.synced.insert(tenant.clone(), *revision),
            Record::Consent(consent) => {
                let number = self.alive.get(&consent.endpoint).copied();
                let entry = number.and_then(|number| self.endpoints.get_mut(&(consent.endpoint.clone(), number)));
                entry.into_iter().for_each(|entry| entry.consented = consent.stage == 3);
            }
        }
    }

    fn outcome(&mut self, event: JournalSeq, subscription: u32, attempts: u16, then: Then) {
        let owner = self.owners.get(&subscription).cloned();
        let (Some(known), Some(owner)) = (self.events.get_mut(&event), owner) else {
            self.faults
                .push(format!("an outcome for event {event} and subscription {subscription}, which is nobody's"));
            return;
        };
        if let Some(before) = known.ends.get(&owner) {
            self.faults.push(format!("{} to {} ended twice: {before:?}, {then:?}", known.id, owner.0));
        }
        known.outcomes.insert((owner.clone(), attempts));
        match then {
            Then::Retry(_) => {
                known.attempts.insert(owner, attempts);
            }
            Then::Delivered
            | Then::Exhausted
            | Then::Refused
            | Then::Discarded
            | Then::Expired
            | Then::Lost
            | Then::Superseded => {
                known.ends.insert(owner, then);
            }
        }
    }

    /// How often each name has been registered.
    pub fn registered(&self) -> impl Iterator<Item = (&EndpointKey, u32)> {
        self.registered.iter().map(|(key, number)| (key, *number))
    }

    /// Attempts of a delivery that have durable outcomes.
    pub fn attempts(&self, event: JournalSeq, to: &Incarnate) -> u16 {
        self.events.get(&event).and_then(|event| event.attempts.get(to).copied()).unwrap_or(0)
    }

    /// How a delivery ended, where that is durable.
    pub fn end(&self, event: JournalSeq, to: &Incarnate) -> Option<Then> {
        self.events.get(&event)?.ends.get(to).copied()
    }
}
