//! What a restore finds events and deliveries by, until it is finished.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::deliveries::Deliveries;
use super::jobs::Jobs;
use crate::id::JournalSeq;
use crate::journal::Due;
use crate::table::{Chains, mix};

/// Events with at most so many deliveries are searched one by one; their entries lie side by side.
const FEW: usize = 2;

/// Events by their places, deliveries by their events and subscriptions, and when these are due. Places and
/// subscription numbers are given by machines, so their hashes need no key.
#[derive(Debug, Default)]
pub(super) struct Pending {
    events: Chains,
    /// None behind this place has come.
    last: JournalSeq,
    /// Those of events in `many`.
    deliveries: Chains,
    /// Events that have had more than a few deliveries.
    many: BTreeSet<u32>,
    /// By the number of the delivery.
    due: Vec<Due>,
}

const fn name(event: u32, subscription: u32) -> u64 {
    mix((event as u64) << 32 | subscription as u64)
}

/// The hash of a place: neighbours stay near each other, because they are read one after the other, and regular gaps
/// between them leave no buckets empty.
const fn place(seq: JournalSeq) -> u64 {
    let seq = seq.get();
    seq.wrapping_add(seq >> 4).wrapping_add(seq >> 8).wrapping_add(seq >> 12).wrapping_add(seq >> 16)
}

impl Pending {
    pub(super) fn event(&self, jobs: &Jobs, seq: JournalSeq) -> Option<u32> {
        if seq > self.last {
            return None;
        }
        self.events.find(place(seq), |at| jobs.slab[at].seq == seq)
    }

    pub(super) fn add_event(&mut self, jobs: &Jobs, at: u32) {
        let hash = |at: u32| place(jobs.slab[at].seq);
        self.last = self.last.max(jobs.slab[at].seq);
        self.events.insert(hash(at), at, hash);
    }

    /// Forgets an event that has no deliveries any more.
    pub(super) fn remove_event(&mut self, jobs: &Jobs, at: u32) {
        self.events.remove(place(jobs.slab[at].seq), at);
        self.many.remove(&at);
    }

    pub(super) fn delivery(&self, jobs: &Jobs, all: &Deliveries, event: u32, subscription: u32) -> Option<u32> {
        let is_it = |at: u32| (all[at].event, all[at].subscription) == (event, subscription);
        if self.many.contains(&event) {
            return self.deliveries.find(name(event, subscription), is_it);
        }
        of_event(jobs, all, event).find(|at| is_it(*at))
    }

    /// Takes note of a delivery that is in its event's list.
    pub(super) fn add_delivery(&mut self, jobs: &Jobs, all: &Deliveries, at: u32) {
        let event = all[at].event;
        let hash = |at: u32| name(all[at].event, all[at].subscription);
        if self.many.contains(&event) {
            self.deliveries.insert(hash(at), at, hash);
        } else if jobs.slab[event].deliveries.len() > FEW {
            self.many.insert(event);
            of_event(jobs, all, event).for_each(|at| self.deliveries.insert(hash(at), at, hash));
        }
        self.set_due(at, Due::default());
    }

    pub(super) fn remove_delivery(&mut self, all: &Deliveries, at: u32) {
        if self.many.contains(&all[at].event) {
            self.deliveries.remove(name(all[at].event, all[at].subscription), at);
        }
    }

    pub(super) fn due(&self, at: u32) -> Due {
        self.due.get(at as usize).copied().unwrap_or_default()
    }

    pub(super) fn set_due(&mut self, at: u32, due: Due) {
        let place = at as usize;
        if place >= self.due.len() {
            self.due.resize(place + 1, Due::default());
        }
        self.due[place] = due;
    }
}

fn of_event(jobs: &Jobs, all: &Deliveries, event: u32) -> impl Iterator<Item = u32> {
    let list = &jobs.slab[event].deliveries;
    core::iter::successors(list.front(), move |at| all.next_of_event(list, *at))
}
