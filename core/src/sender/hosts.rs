//! Hosts and ports, where the attempts to each are bounded.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::tables::Slot;
use super::turns::Crowd;
use crate::registration::Target;
use crate::table::Slab;

/// A host and port that endpoints or attempts name.
#[derive(Debug)]
struct Place {
    name: (Box<str>, u16),
    in_flight: u32,
    /// Endpoints and attempts that name it.
    uses: u32,
    /// Endpoints that could go on if there were fewer attempts to it.
    crowd: Crowd<2>,
}

/// All of them; empty where nothing is bounded.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    slab: Slab<Place>,
    by_name: BTreeMap<(Box<str>, u16), u32>,
}

impl Hosts {
    /// The place of a target, for an endpoint that names it until [`release`](Self::release).
    pub(crate) fn retain(&mut self, target: &Target) -> u32 {
        let name = (Box::from(target.server_name()), target.port());
        let at = self.by_name.get(&name).copied().unwrap_or_else(|| {
            let place = Place { name: name.clone(), in_flight: 0, uses: 0, crowd: Crowd::default() };
            let at = self.slab.insert(place);
            self.by_name.insert(name, at);
            at
        });
        self.slab[at].uses += 1;
        at
    }

    /// One that named it does not any more.
    pub(crate) fn release(&mut self, at: u32) {
        let place = &mut self.slab[at];
        place.uses -= 1;
        if place.uses == 0 {
            debug_assert!(place.crowd.is_empty(), "whoever waits for it names it");
            self.by_name.remove(&place.name);
            self.slab.remove(at);
        }
    }

    /// An attempt to it begins, and names it until [`end`](Self::end).
    pub(crate) fn begin(&mut self, at: u32) {
        self.slab[at].uses += 1;
        self.slab[at].in_flight += 1;
    }

    /// An attempt to it has landed.
    pub(crate) fn end(&mut self, at: u32) {
        self.slab[at].in_flight -= 1;
        self.release(at);
    }

    /// Whether one more attempt may begin.
    pub(crate) fn is_free(&self, at: u32, limit: u32) -> bool {
        #[cfg(postrider_planted)]
        let limit = limit.saturating_add(crate::planted::breaks(48).into());
        self.slab[at].in_flight < limit.max(1)
    }

    /// Lets an endpoint wait until fewer attempts are in flight.
    pub(crate) fn wait(&mut self, at: u32, endpoints: &mut Slab<Slot>, endpoint: u32) {
        self.slab[at].crowd.wait(endpoints, endpoint);
    }

    /// Takes an endpoint that waits, if one more attempt may begin.
    pub(crate) fn admit(&mut self, at: u32, limit: u32, endpoints: &mut Slab<Slot>) -> Option<u32> {
        // The last that named it may have gone.
        let place = self.slab.get_mut(at).filter(|place| place.in_flight < limit.max(1))?;
        place.crowd.admit(endpoints)
    }

    /// An endpoint waits no more.
    pub(crate) fn leave(&mut self, at: u32, endpoints: &mut Slab<Slot>, endpoint: u32) {
        self.slab[at].crowd.leave(endpoints, endpoint);
    }

    /// Attempts in flight to a host and port.
    pub(crate) fn in_flight(&self, host: &str, port: u16) -> u32 {
        let at = self.by_name.get(&(Box::from(host), port));
        at.map_or(0, |at| self.slab[*at].in_flight)
    }
}
