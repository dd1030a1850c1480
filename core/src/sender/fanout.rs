//! From an event to its attempts: one cursor for each event, and a ring of endpoints with something that waits.

use core::time::Duration;

use super::Sender;
use super::contract::Output;
use super::deliveries::Place;
use super::drain::Step;
use super::jobs::Body;
use super::signed::Signed;
use super::tables::{Chore, Flight};
use super::transmit::{Purposed, Transmit};
use crate::id::JournalSeq;
use crate::journal::{Mark, Record, Then};
use crate::limits;
use crate::retry::Next;

/// Subscriptions passed over in one step without an attempt, at most.
const PASSED_AT_ONCE: u32 = 32;

/// Turns of first attempts in a row that may come to none while a retry waits.
const IDLE: u8 = 16;

impl Sender {
    /// Whether anything could start, if it is looked for.
    pub(super) fn has_more_to_send(&self) -> bool {
        // Attempts are named by the incarnation, which the next one must not take again.
        self.phase == super::Stage::Running
            && self.opened <= self.outbox.durable()
            && self.has_slot()
            && !self.is_far_behind()
            && (!self.queues.asks.is_empty()
                || self.queues.fresh.is_ready()
                || self.queues.again.is_ready()
                || ((self.queues.scan.is_ready() || self.has_asleep()) && self.has_place()))
    }

    fn has_slot(&self) -> bool {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(4) {
            return self.attempts.len() <= self.credit as usize;
        }
        self.attempts.len() < self.credit as usize
    }

    /// Whether one more delivery may wait.
    fn has_place(&self) -> bool {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(7) {
            return true;
        }
        self.deliveries.len() + self.attempts.len() < self.limits.pending
    }

    /// The next attempt. First attempts and retries share by a budget, so that retries take no more than their part of
    /// what there is to be had, and neither starves the other. Of first attempts, those that wait and those that are fanned
    /// out take turns; within all of them tenants do, and of a tenant its events or endpoints.
    pub(super) fn next_transmit(&mut self) -> Step {
        if !self.has_more_to_send() {
            return Step::Nothing;
        }
        match self.next_ask() {
            Step::Nothing => {}
            found => return found,
        }
        let scan = (self.queues.scan.is_ready() || self.has_asleep()) && self.has_place();
        let (fresh, again) = (self.queues.fresh.is_ready(), self.queues.again.is_ready());
        // Turns that come to no attempt earn no retry; but retries do not wait for many of them.
        let choice = match self.queues.budget.choice(scan || fresh, again) {
            Some(Next::Fresh) if again && self.queues.idle >= IDLE => Some(Next::Retry),
            choice => choice,
        };
        match choice {
            Some(Next::Fresh) => {
                let step = self.next_fresh(scan, fresh);
                self.queues.idle = if again && matches!(step, Step::Worked) { self.queues.idle + 1 } else { 0 };
                step
            }
            Some(Next::Retry) => {
                self.queues.idle = 0;
                let next = self.queues.again.next(&mut self.tenants, &mut self.endpoints.slab);
                next.map_or(Step::Worked, |at| self.take_turn(at, Next::Retry))
            }
            None => Step::Nothing,
        }
    }

    /// A turn of first attempts, given where there are some.
    fn next_fresh(&mut self, scan: bool, fresh: bool) -> Step {
        self.queues.turn = !self.queues.turn;
        if scan && (!self.queues.turn || !fresh) {
            self.wake_asleep();
            if let Some(job) = self.queues.scan.next(&mut self.tenants, &mut self.jobs.slab) {
                return self.fan_out(job);
            }
        }
        let next = self.queues.fresh.next(&mut self.tenants, &mut self.endpoints.slab);
        next.map_or(Step::Worked, |at| self.take_turn(at, Next::Fresh))
    }

    /// Puts an event into the ring of fan-outs, when it has subscriptions to pass.
    pub(super) fn start_scan(&mut self, job: u32) {
        if !self.jobs.slab[job].has_passed_all() && self.jobs.may_pass(job) {
            self.queues.scan.join(&mut self.tenants, &mut self.jobs.slab, job);
        }
        self.maybe_settle(job);
    }

    /// The same, before the others: its payload was read for this and must not wait in memory.
    pub(super) fn scan_next(&mut self, job: u32) {
        if !self.jobs.slab[job].has_passed_all() && self.jobs.may_pass(job) {
            self.leave_scan(job);
            self.queues.scan.join_first(&mut self.tenants, &mut self.jobs.slab, job);
        }
        self.maybe_settle(job);
    }

    /// Passes subscriptions of an event until one gives an attempt.
    fn fan_out(&mut self, at: u32) -> Step {
        if self.is_void(at) {
            // A purge has not come to it yet.
            return Step::Worked;
        }
        for _ in 0..PASSED_AT_ONCE {
            if !self.has_place() {
                break;
            }
            if let Some(step) = self.ask_filters(at) {
                return step;
            }
            let job = &mut self.jobs.slab[at];
            // A payload is only asked for when there is somebody to send it to, so without one look before passing.
            let (here, tenant) = (job.body == Body::Here, &self.tenants[job.tenant]);
            let work = job.work_mut();
            let Some(mut cursor) = (if here { work.cursor.take() } else { work.cursor.clone() }) else { break };
            let Some(number) = work.next(&tenant.index, &mut cursor) else {
                return self.fanned_out(at);
            };
            if work.skip.binary_search(&number).is_ok() {
                work.cursor = Some(cursor);
                work.through = number;
                continue;
            }
            let high_water = work.high_water;
            let seen = self.subscriptions.get(&number).copied().filter(|endpoint| {
                let slot = &self.endpoints.slab[*endpoint];
                !slot.is_over() && slot.is_seen(number, high_water)
            });
            let Some(endpoint) = seen else {
                self.pass(at, cursor, number);
                self.mark_now_and_then(at);
                continue;
            };
            let ends = match &self.endpoints.slab[endpoint] {
                slot if slot.is_discarding() => Some(Then::Discarded),
                _ => self.jobs.slab[at].is_lost().then_some(Then::Lost),
            };
            if let Some(then) = ends {
                self.pass(at, cursor, number);
                self.end_unsent(at, endpoint, number, None, then);
                self.mark_now_and_then(at);
                continue;
            }
            let lane = self.lane_for(at, endpoint);
            let slot = &self.endpoints.slab[endpoint];
            let free = !slot.waits_first && slot.ready.is_empty();
            if lane.is_none() && free && slot.can_start(self.outbox.durable()) && self.has_host(slot) {
                if !here {
                    return self.fetch_for_scan(at);
                }
                self.pass(at, cursor, number);
                let step = self.start(at, endpoint, number, None, 1);
                self.mark_now_and_then(at);
                self.start_scan(at);
                return step;
            }
            self.pass(at, cursor, number);
            #[cfg(postrider_planted)]
            if crate::planted::breaks(1) {
                continue;
            }
            self.queue(at, endpoint, number, lane);
            self.mark_now_and_then(at);
        }
        self.start_scan(at);
        Step::Worked
    }

    /// Moves the cursor past a subscription.
    fn pass(&mut self, at: u32, cursor: crate::matching::Cursor, number: u32) {
        let work = self.jobs.slab[at].work_mut();
        work.cursor = Some(cursor);
        work.through = number;
        work.unmarked += 1;
    }

    /// Notes in the journal how far the fan-out of an event has come, every so often. Whoever was passed last must have
    /// been started or queued before: a mark says of everybody passed and not named that they are done.
    fn mark_now_and_then(&mut self, at: u32) {
        let job = &mut self.jobs.slab[at];
        let event = job.seq;
        let work = job.work_mut();
        if work.unmarked >= limits::MARK_EVERY {
            work.unmarked = 0;
            let (through, open) = (work.through, self.open_of(at));
            self.record(&Record::Mark(Mark { event, through, open }));
        }
    }

    /// Subscriptions of an event whose first attempt is in flight.
    pub(super) fn open_of(&self, at: u32) -> alloc::vec::Vec<u32> {
        let seq = self.jobs.slab[at].seq;
        let open = self.attempts.iter().filter(|(_, attempt)| {
            attempt.seq == seq && attempt.delivery.is_none() && attempt.stage == super::tables::Stage::Flying
        });
        open.map(|(_, attempt)| attempt.subscription).collect()
    }

    /// An event has passed all its subscriptions.
    fn fanned_out(&mut self, at: u32) -> Step {
        let next = self.jobs.finish(at);
        self.thread_on(next);
        self.purge_retired();
        self.maybe_settle(at);
        self.maybe_evict(at);
        self.jobs.rest(at);
        Step::Worked
    }

    /// Lets a delivery wait: for its endpoint, which cannot take it now; in its lane, `lane`, behind the event named with
    /// it; and for the delay before its first attempt, counted from now: while a machine runs that is when its event was
    /// accepted, or as soon after as there was a place for the delivery.
    fn queue(&mut self, at: u32, endpoint: u32, subscription: u32, lane: Option<(u32, JournalSeq)>) {
        let event = self.jobs.slab[at].seq;
        self.record(&Record::Queued { event, subscription, lane: lane.map(|(_, previous)| previous) });
        let handle = self.apply_waiting(at, endpoint, subscription, 0);
        if let Some((lane, previous)) = lane {
            self.enter_lane(handle, lane, previous);
        }
        let waits_first = self.endpoints.slab[endpoint].waits_first;
        let rest = if waits_first { self.first_delay(at, endpoint) } else { Duration::ZERO };
        self.wait_for_turn(handle, rest);
        if let Some((lane, _)) = lane {
            self.coalesce(lane, event);
        }
    }

    /// Makes the entry of a delivery that waits; the same when it happens and when it is read back.
    pub(super) fn apply_waiting(&mut self, at: u32, endpoint: u32, subscription: u32, attempts: u16) -> u32 {
        let job = &mut self.jobs.slab[at].deliveries;
        let slot = &mut self.endpoints.slab[endpoint].deliveries;
        self.deliveries.insert((at, job), (endpoint, slot), subscription, attempts)
    }

    /// A delivery waits for nothing any more but its endpoint, and those before it in its lane.
    pub(super) fn make_ready(&mut self, handle: u32) {
        if self.is_held_in_lane(handle) {
            return;
        }
        let endpoint = self.deliveries[handle].endpoint;
        self.deliveries.push_back(&mut self.endpoints.slab[endpoint].ready, handle, Place::Ready);
        self.wake_endpoint(endpoint);
    }

    /// Lets an endpoint take its turns, when it can start something: a first attempt or a retry, whichever has waited
    /// longest.
    pub(super) fn wake_endpoint(&mut self, at: u32) {
        let durable = self.outbox.durable();
        let slot = &self.endpoints.slab[at];
        let Some(first) = slot.ready.front().filter(|_| slot.turn.is_nowhere() && slot.can_start(durable)) else {
            return;
        };
        if let Some(host) = slot.host.filter(|_| !self.has_host(slot)) {
            self.hosts.wait(host, &mut self.endpoints.slab, at);
        } else if self.deliveries[first].attempts == 0 {
            self.queues.fresh.join(&mut self.tenants, &mut self.endpoints.slab, at);
        } else {
            self.queues.again.join(&mut self.tenants, &mut self.endpoints.slab, at);
        }
    }

    /// An endpoint has its turn to start a first attempt or a retry.
    fn take_turn(&mut self, at: u32, next: Next) -> Step {
        let slot = &self.endpoints.slab[at];
        let first = slot.ready.front().map(|handle| self.deliveries[handle].attempts == 0);
        let host = slot.host;
        if first.is_some_and(|first| first != (next == Next::Fresh)) {
            // Another delivery has come before the one that it stood here for.
            self.wake_endpoint(at);
            return Step::Worked;
        }
        let step = self.start_waiting(at);
        if let (Some(host), Step::Worked | Step::Nothing) = (host, &step) {
            self.wake_for_host(host);
        }
        step
    }

    /// Starts the first delivery that waits for an endpoint.
    fn start_waiting(&mut self, at: u32) -> Step {
        let durable = self.outbox.durable();
        let slot = &self.endpoints.slab[at];
        if !slot.can_start(durable) || !self.has_host(slot) {
            self.wake_endpoint(at);
            let slot = &self.endpoints.slab[at];
            let first = slot.ready.front().map(|handle| self.deliveries[handle].event);
            first.into_iter().for_each(|event| self.maybe_evict(event));
            return Step::Worked;
        }
        let Some(handle) = self.deliveries.pop_front(&mut self.endpoints.slab[at].ready) else { return Step::Worked };
        let delivery = &self.deliveries[handle];
        let (event, subscription, number) =
            (delivery.event, delivery.subscription, delivery.attempts.saturating_add(1));
        let job = &self.jobs.slab[event];
        // A cancelled event's deliveries are discarded by a chore, which others need not wait for.
        let ends = if self.is_void(event) { Some(Then::Discarded) } else { job.is_lost().then_some(Then::Lost) };
        if let Some(then) = ends {
            self.end_unsent(event, at, subscription, Some(handle), then);
            self.wake_endpoint(at);
            return Step::Worked;
        }
        if let Some(why) = self.outlived(event, at).or_else(|| self.overstayed(handle)) {
            self.end_expired(event, at, subscription, Some(handle), why);
            self.wake_endpoint(at);
            return Step::Worked;
        }
        if job.body != Body::Here {
            return self.fetch_for_delivery(event, handle);
        }
        self.deliveries.fly(handle);
        let step = self.start(event, at, subscription, Some(handle), number);
        self.wake_endpoint(at);
        step
    }

    /// Starts an attempt. The caller has seen that the endpoint can take it and that the payload is in memory.
    fn start(&mut self, at: u32, endpoint: u32, subscription: u32, delivery: Option<u32>, number: u16) -> Step {
        if let Some(why) = self.outlived(at, endpoint) {
            if let Some(handle) = delivery {
                self.unqueue(handle);
            }
            self.end_expired(at, endpoint, subscription, delivery, why);
            return Step::Worked;
        }
        let Some(event) = self.jobs.slab[at].prepared().cloned() else {
            // Nothing is sent without its payload; the delivery comes back when it is there.
            return delivery.map_or(Step::Worked, |handle| self.fetch_for_delivery(at, handle));
        };
        self.jobs.touch(at, self.now.mono);
        let job = &mut self.jobs.slab[at];
        job.work_mut().in_flight += 1;
        let seq = job.seq;
        let slot = &mut self.endpoints.slab[endpoint];
        slot.in_flight += 1;
        let wire = slot.wire.clone();
        let host = slot.host;
        let is_probe = !slot.breaker.is_closed();
        if is_probe {
            slot.breaker.start_probe();
        }
        let has_rate = slot.rate.is_some();
        if has_rate {
            self.take_from_rate(endpoint);
        }
        self.burden(endpoint);
        self.queues.budget.record(if number > 1 { Next::Retry } else { Next::Fresh });
        let started = self.now;
        let deadline = started.mono.saturating_add(wire.config.timeout);
        let signed = Signed::default();
        let (lane, tag) = self.fly_in_lane(at, endpoint, delivery).unzip();
        let signed_too = signed.clone();
        let flight = Flight {
            event: at,
            seq,
            endpoint,
            subscription,
            delivery,
            number,
            lane,
            is_probe,
            host,
            signed: signed_too,
        };
        let ends = deadline.saturating_add(limits::OVERDUE_GRACE);
        let attempt = self.attempts.begin(self.incarnation, flight, started.mono, ends);
        self.stats.attempts += 1;
        Step::Effect(Output::Transmit(Transmit {
            attempt,
            number,
            started,
            deadline,
            wire,
            event,
            tag,
            signed,
            purpose: Purposed::Delivery,
        }))
    }

    /// Ends an event when all its deliveries have ended.
    pub(super) fn maybe_settle(&mut self, at: u32) {
        let job = &self.jobs.slab[at];
        if !job.is_done() || job.seq > self.outbox.durable() {
            return;
        }
        let (event, tenant) = (job.seq, job.tenant);
        let ended = self.record(&Record::Ended { event, at: self.now.wall });
        let report = self.last_report_of(at);
        let notice = super::Notice::Settled { tenant: self.tenants[tenant].id.clone(), event: report.event.clone() };
        self.tenants.retain_known(tenant);
        if let Some(tenant) = self.shelf.put(tenant, ended, report, self.limits.reports) {
            self.tenants.release(tenant);
        }
        self.tell(ended, notice);
        self.apply_ended(at);
    }

    /// Forgets an event; the same when it happens and when it is read back.
    pub(super) fn apply_ended(&mut self, at: u32) {
        self.leave_scan(at);
        match self.jobs.slab[at].body {
            Body::Later => self.forget_later(at),
            Body::Here | Body::Away | Body::Coming | Body::Asleep => {}
        }
        self.event_ended(at);
        let job = self.jobs.remove(at);
        self.tenants.release(job.tenant);
    }

    /// Takes an event out of whatever its fan-out waits in.
    fn leave_scan(&mut self, at: u32) {
        self.queues.scan_crowd.leave(&mut self.jobs.slab, at);
        self.queues.scan.leave(&mut self.tenants, &mut self.jobs.slab, at);
    }

    pub(super) fn retry_load(&mut self) -> bool {
        let Some((job, seq)) = self.loads.retry(self.now.mono) else { return false };
        self.jobs.slab[job].body = Body::Away;
        self.chore(Chore::Unstall(job, seq));
        true
    }
}
