//! Tenants, which live as long as anything of theirs does.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::filters::Filtered;
use super::repeats::ByTenant;
use super::turns::{LANES, Share};
use crate::id::{JournalSeq, TenantId};
use crate::matching::Index;
use crate::registration::quota::Usage;
use crate::retry::List;
use crate::table::Slab;

/// A tenant: what its endpoints want.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    /// Its endpoints' subscriptions without a filter.
    pub(crate) index: Index,
    /// Those with one.
    pub(crate) filtered: Option<Box<Filtered>>,
    /// Nothing is sent any more of its events before this record.
    pub(crate) purged: JournalSeq,
    /// Its endpoints that have lanes.
    pub(crate) ordered: u32,
    /// What it takes up.
    pub(crate) usage: Usage,
    /// The revision of the list that its endpoints were made equal to last, and the record that says so.
    pub(crate) synced: Option<(u64, JournalSeq)>,
    /// The names by which repeats of its events are recognised, the oldest first.
    pub(crate) remembered: List<ByTenant>,
    /// Its part of what takes turns.
    pub(crate) lanes: [Share; LANES],
    /// Its attempts in flight, counted where they are bounded.
    pub(crate) in_flight: u32,
    /// It has as many as it may.
    pub(crate) is_held: bool,
    /// Its endpoints, its events that have not ended, its names, its reports on the shelf, and what is left to do for a
    /// purge, counted together.
    uses: u32,
}

/// All tenants that have an endpoint, an event, a name that is remembered or a report.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    slab: Slab<Tenant>,
    by_id: BTreeMap<TenantId, u32>,
}

impl Tenants {
    /// Which one this is, if it has anything.
    pub(crate) fn find(&self, id: &TenantId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn end(&self) -> u32 {
        self.slab.end()
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Tenant> {
        self.slab.get(at)
    }

    /// Which one this is, for something new of its own: it stays until that is given back by
    /// [`release`](Self::release).
    pub(crate) fn retain(&mut self, id: &TenantId) -> u32 {
        let at = self.find(id).unwrap_or_else(|| {
            let (id, index, remembered) = (id.clone(), Index::new(), List::new());
            let at = self.slab.insert(Tenant {
                id,
                index,
                filtered: None,
                purged: JournalSeq::ZERO,
                ordered: 0,
                usage: Usage::default(),
                synced: None,
                remembered,
                lanes: Default::default(),
                in_flight: 0,
                is_held: false,
                uses: 0,
            });
            self.by_id.insert(self.slab[at].id.clone(), at);
            at
        });
        self.retain_known(at);
        at
    }

    /// The same for one that has something already.
    pub(crate) fn retain_known(&mut self, at: u32) {
        self.slab[at].uses += 1;
    }

    /// One of its things is no more; with the last of them it goes.
    pub(crate) fn release(&mut self, at: u32) {
        let tenant = &mut self.slab[at];
        tenant.uses -= 1;
        if tenant.uses == 0 {
            debug_assert!(
                tenant.index.is_empty() && tenant.filtered.is_none(),
                "a subscription belongs to an endpoint"
            );
            self.by_id.remove(&tenant.id);
            self.slab.remove(at);
        }
    }
}

impl core::ops::Index<u32> for Tenants {
    type Output = Tenant;

    fn index(&self, at: u32) -> &Tenant {
        &self.slab[at]
    }
}

impl core::ops::IndexMut<u32> for Tenants {
    fn index_mut(&mut self, at: u32) -> &mut Tenant {
        &mut self.slab[at]
    }
}
