//! What a receiver asks of a store of claims, so that several instances, or one before and after a restart, deliver an
//! event once between them.
//!
//! A claim is taken before the application gets an event, and committed when it has ended for good or released when it is
//! wanted again. Who claims and is not heard of again loses the claim when its lease runs out: an instance that dies in the
//! middle has processed nothing that anybody knows of, so the event is delivered again. What a store answers in each case is
//! said, and done for all of them, by [`ClaimBook`](super::book::ClaimBook).

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::contract::DeliveryId;
use crate::time::UnixTime;

/// A wish to be the one that delivers an event. To be answered with
/// [`RecvInput::Claimed`](super::RecvInput::Claimed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// Which delivery of the machine asks.
    pub delivery: DeliveryId,
    /// What nobody but the signer can change and every repeat has again: the id where the signature covers it, the digest of
    /// what was signed where it does not. It begins with the [scope](super::ReceiverConfig::scope). At most 330 bytes.
    pub key: Arc<str>,
    /// The event's id, where the signature does not cover it, behind the same scope as in `key`. It counts only where `key`
    /// is unseen: an event is new if both are.
    pub said: Option<Arc<str>>,
    /// Of a replay the key of the event that is replayed: it is granted only if it was signed later than everything else
    /// under that key.
    pub replay_of: Option<Arc<str>>,
    /// When the request was signed; the epoch where the scheme signs no time.
    pub signed: UnixTime,
    /// How long the claim holds without being committed or released.
    pub lease: Duration,
    /// The line that the event has a place in, where receiving is ordered: the store answers the last place in it.
    pub line: Option<Arc<str>>,
}

impl Claim {
    /// A claim of this key, of no delivery of any machine: for those who try a store out. Nothing is said, nothing
    /// replayed, and the request was signed at no time.
    pub fn new(key: impl Into<Arc<str>>, lease: Duration) -> Self {
        Self {
            delivery: DeliveryId(0),
            key: key.into(),
            said: None,
            replay_of: None,
            signed: UnixTime::EPOCH,
            lease,
            line: None,
        }
    }

    /// The end of this claim for good, where it was granted under this token.
    pub fn commit(&self, token: ClaimToken, ending: Ending) -> Commit {
        Commit { delivery: self.delivery, key: self.key.clone(), token, ending, place: None }
    }

    /// The end of this claim without an end of its event, where it was granted under this token.
    pub fn release(&self, token: ClaimToken) -> Release {
        Release { key: self.key.clone(), token }
    }
}

/// What names a claim from when it is granted: a store never gives the same twice, and a later claim's is larger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimToken(u64);

impl ClaimToken {
    /// The token with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What a claim came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an event is unseen, in progress, or over")]
pub enum Claimed {
    /// The event is the claimant's, for as long as its lease.
    Granted {
        /// Names the claim.
        token: ClaimToken,
        /// The last place in the claim's line that was committed, where there is one.
        place: Option<u64>,
    },
    /// Another has it.
    Held {
        /// In how long that other's lease runs out, if it is not committed or released before.
        lease: Duration,
    },
    /// It has ended before.
    Over(Ending),
}

/// How a delivery ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the results of processing that no repeat may change")]
pub enum Ending {
    /// It was processed.
    Done,
    /// It was stored, by the application or by the inbox.
    Queued,
    /// The application refused it.
    Refused,
    /// The application wants nothing more from its sender.
    Unsubscribed,
}

/// The end of a claim whose event has ended for good; repeats are to be told [`Claimed::Over`]. To be answered with
/// [`RecvInput::Committed`](super::RecvInput::Committed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The claim's key.
    pub key: Arc<str>,
    /// The claim.
    pub token: ClaimToken,
    /// How it ended.
    pub ending: Ending,
    /// The line of the event and its place in it, where receiving is ordered: from now on the last one, unless a later one
    /// is known.
    pub place: Option<(Arc<str>, u64)>,
}

/// The end of a claim whose event is wanted again. It needs no answer: a release that is lost is made up by the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Release {
    /// The claim's key.
    pub key: Arc<str>,
    /// The claim.
    pub token: ClaimToken,
}

/// Why a store of claims did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimError {
    /// The store cannot be asked, or did not answer.
    Unavailable {
        /// What went wrong, for logs.
        why: Arc<str>,
    },
    /// The lease had run out, and the event was granted to another since or was forgotten: it may have been delivered twice.
    Lost,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { why } => write!(f, "the store of claims cannot be asked: {why}"),
            Self::Lost => f.write_str("the claim's lease had run out"),
        }
    }
}

impl core::error::Error for ClaimError {}
