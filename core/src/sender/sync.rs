//! Making a tenant's endpoints equal to a list, all of it at once.

use alloc::boxed::Box;
use core::fmt;

use super::Sender;
use super::commands::{Change, CommandError};
use crate::id::{EndpointId, JournalSeq, TenantId};
use crate::journal::Record;
use crate::limits;
use crate::registration::Endpoint;
use crate::registration::consent::ConsentBy;
use crate::registration::quota::Exceeded;
use crate::registration::sync::{Known, Plan, SyncError, Synced, plan};
use crate::time::Now;

/// What a [`sync`](Sender::sync) did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncDone {
    /// What was added, changed and removed, and what stayed; or that a newer list was applied before.
    pub synced: Synced,
    /// The record that must be durable before the caller may be told.
    pub change: Change,
}

/// Why a list was not applied. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncRefused {
    /// An entry cannot be applied, or there are too many.
    Invalid(SyncError),
    /// An entry is new and brings no secret; the adapter mints one.
    NoSecret {
        /// Its place, counted from 0.
        place: usize,
        /// Its name.
        id: EndpointId,
    },
    /// The owner of an entry is to be asked for consent under a name, and this sender has none.
    NoOrigin {
        /// Its place, counted from 0.
        place: usize,
    },
    /// There would be more endpoints than the limit allows.
    TooMany,
    /// What an endpoint wants was changed too often while deliveries from before wait.
    TooManyChanges(EndpointId),
    /// The tenant would have more endpoints than its quota allows.
    Quota(Exceeded),
    /// The log is far behind. Try again later.
    Overloaded,
    /// The sender is closing or closed.
    Closed,
    /// The sender's log has failed.
    Fenced,
}

impl fmt::Display for SyncRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "{why}"),
            Self::NoSecret { place, id } => {
                write!(
                    f,
                    "entry {place} ({id}): it needs a secret; give one, or go through an adapter, which mints one"
                )
            }
            Self::NoOrigin { place } => {
                write!(f, "entry {place}: its owner is asked for consent under a name; give the sender an origin")
            }
            Self::TooMany => f.write_str("there would be too many endpoints"),
            Self::TooManyChanges(id) => {
                write!(f, "{id}: what it wants was changed {} times while deliveries wait", limits::RETIRED)
            }
            Self::Quota(why) => write!(f, "{why}"),
            Self::Overloaded => f.write_str("too much waits for the log; try again later"),
            Self::Closed => f.write_str("the sender is closed"),
            Self::Fenced => f.write_str("the sender has stopped, because its log failed"),
        }
    }
}

impl core::error::Error for SyncRefused {}

impl From<CommandError> for SyncRefused {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Fenced => Self::Fenced,
            CommandError::Overloaded => Self::Overloaded,
            CommandError::UnknownEndpoint(_)
            | CommandError::UnknownEvent(_)
            | CommandError::Ring(_)
            | CommandError::NotActive(_)
            | CommandError::TooManyChanges
            | CommandError::UnknownCallback
            | CommandError::Closed => Self::Closed,
        }
    }
}

impl Sender {
    /// Makes the endpoints of a tenant equal to a list, in one batch of the journal: all of it or nothing. What is not
    /// listed is removed. A list older than the one applied last is ignored, and says so. See
    /// [`sync`](crate::registration::sync) for what a list says and what it leaves alone.
    ///
    /// At most [`SYNC_ENTRIES`](crate::registration::sync::SYNC_ENTRIES) entries. It costs as much as putting each of them.
    pub fn sync(
        &mut self,
        now: Now,
        tenant: &TenantId,
        revision: u64,
        endpoints: &[Endpoint],
    ) -> Result<SyncDone, SyncRefused> {
        self.running(now)?;
        let applied = self.synced(tenant);
        let synced = self.sync_dry_run(tenant, revision, endpoints)?;
        let unchanged = |synced| {
            let seq = applied.map_or(JournalSeq::ZERO, |(_, seq)| seq);
            Ok(SyncDone { synced, change: Change { seq, changed: false } })
        };
        let plan = match &synced {
            Synced::Stale { .. } => return unchanged(synced),
            Synced::Plan(plan) if plan.is_empty() && applied.is_some_and(|(last, _)| last == revision) => {
                return unchanged(synced);
            }
            Synced::Plan(plan) => plan,
        };
        let plan = plan.clone();
        if let Some(bare) = plan.added.iter().find(|added| added.needs_secret) {
            return Err(SyncRefused::NoSecret { place: bare.place, id: bare.id.clone() });
        }
        for id in &plan.removed {
            let key = crate::id::EndpointKey { tenant: tenant.clone(), id: id.clone() };
            if let Some(at) = self.endpoints.by_key.get(&key).copied() {
                self.remove_endpoint(at);
            }
        }
        let places = plan.changed.iter().map(|entry| entry.place).chain(plan.added.iter().map(|entry| entry.place));
        for place in places {
            let done = self.put_checked(Box::new(endpoints[place].clone()));
            debug_assert!(done.is_ok(), "everything that could refuse it was asked before");
        }
        let seq = self.record(&Record::Synced { tenant: tenant.clone(), revision, at: self.now.wall });
        self.apply_synced(tenant, revision, seq);
        Ok(SyncDone { synced, change: Change { seq, changed: true } })
    }

    /// What a list would do, without doing it.
    pub fn sync_dry_run(
        &self,
        tenant: &TenantId,
        revision: u64,
        endpoints: &[Endpoint],
    ) -> Result<Synced, SyncRefused> {
        let own = self.of_tenant(tenant);
        let known = own.clone().map(|at| {
            let slot = &self.endpoints.slab[at];
            Known::new(&slot.wire.config, &slot.draft)
        });
        let known: alloc::vec::Vec<_> = known.collect();
        let applied = self.synced(tenant).map(|(revision, _)| revision);
        let synced = plan(tenant, revision, applied, &known, endpoints, &self.policy).map_err(SyncRefused::Invalid)?;
        if let Synced::Plan(plan) = &synced {
            self.is_possible(plan, endpoints)?;
        }
        Ok(synced)
    }

    /// The revision of the list that was applied last to a tenant, if one was.
    pub fn revision(&self, tenant: &TenantId) -> Option<u64> {
        self.synced(tenant).map(|(revision, _)| revision)
    }

    /// Whether nothing would refuse a part of a plan.
    fn is_possible(&self, plan: &Plan, endpoints: &[Endpoint]) -> Result<(), SyncRefused> {
        let changed = plan.changed.iter().map(|entry| entry.place);
        let mut places = changed.chain(plan.added.iter().map(|entry| entry.place));
        let nameless = self.origin.is_none();
        let needs_name = |place: &usize| endpoints[*place].consent_by() == ConsentBy::CloudEvents;
        if let Some(place) = places.find(|place| nameless && needs_name(place)) {
            return Err(SyncRefused::NoOrigin { place });
        }
        let numbers = 2 * (plan.added.len() + plan.changed.len()) as u64;
        let slots = self.endpoints.slab.len() + plan.added.len();
        if slots > self.limits.endpoints || u64::from(self.next_subscription) + numbers >= u64::from(u32::MAX - 2) {
            return Err(SyncRefused::TooMany);
        }
        for entry in &plan.changed {
            let key = crate::id::EndpointKey { tenant: plan.tenant.clone(), id: entry.id.clone() };
            let at = self.endpoints.by_key.get(&key);
            if at.is_some_and(|at| self.endpoints.slab[*at].retired.len() >= limits::RETIRED) {
                return Err(SyncRefused::TooManyChanges(entry.id.clone()));
            }
        }
        self.admit_endpoints(&plan.tenant, plan.added.len(), plan.removed.len()).map_err(SyncRefused::Quota)
    }

    /// The revision applied last, and its record.
    fn synced(&self, tenant: &TenantId) -> Option<(u64, JournalSeq)> {
        self.tenants[self.tenants.find(tenant)?].synced
    }

    /// Notes which list was applied; the same when it happens and when it is read back. The tenant is remembered for it.
    pub(super) fn apply_synced(&mut self, tenant: &TenantId, revision: u64, seq: JournalSeq) {
        let known = self.tenants.find(tenant).filter(|at| self.tenants[*at].synced.is_some());
        let at = known.unwrap_or_else(|| self.tenants.retain(tenant));
        self.tenants[at].synced = Some((revision, seq));
    }
}

#[cfg(test)]
mod tests {
    use super::super::consent::tests::Rig;
    use super::super::{Config, PutError, Refused};
    use super::*;
    use crate::event::Event;
    use crate::id::EndpointKey;
    use crate::registration::quota::{PublishRate, Quota, Quotas};
    use crate::response::Reply;
    use crate::secret::Secret;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::num::NonZeroU32;
    use core::time::Duration;

    fn tenant() -> TenantId {
        TenantId::default()
    }

    fn at(id: &str, path: &str) -> Endpoint {
        let endpoint = Endpoint::new(id, alloc::format!("https://hooks.example.com/{path}"));
        endpoint.signing_key(Secret::from_bytes([7; 32]).unwrap())
    }

    fn names(rig: &Rig) -> Vec<alloc::string::String> {
        let page = rig.sender.endpoints(&tenant(), None, 100);
        page.items.iter().map(|view| alloc::format!("{}{}", view.key.id, view.target.path_and_query())).collect()
    }

    fn said(rig: &mut Rig, revision: u64, list: &[Endpoint]) -> alloc::string::String {
        let told = rig.sender.sync_dry_run(&tenant(), revision, list).unwrap();
        let done = rig.sender.sync(rig.now, &tenant(), revision, list).unwrap();
        assert_eq!(done.synced, told, "the dry run tells what is done");
        match done.synced {
            Synced::Plan(plan) => alloc::format!("{plan}{}", if done.change.changed { "" } else { ", as before" }),
            Synced::Stale { applied } => alloc::format!("older than {applied}"),
        }
    }

    #[test]
    fn a_list_is_applied_at_once_and_never_an_older_one() {
        let mut rig = Rig::new(Config::new());
        assert_eq!(said(&mut rig, 5, &[at("a", "1"), at("b", "1")]), "2 added, 0 changed, 0 removed, 0 unchanged");
        assert_eq!(said(&mut rig, 7, &[at("b", "2"), at("c", "1")]), "1 added, 1 changed, 1 removed, 0 unchanged");
        assert_eq!(said(&mut rig, 6, &[]), "older than 7");
        assert_eq!(names(&rig), ["b/2", "c/1"]);
        assert!(rig.drain().is_empty());
        rig.restart();
        assert_eq!((names(&rig), rig.sender.revision(&tenant())), (["b/2", "c/1"].map(Into::into).to_vec(), Some(7)));
        assert_eq!(said(&mut rig, 6, &[]), "older than 7");
        let list = [at("b", "2"), at("c", "1")];
        assert_eq!(said(&mut rig, 7, &list), "0 added, 0 changed, 0 removed, 2 unchanged, as before");
        assert_eq!(said(&mut rig, 8, &list), "0 added, 0 changed, 0 removed, 2 unchanged");
        assert_eq!(said(&mut rig, 9, &[]), "0 added, 0 changed, 2 removed, 0 unchanged");
        rig.drain();
        rig.restart();
        assert_eq!(said(&mut rig, 8, &list), "older than 9");
    }

    #[test]
    fn nothing_of_a_list_is_applied_that_cannot_be_whole() {
        let mut rig = Rig::new(Config::new().quotas(Quotas::default().endpoints(2)));
        said(&mut rig, 1, &[at("a", "1"), at("b", "1")]);
        let before = (names(&rig), rig.sender.last_record());
        let bare = Endpoint::new("c", "https://hooks.example.com/");
        let asked = at("b", "2").consent(ConsentBy::CloudEvents);
        for (list, expected) in [
            ([at("a", "2"), bare], "entry 1 (c): it needs a secret"),
            ([at("a", "2"), asked], "entry 1: its owner is asked for consent under a name"),
            ([at("a", "2"), at("a", "3")], "entry 1 (a): entry 0 has the same name"),
        ] {
            let refused = rig.sender.sync(rig.now, &tenant(), 2, &list).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
        let many = [at("a", "2"), at("b", "2"), at("c", "2")];
        let refused = rig.sender.sync(rig.now, &tenant(), 2, &many).unwrap_err();
        assert_eq!(refused.to_string(), "the tenant may have 2 endpoints; it has 2 and asks for 1 more");
        assert_eq!((names(&rig), rig.sender.last_record()), before);
        assert_eq!(said(&mut rig, 2, &many[1..]), "1 added, 1 changed, 1 removed, 0 unchanged");
        assert!(matches!(rig.sender.put(rig.now, at("d", "1")).unwrap_err(), PutError::Quota(..)));
        assert_eq!(rig.sender.usage(&tenant()).endpoints(), 2);
    }

    #[test]
    fn a_tenant_takes_up_no_more_than_it_may() {
        let quotas = Quotas::default().pending(3).payload_bytes(10);
        let mut rig = Rig::new(Config::new().quotas_of(tenant(), quotas));
        said(&mut rig, 1, &[at("a", "1"), at("b", "1")]);
        rig.sender.pause(rig.now, &EndpointKey::new("b").unwrap()).unwrap();
        let event = |id: &str, data: &str| Event::json("order.paid", &data).unwrap().id(id);
        rig.sender.publish(rig.now, event("e1", "")).unwrap();
        let refused = |rig: &mut Rig, event| match rig.sender.publish(rig.now, event) {
            Err(Refused::Quota(event, why)) => (event.event_id().unwrap().to_string(), why.quota, why.used),
            other => panic!("{other:?}"),
        };
        let two = |rig: &Rig| (rig.sender.usage(&tenant()).pending(), rig.sender.usage(&tenant()).payload_bytes());
        assert_eq!(refused(&mut rig, event("e2", "")), ("e2".into(), Quota::Pending, 2));
        assert_eq!(two(&rig), (2, 2));
        let sent = rig.drain();
        rig.answer(&sent[0], Ok(Reply::new(204)));
        rig.drain();
        assert_eq!(two(&rig), (1, 2));
        rig.restart();
        rig.drain();
        assert_eq!(two(&rig), (1, 2), "what is left is charged again");
        assert_eq!(refused(&mut rig, event("e2", "123456789")), ("e2".into(), Quota::PayloadBytes, 2));
        rig.sender.publish(rig.now, event("e2", "")).unwrap();
        assert_eq!(two(&rig), (3, 4));
        rig.sender.remove(rig.now, &EndpointKey::new("b").unwrap()).unwrap();
        rig.sender.cancel(rig.now, &tenant(), &crate::id::EventId::new("e2").unwrap()).unwrap();
        rig.drain();
        assert_eq!((two(&rig), rig.sender.events()), ((0, 0), 0));
    }

    #[test]
    fn a_rate_is_kept_to_and_repeats_cost_nothing() {
        let rate = PublishRate::per_second(NonZeroU32::MIN);
        let mut rig = Rig::new(Config::new().quotas(Quotas::default().publishes(rate)));
        let event = |id: &str| Event::json("order.paid", &1).unwrap().id(id);
        rig.sender.publish(rig.now, event("e1")).unwrap();
        assert!(!rig.sender.publish(rig.now, event("e1")).unwrap().fresh);
        let refused = rig.sender.publish(rig.now, event("e2")).unwrap_err();
        assert!(refused.is_temporary() && refused.to_string().contains("e2: the tenant publishes faster"), "{refused}");
        rig.wait(Duration::from_secs(1));
        rig.sender.publish(rig.now, event("e2")).unwrap();
    }
}
