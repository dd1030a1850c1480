//! Recognising events that have been accepted before.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;
use sha2::{Digest as _, Sha256};

use crate::id::{EventId, JournalSeq, TenantId};
use crate::time::Instant;

/// Entries forgotten in one call, at most; more than one comes in with it, so the rest goes with later calls.
const FORGET_AT_ONCE: usize = 4;

/// Events by which repeats are recognised, for a time and up to a number.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// In the order in which they were accepted; a later one may have the same name.
    order: VecDeque<(Instant, Known)>,
    /// How many have left `order`: places in it count all that there ever were.
    left: u64,
    /// The place of the newest of each name.
    places: BTreeMap<Name, u64>,
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

impl Repeats {
    pub(crate) fn find(&self, name: Name) -> Option<&Known> {
        let place = self.places.get(&name)? - self.left;
        let (_, known) = self.order.get(usize::try_from(place).ok()?)?;
        Some(known)
    }

    /// Remembers an event from `at` on.
    pub(crate) fn insert(&mut self, at: Instant, known: Known) {
        self.places.insert(known.name, self.left + self.order.len() as u64);
        self.order.push_back((at, known));
    }

    /// Forgets what is older than the window, and the oldest while there are more than `most`. Returns the age of the
    /// youngest that was forgotten before its time.
    pub(crate) fn forget(&mut self, now: Instant, window: Duration, most: usize) -> Option<Duration> {
        let mut shrunk = None;
        for _ in 0..FORGET_AT_ONCE {
            let Some((at, known)) = self.order.front() else { break };
            let age = now.saturating_since(*at);
            if age < window && self.order.len() <= most {
                break;
            }
            if age < window {
                shrunk = Some(age);
            }
            if self.places.get(&known.name) == Some(&self.left) {
                self.places.remove(&known.name);
            }
            self.order.pop_front();
            self.left += 1;
        }
        shrunk
    }

    /// The entries from place `from` on, in the order in which they were accepted, each with the place behind it. For a
    /// snapshot; places count all entries that there ever were.
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = (u64, Instant, &Known)> {
        let skip = usize::try_from(from.saturating_sub(self.left)).unwrap_or(usize::MAX);
        let places = self.left.max(from) + 1..;
        places.zip(self.order.iter().skip(skip)).map(|(next, (at, known))| (next, *at, known))
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
            repeats.insert(Instant::from_millis(i * 1000), known(name(i), i));
        }
        let window = Duration::from_secs(10);
        assert_eq!(repeats.forget(Instant::from_millis(9_999), window, 3), None);
        assert_eq!(repeats.forget(Instant::from_millis(10_000), window, 3), None);
        assert!(repeats.find(name(0)).is_none() && repeats.find(name(1)).is_some());
        assert_eq!(repeats.forget(Instant::from_millis(10_000), window, 1), Some(Duration::from_secs(9)));
        assert!(repeats.find(name(1)).is_none() && repeats.find(name(2)).is_some());
    }

    #[test]
    fn an_older_one_of_the_same_name_goes_without_the_newer() {
        let name = Name([1; 16]);
        let mut repeats = Repeats::default();
        repeats.insert(Instant::ORIGIN, known(name, 1));
        repeats.insert(Instant::from_millis(5), known(name, 2));
        let seq = |repeats: &Repeats| repeats.find(name).map(|known| known.seq.get());
        assert_eq!(seq(&repeats), Some(2));
        assert_eq!(repeats.forget(Instant::from_millis(10), Duration::from_millis(10), 9), None);
        assert_eq!(seq(&repeats), Some(2));
        assert_eq!(repeats.from(0).map(|(next, _, known)| (next, known.seq.get())).next(), Some((2, 2)));
    }
}
