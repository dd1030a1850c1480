//! A machine from its records.

mod endpoint;
mod error;
mod fans;
mod lanes;
mod pacing;
mod window;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

pub use self::error::RestoreError;
pub(super) use self::pacing::{pacing_of, written};

use self::endpoint::{config_of, state_of, wanted_of};
use self::fans::Fans;
use self::lanes::Lanes;
use self::pacing::Healths;
use self::window::Window;
use super::asleep::{Asleep, Sleeper};
use super::consent::Asking;
use super::deliveries::Delivery;
use super::jobs::Body;
use super::keys::KeyUse;
use super::operational::Cause;
use super::pending::Pending;
use super::repeats::{Known, Name};
use super::tables::{Chore, Retired, Standing};
use super::{Config, Sender};
use crate::id::{EndpointKey, JournalSeq, TenantId};
use crate::journal::{
    Accepted, ConsentRecord, Due, EndpointRecord, EventRecord, Laned, Mark, OutcomeRecord, Record, SnapshotBegin, Then,
};
use crate::matching::EventType;
use crate::registration::Draft;
use crate::seed::Seed;
use crate::table::HashKey;
use crate::time::Now;

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
pub struct Restore(Box<Fold>);

/// What has been made of the records so far.
#[derive(Debug)]
struct Fold {
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
    fans: Fans,
    lanes: Lanes,
    healths: Healths,
    window: Window,
    /// Where the consents of endpoints' owners stand, until there is a time to compare their dates with.
    consents: BTreeMap<EndpointKey, Box<ConsentRecord>>,
    /// Bytes of the payloads of events, where they are charged.
    payloads: BTreeMap<u32, u32>,
    /// What the last record tells of, if an operational event may have been torn off behind it.
    owed: Option<Cause>,
    /// The last record is the outcome of an operational event.
    quiet: bool,
    /// The endpoint of the last outcome, if that was delivered and nothing but the use of its key was noted since.
    delivered: Option<u32>,
    error: Option<RestoreError>,
}

impl Restore {
    /// Begins with nothing. The seed comes with the records.
    pub fn new(config: Config) -> Self {
        let mut sender = Sender::empty(config, Seed::from_bytes([0; 32]), JournalSeq::ZERO, Now::default());
        sender.restoring = true;
        sender.jobs.index_later();
        Self(Box::new(Fold {
            sender,
            began: false,
            since: JournalSeq::ZERO,
            through: JournalSeq::ZERO,
            last: JournalSeq::ZERO,
            missing: BTreeMap::new(),
            owners: BTreeMap::new(),
            pending: Pending::default(),
            fans: Fans::default(),
            lanes: Lanes::default(),
            healths: Healths::default(),
            window: Window::default(),
            consents: BTreeMap::new(),
            payloads: BTreeMap::new(),
            owed: None,
            quiet: false,
            delivered: None,
            error: None,
        }))
    }

    /// Adds the next record. A mistake is kept and told by [`finish`](Self::finish).
    pub fn record(mut self, (seq, record): (JournalSeq, Record)) -> Self {
        if self.0.error.is_none()
            && let Err(error) = self.0.add(seq, record)
        {
            self.0.error = Some(error);
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
        let known = self.0.missing.entry(first).or_insert(last);
        *known = last.max(*known);
        self.0.began |= first <= JournalSeq::new(1);
        self
    }

    /// The machine as it was, at a new time: what is overdue is due now, and nothing is due earlier than agreed, but
    /// for a step of the wall clock.
    pub fn finish(self, now: Now) -> Result<Sender, RestoreError> {
        self.0.finish(now)
    }
}

impl Fold {
    fn finish(mut self, now: Now) -> Result<Sender, RestoreError> {
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
        self.sender.jobs.index();
        self.index_subscriptions();
        let owed = self.owed.and_then(|cause| self.sender.operational_event(cause));
        self.resume_events();
        self.sender.charge_again(&self.payloads);
        core::mem::take(&mut self.healths).resume(&mut self.sender);
        self.resume_deliveries();
        self.resume_endpoints();
        self.remember();
        owed.into_iter().for_each(|told| self.sender.publish_operational(told));
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
        self.owed = None;
        let (quiet, delivered) = (core::mem::take(&mut self.quiet), self.delivered.take());
        match record {
            Record::Genesis { seed } => {
                self.set_seed(seed);
                self.began = true;
            }
            Record::Opened { incarnation, .. } => self.sender.incarnation = incarnation,
            Record::Accepted(accepted) => self.accepted(seq, &accepted)?,
            Record::Endpoint(endpoint) => {
                self.endpoint(seq, &endpoint)?;
                self.owed = self.owed.filter(|_| !quiet);
            }
            Record::Removed { endpoint, .. } => {
                self.consents.remove(&endpoint);
                if let Some(at) = self.sender.endpoints.by_key.get(&endpoint).copied() {
                    self.sender.apply_removed(at, seq);
                }
            }
            Record::Queued { event, subscription, lane } => {
                let laned = lane.zip(self.job(event)).and_then(|(previous, job)| self.lanes.behind(job, previous));
                self.wait(event, subscription, 0, Due::default(), laned);
            }
            Record::Outcome(outcome) => self.outcome(seq, &outcome),
            Record::Mark(mark) => self.mark(&mark),
            Record::Ended { event, .. } => self.ended(event),
            #[cfg(postrider_planted)]
            Record::Cancelled { .. } if crate::planted::breaks(23) => {}
            Record::Cancelled { event, .. } => {
                if let Some(job) = self.job(event) {
                    self.cancelled(job);
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
            Record::Pending { event, subscription, attempts, due, lane } => {
                self.wait(event, subscription, attempts, due, lane);
            }
            Record::Lane { endpoint, key, last } => self.lane(&endpoint, &key, last),
            Record::Remembered(known) => {
                let entry = Known {
                    name: Name::from_bytes(known.name),
                    event: known.id,
                    seq: known.event,
                    digest: known.digest,
                };
                let tenant = self.sender.tenants.retain(&known.tenant.unwrap_or_default());
                self.window.hold(known.at, tenant, &entry);
            }
            Record::SnapshotEnd { through } => self.through = through,
            Record::Purged { tenant, .. } => self.purged(&tenant),
            Record::Erased { tenant, event, .. } => {
                self.sender.jobs.index();
                for job in self.sender.find_with_replays(&tenant, &event) {
                    self.cancelled(job);
                }
            }
            // Its payload was erased before a snapshot stood for it: it has ended, and a repeat of it still is one.
            Record::Kept(kept) => self.accepted(seq, &kept.accepted)?,
            Record::Synced { tenant, revision, .. } => self.sender.apply_synced(&tenant, revision, seq),
            Record::Consent(consent) => _ = self.consents.insert(consent.endpoint.clone(), consent),
            Record::KeyUse(uses) => {
                (self.quiet, self.delivered) = (quiet, delivered);
                if let Some(at) = self.sender.endpoints.by_key.get(&uses.endpoint).copied() {
                    self.sender.endpoints.slab[at].key_use = Some(Box::new(KeyUse::of(&uses)));
                }
            }
            Record::Health(health) => {
                if let Some(at) = self.sender.endpoints.by_key.get(&health.endpoint).copied() {
                    let closed = self.healths.say(at, &health);
                    let told = closed && !quiet && delivered == Some(at);
                    self.owed = told.then_some(Cause::Closed { endpoint: at, seq });
                }
            }
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
        let key = accepted.idempotency.as_ref().map(|key| Name::key(&accepted.tenant, key));
        for name in core::iter::once(id).chain(key) {
            let tenant = self.sender.tenants.retain(&accepted.tenant);
            self.window.hold(accepted.at, tenant, &known(name));
        }
        if let Some(job) = self.job(seq) {
            // A snapshot shows it that had not been finished when it was accepted.
            self.note_payload(job, accepted.payload.len());
            return Ok(());
        }
        let Ok(event_type) = EventType::new(&accepted.event_type) else { return Err(RestoreError::Event { at: seq }) };
        // Numbers below were given, though the record that gave them may be missing.
        self.sender.next_subscription = self.sender.next_subscription.max(accepted.high_water);
        let job = self.sender.apply_event(seq, accepted);
        self.pending.add_event(&self.sender.jobs, job);
        self.note_payload(job, accepted.payload.len());
        match &accepted.replay {
            Some(replay) => self.wait(seq, replay.subscription, 0, Due::default(), None),
            None => {
                self.fans.begin(job, &event_type, accepted.high_water);
                self.lanes.keyed(job, accepted.key.as_ref());
            }
        }
        Ok(())
    }

    fn endpoint(&mut self, seq: JournalSeq, record: &EndpointRecord) -> Result<(), RestoreError> {
        let wrong = |why| RestoreError::Endpoint { at: seq, endpoint: record.key.clone(), why };
        if record.is_sealed() {
            return Err(RestoreError::Sealed { at: seq, endpoint: record.key.clone() });
        }
        let (config, (state, cause)) = (config_of(record).map_err(wrong)?, state_of(record));
        let draft = Draft {
            keys: record.keys.iter().filter_map(|key| Some((key.secret.secret()?.clone(), key.expires))).collect(),
            revoked: record.revoked.clone(),
        };
        let retired = record.retired.iter().map(|retired| {
            let wanted = wanted_of(retired).map_err(wrong)?;
            Ok(Retired { number: retired.number, at: retired.at, wanted })
        });
        let retired: Vec<_> = retired.collect::<Result<_, _>>()?;
        let numbers: Vec<_> = record.subscription.into_iter().chain(retired.iter().map(|old| old.number)).collect();
        let known = self.sender.endpoints.by_key.get(&record.key).copied();
        let was = known.map(|at| self.sender.endpoints.slab[at].life.admin);
        let standing = Standing { config, draft, state, cause, subscription: record.subscription, retired };
        let at = self.sender.apply_endpoint(known, seq, standing);
        self.owed = was.and_then(|was| Cause::of_state(at, was, state, seq));
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
            let lane = self.forget_waiting(handle);
            let handle = self.sender.apply_waiting(job, to, subscription, attempts);
            self.pending.add_delivery(&self.sender.jobs, &self.sender.deliveries, handle);
            self.pending.set_due(handle, due);
            lane.into_iter().for_each(|lane| self.lanes.stands(handle, lane));
        }
    }

    /// Takes a delivery that waits out of its lists; gives where it stood in a lane.
    fn forget_waiting(&mut self, handle: u32) -> Option<Laned> {
        let sender = &mut self.sender;
        self.pending.remove_delivery(&sender.deliveries, handle);
        let (job, endpoint) = (sender.deliveries[handle].event, sender.deliveries[handle].endpoint);
        let lists = (&mut sender.jobs.slab[job].deliveries, &mut sender.endpoints.slab[endpoint].deliveries);
        sender.deliveries.remove(handle, lists.0, lists.1);
        self.lanes.forget(handle)
    }

    /// A delivery waits.
    fn wait(&mut self, event: JournalSeq, subscription: u32, attempts: u16, due: Due, lane: Option<Laned>) {
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
        if let Some(lane) = lane {
            self.lanes.came(endpoint, &lane.key, event);
            self.lanes.stands(handle, lane);
        }
        self.fans.skip(job, subscription);
    }

    fn outcome(&mut self, seq: JournalSeq, outcome: &OutcomeRecord) {
        let Some(endpoint) = self.owners.get(&outcome.subscription).copied() else { return };
        self.healths.count(endpoint, seq, outcome);
        let Some(job) = self.job(outcome.event) else { return };
        self.owed = Cause::of_outcome(endpoint, job, outcome);
        self.quiet = self.sender.is_operational(job);
        self.delivered = (outcome.then == Then::Delivered).then_some(endpoint);
        let waiting = self.pending.delivery(&self.sender.jobs, &self.sender.deliveries, job, outcome.subscription);
        let passed = self.fans.has_passed(job, outcome.subscription);
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
            Then::Delivered
            | Then::Exhausted
            | Then::Refused
            | Then::Discarded
            | Then::Expired
            | Then::Lost
            | Then::Superseded => {
                if let Some(handle) = waiting {
                    self.lanes.forget(handle);
                    self.pending.remove_delivery(&self.sender.deliveries, handle);
                }
                self.sender.apply_conclusion(job, endpoint, waiting, outcome);
            }
        }
        self.fans.skip(job, outcome.subscription);
    }

    fn mark(&mut self, mark: &Mark) {
        let Some(at) = self.job(mark.event) else { return };
        self.fans.pass(at, mark.through);
        for subscription in &mark.open {
            if self.pending.delivery(&self.sender.jobs, &self.sender.deliveries, at, *subscription).is_none() {
                self.wait(mark.event, *subscription, 0, Due::default(), None);
            }
        }
    }

    fn event(&mut self, record: &EventRecord) -> Result<(), RestoreError> {
        let EventRecord { mark, passed_all, cancelled, accepted, payload_len, done } = record;
        let job = self.sender.apply_event(mark.event, accepted);
        self.note_payload(job, usize::try_from(*payload_len).unwrap_or(usize::MAX));
        if !*passed_all {
            let event_type = EventType::new(&accepted.event_type);
            let event_type = event_type.map_err(|_| RestoreError::Event { at: mark.event })?;
            self.fans.begin(job, &event_type, accepted.high_water);
            self.lanes.keyed(job, accepted.key.as_ref());
        }
        self.pending.add_event(&self.sender.jobs, job);
        self.mark(mark);
        if *cancelled {
            self.cancelled(job);
        }
        done.iter().for_each(|subscription| self.fans.skip(job, *subscription));
        Ok(())
    }

    /// Keeps the size of a payload that is charged.
    fn note_payload(&mut self, job: u32, bytes: usize) {
        if bytes > 0 && self.sender.accounts.charges_any() {
            self.payloads.insert(job, u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// Nothing more is sent for an event.
    fn cancelled(&mut self, job: u32) {
        self.fans.finish(job);
        self.sender.apply_cancelled(job);
    }

    /// Every event that was accepted before is cancelled.
    fn purged(&mut self, tenant: &TenantId) {
        let Some(tenant) = self.sender.tenants.find(tenant) else { return };
        let slab = self.sender.jobs.slab.iter();
        let jobs: Vec<_> = slab.filter(|(_, job)| job.tenant == tenant).map(|(at, _)| at).collect();
        jobs.into_iter().for_each(|job| self.cancelled(job));
    }

    fn ended(&mut self, event: JournalSeq) {
        let Some(job) = self.job(event) else { return };
        while let Some(handle) = self.sender.jobs.slab[job].deliveries.front() {
            self.forget_waiting(handle);
        }
        self.lanes.take_key(job);
        self.pending.remove_event(&self.sender.jobs, job);
        self.payloads.remove(&job);
        self.fans.finish(job);
        self.sender.apply_ended(job);
    }

    /// Fills the indexes: live subscriptions, and earlier ones that a fan-out may still see.
    fn index_subscriptions(&mut self) {
        let sender = &mut self.sender;
        let oldest = self.fans.lowest();
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
            sender.tenants[tenant].subscribe(number, &wanted);
        }
        sender.retired.extend(retired);
    }

    /// Lets every fan-out go on that has something to pass, in the order in which they were accepted; those that have not
    /// begun when their turn comes.
    fn resume_events(&mut self) {
        let seq = |at: u32| self.sender.jobs.slab[at].seq;
        let mut jobs: Vec<_> = self.fans.unfinished().map(|at| (seq(at), at)).collect();
        jobs.sort_unstable();
        let mut sleepers = VecDeque::new();
        for (seq, at) in jobs {
            let (event_type, begun) = self.fans.take(at).expect("it was just named");
            let key = self.lanes.take_key(at);
            self.sender.thread(at, key.as_ref());
            let job = &mut self.sender.jobs.slab[at];
            if begun.through == 0 && begun.skip.is_empty() {
                job.body = Body::Asleep;
                sleepers.push_back(Sleeper { seq, job: at, event_type, high_water: begun.high_water });
                continue;
            }
            let event_type = self.fans.event_type(event_type);
            let tenant = &self.sender.tenants[job.tenant];
            let index = &tenant.index;
            let mut cursor = index.cursor(event_type.as_str(), begun.high_water);
            cursor.seek_after(begun.through);
            let mut ahead = cursor.clone();
            let mut ahead = core::iter::from_fn(|| index.next(&mut ahead));
            if ahead.any(|number| begun.skip.binary_search(&number).is_err())
                || tenant.may_match(event_type, begun.high_water, begun.through, &begun.skip)
            {
                self.sender.jobs.go_on(at, event_type.clone(), cursor, begun);
            } else {
                // It has passed all.
                let next = self.sender.jobs.threads_over(at);
                debug_assert!(next.is_none(), "nobody waits yet");
            }
        }
        let types = core::mem::take(&mut self.fans).into_types();
        self.sender.jobs.asleep = Asleep::new(sleepers, types);
        self.sender.jobs.tidy_asleep();
        let cancelled = self.sender.jobs.slab.iter().filter(|(_, job)| job.is_cancelled());
        let cancelled: Vec<_> = cancelled.map(|(at, job)| Chore::Cancel(at, job.seq)).collect();
        cancelled.into_iter().for_each(|chore| self.sender.chore(chore));
    }

    /// Lets what waits wait on, for the rest of its time.
    fn resume_deliveries(&mut self) {
        let now = self.sender.now;
        for handle in 0..self.sender.deliveries.end() {
            let Some(delivery) = self.sender.deliveries.get(handle) else { continue };
            let (event, endpoint, attempts) = (delivery.event, delivery.endpoint, delivery.attempts);
            let (rest, slot) = (self.rest_of(handle), &mut self.sender.endpoints.slab[endpoint]);
            if rest.is_zero() {
                slot.window.ramp();
                if attempts > 0 || slot.waits_first {
                    self.sender.deliveries.get_mut(handle).expect("it was just looked at").due = now.mono;
                }
            }
            if self.lanes.has(handle) {
                // In the order of its lane, when all are known.
            } else if rest.is_zero() {
                self.sender.make_ready(handle);
            } else {
                self.sender.deliveries.arm(handle, now.mono.saturating_add(rest));
            }
            self.sender.jobs.rest(event);
        }
        self.resume_lanes(Self::rest_of);
        let done = self.sender.jobs.slab.iter().filter(|(_, job)| job.is_done()).map(|(at, _)| at);
        let unfinished = self.sender.jobs.unfinished.keys().filter_map(|seq| self.job(*seq));
        let jobs: Vec<_> = unfinished.chain(done).collect();
        jobs.into_iter().for_each(|job| self.sender.start_scan(job));
    }

    /// How long a delivery still waits for its due time.
    fn rest_of(&self, handle: u32) -> Duration {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(31) {
            return Duration::ZERO;
        }
        let Delivery { event, endpoint, attempts, .. } = self.sender.deliveries[handle];
        let first = attempts == 0 && self.sender.endpoints.slab[endpoint].waits_first;
        let Due { written, delay } = match self.pending.due(handle) {
            // It was written without a time: that of the first attempt follows from when its event was accepted.
            due if first && due == Due::default() => {
                Due { written: self.sender.jobs.slab[event].at, delay: self.sender.first_delay(event, endpoint) }
            }
            due => due,
        };
        written.saturating_add(delay).saturating_since(self.sender.now.wall).min(delay)
    }

    fn resume_endpoints(&mut self) {
        let sender = &mut self.sender;
        let all: Vec<_> = sender.endpoints.slab.iter().map(|(at, _)| at).collect();
        for at in all {
            let now = sender.now;
            let slot = &mut sender.endpoints.slab[at];
            slot.wire.ring.publish(&slot.draft, &slot.wire.config.dialects);
            let ask = slot.wire.config.consent;
            if !ask.is_needless() && !slot.removed {
                let asking = self.consents.get(&slot.key).and_then(|record| Asking::of(record, ask, now));
                slot.consent = Some(Box::new(asking.unwrap_or_else(|| Asking::new(ask))));
            }
            let slot = &sender.endpoints.slab[at];
            if slot.is_over() {
                sender.discard_soon(at);
            } else {
                sender.begin_hold(at);
                sender.resume_consent(at);
                sender.retime(at);
            }
        }
    }
}
