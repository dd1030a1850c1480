//! The names by which repeats are recognised, brought back.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Fold;
use crate::id::{EventId, JournalSeq};
use crate::sender::notice::Notice;
use crate::sender::repeats::{Bounds, Known, Name};
use crate::sender::texts::Texts;
use crate::time::UnixTime;

/// The names that the records tell of, until it is known which there is room for.
#[derive(Debug, Default)]
pub(super) struct Window {
    names: Vec<Held>,
    /// Their events' ids: one by one in memory of their own, they would leave as many gaps when they go.
    ids: Texts,
}

/// One of them.
#[derive(Debug)]
struct Held {
    at: UnixTime,
    /// It stays for this.
    tenant: u32,
    name: Name,
    seq: JournalSeq,
    digest: [u8; 16],
    id: (u32, u8),
}

impl Window {
    /// Holds a name for which its tenant was retained.
    pub(super) fn hold(&mut self, at: UnixTime, tenant: u32, known: &Known) {
        let Known { name, event, seq, digest } = known;
        let id = self.ids.insert(event.as_str());
        self.names.push(Held { at, tenant, name: *name, seq: *seq, digest: *digest, id });
    }
}

impl Fold {
    /// Fills the window, when everything is known.
    pub(super) fn remember(&mut self) {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(27) {
            return;
        }
        let (now, bounds) = (self.sender.now, Bounds::of(&self.sender.limits));
        let Window { names: mut all, ids } = core::mem::take(&mut self.window);
        all.sort_by_key(|Held { at, seq, name, .. }| (*at, *seq, *name));
        // A snapshot and the log behind it may both tell of one.
        all.dedup_by(|later, kept| {
            let same = (later.seq, later.name) == (kept.seq, kept.name);
            same.then(|| self.sender.tenants.release(later.tenant));
            same
        });
        let age = |held: &Held| now.wall.saturating_since(held.at);
        let room = room_for(&all, bounds);
        let stay = all.iter().zip(&room).filter(|(held, room)| **room && age(held) < bounds.window);
        self.sender.repeats.reserve(stay.count());
        let mut shrunk = BTreeMap::new();
        for (held, room) in all.into_iter().zip(room) {
            let (age, sender) = (age(&held), &mut self.sender);
            let Held { tenant, name, seq, digest, id, .. } = held;
            match (age < bounds.window, room) {
                (false, _) => {}
                (true, true) => {
                    let event = EventId::new(ids.get(id)).expect("it was an id when it came");
                    let known = Known { name, event, seq, digest };
                    sender.repeats.insert(&mut sender.tenants, tenant, now.mono, age, known);
                }
                (true, false) => _ = shrunk.insert(sender.tenants[tenant].id.clone(), age),
            }
            sender.tenants.release(tenant);
        }
        for (tenant, age) in shrunk {
            self.sender.tell(JournalSeq::ZERO, Notice::WindowShrunk { tenant, age });
        }
    }
}

/// For which names there is room: of each tenant, and of all, for the youngest.
fn room_for(all: &[Held], bounds: Bounds) -> Vec<bool> {
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
