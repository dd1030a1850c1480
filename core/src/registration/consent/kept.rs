//! A consent as it is kept over a restart, with dates in place of the machine's clock.

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

use super::{
    ASK_DELAYS, ASKS, CALLBACK_LIFE, Consent, ConsentBy, Decline, EchoError, Failure, Rate, Refusal, Stage, TokenDigest,
};
use crate::time::{Instant, Now, UnixTime};

/// What a record of a consent says. No token is in it, only digests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a record is written and read field by field")]
pub struct Kept {
    /// How consent is asked for.
    pub by: ConsentBy,
    /// Requests a minute that are asked for.
    pub rate: Option<NonZeroU32>,
    /// Where it stands.
    pub stage: KeptStage,
    /// Asks of this round.
    pub asks: u8,
    /// Digests of the tokens of this round's callback URLs, each with its end; at most 7.
    pub tokens: Vec<(TokenDigest, UnixTime)>,
}

/// [`Stage`] with dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a record is written and read variant by variant")]
pub enum KeptStage {
    /// Nobody asked for it.
    NotNeeded,
    /// The endpoint is to be asked at this time. So is one that is being asked: its answer would reach nobody.
    Due {
        /// When.
        at: UnixTime,
    },
    /// The endpoint leaves it to the callback.
    Waiting {
        /// When the last callback URL ends.
        until: UnixTime,
    },
    /// It agreed.
    Granted {
        /// When.
        at: UnixTime,
        /// The rate that it agreed to.
        rate: Rate,
    },
    /// It did not agree.
    Declined {
        /// When.
        at: UnixTime,
        /// Why.
        why: Decline,
    },
}

impl KeptStage {
    /// The stage by its number, its date, and what it says further, by a number of its own and one of the peer's.
    pub const fn to_wire(self) -> (u8, UnixTime, (u8, u32)) {
        match self {
            Self::NotNeeded => (0, UnixTime::EPOCH, (0, 0)),
            Self::Due { at } => (1, at, (0, 0)),
            Self::Waiting { until } => (2, until, (0, 0)),
            Self::Granted { at, rate } => (3, at, rate_to_wire(rate)),
            Self::Declined { at, why } => (4, at, decline_to_wire(why)),
        }
    }

    /// The inverse of [`to_wire`](Self::to_wire); `None` for what it never gives.
    pub fn from_wire(stage: u8, at: UnixTime, detail: (u8, u32)) -> Option<Self> {
        Some(match stage {
            0 => Self::NotNeeded,
            1 => Self::Due { at },
            2 => Self::Waiting { until: at },
            3 => Self::Granted { at, rate: rate_from_wire(detail)? },
            4 => Self::Declined { at, why: decline_from_wire(detail)? },
            _ => return None,
        })
    }
}

const fn rate_to_wire(rate: Rate) -> (u8, u32) {
    match rate {
        Rate::Unlimited => (0, 0),
        Rate::PerMinute(rate) => (1, rate.get()),
        Rate::Unanswered(rate) => (2, rate.get()),
        Rate::Unspoken => (3, 0),
    }
}

fn rate_from_wire((code, number): (u8, u32)) -> Option<Rate> {
    Some(match code {
        0 => Rate::Unlimited,
        1 => Rate::PerMinute(NonZeroU32::new(number)?),
        2 => Rate::Unanswered(NonZeroU32::new(number)?),
        3 => Rate::Unspoken,
        _ => return None,
    })
}

const fn decline_to_wire(why: Decline) -> (u8, u32) {
    match why {
        Decline::Refused(Refusal::Silent) => (0, 0),
        Decline::Refused(Refusal::OtherOrigin) => (1, 0),
        Decline::Refused(Refusal::BadRate) => (2, 0),
        Decline::Refused(Refusal::Method) => (3, 0),
        Decline::NoCallback => (4, 0),
        Decline::Gone => (5, 0),
        Decline::GaveUp(Failure::Unreachable) => (6, 0),
        Decline::GaveUp(Failure::Overdue) => (7, 0),
        Decline::GaveUp(Failure::Status(status)) => (8, status as u32),
        Decline::GaveUp(Failure::Echo(EchoError::Status(status))) => (9, status as u32),
        Decline::GaveUp(Failure::Echo(EchoError::Empty)) => (10, 0),
        Decline::GaveUp(Failure::Echo(EchoError::TooLong)) => (11, 0),
        Decline::GaveUp(Failure::Echo(EchoError::Other)) => (12, 0),
    }
}

fn decline_from_wire((code, number): (u8, u32)) -> Option<Decline> {
    let status = u16::try_from(number).ok();
    Some(match code {
        0 => Decline::Refused(Refusal::Silent),
        1 => Decline::Refused(Refusal::OtherOrigin),
        2 => Decline::Refused(Refusal::BadRate),
        3 => Decline::Refused(Refusal::Method),
        4 => Decline::NoCallback,
        5 => Decline::Gone,
        6 => Decline::GaveUp(Failure::Unreachable),
        7 => Decline::GaveUp(Failure::Overdue),
        8 => Decline::GaveUp(Failure::Status(status?)),
        9 => Decline::GaveUp(Failure::Echo(EchoError::Status(status?))),
        10 => Decline::GaveUp(Failure::Echo(EchoError::Empty)),
        11 => Decline::GaveUp(Failure::Echo(EchoError::TooLong)),
        12 => Decline::GaveUp(Failure::Echo(EchoError::Other)),
        _ => return None,
    })
}

impl Consent {
    /// What to record of it.
    pub fn keep(&self, now: Now) -> Kept {
        let date = |at: Instant| now.wall.saturating_add(at.saturating_since(now.mono));
        let stage = match self.stage {
            Stage::NotNeeded => KeptStage::NotNeeded,
            Stage::Due { at } => KeptStage::Due { at: date(at) },
            Stage::Asking { .. } => KeptStage::Due { at: now.wall },
            Stage::Waiting { until } => KeptStage::Waiting { until: date(until) },
            Stage::Granted { at, rate } => KeptStage::Granted { at, rate },
            Stage::Declined { at, why } => KeptStage::Declined { at, why },
        };
        let tokens = self.tokens.iter().map(|(digest, ends)| (*digest, date(*ends))).collect();
        Kept { by: self.by, rate: self.rate, stage, asks: self.asks, tokens }
    }

    /// The consent that a record says. A date that lies further ahead than any could when it was written, because the
    /// wall clock has gone back, is brought near.
    pub fn restore(now: Now, kept: &Kept) -> Self {
        let longest = ASK_DELAYS.iter().max().copied().unwrap_or_default();
        let rest = |date: UnixTime, most: Duration| now.mono.saturating_add(date.saturating_since(now.wall).min(most));
        let stage = match kept.stage {
            KeptStage::NotNeeded => Stage::NotNeeded,
            KeptStage::Due { at } => Stage::Due { at: rest(at, longest) },
            KeptStage::Waiting { until } => Stage::Waiting { until: rest(until, CALLBACK_LIFE) },
            KeptStage::Granted { at, rate } => Stage::Granted { at, rate },
            KeptStage::Declined { at, why } => Stage::Declined { at, why },
        };
        let tokens = kept.tokens.iter().take(usize::from(ASKS));
        let tokens = tokens.map(|(digest, ends)| (*digest, rest(*ends, CALLBACK_LIFE))).collect();
        Self { by: kept.by, rate: kept.rate, stage, asks: kept.asks.min(ASKS), tokens }
    }
}
