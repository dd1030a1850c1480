//! What a restore finds events and deliveries by, until it is finished.

use alloc::vec::Vec;

use super::chains::{Chains, mix};
use super::deliveries::Deliveries;
use super::jobs::Jobs;
use crate::id::JournalSeq;
use crate::journal::Due;

/// Events by their places, deliveries by their events and subscriptions, and when these are due. Places and
/// subscription numbers are given by machines, so their hashes need no key.
#[derive(Debug, Default)]
pub(super) struct Pending {
    events: Chains,
    deliveries: Chains,
    /// By the number of the delivery.
    due: Vec<Due>,
}

const fn name(event: u32, subscription: u32) -> u64 {
    mix((event as u64) << 32 | subscription as u64)
}

impl Pending {
    pub(super) fn event(&self, jobs: &Jobs, seq: JournalSeq) -> Option<u32> {
        self.events.find(mix(seq.get()), |at| jobs.slab[at].seq == seq)
    }

    pub(super) fn add_event(&mut self, jobs: &Jobs, at: u32) {
        let hash = |at: u32| mix(jobs.slab[at].seq.get());
        self.events.insert(hash(at), at, hash);
    }

    pub(super) fn remove_event(&mut self, jobs: &Jobs, at: u32) {
        self.events.remove(mix(jobs.slab[at].seq.get()), at);
    }

    pub(super) fn delivery(&self, all: &Deliveries, event: u32, subscription: u32) -> Option<u32> {
        let is_it = |at: u32| (all[at].event, all[at].subscription) == (event, subscription);
        self.deliveries.find(name(event, subscription), is_it)
    }

    pub(super) fn add_delivery(&mut self, all: &Deliveries, at: u32) {
        let hash = |at: u32| name(all[at].event, all[at].subscription);
        self.deliveries.insert(hash(at), at, hash);
        self.set_due(at, Due::default());
    }

    pub(super) fn remove_delivery(&mut self, all: &Deliveries, at: u32) {
        self.deliveries.remove(name(all[at].event, all[at].subscription), at);
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
