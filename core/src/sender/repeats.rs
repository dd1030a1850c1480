//! Recognising events that have been accepted before.

use core::time::Duration;

use super::tenants::Tenants;
use crate::digest::sha256_of;
use crate::id::{EventId, JournalSeq, TenantId};
use crate::limits::Limits;
use crate::retry::{Link, Links, List};
use crate::table::Slab;
use crate::table::{Chains, HashKey, Marked};
use crate::time::Instant;

/// Names by which repeats of events are recognised, for a time and up to a number: of each tenant, and of all.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    slab: Slab<Entry>,
    /// In the order in which they were accepted.
    order: List<ByAge>,
    by_name: Chains<Marked>,
    key: HashKey,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Entry {
    known: Known,
    /// When it was accepted, in nanoseconds of the monotonic clock, whose origin may be later.
    born: i64,
    tenant: u32,
    by_age: Link,
    by_tenant: Link,
}

/// The link to the neighbours in age, over all tenants.
#[derive(Debug)]
pub(crate) enum ByAge {}

/// The link to the neighbours in age of the same tenant.
#[derive(Debug)]
pub(crate) enum ByTenant {}

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) window: Duration,
    /// Names of one tenant.
    pub(crate) each: usize,
    /// Names of all tenants.
    pub(crate) total: usize,
}

impl Bounds {
    pub(crate) const fn of(limits: &Limits) -> Self {
        let Limits { idempotency_window: window, idempotency_entries: each, idempotency_total: total, .. } = *limits;
        Self { window, each, total }
    }
}

/// A name that was forgotten.
#[derive(Debug, PartialEq)]
pub(crate) struct Forgotten {
    pub(crate) tenant: TenantId,
    pub(crate) age: Duration,
}

/// A digest of a tenant and an id or idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name([u8; 16]);

impl Name {
    pub(crate) fn id(tenant: &TenantId, id: &EventId) -> Self {
        Self::of(b"id", tenant, id.as_str())
    }

    pub(crate) fn key(tenant: &TenantId, key: &str) -> Self {
        Self::of(b"key", tenant, key)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    fn of(kind: &[u8], tenant: &TenantId, text: &str) -> Self {
        let parts = [kind, tenant.as_str().as_bytes(), text.as_bytes()];
        let [a, b, c] = parts.map(|part| (part.len() as u64).to_le_bytes());
        let digest = sha256_of([&a, parts[0], &b, parts[1], &c, parts[2]]);
        Self(core::array::from_fn(|i| digest[i]))
    }
}

/// What is known of an accepted event.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: Name,
    pub(crate) event: EventId,
    pub(crate) seq: JournalSeq,
    pub(crate) digest: [u8; 16],
}

impl Entry {
    fn age(&self, now: Instant) -> Duration {
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        Duration::from_nanos(now.saturating_sub(self.born).max(0).unsigned_abs())
    }
}

impl Links<ByAge> for Slab<Entry> {
    fn link(&self, handle: u32) -> Link {
        self[handle].by_age
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].by_age
    }
}

impl Links<ByTenant> for Slab<Entry> {
    fn link(&self, handle: u32) -> Link {
        self[handle].by_tenant
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].by_tenant
    }
}

impl Repeats {
    /// Sets the key by which names are found; there must be none yet.
    pub(crate) fn set_key(&mut self, key: HashKey) {
        self.key = key;
    }

    /// Makes room for so many names at once, when there is none yet.
    pub(crate) fn reserve(&mut self, names: usize) {
        self.slab.reserve(names);
        self.by_name.reserve(names);
    }

    fn place(&self, name: Name) -> Option<u32> {
        self.by_name.find(self.key.of_digest(name.0), |at| self.slab[at].known.name == name)
    }

    pub(crate) fn find(&self, name: Name) -> Option<&Known> {
        self.place(name).map(|at| &self.slab[at].known)
    }

    /// Remembers an event of a tenant that was accepted `age` ago, in place of an earlier one of the same name. None that
    /// was accepted later may be there. The tenant stays for it.
    pub(crate) fn insert(&mut self, tenants: &mut Tenants, tenant: u32, now: Instant, age: Duration, known: Known) {
        if let Some(at) = self.place(known.name) {
            self.remove(tenants, at);
        }
        let (now, age) = (i64::try_from(now.as_nanos()), i64::try_from(age.as_nanos()));
        let born = now.unwrap_or(i64::MAX).saturating_sub(age.unwrap_or(i64::MAX));
        let hash = self.key.of_digest(known.name.0);
        let (by_age, by_tenant) = (Link::default(), Link::default());
        let at = self.slab.insert(Entry { known, born, tenant, by_age, by_tenant });
        self.order.push_back(&mut self.slab, at);
        tenants.retain_known(tenant);
        tenants[tenant].remembered.push_back(&mut self.slab, at);
        let (key, slab) = (self.key, &self.slab);
        self.by_name.insert(hash, at, |at| key.of_digest(slab[at].known.name.0));
    }

    fn remove(&mut self, tenants: &mut Tenants, at: u32) {
        self.by_name.remove(self.key.of_digest(self.slab[at].known.name.0), at);
        self.order.remove(&mut self.slab, at);
        let tenant = self.slab[at].tenant;
        tenants[tenant].remembered.remove(&mut self.slab, at);
        self.slab.remove(at);
        tenants.release(tenant);
    }

    /// Forgets one name that has to go, if there is one: the oldest of this tenant while it has more than its share, the
    /// oldest of all while they are too many, and then whichever the window has passed.
    pub(crate) fn forget_one(
        &mut self,
        tenants: &mut Tenants,
        tenant: u32,
        now: Instant,
        bounds: Bounds,
    ) -> Option<Forgotten> {
        let mine = tenants.get(tenant).map(|tenant| &tenant.remembered).filter(|mine| mine.len() > bounds.each);
        let at = match mine.and_then(List::front) {
            Some(at) => at,
            None => {
                let crowded = self.slab.len() > bounds.total;
                self.order.front().filter(|at| crowded || self.slab[*at].age(now) >= bounds.window)?
            }
        };
        let entry = &self.slab[at];
        let forgotten = Forgotten { tenant: tenants[entry.tenant].id.clone(), age: entry.age(now) };
        self.remove(tenants, at);
        Some(forgotten)
    }

    /// One more than the last place.
    pub(crate) fn end(&self) -> u32 {
        self.slab.end()
    }

    /// The entry in a place, with its tenant and its age.
    pub(crate) fn get(&self, at: u32, now: Instant) -> Option<(&Known, u32, Duration)> {
        self.slab.get(at).map(|entry| (&entry.known, entry.tenant, entry.age(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn known(name: Name, seq: u64) -> Known {
        Known { name, event: EventId::new("e").unwrap(), seq: JournalSeq::new(seq), digest: [0; 16] }
    }

    #[test]
    fn names_keep_tenant_kind_and_text_apart() {
        let tenant = |t| TenantId::new(t).unwrap();
        let id = |i| EventId::new(i).unwrap();
        assert_ne!(Name::id(&tenant("ab"), &id("c")), Name::id(&tenant("a"), &id("bc")));
        assert_ne!(Name::id(&tenant("a"), &id("b")), Name::key(&tenant("a"), "b"));
    }

    /// The names of one tenant, or of some.
    #[derive(Default)]
    struct Bench {
        repeats: Repeats,
        tenants: Tenants,
    }

    impl Bench {
        fn tenant(&mut self, tenant: u32) -> u32 {
            self.tenants.retain(&TenantId::new(alloc::format!("t{tenant}")).unwrap())
        }

        fn insert(&mut self, tenant: u32, now: Instant, age: Duration, known: Known) {
            self.repeats.insert(&mut self.tenants, tenant, now, age, known);
        }

        /// Forgets whatever has to go, and says how old the youngest was.
        fn forget(&mut self, tenant: u32, now: Instant, window: Duration, each: usize) -> Option<Duration> {
            let bounds = Bounds { window, each, total: 100 };
            let next = || self.repeats.forget_one(&mut self.tenants, tenant, now, bounds).map(|gone| gone.age);
            core::iter::from_fn(next).min()
        }

        fn seq(&self, name: Name) -> Option<u64> {
            self.repeats.find(name).map(|known| known.seq.get())
        }
    }

    fn named(i: u64) -> Name {
        Name::key(&TenantId::default(), &alloc::format!("{i}"))
    }

    #[test]
    fn the_window_and_the_number_both_bound_it() {
        let mut bench = Bench::default();
        let tenant = bench.tenant(0);
        for i in 0..3 {
            bench.insert(tenant, Instant::from_millis(i * 1000), Duration::ZERO, known(named(i), i));
        }
        let window = Duration::from_secs(10);
        assert_eq!(bench.forget(tenant, Instant::from_millis(9_999), window, 3), None);
        assert_eq!(bench.forget(tenant, Instant::from_millis(10_000), window, 3), Some(window));
        assert!(bench.seq(named(0)).is_none() && bench.seq(named(1)).is_some());
        assert_eq!(bench.forget(tenant, Instant::from_millis(10_000), window, 1), Some(Duration::from_secs(9)));
        assert!(bench.seq(named(1)).is_none() && bench.seq(named(2)).is_some());
    }

    #[test]
    fn a_tenant_crowds_out_only_its_own() {
        let mut bench = Bench::default();
        let (quiet, busy) = (bench.tenant(0), bench.tenant(1));
        bench.insert(quiet, Instant::ORIGIN, Duration::ZERO, known(named(0), 0));
        for i in 1..=5 {
            bench.insert(busy, Instant::from_millis(i), Duration::ZERO, known(named(i), i));
            bench.forget(busy, Instant::from_millis(i), Duration::from_secs(9), 2);
        }
        let left: Vec<_> = (0..=5).filter(|i| bench.seq(named(*i)).is_some()).collect();
        assert_eq!(left, [0, 4, 5]);
        let bounds = Bounds { window: Duration::from_secs(9), each: 2, total: 2 };
        let gone = bench.repeats.forget_one(&mut bench.tenants, busy, Instant::from_millis(6), bounds).unwrap();
        assert_eq!((gone.tenant.as_str(), gone.age), ("t0", Duration::from_millis(6)), "the oldest of all");
    }

    #[test]
    fn a_newer_one_of_the_same_name_takes_its_place() {
        let (name, mut bench) = (Name([1; 16]), Bench::default());
        let tenant = bench.tenant(0);
        bench.insert(tenant, Instant::ORIGIN, Duration::ZERO, known(name, 1));
        bench.insert(tenant, Instant::from_millis(5), Duration::ZERO, known(name, 2));
        assert_eq!(bench.seq(name), Some(2));
        assert_eq!(bench.forget(tenant, Instant::from_millis(10), Duration::from_millis(10), 9), None);
        assert_eq!(bench.seq(name), Some(2));
    }

    #[test]
    fn an_age_from_before_the_clock_began_is_kept() {
        let (name, mut bench) = (Name([1; 16]), Bench::default());
        let tenant = bench.tenant(0);
        bench.insert(tenant, Instant::ORIGIN, Duration::from_secs(60), known(name, 1));
        let window = Duration::from_secs(100);
        bench.forget(tenant, Instant::from_millis(39_999), window, 9);
        assert!(bench.seq(name).is_some());
        bench.forget(tenant, Instant::from_millis(40_000), window, 9);
        assert!(bench.seq(name).is_none());
        bench.insert(tenant, Instant::ORIGIN, Duration::from_secs(1 << 40), known(name, 1));
        bench.forget(tenant, Instant::LAST, Duration::MAX, 9);
        assert!(bench.seq(name).is_some(), "kept for ever");
    }
}
