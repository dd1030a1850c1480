//! Making a tenant's endpoints equal to a list, for those who keep them in a table of their own.
//!
//! [`plan`] compares and changes nothing; whoever carries the plan out does all of it at once. So it is its own dry run.
//!
//! * An entry that is not there is added, one that differs is changed, what no entry names is removed.
//! * The administrative state is no part of the list: a paused endpoint that is named stays paused, a disabled one
//!   disabled, and one that answered 410 stays gone.
//! * An entry without secrets leaves the keys of its endpoint as they are.
//! * A list that is older than the one applied last is ignored: messages overtake one another. The same revision again
//!   is compared as a newer one is, so that what was changed by hand since becomes as listed.
//!
//! ```
//! use postrider_core::id::TenantId;
//! use postrider_core::registration::sync::{Known, Synced, plan};
//! use postrider_core::registration::{Endpoint, Policy};
//!
//! let (tenant, policy) = (TenantId::new("acme")?, Policy::default());
//! let at = |id, url| Endpoint::new(id, url).tenant("acme");
//! let (a, b) = (at("a", "https://a.example.com/"), at("b", "https://b.example.com/"));
//! let known = [Known::of(&a, &policy)?, Known::of(&b, &policy)?];
//! let wanted = [at("b", "https://b.example.com/new"), at("c", "https://c.example.com/")];
//!
//! let Synced::Plan(plan) = plan(&tenant, 7, Some(6), &known, &wanted, &policy)? else { unreachable!() };
//! assert_eq!(plan.to_string(), "1 added, 1 changed, 1 removed, 0 unchanged");
//! assert_eq!(plan.changed[0].to_string(), "b: url");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::{Config, Draft, Endpoint, EndpointError, Policy, RingError};
use crate::id::{EndpointId, TenantId};

/// Entries of one list, at most. They become one journal batch.
pub const SYNC_ENTRIES: usize = 10_000;

/// An endpoint as it is, to be compared.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    pub(crate) config: Cow<'a, Config>,
    pub(crate) keys: Cow<'a, Draft>,
}

impl<'a> Known<'a> {
    /// An endpoint that the machine has.
    pub(crate) fn new(config: &'a Config, keys: &'a Draft) -> Self {
        Self { config: Cow::Borrowed(config), keys: Cow::Borrowed(keys) }
    }

    /// The endpoint that this description would make.
    pub fn of(endpoint: &Endpoint, policy: &Policy) -> Result<Known<'static>, EndpointError> {
        let config = endpoint.config(policy)?;
        let mut keys = Draft::default();
        keys.replace(endpoint.secrets()).expect("no more secrets than a ring holds were checked, and none is revoked");
        Ok(Known { config: Cow::Owned(config), keys: Cow::Owned(keys) })
    }
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a list is carried out or ignored")]
pub enum Synced {
    /// Nothing: a newer list was applied before.
    Stale {
        /// Its revision.
        applied: u64,
    },
    /// This, all of it at once.
    Plan(Plan),
}

/// What makes a tenant's endpoints equal to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Whose.
    pub tenant: TenantId,
    /// The list's revision.
    pub revision: u64,
    /// Entries to put as new endpoints, in the order of the list.
    pub added: Vec<Added>,
    /// Entries to put over endpoints that are there, in the order of the list.
    pub changed: Vec<Changed>,
    /// Endpoints to remove, in the order of their names.
    pub removed: Vec<EndpointId>,
    /// Endpoints that are as listed, in the order of the list.
    pub unchanged: Vec<EndpointId>,
}

impl Plan {
    /// Whether there is nothing to do but to note the revision.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (added, changed) = (self.added.len(), self.changed.len());
        let (removed, unchanged) = (self.removed.len(), self.unchanged.len());
        write!(f, "{added} added, {changed} changed, {removed} removed, {unchanged} unchanged")
    }
}

/// An endpoint to add.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// The entry's place in the list, counted from 0.
    pub place: usize,
    /// Its name.
    pub id: EndpointId,
    /// Whether it brings no secret, so that the adapter has to mint one first.
    pub needs_secret: bool,
}

/// An endpoint to change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The entry's place in the list, counted from 0.
    pub place: usize,
    /// Its name.
    pub id: EndpointId,
    /// What is different, at least one.
    pub fields: Vec<Field>,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.id)?;
        for (place, field) in self.fields.iter().enumerate() {
            write!(f, "{}{field}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// A part of an endpoint's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// Where it is.
    Url,
    /// What it wants.
    Events,
    /// How bodies are made.
    Encoding,
    /// The delays before the attempts.
    Schedule,
    /// The time for one attempt.
    Timeout,
    /// Attempts in flight at once.
    Concurrency,
    /// Custom headers.
    Headers,
    /// Whether answers are kept.
    KeepAnswers,
    /// Whether receipts are asked for.
    Receipts,
    /// How events under one ordering key follow one another.
    Ordering,
    /// How consent is asked for.
    Consent,
    /// The keys that sign.
    Secrets,
    /// Something else.
    Other,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "url",
            Self::Events => "events",
            Self::Encoding => "encoding",
            Self::Schedule => "schedule",
            Self::Timeout => "timeout",
            Self::Concurrency => "concurrency",
            Self::Headers => "headers",
            Self::KeepAnswers => "keep_answers",
            Self::Receipts => "receipts",
            Self::Ordering => "ordering",
            Self::Consent => "consent",
            Self::Secrets => "secrets",
            Self::Other => "other",
        })
    }
}

/// Why a list cannot be applied. Each names the entry by its place, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncError {
    /// There are too many entries.
    TooMany {
        /// How many there are.
        entries: usize,
        /// How many there may be.
        max: usize,
    },
    /// An entry is not described correctly.
    Invalid {
        /// Its place.
        place: usize,
        /// Its name, as given.
        id: String,
        /// Why.
        why: EndpointError,
    },
    /// An entry belongs to another tenant.
    OtherTenant {
        /// Its place.
        place: usize,
        /// Its name.
        id: EndpointId,
        /// The tenant that it belongs to.
        tenant: TenantId,
    },
    /// Two entries have the same name.
    Duplicate {
        /// The place of the second.
        place: usize,
        /// The place of the first.
        first: usize,
        /// The name.
        id: EndpointId,
    },
    /// An entry's keys cannot be these.
    Ring {
        /// Its place.
        place: usize,
        /// Its name.
        id: EndpointId,
        /// Why.
        why: RingError,
    },
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { entries, max } => write!(f, "the list has {entries} entries, at most {max} are allowed"),
            Self::Invalid { place, id, why } => write!(f, "entry {place} ({}): {why}", id.escape_debug()),
            Self::OtherTenant { place, id, tenant } => {
                write!(f, "entry {place} ({id}): it belongs to the tenant {tenant}; list only the tenant's own")
            }
            Self::Duplicate { place, first, id } => {
                write!(f, "entry {place} ({id}): entry {first} has the same name; name each endpoint once")
            }
            Self::Ring { place, id, why } => write!(f, "entry {place} ({id}): {why}"),
        }
    }
}

impl core::error::Error for SyncError {}

/// Compares the endpoints that are there with those that are wanted. `applied` is the revision of the list that was
/// applied last, if one was. Endpoints of other tenants among `known` are passed over.
///
/// The first entry that cannot be applied is the error, and then nothing of the list is to be applied. The cost is that of
/// checking each entry and of looking each up, O(n log n).
pub fn plan<'a>(
    tenant: &TenantId,
    revision: u64,
    applied: Option<u64>,
    known: impl IntoIterator<Item = &'a Known<'a>>,
    wanted: &[Endpoint],
    policy: &Policy,
) -> Result<Synced, SyncError> {
    if let Some(applied) = applied.filter(|applied| *applied > revision) {
        return Ok(Synced::Stale { applied });
    }
    if wanted.len() > SYNC_ENTRIES {
        return Err(SyncError::TooMany { entries: wanted.len(), max: SYNC_ENTRIES });
    }
    let own = known.into_iter().filter(|known| known.config.key.tenant == *tenant);
    let mut left: BTreeMap<&EndpointId, &Known<'_>> = own.map(|known| (&known.config.key.id, known)).collect();
    let mut places: BTreeMap<EndpointId, usize> = BTreeMap::new();
    let mut plan = Plan {
        tenant: tenant.clone(),
        revision,
        added: Vec::new(),
        changed: Vec::new(),
        removed: Vec::new(),
        unchanged: Vec::new(),
    };
    for (place, entry) in wanted.iter().enumerate() {
        let invalid = |why| SyncError::Invalid { place, id: entry.name().to_string(), why };
        let config = entry.config(policy).map_err(invalid)?;
        let id = config.key.id.clone();
        if config.key.tenant != *tenant {
            return Err(SyncError::OtherTenant { place, id, tenant: config.key.tenant });
        }
        if let Some(first) = places.insert(id.clone(), place) {
            return Err(SyncError::Duplicate { place, first, id });
        }
        let Some(known) = left.remove(&id) else {
            plan.added.push(Added { place, id, needs_secret: !entry.has_secret() });
            continue;
        };
        let fields = differences(known, &config, entry);
        match fields.map_err(|why| SyncError::Ring { place, id: id.clone(), why })? {
            fields if fields.is_empty() => plan.unchanged.push(id),
            fields => plan.changed.push(Changed { place, id, fields }),
        }
    }
    plan.removed.extend(left.into_keys().cloned());
    Ok(Synced::Plan(plan))
}

fn differences(known: &Known<'_>, config: &Config, entry: &Endpoint) -> Result<Vec<Field>, RingError> {
    let is = &known.config;
    let parts = [
        (Field::Url, is.target != config.target),
        (Field::Events, is.subscription != config.subscription),
        (Field::Encoding, is.shape != config.shape),
        (Field::Schedule, is.schedule != config.schedule),
        (Field::Timeout, is.timeout != config.timeout),
        (Field::Concurrency, is.concurrency != config.concurrency),
        (Field::Headers, is.headers != config.headers),
        (Field::KeepAnswers, is.keep_answers != config.keep_answers),
        (Field::Receipts, is.receipts != config.receipts),
        (Field::Ordering, is.order != config.order),
        (Field::Consent, is.consent != config.consent),
    ];
    let mut fields: Vec<_> = parts.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect();
    // A part that has no name here yet is not passed over.
    if fields.is_empty() && **is != *config {
        fields.push(Field::Other);
    }
    let secrets = entry.secrets();
    if !secrets.is_empty() && Draft::clone(&known.keys).replace(secrets)? {
        fields.push(Field::Secrets);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use core::time::Duration;
    use proptest::prelude::*;

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    fn key(n: u8) -> Secret {
        Secret::from_bytes([n; 32]).unwrap()
    }

    fn at(id: &str) -> Endpoint {
        Endpoint::new(id, "https://hooks.example.com/").tenant("acme")
    }

    fn known(endpoints: &[Endpoint]) -> Vec<Known<'static>> {
        endpoints.iter().map(|endpoint| Known::of(endpoint, &Policy::default()).unwrap()).collect()
    }

    fn planned(known: &[Known<'_>], wanted: &[Endpoint]) -> Result<Plan, SyncError> {
        match plan(&tenant(), 1, None, known, wanted, &Policy::default())? {
            Synced::Plan(plan) => Ok(plan),
            Synced::Stale { .. } => panic!("no list was applied before"),
        }
    }

    #[test]
    fn each_difference_is_named() {
        let is = known(&[at("a").signing_key(key(1))]);
        let fields = |entry: Endpoint| {
            planned(&is, &[entry]).unwrap().changed.pop().map_or_else(String::new, |changed| changed.to_string())
        };
        assert_eq!(fields(at("a")), "", "no secret says nothing about the keys");
        assert_eq!(fields(at("a").signing_key(key(1))), "");
        assert_eq!(fields(at("a").signing_key(key(2))), "a: secrets");
        assert_eq!(fields(at("a").signing_key(key(1)).signing_key(key(2))), "a: secrets");
        assert_eq!(fields(Endpoint::new("a", "https://hooks.example.com/x").tenant("acme")), "a: url");
        assert_eq!(fields(at("a").events(["b.*"]).concurrency(3)), "a: events, concurrency");
        let seconds = Duration::from_secs(9);
        let entry = at("a").timeout(seconds).schedule([seconds]).bearer("t").keep_answers(true).receipts(true);
        assert_eq!(fields(entry), "a: schedule, timeout, headers, keep_answers, receipts");
        assert_eq!(fields(at("a").encoding(crate::encoding::Encoding::Data)), "a: encoding");
    }

    #[test]
    fn an_error_names_the_entry() {
        let said = |wanted: &[Endpoint]| planned(&[], wanted).unwrap_err().to_string();
        let bad = Endpoint::new("b", "http://b.example.com/").tenant("acme");
        assert!(said(&[at("a"), bad]).starts_with("entry 1 (b): url: "));
        assert!(said(&[Endpoint::new("a\n", "https://b.example.com/")]).starts_with("entry 0 (a\\n): id: "));
        let other = Endpoint::new("b", "https://b.example.com/").tenant("other");
        assert_eq!(said(&[at("a"), other]), "entry 1 (b): it belongs to the tenant other; list only the tenant's own");
        assert_eq!(
            said(&[at("a"), at("b"), at("a")]),
            "entry 2 (a): entry 0 has the same name; name each endpoint once"
        );
        let mut is = known(&[at("a").signing_key(key(1))]);
        is[0].keys.to_mut().revoked.push(key(2).id());
        let error = planned(&is, &[at("a").signing_key(key(2))]).unwrap_err();
        assert_eq!(error.to_string(), format!("entry 0 (a): {}", RingError::Revoked(key(2).id())));
        let many = alloc::vec![at("a"); SYNC_ENTRIES + 1];
        assert_eq!(said(&many), "the list has 10001 entries, at most 10000 are allowed");
    }

    #[test]
    fn an_older_list_is_ignored() {
        let is = known(&[at("a")]);
        let synced = |revision, applied| plan(&tenant(), revision, applied, &is, &[], &Policy::default()).unwrap();
        assert_eq!(synced(4, Some(5)), Synced::Stale { applied: 5 });
        for (revision, applied) in [(5, Some(5)), (6, Some(5)), (0, None)] {
            let Synced::Plan(plan) = synced(revision, applied) else { panic!("it is not older") };
            assert_eq!((plan.removed.len(), plan.revision), (1, revision));
        }
    }

    #[test]
    fn other_tenants_are_left_alone() {
        let is = known(&[Endpoint::new("a", "https://a.example.com/").tenant("other")]);
        let plan = planned(&is, &[at("a")]).unwrap();
        assert_eq!(plan.to_string(), "1 added, 0 changed, 0 removed, 0 unchanged");
        assert!(plan.added[0].needs_secret && !plan.is_empty());
    }

    proptest! {
        /// Each endpoint is in one part of the plan; carried out, the list is what is there, and nothing is left to do.
        #[test]
        fn a_plan_carried_out_leaves_nothing_to_do(
            before in prop::collection::btree_map(0..12_u8, 0..3_u8, 0..10),
            after in prop::collection::btree_map(0..12_u8, 0..3_u8, 0..10),
        ) {
            let make = |(id, path): (&u8, &u8)| {
                Endpoint::new(format!("e{id}"), format!("https://hooks.example.com/{path}")).tenant("acme")
            };
            let (is, wanted): (Vec<_>, Vec<_>) = (before.iter().map(make).collect(), after.iter().map(make).collect());
            let plan = planned(&known(&is), &wanted).unwrap();
            let name = |id: &u8| EndpointId::new(format!("e{id}")).unwrap();
            let set = |ids: &mut dyn Iterator<Item = EndpointId>| ids.collect::<BTreeSet<_>>();
            let removed = set(&mut before.keys().filter(|id| !after.contains_key(id)).map(name));
            prop_assert_eq!(set(&mut plan.removed.iter().cloned()), removed);
            let same = set(&mut before.iter().filter(|(id, path)| after.get(id) == Some(path)).map(|(id, _)| name(id)));
            prop_assert_eq!(set(&mut plan.unchanged.iter().cloned()), same);
            prop_assert_eq!(plan.added.len() + plan.changed.len() + plan.unchanged.len(), after.len());

            let mut there: BTreeMap<String, Endpoint> = is.iter().map(|e| (e.name().to_string(), e.clone())).collect();
            for id in &plan.removed {
                there.remove(id.as_str());
            }
            let places = plan.added.iter().map(|added| added.place).chain(plan.changed.iter().map(|changed| changed.place));
            for place in places {
                there.insert(wanted[place].name().to_string(), wanted[place].clone());
            }
            let there: Vec<_> = there.into_values().collect();
            let again = planned(&known(&there), &wanted).unwrap();
            prop_assert!(again.is_empty() && again.unchanged.len() == wanted.len());
        }
    }
}
