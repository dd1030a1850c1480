//! Whose turn it is: events and endpoints that can go on, tenant by tenant; and those that wait until something is free.

use super::tenants::Tenants;
use crate::retry::{Balance, Fair, Flows, Groups, Link, Links, List, Tiers};
use crate::table::Slab;
use core::num::NonZeroU16;

/// Where one stands. It stands in one place at most, and leaves when it ends: no place names what is no more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    link: Link,
    balance: Balance,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    /// In the lane of this number.
    Lane(u8),
    /// In the crowd of this number.
    Crowd(u8),
}

impl Turn {
    /// Whether it can go on, and goes on when its turn comes.
    pub(crate) fn is_in_lane(&self) -> bool {
        matches!(self.place, Place::Lane(_))
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
    fn tenant(&self) -> u32;
}

impl<T: TakesTurns> Links<Turn> for Slab<T> {
    fn link(&self, handle: u32) -> Link {
        self[handle].turn().link
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].turn_mut().link
    }
}

impl<T: TakesTurns> Flows<Turn> for Slab<T> {
    fn balance(&self, handle: u32) -> Balance {
        self[handle].turn().balance
    }

    fn balance_mut(&mut self, handle: u32) -> &mut Balance {
        &mut self[handle].turn_mut().balance
    }
}

/// Lanes of the machine: each tenant has a [`Share`] of each.
pub(crate) const LANES: usize = 3;

/// Names the link of a tenant in the lane of this number.
#[derive(Debug)]
pub(crate) enum Of<const LANE: usize> {}

/// What a tenant has in a lane: where it stands among the tenants, and those of its own that can go on.
#[derive(Debug)]
pub(crate) struct Share {
    link: Link,
    balance: Balance,
    own: Fair<Turn>,
}

impl Default for Share {
    fn default() -> Self {
        Self { link: Link::FREE, balance: Balance::default(), own: Fair::new(NonZeroU16::MIN) }
    }
}

impl<const LANE: usize> Links<Of<LANE>> for Tenants {
    fn link(&self, handle: u32) -> Link {
        self[handle].lanes[LANE].link
    }

    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self[handle].lanes[LANE].link
    }
}

impl<const LANE: usize> Flows<Of<LANE>> for Tenants {
    fn balance(&self, handle: u32) -> Balance {
        self[handle].lanes[LANE].balance
    }

    fn balance_mut(&mut self, handle: u32) -> &mut Balance {
        &mut self[handle].lanes[LANE].balance
    }
}

impl<const LANE: usize> Groups<Of<LANE>, Turn> for Tenants {
    fn fair_mut(&mut self, group: u32) -> &mut Fair<Turn> {
        &mut self[group].lanes[LANE].own
    }

    fn is_held(&self, group: u32) -> bool {
        self[group].is_held
    }
}

/// Those that can go on: tenants take turns, and within each tenant its own do. Whoever has its turn leaves, and comes
/// again behind the others when it can go on still; so each turn counts the same (deficit round robin with a quantum of
/// one), and what cannot go on costs the others nothing.
#[derive(Debug)]
pub(crate) struct Lane<const LANE: usize> {
    tiers: Tiers<Of<LANE>, Turn>,
    len: usize,
}

impl<const LANE: usize> Default for Lane<LANE> {
    fn default() -> Self {
        Self { tiers: Tiers::new(NonZeroU16::MIN), len: 0 }
    }
}

impl<const LANE: usize> Lane<LANE> {
    const PLACE: Place = Place::Lane(LANE as u8);

    /// Puts it at the end, unless it stands somewhere already.
    pub(crate) fn join<T: TakesTurns>(&mut self, tenants: &mut Tenants, slab: &mut Slab<T>, at: u32) {
        if slab[at].turn().is_nowhere() {
            let tenant = slab[at].tenant();
            slab[at].turn_mut().place = Self::PLACE;
            self.tiers.activate(tenants, slab, tenant, at);
            self.len += 1;
        }
    }

    /// Puts it before its tenant's others, unless it stands somewhere already.
    pub(crate) fn join_first<T: TakesTurns>(&mut self, tenants: &mut Tenants, slab: &mut Slab<T>, at: u32) {
        if slab[at].turn().is_nowhere() {
            let tenant = slab[at].tenant();
            slab[at].turn_mut().place = Self::PLACE;
            self.tiers.activate_first(tenants, slab, tenant, at);
            self.len += 1;
        }
    }

    /// Takes the one whose turn it is.
    pub(crate) fn next<T: TakesTurns>(&mut self, tenants: &mut Tenants, slab: &mut Slab<T>) -> Option<u32> {
        let (tenant, at) = self.tiers.next(tenants, slab)?;
        self.tiers.charge(tenants, slab, (tenant, at), 1);
        self.leave(tenants, slab, at);
        Some(at)
    }

    /// Takes it out, if it stands here.
    pub(crate) fn leave<T: TakesTurns>(&mut self, tenants: &mut Tenants, slab: &mut Slab<T>, at: u32) {
        if slab[at].turn().place == Self::PLACE {
            let tenant = slab[at].tenant();
            self.tiers.deactivate(tenants, slab, tenant, at);
            slab[at].turn_mut().place = Place::Nowhere;
            self.len -= 1;
        }
    }

    /// A tenant that is held from now on has no turns.
    pub(crate) fn hold(&mut self, tenants: &mut Tenants, tenant: u32) {
        self.tiers.hold(tenants, tenant);
    }

    /// A tenant that is not held any more has turns again.
    pub(crate) fn release(&mut self, tenants: &mut Tenants, tenant: u32) {
        self.tiers.release(tenants, tenant);
    }

    /// How many can go on, those of held tenants included.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether it is somebody's turn.
    pub(crate) const fn is_ready(&self) -> bool {
        self.tiers.is_active()
    }
}

/// Those that wait for something that others have, the one first that has waited longest.
#[derive(Debug, Default)]
pub(crate) struct Crowd<const NUMBER: u8>(List<Turn>);

impl<const NUMBER: u8> Crowd<NUMBER> {
    /// Lets it wait; it must stand nowhere.
    pub(crate) fn wait<T: TakesTurns>(&mut self, slab: &mut Slab<T>, at: u32) {
        slab[at].turn_mut().place = Place::Crowd(NUMBER);
        self.0.push_back(slab, at);
    }

    /// Takes the first.
    pub(crate) fn admit<T: TakesTurns>(&mut self, slab: &mut Slab<T>) -> Option<u32> {
        let at = self.0.pop_front(slab)?;
        slab[at].turn_mut().place = Place::Nowhere;
        Some(at)
    }

    /// Takes it out. It must stand in this crowd, or in none of this number.
    pub(crate) fn leave<T: TakesTurns>(&mut self, slab: &mut Slab<T>, at: u32) {
        if slab[at].turn().place == Place::Crowd(NUMBER) {
            self.0.remove(slab, at);
            slab[at].turn_mut().place = Place::Nowhere;
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
