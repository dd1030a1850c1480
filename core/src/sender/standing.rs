//! How one delivery stands: its state, the rule behind it with what that went by, what comes next, and what would change it.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::Sender;
use super::deliveries::Place;
use super::report::{DeliveryReport, Fate};
use super::tables::{Slot, Stage};
use crate::id::{EndpointKey, EventId};
use crate::limits;
use crate::registration::State;
use crate::registration::lifecycle::{Health, Reason};
use crate::response::TransportError;
use crate::retry::{Admission, Pace, Plan};
use crate::time::{Instant, UnixTime};

#[cfg(test)]
mod tests;

/// How the delivery of an event to an endpoint stands.
///
/// `Display` says it in a line for the state and its rule, one for the last attempt, one for what is due, and one for what
/// would change it. The attempts before the last one are in the log's history; the drivers' `explain_delivery` adds them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeliveryExplanation {
    /// The event.
    pub event: EventId,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// What has become of it so far.
    pub fate: Fate,
    /// The rule that holds it there, and what that went by.
    pub because: Because,
    /// Attempts that have ended.
    pub attempts: u16,
    /// Attempts that the endpoint's schedule has.
    pub schedule: u16,
    /// How the last attempt ended. `None` before the first, and where the machine does not remember: after a restart, and
    /// of statuses that are hardly ever sent.
    pub last: Option<Result<u16, TransportError>>,
    /// When the next attempt may start at the earliest, as far as a time is known. `None` when there will be none by
    /// itself, and while one is in flight.
    pub next: Option<UnixTime>,
    /// How long after that, or after the one in flight, a further one follows if it fails and the receiver asks for
    /// nothing; `None` when there is none.
    pub after: Option<Duration>,
}

/// The rule that a delivery's state is by, with its inputs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Because {
    /// It has ended, by its last attempt or without one, as its fate says.
    Ended,
    /// An attempt is with the adapter.
    Attempt {
        /// Which, counted from 1.
        number: u16,
        /// Since when.
        since: Duration,
    },
    /// The event was cancelled, erased or purged: what waits is discarded in a moment.
    Cancelled,
    /// The endpoint is not active: it is held, or discarded in a moment where the endpoint is gone or removed.
    State {
        /// The endpoint's state.
        state: State,
        /// Why it is in it, where that is known.
        reason: Option<Reason>,
    },
    /// Its schedule, or what the receiver asked for, has a delay before the next attempt.
    Schedule {
        /// Attempts that have failed.
        failed: u16,
    },
    /// Those under the same ordering key come first.
    Order {
        /// The key.
        key: Arc<str>,
        /// The one that is let out now, where one is.
        behind: Option<EventId>,
    },
    /// The payload is being read back from the log.
    Payload,
    /// The endpoint asked for a rest.
    Throttled {
        /// How long still.
        rest: Duration,
    },
    /// The endpoint's breaker is open.
    Breaker {
        /// How long still.
        rest: Duration,
    },
    /// The endpoint's breaker lets one attempt through, and that decides.
    Probe,
    /// The endpoint's rate is used up.
    Rate {
        /// How long still.
        rest: Duration,
    },
    /// As many attempts to the endpoint are in flight as may be.
    Concurrency {
        /// Attempts in flight.
        in_flight: u16,
    },
    /// As many attempts are in flight as may be, counted wider than over the endpoint.
    Crowded {
        /// Over what.
        by: Scope,
        /// Attempts in flight.
        in_flight: u32,
        /// How many may be.
        most: u32,
    },
    /// Nothing but its turn.
    Turn,
    /// The event has not reached this endpoint yet; whether it is among those told is decided when it does.
    Unreached,
}

/// Over what attempts in flight are counted, where a bound holds a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Over the tenant ([`Limits::tenant_in_flight`](limits::Limits::tenant_in_flight)).
    Tenant,
    /// Over the host and port of the endpoint's URL ([`Limits::host_in_flight`](limits::Limits::host_in_flight)).
    Host,
    /// Over everything: the credit that the adapter gave ([`Input::Credit`](super::Input::Credit)).
    Credit,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenant => "of the tenant",
            Self::Host => "to the host",
            Self::Credit => "in all",
        })
    }
}

impl Because {
    /// What would change it.
    pub const fn change(&self) -> &'static str {
        match self {
            Self::Ended => "nothing; it can be sent again as a replay while its event is kept",
            Self::Attempt { .. } => {
                "its answer, or its deadline; 2xx ends it, 410 ends all to this endpoint, cancelling aborts it"
            }
            Self::Cancelled => "nothing",
            Self::State { state, .. } => match state {
                State::Active => "its turn",
                State::Unverified { .. } => "its owner's consent lets it go",
                State::Paused { .. } => "resuming the endpoint lets it go",
                State::Disabled { .. } => "resuming the endpoint before it is discarded lets it go",
                State::Gone { .. } => "resuming the endpoint before lets it go",
                State::Removed { .. } => "nothing",
            },
            Self::Schedule { .. } => {
                "a status of 2xx ends it, 410 ends all to this endpoint; pausing holds it, cancelling ends it"
            }
            Self::Order { .. } => "the end of those before it, or another ordering; cancelling ends it",
            Self::Payload => "the log's answer",
            Self::Throttled { .. } => "only time; cancelling ends it",
            Self::Breaker { .. } => "time, and then a probe that succeeds; cancelling ends it",
            Self::Probe => "a probe that succeeds; one that fails opens the breaker again",
            Self::Rate { .. } => "time, or a higher rate of the endpoint",
            Self::Concurrency { .. } => "the end of one of them, or a higher concurrency of the endpoint",
            Self::Crowded { .. } => "the end of one of them, or a higher bound",
            Self::Turn => "nothing; it goes out next, or after those of others that take turns with it",
            Self::Unreached => "its event's turn; cancelling ends it",
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("it has ended"),
            Self::Attempt { number, since } => write!(f, "attempt {number} is in flight since {since:.1?}"),
            Self::Cancelled => f.write_str("its event was cancelled, and it is discarded in a moment"),
            Self::State { state, reason } => {
                let what = match state {
                    State::Gone { .. } | State::Removed { .. } => "discarded in a moment",
                    State::Unverified { .. } | State::Active | State::Paused { .. } | State::Disabled { .. } => "held",
                };
                match reason {
                    Some(reason) => write!(f, "{what}, because {reason}"),
                    None => write!(f, "{what}, because the endpoint is {state}"),
                }
            }
            Self::Schedule { failed: 0 } => f.write_str("its schedule has a delay before the first attempt"),
            Self::Schedule { failed } => write!(f, "attempt {failed} failed, and the next is not due yet"),
            Self::Order { key, behind: Some(event) } => write!(f, "{event} comes before it under the key '{key}'"),
            Self::Order { key, behind: None } => write!(f, "others come before it under the key '{key}'"),
            Self::Payload => f.write_str("its payload is being read back"),
            Self::Throttled { rest } => write!(f, "the endpoint asked for a rest, of which {rest:.1?} are left"),
            Self::Breaker { rest } => write!(f, "the endpoint's breaker is open for {rest:.1?} more"),
            Self::Probe => f.write_str("the endpoint's breaker is half-open, and one attempt at a time goes out"),
            Self::Rate { rest } => write!(f, "the endpoint's rate allows the next attempt in {rest:.1?}"),
            Self::Concurrency { in_flight } => {
                write!(f, "{in_flight} attempts to the endpoint are in flight, which are as many as may be")
            }
            Self::Crowded { by, in_flight, most } => {
                write!(f, "{in_flight} attempts {by} are in flight, and {most} may be")
            }
            Self::Turn => f.write_str("it is due and waits for its turn"),
            Self::Unreached => f.write_str("its event has not reached this endpoint yet"),
        }
    }
}

impl fmt::Display for DeliveryExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, endpoint, fate, because, attempts, schedule, .. } = self;
        write!(f, "{event} to {}: {fate}", endpoint.id)?;
        if !matches!(because, Because::Ended) {
            write!(f, "; {because}")?;
        }
        write!(f, "\nattempts: {attempts} of {schedule}")?;
        match self.last {
            Some(Ok(status)) => write!(f, ", the last one brought {status}")?,
            Some(Err(failure)) => write!(f, ", the last one failed: {failure}")?,
            None => {}
        }
        if let Some(next) = self.next {
            write!(f, "\nnext: not before {next}")?;
        }
        match self.after {
            Some(after) => write!(f, "\nif that fails: the next one {after:.1?} later")?,
            None if self.is_open() => f.write_str("\nif that fails: it is given up")?,
            None => {}
        }
        write!(f, "\nwhat would change it: {}", because.change())
    }
}

impl DeliveryExplanation {
    /// Whether it has not ended.
    pub const fn is_open(&self) -> bool {
        matches!(self.fate, Fate::InFlight | Fate::Waiting { .. })
    }
}

impl Sender {
    /// How the delivery of an event to an endpoint stands, why, and what would change it. `None` when the machine does
    /// not know the event or the endpoint, when the endpoint is not among those told, and when the delivery ended so long
    /// ago that nothing of it is kept. Costs as much as a report of the event.
    pub fn explain_delivery(&self, endpoint: &EndpointKey, event: &EventId) -> Option<DeliveryExplanation> {
        let tenant = self.tenants.find(&endpoint.tenant)?;
        let Some(job) = self.jobs.find(tenant, event) else {
            let report = self.shelf.find(tenant, event, self.outbox.durable())?;
            let ended = report.deliveries.iter().find(|delivery| delivery.endpoint == endpoint.id)?;
            return Some(self.ended(endpoint, event, ended));
        };
        let at = *self.endpoints.by_key.get(endpoint)?;
        let slot = &self.endpoints.slab[at];
        let mut of_event = self.handles_of(job);
        let delivery = of_event.find(|handle| self.deliveries[*handle].endpoint == at);
        let flying = self.attempts.iter().map(|(_, attempt)| attempt).find(|attempt| {
            attempt.seq == self.jobs.slab[job].seq && attempt.endpoint == at && attempt.stage == Stage::Flying
        });
        let (because, attempts) = match (flying, delivery) {
            (Some(flying), delivery) => {
                let since = self.now.mono.saturating_since(flying.started);
                let ended = delivery.map_or(0, |handle| self.deliveries[handle].attempts);
                (Because::Attempt { number: flying.number, since }, ended)
            }
            (None, Some(handle)) => (self.why_waiting(slot, job, handle), self.deliveries[handle].attempts),
            (None, None) => {
                let work = self.jobs.slab[job].work();
                let ended = work.and_then(|work| work.ended.iter().find(|ended| ended.endpoint == endpoint.id));
                if let Some(ended) = ended {
                    return Some(self.ended(endpoint, event, ended));
                }
                if self.jobs.slab[job].has_passed_all() || !slot.life.matches() {
                    return None;
                }
                (if self.is_void(job) { Because::Cancelled } else { Because::Unreached }, 0)
            }
        };
        let last = delivery.and_then(|handle| self.deliveries[handle].last.outcome());
        let schedule = &slot.wire.config.schedule;
        let plan = Plan::new(schedule, &self.seed, event.as_str(), endpoint);
        let due = delivery.map(|handle| &self.deliveries[handle]).filter(|delivery| delivery.place != Place::InFlight);
        let goes_out = !matches!(because, Because::Attempt { .. } | Because::Cancelled | Because::State { .. });
        let due = due.map_or(Instant::ORIGIN, |delivery| delivery.due).max(slot.until.unwrap_or_default());
        let rest = due.saturating_since(self.now.mono);
        let after = plan.delay(attempts.saturating_add(1)).or_else(|| {
            let last = || plan.delay(schedule.attempts().saturating_sub(1)).unwrap_or_default();
            self.goes_on_in_lane(delivery, slot).then(|| last().max(limits::LANE_RETRY))
        });
        Some(DeliveryExplanation {
            event: event.clone(),
            endpoint: endpoint.clone(),
            fate: if flying.is_some() { Fate::InFlight } else { Fate::Waiting { rest } },
            attempts,
            schedule: schedule.attempts(),
            last,
            next: goes_out.then(|| self.now.wall.saturating_add(rest)),
            after: after.filter(|_| !matches!(because, Because::Cancelled)),
            because,
        })
    }

    /// Why a delivery waits: the first of the rules that hold it.
    fn why_waiting(&self, slot: &Slot, job: u32, handle: u32) -> Because {
        if self.is_void(job) {
            return Because::Cancelled;
        }
        if slot.life.admin != State::Active {
            return Because::State { state: slot.life.admin, reason: slot.cause };
        }
        let (now, delivery) = (self.now.mono, &self.deliveries[handle]);
        match delivery.place {
            Place::Laned => {
                let (lane, head) = self.lanes.behind(handle).expect("it waits in a lane");
                let behind = head.map(|head| self.jobs.id(self.deliveries[head].event));
                return Because::Order { key: lane.key.clone(), behind };
            }
            Place::Stalled => return Because::Payload,
            Place::Timer if delivery.due > slot.until.unwrap_or_default() => {
                return Because::Schedule { failed: delivery.attempts };
            }
            Place::Timer | Place::Ready | Place::Nowhere | Place::InFlight => {}
        }
        match (self.feels(slot), slot.rate.as_ref().map(|rate| rate.next(now))) {
            (Health::Open { until, .. }, _) => Because::Breaker { rest: until.saturating_since(now) },
            (Health::Throttled { until }, _) => Because::Throttled { rest: until.saturating_since(now) },
            (Health::HalfOpen { .. }, _) if slot.breaker.admits(now) == Admission::Probing => Because::Probe,
            (_, Some(Pace::At(at))) => Because::Rate { rest: at.saturating_since(now) },
            (Health::Ok | Health::HalfOpen { .. }, Some(Pace::Ready) | None) => {
                let in_flight = slot.in_flight;
                if !slot.window.can_start(u32::from(in_flight) + u32::from(slot.fetching)) {
                    Because::Concurrency { in_flight }
                } else {
                    self.crowd_before(slot).unwrap_or(Because::Turn)
                }
            }
        }
    }

    /// The bound wider than its endpoint that keeps an attempt from starting, if one does.
    fn crowd_before(&self, slot: &Slot) -> Option<Because> {
        let at = self.attempts.len();
        let (by, in_flight, most) = if self.tenants[slot.tenant].is_held {
            (Scope::Tenant, self.tenants[slot.tenant].in_flight, self.limits.tenant_in_flight)
        } else if !self.has_host(slot) {
            let target = &slot.wire.config.target;
            (Scope::Host, self.hosts.in_flight(target.server_name(), target.port()), self.limits.host_in_flight)
        } else if at >= self.credit as usize {
            (Scope::Credit, u32::try_from(at).unwrap_or(u32::MAX), self.credit)
        } else {
            return None;
        };
        Some(Because::Crowded { by, in_flight, most })
    }

    fn ended(&self, endpoint: &EndpointKey, event: &EventId, report: &DeliveryReport) -> DeliveryExplanation {
        let slot = self.endpoints.by_key.get(endpoint).map(|at| &self.endpoints.slab[*at]);
        DeliveryExplanation {
            event: event.clone(),
            endpoint: endpoint.clone(),
            fate: report.fate,
            because: Because::Ended,
            attempts: report.attempts,
            schedule: slot.map_or(report.attempts, |slot| slot.wire.config.schedule.attempts()),
            last: report.status.map(Ok).or_else(|| report.failure.map(Err)),
            next: None,
            after: None,
        }
    }
}
