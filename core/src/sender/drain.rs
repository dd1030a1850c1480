//! Effects, pulled: what a drain does, in which order, and how it ends.

use super::contract::{Output, PersistFailure, Wake};
use super::notice::Notice;
use super::persist::Failure;
use super::tables::{Chore, Gate};
use super::{Sender, Stage};
use crate::id::JournalSeq;
use crate::limits;
use crate::retry::Due;
use crate::time::Instant;

/// What one step of a drain came to.
pub(super) enum Step {
    Effect(Output),
    /// Something was done that shows later.
    Worked,
    Nothing,
}

impl Sender {
    /// The next effect. Call it until it says [`Output::Wait`]; any number of facts and commands may come in between.
    ///
    /// At most [`limits::DRAIN_BUDGET`] effects and inner steps, taken together, come between two waits.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if self.budget == 0 {
                self.budget = limits::DRAIN_BUDGET;
                if self.has_work() {
                    return self.wait(Wake::Ready);
                }
            }
            self.stats.steps += 1;
            match self.step() {
                Step::Effect(output) => {
                    self.budget -= 1;
                    return output;
                }
                Step::Worked => self.budget -= 1,
                Step::Nothing => {
                    #[cfg(postrider_planted)]
                    if crate::planted::breaks(8) {
                        self.stats.steps += self.endpoints.slab.iter().count() as u64;
                    }
                    self.budget = limits::DRAIN_BUDGET;
                    let wake = self.wake();
                    return self.wait(wake);
                }
            }
        }
    }

    /// One step, the most urgent first: time, then the log, then what frees resources, then what is told, then what
    /// starts.
    fn step(&mut self) -> Step {
        match self.phase {
            Stage::Running | Stage::Draining | Stage::Closing => {}
            Stage::Fencing => return self.step_fencing(),
            Stage::Closed | Stage::Fenced => return Step::Nothing,
        }
        if self.release_gates() || self.expire() {
            return Step::Worked;
        }
        if let Some(batch) = self.outbox.issue(self.mono(), self.phase == Stage::Closing) {
            return Step::Effect(Output::Persist(batch));
        }
        if let Some(attempt) = self.queues.aborts.pop_front() {
            return Step::Effect(Output::Abort(attempt));
        }
        if let Some(notice) = self.next_notice() {
            return Step::Effect(Output::Notice(notice));
        }
        if self.phase == Stage::Draining && self.attempts.len() == 0 && self.queues.chores.is_empty() {
            self.phase = Stage::Closing;
            return Step::Worked;
        }
        if self.phase == Stage::Closing {
            return self.step_closing();
        }
        if self.admit_from_crowd() {
            return Step::Worked;
        }
        match self.next_load() {
            Step::Nothing => {}
            found => return found,
        }
        // Chores and what can start take turns: discarding a million deliveries must not hold up the others.
        if self.has_chore() && !(self.queues.chored && self.has_more_to_send()) {
            self.queues.chored = true;
            let chore = self.queues.chores.pop_front();
            chore.into_iter().for_each(|chore| self.work_on(chore));
            return Step::Worked;
        }
        self.queues.chored = false;
        match self.next_transmit() {
            Step::Nothing => {}
            found => return found,
        }
        match self.step_snapshot() {
            Step::Nothing => {}
            found => return found,
        }
        // Lazy records have nothing to wait for any more: a process that dies must not forget what it has seen end.
        self.outbox.issue(self.mono(), true).map_or(Step::Nothing, |batch| Step::Effect(Output::Persist(batch)))
    }

    fn step_closing(&mut self) -> Step {
        if self.outbox.is_empty() && self.notices.queue.is_empty() && self.queues.aborts.is_empty() {
            self.phase = Stage::Closed;
            return Step::Worked;
        }
        Step::Nothing
    }

    fn step_fencing(&mut self) -> Step {
        if let Some(attempt) = self.queues.aborts.pop_front() {
            return Step::Effect(Output::Abort(attempt));
        }
        self.phase = Stage::Fenced;
        Step::Effect(Output::Notice(Notice::Fenced))
    }

    /// Whether another step would do something.
    fn has_work(&self) -> bool {
        match self.phase {
            Stage::Running | Stage::Draining | Stage::Closing => {}
            Stage::Fencing => return true,
            Stage::Closed | Stage::Fenced => return false,
        }
        let now = self.mono();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let durable = self.outbox.durable();
        let closing = self.phase == Stage::Closing;
        self.queues.gates.front().is_some_and(|(seq, _)| *seq <= durable)
            || due(self.attempts.wake())
            || due(self.endpoints.wake())
            || due(self.deliveries.wake())
            || due(self.loads.wake())
            || due(self.eviction_wake())
            || self.outbox.ready(now, true)
            || !self.queues.aborts.is_empty()
            || self.notices.queue.front().is_some_and(|(gate, _)| *gate <= durable)
            || (self.notices.queue.is_empty() && self.notices.folded > 0)
            || (self.phase == Stage::Draining && self.attempts.len() == 0 && self.queues.chores.is_empty())
            || (closing && self.outbox.is_empty() && self.notices.queue.is_empty())
            || (!closing
                && (self.has_chore()
                    || self.has_to_load()
                    || self.has_more_to_send()
                    || self.snapshots.is_ready(self.limits.snapshot_every)))
    }

    /// Whether there is a chore, and room for the records that it makes.
    fn has_chore(&self) -> bool {
        !self.queues.chores.is_empty() && !self.is_far_behind()
    }

    /// When to come back, after a step that found nothing to do.
    fn wake(&self) -> Wake {
        if matches!(self.phase, Stage::Closed | Stage::Fenced) {
            return Wake::Closed;
        }
        let timers = [self.attempts.wake(), self.endpoints.wake(), self.deliveries.wake(), self.loads.wake()];
        let timers = timers.into_iter().chain([self.eviction_wake()]);
        // What is due at the clock's very end, or beyond, never comes.
        let timers = timers.flatten().filter(|at| *at < Instant::LAST);
        match timers.min() {
            #[cfg(postrider_planted)]
            Some(_) if crate::planted::breaks(2) => Wake::At(self.now.mono),
            Some(at) => {
                assert!(at > self.now.mono, "a wake must lie ahead: {at:?} is not after {:?}", self.now.mono);
                Wake::At(at)
            }
            None => Wake::Input,
        }
    }

    fn wait(&mut self, wake: Wake) -> Output {
        self.stats.waits += 1;
        Output::Wait(wake)
    }

    /// Lets happen what waited for a record that is durable now; one at a time.
    fn release_gates(&mut self) -> bool {
        let durable = self.outbox.durable();
        #[cfg(postrider_planted)]
        let durable = if crate::planted::breaks(3) { self.outbox.last() } else { durable };
        let Some((seq, gate)) = self.queues.gates.front().copied().filter(|(seq, _)| *seq <= durable) else {
            return false;
        };
        self.queues.gates.pop_front();
        match gate {
            Gate::Event(job) => {
                if self.jobs.slab.get(job).is_some_and(|known| known.seq == seq) {
                    self.release_replay(job);
                    self.start_scan(job);
                    self.maybe_evict(job);
                }
            }
            Gate::Endpoint(at) => self.endpoint_durable(at, seq),
            Gate::Ask(at) => self.ask_durable(at, seq),
            Gate::Cancel(job, event) => {
                // Discards what waits when all is aborted.
                self.chore(Chore::AbortOf(job, event, 0));
            }
            Gate::Purge(tenant) => self.purge_durable(tenant),
        }
        true
    }

    fn endpoint_durable(&mut self, at: u32, seq: JournalSeq) {
        let Some(slot) = self.endpoints.slab.get(at).filter(|slot| slot.gate == seq) else { return };
        slot.wire.ring.publish(&slot.draft, &slot.wire.config.dialects);
        if slot.is_over() {
            // Discards what waits when all is aborted.
            self.chore(Chore::AbortTo(at, 0));
        }
        self.wake_endpoint(at);
    }

    /// Handles one timer whose time has come.
    fn expire(&mut self) -> bool {
        let now = self.mono();
        match self.attempts.poll_due(now) {
            Due::Entry(at) => {
                self.attempt_overdue(at);
                return true;
            }
            Due::Unfinished => return true,
            Due::Nothing => {}
        }
        match self.endpoints.poll_due(now) {
            Due::Entry(at) => {
                self.endpoint_due(at);
                return true;
            }
            Due::Unfinished => return true,
            Due::Nothing => {}
        }
        match self.deliveries.poll_due(now) {
            Due::Entry(handle) => {
                self.make_ready(handle);
                return true;
            }
            Due::Unfinished => return true,
            Due::Nothing => {}
        }
        self.retry_load() || self.evict_idlest()
    }

    fn next_notice(&mut self) -> Option<Notice> {
        let durable = self.outbox.durable();
        match self.notices.queue.front() {
            Some((gate, _)) if *gate <= durable => self.notices.queue.pop_front().map(|(_, notice)| notice),
            Some(_) => None,
            None if self.notices.folded > 0 => Some(Notice::Folded(core::mem::take(&mut self.notices.folded))),
            None => None,
        }
    }

    pub(super) fn persist_failed(&mut self, from: JournalSeq, why: PersistFailure) {
        match self.outbox.fail(from, why) {
            Failure::Again => self.tell(JournalSeq::ZERO, Notice::JournalBroken { from }),
            Failure::WaitForRoom => self.tell(JournalSeq::ZERO, Notice::JournalFull),
            Failure::Stale => self.stats.stale += 1,
            Failure::Fence => {
                // Closing has aborted everything already.
                if self.phase != Stage::Closing {
                    self.abort_everything();
                }
                self.phase = Stage::Fencing;
            }
        }
    }

    /// Queues an abort of everything that the adapter still carries.
    pub(super) fn abort_everything(&mut self) {
        let flying = self.attempts.iter().filter(|(_, attempt)| attempt.stage == super::tables::Stage::Flying);
        let ids = flying.map(|(at, _)| self.attempts.id(at, self.incarnation));
        self.queues.aborts.extend(ids);
    }
}
