//! What goes wrong in a run, by its seed.

use std::fmt;
use std::time::Duration;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The request does not arrive. The sender learns nothing and tries again.
    RequestLost,
    /// The answer does not arrive: what was processed is sent again.
    AnswerLost,
    /// The request arrives, and once more later.
    Duplicate,
    /// The request arrives late, behind those that were sent after it.
    Delay,
    /// The sender crashes while it waits for the answer. It starts again a second later, knows no acknowledgement of the
    /// last second, and sends everything that it does not know to be acknowledged.
    SenderCrash,
    /// The receiver crashes before the handler gets the event, and forgets what it has seen.
    ReceiverCrash,
    /// The receiver crashes after the handler had its effect and before the answer leaves, and forgets what it has seen.
    CrashBeforeAnswer,
    /// The handler has its effect and panics behind it.
    Panic,
}

impl Fault {
    /// Every fault, in the order of this page.
    pub const ALL: [Self; 8] = [
        Self::RequestLost,
        Self::AnswerLost,
        Self::Duplicate,
        Self::Delay,
        Self::SenderCrash,
        Self::ReceiverCrash,
        Self::CrashBeforeAnswer,
        Self::Panic,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestLost => "the request is lost",
            Self::AnswerLost => "the answer is lost",
            Self::Duplicate => "the request arrives twice",
            Self::Delay => "the request is late",
            Self::SenderCrash => "the sender crashes",
            Self::ReceiverCrash => "the receiver crashes before the handler gets it",
            Self::CrashBeforeAnswer => "the receiver crashes between the handler's effect and the answer",
            Self::Panic => "the handler panics behind its effect",
        })
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// The event, by its place in the rehearsal.
    pub event: usize,
    /// The attempt to send it, counted from 1.
    pub attempt: u32,
    /// What happens to that attempt, if there is one.
    pub fault: Fault,
    /// How much later, of a fault that takes time.
    pub by: Duration,
}

/// The troubles of a run: none to three for each event, most of them at its first attempt.
pub(super) fn of(seed: u64, events: usize, faults: &[Fault]) -> Vec<Trouble> {
    let mut dice = Dice(seed);
    let mut troubles = Vec::new();
    for event in 0..events {
        for _ in 0..dice.below(4) {
            let attempt = [1, 1, 2, 3][dice.below(4)];
            let shift = dice.below(10);
            let by = Duration::from_millis((1 << shift) * 40 + dice.below(40) as u64);
            if !faults.is_empty() {
                troubles.push(Trouble { event, attempt, fault: faults[dice.below(faults.len())], by });
            }
        }
    }
    troubles
}

/// SplitMix64, as its authors published it.
struct Dice(u64);

impl Dice {
    /// A number below `bound`, which is small.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
