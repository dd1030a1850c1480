//! 32 bits that tell one output from another, without what a trace replaces.

use core::fmt::Write as _;

use crate::journal::{FRAME_HEAD, Kind, keyed};
use crate::sender::{Notice, Output, Wake};
use crate::time::Instant;

/// The digest of an output. Equal outputs of two machines that differ only in what a trace replaces have equal ones.
pub(super) fn output(output: &Output) -> u32 {
    match output {
        Output::Persist(batch) => {
            let start =
                Sum(0).byte(1).u64(batch.first().get()).u64(batch.last().get()).byte(u8::from(batch.is_gating()));
            frames(start, batch.bytes())
        }
        Output::Load(request) => {
            let records = request.records().iter();
            records.fold(Sum(0).byte(2).u64(request.id().0), |sum, seq| sum.u64(seq.get())).0
        }
        Output::Snapshot(part) => {
            let start = Sum(0).byte(3).u64(part.number()).u64(part.part().into()).byte(u8::from(part.is_last()));
            frames(start, part.bytes())
        }
        Output::Reclaim(mark) => Sum(0).byte(4).u64(mark.snapshot()).u64(mark.needed_from().get()).0,
        Output::Transmit(transmit) => {
            let id = transmit.attempt();
            let start = Sum(0).byte(5).u64(id.slot().into()).u64(id.turn().into()).u64(transmit.number().into());
            let start = start.instant(transmit.deadline()).u64(transmit.started().wall.as_millis());
            start.bytes(transmit.event().as_str().as_bytes()).bytes(transmit.endpoint().id.as_str().as_bytes()).0
        }
        Output::Abort(id) => Sum(0).byte(6).u64(id.slot().into()).u64(id.turn().into()).0,
        Output::Notice(told) => notice(told),
        Output::Wait(wake) => match wake {
            Wake::Ready => Sum(0).byte(8).0,
            Wake::At(at) => Sum(0).byte(9).instant(*at).0,
            Wake::Input => Sum(0).byte(10).0,
            Wake::Closed => Sum(0).byte(11).0,
        },
    }
}

fn notice(notice: &Notice) -> u32 {
    let mut sum = Sum(0).byte(7);
    if let Notice::Settled { event, .. } = notice {
        // By far the most frequent one.
        return sum.byte(0).bytes(event.as_str().as_bytes()).0;
    }
    write!(sum, "{notice}").expect("a sum takes everything");
    sum.0
}

/// The parts of frames that a trace does not replace.
fn frames(start: Sum, bytes: &bytes::Bytes) -> u32 {
    let mut sum = start;
    for (key, frame) in keyed(bytes) {
        let told = match key.kind {
            Kind::Accepted | Kind::Endpoint | Kind::Kept => &frame[4..FRAME_HEAD],
            Kind::Event => &frame[4..FRAME_HEAD + 12],
            Kind::Remembered => &frame[4..FRAME_HEAD + 24],
            Kind::Outcome => &frame[4..outcome_end(&frame)],
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
            | Kind::Erased => &frame[..],
        };
        sum = sum.bytes(told);
    }
    sum.0
}

/// Where the keys and the answer of an outcome begin: behind the byte that tells what followed and how many bytes the
/// time taken has, that time, and the due time of a retry.
fn outcome_end(frame: &[u8]) -> usize {
    const TOLD: usize = FRAME_HEAD + 26;
    let told = frame.get(TOLD).copied().unwrap_or(0);
    let due = if told & 0x0f == 1 { 16 } else { 0 };
    (TOLD + 1 + usize::from(told >> 4) + due).min(frame.len())
}

/// A checksum that is being taken.
#[derive(Clone, Copy)]
pub(super) struct Sum(pub(super) u32);

impl Sum {
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    pub(super) fn byte(self, byte: u8) -> Self {
        self.bytes(&[byte])
    }

    pub(super) fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    fn instant(self, at: Instant) -> Self {
        self.u64(at.as_nanos())
    }
}

impl core::fmt::Write for Sum {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        *self = self.bytes(text.as_bytes());
        Ok(())
    }
}
