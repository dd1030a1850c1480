//! How attempts end, and what follows.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::Sender;
use super::deliveries::Place;
use super::last::Last;
use super::notice::Notice;
use super::operational::Cause;
use super::pace;
use super::report::{DeliveryReport, Fate};
use super::signed::Signed;
use super::tables::{Attempt, Slot, Stage};
use crate::id::{AttemptId, JournalSeq};
use crate::journal::{Due, OutcomeRecord, Record, Then};
use crate::limits;
use crate::registration::lifecycle::Event;
use crate::response::{self, Outcome, Phase, Profile, Reply, Ruling, TransportError, Verdict};
use crate::retry::{Exhausted, List, Plan};
use crate::signing::receipt::ReceiptCheck;
use crate::time::Instant;

/// Payloads go together that have not been used for a minute and less than this.
const EVICT_TOGETHER: Duration = Duration::from_secs(1);

/// What an ended attempt was for.
#[derive(Clone, Copy)]
struct Ended {
    event: u32,
    endpoint: u32,
    subscription: u32,
    delivery: Option<u32>,
    number: u16,
    is_probe: bool,
    elapsed: Duration,
}

impl Ended {
    fn of(attempt: &Attempt, now: Instant) -> Self {
        Self {
            event: attempt.event,
            endpoint: attempt.endpoint,
            subscription: attempt.subscription,
            delivery: attempt.delivery,
            number: attempt.number,
            is_probe: attempt.is_probe && attempt.stage == Stage::Flying,
            elapsed: now.saturating_since(attempt.started),
        }
    }
}

impl Sender {
    /// The adapter reports an attempt.
    pub(super) fn completed(&mut self, id: AttemptId, outcome: &Outcome) {
        let Some(at) = self.attempts.find(id, self.incarnation) else {
            self.stats.stale += 1;
            return;
        };
        let attempt = self.attempts.end(at);
        if attempt.is_ask() {
            match attempt.stage {
                Stage::Flying => self.ask_ended(&attempt, outcome),
                Stage::Overdue | Stage::Aborted => self.stats.stale += u64::from(outcome.is_ok()),
            }
            return;
        }
        self.land(&attempt);
        self.lane_landed(attempt.lane);
        let ended = Ended::of(&attempt, self.mono());
        match attempt.stage {
            Stage::Flying => {
                self.landed(attempt.event);
                self.conclude(ended, outcome, &attempt.signed);
            }
            Stage::Overdue => self.completed_late(&attempt, ended, outcome),
            Stage::Aborted => self.stats.stale += u64::from(outcome.is_ok()),
        }
        attempt.lane.into_iter().for_each(|lane| self.advance(lane));
        self.after_landing(attempt.endpoint);
    }

    /// An attempt that was given up is reported after all. Only a success still matters, and only while the delivery
    /// waits.
    fn completed_late(&mut self, attempt: &Attempt, ended: Ended, outcome: &Outcome) {
        let ruling = response::verdict(outcome, Profile::StandardWebhooks, self.now.wall);
        let waits = attempt.delivery.is_some_and(|handle| {
            self.deliveries.get(handle).is_some_and(|delivery| {
                delivery.event == attempt.event
                    && delivery.subscription == attempt.subscription
                    && delivery.place != Place::InFlight
                    && self.jobs.slab.get(attempt.event).is_some_and(|job| job.seq == attempt.seq)
            })
        });
        #[cfg(postrider_planted)]
        let known = attempt.delivery.is_some_and(|handle| self.deliveries.get(handle).is_some());
        #[cfg(postrider_planted)]
        let waits = waits || (crate::planted::breaks(17) && known);
        if waits && ruling.verdict == Verdict::Delivered {
            self.stats.late += 1;
            self.conclude(ended, outcome, &attempt.signed);
        } else {
            self.stats.stale += 1;
        }
    }

    /// The time of an attempt is over and the adapter has not reported it.
    pub(super) fn attempt_overdue(&mut self, at: u32) {
        let now = self.mono();
        let id = self.attempts.id(at, self.incarnation);
        let Some(attempt) = self.attempts.get(at) else { return };
        match attempt.stage {
            Stage::Flying if attempt.is_ask() => {
                // Its consent has a time of its own, and an answer is of no use any more.
                self.attempts.linger(at, Stage::Overdue, now.saturating_add(limits::OVERDUE_GRACE), None);
                if self.phase != super::Stage::Closing {
                    self.queues.aborts.push_back(id);
                }
                self.tell(JournalSeq::ZERO, Notice::Overdue { attempt: id });
            }
            Stage::Flying => {
                let (ended, event) = (Ended::of(attempt, now), attempt.event);
                self.landed(event);
                let delivery = self.conclude(ended, &Err(TransportError::TimedOut(Phase::Head)), &Signed::default());
                self.attempts.linger(at, Stage::Overdue, now.saturating_add(limits::OVERDUE_GRACE), delivery);
                // Closing has aborted everything already.
                if self.phase != super::Stage::Closing {
                    self.queues.aborts.push_back(id);
                }
                self.tell(JournalSeq::ZERO, Notice::Overdue { attempt: id });
            }
            Stage::Overdue | Stage::Aborted => {
                let attempt = self.attempts.forget(at);
                if attempt.is_ask() {
                    return;
                }
                self.land(&attempt);
                self.lane_landed(attempt.lane);
                attempt.lane.into_iter().for_each(|lane| self.advance(lane));
                self.after_landing(attempt.endpoint);
            }
        }
    }

    /// Ends an attempt because its delivery is over, and lets the adapter know. The slot stays taken until the adapter
    /// reports it, or for a grace time.
    pub(super) fn abort(&mut self, at: u32) {
        let now = self.mono();
        let id = self.attempts.id(at, self.incarnation);
        let Some(attempt) = self.attempts.get(at).filter(|attempt| attempt.stage == Stage::Flying) else { return };
        if attempt.is_ask() {
            self.attempts.give_up(at, Stage::Aborted, now.saturating_add(limits::OVERDUE_GRACE), None);
            return self.queues.aborts.push_back(id);
        }
        let ended = Ended::of(attempt, now);
        self.landed(ended.event);
        self.attempts.give_up(at, Stage::Aborted, now.saturating_add(limits::OVERDUE_GRACE), None);
        self.queues.aborts.push_back(id);
        let record = self.outcome_record(ended, &Err(TransportError::Aborted), Then::Discarded, &Signed::default());
        self.feel(ended.endpoint, ended.is_probe, None);
        self.apply_outcome(ended, record);
        self.discard_rest(ended.endpoint);
    }

    /// Discards what waits behind an attempt that has just ended, where nothing may wait any more.
    fn discard_rest(&mut self, endpoint: u32) {
        let waits =
            |slot: &Slot| slot.is_discarding() && slot.gate <= self.outbox.durable() && !slot.deliveries.is_empty();
        if self.endpoints.slab.get(endpoint).is_some_and(waits) {
            self.discard_soon(endpoint);
        }
    }

    /// An attempt no longer needs the payload of its event.
    fn landed(&mut self, event: u32) {
        self.jobs.slab[event].work_mut().in_flight -= 1;
        self.jobs.touch(event, self.now.mono);
    }

    /// An attempt no longer burdens its endpoint.
    fn land(&mut self, attempt: &Attempt) {
        self.unburden(attempt.endpoint, attempt.host);
        if let Some(slot) = self.endpoints.slab.get_mut(attempt.endpoint) {
            #[cfg(postrider_planted)]
            if crate::planted::breaks(13) && slot.in_flight > 1 {
                slot.in_flight -= 1;
            }
            slot.in_flight -= 1;
        }
    }

    fn after_landing(&mut self, endpoint: u32) {
        self.discard_rest(endpoint);
        #[cfg(postrider_planted)]
        if crate::planted::breaks(9) {
            return;
        }
        self.wake_endpoint(endpoint);
        self.tidy_retired(endpoint);
        self.maybe_free(endpoint);
    }

    /// Decides what an outcome means, records it and makes it so. Gives the entry in which the delivery waits on.
    fn conclude(&mut self, ended: Ended, outcome: &Outcome, signed: &Signed) -> Option<u32> {
        let ruling = response::verdict(outcome, Profile::StandardWebhooks, self.now.wall);
        let (then, why) = self.decide(ended, &ruling);
        let record = self.outcome_record(ended, outcome, then, signed);
        let seq = self.record(&Record::Outcome(record.clone()));
        self.tell_subscribers(Cause::of_outcome(ended.endpoint, ended.event, &record));
        if let Ok(reply) = outcome {
            self.note_key_used(ended.endpoint, &record.signed, reply);
        }
        if ruling.verdict == Verdict::Delivered {
            self.note_receipt(seq, ended, record.receipt);
        }
        self.tell_outcome(seq, ended, &ruling, then, why);
        self.quiet = self.operational.any() && self.is_operational(ended.event);
        self.adjust_endpoint(ended, &ruling);
        let told = outcome.as_ref().map(Reply::status).map_err(|error| *error);
        self.feel(ended.endpoint, ended.is_probe, pace::tells(told));
        self.quiet = false;
        self.apply_outcome_now(ended, record)
    }

    /// What follows a ruling, and why there is no further attempt where that is by the schedule.
    fn decide(&self, ended: Ended, ruling: &Ruling) -> (Then, Option<Exhausted>) {
        let slot = &self.endpoints.slab[ended.endpoint];
        let floor = match ruling.verdict {
            Verdict::Delivered => return (Then::Delivered, None),
            Verdict::Gone => return (Then::Discarded, None),
            _ if self.is_void(ended.event) || slot.is_discarding() => return (Then::Discarded, None),
            Verdict::Refused(_) => return (Then::Refused, None),
            Verdict::Retry { not_before } | Verdict::Throttled { not_before } => not_before,
        };
        let schedule = &slot.wire.config.schedule;
        let plan = Plan::new(schedule, &self.seed, self.jobs.name(ended.event), &slot.key);
        #[cfg(postrider_planted)]
        let floor = if crate::planted::breaks(6) {
            floor.max(plan.delay(ended.number).map(|delay| delay + Duration::from_nanos(crate::planted::noise())))
        } else {
            floor
        };
        #[cfg(postrider_planted)]
        let floor = floor.filter(|_| !crate::planted::breaks(24));
        #[cfg(postrider_planted)]
        let ended = match crate::planted::breaks(14) && ended.number == schedule.attempts() {
            true => Ended { number: ended.number - 1, ..ended },
            false => ended,
        };
        let age = self.age_of(ended.event);
        let next = plan.after(ended.number, age, floor).or_else(|why| match why {
            Exhausted::Attempts { .. } if self.goes_on_in_lane(ended.delivery, slot) => {
                let last = plan.delay(schedule.attempts().saturating_sub(1)).unwrap_or_default();
                let delay = last.max(limits::LANE_RETRY).max(floor.unwrap_or_default());
                schedule.check_age(age.saturating_add(delay)).map(|()| delay)
            }
            why @ (Exhausted::Attempts { .. } | Exhausted::Age { .. }) => Err(why),
        });
        match next {
            Ok(delay) => (Then::Retry(Due { written: self.now.wall, delay }), None),
            Err(why) => (Then::Exhausted, Some(why)),
        }
    }

    /// What an outcome means for the endpoint as a whole.
    fn adjust_endpoint(&mut self, ended: Ended, ruling: &Ruling) {
        let at = ended.endpoint;
        let slot = &mut self.endpoints.slab[at];
        match ruling.verdict {
            #[cfg(postrider_planted)]
            Verdict::Throttled { .. } if crate::planted::breaks(32) => {}
            #[cfg(postrider_planted)]
            Verdict::Gone if crate::planted::breaks(43) => {}
            Verdict::Delivered => {
                slot.window.on_success();
                self.happens(at, Event::Succeeded);
            }
            Verdict::Retry { .. } => _ = self.happens(at, Event::Failed),
            Verdict::Refused(_) => {}
            Verdict::Throttled { not_before } => {
                slot.window.on_throttle();
                let schedule = &slot.wire.config.schedule;
                let plan = Plan::new(schedule, &self.seed, self.jobs.name(ended.event), &slot.key);
                let rest = plan.rest(ended.number, not_before);
                let until = self.now.mono.saturating_add(rest);
                let until = slot.throttled.map_or(until, |at| at.max(until));
                slot.throttled = Some(until);
                self.rest(at);
            }
            Verdict::Gone if slot.is_over() => {}
            Verdict::Gone => _ = self.happens(at, Event::Gone),
        }
    }

    /// The keys are those of a reported attempt: only then has whoever builds the request surely done so.
    fn outcome_record(&self, ended: Ended, outcome: &Outcome, then: Then, signed: &Signed) -> OutcomeRecord {
        // What is forgotten of an event is not begun anew.
        let keeps = self.endpoints.slab[ended.endpoint].wire.config.keep_answers && !self.is_void(ended.event);
        let body = outcome.as_ref().ok().filter(|_| keeps).and_then(Reply::body);
        let answer = body.map(|body| Bytes::copy_from_slice(&body[..body.len().min(limits::ANSWER_KEPT)]));
        let (status, failure) = match outcome {
            Ok(reply) => (reply.status(), (0, 0)),
            Err(error) => (0, error.to_wire()),
        };
        OutcomeRecord {
            event: self.jobs.slab[ended.event].seq,
            subscription: ended.subscription,
            attempts: ended.number,
            at: self.now.wall,
            elapsed: ended.elapsed,
            status,
            failure,
            then,
            signed: signed.ids(),
            answer,
            receipt: signed.receipt(outcome).to_wire(),
        }
    }

    /// Records an outcome that no ruling stands behind, and makes it so.
    fn apply_outcome(&mut self, ended: Ended, record: OutcomeRecord) {
        self.record(&Record::Outcome(record.clone()));
        self.apply_outcome_now(ended, record);
    }

    fn apply_outcome_now(&mut self, ended: Ended, record: OutcomeRecord) -> Option<u32> {
        let then = record.then;
        if let Some(handle) = ended.delivery {
            self.unqueue(handle);
        }
        let delivery = self.apply_conclusion(ended.event, ended.endpoint, ended.delivery, &record);
        if let (Then::Retry(due), Some(handle)) = (then, delivery) {
            #[cfg(postrider_planted)]
            let due = if crate::planted::breaks(5) { Due { delay: due.delay * 3 / 4, ..due } } else { due };
            #[cfg(postrider_planted)]
            let due =
                if crate::planted::breaks(42) { Due { delay: due.delay.saturating_mul(100), ..due } } else { due };
            self.deliveries.arm(handle, self.now.mono.saturating_add(due.delay));
        }
        self.maybe_evict(ended.event);
        self.tidy_retired(ended.endpoint);
        self.maybe_settle(ended.event);
        delivery
    }

    /// What an outcome changes in the tables; the same when it happens and when it is read back.
    pub(super) fn apply_conclusion(
        &mut self,
        event: u32,
        endpoint: u32,
        delivery: Option<u32>,
        record: &OutcomeRecord,
    ) -> Option<u32> {
        let fate = match record.then {
            Then::Retry(_) => {
                let handle = delivery
                    .unwrap_or_else(|| self.apply_waiting(event, endpoint, record.subscription, record.attempts));
                if let Some(delivery) = self.deliveries.get_mut(handle) {
                    delivery.attempts = record.attempts;
                    delivery.last = Last::of(record.status, record.failure);
                }
                self.jobs.slab[event].count_attempt();
                self.endpoints.slab[endpoint].tally.attempts += 1;
                self.stats.tally.attempts += 1;
                return Some(handle);
            }
            Then::Delivered => Fate::Delivered,
            Then::Exhausted => Fate::Exhausted,
            Then::Refused => Fate::Refused,
            Then::Discarded => Fate::Discarded,
            Then::Expired => Fate::Expired,
            Then::Lost => Fate::Lost,
            Then::Superseded => Fate::Superseded,
        };
        // A success that came too late for its attempt, which has been counted since.
        let made = delivery.and_then(|handle| self.deliveries.get(handle)).map_or(0, |delivery| delivery.attempts);
        self.delivery_ended(event);
        let lane = delivery.and_then(|handle| self.leave_lane(handle, endpoint));
        let slot = &mut self.endpoints.slab[endpoint];
        let job = &mut self.jobs.slab[event];
        if let Some(handle) = delivery {
            self.deliveries.remove(handle, &mut job.deliveries, &mut slot.deliveries);
        }
        let sent = (record.status != 0 || record.failure != (0, 0)) && record.attempts > made;
        if sent {
            job.count_attempt();
        }
        let work = job.work_mut();
        work.tally.count(&fate);
        slot.tally.count(&fate);
        slot.tally.attempts += u64::from(sent);
        self.stats.tally.attempts += u64::from(sent);
        self.stats.tally.count(&fate);
        if work.ended.len() < limits::REPORT_ENTRIES {
            work.ended.push(DeliveryReport {
                endpoint: slot.key.id.clone(),
                fate,
                attempts: record.attempts.max(made),
                status: (record.status != 0).then_some(record.status),
                failure: TransportError::from_wire(record.failure.0, record.failure.1),
                elapsed: record.elapsed,
            });
        }
        lane.into_iter().for_each(|lane| self.advance(lane));
        None
    }

    /// Ends a delivery without an attempt.
    pub(super) fn end_unsent(
        &mut self,
        event: u32,
        endpoint: u32,
        subscription: u32,
        delivery: Option<u32>,
        then: Then,
    ) {
        let names = (then == Then::Lost).then(|| (self.endpoints.slab[endpoint].key.clone(), self.jobs.id(event)));
        self.end_telling(event, endpoint, subscription, delivery, then, |sender, seq| {
            if let Some((endpoint, event)) = names {
                sender.tell(seq, Notice::Lost { endpoint, event });
            }
        });
    }

    /// The same, and tells about it behind the record.
    pub(super) fn end_telling(
        &mut self,
        event: u32,
        endpoint: u32,
        subscription: u32,
        delivery: Option<u32>,
        then: Then,
        tell: impl FnOnce(&mut Self, JournalSeq),
    ) {
        let attempts = delivery.map_or(0, |handle| self.deliveries[handle].attempts);
        let elapsed = Duration::ZERO;
        let ended = Ended { event, endpoint, subscription, delivery, number: attempts, is_probe: false, elapsed };
        let record = OutcomeRecord {
            event: self.jobs.slab[event].seq,
            subscription,
            attempts,
            at: self.now.wall,
            elapsed: Duration::ZERO,
            status: 0,
            failure: (0, 0),
            then,
            signed: Vec::new(),
            answer: None,
            receipt: 0,
        };
        let seq = self.record(&Record::Outcome(record.clone()));
        tell(self, seq);
        self.apply_outcome_now(ended, record);
    }

    /// Tells when answers of success begin to be without their receipts, or with wrong ones, and when that ends.
    fn note_receipt(&mut self, seq: JournalSeq, ended: Ended, receipt: u8) {
        let check = ReceiptCheck::from_wire(receipt).unwrap_or_default();
        let slot = &mut self.endpoints.slab[ended.endpoint];
        let before = core::mem::replace(&mut slot.receipt, check);
        let worth_telling = match check {
            ReceiptCheck::NotAsked => false,
            ReceiptCheck::Verified => before != ReceiptCheck::NotAsked,
            ReceiptCheck::Missing | ReceiptCheck::Wrong => true,
        };
        if worth_telling && before != check {
            let (endpoint, event) = (slot.key.clone(), self.jobs.id(ended.event));
            self.tell(seq, Notice::Receipt { endpoint, event, check });
        }
    }

    fn tell_outcome(&mut self, seq: JournalSeq, ended: Ended, ruling: &Ruling, then: Then, why: Option<Exhausted>) {
        let (attempt, ruling) = (ended.number, *ruling);
        if let Some(asked) = ruling.above_cap() {
            let endpoint = self.endpoints.slab[ended.endpoint].key.clone();
            self.tell(JournalSeq::ZERO, Notice::HintAboveCap { endpoint, asked });
        }
        // Names are only copied when there is something to tell.
        let name = |sender: &Self| (sender.endpoints.slab[ended.endpoint].key.clone(), sender.jobs.id(ended.event));
        let notice = match then {
            Then::Retry(Due { delay, .. }) if self.is_beyond_schedule(ended) => {
                let (endpoint, event) = name(self);
                let Some((key, waiting)) = self.blocked_behind(ended.delivery) else { return };
                Notice::LaneBlocked { endpoint, event, key, attempts: attempt, waiting, ruling, delay }
            }
            Then::Retry(Due { delay, .. }) => {
                let (endpoint, event) = name(self);
                Notice::Retrying { endpoint, event, attempt, ruling, delay }
            }
            Then::Exhausted => {
                let (endpoint, event) = name(self);
                let why = why.unwrap_or(Exhausted::Attempts { made: attempt });
                Notice::Exhausted { endpoint, event, attempts: attempt, ruling, why }
            }
            Then::Refused => {
                let (endpoint, event) = name(self);
                Notice::Refused { endpoint, event, ruling }
            }
            Then::Delivered | Then::Discarded | Then::Expired | Then::Lost | Then::Superseded => return,
        };
        self.tell(seq, notice);
    }

    /// Whether a schedule has no attempt behind the one that ended.
    fn is_beyond_schedule(&self, ended: Ended) -> bool {
        ended.number >= self.endpoints.slab[ended.endpoint].wire.config.schedule.attempts()
    }

    /// Takes a delivery out of whatever it waits in.
    pub(super) fn unqueue(&mut self, handle: u32) {
        let delivery = &self.deliveries[handle];
        if delivery.place == Place::Laned {
            self.lanes.unhold(&mut self.deliveries, handle);
            return;
        }
        let (endpoint, was_stalled) = (delivery.endpoint, delivery.place == Place::Stalled);
        let slot = &mut self.endpoints.slab[endpoint];
        slot.fetching -= u16::from(was_stalled);
        let mut none = List::new();
        let stalled = if was_stalled { self.jobs.slab[delivery.event].stalled_mut() } else { &mut none };
        self.deliveries.unqueue(handle, &mut slot.ready, stalled);
        if was_stalled {
            self.wake_endpoint(endpoint);
        }
    }

    /// Lets the payload of an event go from memory when there is too much and nobody is using it.
    pub(super) fn maybe_evict(&mut self, at: u32) {
        if self.jobs.resident <= self.limits.resident {
            return;
        }
        let durable = self.outbox.durable();
        let Some(job) = self.jobs.slab.get(at) else { return };
        // One that is being fanned out is needed again in a moment.
        let in_use = job.work().is_some_and(|work| work.in_flight > 0 || (work.is_in_ring() && work.through > 0));
        if !in_use && job.seq <= durable {
            self.jobs.send_away(at);
            self.jobs.rest(at);
        }
    }

    /// Lets the payload go that was used longest ago, if that was more than a minute ago and nobody is using it. Says
    /// whether it was so long ago.
    pub(super) fn evict_idlest(&mut self) -> bool {
        let Some((at, since)) = self.jobs.idlest() else { return false };
        let now = self.now.mono;
        if now.saturating_since(since) < limits::RESIDENT_FOR {
            return false;
        }
        let job = &self.jobs.slab[at];
        if job.in_flight() > 0 || job.seq > self.outbox.durable() {
            self.jobs.touch(at, now);
        } else {
            self.jobs.send_away(at);
            self.jobs.rest(at);
        }
        true
    }

    /// When to look for payloads that have not been used for long: a little later than one could go, so that those that
    /// go about then go together.
    pub(super) fn eviction_wake(&self) -> Option<Instant> {
        let (_, since) = self.jobs.idlest()?;
        Some(since.saturating_add(limits::RESIDENT_FOR + EVICT_TOGETHER))
    }
}
