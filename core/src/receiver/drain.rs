//! Effects, pulled: what a drain does, in which order, and how it ends.

use super::config::Acknowledge;
use super::contract::RecvOutput;
use super::notice::RecvNotice;
use super::response::Response;
use super::{Life, Receiver};
use crate::limits;
use crate::wake::Wake;

impl Receiver {
    /// The next effect. Call it until it says [`RecvOutput::Wait`]; any number of facts and commands may come in
    /// between.
    ///
    /// At most [`limits::DRAIN_BUDGET`] effects and inner steps, taken together, come between two waits.
    pub fn poll_output(&mut self) -> RecvOutput {
        loop {
            if self.budget == 0 {
                self.budget = limits::DRAIN_BUDGET;
                if self.has_work() {
                    return self.wait(Wake::Ready);
                }
            }
            if self.work() {
                self.budget -= 1;
            } else if let Some(output) = self.effect() {
                self.budget -= 1;
                return output;
            } else {
                self.budget = limits::DRAIN_BUDGET;
                let wake = self.wake();
                return self.wait(wake);
            }
        }
    }

    /// One step that shows later: a delivery whose time is over or whose turn it is, or the end.
    fn work(&mut self) -> bool {
        if self.expire() || self.step_lines() {
            return true;
        }
        let finished = self.is_finished();
        if finished {
            self.life = Life::Closed;
        }
        finished
    }

    /// The most urgent effect: what frees connections, then what is told, then what starts.
    fn effect(&mut self) -> Option<RecvOutput> {
        if let Some((exchange, reason, signer)) = self.exchanges.next_answer() {
            return Some(RecvOutput::Respond(Response { exchange, reason, success: self.config.success, signer }));
        }
        if let Some(notice) = self.next_notice() {
            return Some(RecvOutput::Notice(notice));
        }
        if let Some(wish) = self.progress.wish() {
            return Some(wish);
        }
        if self.can_deliver() {
            return self.next_ready().map(match self.config.acknowledge {
                Acknowledge::Processed => RecvOutput::Deliver,
                Acknowledge::Stored => RecvOutput::Store,
            });
        }
        let exchange = self.exchanges.next_read()?;
        Some(RecvOutput::ReadBody { exchange, cap: self.config.limits.body })
    }

    /// Whether another step would do something.
    fn has_work(&self) -> bool {
        self.claims.wake().is_some_and(|at| at <= self.now.mono)
            || self.exchanges.has_answer()
            || !self.notices.is_empty()
            || self.lines_stir()
            || self.progress.has_wish()
            || self.can_deliver()
            || self.exchanges.has_read()
            || self.is_finished()
    }

    /// When to come back, after a step that found nothing to do.
    fn wake(&self) -> Wake {
        let wake = self.claims.wake().into_iter().chain(self.progress.wake()).min();
        match (self.life, wake) {
            (Life::Closed, _) => Wake::Closed,
            (Life::Running | Life::Closing, None) => Wake::Input,
            (Life::Running | Life::Closing, Some(at)) => {
                assert!(at > self.now.mono, "a wake must lie ahead: {at:?} is not after {:?}", self.now.mono);
                Wake::At(at)
            }
        }
    }

    fn wait(&mut self, wake: Wake) -> RecvOutput {
        self.stats.waits += 1;
        RecvOutput::Wait(wake)
    }

    /// Whether a delivery waits that the application can take.
    fn can_deliver(&self) -> bool {
        self.progress.is_ready() && self.with_application() < self.credit as usize
    }

    /// Whether it was told to close and owes nothing more.
    fn is_finished(&self) -> bool {
        let owes_nothing = self.exchanges.is_empty()
            && self.claims.in_progress() == 0
            && self.notices.is_empty()
            && !self.progress.owes_the_store();
        self.life == Life::Closing && owes_nothing
    }

    fn next_notice(&mut self) -> Option<RecvNotice> {
        self.notices.queue.pop_front().or_else(|| {
            let folded = core::mem::take(&mut self.notices.folded);
            (folded > 0).then_some(RecvNotice::Folded(folded))
        })
    }
}
