//! A machine from its records.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

use super::chains::HashKey;
use super::pending::Pending;
use super::repeats::{Known, Name};
use super::tables::{Chore, Retired};
use super::{Config, Sender};
use crate::id::{EndpointKey, JournalSeq, TenantId};
use crate::journal::{
    Accepted, Due, EndpointRecord, EventRecord, HeaderRecord, Mark, OutcomeRecord, Record, SnapshotBegin, StoredValue,
    Then,
};
use crate::matching::{EventType, Subscription};
use crate::registration::{self, Cidr, Draft, Endpoint, EndpointError, Policy, State};
use crate::seed::Seed;
use crate::time::{Now, UnixTime};

/// Makes a [`Sender`] of the records of a store: the newest complete snapshot's, numbered [`JournalSeq::ZERO`], then
/// those of the log in order.
///
/// Of the log it needs what lies behind the snapshot's [`since`](SnapshotBegin::since), without a gap; what is given from
/// before is passed over. No payload is kept: the accepted records of events that have not ended stay in the store, and
/// the machine asks for them with [`Output::Load`](super::Output::Load) when their time comes.
///
/// ```
/// use postrider_core::sender::{Config, Restore, RestoreError};
/// use postrider_core::time::Now;
///
/// let log: Vec<_> = Vec::new();
/// let restored = log.into_iter().fold(Restore::new(Config::new()), Restore::record).finish(Now::default());
/// assert_eq!(restored.err(), Some(RestoreError::Empty));
/// ```
#[derive(Debug)]
pub struct Restore {
    sender: Sender,
    began: bool,
    /// The last record that the snapshot stands for.
    since: JournalSeq,
    /// The last record whose effects the snapshot may show.
    through: JournalSeq,
    last: JournalSeq,
    /// Records that are known to be lost: first and last.
    missing: BTreeMap<JournalSeq, JournalSeq>,
    /// Subscription numbers to endpoints, those of the past included.
    owners: BTreeMap<u32, u32>,
    /// Events, and deliveries that wait.
    pending: Pending,
    remembered: Vec<(UnixTime, Known)>,
    error: Option<RestoreError>,
}

/// Why records make no machine.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RestoreError {
    /// There are none: a new store is made with [`Sender::new`].
    Empty,
    /// They do not begin with a store's first record or with a snapshot.
    NoBeginning,
    /// Records are missing.
    Gap {
        /// The last record before the gap.
        after: JournalSeq,
        /// The next one there is.
        found: JournalSeq,
    },
    /// The snapshot shows more than the log has.
    SnapshotAhead {
        /// The last record that the log must have.
        through: JournalSeq,
        /// The last one that it has.
        last: JournalSeq,
    },
    /// An endpoint is none.
    Endpoint {
        /// The record.
        at: JournalSeq,
        /// The endpoint.
        endpoint: EndpointKey,
        /// What is wrong.
        why: EndpointError,
    },
    /// An endpoint's secrets are sealed: the adapter opens them first
    /// ([`Record::open_with`](crate::journal::Record::open_with)).
    Sealed {
        /// The record.
        at: JournalSeq,
        /// The endpoint.
        endpoint: EndpointKey,
    },
    /// An event is none.
    Event {
        /// Its record.
        at: JournalSeq,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the store has no records"),
            Self::NoBeginning => f.write_str("the store's first record is missing, and it has no snapshot"),
            Self::Gap { after, found } => write!(f, "after record {after} comes record {found}: some are missing"),
            Self::SnapshotAhead { through, last } => {
                write!(f, "the snapshot needs the log up to record {through}, and the log ends at {last}")
            }
            Self::Endpoint { at, endpoint, why } => write!(f, "record {at}: endpoint {endpoint}: {why}"),
            Self::Sealed { at, endpoint } => {
                write!(f, "record {at}: the secrets of endpoint {endpoint} are sealed; give the key that opens them")
            }
            Self::Event { at } => write!(f, "record {at}: the event's type is none"),
        }
    }
}

impl core::error::Error for RestoreError {}

impl Restore {
    /// Begins with nothing. The seed comes with the records.
    pub fn new(config: Config) -> Self {
        let mut sender = Sender::empty(config, Seed::from_bytes([0; 32]), JournalSeq::ZERO, Now::default());
        sender.restoring = true;
        Self {
            sender,
            began: false,
            since: JournalSeq::ZERO,
            through: JournalSeq::ZERO,
            last: JournalSeq::ZERO,
            missing: BTreeMap::new(),
            owners: BTreeMap::new(),
            pending: Pending::default(),
            remembered: Vec::new(),
            error: None,
        }
    }

    /// Adds the next record. A mistake is kept and told by [`finish`](Self::finish).
    pub fn record(mut self, (seq, record): (JournalSeq, Record)) -> Self {
        if self.error.is_none()
            && let Err(error) = self.add(seq, record)
        {
            self.error = Some(error);
        }
        self
    }

    /// Tells of records that the store has lost, by the first and the last of them: their absence is not taken for a
    /// mistake, their numbers are not given again, and what later records say of events that were accepted there is passed
    /// over. What the machine owes by the records that are left, it goes on to deliver, perhaps again: an outcome may be
    /// among the missing. A store without its first record goes on with a seed of zeros.
    ///
    /// For a store that is opened to save what can be saved; told before or between the records.
    pub fn missing(mut self, first: JournalSeq, last: JournalSeq) -> Self {
        let known = self.missing.entry(first).or_insert(last);
        *known = last.max(*known);
        self.began |= first <= JournalSeq::new(1);
        self
    }

    /// The machine as it was, at a new time: what is overdue is due now, and nothing is due earlier than agreed, but
    /// for a step of the wall clock.
    pub fn finish(mut self, now: Now) -> Result<Sender, RestoreError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.last == JournalSeq::ZERO && !self.began {
            return Err(RestoreError::Empty);
        }
        if !self.began {
            return Err(RestoreError::NoBeginning);
        }
        // A log that has lost everything behind the snapshot's beginning is still whole up to there.
        let last = self.without_missing(self.last.max(self.since));
        if self.through > last {
            return Err(RestoreError::SnapshotAhead { through: self.through, last });
        }
        self.sender.outbox = super::persist::Outbox::new(last);
        self.sender.now = now;
        self.sender.restoring = false;
        self.index_subscriptions();
        self.resume_events();
        self.resume_deliveries();
        self.resume_endpoints();
        self.remember();
        let incarnation = self.sender.incarnation + 1;
        self.sender.open(incarnation);
        Ok(self.sender)
    }

    fn add(&mut self, seq: JournalSeq, record: Record) -> Result<(), RestoreError> {
        if seq != JournalSeq::ZERO {
            if seq <= self.since {
                // The snapshot says all of this.
                return Ok(());
            }
            self.check_place(seq)?;
        }
        match record {
            Record::Genesis { seed } => {
                self.set_seed(seed);
                self.began = true;
            }
            Record::Opened { incarnation, .. } => self.sender.incarnation = incarnation,
            Record::Accepted(accepted) => self.accepted(seq, &accepted)?,
            Record::Endpoint(endpoint) => self.endpoint(seq, &endpoint)?,
            Record::Removed { endpoint, .. } => {
                if let Some(at) = self.sender.endpoints.by_key.get(&endpoint).copied() {
                    self.sender.apply_removed(at, seq);
                }
            }
            Record::Queued { event, subscription } => self.wait(event, subscription, 0, Due::default()),
            Record::Outcome(outcome) => self.outcome(&outcome),
            Record::Mark(mark) => self.mark(&mark),
            Record::Ended { event, .. } => self.ended(event),
            #[cfg(postrider_planted)]
            Record::Cancelled { .. } if crate::planted::breaks(23) => {}
            Record::Cancelled { event, .. } => {
                if let Some(job) = self.job(event) {
                    self.sender.apply_cancelled(job);
                }
            }
            Record::SnapshotBegin(SnapshotBegin { since, seed, incarnation, next_subscription }) => {
                self.set_seed(seed);
                self.sender.incarnation = incarnation;
                self.sender.next_subscription = next_subscription;
                self.since = since;
                self.began = true;
            }
            Record::Event(event) => self.event(&event)?,
            Record::Pending { event, subscription, attempts, due } => self.wait(event, subscription, attempts, due),
            Record::Remembered(known) => {
                let entry = Known {
                    name: Name::from_bytes(known.name),
                    event: known.id,
                    seq: known.event,
                    digest: known.digest,
                };
                self.remembered.push((known.at, entry));
            }
            Record::SnapshotEnd { through } => self.through = through,
            Record::Purged { tenant, .. } => self.purged(&tenant),
            Record::Erased { tenant, event, .. } => {
                if let Some(job) = self.sender.find_event(&tenant, &event) {
                    self.sender.apply_cancelled(job);
                }
            }
            Record::Kept(_) => {}
        }
        Ok(())
    }

    /// Records of the log come one after the other, from the place on that the snapshot stands for.
    fn check_place(&mut self, seq: JournalSeq) -> Result<(), RestoreError> {
        let after = self.last.max(self.since);
        if seq <= after || (seq != after.next() && self.without_missing(after).next() < seq) {
            return Err(RestoreError::Gap { after, found: seq });
        }
        self.last = seq;
        Ok(())
    }

    /// The last of the records behind `after` that are known to be lost, without one in between that is not.
    fn without_missing(&self, mut after: JournalSeq) -> JournalSeq {
        while let Some((_, last)) = self.missing.range(..=after.next()).next_back()
            && *last > after
        {
            after = *last;
        }
        after
    }

    fn job(&self, event: JournalSeq) -> Option<u32> {
        self.pending.event(&self.sender.jobs, event)
    }

    fn set_seed(&mut self, seed: Seed) {
        self.sender.seed = seed;
        if self.sender.jobs.slab.len() == 0 {
            self.sender.jobs.set_key(HashKey::new(seed));
            self.sender.repeats.set_key(HashKey::new(seed));
        }
    }

    fn accepted(&mut self, seq: JournalSeq, accepted: &Accepted) -> Result<(), RestoreError> {
        let known = |name| Known { name, event: accepted.id.clone(), seq, digest: accepted.digest };
        let id = Name::id(&accepted.tenant, &accepted.id);
        self.remembered.push((accepted.at, known(id)));
        if let Some(key) = &accepted.idempotency {
            let key = Name::key(&accepted.tenant, key);
            self.remembered.push((accepted.at, known(key)));
        }
        if self.job(seq).is_some() {
            // A snapshot shows it that had not been finished when it was accepted.
            return Ok(());
        }
        let Ok(event_type) = EventType::new(&accepted.event_type) else { return Err(RestoreError::Event { at: seq }) };
        // Numbers below were given, though the record that gave them may be missing.
        self.sender.next_subscription = self.sender.next_subscription.max(accepted.high_water);
        let job = self.sender.apply_accepted(seq, accepted, &event_type);
        self.pending.add_event(&self.sender.jobs, job);
        Ok(())
    }

    fn endpoint(&mut self, seq: JournalSeq, record: &EndpointRecord) -> Result<(), RestoreError> {
        let wrong = |why| RestoreError::Endpoint { at: seq, endpoint: record.key.clone(), why };
        if record.is_sealed() {
            return Err(RestoreError::Sealed { at: seq, endpoint: record.key.clone() });
        }
        let (config, state) = (config_of(record).map_err(wrong)?, state_of(record));
        let draft = Draft {
            keys: record.keys.iter().filter_map(|key| Some((key.secret.secret()?.clone(), key.expires))).collect(),
            revoked: record.revoked.clone(),
        };
        let retired = record.retired.iter().map(|retired| {
            let wanted = Subscription::parse(retired.patterns.lines()).unwrap_or_else(|_| Subscription::everything());
            Retired { number: retired.number, at: retired.at, wanted }
        });
        let retired: Vec<_> = retired.collect();
        let numbers: Vec<_> = record.subscription.into_iter().chain(retired.iter().map(|old| old.number)).collect();
        let known = self.sender.endpoints.by_key.get(&record.key).copied();
        let at = self.sender.apply_endpoint(known, seq, config, draft, state, record.subscription, retired);
        for number in numbers {
            let before = self.owners.insert(number, at);
            if before.is_some_and(|before| before != at) {
                self.move_waiting(number, at);
            }
        }
        Ok(())
    }

    /// A snapshot showed an endpoint that was removed and made anew since it began. Reading the log behind its
    /// beginning has removed the endpoint with what the snapshot attached to it, and now makes it again: what waits
    /// for the new one's subscription is its own. Rare, and therefore a search.
    fn move_waiting(&mut self, subscription: u32, to: u32) {
        for handle in 0..self.sender.deliveries.end() {
            let known = self.sender.deliveries.get(handle);
            let Some(delivery) = known.filter(|delivery| delivery.subscription == subscription) else { continue };
            let (job, attempts, due) = (delivery.event, delivery.attempts, self.pending.due(handle));
            self.forget_waiting(handle);
            let handle = self.sender.apply_waiting(job, to, subscription, attempts);
            self.pending.add_delivery(&self.sender.jobs, &self.sender.deliveries, handle);
            self.pending.set_due(handle, due);
        }
    }

    /// Takes a delivery that waits out of its lists.
    fn forget_waiting(&mut self, handle: u32) {
        let sender = &mut self.sender;
        self.pending.remove_delivery(&sender.deliveries, handle);
        let (job, endpoint) = (sender.deliveries[handle].event, sender.deliveries[handle].endpoint);
        let lists = (&mut sender.jobs.slab[job].deliveries, &mut sender.endpoints.slab[endpoint].deliveries);
        sender.deliveries.remove(handle, lists.0, lists.1);
    }

    /// A delivery waits.
    fn wait(&mut self, event: JournalSeq, subscription: u32, attempts: u16, due: Due) {
        let Some(job) = self.job(event) else { return };
        let Some(endpoint) = self.owners.get(&subscription).copied() else { return };
        let sender = &mut self.sender;
        let handle = self.pending.delivery(&sender.jobs, &sender.deliveries, job, subscription).unwrap_or_else(|| {
            let handle = sender.apply_waiting(job, endpoint, subscription, attempts);
            self.pending.add_delivery(&sender.jobs, &sender.deliveries, handle);
            handle
        });
        if let Some(delivery) = sender.deliveries.get_mut(handle) {
            delivery.attempts = attempts;
        }
        self.pending.set_due(handle, due);
        self.account(job, subscription);
    }

    /// A fan-out need not look at a subscription again.
    fn account(&mut self, job: u32, subscription: u32) {
        let job = &mut self.sender.jobs.slab[job];
        if !job.has_passed(subscription) {
            job.work_mut().skip(subscription);
        }
    }

    fn outcome(&mut self, outcome: &OutcomeRecord) {
        let Some(job) = self.job(outcome.event) else { return };
        let Some(endpoint) = self.owners.get(&outcome.subscription).copied() else { return };
        let waiting = self.pending.delivery(&self.sender.jobs, &self.sender.deliveries, job, outcome.subscription);
        let passed = self.sender.jobs.slab[job].has_passed(outcome.subscription);
        match outcome.then {
            Then::Retry(due) => {
                let handle = self.sender.apply_conclusion(job, endpoint, waiting, outcome);
                let handle = handle.expect("a delivery that is tried again waits");
                if waiting.is_none() {
                    self.pending.add_delivery(&self.sender.jobs, &self.sender.deliveries, handle);
                }
                self.pending.set_due(handle, due);
                #[cfg(postrider_planted)]
                if crate::planted::breaks(29) {
                    self.sender.deliveries.get_mut(handle).expect("it waits").attempts = 0;
                }
            }
            // It had ended before the mark was made, and is counted there.
            _ if waiting.is_none() && passed => {}
            Then::Delivered | Then::Exhausted | Then::Refused | Then::Discarded | Then::Expired | Then::Lost => {
                if let Some(handle) = waiting {
                    self.pending.remove_delivery(&self.sender.deliveries, handle);
                }
                self.sender.apply_conclusion(job, endpoint, waiting, outcome);
            }
        }
        self.account(job, outcome.subscription);
    }

    fn mark(&mut self, mark: &Mark) {
        let Some(at) = self.job(mark.event) else { return };
        let job = &mut self.sender.jobs.slab[at];
        if !job.has_passed_all() {
            let work = job.work_mut();
            work.through = mark.through.max(work.through);
            let passed = work.skip.partition_point(|number| *number <= work.through);
            work.skip.drain(..passed);
        }
        for subscription in &mark.open {
            if self.pending.delivery(&self.sender.jobs, &self.sender.deliveries, at, *subscription).is_none() {
                self.wait(mark.event, *subscription, 0, Due::default());
            }
        }
    }

    fn event(&mut self, record: &EventRecord) -> Result<(), RestoreError> {
        let EventRecord { mark, passed_all, cancelled, accepted, payload_len: _, done } = record;
        let job = if *passed_all {
            self.sender.apply_event(mark.event, accepted)
        } else {
            let event_type = EventType::new(&accepted.event_type);
            let event_type = event_type.map_err(|_| RestoreError::Event { at: mark.event })?;
            self.sender.apply_accepted(mark.event, accepted, &event_type)
        };
        self.pending.add_event(&self.sender.jobs, job);
        self.mark(mark);
        if *cancelled {
            self.sender.apply_cancelled(job);
        }
        for subscription in done {
            self.account(job, *subscription);
        }
        Ok(())
    }

    /// Every event that was accepted before is cancelled.
    fn purged(&mut self, tenant: &TenantId) {
        let Some(tenant) = self.sender.tenants.find(tenant) else { return };
        let slab = self.sender.jobs.slab.iter();
        let jobs: Vec<_> = slab.filter(|(_, job)| job.tenant == tenant).map(|(at, _)| at).collect();
        jobs.into_iter().for_each(|job| self.sender.apply_cancelled(job));
    }

    fn ended(&mut self, event: JournalSeq) {
        let Some(job) = self.job(event) else { return };
        while let Some(handle) = self.sender.jobs.slab[job].deliveries.front() {
            self.forget_waiting(handle);
        }
        self.pending.remove_event(&self.sender.jobs, job);
        self.sender.apply_ended(job);
    }

    /// Fills the indexes: live subscriptions, and earlier ones that a fan-out may still see.
    fn index_subscriptions(&mut self) {
        let sender = &mut self.sender;
        let oldest = sender.jobs.unfinished.first_key_value().map(|(_, high_water)| *high_water);
        let mut numbers = Vec::new();
        let mut retired = Vec::new();
        for (at, slot) in sender.endpoints.slab.iter().filter(|(_, slot)| !slot.removed) {
            let wanted = slot.wire.config.subscription.clone();
            numbers.extend(slot.subscription.map(|number| (number, slot.tenant, wanted)));
            for old in &slot.retired {
                sender.subscriptions.insert(old.number, at);
                if oldest.is_some_and(|high_water| high_water <= old.at) {
                    numbers.push((old.number, slot.tenant, old.wanted.clone()));
                    retired.push(((old.at, old.number), (slot.tenant, old.wanted.clone())));
                }
            }
            sender.subscriptions.extend(slot.subscription.map(|number| (number, at)));
        }
        numbers.sort_unstable_by_key(|(number, _, _)| *number);
        for (number, tenant, wanted) in numbers {
            sender.tenants[tenant].index.insert(number, &wanted);
        }
        sender.retired.extend(retired);
    }

    /// Gives every fan-out its cursor back.
    fn resume_events(&mut self) {
        for at in self.unfinished() {
            let sender = &mut self.sender;
            let job = &mut sender.jobs.slab[at];
            let index = &sender.tenants[job.tenant].index;
            let work = job.work_mut();
            let event_type = work.event_type.as_ref().map_or("", EventType::as_str);
            let mut cursor = index.cursor(event_type, work.high_water);
            cursor.seek_after(work.through);
            work.cursor = Some(cursor);
        }
        let cancelled = self.sender.jobs.slab.iter().filter(|(_, job)| job.is_cancelled());
        let cancelled: Vec<_> = cancelled.map(|(at, job)| Chore::Cancel(at, job.seq)).collect();
        cancelled.into_iter().for_each(|chore| self.sender.chore(chore));
    }

    /// Events whose fan-out goes on, in the order in which they were accepted.
    fn unfinished(&self) -> Vec<u32> {
        self.sender.jobs.unfinished.keys().filter_map(|seq| self.job(*seq)).collect()
    }

    /// Lets what waits wait on, for the rest of its time.
    fn resume_deliveries(&mut self) {
        let now = self.sender.now;
        for handle in 0..self.sender.deliveries.end() {
            let Some(delivery) = self.sender.deliveries.get(handle) else { continue };
            let (event, endpoint, Due { written, delay }) =
                (delivery.event, delivery.endpoint, self.pending.due(handle));
            let rest = written.saturating_add(delay).saturating_since(now.wall).min(delay);
            #[cfg(postrider_planted)]
            let rest = if crate::planted::breaks(31) { core::time::Duration::ZERO } else { rest };
            if rest.is_zero() {
                self.sender.endpoints.slab[endpoint].window.ramp();
                self.sender.make_ready(handle);
            } else {
                self.sender.deliveries.arm(handle, now.mono.saturating_add(rest));
            }
            self.sender.jobs.rest(event);
        }
        let done = self.sender.jobs.slab.iter().filter(|(_, job)| job.is_done()).map(|(at, _)| at);
        let jobs: Vec<_> = self.unfinished().into_iter().chain(done).collect();
        jobs.into_iter().for_each(|job| self.sender.start_scan(job));
    }

    fn resume_endpoints(&mut self) {
        let sender = &mut self.sender;
        let all: Vec<_> = sender.endpoints.slab.iter().map(|(at, _)| at).collect();
        for at in all {
            let slot = &sender.endpoints.slab[at];
            slot.wire.ring.publish(&slot.draft);
            let (state, over) = (slot.state, slot.is_over());
            if over {
                sender.discard_soon(at);
            } else {
                sender.rest_of_hold(at, state);
            }
        }
    }

    fn remember(&mut self) {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(27) {
            return;
        }
        let now = self.sender.now;
        self.remembered.sort_by_key(|(at, known)| (*at, known.seq));
        let extra = self.remembered.len().saturating_sub(self.sender.limits.idempotency_entries);
        for (at, known) in core::mem::take(&mut self.remembered).into_iter().skip(extra) {
            let age = now.wall.saturating_since(at);
            if age < self.sender.limits.idempotency_window {
                self.sender.repeats.insert(now.mono, age, known);
            }
        }
    }
}

/// The endpoint of a record. The policy is not asked: it is asked at every attempt.
fn config_of(record: &EndpointRecord) -> Result<registration::Config, EndpointError> {
    let mut endpoint = Endpoint::new(record.key.id.as_str(), &record.url)
        .tenant(record.key.tenant.as_str())
        .events(&record.patterns)
        .schedule(record.schedule.iter().copied())
        .timeout(record.timeout)
        .concurrency(record.concurrency)
        .keep_answers(record.keep_answers)
        .shape_of(record.encoding, &record.thin, record.source.as_deref());
    let text = |value: &Bytes| core::str::from_utf8(value).map(ToString::to_string).unwrap_or_default();
    for HeaderRecord { name, value } in &record.headers {
        endpoint = match value {
            StoredValue::Open(value) => endpoint.header(name, text(value)),
            StoredValue::Secret { value, sealed: None } => endpoint.secret_header(name, text(value)),
            StoredValue::Secret { value, sealed: Some(sealed) } => {
                endpoint.sealed_header(name, &text(value), sealed.clone())
            }
            // Restoring has refused the record before.
            StoredValue::Sealed(_) => endpoint,
        };
    }
    endpoint.config(&anywhere())
}

/// A policy that lets every target stand. Embedding addresses stay refused, as always.
fn anywhere() -> Policy {
    let all = |network: &str| network.parse::<Cidr>().expect("a network of all addresses");
    let policy = Policy::default().allow_http();
    let policy = policy.allow(all("0.0.0.0/0")).expect("one network fits");
    policy.allow(all("::/0")).expect("two networks fit")
}

fn state_of(record: &EndpointRecord) -> State {
    let since = record.state.since;
    match record.state.code {
        0 => State::Active,
        1 => State::Paused { since },
        3 => State::Gone { since },
        // An unknown state of a later format is safest as one in which nothing is sent and nothing is lost at once.
        _ => State::Disabled { since },
    }
}
