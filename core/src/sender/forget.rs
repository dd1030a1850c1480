//! Forgetting what an application gave: of one event, or of all events of a tenant.

use super::chores::PIECE;
use super::jobs::Body;
use super::tables::{Chore, Gate};
use super::{Change, CommandError, Sender};
use crate::id::{EventId, JournalSeq, TenantId};
use crate::journal::Record;
use crate::time::Now;

impl Sender {
    /// Forgets what a tenant's events accepted so far have brought: payloads and answers. What waits is discarded, what
    /// is in flight is aborted; endpoints stay, and so do the reports of how deliveries ended.
    ///
    /// Nothing is sent for these events from now on, and their payloads leave memory in the drain that follows. History
    /// answers without payloads and answers once the record is durable, and drops them from disk at its next compaction.
    pub fn purge(&mut self, now: Now, tenant: &TenantId) -> Result<Change, CommandError> {
        self.running(now)?;
        let seq = self.record(&Record::Purged { tenant: tenant.clone(), at: self.now.wall });
        if let Some(at) = self.tenants.find(tenant) {
            self.tenants[at].purged = seq;
            self.purge_soon(at, seq);
            self.tenants.retain_known(at);
            self.hold(seq, Gate::Purge(at));
        }
        Ok(Change { seq, changed: true })
    }

    /// The same for one event and what sends it again. An event that has ended, or that was never here, is erased too: it
    /// may have a history.
    pub fn erase(&mut self, now: Now, tenant: &TenantId, event: &EventId) -> Result<Change, CommandError> {
        self.running(now)?;
        let record = Record::Erased { tenant: tenant.clone(), event: event.clone(), at: self.now.wall };
        let seq = self.record(&record);
        for job in self.find_with_replays(tenant, event) {
            #[cfg(postrider_planted)]
            if crate::planted::breaks(81) && self.jobs.replays.get(job).is_some() {
                continue;
            }
            let named = self.jobs.slab[job].seq;
            self.apply_cancelled(job);
            self.drop_payload(job);
            self.hold(seq, Gate::Cancel(job, named));
        }
        Ok(Change { seq, changed: true })
    }

    /// Whether nothing more is sent for an event: it was cancelled or erased, or its tenant purged.
    pub(super) fn is_void(&self, job: u32) -> bool {
        let job = &self.jobs.slab[job];
        job.is_cancelled() || job.seq < self.tenants[job.tenant].purged
    }

    /// The purge of a tenant is durable.
    pub(super) fn purge_durable(&mut self, tenant: u32) {
        let seq = self.tenants[tenant].purged;
        self.purge_soon(tenant, seq);
        self.tenants.release(tenant);
    }

    /// Leaves a chore to go through all events for those of a tenant that is purged, which stays for it.
    fn purge_soon(&mut self, tenant: u32, seq: JournalSeq) {
        self.tenants.retain_known(tenant);
        self.chore(Chore::Purge(tenant, seq, 0));
    }

    /// Looks at some events: those of the tenant from before the purge lose their payloads, and, once it is durable, what
    /// is in flight and what waits. Goes on behind the first that gave something to do.
    pub(super) fn purge_some(&mut self, tenant: u32, seq: JournalSeq, from: u32) {
        let end = self.jobs.slab.end();
        let to = end.min(from.saturating_add(PIECE));
        let concerned = |at: &u32| self.jobs.slab.get(*at).is_some_and(|job| job.tenant == tenant && job.seq < seq);
        let found = (from..to).find(concerned);
        if let Some(job) = found {
            self.apply_cancelled(job);
            self.drop_payload(job);
            let named = self.jobs.slab[job].seq;
            if seq <= self.outbox.durable() {
                self.end_cancelled(job, named);
            }
        }
        match found.map_or(to, |job| job + 1) {
            next if next < end => self.chore(Chore::Purge(tenant, seq, next)),
            _ => self.tenants.release(tenant),
        }
    }

    /// Ends what an event has left that is cancelled durably.
    pub(super) fn end_cancelled(&mut self, job: u32, seq: JournalSeq) {
        if self.jobs.slab[job].in_flight() > 0 {
            // Discards what waits when all is aborted.
            self.chore(Chore::AbortOf(job, seq, 0));
        } else {
            self.discard_of_event(job, seq);
        }
    }

    /// Lets the payload of an event go for good.
    pub(super) fn drop_payload(&mut self, at: u32) {
        match self.jobs.slab[at].body {
            Body::Here => self.jobs.send_away(at),
            Body::Later => {
                self.forget_later(at);
                self.jobs.slab[at].body = Body::Away;
            }
            // What comes is not kept.
            Body::Away | Body::Coming | Body::Asleep => {}
        }
        self.jobs.rest(at);
    }
}
