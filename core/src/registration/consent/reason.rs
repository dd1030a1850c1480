//! Why a consent stands where it stands.

use core::fmt;
use core::time::Duration;

use super::{ConsentBy, EchoError, Rate, Refusal};
use crate::time::UnixTime;

/// What a call did to a [`Consent`](super::Consent): the rule, its inputs, and what is due next.
///
/// `Display` says it in one plain sentence, without secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsentReason {
    /// The rule, with what it went by.
    pub rule: ConsentRule,
    /// How consent is asked for.
    pub by: ConsentBy,
    /// Asks of this round.
    pub asks: u8,
    /// When the call was made.
    pub at: UnixTime,
    /// How long after that something is to be done next, if anything.
    pub next: Option<Duration>,
}

impl ConsentReason {
    /// Whether the consent stands elsewhere than before, so that there is something to record.
    pub const fn is_change(&self) -> bool {
        match self.rule {
            ConsentRule::NotNeeded
            | ConsentRule::Begun
            | ConsentRule::Asked
            | ConsentRule::Granted(_)
            | ConsentRule::GrantedByCallback(_)
            | ConsentRule::WaitsForCallback
            | ConsentRule::TriesAgain(_)
            | ConsentRule::Declined(_) => true,
            ConsentRule::BadCallback(_) | ConsentRule::UnknownCallback | ConsentRule::Stale => false,
        }
    }
}

/// The rules of consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must act on each")]
pub enum ConsentRule {
    /// The endpoint need not be asked.
    NotNeeded,
    /// The endpoint is to be asked.
    Begun,
    /// The endpoint was asked.
    Asked,
    /// It agreed.
    Granted(Rate),
    /// It agreed by the callback.
    GrantedByCallback(Rate),
    /// It leaves it to the callback.
    WaitsForCallback,
    /// The ask failed and is made again.
    TriesAgain(Failure),
    /// It did not agree.
    Declined(Decline),
    /// A callback with the right token gave no consent. Nothing has changed.
    BadCallback(Refusal),
    /// A callback had no token that works. Nothing has changed.
    UnknownCallback,
    /// The call came too late or too early. Nothing has changed.
    Stale,
}

/// Why an ask failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must know each")]
pub enum Failure {
    /// No answer came.
    Unreachable,
    /// Nobody reported what came of it.
    Overdue,
    /// The answer was silent, under a status that says: not now.
    Status(u16),
    /// The challenge did not come back.
    Echo(EchoError),
}

/// Why an endpoint did not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must know each")]
pub enum Decline {
    /// It refused.
    Refused(Refusal),
    /// Nobody used the callback in time.
    NoCallback,
    /// It answered the challenge with 410.
    Gone,
    /// Every ask failed, the last one so.
    GaveUp(Failure),
}

impl fmt::Display for ConsentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asks = self.asks;
        match self.rule {
            ConsentRule::NotNeeded => f.write_str("the endpoint need not be asked for consent"),
            ConsentRule::Begun => write!(f, "the endpoint is to be asked for consent, by {}", self.by),
            ConsentRule::Asked => {
                write!(f, "the endpoint was asked for consent, by {}, for time number {asks}", self.by)
            }
            ConsentRule::Granted(rate) => write!(f, "the endpoint agreed to ask number {asks}: {rate}"),
            ConsentRule::GrantedByCallback(rate) => {
                write!(f, "the endpoint agreed by callback after ask number {asks}: {rate}")
            }
            ConsentRule::WaitsForCallback => {
                f.write_str("the endpoint left its consent to the callback")?;
                self.next.map_or(Ok(()), |next| write!(f, ", which works for {next:.0?} more"))
            }
            ConsentRule::TriesAgain(why) => {
                write!(f, "ask number {asks} failed: {why}")?;
                self.next.map_or(Ok(()), |next| write!(f, "; the next one is due in {next:.0?}"))
            }
            ConsentRule::Declined(why) => write!(f, "the endpoint did not agree after {asks} asks: {why}"),
            ConsentRule::BadCallback(why) => write!(f, "a callback gave no consent: {why}"),
            ConsentRule::UnknownCallback => f.write_str("a callback had no token that works, or none that still does"),
            ConsentRule::Stale => f.write_str("nothing about the endpoint's consent was due"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no answer came"),
            Self::Overdue => f.write_str("nobody reported what came of it"),
            Self::Status(status) => write!(f, "the answer was silent under status {status}"),
            Self::Echo(why) => write!(f, "{why}"),
        }
    }
}

impl fmt::Display for Decline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::NoCallback => f.write_str("nobody used the callback in time"),
            Self::Gone => f.write_str("it answered 410"),
            Self::GaveUp(why) => write!(f, "{why}"),
        }
    }
}
