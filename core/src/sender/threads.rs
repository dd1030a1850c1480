//! Events under one ordering key whose fan-outs are not finished: they go one after the other, in the order in which they
//! were accepted, so that every lane gets them in this order. Only kept for tenants of which an endpoint has lanes.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::Sender;
use super::asleep::Sleeper;
use super::jobs::Body;
use crate::id::JournalSeq;

/// Ordering keys of events whose fan-outs are not finished.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    keys: BTreeMap<u32, Arc<str>>,
    /// By tenant, key and place.
    order: BTreeMap<(u32, Arc<str>, JournalSeq), u32>,
}

impl Threads {
    /// Lets the fan-out of an event wait for those of earlier ones under the same key.
    pub(crate) fn add(&mut self, job: u32, tenant: u32, seq: JournalSeq, key: &Arc<str>) {
        self.keys.insert(job, key.clone());
        self.order.insert((tenant, key.clone(), seq), job);
    }

    /// The key of an event.
    pub(crate) fn key(&self, job: u32) -> Option<&Arc<str>> {
        self.keys.get(&job)
    }

    /// Whether the fan-out of an event need not wait for another's.
    pub(crate) fn is_first(&self, job: u32, tenant: u32) -> bool {
        let Some(key) = self.keys.get(&job) else { return true };
        self.first(tenant, key) == Some(job)
    }

    fn first(&self, tenant: u32, key: &Arc<str>) -> Option<u32> {
        let from = (tenant, key.clone(), JournalSeq::ZERO);
        let ((of, with, _), job) = self.order.range(from..).next()?;
        (*of == tenant && with == key).then_some(*job)
    }

    /// The fan-out of an event is finished: the event whose turn that makes it, if there is one.
    pub(crate) fn finish(&mut self, job: u32, tenant: u32, seq: JournalSeq) -> Option<u32> {
        let key = self.keys.remove(&job)?;
        let was_first = self.first(tenant, &key) == Some(job);
        self.order.remove(&(tenant, key.clone(), seq));
        self.first(tenant, &key).filter(|_| was_first)
    }
}

impl Sender {
    /// It is the turn of an event to be fanned out, after an earlier one under the same key.
    pub(super) fn thread_on(&mut self, next: Option<u32>) {
        let Some(at) = next else { return };
        let seq = self.jobs.slab[at].seq;
        if let Some(sleeper) = self.jobs.asleep.unpark(seq) {
            self.rouse(sleeper);
        } else if seq <= self.outbox.durable() && self.jobs.slab[at].body != Body::Asleep {
            // One that is not durable comes when it is, one that is asleep when it is woken.
            self.start_scan(at);
        }
    }

    /// Lets an event that is asleep be fanned out, when its turn under its key has come; until then it sleeps on.
    pub(super) fn wake_or_park(&mut self, sleeper: Sleeper) {
        if self.jobs.may_pass(sleeper.job) {
            self.rouse(sleeper);
        } else {
            self.jobs.asleep.park(sleeper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other_under_a_key_and_nobody_else_waits() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut threads = Threads::default();
        for (job, tenant, seq, key) in [(1, 0, 10, &a), (2, 0, 11, &a), (3, 0, 12, &b), (4, 1, 13, &a), (5, 0, 14, &a)]
        {
            threads.add(job, tenant, JournalSeq::new(seq), key);
        }
        let first = |threads: &Threads| [1, 2, 3, 5].map(|job| threads.is_first(job, 0));
        assert_eq!(first(&threads), [true, false, true, false]);
        assert!(threads.is_first(4, 1) && threads.is_first(99, 0), "without a key it waits for nobody");
        assert_eq!(threads.finish(2, 0, JournalSeq::new(11)), None, "it was not its turn");
        assert_eq!(threads.finish(1, 0, JournalSeq::new(10)), Some(5));
        assert_eq!(threads.finish(5, 0, JournalSeq::new(14)), None);
        assert_eq!((threads.key(3), threads.key(5)), (Some(&b), None));
    }
}
