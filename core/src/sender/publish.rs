//! Accepting events.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::filters::Matched;
use super::jobs::{Begin, Begun};
use super::notice::Notice;
use super::repeats::{Bounds, Forgotten, Known, Name};
use super::tables::Gate;
use super::tenants::Tenant;
use super::transmit::Prepared;
use super::{Sender, Stage};
use crate::event::{Event, EventError};
use crate::id::{EventId, JournalSeq, TenantId};
use crate::journal::{Accepted, Record};
use crate::matching::{Cursor, EventType, NearMiss, Reach};
use crate::registration::quota::Exceeded;
use crate::time::UnixTime;

/// What an accepted event promises once its record is durable: it is delivered to every endpoint that wanted it when it
/// was accepted, or the reason why not can be read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// The event's id; of a repeat, the first one's.
    pub event: EventId,
    /// The record that accepts it. The receipt promises nothing before this is durable: compare it with
    /// [`Sender::durable`].
    pub seq: JournalSeq,
    /// Whether the event is new; `false` for a repeat, which changes nothing.
    pub fresh: bool,
    /// Who is told.
    pub told: Told,
}

/// Who is told of an event.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a receipt must show each")]
pub enum Told {
    /// This many endpoints.
    Endpoints(Reach),
    /// Nobody: no endpoint of the tenant wants it. Perhaps one was meant to.
    Nobody(Option<NearMiss>),
    /// Nobody: this many endpoints want its type, and their filters refuse its content.
    Filtered(Reach),
    /// Whoever was told the first time.
    AsBefore,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoints(Reach { at_least: 1, at_most: 1, .. }) => f.write_str("1 endpoint"),
            Self::Endpoints(reach) => write!(f, "{reach} endpoints"),
            Self::Nobody(None) => f.write_str("no endpoint wants it"),
            Self::Nobody(Some(near)) => write!(f, "no endpoint wants it; {near}"),
            Self::Filtered(Reach { at_least: 1, at_most: 1, .. }) => {
                f.write_str("no endpoint wants it; 1 wants its type, but its filter refuses the content")
            }
            Self::Filtered(reach) => {
                write!(f, "no endpoint wants it; {reach} want its type, but their filters refuse the content")
            }
            Self::AsBefore => f.write_str("accepted before"),
        }
    }
}

/// Why an event was not accepted. The event comes back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Refused {
    /// It is not described correctly.
    Invalid(Box<Event>, EventError),
    /// It has no id, and the machine mints none: the adapter does.
    NoId(Box<Event>),
    /// Its payload is larger than the limit.
    TooLarge(Box<Event>, usize),
    /// It has expired already.
    Expired(Box<Event>),
    /// Another event with other content was accepted under the same id or idempotency key.
    Conflict(Box<Event>),
    /// The same, but the other one is not durable yet and may still fail.
    Unsettled(Box<Event>),
    /// As many events as the limit allows have not ended yet, or the log is behind. Try again later.
    Overloaded(Box<Event>),
    /// Its tenant would take up more than it may.
    Quota(Box<Event>, Exceeded),
    /// The log has no room for it. Try again when there is.
    Full(Box<Event>),
    /// The sender is closing or closed.
    Closed(Box<Event>),
    /// The sender's log has failed.
    Fenced(Box<Event>),
}

impl Refused {
    /// The event.
    pub fn into_event(self) -> Event {
        match self {
            Self::Invalid(event, _)
            | Self::NoId(event)
            | Self::TooLarge(event, _)
            | Self::Expired(event)
            | Self::Conflict(event)
            | Self::Unsettled(event)
            | Self::Overloaded(event)
            | Self::Quota(event, _)
            | Self::Full(event)
            | Self::Closed(event)
            | Self::Fenced(event) => *event,
        }
    }

    /// Whether trying again later can help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Overloaded(_) | Self::Quota(..) | Self::Full(_) | Self::Unsettled(_))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |event: &Event| event.event_id().map_or_else(|| "an event".to_string(), ToString::to_string);
        match self {
            Self::Invalid(_, why) => write!(f, "{why}"),
            Self::NoId(_) => {
                f.write_str("the event has no id; set one, or publish through an adapter, which mints one")
            }
            Self::TooLarge(event, limit) => {
                let size = event.payload().body().len();
                write!(f, "{}: the payload has {size} bytes, at most {limit} are allowed", name(event))
            }
            Self::Expired(event) => write!(f, "{}: it has expired already", name(event)),
            Self::Conflict(event) => {
                write!(f, "{}: another event with other content was accepted under the same id or key", name(event))
            }
            Self::Unsettled(event) => {
                write!(
                    f,
                    "{}: another event with other content is being accepted under the same id or key",
                    name(event)
                )
            }
            Self::Overloaded(event) => write!(f, "{}: too much is waiting; try again later", name(event)),
            Self::Quota(event, why) => write!(f, "{}: {why}", name(event)),
            Self::Full(event) => write!(f, "{}: the log has no room; try again when there is", name(event)),
            Self::Closed(event) => write!(f, "{}: the sender is closed", name(event)),
            Self::Fenced(event) => write!(f, "{}: the sender has stopped, because its log failed", name(event)),
        }
    }
}

impl core::error::Error for Refused {}

/// Bytes in the log that the outcome of one delivery needs, at most, with something to spare.
const OUTCOME_ROOM: u64 = 96;

/// Names forgotten with one publish, at most; two come in with it at most, so the rest goes with later ones.
const FORGET_AT_ONCE: usize = 4;

/// Bytes kept free for commands on endpoints.
const COMMAND_ROOM: u64 = 64 * 1024;

/// What a repeat of an event is recognised by; three short digests, taken once.
pub(super) struct Names {
    id: Name,
    key: Option<Name>,
    digest: [u8; 16],
    expires: Option<UnixTime>,
}

/// What is known of an event before its tenant is looked at.
pub(super) enum Checked {
    /// It may be accepted.
    New(Box<Event>, EventId, Names),
    /// It was accepted before.
    Repeat(Receipt),
}

impl Names {
    pub(super) fn of(event: &Event, id: &EventId) -> Self {
        let parts = event.parts();
        Self {
            id: Name::id(event.tenant_id(), id),
            key: parts.idempotency.map(|key| Name::key(event.tenant_id(), key)),
            digest: event.digest(),
            expires: parts.expires,
        }
    }
}

impl Sender {
    /// Accepts an event for every endpoint of its tenant that wants it at this moment.
    ///
    /// The receipt promises nothing until [`Receipt::seq`] is durable; until then the producer must not be told that
    /// its event is safe. A repeat (same id or idempotency key, same content) returns the first receipt and changes
    /// nothing. O(log n), plus the digest of a few short fields; see [`Event::new`] for the payload's. Where an endpoint with
    /// a content filter wants its type, also one pass over the payload, and what a
    /// [`FilterIndex`](crate::matching::filter::FilterIndex) costs.
    pub fn publish(&mut self, now: crate::time::Now, event: Event) -> Result<Receipt, Refused> {
        if !self.is_over() {
            self.clock(now);
        }
        let (event, id, names) = match self.check(Box::new(event))? {
            Checked::New(event, id, names) => (event, id, names),
            Checked::Repeat(receipt) => return Ok(receipt),
        };
        let tenant = self.tenants.find(event.tenant_id());
        let wanted = self.ask_new(tenant, &event, &id);
        let tenant = tenant.map(|tenant| &self.tenants[tenant]);
        let by_type = tenant.map(|tenant| tenant.index.wanted(event.event_type(), self.next_subscription));
        let (by_type, cursor) = by_type.unzip();
        let reach = by_type.unwrap_or(Reach { at_least: 0, at_most: 0 }).and(wanted.reach);
        if self.outbox.room().is_some_and(|room| room < self.room_needed(&event, reach.at_most as u64)) {
            return Err(Refused::Full(event));
        }
        let bytes = event.payload().body().len();
        let admitted = match self.admit_event(event.tenant_id(), event.event_type(), reach, bytes) {
            Ok(admitted) => admitted,
            Err(why) => return Err(Refused::Quota(event, why)),
        };
        let told =
            if reach.at_most == 0 { self.why_nobody(tenant, event.event_type()) } else { Told::Endpoints(reach) };
        let (seq, job) = self.accept(&event, id.clone(), &names, wanted.matched, cursor);
        self.charge(job, admitted);
        Ok(Receipt { event: id, seq, fresh: true, told })
    }

    /// Whether an event can be accepted as far as that depends on neither its tenant nor the log's room, or was before.
    pub(super) fn check(&mut self, event: Box<Event>) -> Result<Checked, Refused> {
        match self.phase {
            Stage::Running => {}
            Stage::Draining | Stage::Closing | Stage::Closed => return Err(Refused::Closed(event)),
            Stage::Fencing | Stage::Fenced => return Err(Refused::Fenced(event)),
        }
        if let Some(mistake) = event.mistake() {
            let mistake = mistake.clone();
            return Err(Refused::Invalid(event, mistake));
        }
        let Some(id) = event.event_id().cloned() else { return Err(Refused::NoId(event)) };
        let names = Names::of(&event, &id);
        match self.repeat(&names, &id, &event) {
            Some(Ok(receipt)) => return Ok(Checked::Repeat(receipt)),
            Some(Err(true)) => return Err(Refused::Conflict(event)),
            Some(Err(false)) => return Err(Refused::Unsettled(event)),
            None => {}
        }
        if event.payload().body().len() > self.limits.payload {
            let limit = self.limits.payload;
            return Err(Refused::TooLarge(event, limit));
        }
        if names.expires.is_some_and(|at| self.now.wall >= at) {
            return Err(Refused::Expired(event));
        }
        if self.jobs.slab.len() >= self.limits.events || self.outbox.held() >= self.limits.unwritten {
            return Err(Refused::Overloaded(event));
        }
        Ok(Checked::New(event, id, names))
    }

    /// Whether an event was accepted before: its receipt, or `Err(durable)` when the other one's content is different.
    fn repeat(&mut self, names: &Names, id: &EventId, event: &Event) -> Option<Result<Receipt, bool>> {
        let by_id = self.repeats.find(names.id);
        let by_key = || names.key.and_then(|key| self.repeats.find(key));
        let known = by_id.or_else(by_key).cloned().or_else(|| {
            // An event that has not ended is known however long ago it was accepted.
            let job = &self.jobs.slab[self.find_event(event.tenant_id(), id)?];
            Some(Known { name: names.id, event: id.clone(), seq: job.seq, digest: job.digest })
        })?;
        #[cfg(postrider_planted)]
        let known = if crate::planted::breaks(35) { Known { digest: names.digest, ..known } } else { known };
        if known.digest != names.digest {
            return Some(Err(known.seq <= self.outbox.durable()));
        }
        self.stats.repeats += 1;
        Some(Ok(Receipt { event: known.event, seq: known.seq, fresh: false, told: Told::AsBefore }))
    }

    /// Whether an event of this id was accepted, whatever its content.
    pub(super) fn knows(&self, names: &Names, id: &EventId, event: &Event) -> bool {
        self.repeats.find(names.id).is_some() || self.find_event(event.tenant_id(), id).is_some()
    }

    /// Why no endpoint wants an event: because of filters, or because of its type.
    fn why_nobody(&self, tenant: Option<&Tenant>, event_type: &EventType) -> Told {
        let Some(tenant) = tenant else { return Told::Nobody(None) };
        let near = || tenant.index.near_miss(event_type.as_str());
        self.refused_by_filters(tenant, event_type).map_or_else(|| Told::Nobody(near()), Told::Filtered)
    }

    /// Bytes that the log must be able to take, so that this event and the outcomes of everything pending fit.
    pub(super) fn room_needed(&self, event: &Event, reach: u64) -> u64 {
        let owed = (self.deliveries.len() + self.attempts.len()) as u64 + self.jobs.slab.len() as u64 + reach + 1;
        event.payload().body().len() as u64 + 1024 + owed * OUTCOME_ROOM + COMMAND_ROOM
    }

    /// Accepts an event. `cursor` is the one over whoever wants its type, where the tenant has subscriptions.
    pub(super) fn accept(
        &mut self,
        event: &Event,
        id: EventId,
        names: &Names,
        matched: Matched,
        cursor: Option<Cursor>,
    ) -> (JournalSeq, u32) {
        let record = Record::Accepted(Box::new(self.accepted(event, id, names)));
        let seq = self.record(&record);
        let Record::Accepted(accepted) = record else { unreachable!("it was made two lines above") };
        let prepared =
            Prepared::new(accepted.id.clone(), event.event_type().clone(), accepted.time, event.payload().clone())
                .expires(accepted.expires);
        self.stats.accepted += 1;
        let job = self.apply_accepted(seq, &accepted, event.event_type(), matched, cursor);
        self.jobs.bring(job, Arc::new(prepared), self.now.mono);
        self.remember(job, accepted.id, names);
        self.hold(seq, Gate::Event(job));
        (seq, job)
    }

    /// An event as the journal says it.
    pub(super) fn accepted(&self, event: &Event, id: EventId, names: &Names) -> Accepted {
        let parts = event.parts();
        let payload = event.payload();
        let content_type = payload.content_type();
        Accepted {
            id,
            tenant: event.tenant_id().clone(),
            event_type: event.event_type().as_str().to_string(),
            time: parts.time.unwrap_or(self.now.wall),
            content_type: (!payload.is_json())
                .then(|| content_type.to_str().expect("a content type is visible ASCII").to_string()),
            payload: payload.body().clone(),
            key: parts.key.cloned(),
            idempotency: parts.idempotency.cloned(),
            expires: parts.expires,
            digest: names.digest,
            high_water: self.next_subscription,
            at: self.now.wall,
            replay: None,
        }
    }

    /// Makes the job of an accepted event, and lets it be fanned out.
    fn apply_accepted(
        &mut self,
        seq: JournalSeq,
        accepted: &Accepted,
        event_type: &EventType,
        matched: Matched,
        cursor: Option<Cursor>,
    ) -> u32 {
        let job = self.apply_event(seq, accepted);
        let high_water = accepted.high_water;
        let index = &self.tenants[self.jobs.slab[job].tenant].index;
        let cursor = cursor.unwrap_or_else(|| index.cursor(event_type.as_str(), high_water));
        self.jobs.go_on(job, event_type.clone(), cursor, Begun { high_water, matched, ..Begun::default() });
        self.thread(job, accepted.key.as_ref());
        job
    }

    /// Makes the job of an event; the same when it happens and when it is read back. Nothing is fanned out yet.
    pub(super) fn apply_event(&mut self, seq: JournalSeq, accepted: &Accepted) -> u32 {
        let tenant = self.tenants.retain(&accepted.tenant);
        let Accepted { id, digest, at, expires, replay, .. } = accepted;
        let job = self.jobs.insert(&Begin { seq, tenant, id, digest: *digest, at: *at, expires: *expires });
        replay.iter().for_each(|replay| self.jobs.replays.add(job, replay));
        job
    }

    /// Lets the fan-out of an event wait for those of earlier ones under its key, where an endpoint may have a lane for it.
    pub(super) fn thread(&mut self, job: u32, key: Option<&Arc<str>>) {
        let (tenant, seq) = (self.jobs.slab[job].tenant, self.jobs.slab[job].seq);
        if let Some(key) = key.filter(|_| self.tenants[tenant].ordered > 0) {
            self.jobs.threads.add(job, tenant, seq, key);
        }
    }

    /// Lets repeats of an event be recognised from now on.
    pub(super) fn remember(&mut self, job: u32, event: EventId, names: &Names) {
        let (now, job) = (self.mono(), &self.jobs.slab[job]);
        let (tenant, known) = (job.tenant, Known { name: names.id, event, seq: job.seq, digest: names.digest });
        let key = names.key.map(|name| Known { name, ..known.clone() });
        // In the order in which a restart brings them back.
        let (first, second) = match key {
            Some(key) if key.name < known.name => (key, Some(known)),
            key => (known, key),
        };
        for known in [Some(first), second].into_iter().flatten() {
            self.repeats.insert(&mut self.tenants, tenant, now, Duration::ZERO, known);
        }
        self.forget_repeats(tenant);
    }

    /// Forgets some of the names that have to go, after some of this tenant have come: more than come at once, so the rest
    /// goes with later calls. Tells of those that go before their time, of each tenant's once.
    fn forget_repeats(&mut self, tenant: u32) {
        let (now, bounds) = (self.mono(), Bounds::of(&self.limits));
        let mut shrunk: Option<Forgotten> = None;
        for _ in 0..FORGET_AT_ONCE {
            let Some(gone) = self.repeats.forget_one(&mut self.tenants, tenant, now, bounds) else { break };
            if gone.age >= bounds.window {
                continue;
            }
            if let Some(Forgotten { tenant, age }) = shrunk.take_if(|shrunk| shrunk.tenant != gone.tenant) {
                self.tell(JournalSeq::ZERO, Notice::WindowShrunk { tenant, age });
            }
            shrunk = Some(gone);
        }
        if let Some(Forgotten { tenant, age }) = shrunk {
            self.tell(JournalSeq::ZERO, Notice::WindowShrunk { tenant, age });
        }
    }

    /// Cancels an event: nothing more is sent for it, and what waits is discarded. `None` when there is no such event
    /// that has not ended.
    pub(super) fn apply_cancelled(&mut self, job: u32) {
        self.jobs.slab[job].cancel();
        let next = self.jobs.finish(job);
        self.thread_on(next);
        self.jobs.rest(job);
    }

    /// An event that has not ended.
    pub(super) fn find_event(&self, tenant: &TenantId, event: &EventId) -> Option<u32> {
        self.jobs.find(self.tenants.find(tenant)?, event)
    }
}
