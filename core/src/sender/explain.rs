//! What can be read: endpoints, events, and who would be told of one.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Bound;
use core::time::Duration;

use super::Sender;
use super::deliveries::Place;
use super::filters::flat;
use super::report::{DeliveryReport, EventReport, Fate, Tally};
use super::tables::{Slot, Stage};
use crate::event::Event;
use crate::id::{EndpointId, EndpointKey, EventId, TenantId};
use crate::limits;
use crate::matching::Explained;
use crate::registration::lifecycle::{Health, Reason};
use crate::registration::{EndpointView, State};
use crate::retry::Plan;

/// Why an endpoint would or would not be told of an event.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its state; new events do not match disabled and gone endpoints, whatever they want.
    pub state: State,
    /// How it answers.
    pub health: Health,
    /// Why it is in its state; `None` while it is as it was registered.
    pub cause: Option<Reason>,
    /// Which pattern matched, or the first condition that failed, of the type or of the content.
    pub matching: Explained,
}

impl Explanation {
    /// Whether it would be told.
    pub fn is_told(&self) -> bool {
        self.state.matches() && matches!(self.matching, Explained::Matched { .. })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.matching)?;
        match self.state {
            State::Active => match self.health {
                Health::Ok => Ok(()),
                Health::Throttled { .. } => f.write_str("; it waits, because the endpoint is throttled"),
                Health::Open { .. } => f.write_str("; it waits, because the endpoint's breaker is open"),
                Health::HalfOpen { .. } => f.write_str("; it may wait, because the endpoint is being probed"),
            },
            State::Unverified { .. } | State::Paused { .. } => {
                write!(f, "; it waits, because the endpoint is {}", self.state)
            }
            State::Disabled { .. } | State::Gone { .. } | State::Removed { .. } => {
                write!(f, "; not told, because the endpoint is {}", self.state)
            }
        }
    }
}

/// A page of a longer list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where to go on: give it to the next call as `after`. `None` when this is the last page.
    pub next: Option<EndpointId>,
}

/// Entries on one page, at most.
const PAGE: usize = 1000;

impl Sender {
    /// One endpoint.
    pub fn endpoint(&self, key: &EndpointKey) -> Option<EndpointView> {
        self.endpoints.by_key.get(key).map(|at| self.view(&self.endpoints.slab[*at]))
    }

    /// How deliveries to an endpoint ended since the machine was made.
    pub fn endpoint_tally(&self, key: &EndpointKey) -> Option<Tally> {
        self.endpoints.by_key.get(key).map(|at| self.endpoints.slab[*at].tally)
    }

    /// The endpoints of a tenant in the order of their ids, from behind `after` on; at most `most` and 1,000.
    pub fn endpoints(&self, tenant: &TenantId, after: Option<&EndpointId>, most: usize) -> Page<EndpointView> {
        self.page(tenant, after, most, |slot| self.view(slot))
    }

    /// Who of a tenant's endpoints would be told of an event, and why the others would not; paged like
    /// [`endpoints`](Self::endpoints).
    pub fn explain(&self, event: &Event, after: Option<&EndpointId>, most: usize) -> Page<Explanation> {
        let (id, event_type) = (event.event_id().map_or("", EventId::as_str), event.event_type());
        let content = core::cell::OnceCell::new();
        self.page(event.tenant_id(), after, most, |slot| {
            let wants = &slot.wire.config.subscription;
            let content = || content.get_or_init(|| flat(id, event_type, event.payload().as_json()));
            let matching = match wants.filter() {
                Some(_) => wants.explain_content(event_type.as_str(), content()),
                None => wants.explain(event_type.as_str()),
            };
            Explanation {
                endpoint: slot.key.id.clone(),
                state: slot.life.admin,
                health: self.feels(slot),
                cause: slot.cause,
                matching,
            }
        })
    }

    /// What has become of an event; `None` when it is not known, or was so long ago that its report is gone.
    pub fn report(&self, tenant: &TenantId, event: &EventId) -> Option<EventReport> {
        let tenant = self.tenants.find(tenant)?;
        match self.jobs.find(tenant, event) {
            Some(at) => Some(self.report_of(at)),
            None => self.shelf.find(tenant, event, self.outbox.durable()),
        }
    }

    /// The delays before each attempt of an event to an endpoint, jitter included, if all of them fail and the
    /// receiver asks for nothing.
    pub fn schedule(&self, event: &EventId, endpoint: &EndpointKey) -> Option<Vec<Duration>> {
        let slot = &self.endpoints.slab[*self.endpoints.by_key.get(endpoint)?];
        let schedule = &slot.wire.config.schedule;
        Some(Plan::new(schedule, &self.seed, event.as_str(), &slot.key).preview().collect())
    }

    /// Attempts in flight for all endpoints of a tenant; counted where they are bounded
    /// ([`Limits::tenant_in_flight`](limits::Limits::tenant_in_flight)), and otherwise 0.
    pub fn tenant_in_flight(&self, tenant: &TenantId) -> u32 {
        self.tenants.find(tenant).map_or(0, |at| self.tenants[at].in_flight)
    }

    /// Attempts in flight to a host, as endpoints' URLs name it (an IPv6 address without brackets), and port; counted
    /// where they are bounded ([`Limits::host_in_flight`](limits::Limits::host_in_flight)), and otherwise 0.
    pub fn host_in_flight(&self, host: &str, port: u16) -> u32 {
        self.hosts.in_flight(host, port)
    }

    fn report_of(&self, at: u32) -> EventReport {
        let job = &self.jobs.slab[at];
        let mut deliveries = job.work().map(|work| work.ended.clone()).unwrap_or_default();
        deliveries.extend(self.waiting_of(at).chain(self.flying_of(at)).take(limits::REPORT_ENTRIES));
        EventReport { event: self.jobs.id(at), accepted: job.at, settled: false, tally: job.tally(), deliveries }
    }

    /// The report of an event that is about to be forgotten.
    pub(super) fn last_report_of(&mut self, at: u32) -> EventReport {
        let deliveries = self.jobs.slab[at].take_ended();
        let job = &self.jobs.slab[at];
        EventReport { event: self.jobs.id(at), accepted: job.at, settled: false, tally: job.tally(), deliveries }
    }

    /// What waits or is in flight again of an event.
    pub(super) fn handles_of(&self, at: u32) -> impl Iterator<Item = u32> {
        let list = &self.jobs.slab[at].deliveries;
        core::iter::successors(list.front(), move |handle| self.deliveries.next_of_event(list, *handle))
    }

    fn waiting_of(&self, at: u32) -> impl Iterator<Item = DeliveryReport> {
        self.handles_of(at).map(|handle| {
            let delivery = &self.deliveries[handle];
            let rest = match delivery.place {
                Place::Timer | Place::Laned => delivery.due.saturating_since(self.now.mono),
                Place::Nowhere | Place::Ready | Place::Stalled | Place::InFlight => Duration::ZERO,
            };
            let fate = if delivery.place == Place::InFlight { Fate::InFlight } else { Fate::Waiting { rest } };
            self.open_delivery(delivery.endpoint, fate, delivery.attempts)
        })
    }

    fn flying_of(&self, at: u32) -> impl Iterator<Item = DeliveryReport> {
        let seq = self.jobs.slab[at].seq;
        let first = self.attempts.iter().filter(move |(_, attempt)| {
            attempt.seq == seq && attempt.delivery.is_none() && attempt.stage == Stage::Flying
        });
        first.map(|(_, attempt)| self.open_delivery(attempt.endpoint, Fate::InFlight, 0))
    }

    fn open_delivery(&self, endpoint: u32, fate: Fate, attempts: u16) -> DeliveryReport {
        let endpoint = self.endpoints.slab[endpoint].key.id.clone();
        DeliveryReport { endpoint, fate, attempts, status: None, failure: None, elapsed: Duration::ZERO }
    }

    fn view(&self, slot: &Slot) -> EndpointView {
        let config = &slot.wire.config;
        let rest = |at: crate::time::Instant| at.saturating_since(self.now.mono);
        EndpointView {
            key: slot.key.clone(),
            target: config.target.clone(),
            subscription: config.subscription.clone(),
            state: slot.life.admin,
            health: self.feels(slot),
            cause: slot.cause,
            consent: slot.consent.as_ref().map(|asking| asking.consent.clone()),
            keys: slot.draft.keys.iter().map(|(secret, expires)| (secret.id(), *expires)).collect(),
            pending: slot.deliveries.len(),
            in_flight: slot.in_flight,
            window: slot.window.size(),
            throttled: slot.throttled.filter(|at| *at > self.now.mono).map(rest),
            circuit: self.circuit(slot),
            rests: slot.until.filter(|_| slot.life.admin == State::Active).map(rest),
            failing: (slot.streak.failures() > 0).then(|| (slot.streak.failures(), slot.streak.age(self.now.mono))),
            pacing: config.pacing,
            shape: config.shape.clone(),
            timeout: config.timeout,
            keep_answers: config.keep_answers,
            schedule: config.schedule.clone(),
            order: config.order,
            sign: config.dialects.clone(),
            receipts: config.receipts,
            receipt: slot.receipt,
        }
    }

    fn page<T>(
        &self,
        tenant: &TenantId,
        after: Option<&EndpointId>,
        most: usize,
        show: impl Fn(&Slot) -> T,
    ) -> Page<T> {
        let most = most.clamp(1, PAGE);
        let from = match after {
            Some(id) => Bound::Excluded(EndpointKey { tenant: tenant.clone(), id: id.clone() }),
            // No id sorts before this one.
            None => Bound::Included(EndpointKey { tenant: tenant.clone(), id: first_id() }),
        };
        let by_key: &BTreeMap<EndpointKey, u32> = &self.endpoints.by_key;
        let mut found = by_key.range((from, Bound::Unbounded)).take_while(|(key, _)| key.tenant == *tenant).peekable();
        let mut page = Page { items: Vec::new(), next: None };
        while let Some((key, at)) = found.next() {
            page.items.push(show(&self.endpoints.slab[*at]));
            if page.items.len() == most {
                page.next = found.peek().map(|_| key.id.clone());
                break;
            }
        }
        page
    }
}

pub(super) fn first_id() -> EndpointId {
    EndpointId::new("!").expect("'!' is the first visible character")
}
