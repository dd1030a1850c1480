//! A bound on attempts to one address, however many host names lead to it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use crate::facts::lock;

/// Places for attempts at each resolved address. The machine bounds what is in flight to an endpoint, to a tenant and to a
/// host by its name ([`Limits::host_in_flight`](postrider_core::limits::Limits::host_in_flight)); only whoever dials knows
/// where names lead. Addresses are told apart whole, those of IPv6 too; an IPv4 address in IPv6 clothing is itself.
///
/// A clone is the same places. Without a bound everything here is free.
#[derive(Clone, Default)]
pub struct Places(Option<Arc<Shared>>);

/// The right to be at an address. Dropping it lets the next in the queue go.
#[must_use = "dropping it gives the place up"]
pub struct Place {
    of: Option<(Arc<Shared>, IpAddr)>,
}

/// How somebody who waits gets a place; it gives the place back if nobody wants it any more.
pub type Placed = Box<dyn FnOnce(Place) -> Option<Place> + Send>;

struct Shared {
    most: NonZeroU32,
    /// Addresses at which somebody is.
    at: Mutex<HashMap<IpAddr, At>>,
}

#[derive(Default)]
struct At {
    taken: u32,
    waiting: VecDeque<Placed>,
}

impl Places {
    /// At most so many attempts at one address at a time.
    pub fn bounded(most: NonZeroU32) -> Self {
        Self(Some(Arc::new(Shared { most, at: Mutex::default() })))
    }

    /// A place, if there is one and nobody waits for it.
    pub fn take(&self, addr: IpAddr) -> Option<Place> {
        let Some(shared) = &self.0 else { return Some(Place { of: None }) };
        let addr = addr.to_canonical();
        let mut all = lock(&shared.at);
        let at = all.entry(addr).or_default();
        let free = at.taken < shared.most.get() && at.waiting.is_empty();
        at.taken += u32::from(free);
        free.then(|| Place { of: Some((Arc::clone(shared), addr)) })
    }

    /// Calls `placed` when there is a place: at once, or later on the thread that gave one up. Those who wait for an
    /// address are served in the order in which they came.
    pub fn ask(&self, addr: IpAddr, placed: Placed) {
        if let Some(place) = self.take(addr) {
            drop(placed(place));
            return;
        }
        let Some(shared) = &self.0 else { return };
        let addr = addr.to_canonical();
        let mut all = lock(&shared.at);
        let at = all.entry(addr).or_default();
        if at.taken < shared.most.get() && at.waiting.is_empty() {
            // It was given up in between.
            at.taken += 1;
            drop(all);
            drop(placed(Place { of: Some((Arc::clone(shared), addr)) }));
        } else {
            at.waiting.push_back(placed);
        }
    }

    /// Attempts at an address; 0 without a bound.
    pub fn taken(&self, addr: IpAddr) -> u32 {
        let Some(shared) = &self.0 else { return 0 };
        lock(&shared.at).get(&addr.to_canonical()).map_or(0, |at| at.taken)
    }
}

impl Shared {
    /// The next who waits for an address. When nobody does, the place is free.
    fn next(&self, addr: IpAddr) -> Option<Placed> {
        let mut all = lock(&self.at);
        let at = all.get_mut(&addr)?;
        let next = at.waiting.pop_front();
        if next.is_none() {
            at.taken -= 1;
            if at.taken == 0 {
                all.remove(&addr);
            }
        }
        next
    }
}

impl Drop for Place {
    /// Hands it on until somebody takes it: those who have stopped waiting give it back, one after the other.
    fn drop(&mut self) {
        while let Some((shared, addr)) = self.of.take() {
            let Some(next) = shared.next(addr) else { return };
            if let Some(mut back) = next(Self { of: Some((shared, addr)) }) {
                self.of = back.of.take();
            }
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("most", &self.0.as_ref().map(|shared| shared.most)).finish_non_exhaustive()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("at", &self.of.as_ref().map(|(_, addr)| addr)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn places(most: u32) -> Places {
        Places::bounded(NonZeroU32::new(most).unwrap())
    }

    /// Asks; whoever drops the receiver has stopped waiting.
    fn ask(places: &Places, addr: IpAddr) -> mpsc::Receiver<Place> {
        let (tell, told) = mpsc::channel();
        places.ask(addr, Box::new(move |place| tell.send(place).err().map(|unsent| unsent.0)));
        told
    }

    #[test]
    fn each_address_has_so_many_and_the_rest_wait_in_order() {
        let places = places(2);
        let (first, second) = (places.take(ONE).unwrap(), places.take(ONE).unwrap());
        assert!(places.take(ONE).is_none() && places.take(OTHER).is_some());
        let (third, fourth) = (ask(&places, ONE), ask(&places, ONE));
        drop(first);
        let third = third.try_recv().unwrap();
        assert!(fourth.try_recv().is_err());
        assert!(places.take(ONE).is_none(), "nobody is before those who wait");
        drop((second, third));
        let fourth = fourth.try_recv().unwrap();
        assert_eq!(places.taken(ONE), 1);
        drop(fourth);
        assert_eq!(places.taken(ONE), 0);
        assert!(lock(&places.0.as_ref().unwrap().at).is_empty(), "an address where nobody is takes no memory");
    }

    /// However many have stopped waiting, the stack does not grow with them.
    #[test]
    fn whoever_has_stopped_waiting_is_passed_over() {
        let places = places(1);
        let held = places.take(ONE).unwrap();
        (0..100_000).for_each(|_| drop(ask(&places, ONE)));
        let last = ask(&places, ONE);
        drop(held);
        drop(last.try_recv().unwrap());
        assert_eq!(places.taken(ONE), 0);
    }

    #[test]
    fn an_address_is_one_in_either_clothing_and_without_a_bound_all_is_free() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let places = places(1);
        let _held = places.take(ONE).unwrap();
        assert!(places.take(mapped).is_none());
        let free = Places::default();
        let all: Vec<_> = (0..100).map(|_| free.take(ONE).unwrap()).collect();
        assert_eq!((all.len(), free.taken(ONE)), (100, 0));
        assert!(ask(&free, ONE).try_recv().is_ok());
    }
}
