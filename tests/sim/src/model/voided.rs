//! Events of which nothing more is to be sent, because somebody cancelled or erased them, or purged their tenant.

use super::facts::Facts;
use super::ledger::Ledger;
use super::owed::Event;
use crate::observe::{Told, Wish};

impl Ledger {
    /// Somebody wishes that nothing more is sent of some events. Whoever cancels an event learns whether the node knew it;
    /// of what is erased or purged only what the node surely has by now is surely meant.
    pub(super) fn void(&mut self, facts: &Facts, call: u64, wish: &Wish<'_>) {
        let mut meant = Vec::new();
        let mut mark = |event: &mut Event, known: bool| {
            event.cancelled.0 = true;
            if known || event.sure {
                meant.push(event.number);
            }
        };
        match wish {
            Wish::Cancel { event, .. } => self.events.get_mut(*event).into_iter().for_each(|event| mark(event, true)),
            Wish::Erase { event, .. } => {
                for number in facts.with_replays(*event) {
                    self.events.get_mut(number).into_iter().for_each(|event| mark(event, false));
                }
            }
            Wish::Purge(tenant) => {
                let of_tenant = self.events.values_mut().filter(|event| event.tenant == *tenant);
                of_tenant.for_each(|event| mark(event, false));
            }
            Wish::Publish(_)
            | Wish::Put(_)
            | Wish::Pause(_)
            | Wish::Resume(_)
            | Wish::Disable(_)
            | Wish::Remove(_)
            | Wish::AddKey(..)
            | Wish::ExpireKey(..)
            | Wish::RevokeKey(..)
            | Wish::RotateKey(..)
            | Wish::FinishRotation(_)
            | Wish::Close(_) => {}
        }
        self.voids.insert(call, meant);
    }

    /// They learn what became of that.
    pub(super) fn void_answered(&mut self, call: u64, told: Told) {
        let Some(meant) = self.voids.remove(&call).filter(|_| matches!(told, Told::Ok { .. })) else { return };
        for number in meant {
            if let Some(event) = self.events.get_mut(number) {
                event.cancelled.1 = true;
            }
        }
    }
}
