//! What keeps an endpoint from being given too much: its breaker, its rate, how long deliveries may wait for it, and how
//! many attempts its tenant and its host may have in flight.

use alloc::boxed::Box;

use super::Sender;
use super::notice::{Expiry, Notice};
use super::operational::Cause;
use super::tables::Slot;
use crate::journal::{Due, HealthRecord, Record, Then};
use crate::registration::lifecycle::{Answer, Event, Health};
use crate::registration::{Circuit, Config, State};
use crate::response::{Fault, TransportError};
use crate::retry::{Admission, Exhausted, FailedTooLong, Gcra, Pace, Per, Plan, Rate, Transition};
use crate::time::Instant;
#[cfg(postrider_planted)]
use crate::{registration::Pacing, retry::DisableRule};

/// Whether an attempt that ended so tells that its endpoint is well, or that it is not; `None` when it tells nothing:
/// the request was not allowed or not possible to make, or was given up for a reason of ours.
pub(super) fn tells(outcome: Result<u16, TransportError>) -> Option<bool> {
    match outcome {
        // It wants nothing more.
        Ok(410) => None,
        Ok(status) => Some((200..300).contains(&status)),
        Err(error) => match error.fault() {
            Fault::Ours | Fault::Policy => None,
            Fault::Receiver | Fault::Network => Some(false),
        },
    }
}

impl Slot {
    /// The rate that it is held to: its own, or that to which its owner consented, whichever is less.
    pub(super) fn allowed_rate(&self) -> Option<Rate> {
        let own = self.wire.config.pacing.rate;
        let granted = self.consent.as_ref().and_then(|asking| asking.consent.limit());
        let granted = granted.map(|rate| rate.get().min(Rate::MOST));
        let granted = granted.and_then(|rate| Rate::per_minute(rate).ok());
        let an_hour = |rate: Rate| {
            u64::from(rate.count())
                * match rate.per() {
                    Per::Second => 3600,
                    Per::Minute => 60,
                    Per::Hour => 1,
                }
        };
        match (own, granted) {
            (Some(own), Some(granted)) => Some(if an_hour(own) <= an_hour(granted) { own } else { granted }),
            (own, granted) => own.or(granted),
        }
    }
}

impl Sender {
    /// Until when an active endpoint rests: by its throttle, its breaker and its rate, whichever is longest.
    pub(super) fn rest_of(&self, at: u32) -> Option<Instant> {
        let (slot, now) = (&self.endpoints.slab[at], self.now.mono);
        let open = match slot.breaker.admits(now) {
            Admission::Hold(until) => Some(until),
            Admission::Allow | Admission::Probe | Admission::Probing => None,
        };
        let rate = match slot.rate.as_ref().map(|rate| rate.next(now)) {
            Some(Pace::At(next)) => Some(next),
            Some(Pace::Ready) | None => None,
        };
        [slot.throttled, open, rate].into_iter().flatten().filter(|until| *until > now).max()
    }

    /// Lets an active endpoint rest for as long as it must.
    pub(super) fn rest(&mut self, at: u32) {
        if self.endpoints.slab[at].life.admin == State::Active {
            self.retime(at);
        }
    }

    /// How an endpoint answers, in the words of its life.
    pub(super) fn feels(&self, slot: &Slot) -> Health {
        let now = self.now.mono;
        let times = || slot.breaker.saved(self.now).map_or(0, |saved| saved.failed_probes).saturating_add(1);
        match slot.breaker.admits(now) {
            Admission::Hold(until) => Health::Open { until, times: times() },
            Admission::Probe | Admission::Probing => Health::HalfOpen { times: times() },
            Admission::Allow => match slot.throttled.filter(|until| *until > now) {
                Some(until) => Health::Throttled { until },
                None => Health::Ok,
            },
        }
    }

    /// An attempt to an endpoint ended: what that means for its breaker, and whether it has failed for too long.
    pub(super) fn feel(&mut self, at: u32, is_probe: bool, tells: Option<bool>) {
        let now = self.now.mono;
        let slot = &mut self.endpoints.slab[at];
        let in_service = !slot.removed && slot.life.matches();
        let Some(success) = tells.filter(|_| in_service) else {
            if is_probe {
                slot.breaker.abandon_probe();
            }
            return;
        };
        let pacing = slot.wire.config.pacing;
        let change = pacing.breaker.and_then(|policy| match is_probe {
            true => slot.breaker.record_probe(&policy, now, success),
            false => slot.breaker.record(&policy, now, success),
        });
        let too_long = if success {
            slot.streak.reset();
            None
        } else {
            #[cfg(postrider_planted)]
            let halved = |rule: DisableRule| match crate::planted::breaks(49) {
                true => DisableRule::new(rule.age() / 2, rule.failures()).unwrap_or(rule),
                false => rule,
            };
            #[cfg(postrider_planted)]
            let pacing = Pacing { disable: pacing.disable.map(halved), ..pacing };
            pacing.disable.and_then(|rule| slot.streak.record_failure(&rule, now))
        };
        if let Some(change) = change {
            self.turn_circuit(at, change);
        }
        let active = self.endpoints.slab[at].life.admin == State::Active;
        if let Some(reason) = too_long.filter(|_| active) {
            self.disable_failing(at, reason);
        }
    }

    /// A breaker has opened or closed.
    fn turn_circuit(&mut self, at: u32, change: Transition) {
        let slot = &mut self.endpoints.slab[at];
        let endpoint = slot.key.clone();
        if slot.breaker.is_closed() {
            slot.window.ramp();
        }
        let seq = self.record_health(at);
        self.tell(seq, Notice::Breaker { endpoint, change });
        self.rest(at);
        if self.endpoints.slab[at].breaker.is_closed() {
            self.tell_subscribers(Some(Cause::Closed { endpoint: at, seq }));
        }
    }

    /// An endpoint has failed for so long that it is taken out of service.
    fn disable_failing(&mut self, at: u32, reason: FailedTooLong) {
        let endpoint = self.endpoints.slab[at].key.clone();
        let event = Event::Failing { since: self.now.wall.saturating_sub(reason.age), attempts: reason.failures };
        if self.happens(at, event).answer == Answer::Done {
            let seq = self.endpoints.slab[at].gate;
            self.tell(seq, Notice::Disabled { endpoint, reason });
        }
    }

    /// Forgets how an endpoint has answered, where it is to begin anew: it is put back into service, or has another
    /// address; and a breaker that it is to have no more.
    pub(super) fn forget_health(&mut self, at: u32, config: &Config, state: State) {
        let slot = &mut self.endpoints.slab[at];
        let again = (!slot.life.matches() && state.matches()) || slot.wire.config.target != config.target;
        let had = !slot.breaker.is_closed() || (again && slot.streak.failures() > 0);
        if again {
            slot.streak.reset();
        }
        if again || config.pacing.breaker.is_none() {
            slot.breaker.reset();
            if had {
                self.record_health(at);
            }
        }
    }

    fn record_health(&mut self, at: u32) -> crate::id::JournalSeq {
        let health = self.health_of(&self.endpoints.slab[at]);
        self.record(&Record::Health(Box::new(health)))
    }

    /// How an endpoint answers, as the journal says it.
    pub(super) fn health_of(&self, slot: &Slot) -> HealthRecord {
        let failing = slot.streak.first_failed(self.now).map(|first| (first, slot.streak.failures()));
        let breaker = slot.breaker.saved(self.now).map(|saved| {
            let due = Due { written: saved.until.written, delay: saved.until.delay };
            (due, saved.failed_probes)
        });
        HealthRecord { endpoint: slot.key.clone(), through: self.outbox.last(), failing, breaker }
    }

    /// Whether an endpoint's breaker lets attempts start.
    pub(super) fn circuit(&self, slot: &Slot) -> Circuit {
        match slot.breaker.admits(self.now.mono) {
            Admission::Allow => Circuit::Closed,
            Admission::Hold(until) => Circuit::Open { rest: until.saturating_since(self.now.mono) },
            Admission::Probe => Circuit::HalfOpen,
            Admission::Probing => Circuit::Probing,
        }
    }

    /// Gives an endpoint the rate and the host that its description says. A rate that is new may be used at once; one
    /// that was changed goes on from where the other was.
    pub(super) fn repace(&mut self, at: u32) {
        let slot = &self.endpoints.slab[at];
        let bounded = self.limits.host_in_flight < u32::MAX;
        let host = bounded.then(|| self.hosts.retain(&slot.wire.config.target));
        if let Some(old) = slot.host {
            self.hosts.leave(old, &mut self.endpoints.slab, at);
            self.hosts.release(old);
        }
        let slot = &mut self.endpoints.slab[at];
        slot.host = host;
        slot.waits_first = slot.wire.config.schedule.delay(0).is_some_and(|delay| !delay.is_zero());
        if self.restoring {
            return;
        }
        match (slot.allowed_rate(), &mut slot.rate) {
            (None, rate) => *rate = None,
            (Some(wanted), Some(rate)) if rate.rate() != wanted => rate.set_rate(self.now.mono, wanted),
            (Some(_), Some(_)) => {}
            (Some(wanted), rate) => *rate = Some(Box::new(Gcra::full(wanted))),
        }
        self.rest(at);
    }

    /// An attempt takes from its endpoint's rate, which must allow it.
    pub(super) fn take_from_rate(&mut self, at: u32) {
        let now = self.now.mono;
        if let Some(rate) = &mut self.endpoints.slab[at].rate {
            let pace = rate.take(now);
            debug_assert_eq!(pace, Pace::Ready, "an endpoint rests until its rate allows an attempt");
        }
        self.rest(at);
    }

    /// Why no attempt of a delivery may start any more, however soon its endpoint could take it.
    pub(super) fn outlived(&self, event: u32, endpoint: u32) -> Option<Expiry> {
        if self.jobs.expired(event, self.now.wall) {
            return self.jobs.expires(event).map(|expires| Expiry::Event { expires });
        }
        let schedule = &self.endpoints.slab[endpoint].wire.config.schedule;
        schedule.max_age()?;
        #[cfg(postrider_planted)]
        if crate::planted::breaks(51) {
            return None;
        }
        match schedule.check_age(self.age_of(event)) {
            Err(Exhausted::Age { age, max }) => Some(Expiry::Age { age, max }),
            Ok(()) | Err(Exhausted::Attempts { .. }) => None,
        }
    }

    /// How long after its event was accepted the first attempt of a delivery is due.
    pub(super) fn first_delay(&self, event: u32, endpoint: u32) -> core::time::Duration {
        let slot = &self.endpoints.slab[endpoint];
        let plan = Plan::new(&slot.wire.config.schedule, &self.seed, self.jobs.name(event), &slot.key);
        plan.delay(0).unwrap_or_default()
    }

    /// How long an event's deliveries have been owed, by the wall clock.
    pub(super) fn age_of(&self, event: u32) -> core::time::Duration {
        self.now.wall.saturating_since(self.jobs.slab[event].at)
    }

    /// Whether a delivery has waited for its endpoint for too long: since its attempt was due, and for the first since
    /// its event was accepted.
    pub(super) fn overstayed(&self, handle: u32) -> Option<Expiry> {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(50) {
            return None;
        }
        let delivery = &self.deliveries[handle];
        let limit = self.endpoints.slab[delivery.endpoint].wire.config.pacing.queue?;
        let waited = match delivery.due {
            Instant::ORIGIN => self.age_of(delivery.event),
            due => self.now.mono.saturating_since(due),
        };
        limit.check(waited).err().map(Expiry::Queue)
    }

    /// Ends a delivery that expired.
    pub(super) fn end_expired(
        &mut self,
        event: u32,
        endpoint: u32,
        subscription: u32,
        delivery: Option<u32>,
        why: Expiry,
    ) {
        let names = (self.endpoints.slab[endpoint].key.clone(), self.jobs.id(event));
        let tell = |sender: &mut Self, seq| {
            let (endpoint, event) = names;
            sender.tell(seq, Notice::Expired { endpoint, event, why });
        };
        self.end_telling(event, endpoint, subscription, delivery, Then::Expired, tell);
    }

    /// Whether one more attempt to the host of an endpoint may begin.
    pub(super) fn has_host(&self, slot: &Slot) -> bool {
        slot.host.is_none_or(|host| self.hosts.is_free(host, self.limits.host_in_flight))
    }

    /// An attempt to an endpoint begins: what it burdens besides.
    pub(super) fn burden(&mut self, endpoint: u32) {
        let Slot { tenant, host, .. } = self.endpoints.slab[endpoint];
        if let Some(host) = host {
            self.hosts.begin(host);
        }
        let limit = self.limits.tenant_in_flight;
        if limit == u32::MAX {
            return;
        }
        #[cfg(postrider_planted)]
        let limit = limit.saturating_add(crate::planted::breaks(47).into());
        let of_tenant = &mut self.tenants[tenant];
        of_tenant.in_flight += 1;
        if of_tenant.in_flight >= limit && !of_tenant.is_held {
            of_tenant.is_held = true;
            self.queues.scan.hold(&mut self.tenants, tenant);
            self.queues.fresh.hold(&mut self.tenants, tenant);
            self.queues.again.hold(&mut self.tenants, tenant);
        }
    }

    /// It has landed.
    pub(super) fn unburden(&mut self, endpoint: u32, host: Option<u32>) {
        if let Some(host) = host {
            self.hosts.end(host);
            self.wake_for_host(host);
        }
        let limit = self.limits.tenant_in_flight;
        let Some(tenant) = self.endpoints.slab.get(endpoint).map(|slot| slot.tenant).filter(|_| limit < u32::MAX)
        else {
            return;
        };
        let of_tenant = &mut self.tenants[tenant];
        of_tenant.in_flight -= 1;
        if of_tenant.is_held && of_tenant.in_flight < limit.max(1) {
            of_tenant.is_held = false;
            self.queues.scan.release(&mut self.tenants, tenant);
            self.queues.fresh.release(&mut self.tenants, tenant);
            self.queues.again.release(&mut self.tenants, tenant);
        }
    }

    /// Lets one endpoint go on that waits for a host, if one more attempt may begin there.
    pub(super) fn wake_for_host(&mut self, host: u32) {
        let limit = self.limits.host_in_flight;
        while let Some(at) = self.hosts.admit(host, limit, &mut self.endpoints.slab) {
            self.wake_endpoint(at);
            if self.endpoints.slab[at].turn.is_in_lane() {
                return;
            }
        }
    }

    /// Takes an endpoint out of whatever it waits in for its turn.
    pub(super) fn leave_ready(&mut self, at: u32) {
        self.queues.fresh.leave(&mut self.tenants, &mut self.endpoints.slab, at);
        self.queues.again.leave(&mut self.tenants, &mut self.endpoints.slab, at);
        self.queues.ready_crowd.leave(&mut self.endpoints.slab, at);
        if let Some(host) = self.endpoints.slab[at].host {
            self.hosts.leave(host, &mut self.endpoints.slab, at);
        }
    }
}
