//! Deliveries that wait: 48 bytes each, threaded through three lists.
//!
//! A delivery exists here only while it waits for something: for its due time, for its endpoint, or for its payload.
//! One whose first attempt is in flight, was never reached, or is done has no entry.

use super::last::Last;
use crate::retry::{Due, Link, Links, List, Timed, Wheel};
use crate::table::Slab;
use crate::time::Instant;

/// Entries that one call moves between levels of the wheel, at most.
const MOVES: u32 = 64;

/// A delivery that waits, or whose retry is in flight.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// When it is due; in a machine that is being restored, see `restore`.
    pub(crate) due: Instant,
    by_endpoint: Link,
    by_event: Link,
    queue: Link,
    pub(crate) event: u32,
    pub(crate) endpoint: u32,
    pub(crate) subscription: u32,
    /// Attempts that have ended.
    pub(crate) attempts: u16,
    pub(crate) place: Place,
    /// How the last of them ended.
    pub(crate) last: Last,
}

/// What a delivery waits for: which list its `queue` link belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing yet: it is being put somewhere.
    Nowhere,
    /// Its due time.
    Timer,
    /// Its endpoint.
    Ready,
    /// Its payload.
    Stalled,
    /// Those before it in its lane.
    Laned,
    /// The end of an attempt.
    InFlight,
}

/// All deliveries that wait.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    slab: Slab<Delivery>,
    wheel: Wheel<Queue>,
}

/// The link to the neighbours at the same endpoint.
#[derive(Debug)]
pub(crate) enum ByEndpoint {}

/// The link to the neighbours of the same event.
#[derive(Debug)]
pub(crate) enum ByEvent {}

/// The link to the neighbours that wait for the same thing.
#[derive(Debug)]
pub(crate) enum Queue {}

macro_rules! links {
    ($name:ty, $field:ident) => {
        impl Links<$name> for Slab<Delivery> {
            fn link(&self, handle: u32) -> Link {
                self[handle].$field
            }

            fn link_mut(&mut self, handle: u32) -> &mut Link {
                &mut self[handle].$field
            }
        }
    };
}

links!(ByEndpoint, by_endpoint);
links!(ByEvent, by_event);
links!(Queue, queue);

impl Timed<Queue> for Slab<Delivery> {
    fn due(&self, handle: u32) -> Instant {
        self[handle].due
    }
}

impl Deliveries {
    /// Adds a delivery to the lists of its endpoint and of its event; it waits for nothing yet.
    pub(crate) fn insert(
        &mut self,
        event: (u32, &mut List<ByEvent>),
        endpoint: (u32, &mut List<ByEndpoint>),
        subscription: u32,
        attempts: u16,
    ) -> u32 {
        let handle = self.slab.insert(Delivery {
            due: Instant::ORIGIN,
            by_endpoint: Link::default(),
            by_event: Link::default(),
            queue: Link::default(),
            event: event.0,
            endpoint: endpoint.0,
            subscription,
            attempts,
            place: Place::Nowhere,
            last: Last::default(),
        });
        event.1.push_back(&mut self.slab, handle);
        endpoint.1.push_back(&mut self.slab, handle);
        handle
    }

    /// Takes a delivery out of the lists of its endpoint and of its event; it must wait for nothing any more.
    pub(crate) fn remove(&mut self, handle: u32, event: &mut List<ByEvent>, endpoint: &mut List<ByEndpoint>) {
        debug_assert_eq!(self.slab[handle].place, Place::Nowhere);
        event.remove(&mut self.slab, handle);
        endpoint.remove(&mut self.slab, handle);
        self.slab.remove(handle);
    }

    /// Lets it wait for its due time.
    pub(crate) fn arm(&mut self, handle: u32, due: Instant) {
        let delivery = self.at_rest(handle, Place::Timer);
        delivery.due = due;
        self.wheel.insert(&mut self.slab, handle);
    }

    /// Lets it wait in a queue, behind the others.
    pub(crate) fn push_back(&mut self, queue: &mut List<Queue>, handle: u32, place: Place) {
        self.at_rest(handle, place);
        queue.push_back(&mut self.slab, handle);
    }

    /// Lets it wait in a queue, before the others.
    pub(crate) fn push_front(&mut self, queue: &mut List<Queue>, handle: u32, place: Place) {
        self.at_rest(handle, place);
        queue.push_front(&mut self.slab, handle);
    }

    /// Takes the first of a queue.
    pub(crate) fn pop_front(&mut self, queue: &mut List<Queue>) -> Option<u32> {
        let handle = queue.pop_front(&mut self.slab)?;
        self.slab[handle].place = Place::Nowhere;
        Some(handle)
    }

    /// Marks that an attempt of it is in flight.
    pub(crate) fn fly(&mut self, handle: u32) {
        self.at_rest(handle, Place::InFlight);
    }

    /// Takes it out of whatever it waits in. `ready` and `stalled` are the queues of its endpoint and its event.
    pub(crate) fn unqueue(&mut self, handle: u32, ready: &mut List<Queue>, stalled: &mut List<Queue>) {
        match self.slab[handle].place {
            // Of a lane it is taken out before.
            Place::Nowhere | Place::InFlight | Place::Laned => {}
            Place::Timer => self.wheel.remove(&mut self.slab, handle),
            Place::Ready => ready.remove(&mut self.slab, handle),
            Place::Stalled => stalled.remove(&mut self.slab, handle),
        }
        self.slab[handle].place = Place::Nowhere;
    }

    /// Takes it out of those that wait in a lane.
    pub(crate) fn unlane(&mut self, lane: &mut List<Queue>, handle: u32) {
        lane.remove(&mut self.slab, handle);
        self.slab[handle].place = Place::Nowhere;
    }

    /// Takes a delivery whose time has come; a bounded piece of the search.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Due {
        let due = self.wheel.poll(&mut self.slab, now, MOVES);
        if let Due::Entry(handle) = due {
            self.slab[handle].place = Place::Nowhere;
        }
        due
    }

    /// When to look for due ones again; later than the last `now`.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.wheel.next_wake()
    }

    /// The delivery behind another in its event's list.
    pub(crate) fn next_of_event(&self, list: &List<ByEvent>, handle: u32) -> Option<u32> {
        list.after(&self.slab, handle)
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&Delivery> {
        self.slab.get(handle)
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> Option<&mut Delivery> {
        self.slab.get_mut(handle)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn end(&self) -> u32 {
        self.slab.end()
    }

    fn at_rest(&mut self, handle: u32, place: Place) -> &mut Delivery {
        let delivery = &mut self.slab[handle];
        debug_assert_eq!(delivery.place, Place::Nowhere, "it waits for one thing at a time");
        delivery.place = place;
        delivery
    }
}

impl core::ops::Index<u32> for Deliveries {
    type Output = Delivery;

    fn index(&self, handle: u32) -> &Delivery {
        &self.slab[handle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_takes_48_bytes() {
        assert_eq!(size_of::<Delivery>(), 48);
        assert_eq!(size_of::<Option<Delivery>>(), 48, "a free place must not cost more");
    }
}
