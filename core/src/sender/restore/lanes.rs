//! Lanes from their records.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::Fold;
use crate::id::{EndpointKey, JournalSeq};
use crate::journal::Laned;
use crate::limits;

/// What the records tell of lanes, until everything is known.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Ordering keys of events.
    keys: BTreeMap<u32, Arc<str>>,
    /// Where deliveries stand, by their numbers.
    laned: BTreeMap<u32, Laned>,
    /// The last event that came into each, by endpoint and key.
    last: BTreeMap<(u32, Arc<str>), JournalSeq>,
}

impl Lanes {
    /// An event has an ordering key.
    pub(super) fn keyed(&mut self, job: u32, key: Option<&Arc<str>>) {
        if let Some(key) = key {
            self.keys.insert(job, key.clone());
        }
    }

    /// The key of an event, which is not asked for again.
    pub(super) fn take_key(&mut self, job: u32) -> Option<Arc<str>> {
        self.keys.remove(&job)
    }

    /// Where a delivery of an event stands that came in behind `previous`.
    pub(super) fn behind(&self, job: u32, previous: JournalSeq) -> Option<Laned> {
        Some(Laned { key: self.keys.get(&job)?.clone(), previous })
    }

    /// An event came into a lane.
    pub(super) fn came(&mut self, endpoint: u32, key: &Arc<str>, event: JournalSeq) {
        let last = self.last.entry((endpoint, key.clone())).or_default();
        *last = event.max(*last);
    }

    /// A delivery stands in a lane.
    pub(super) fn stands(&mut self, delivery: u32, lane: Laned) {
        self.laned.insert(delivery, lane);
    }

    /// A delivery is no more; gives where it stood.
    pub(super) fn forget(&mut self, delivery: u32) -> Option<Laned> {
        self.laned.remove(&delivery)
    }

    /// Whether a delivery stands in a lane.
    pub(super) fn has(&self, delivery: u32) -> bool {
        self.laned.contains_key(&delivery)
    }
}

impl Fold {
    /// A snapshot tells how far a lane has come.
    pub(super) fn lane(&mut self, endpoint: &EndpointKey, key: &Arc<str>, last: JournalSeq) {
        if let Some(at) = self.sender.endpoints.by_key.get(endpoint).copied() {
            self.lanes.came(at, key, last);
        }
    }

    /// Makes the lanes, and lets what stands in them wait there in the order of acceptance, each for the rest of its time.
    pub(super) fn resume_lanes(&mut self, rest: impl Fn(&Self, u32) -> Duration) {
        let Lanes { laned, last, .. } = core::mem::take(&mut self.lanes);
        let mut lanes: Vec<_> = last.into_iter().collect();
        lanes.sort_by_key(|(_, last)| *last);
        for ((endpoint, key), last) in lanes {
            let Some(slot) = self.sender.endpoints.slab.get(endpoint) else { continue };
            let (born, lanes) = (slot.born, &mut self.sender.lanes);
            let lane = lanes.open(endpoint, born, &key, limits::LANES);
            lanes.slab[lane].last = last;
        }
        let seq = |handle: u32| self.sender.jobs.slab[self.sender.deliveries[handle].event].seq;
        let mut laned: Vec<_> = laned.into_iter().map(|(handle, lane)| (seq(handle), handle, lane)).collect();
        laned.sort_by_key(|(seq, handle, _)| (*seq, *handle));
        #[cfg(postrider_planted)]
        if crate::planted::breaks(53) {
            laned.reverse();
        }
        for (_, handle, Laned { key, previous }) in laned {
            let rest = rest(self, handle);
            let sender = &mut self.sender;
            let endpoint = sender.deliveries[handle].endpoint;
            let lane = sender.lanes.open(endpoint, sender.endpoints.slab[endpoint].born, &key, usize::MAX);
            sender.enter_lane(handle, lane, previous);
            sender.wait_for_turn(handle, rest);
        }
    }
}
