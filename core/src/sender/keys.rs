//! Changing an endpoint over to another key, and knowing when that is done: which keys its answers name.

use alloc::boxed::Box;
use core::time::Duration;

use super::Sender;
use super::commands::{Change, CommandError};
use crate::id::EndpointKey;
use crate::journal::{KeyUseRecord, Record, UseRecord};
use crate::registration::rotation::{KeyUsed, KeyUses, RotationStatus, Use};
use crate::response::Reply;
use crate::secret::{KeyId, Secret};
use crate::time::Now;

/// Of so many answers that say something about keys, one is written down, beside the first few.
const WRITTEN: u64 = 16;

/// What an endpoint's answers have said about its keys.
#[derive(Debug, Default)]
pub(crate) struct KeyUse {
    uses: KeyUses,
    /// Answers that said anything.
    heard: u64,
}

impl KeyUse {
    pub(super) fn of(record: &KeyUseRecord) -> Self {
        let use_of = |uses: &UseRecord| (uses.key, Use::new(uses.count, uses.since, uses.last));
        let uses = KeyUses::restore(record.keys.iter().map(use_of), record.run.as_ref().map(use_of), record.unclear);
        Self { uses, heard: record.heard }
    }

    pub(super) fn record(&self, endpoint: &EndpointKey, now: Now) -> Record {
        let entry = |(key, uses): (KeyId, Use)| {
            let Use { count, since, last, .. } = uses;
            UseRecord { key, count, since, last }
        };
        Record::KeyUse(Box::new(KeyUseRecord {
            endpoint: endpoint.clone(),
            keys: self.uses.iter().map(entry).collect(),
            run: self.uses.run().map(entry),
            unclear: self.uses.unclear(),
            heard: self.heard,
            at: now.wall,
        }))
    }
}

impl Sender {
    /// Changes an endpoint over to another key: it signs besides the others from the first attempt after this is durable,
    /// and these sign no attempt that starts `overlap` from now or later, or earlier where they would expire anyway. The
    /// overlap is at most 7 days; [`ROTATION_OVERLAP`](crate::limits::ROTATION_OVERLAP) is the usual one.
    ///
    /// [`rotation_status`](Self::rotation_status) says whether the receiver has changed over, and
    /// [`finish_rotation`](Self::finish_rotation) ends the overlap before its time.
    pub fn rotate_key(
        &mut self,
        now: Now,
        endpoint: &EndpointKey,
        secret: &Secret,
        overlap: Duration,
    ) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        let wall = self.now.wall;
        self.rekey(at, |draft| draft.rotate(secret, wall, overlap))
    }

    /// Ends a rotation: the newest key alone signs, from the first attempt after this is durable. The others leave the
    /// ring; they are not revoked, and may be added again.
    pub fn finish_rotation(&mut self, now: Now, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        let at = self.command(now, endpoint)?;
        let wall = self.now.wall;
        // Also those leave that have expired already: a clock that is set back would let them sign again.
        let before = self.endpoints.slab[at].draft.keys().count();
        self.rekey(at, |draft| {
            #[cfg(postrider_planted)]
            if crate::planted::breaks(80) {
                return Ok(true);
            }
            draft.finish(wall)?;
            draft.prune(wall);
            Ok(draft.keys().count() < before)
        })
    }

    /// Which keys an endpoint has, how often and since when its answers named each as the one that verified, and whether
    /// those before the newest are safe to retire. `None` when there is no such endpoint.
    ///
    /// Counted are answers of our receivers, which name the key; they are written down now and then, so that after a
    /// crash a few of the last ones are missing.
    pub fn rotation_status(&self, endpoint: &EndpointKey) -> Option<RotationStatus> {
        let slot = &self.endpoints.slab[*self.endpoints.by_key.get(endpoint)?];
        let none = KeyUses::default();
        let uses = slot.key_use.as_ref().map_or(&none, |key_use| &key_use.uses);
        Some(RotationStatus::of(slot.draft.keys(), uses, self.now.wall))
    }

    /// Counts what an answer says about the key that verified.
    pub(super) fn note_key_used(&mut self, at: u32, signed: &[KeyId], reply: &Reply) {
        if reply.kept().is_empty() {
            return;
        }
        let used = KeyUsed::read(reply.kept());
        let slot = &mut self.endpoints.slab[at];
        if used == KeyUsed::Unsaid || slot.removed {
            return;
        }
        let key_use = slot.key_use.get_or_insert_default();
        key_use.uses.observe(self.now.wall, signed, used);
        key_use.heard = key_use.heard.saturating_add(1);
        if key_use.heard.is_power_of_two() || key_use.heard.is_multiple_of(WRITTEN) {
            let record = key_use.record(&slot.key, self.now);
            self.record(&record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::consent::tests::Rig;
    use super::super::{Config, Resolver, Transmit};
    use super::*;
    use crate::event::Event;
    use crate::registration::Endpoint;
    use crate::registration::rotation::{Phase, Retire};
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn secret(number: u8) -> Secret {
        Secret::from_bytes([number; 32]).unwrap()
    }

    fn signatures(transmit: &Transmit) -> usize {
        let request = transmit.clear_by(Resolver::Simulation).unwrap().request();
        request.headers()["webhook-signature"].to_str().unwrap().split(' ').count()
    }

    #[test]
    fn a_rotation_is_finished_when_the_receiver_has_changed_over() {
        let mut rig = Rig::new(Config::new());
        let key = EndpointKey::new("acme").unwrap();
        let acme = Endpoint::new("acme", "https://acme.example.com/").signing_key(secret(1));
        rig.sender.put(rig.now, acme).unwrap();
        let day = Duration::from_secs(24 * 3600);
        rig.sender.rotate_key(rig.now, &key, &secret(2), day).unwrap();
        assert!(!rig.sender.rotate_key(rig.now, &key, &secret(2), day).unwrap().changed);
        assert!(rig.sender.rotate_key(rig.now, &key, &secret(3), 8 * day).is_err());
        rig.drain();
        let deliver = |rig: &mut Rig, number: u32, named: u8| {
            let event = Event::json("order.paid", &number).unwrap().id(alloc::format!("e{number}"));
            rig.sender.publish(rig.now, event).unwrap();
            let sent: Vec<_> = rig.drain();
            let signed = signatures(&sent[0]);
            let name = secret(named).id().to_string();
            let reply = Reply::new(204).header("Postrider-Key-Used", name.as_bytes());
            rig.answer(&sent[0], Ok(reply));
            rig.drain();
            rig.wait(Duration::from_secs(600));
            signed
        };
        assert_eq!(deliver(&mut rig, 0, 1), 2);
        let status = rig.sender.rotation_status(&key).unwrap();
        assert!(matches!(status.old_key(), Retire::StillUsed { key, .. } if key == secret(1).id()));
        (1..12).for_each(|number| _ = deliver(&mut rig, number, 2));
        rig.restart();
        let status = rig.sender.rotation_status(&key).unwrap();
        assert_eq!(status.old_key(), Retire::Safe);
        assert!(status.keys.iter().any(|key| key.used.is_some_and(|used| used.count >= 7)));
        rig.sender.finish_rotation(rig.now, &key).unwrap();
        assert_eq!(rig.sender.rotation_status(&key).unwrap().phase, Phase::Settled(secret(2).id()));
        rig.drain();
        assert_eq!(deliver(&mut rig, 20, 9), 1, "the old key signs nothing any more");
        let status = rig.sender.rotation_status(&key).unwrap();
        assert_eq!(status.unclear, 1, "a key that did not sign cannot have verified");
        let shown = alloc::format!("{status:?} {:?}", rig.log);
        assert!(!shown.contains(&secret(2).reveal()), "no secret is shown");
    }

    #[test]
    fn who_had_expired_when_a_rotation_was_finished_signs_no_more_when_the_clock_goes_back() {
        let mut rig = Rig::new(Config::new());
        let key = EndpointKey::new("acme").unwrap();
        let acme = Endpoint::new("acme", "https://acme.example.com/").signing_key(secret(1));
        rig.sender.put(rig.now, acme).unwrap();
        let early = rig.now.wall;
        rig.sender.rotate_key(rig.now, &key, &secret(2), Duration::from_secs(60)).unwrap();
        rig.drain();
        rig.wait(Duration::from_secs(3600));
        assert!(
            rig.sender.finish_rotation(rig.now, &key).unwrap().changed,
            "the first key had expired, and now it is gone"
        );
        assert!(!rig.sender.finish_rotation(rig.now, &key).unwrap().changed);
        rig.drain();
        rig.now.wall = early;
        let event = Event::json("order.paid", &1).unwrap().id("e1");
        rig.sender.publish(rig.now, event).unwrap();
        assert_eq!(signatures(&rig.drain()[0]), 1);
    }
}
