//! Whose turn it is: events or endpoints that can go on, and those that wait until payloads may be asked for again.

use super::slab::Slab;
use crate::retry::{Link, Links, List};

/// Where one stands. It stands in one place at most, and leaves when it ends: no place names what is no more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    link: Link,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Ring,
    Crowd,
}

impl Turn {
    /// Whether it can go on, and goes on when its turn comes.
    pub(crate) fn is_in_ring(&self) -> bool {
        self.place == Place::Ring
    }

    /// Whether it waits for nothing and has nothing to do.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.place == Place::Nowhere
    }
}

/// What takes turns.
pub(crate) trait TakesTurns {
    fn turn(&self) -> Turn;
    fn turn_mut(&mut self) -> &mut Turn;
}

impl<T: TakesTurns> Links<Turn> for Slab<T> {
    fn link(&self, handle: u32) -> Link {
        self[handle].turn().link
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].turn_mut().link
    }
}

/// The ring of those that can go on, and the crowd of those that wait for fewer payloads to be under way.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    ring: List<Turn>,
    crowd: List<Turn>,
}

impl Turns {
    /// Puts it at the end of the ring, unless it stands somewhere already.
    pub(crate) fn join<T: TakesTurns>(&mut self, slab: &mut Slab<T>, at: u32) {
        if slab[at].turn().is_nowhere() {
            slab[at].turn_mut().place = Place::Ring;
            self.ring.push_back(slab, at);
        }
    }

    /// Puts it at the beginning of the ring, wherever it stood.
    pub(crate) fn join_first<T: TakesTurns>(&mut self, slab: &mut Slab<T>, at: u32) {
        self.leave(slab, at);
        slab[at].turn_mut().place = Place::Ring;
        self.ring.push_front(slab, at);
    }

    /// Takes the first of the ring.
    pub(crate) fn next<T: TakesTurns>(&mut self, slab: &mut Slab<T>) -> Option<u32> {
        let at = self.ring.pop_front(slab)?;
        slab[at].turn_mut().place = Place::Nowhere;
        Some(at)
    }

    /// Lets it wait in the crowd; it must stand nowhere.
    pub(crate) fn wait<T: TakesTurns>(&mut self, slab: &mut Slab<T>, at: u32) {
        slab[at].turn_mut().place = Place::Crowd;
        self.crowd.push_back(slab, at);
    }

    /// Takes the first of the crowd.
    pub(crate) fn admit<T: TakesTurns>(&mut self, slab: &mut Slab<T>) -> Option<u32> {
        let at = self.crowd.pop_front(slab)?;
        slab[at].turn_mut().place = Place::Nowhere;
        Some(at)
    }

    /// Takes it out of wherever it stands.
    pub(crate) fn leave<T: TakesTurns>(&mut self, slab: &mut Slab<T>, at: u32) {
        let place = slab[at].turn().place;
        if place != Place::Nowhere {
            slab[at].turn_mut().place = Place::Nowhere;
        }
        match place {
            Place::Nowhere => {}
            Place::Ring => self.ring.remove(slab, at),
            Place::Crowd => self.crowd.remove(slab, at),
        }
    }

    /// How many can go on.
    pub(crate) const fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether somebody can go on.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Whether somebody waits in the crowd.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.crowd.is_empty()
    }
}
