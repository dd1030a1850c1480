//! Which keys signed a request, and which receipts may answer it: noted by the thread that builds it, read by the machine
//! when the attempt ends.
//!
//! What a receipt must be is known as soon as a request is signed, so it is worked out there, by the keys that sign and of
//! the bytes that are sent: the machine only compares, and nothing is left for a transport to forget.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Sender;
use crate::id::AttemptId;
use crate::limits;
use crate::response::{Outcome, Reply};
use crate::secret::KeyId;
use crate::signing::receipt::{self, DeliveryReceipt, ReceiptCheck};
use crate::signing::{Headers as _, Made};

/// The keys that signed the request of one attempt, newest first, and their receipts; none while there is no request. A
/// clone is the same note.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many keys the note has, and [`ASKED`]: who wants to know no more need not wait for anybody.
    signers: AtomicU8,
    note: Mutex<Note>,
}

/// Whether the answer of success is to be looked at for a receipt.
const ASKED: u8 = 0x80;

/// Noting keys takes no memory, noting receipts does where they are asked for.
#[derive(Debug, Default)]
struct Note {
    keys: [Option<KeyId>; limits::RING_KEYS],
    receipts: Box<[DeliveryReceipt]>,
    /// What the answer is to have come to, of an attempt whose request nobody builds.
    feigned: ReceiptCheck,
}

impl Signed {
    /// Notes the keys of a request that was just built, in place of those of an earlier one.
    pub(crate) fn note(&self, made: Made) {
        let Made { keys, receipts } = made;
        self.put(Note { keys, receipts, feigned: ReceiptCheck::NotAsked });
    }

    fn put(&self, note: Note) {
        let asked = !note.receipts.is_empty() || note.feigned != ReceiptCheck::NotAsked;
        let signers = note.keys.iter().flatten().count() as u8 | if asked { ASKED } else { 0 };
        let mut place = self.lock();
        *place = note;
        self.0.signers.store(signers, Ordering::Release);
    }

    pub(crate) fn ids(&self) -> Vec<KeyId> {
        self.lock().keys.iter().flatten().copied().collect()
    }

    /// What an answer comes to as to its receipt. Only one of success says that the event has been taken.
    pub(crate) fn receipt(&self, outcome: &Outcome) -> ReceiptCheck {
        match outcome {
            Ok(reply) if self.is_asked() && (200..300).contains(&reply.status()) => self.lock().receipt(reply),
            Ok(_) | Err(_) => ReceiptCheck::NotAsked,
        }
    }

    fn is_asked(&self) -> bool {
        self.0.signers.load(Ordering::Acquire) & ASKED != 0
    }

    /// For a trace, in one byte: how many keys signed, at most 10, and in the upper half what the receipt came to.
    fn told(&self, outcome: &Outcome) -> u8 {
        self.0.signers.load(Ordering::Acquire) & !ASKED | self.receipt(outcome).to_wire() << 4
    }

    fn lock(&self) -> MutexGuard<'_, Note> {
        self.0.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    fn receipt(&self, reply: &Reply) -> ReceiptCheck {
        match self.feigned {
            ReceiptCheck::NotAsked => receipt::check(&self.receipts, reply.kept().all(receipt::HEADER)),
            feigned => feigned,
        }
    }
}

impl Sender {
    /// What there is to know of an attempt's request when it ends, in one byte.
    pub(super) fn signers(&self, attempt: AttemptId, outcome: &Outcome) -> u8 {
        let found = self.attempts.find(attempt, self.incarnation).and_then(|at| self.attempts.get(at));
        found.map_or(0, |attempt| attempt.signed.told(outcome))
    }

    /// Lets that be so of an attempt whose request nobody builds, as its record will be as long.
    pub(super) fn feign_signers(&self, attempt: AttemptId, byte: u8) {
        let found = self.attempts.find(attempt, self.incarnation).and_then(|at| self.attempts.get(at));
        let stand_in = |place| (place < usize::from(byte & 15)).then(|| KeyId::from_bytes([0; 8]));
        let feigned = ReceiptCheck::from_wire(byte >> 4).unwrap_or_default();
        found.into_iter().for_each(|attempt| {
            let keys = core::array::from_fn(stand_in);
            attempt.signed.put(Note { keys, receipts: Box::default(), feigned });
        });
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec;
    use core::time::Duration;

    use super::super::consent::tests::Rig;
    use super::super::{Config, Notice, PutError, Resolver, Transmit};
    use super::*;
    use crate::event::Event;
    use crate::id::EndpointKey;
    use crate::journal::{Record, Then};
    use crate::registration::{Endpoint, EndpointError, RingError};
    use crate::secret::Secret;
    use crate::signing::{Dialect, SigningKey};

    fn secret(number: u8) -> Secret {
        Secret::from_bytes([number; 32]).unwrap()
    }

    fn acme() -> Endpoint {
        Endpoint::new("acme", "https://acme.example.com/").signing_key(secret(1)).receipts(true)
    }

    fn key() -> EndpointKey {
        EndpointKey::new("acme").unwrap()
    }

    fn rig(endpoint: Endpoint) -> Rig {
        let mut rig = Rig::new(Config::new());
        rig.sender.put(rig.now, endpoint).unwrap();
        rig.drain();
        rig
    }

    /// Sends an event, its request built.
    fn send(rig: &mut Rig, id: &str) -> (Transmit, Vec<u8>) {
        let event = Event::json("order.paid", &1).unwrap().id(id);
        rig.sender.publish(rig.now, event).unwrap();
        let transmit = rig.drain().remove(0);
        let request = transmit.clear_by(Resolver::Simulation).unwrap().request();
        let body = request.body().to_vec();
        (transmit, body)
    }

    fn answer(rig: &mut Rig, transmit: &Transmit, status: u16, receipts: &[String]) {
        let lines = receipts.iter().map(|receipt| ("Postrider-Receipt", receipt.as_bytes()));
        rig.answer(transmit, Ok(Reply::new(status).headers(lines)));
        rig.drain();
    }

    fn receipt(number: u8, id: &str, body: &[u8]) -> String {
        DeliveryReceipt::sign(&SigningKey::from(secret(number)), id, body).to_string()
    }

    /// What the records of outcomes say, and what followed.
    fn recorded(rig: &Rig) -> Vec<(Then, ReceiptCheck)> {
        let outcome = |(_, record): &(_, Record)| match record {
            Record::Outcome(outcome) => Some((outcome.then, ReceiptCheck::from_wire(outcome.receipt).unwrap())),
            _ => None,
        };
        rig.log.iter().filter_map(outcome).collect()
    }

    fn told(rig: &mut Rig) -> Vec<(String, ReceiptCheck)> {
        let told = rig.told.drain(..).filter_map(|notice| match notice {
            Notice::Receipt { event, check, .. } => Some((event.to_string(), check)),
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn what_answers_bring_is_recorded_and_told_when_it_changes() {
        use ReceiptCheck::{Missing, Verified, Wrong};
        let mut rig = rig(acme());
        let mut told_at = Vec::new();
        for (id, brings) in [
            ("a", Verified),
            ("b", Missing),
            ("c", Missing),
            ("d", Wrong),
            ("e", Wrong),
            ("f", Verified),
            ("g", Verified),
            ("h", Wrong),
        ] {
            let (transmit, body) = send(&mut rig, id);
            let lines = match brings {
                Verified => vec![receipt(1, id, &body)],
                Wrong => vec![receipt(1, "another", &body), receipt(2, id, &body)],
                Missing | ReceiptCheck::NotAsked => vec![],
            };
            answer(&mut rig, &transmit, 204, &lines);
            told_at.extend(told(&mut rig));
            assert_eq!(recorded(&rig).last(), Some(&(Then::Delivered, brings)), "{id}");
            let view = rig.sender.endpoint(&key()).unwrap();
            assert_eq!((view.receipts, view.receipt), (true, brings));
        }
        let told_of = [("b", Missing), ("d", Wrong), ("f", Verified), ("h", Wrong)];
        assert_eq!(told_at, told_of.map(|(id, check)| (id.to_string(), check)));
        assert_eq!(
            Notice::Receipt { endpoint: key(), event: crate::id::EventId::new("b").unwrap(), check: Missing }
                .to_string(),
            "b to acme: delivered, but the answer has no receipt"
        );
    }

    #[test]
    fn without_success_or_unasked_nothing_is_looked_for() {
        let mut rig = rig(acme());
        let (transmit, body) = send(&mut rig, "a");
        answer(&mut rig, &transmit, 503, &[receipt(1, "a", &body)]);
        assert_eq!(recorded(&rig)[0].1, ReceiptCheck::NotAsked);
        rig.sender.put(rig.now, acme().receipts(false)).unwrap();
        rig.drain();
        rig.wait(Duration::from_secs(600));
        let again = rig.drain().remove(0);
        again.clear_by(Resolver::Simulation).unwrap().request();
        answer(&mut rig, &again, 200, &[]);
        assert_eq!(recorded(&rig)[1], (Then::Delivered, ReceiptCheck::NotAsked));
        assert!(told(&mut rig).is_empty());
    }

    #[test]
    fn a_receipt_is_by_a_key_that_has_signed_the_request() {
        let mut rig = rig(acme());
        rig.sender.add_key(rig.now, &key(), &secret(2)).unwrap();
        rig.drain();
        let (transmit, body) = send(&mut rig, "a");
        rig.sender.revoke_key(rig.now, &key(), secret(1).id()).unwrap();
        answer(&mut rig, &transmit, 200, &[receipt(1, "a", &body)]);
        let (transmit, body) = send(&mut rig, "b");
        answer(&mut rig, &transmit, 200, &[receipt(1, "b", &body)]);
        let checks: Vec<_> = recorded(&rig).into_iter().map(|(_, check)| check).collect();
        assert_eq!(checks, [ReceiptCheck::Verified, ReceiptCheck::Wrong]);
    }

    #[test]
    fn that_receipts_are_asked_for_survives() {
        let mut rig = rig(acme());
        rig.restart();
        let (transmit, body) = send(&mut rig, "a");
        answer(&mut rig, &transmit, 200, &[receipt(1, "a", &body)]);
        assert_eq!(recorded(&rig), [(Then::Delivered, ReceiptCheck::Verified)]);
    }

    #[test]
    fn who_cannot_be_given_receipts_cannot_ask_for_them() {
        let mut rig = Rig::new(Config::new());
        let refused = rig.sender.put(rig.now, acme().sign([Dialect::Github])).unwrap_err();
        assert!(matches!(refused, PutError::Invalid(_, EndpointError::Receipts)), "{refused}");
        assert!(rig.sender.put(rig.now, acme().sign([Dialect::Github, Dialect::Svix])).is_ok());
        let pair = Secret::from_pair_bytes([7; 64]).unwrap();
        let alone = Endpoint::new("pair", "https://acme.example.com/").signing_key(pair).receipts(true);
        let refused = rig.sender.put(rig.now, alone.clone()).unwrap_err();
        assert!(matches!(refused, PutError::Ring(_, RingError::NoShared)), "{refused}");
        assert!(rig.sender.put(rig.now, alone.signing_key(secret(3))).is_ok());
    }
}
