//! What tenants take up, where that is limited: endpoints, deliveries that wait, payload bytes, events in a time.
//!
//! Only an event of a tenant whose pending deliveries or payload bytes are limited has an entry here, 24 bytes. After a
//! restart the account is what the records tell: deliveries that have not ended, payloads of events that have not. Of
//! events from before a snapshot that was made without such a limit the payloads are not known, and count nothing.

use alloc::collections::BTreeMap;

use super::Sender;
use crate::id::TenantId;
use crate::matching::{EventType, Reach};
use crate::registration::quota::{Exceeded, Quotas, Usage};

/// The limits of all tenants, and what events are charged with.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// Of every tenant that has none of its own.
    all: Quotas,
    of: BTreeMap<TenantId, Quotas>,
    charges: BTreeMap<u32, Charge>,
}

/// What an event takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    deliveries: u32,
    bytes: u32,
}

impl Accounts {
    /// Nothing is charged yet.
    pub(crate) fn new(all: Quotas, of: BTreeMap<TenantId, Quotas>) -> Self {
        Self { all, of, charges: BTreeMap::new() }
    }

    /// The limits of a tenant.
    pub(crate) fn quotas(&self, tenant: &TenantId) -> &Quotas {
        self.of.get(tenant).unwrap_or(&self.all)
    }

    /// Whether any tenant's events are charged.
    pub(crate) fn charges_any(&self) -> bool {
        self.all.charges_events() || self.of.values().any(Quotas::charges_events)
    }

    /// Bytes of an event's payload, where they are charged.
    pub(crate) fn bytes(&self, event: u32) -> u32 {
        self.charges.get(&event).map_or(0, |charge| charge.bytes)
    }
}

impl Sender {
    /// What a tenant takes up. Deliveries and payloads are counted where the tenant's are limited.
    pub fn usage(&self, tenant: &TenantId) -> Usage {
        self.tenants.find(tenant).map_or_else(Usage::default, |at| self.tenants[at].usage)
    }

    /// Whether a tenant may have so many endpoints more, when it gives up others.
    pub(super) fn admit_endpoints(&self, tenant: &TenantId, more: usize, fewer: usize) -> Result<(), Exceeded> {
        let quotas = self.accounts.quotas(tenant);
        let mut usage = self.usage(tenant);
        (0..fewer.min(more)).for_each(|_| usage.endpoint_removed());
        (0..more).try_for_each(|_| usage.admit_endpoint(quotas))
    }

    /// Whether a tenant may publish an event of this type and size: its account with the event, and what the event is
    /// charged with. `None` where nothing is counted.
    pub(super) fn admit_event(
        &self,
        tenant: &TenantId,
        event_type: &EventType,
        reach: Reach,
        bytes: usize,
    ) -> Result<Option<(Usage, Charge)>, Exceeded> {
        let quotas = self.accounts.quotas(tenant);
        if !quotas.limits_events() {
            return Ok(None);
        }
        let at = self.tenants.find(tenant);
        // Those that were retired are in the index for older events only.
        let retired =
            self.retired.values().filter(|(of, wanted)| Some(*of) == at && wanted.matches(event_type.as_str()));
        let deliveries = reach.at_least.saturating_sub(retired.count());
        self.admit_deliveries(tenant, deliveries, bytes)
    }

    /// The same of an event that has so many deliveries.
    pub(super) fn admit_deliveries(
        &self,
        tenant: &TenantId,
        deliveries: usize,
        bytes: usize,
    ) -> Result<Option<(Usage, Charge)>, Exceeded> {
        let quotas = self.accounts.quotas(tenant);
        if !quotas.limits_events() {
            return Ok(None);
        }
        let mut usage = self.usage(tenant);
        usage.admit_event(self.now.mono, quotas, deliveries as u64, bytes as u64)?;
        let most = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Some((usage, Charge { deliveries: most(deliveries), bytes: most(bytes) })))
    }

    /// Charges an event that was admitted.
    pub(super) fn charge(&mut self, event: u32, admitted: Option<(Usage, Charge)>) {
        let Some((usage, charge)) = admitted else { return };
        self.tenants[self.jobs.slab[event].tenant].usage = usage;
        self.accounts.charges.insert(event, charge);
    }

    /// A delivery of an event has ended.
    pub(super) fn delivery_ended(&mut self, event: u32) {
        if self.accounts.charges.is_empty() {
            return;
        }
        let tenant = self.jobs.slab[event].tenant;
        let charge = self.accounts.charges.get_mut(&event).filter(|charge| charge.deliveries > 0);
        if let Some(charge) = charge {
            charge.deliveries -= 1;
            self.tenants[tenant].usage.deliveries_ended(1);
        }
    }

    /// An event has ended, with every delivery that it was charged with and had not.
    pub(super) fn event_ended(&mut self, event: u32) {
        if let Some(charge) = self.accounts.charges.remove(&event) {
            let usage = &mut self.tenants[self.jobs.slab[event].tenant].usage;
            usage.deliveries_ended(charge.deliveries.into());
            usage.event_ended(charge.bytes.into());
        }
    }

    /// After a restart: charges every event that has not ended with what is left of it. `bytes` are those of payloads.
    pub(super) fn charge_again(&mut self, bytes: &BTreeMap<u32, u32>) {
        if !self.accounts.charges_any() {
            return;
        }
        let jobs: alloc::vec::Vec<_> = self.jobs.slab.iter().map(|(at, _)| at).collect();
        let mut asleep = BTreeMap::new();
        for at in jobs {
            let job = &self.jobs.slab[at];
            let tenant = job.tenant;
            if !self.accounts.quotas(&self.tenants[tenant].id).charges_events() {
                continue;
            }
            let waiting = job.deliveries.len();
            let ahead = match self.jobs.asleep.find(job.seq).filter(|_| !job.has_passed_all()) {
                Some((event_type, high_water)) => {
                    let counted = asleep.entry((tenant, event_type.clone(), high_water));
                    *counted.or_insert_with(|| self.ahead_of(at, Some((event_type, high_water))))
                }
                None => self.ahead_of(at, None),
            };
            let deliveries = u32::try_from(waiting + ahead).unwrap_or(u32::MAX);
            let charge = Charge { deliveries, bytes: bytes.get(&at).copied().unwrap_or(0) };
            self.tenants[tenant].usage.count_event(deliveries.into(), charge.bytes.into());
            self.accounts.charges.insert(at, charge);
        }
    }

    /// Subscriptions that an event has yet to pass.
    fn ahead_of(&self, at: u32, asleep: Option<(&EventType, u32)>) -> usize {
        let job = &self.jobs.slab[at];
        let index = &self.tenants[job.tenant].index;
        let work = job.work();
        let (cursor, high_water) = match asleep {
            Some((event_type, high_water)) => (Some(index.cursor(event_type.as_str(), high_water)), high_water),
            None => (work.and_then(|work| work.cursor.clone()), work.map_or(0, |work| work.high_water)),
        };
        let Some(mut cursor) = cursor else { return 0 };
        let skip = work.map_or(&[][..], |work| &work.skip);
        let seen = |number: &u32| {
            let slot = self.subscriptions.get(number).map(|at| &self.endpoints.slab[*at]);
            skip.binary_search(number).is_err()
                && slot.is_some_and(|slot| !slot.is_over() && slot.is_seen(*number, high_water))
        };
        core::iter::from_fn(|| index.next(&mut cursor)).filter(seen).count()
    }
}
