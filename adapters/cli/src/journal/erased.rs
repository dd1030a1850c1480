//! What must not be shown any more, although its bytes may not be gone from disk yet.

use std::collections::BTreeMap;

use postrider_core::id::{EventId, JournalSeq, TenantId};
use postrider_core::journal::{Accepted, Record};

/// Purged tenants and erased events, each up to the record that says so.
#[derive(Default)]
pub(super) struct Erased {
    tenants: BTreeMap<TenantId, JournalSeq>,
    events: BTreeMap<(TenantId, EventId), JournalSeq>,
}

impl Erased {
    /// Takes note of a record of the log.
    pub(super) fn take(&mut self, seq: JournalSeq, record: &Record) {
        match record {
            Record::Purged { tenant, .. } => _ = self.tenants.insert(tenant.clone(), seq),
            Record::Erased { tenant, event, .. } => _ = self.events.insert((tenant.clone(), event.clone()), seq),
            _ => {}
        }
    }

    /// Whether what an application gave with the event accepted at `seq` must not be shown.
    pub(super) fn has(&self, seq: JournalSeq, event: &Accepted) -> bool {
        let by_tenant = self.tenants.get(&event.tenant).is_some_and(|purged| seq < *purged);
        let by_event = || {
            let of = event.replay.as_ref().map(|replay| &replay.of);
            [Some(&event.id), of].into_iter().flatten().any(|id| {
                let name = (event.tenant.clone(), id.clone());
                self.events.get(&name).is_some_and(|erased| seq < *erased)
            })
        };
        by_tenant || by_event()
    }
}
