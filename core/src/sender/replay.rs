//! Sending an event again, to one endpoint.
//!
//! A replay is an event of its own in the machine's books: with an id by which it is repeated, cancelled and reported,
//! with its payload in its own accepted record, and with one delivery, which no subscription, filter or lane stands
//! before. What it sends again need not be here any more; whoever keeps history gives it back to the machine.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use sha2::{Digest as _, Sha256};

use super::Sender;
use super::deliveries::Place;
use super::publish::{Checked, Names, Receipt, Refused, Told};
use super::tables::Gate;
use super::transmit::Prepared;
use crate::event::Event;
use crate::id::{EndpointId, EndpointKey, EventId, JournalSeq, TenantId};
use crate::journal::{Record, ReplayRecord};
use crate::matching::Reach;
use crate::registration::State;
use crate::time::Now;

/// An event to be sent again to one endpoint.
///
/// ```
/// use postrider_core::event::Event;
/// use postrider_core::id::{EndpointId, EventId};
/// use postrider_core::sender::{Replay, ReplayAs};
///
/// let again = Event::json("order.paid", &serde_json::json!({ "id": 1001 }))?;
/// let (of, to) = (EventId::new("order-1001-paid").unwrap(), EndpointId::new("acme").unwrap());
/// let replay = Replay::new(again, "1", of, to, ReplayAs::Same);
/// assert_eq!(replay.event().event_id(), Some(&EventId::new("rpl_1").unwrap()));
/// # Ok::<(), postrider_core::event::EventError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Replay {
    event: Event,
    of: EventId,
    endpoint: EndpointId,
    how: ReplayAs,
}

/// What the id of a replay begins with, and that of no other event should: history tells them by it.
pub const REPLAYED: &str = "rpl_";

/// Under which id a replay is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is sent under the one id or under the other")]
pub enum ReplayAs {
    /// Under that of the event which it sends again: a receiver that remembers the event takes it for a repeat, unless it
    /// looks at `postrider-replay`.
    #[default]
    Same,
    /// Under its own, naming the event in `postrider-replay-of`: a receiver that knows nothing of replays takes it for a
    /// new event.
    Fresh,
}

impl Replay {
    /// Sends the event `of` again, to this endpoint of its tenant. `event` is what is sent: the type, the time, the tenant
    /// and the payload of the old one. Its own id is [`REPLAYED`] and `name`; replaying again under the same name is a
    /// repeat and returns the first receipt.
    ///
    /// An ordering key of `event` says nothing: a replay stands in no lane. A date on which it expires holds.
    pub fn new(event: Event, name: &str, of: EventId, endpoint: EndpointId, how: ReplayAs) -> Self {
        let event = event.id(alloc::format!("{REPLAYED}{name}"));
        let mut hash = Sha256::new();
        let how_byte = [match how {
            ReplayAs::Same => 0,
            ReplayAs::Fresh => 1,
        }];
        for part in [b"replay", &event.digest()[..], of.as_str().as_bytes(), endpoint.as_str().as_bytes(), &how_byte] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        Self { event: event.with_digest(core::array::from_fn(|i| digest[i])), of, endpoint, how }
    }

    /// What [`new`](Self::new) made, from its parts.
    pub(crate) const fn of_parts(event: Event, of: EventId, endpoint: EndpointId, how: ReplayAs) -> Self {
        Self { event, of, endpoint, how }
    }

    /// What is sent.
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// The event that is sent again.
    pub const fn of(&self) -> &EventId {
        &self.of
    }

    /// The endpoint that it is sent to, of the event's tenant.
    pub const fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// Under which id it is sent.
    pub const fn how(&self) -> ReplayAs {
        self.how
    }
}

/// Why an event is not sent again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReplayRefused {
    /// There is no such endpoint.
    UnknownEndpoint(Box<Replay>, EndpointKey),
    /// The endpoint is disabled or gone; it must be resumed first.
    NotActive(Box<Replay>, State),
    /// It is not accepted, for a reason that any event may be refused for.
    Refused(Refused),
}

impl ReplayRefused {
    /// Whether trying again later can help.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::UnknownEndpoint(..) | Self::NotActive(..) => false,
            Self::Refused(why) => why.is_temporary(),
        }
    }

    /// What was to be sent.
    pub fn into_event(self) -> Event {
        match self {
            Self::UnknownEndpoint(replay, _) | Self::NotActive(replay, _) => replay.event,
            Self::Refused(why) => why.into_event(),
        }
    }
}

impl From<Refused> for ReplayRefused {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}

impl fmt::Display for ReplayRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEndpoint(_, key) => write!(f, "there is no endpoint {key}"),
            Self::NotActive(_, state) => write!(f, "the endpoint is {state}; resume it first"),
            Self::Refused(why) => write!(f, "{why}"),
        }
    }
}

impl core::error::Error for ReplayRefused {}

/// Those of the events that have not ended which send others again.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    all: BTreeMap<u32, ReplayRecord>,
    /// The same by what they send again.
    by_event: BTreeSet<(EventId, u32)>,
}

impl Replays {
    pub(crate) fn add(&mut self, job: u32, replay: &ReplayRecord) {
        self.by_event.insert((replay.of.clone(), job));
        self.all.insert(job, replay.clone());
    }

    pub(crate) fn get(&self, job: u32) -> Option<&ReplayRecord> {
        self.all.get(&job)
    }

    pub(crate) fn remove(&mut self, job: u32) {
        if let Some(replay) = self.all.remove(&job) {
            self.by_event.remove(&(replay.of, job));
        }
    }

    /// Those of one event, whatever its tenant.
    fn of(&self, event: &EventId) -> impl Iterator<Item = u32> {
        self.by_event.range((event.clone(), 0)..=(event.clone(), u32::MAX)).map(|(_, job)| *job)
    }
}

impl Sender {
    /// Sends an event again to one endpoint: whether it wants the event or not, outside of its lanes, with all attempts of
    /// its schedule. Where nothing waits for the endpoint, a ramp begins with it. A paused endpoint gets it when it is
    /// resumed.
    ///
    /// Its requests carry `postrider-replay`: the place of this command in the journal, so another number for each replay
    /// of a store. The receipt promises nothing until [`Receipt::seq`] is durable. Neither the event that is sent again
    /// nor what repeats of it are recognised by is touched.
    pub fn replay(&mut self, now: Now, replay: Replay) -> Result<Receipt, ReplayRefused> {
        if !self.is_over() {
            self.clock(now);
        }
        let Replay { event, of, endpoint, how } = replay;
        let (event, id, names) = match self.check(Box::new(event))? {
            Checked::New(event, id, names) => (event, id, names),
            Checked::Repeat(receipt) => return Ok(receipt),
        };
        let key = EndpointKey { tenant: event.tenant_id().clone(), id: endpoint };
        let again =
            |event: Box<Event>, key: &EndpointKey| Box::new(Replay::of_parts(*event, of.clone(), key.id.clone(), how));
        let Some(at) = self.endpoints.by_key.get(&key).copied() else {
            return Err(ReplayRefused::UnknownEndpoint(again(event, &key), key));
        };
        let slot = &self.endpoints.slab[at];
        let Some(subscription) = slot.subscription else {
            return Err(ReplayRefused::NotActive(again(event, &key), slot.life.admin));
        };
        if self.deliveries.len() + self.attempts.len() >= self.limits.pending {
            return Err(Refused::Overloaded(event).into());
        }
        if self.outbox.room().is_some_and(|room| room < self.room_needed(&event, 1)) {
            return Err(Refused::Full(event).into());
        }
        let bytes = event.payload().body().len();
        let admitted = match self.admit_deliveries(event.tenant_id(), 1, bytes) {
            Ok(admitted) => admitted,
            Err(why) => return Err(Refused::Quota(event, why).into()),
        };
        let number = self.outbox.last().next().get();
        let record = ReplayRecord { of, number, keeps_id: how == ReplayAs::Same, subscription };
        let (seq, job) = self.accept_replay(&event, id.clone(), &names, record, at);
        self.charge(job, admitted);
        Ok(Receipt { event: id, seq, fresh: true, told: Told::Endpoints(Reach { at_least: 1, at_most: 1 }) })
    }

    fn accept_replay(
        &mut self,
        event: &Event,
        id: EventId,
        names: &Names,
        replay: ReplayRecord,
        endpoint: u32,
    ) -> (JournalSeq, u32) {
        let mut accepted = self.accepted(event, id, names);
        accepted.key = None;
        let prepared =
            Prepared::new(accepted.id.clone(), event.event_type().clone(), accepted.time, event.payload().clone())
                .expires(accepted.expires);
        let prepared = prepared.replayed(&replay);
        let subscription = replay.subscription;
        accepted.replay = Some(Box::new(replay));
        let record = Record::Accepted(Box::new(accepted));
        let seq = self.record(&record);
        let Record::Accepted(accepted) = record else { unreachable!("it was made two lines above") };
        self.stats.accepted += 1;
        let job = self.apply_event(seq, &accepted);
        self.apply_waiting(job, endpoint, subscription, 0);
        self.jobs.bring(job, Arc::new(prepared), self.now.mono);
        self.remember(job, accepted.id, names);
        self.hold(seq, Gate::Event(job));
        (seq, job)
    }

    /// The record of a replay is durable: its delivery waits for its endpoint from now on.
    pub(super) fn release_replay(&mut self, job: u32) {
        if self.jobs.replays.get(job).is_none() {
            return;
        }
        let handle = self.jobs.slab[job].deliveries.front();
        let Some(handle) = handle.filter(|handle| self.deliveries[*handle].place == Place::Nowhere) else { return };
        let endpoint = self.deliveries[handle].endpoint;
        let slot = &mut self.endpoints.slab[endpoint];
        if slot.ready.is_empty() {
            slot.window.ramp();
        }
        let rest = if slot.waits_first { self.first_delay(job, endpoint) } else { Duration::ZERO };
        self.wait_for_turn(handle, rest);
    }

    /// An event that has not ended, and those that send it again.
    pub(super) fn find_with_replays(&self, tenant: &TenantId, event: &EventId) -> Vec<u32> {
        let Some(tenant) = self.tenants.find(tenant) else { return Vec::new() };
        let replays = self.jobs.replays.of(event).filter(|job| self.jobs.slab[*job].tenant == tenant);
        self.jobs.find(tenant, event).into_iter().chain(replays).collect()
    }
}

#[cfg(test)]
mod tests;
