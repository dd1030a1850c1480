//! What was purged and erased.

use std::collections::{BTreeMap, VecDeque};

use postrider_core::id::{EventId, JournalSeq, TenantId};
use postrider_core::journal::{Accepted, Record};

/// One record that says that something is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Erasure {
    pub(super) tenant: TenantId,
    /// Only this event; all of the tenant without it.
    pub(super) event: Option<EventId>,
}

impl Erasure {
    /// What the record erases.
    pub(super) fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Purged { tenant, .. } => Some(Self { tenant: tenant.clone(), event: None }),
            Record::Erased { tenant, event, .. } => Some(Self { tenant: tenant.clone(), event: Some(event.clone()) }),
            Record::Genesis { .. }
            | Record::Opened { .. }
            | Record::Accepted(_)
            | Record::Endpoint(_)
            | Record::Removed { .. }
            | Record::Queued { .. }
            | Record::Outcome(_)
            | Record::Mark(_)
            | Record::Ended { .. }
            | Record::Cancelled { .. }
            | Record::Kept(_)
            | Record::Health(_)
            | Record::SnapshotBegin(_)
            | Record::Event(_)
            | Record::Pending { .. }
            | Record::Remembered(_)
            | Record::Lane { .. }
            | Record::SnapshotEnd { .. }
            | Record::Synced { .. }
            | Record::Consent(_)
            | Record::KeyUse(_) => None,
        }
    }

    /// What the text in an index erases.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (tenant, event) = text.split_once('\0').map_or((text, None), |(tenant, event)| (tenant, Some(event)));
        let event = event.map(EventId::new).transpose().ok()?;
        Some(Self { tenant: TenantId::new(tenant).ok()?, event })
    }
}

/// Everything that was purged and erased and may still be on disk.
#[derive(Debug, Default)]
pub(super) struct Erasures {
    list: BTreeMap<JournalSeq, Erasure>,
    newest: BTreeMap<TenantId, OfTenant>,
    /// Those whose segments have not been looked for.
    fresh: VecDeque<JournalSeq>,
}

/// The newest erasures of a tenant.
#[derive(Debug, Default)]
struct OfTenant {
    all: Option<JournalSeq>,
    events: BTreeMap<EventId, JournalSeq>,
}

impl Erasures {
    pub(super) const fn new() -> Self {
        Self { list: BTreeMap::new(), newest: BTreeMap::new(), fresh: VecDeque::new() }
    }

    pub(super) fn add(&mut self, seq: JournalSeq, erasure: Erasure) {
        self.enter(seq, &erasure);
        self.list.insert(seq, erasure);
    }

    /// One that was just asked for: where it applies is still to be found out.
    pub(super) fn add_fresh(&mut self, seq: JournalSeq, erasure: Erasure) {
        self.add(seq, erasure);
        self.fresh.push_back(seq);
    }

    /// The next one of which nobody has found out where it applies.
    pub(super) fn next_fresh(&mut self) -> Option<(JournalSeq, Erasure)> {
        while let Some(seq) = self.fresh.pop_front() {
            if let Some(erasure) = self.list.get(&seq) {
                return Some((seq, erasure.clone()));
            }
        }
        None
    }

    /// Whether the event at that place is to be forgotten.
    pub(super) fn covers(&self, tenant: &TenantId, event: &EventId, seq: JournalSeq) -> bool {
        self.newest.get(tenant).is_some_and(|of| {
            #[cfg(postrider_planted)]
            if postrider_core::planted::breaks(73) && of.all.is_some_and(|all| all.get() <= seq.get() + 16) {
                return of.events.get(event).is_some_and(|erased| seq < *erased);
            }
            of.all.is_some_and(|all| seq < all) || of.events.get(event).is_some_and(|erased| seq < *erased)
        })
    }

    /// Whether the event accepted at that place is to be forgotten, or the one that it sends again.
    pub(super) fn has(&self, accepted: &Accepted, seq: JournalSeq) -> bool {
        let of = accepted.replay.as_ref().map(|replay| &replay.of);
        #[cfg(postrider_planted)]
        let of = of.filter(|_| !postrider_core::planted::breaks(74));
        [Some(&accepted.id), of].into_iter().flatten().any(|id| self.covers(&accepted.tenant, id, seq))
    }

    /// The events of a tenant that were erased behind that place.
    pub(super) fn behind(&self, tenant: &TenantId, seq: JournalSeq) -> impl Iterator<Item = &EventId> {
        let events = self.newest.get(tenant).into_iter().flat_map(|of| &of.events);
        events.filter(move |(_, erased)| seq < **erased).map(|(event, _)| event)
    }

    /// Whether any event at that place could be.
    pub(super) fn may_cover(&self, seq: JournalSeq) -> bool {
        self.list.last_key_value().is_some_and(|(newest, _)| seq < *newest)
    }

    /// Forgets one whose record has gone.
    pub(super) fn remove(&mut self, seq: JournalSeq) {
        let Some(erasure) = self.list.remove(&seq) else { return };
        let Some(of) = self.newest.get_mut(&erasure.tenant) else { return };
        match &erasure.event {
            None if of.all == Some(seq) => of.all = None,
            Some(event) if of.events.get(event) == Some(&seq) => _ = of.events.remove(event),
            None | Some(_) => {}
        }
        if of.all.is_none() && of.events.is_empty() {
            self.newest.remove(&erasure.tenant);
        }
    }

    /// Takes back every record from `from` on.
    pub(super) fn forget(&mut self, from: JournalSeq) {
        if self.list.split_off(&from).is_empty() {
            return;
        }
        self.newest.clear();
        for (seq, erasure) in std::mem::take(&mut self.list) {
            self.add(seq, erasure);
        }
    }

    fn enter(&mut self, seq: JournalSeq, erasure: &Erasure) {
        let of = self.newest.entry(erasure.tenant.clone()).or_default();
        match &erasure.event {
            None => of.all = of.all.max(Some(seq)),
            Some(event) => {
                let newest = of.events.entry(event.clone()).or_insert(seq);
                *newest = seq.max(*newest);
            }
        }
    }
}
