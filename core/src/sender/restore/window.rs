//! The names by which repeats are recognised, brought back.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Fold;
use crate::id::JournalSeq;
use crate::sender::notice::Notice;
use crate::sender::repeats::{Bounds, Known};
use crate::time::UnixTime;

/// A name that a repeat is recognised by, until it is known whether there is room for it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) at: UnixTime,
    /// It stays for this.
    pub(super) tenant: u32,
    pub(super) known: Known,
}

impl Fold {
    /// Fills the window, when everything is known.
    pub(super) fn remember(&mut self) {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(27) {
            return;
        }
        let (now, bounds) = (self.sender.now, Bounds::of(&self.sender.limits));
        let mut all = core::mem::take(&mut self.remembered);
        all.sort_by_key(|Held { at, known, .. }| (*at, known.seq, known.name));
        // A snapshot and the log behind it may both tell of one.
        let same = |a: &mut Held, b: &mut Held| (a.known.seq, a.known.name) == (b.known.seq, b.known.name);
        all.dedup_by(|later, kept| {
            let same = same(later, kept);
            same.then(|| self.sender.tenants.release(later.tenant));
            same
        });
        let room = self.room_for(&all, bounds);
        self.sender.repeats.reserve(room.iter().filter(|room| **room).count());
        let mut shrunk = BTreeMap::new();
        for (Held { at, tenant, known }, room) in all.into_iter().zip(room) {
            let (age, sender) = (now.wall.saturating_since(at), &mut self.sender);
            match (age < bounds.window, room) {
                (false, _) => {}
                (true, true) => sender.repeats.insert(&mut sender.tenants, tenant, now.mono, age, known),
                (true, false) => _ = shrunk.insert(sender.tenants[tenant].id.clone(), age),
            }
            sender.tenants.release(tenant);
        }
        for (tenant, age) in shrunk {
            self.sender.tell(JournalSeq::ZERO, Notice::WindowShrunk { tenant, age });
        }
    }

    /// For which names there is room: of each tenant, and of all, for the youngest.
    fn room_for(&self, all: &[Held], bounds: Bounds) -> Vec<bool> {
        let (mut left, mut of_tenant) = (bounds.total, BTreeMap::new());
        let youngest_first = all.iter().rev().map(|Held { tenant, .. }| {
            let mine = of_tenant.entry(*tenant).or_insert(bounds.each);
            let room = left > 0 && *mine > 0;
            (left, *mine) = (left - usize::from(room), *mine - usize::from(room));
            room
        });
        let mut room: Vec<_> = youngest_first.collect();
        room.reverse();
        room
    }
}
