//! Operational events: what a tenant may want to know of its own endpoints and deliveries, published to its subscribers.
//!
//! | type | when | data |
//! | --- | --- | --- |
//! | `endpoint.disabled` | an endpoint is disabled, or answers 410 | `endpoint`, `reason` (`disabled` or `gone`), `at` |
//! | `endpoint.recovered` | one that was so is active again, or its breaker was open and a probe has closed it | `endpoint`, `was` (`disabled`, `gone` or `open`), `at` |
//! | `delivery.failing` | the 4th attempt of a delivery has failed, and another follows | `endpoint`, `event`, `attempts`, `next` |
//! | `delivery.exhausted` | a delivery has no attempt left | `endpoint`, `event`, `attempts`, `at` |
//!
//! They are ordinary events: matched, durable, delivered and retried like any other, and what is `**` wants them too. Off
//! unless [`Config::operational_events`](super::Config::operational_events) says otherwise, for all tenants or
//! [for one](super::Config::operational_events_of). One that no endpoint wants is not published.
//!
//! Nothing that happens while an operational event is delivered makes another: they are known by what their ids begin
//! with. The id is derived from the seed and from what has happened, so that the same never becomes two events: a cause
//! that is told once more after a restart, because its record got lost, is recognised. A cause whose record is the last of
//! a log, behind which the event's own was torn off, is told when the log is read again.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::Sender;
use super::publish::Names;
use crate::event::Event;
use crate::id::{EventId, JournalSeq, TenantId};
use crate::journal::{OutcomeRecord, Then};
use crate::matching::Reach;
use crate::registration::State;

/// What the id of an operational event begins with, and no other event's should.
pub const OPERATIONAL: &str = "postrider_op_";

/// The failed attempt of a delivery at which its tenant is told.
const FAILING: u16 = 4;

/// What a tenant may want to know.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// An endpoint has come to this state, by this record.
    State { endpoint: u32, was: State, now: State, seq: JournalSeq },
    /// An endpoint's breaker was open and a probe has closed it, by this record.
    Closed { endpoint: u32, seq: JournalSeq },
    /// A delivery has failed the fourth time, or for the last.
    Delivery { endpoint: u32, event: u32, attempts: u16, then: Then },
}

/// Who is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    /// Every tenant that has no wish of its own.
    pub(super) all: bool,
    pub(super) of: BTreeMap<TenantId, bool>,
}

impl Wishes {
    /// Whether a tenant is told.
    fn of(&self, tenant: &TenantId) -> bool {
        self.of.get(tenant).copied().unwrap_or(self.all)
    }

    /// Whether anybody is.
    pub(super) fn any(&self) -> bool {
        self.all || self.of.values().any(|told| *told)
    }
}

impl Cause {
    /// What a change of state is, if it is worth telling.
    pub(super) fn of_state(endpoint: u32, was: State, now: State, seq: JournalSeq) -> Option<Self> {
        (was.matches() != now.matches()).then_some(Self::State { endpoint, was, now, seq })
    }

    /// What an outcome is, if it is worth telling.
    pub(super) fn of_outcome(endpoint: u32, event: u32, outcome: &OutcomeRecord) -> Option<Self> {
        let told = match outcome.then {
            Then::Exhausted => true,
            Then::Retry(_) => outcome.attempts == FAILING,
            Then::Delivered | Then::Refused | Then::Discarded | Then::Expired | Then::Lost | Then::Superseded => false,
        };
        told.then_some(Self::Delivery { endpoint, event, attempts: outcome.attempts, then: outcome.then })
    }
}

impl Sender {
    /// Whether an event is an operational one.
    pub(super) fn is_operational(&self, job: u32) -> bool {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(56) {
            return false;
        }
        let replay = self.jobs.replays.get(job);
        replay.map_or_else(|| self.jobs.name(job), |replay| replay.of.as_str()).starts_with(OPERATIONAL)
    }

    /// Publishes what has happened to the tenant's subscribers, if that is wanted and was not done before. Behind the
    /// record of what has happened.
    pub(super) fn tell_subscribers(&mut self, cause: Option<Cause>) {
        if !self.restoring
            && !self.is_over()
            && let Some(told) = cause.and_then(|cause| self.operational_event(cause))
        {
            self.publish_operational(told);
        }
    }

    /// Publishes an operational event that was not published before.
    pub(super) fn publish_operational(&mut self, (id, event): (EventId, Event)) {
        let names = Names::of(&event, &id);
        if self.knows(&names, &id, &event) {
            return;
        }
        let tenant = self.tenants.find(event.tenant_id());
        let wanted = self.ask_new(tenant, &event, &id);
        let by_type = tenant.map(|tenant| self.tenants[tenant].index.count(event.event_type().as_str()));
        let reach = by_type.map_or(wanted.reach, |by_type: Reach| by_type.and(wanted.reach));
        if reach.at_most == 0 {
            return;
        }
        let room = self.room_needed(&event, reach.at_most as u64);
        let full = self.jobs.slab.len() >= self.limits.events || self.outbox.room().is_some_and(|left| left < room);
        if full {
            self.stats.untold += 1;
            return;
        }
        self.accept(&event, id, &names, wanted.matched, None);
    }

    /// What tells of something, if that is to be told of.
    pub(super) fn operational_event(&self, cause: Cause) -> Option<(EventId, Event)> {
        let (endpoint, quiet) = match cause {
            Cause::State { endpoint, .. } | Cause::Closed { endpoint, .. } => (endpoint, self.quiet),
            Cause::Delivery { endpoint, event, .. } => (endpoint, self.operational.any() && self.is_operational(event)),
        };
        if quiet || !self.operational.of(&self.endpoints.slab[endpoint].key.tenant) {
            return None;
        }
        let at = self.now.wall;
        let mut id = self.digest();
        let (endpoint, event_type, data) = match cause {
            Cause::State { endpoint, was, now, seq } => {
                let name = self.endpoints.slab[endpoint].key.id.as_str();
                id.update(seq.get().to_le_bytes());
                id.update(name);
                let (event_type, word, state) = if now.matches() {
                    ("endpoint.recovered", "was", was)
                } else {
                    ("endpoint.disabled", "reason", now)
                };
                let data = serde_json::json!({ "endpoint": name, word: state_word(state), "at": at.to_rfc3339() });
                (endpoint, event_type, data)
            }
            Cause::Closed { endpoint, seq } => {
                let name = self.endpoints.slab[endpoint].key.id.as_str();
                id.update(seq.get().to_le_bytes());
                id.update(name);
                let data = serde_json::json!({ "endpoint": name, "was": "open", "at": at.to_rfc3339() });
                (endpoint, "endpoint.recovered", data)
            }
            Cause::Delivery { endpoint, event, attempts, then } => {
                let (name, job) = (self.endpoints.slab[endpoint].key.id.as_str(), &self.jobs.slab[event]);
                id.update(job.seq.get().to_le_bytes());
                id.update(name);
                id.update(attempts.to_le_bytes());
                let mut data =
                    serde_json::json!({ "endpoint": name, "event": self.jobs.name(event), "attempts": attempts });
                match then {
                    Then::Retry(due) => {
                        let next = due.written.saturating_add(due.delay).to_rfc3339();
                        data["next"] = next.into();
                        (endpoint, "delivery.failing", data)
                    }
                    Then::Exhausted
                    | Then::Delivered
                    | Then::Refused
                    | Then::Discarded
                    | Then::Expired
                    | Then::Lost
                    | Then::Superseded => {
                        data["at"] = at.to_rfc3339().into();
                        (endpoint, "delivery.exhausted", data)
                    }
                }
            }
        };
        let tenant = &self.endpoints.slab[endpoint].key.tenant;
        id.update(event_type);
        let id = id.finalize()[..16].iter().fold(String::from(OPERATIONAL), |mut id, byte| {
            write!(id, "{byte:02x}").expect("a string takes everything");
            id
        });
        let event = Event::json(event_type, &data)
            .expect("names and numbers are JSON")
            .tenant(tenant.as_str())
            .id(&id)
            .time(at);
        Some((EventId::new(&id).expect("letters and digits"), event))
    }

    /// The beginning of a digest that is this store's.
    fn digest(&self) -> Sha256 {
        Sha256::new().chain_update(b"postrider operational event 1\0").chain_update(self.seed.to_bytes())
    }
}

const fn state_word(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Paused { .. } => "paused",
        State::Disabled { .. } => "disabled",
        State::Gone { .. } => "gone",
        State::Unverified { .. } => "unverified",
        State::Removed { .. } => "removed",
    }
}
