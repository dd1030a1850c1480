//! Connections that wait to be used again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use postrider_core::id::EndpointKey;
use postrider_core::sender::Transmit;

/// What two requests must share to use one connection.
///
/// The endpoint is part of it: a connection is never shared between endpoints, not even of one tenant, so that what one
/// receiver does to a connection touches nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PoolKey {
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The address that was cleared and dialled. It is cleared again before each request.
    pub addr: SocketAddr,
    /// The name that the certificate was checked for; `None` for a connection without TLS.
    pub server_name: Option<String>,
}

impl PoolKey {
    /// The key of an attempt's connection to `addr`.
    pub fn of(transmit: &Transmit, addr: SocketAddr) -> Self {
        let server_name = transmit.target().is_https().then(|| transmit.host().to_owned());
        Self { endpoint: transmit.endpoint().clone(), addr, server_name }
    }
}

/// Idle connections of one endpoint, at most.
pub const IDLE_PER_ENDPOINT: usize = 2;

/// Idle connections in all, at most.
pub const IDLE_IN_ALL: usize = 1024;

/// How long a connection may be idle.
pub const IDLE_TIME: Duration = Duration::from_secs(60);

/// Idle connections: at most [`IDLE_PER_ENDPOINT`] for an endpoint and [`IDLE_IN_ALL`] in all, each for [`IDLE_TIME`].
///
/// It decides which connections live on; dropping a connection must close it. Every operation costs O(log n).
#[derive(Debug)]
pub struct Idle<C> {
    /// In the order in which they came, which is also that in which they expire.
    entries: BTreeMap<u64, Entry<C>>,
    /// The places of an endpoint's connections in `entries`, oldest first.
    by_endpoint: HashMap<EndpointKey, VecDeque<u64>>,
    next: u64,
}

#[derive(Debug)]
struct Entry<C> {
    key: PoolKey,
    conn: C,
    until: Instant,
}

impl<C> Idle<C> {
    /// None yet.
    pub fn new() -> Self {
        Self { entries: BTreeMap::new(), by_endpoint: HashMap::new(), next: 0 }
    }

    /// The connection with this key that was used last, if there is one whose time has not run out. Whether the peer
    /// has closed it meanwhile is for the caller to find out.
    pub fn take(&mut self, key: &PoolKey, now: Instant) -> Option<C> {
        self.expire(now);
        let places = self.by_endpoint.get(&key.endpoint)?;
        let at = places.iter().rev().copied().find(|at| self.entries.get(at).is_some_and(|entry| entry.key == *key))?;
        self.remove(at)
    }

    /// Keeps a connection. When there are too many, those that have been idle longest are dropped: of this endpoint,
    /// or of all.
    pub fn put(&mut self, key: PoolKey, conn: C, now: Instant) {
        let same = self.by_endpoint.get(&key.endpoint);
        if let Some(oldest) = same.filter(|same| same.len() >= IDLE_PER_ENDPOINT).and_then(|same| same.front().copied())
        {
            self.remove(oldest);
        }
        while self.entries.len() >= IDLE_IN_ALL {
            let (oldest, _) = self.entries.first_key_value().expect("it is not empty");
            self.remove(*oldest);
        }
        let at = self.next;
        self.next += 1;
        self.by_endpoint.entry(key.endpoint.clone()).or_default().push_back(at);
        self.entries.insert(at, Entry { key, conn, until: now + IDLE_TIME });
    }

    /// Drops what has been idle too long; returns when the next one will have been.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let (at, entry) = self.entries.first_key_value()?;
            if entry.until > now {
                return Some(entry.until);
            }
            self.remove(*at);
        }
    }

    /// Drops the connections of an endpoint.
    pub fn forget_endpoint(&mut self, endpoint: &EndpointKey) {
        for at in self.by_endpoint.remove(endpoint).into_iter().flatten() {
            self.entries.remove(&at);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn remove(&mut self, at: u64) -> Option<C> {
        let Entry { key, conn, .. } = self.entries.remove(&at)?;
        if let Some(places) = self.by_endpoint.get_mut(&key.endpoint) {
            places.retain(|other| *other != at);
            if places.is_empty() {
                self.by_endpoint.remove(&key.endpoint);
            }
        }
        Some(conn)
    }
}

impl<C> Default for Idle<C> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(endpoint: usize, port: u16) -> PoolKey {
        let endpoint = EndpointKey::new(format!("e{endpoint}")).unwrap();
        PoolKey { endpoint, addr: SocketAddr::from(([192, 0, 2, 1], port)), server_name: None }
    }

    #[test]
    fn the_last_used_comes_first_and_keys_are_kept_apart() {
        let (mut idle, now) = (Idle::new(), Instant::now());
        idle.put(key(1, 443), "a", now);
        idle.put(key(1, 443), "b", now);
        idle.put(key(2, 443), "c", now);
        assert_eq!(idle.take(&key(1, 444), now), None);
        assert_eq!(idle.take(&PoolKey { server_name: Some("x".to_owned()), ..key(1, 443) }, now), None);
        assert_eq!(idle.take(&key(1, 443), now), Some("b"));
        assert_eq!(idle.take(&key(1, 443), now), Some("a"));
        assert_eq!(idle.take(&key(1, 443), now), None);
        assert_eq!(idle.len(), 1);
    }

    #[test]
    fn an_endpoint_keeps_two_and_all_together_keep_1024() {
        let (mut idle, now) = (Idle::new(), Instant::now());
        for n in 0..3 {
            idle.put(key(0, n), n, now);
        }
        assert_eq!(idle.take(&key(0, 0), now), None, "the oldest had to go");
        for n in 1..2000 {
            idle.put(key(n, 0), 7, now);
        }
        assert_eq!(idle.len(), IDLE_IN_ALL);
        assert_eq!(idle.take(&key(975, 0), now), None);
        assert_eq!(idle.take(&key(976, 0), now), Some(7));
        assert_eq!(idle.by_endpoint.len(), IDLE_IN_ALL - 1);
    }

    #[test]
    fn time_runs_out() {
        let (mut idle, now) = (Idle::new(), Instant::now());
        let later = now + Duration::from_secs(10);
        idle.put(key(1, 1), "a", now);
        idle.put(key(2, 1), "b", later);
        assert_eq!(idle.expire(now), Some(now + IDLE_TIME));
        assert_eq!(idle.take(&key(1, 1), now + IDLE_TIME), None);
        assert_eq!(idle.expire(now + IDLE_TIME), Some(later + IDLE_TIME));
        assert_eq!(idle.expire(later + IDLE_TIME), None);
        assert!(idle.is_empty() && idle.by_endpoint.is_empty());
    }

    #[test]
    fn an_endpoint_is_forgotten() {
        let (mut idle, now) = (Idle::new(), Instant::now());
        idle.put(key(1, 1), "a", now);
        idle.put(key(1, 2), "b", now);
        idle.put(key(2, 1), "c", now);
        idle.forget_endpoint(&key(1, 1).endpoint);
        assert_eq!((idle.len(), idle.take(&key(2, 1), now)), (1, Some("c")));
    }
}
