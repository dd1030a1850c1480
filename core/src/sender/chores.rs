//! Commands that touch many deliveries leave a chore behind, which later drains work off piece by piece.

use super::Sender;
use super::deliveries::Place;
use super::tables::{Chore, Slot, Stage};
use crate::id::JournalSeq;
use crate::journal::Then;

/// Entries that one step of a chore looks at, at most.
pub(super) const PIECE: u32 = 32;

impl Sender {
    /// Works on a chore for a while; what remains goes to the end of the queue.
    pub(super) fn work_on(&mut self, chore: Chore) {
        match chore {
            Chore::Discard(at) => self.discard_of_endpoint(at),
            Chore::AbortTo(at, from) => {
                // It may have been resumed, or have gone and given its place to another, whose own end may not be
                // durable yet.
                let durable = self.outbox.durable();
                let over = |slot: &Slot| slot.is_over() && slot.gate <= durable;
                if !self.endpoints.slab.get(at).is_some_and(over) {
                    return;
                }
                let next = self.abort_some(from, |attempt| attempt.endpoint == at);
                match next {
                    Some(next) => self.chore(Chore::AbortTo(at, next)),
                    None => self.discard_soon(at),
                }
            }
            Chore::AbortOf(job, seq, from) => {
                let next = self.abort_some(from, |attempt| attempt.event == job && attempt.seq == seq);
                self.chore(next.map_or(Chore::Cancel(job, seq), |next| Chore::AbortOf(job, seq, next)));
            }
            Chore::Cancel(job, seq) => self.discard_of_event(job, seq),
            Chore::Purge(tenant, seq, from) => self.purge_some(tenant, seq, from),
            Chore::Supersede(endpoint, lane) => self.supersede_some(endpoint, lane),
            Chore::Unstall(job, seq) => self.unstall(job, seq),
            Chore::Lose(job, seq) => self.lose(job, seq),
        }
    }

    /// Leaves a chore to discard what waits for an endpoint, if there is none already.
    pub(super) fn discard_soon(&mut self, at: u32) {
        if !core::mem::replace(&mut self.endpoints.slab[at].discard_queued, true) {
            self.chore(Chore::Discard(at));
        }
    }

    /// Discards what waits for an endpoint that is over, or whose hold has ended.
    fn discard_of_endpoint(&mut self, at: u32) {
        if let Some(slot) = self.endpoints.slab.get_mut(at) {
            slot.discard_queued = false;
        }
        for _ in 0..PIECE {
            let Some(slot) = self.endpoints.slab.get(at) else { return };
            // One whose retry is in flight stands in the list too; the chore comes back when that has landed.
            let first = slot.deliveries.front().filter(|_| slot.is_discarding());
            let Some(handle) = first.filter(|handle| self.deliveries[*handle].place != Place::InFlight) else {
                self.maybe_free(at);
                return;
            };
            self.discard(handle);
        }
        self.discard_soon(at);
    }

    pub(super) fn discard_of_event(&mut self, at: u32, seq: JournalSeq) {
        for _ in 0..PIECE {
            let Some(job) = self.jobs.slab.get(at).filter(|job| job.seq == seq) else { return };
            let Some(handle) = job.deliveries.front() else {
                self.maybe_settle(at);
                return;
            };
            debug_assert_ne!(self.deliveries[handle].place, Place::InFlight, "everything in flight is aborted first");
            self.discard(handle);
        }
        self.chore(Chore::Cancel(at, seq));
    }

    fn discard(&mut self, handle: u32) {
        let delivery = &self.deliveries[handle];
        let (event, endpoint, subscription) = (delivery.event, delivery.endpoint, delivery.subscription);
        self.unqueue(handle);
        self.end_unsent(event, endpoint, subscription, Some(handle), Then::Discarded);
    }

    /// Aborts attempts from a place in their table on; gives the place to go on at.
    fn abort_some(&mut self, from: u32, which: impl Fn(&super::tables::Attempt) -> bool) -> Option<u32> {
        let end = self.attempts.end_of_table();
        let to = end.min(from.saturating_add(PIECE));
        for at in from..to {
            let found = self.attempts.get(at).is_some_and(|attempt| attempt.stage == Stage::Flying && which(attempt));
            if found {
                self.abort(at);
            }
        }
        (to < end).then_some(to)
    }

    /// Lets the deliveries of an event go on that waited for its payload.
    fn unstall(&mut self, at: u32, seq: JournalSeq) {
        for _ in 0..PIECE {
            let Some(job) = self.jobs.slab.get_mut(at).filter(|job| job.seq == seq) else { return };
            let Some(handle) = self.deliveries.pop_front(job.stalled_mut()) else {
                self.scan_next(at);
                return;
            };
            self.make_ready_first(handle);
        }
        self.chore(Chore::Unstall(at, seq));
    }
}
