//! Recognising events that have been accepted before.

use core::time::Duration;
use sha2::{Digest as _, Sha256};

use super::chains::{Chains, HashKey};
use super::slab::Slab;
use crate::id::{EventId, JournalSeq, TenantId};
use crate::retry::{Link, Links, List};
use crate::time::Instant;

/// Entries forgotten in one call, at most; more than one comes in with it, so the rest goes with later calls.
const FORGET_AT_ONCE: usize = 4;

/// Events by which repeats are recognised, for a time and up to a number.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    slab: Slab<Entry>,
    /// In the order in which they were accepted.
    order: List<Entry>,
    by_name: Chains,
    key: HashKey,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Entry {
    known: Known,
    /// When it was accepted, in nanoseconds of the monotonic clock, whose origin may be later.
    born: i64,
    link: Link,
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
        let mut hash = Sha256::new();
        for part in [kind, tenant.as_str().as_bytes(), text.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
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

impl Links<Entry> for Slab<Entry> {
    fn link(&self, handle: u32) -> Link {
        self[handle].link
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].link
    }
}

impl Repeats {
    /// Sets the key by which names are found; there must be none yet.
    pub(crate) fn set_key(&mut self, key: HashKey) {
        self.key = key;
    }

    fn place(&self, name: Name) -> Option<u32> {
        self.by_name.find(self.key.hash(0, &name.0), |at| self.slab[at].known.name == name)
    }

    pub(crate) fn find(&self, name: Name) -> Option<&Known> {
        self.place(name).map(|at| &self.slab[at].known)
    }

    /// Remembers an event that was accepted `age` ago, in place of an earlier one of the same name. None that was
    /// accepted later may be there.
    pub(crate) fn insert(&mut self, now: Instant, age: Duration, known: Known) {
        if let Some(at) = self.place(known.name) {
            self.remove(at);
        }
        let (now, age) = (i64::try_from(now.as_nanos()), i64::try_from(age.as_nanos()));
        let born = now.unwrap_or(i64::MAX).saturating_sub(age.unwrap_or(i64::MAX));
        let hash = self.key.hash(0, &known.name.0);
        let at = self.slab.insert(Entry { known, born, link: Link::default() });
        self.order.push_back(&mut self.slab, at);
        let (key, slab) = (self.key, &self.slab);
        self.by_name.insert(hash, at, |at| key.hash(0, &slab[at].known.name.0));
    }

    fn remove(&mut self, at: u32) {
        self.by_name.remove(self.key.hash(0, &self.slab[at].known.name.0), at);
        self.order.remove(&mut self.slab, at);
        self.slab.remove(at);
    }

    /// Forgets what is older than the window, and the oldest while there are more than `most`. Returns the age of the
    /// youngest that was forgotten before its time.
    pub(crate) fn forget(&mut self, now: Instant, window: Duration, most: usize) -> Option<Duration> {
        let mut shrunk = None;
        for _ in 0..FORGET_AT_ONCE {
            let Some(at) = self.order.front() else { break };
            let age = self.slab[at].age(now);
            if age < window && self.slab.len() <= most {
                break;
            }
            if age < window {
                shrunk = Some(age);
            }
            self.remove(at);
        }
        shrunk
    }

    /// One more than the last place.
    pub(crate) fn end(&self) -> u32 {
        self.slab.end()
    }

    /// The entry in a place, with its age.
    pub(crate) fn get(&self, at: u32, now: Instant) -> Option<(&Known, Duration)> {
        self.slab.get(at).map(|entry| (&entry.known, entry.age(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_window_and_the_number_both_bound_it() {
        let tenant = TenantId::default();
        let name = |i: u64| Name::key(&tenant, &alloc::format!("{i}"));
        let mut repeats = Repeats::default();
        for i in 0..3 {
            repeats.insert(Instant::from_millis(i * 1000), Duration::ZERO, known(name(i), i));
        }
        let window = Duration::from_secs(10);
        assert_eq!(repeats.forget(Instant::from_millis(9_999), window, 3), None);
        assert_eq!(repeats.forget(Instant::from_millis(10_000), window, 3), None);
        assert!(repeats.find(name(0)).is_none() && repeats.find(name(1)).is_some());
        assert_eq!(repeats.forget(Instant::from_millis(10_000), window, 1), Some(Duration::from_secs(9)));
        assert!(repeats.find(name(1)).is_none() && repeats.find(name(2)).is_some());
    }

    #[test]
    fn a_newer_one_of_the_same_name_takes_its_place() {
        let name = Name([1; 16]);
        let mut repeats = Repeats::default();
        repeats.insert(Instant::ORIGIN, Duration::ZERO, known(name, 1));
        repeats.insert(Instant::from_millis(5), Duration::ZERO, known(name, 2));
        let seq = |repeats: &Repeats| repeats.find(name).map(|known| known.seq.get());
        assert_eq!(seq(&repeats), Some(2));
        assert_eq!(repeats.forget(Instant::from_millis(10), Duration::from_millis(10), 9), None);
        assert_eq!(seq(&repeats), Some(2));
    }

    #[test]
    fn an_age_from_before_the_clock_began_is_kept() {
        let name = Name([1; 16]);
        let mut repeats = Repeats::default();
        repeats.insert(Instant::ORIGIN, Duration::from_secs(60), known(name, 1));
        let window = Duration::from_secs(100);
        repeats.forget(Instant::from_millis(39_999), window, 9);
        assert!(repeats.find(name).is_some());
        repeats.forget(Instant::from_millis(40_000), window, 9);
        assert!(repeats.find(name).is_none());
        repeats.insert(Instant::ORIGIN, Duration::from_secs(1 << 40), known(name, 1));
        repeats.forget(Instant::LAST, Duration::MAX, 9);
        assert!(repeats.find(name).is_some(), "kept for ever");
    }
}
