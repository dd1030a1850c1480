//! 32 bits that tell one output from another, without what a trace replaces.

use core::fmt::Write as _;

use crate::id::EndpointKey;
use crate::journal::{FRAME_HEAD, Kind, kinds};
use crate::sender::{Notice, Output, Purpose, Wake};
use crate::table::rest_of;
use crate::time::Instant;

/// A checksum of an endpoint's name, which is taken once: of a thousand endpoints the names are far away, and nothing else
/// that happens to a delivery looks at them.
pub(crate) fn mark(endpoint: &EndpointKey) -> u64 {
    Sum::new(25).bytes(endpoint.tenant.as_str().as_bytes()).bytes(endpoint.id.as_str().as_bytes()).0
}

/// The digest of an output. Equal outputs of two machines that differ only in what a trace replaces have equal ones.
pub(super) fn output(output: &Output) -> u32 {
    match output {
        Output::Persist(batch) => {
            let start = Sum::new(1).u64(batch.first().get()).u64(batch.last().get()).u64(batch.is_gating().into());
            frames(start, batch.bytes())
        }
        Output::Load(request) => {
            let records = request.records().iter();
            records.fold(Sum::new(2).u64(request.id().0), |sum, seq| sum.u64(seq.get())).end()
        }
        Output::Snapshot(part) => {
            let start = Sum::new(3).u64(part.number()).u64(part.part().into()).u64(part.is_last().into());
            frames(start, part.bytes())
        }
        Output::Reclaim(mark) => Sum::new(4).u64(mark.snapshot()).u64(mark.needed_from().get()).end(),
        Output::Transmit(transmit) => {
            let id = transmit.attempt();
            let start = Sum::new(5).u64(id.slot().into()).u64(id.turn().into()).u64(transmit.number().into());
            let start = start.instant(transmit.deadline()).u64(transmit.started().wall.as_millis());
            let sum = start.bytes(transmit.event().as_str().as_bytes()).u64(transmit.wire.mark);
            match transmit.purpose() {
                Purpose::Delivery => sum.end(),
                Purpose::Challenge => sum.u64(1).end(),
                Purpose::Handshake => sum.u64(2).end(),
            }
        }
        Output::Abort(id) => Sum::new(6).u64(id.slot().into()).u64(id.turn().into()).end(),
        Output::Notice(told) => notice(told),
        Output::Wait(wake) => match wake {
            Wake::Ready => Sum::new(8).end(),
            Wake::At(at) => Sum::new(9).instant(*at).end(),
            Wake::Input => Sum::new(10).end(),
            Wake::Closed => Sum::new(11).end(),
        },
    }
}

fn notice(notice: &Notice) -> u32 {
    let mut sum = Sum::new(7);
    if let Notice::Settled { event, .. } = notice {
        // By far the most frequent one.
        return sum.u64(0).bytes(event.as_str().as_bytes()).end();
    }
    write!(sum, "{notice}").expect("a sum takes everything");
    sum.end()
}

/// The parts of frames that a trace does not replace.
fn frames(start: Sum, bytes: &[u8]) -> u32 {
    let mut sum = start;
    for (kind, frame) in kinds(bytes) {
        let told = match kind {
            Kind::Accepted | Kind::Endpoint | Kind::Kept | Kind::KeyUse => &frame[4..FRAME_HEAD],
            Kind::Event => &frame[4..FRAME_HEAD + 12],
            Kind::Remembered => &frame[4..FRAME_HEAD + 24],
            Kind::Outcome => &frame[4..outcome_end(frame)],
            Kind::Genesis
            | Kind::Opened
            | Kind::Removed
            | Kind::Queued
            | Kind::Mark
            | Kind::Ended
            | Kind::Cancelled
            | Kind::SnapshotBegin
            | Kind::Pending
            | Kind::SnapshotEnd
            | Kind::Purged
            | Kind::Erased
            | Kind::Lane
            | Kind::Health
            | Kind::Synced
            | Kind::Consent => frame,
        };
        sum = sum.bytes(told);
    }
    sum.end()
}

/// Where the keys and the answer of an outcome begin: behind the byte that tells what followed and how many bytes the
/// time taken has, that time, and the due time of a retry.
fn outcome_end(frame: &[u8]) -> usize {
    const TOLD: usize = FRAME_HEAD + 26;
    let told = frame.get(TOLD).copied().unwrap_or(0);
    let due = if told & 0x0f == 1 { 16 } else { 0 };
    (TOLD + 1 + usize::from(told >> 4) + due).min(frame.len())
}

/// A checksum that is being taken: multiplied and rotated, eight bytes at a time. It finds mistakes, not forgeries, and
/// costs a nanosecond a word.
#[derive(Clone, Copy)]
pub(super) struct Sum(u64);

impl Sum {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(super) const fn new(kind: u64) -> Self {
        Self(kind).u64(kind)
    }

    pub(super) const fn u64(self, number: u64) -> Self {
        Self((self.0.rotate_left(29) ^ number).wrapping_mul(Self::FACTOR))
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let sum = words.iter().fold(self.u64(bytes.len() as u64), |sum, word| sum.u64(u64::from_le_bytes(*word)));
        if rest.is_empty() { sum } else { sum.u64(rest_of(bytes, rest)) }
    }

    /// What is written.
    pub(super) const fn end(self) -> u32 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(Self::FACTOR);
        (mixed >> 32) as u32
    }

    const fn instant(self, at: Instant) -> Self {
        self.u64(at.as_nanos())
    }
}

impl core::fmt::Write for Sum {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        *self = self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Sum, output};
    use crate::event::Event;
    use crate::registration::Endpoint;
    use crate::secret::Secret;
    use crate::sender::consent::tests::Rig;
    use crate::sender::{Config, Output};

    /// The digest of the first attempt for an endpoint of that name.
    fn attempt(tenant: &str, endpoint: &str, event: &str) -> u32 {
        let mut rig = Rig::new(Config::new());
        let key = Secret::from_bytes([7; 32]).unwrap();
        let endpoint = Endpoint::new(endpoint, "https://acme.example.com/").tenant(tenant).signing_key(key);
        rig.sender.put(rig.now, endpoint).unwrap();
        rig.drain();
        let event = Event::json("order.paid", &1).unwrap().tenant(tenant).id(event);
        rig.sender.publish(rig.now, event).unwrap();
        output(&Output::Transmit(rig.drain().remove(0)))
    }

    #[test]
    fn an_attempt_says_where_it_goes_and_with_which_event() {
        let usual = attempt("ab", "c", "e");
        assert_eq!(attempt("ab", "c", "e"), usual);
        for (tenant, endpoint, event) in [("ab", "d", "e"), ("a", "c", "e"), ("a", "bc", "e"), ("ab", "c", "f")] {
            assert_ne!(attempt(tenant, endpoint, event), usual, "{tenant} {endpoint} {event}");
        }
    }

    #[test]
    fn every_byte_and_every_length_counts() {
        let bytes: [u8; 40] = core::array::from_fn(|i| i as u8);
        let whole = Sum::new(1).bytes(&bytes).end();
        for at in 0..bytes.len() {
            let mut other = bytes;
            other[at] ^= 0x80;
            assert_ne!(Sum::new(1).bytes(&other).end(), whole);
            assert_ne!(Sum::new(1).bytes(&bytes[..at]).end(), whole);
        }
        assert_ne!(Sum::new(1).bytes(&[0; 3]).end(), Sum::new(1).bytes(&[0; 4]).end());
        assert_ne!(Sum::new(1).end(), Sum::new(2).end());
    }
}
