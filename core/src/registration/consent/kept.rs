//! A consent as it is kept over a restart, with dates in place of the machine's clock.

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

use super::{ASK_DELAYS, ASKS, CALLBACK_LIFE, Consent, ConsentBy, Decline, Rate, Stage, TokenDigest};
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
