//! Consent: nothing is sent to an endpoint whose owner has not agreed, where that is wished.
//!
//! | wish | what is sent | consent is |
//! | --- | --- | --- |
//! | [`None`](ConsentBy::None) | nothing | not needed |
//! | [`Challenge`](ConsentBy::Challenge) | a signed `endpoint.verify` event by `POST` | its token, coming back in the body |
//! | [`CloudEvents`](ConsentBy::CloudEvents) | `OPTIONS` with `WebHook-Request-Origin` | `WebHook-Allowed-Origin`, or a callback |
//!
//! [`Consent`] is the machine of one endpoint: when to ask, how often, until when, and what came of it. The words of
//! the two ways are plain functions beside it: [`Question`] and [`read_callback`] for CloudEvents, [`challenge_data`]
//! and [`read_echo`] for the challenge, and [`Doorkeeper`] for the side that answers.
//!
//! ```text
//!             begin                 ask                answered, echoed
//! NotNeeded --------> Due --------------------> Asking ----------------> Granted
//!                      ^                         |  |                      ^
//!                      |  failed, asks are left  |  |   leaves it to the   |  called back
//!                      '-------------------------'  |   callback           |  (from Due and Asking too)
//!                                                   |'--------> Waiting ---'
//!                              refused, none left   v              |
//!                                               Declined <---------'  nobody called in time
//! ```
//!
//! ```
//! use postrider_core::registration::consent::{Consent, ConsentBy, Origin, Question, Stage, Token};
//! use postrider_core::time::Now;
//!
//! let (now, token) = (Now::default(), Token::new("3q2-7wEjRWeJqrvM3e7_AA")?);
//! let question = Question::new(Origin::new("events.example.com")?);
//! let mut consent = Consent::new(ConsentBy::CloudEvents, None);
//! consent.begin(now);
//! consent.ask(now, &token);
//! // An OPTIONS request with `question.lines()` goes out, and the answer comes.
//! let answer = question.read(&[("WebHook-Allowed-Origin", "events.example.com")]);
//! let reason = consent.answered(now, answer, 200);
//! assert!(matches!(consent.stage(), Stage::Granted { .. }));
//! assert_eq!(reason.to_string(), "the endpoint agreed to ask number 1: no rate was asked for or named");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod challenge;
mod handshake;
mod kept;
mod reason;
mod token;

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;
use core::time::Duration;

pub use challenge::{CHALLENGE_TYPE, ECHO_BYTES, EchoError, challenge_data, read_echo};
pub use handshake::{
    Answer, Callback, CallbackError, Doorkeeper, HANDSHAKE_LINES, Line, Origin, OriginError, Question, Rate, Reception,
    Refusal, read_callback,
};
pub use kept::{Kept, KeptStage};
pub use reason::{ConsentReason, ConsentRule, Decline, Failure};
pub use token::{TOKEN_BYTES, Token, TokenDigest, TokenError};

use crate::signing::Headers;
use crate::time::{Instant, Now, UnixTime};

/// How long after a failed ask the next one is due; there are no more asks than these and the first.
pub const ASK_DELAYS: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
];

/// How long the callback of one ask may be used.
pub const CALLBACK_LIFE: Duration = Duration::from_secs(24 * 3600);

/// An ask of which nothing is heard for this long has failed. The attempt's own deadline is earlier: this is for one
/// that nobody reports.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(120);

/// Asks in one round, and so tokens that are known at once, at most.
const ASKS: u8 = ASK_DELAYS.len() as u8 + 1;

/// How an endpoint's owner is asked for consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must know each way")]
pub enum ConsentBy {
    /// Not at all: registering it is enough.
    #[default]
    None,
    /// By a signed event whose token must come back.
    Challenge,
    /// By the validation handshake of CloudEvents webhooks.
    CloudEvents,
}

impl ConsentBy {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Challenge, Self::CloudEvents];

    /// Its number in the journal, which does not change between versions.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Challenge => 1,
            Self::CloudEvents => 2,
        }
    }

    /// The inverse of [`to_wire`](Self::to_wire); `None` for a number that it never gives.
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.to_wire() == number)
    }

    /// Its name: `none`, `challenge` or `cloudevents`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Challenge => "challenge",
            Self::CloudEvents => "cloudevents",
        }
    }

    /// Its number in the journal.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Challenge => 1,
            Self::CloudEvents => 2,
        }
    }

    /// The one with this number.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.code() == code)
    }
}

impl fmt::Display for ConsentBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no way to ask for consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsentByError;

impl FromStr for ConsentBy {
    type Err = ConsentByError;

    fn from_str(text: &str) -> Result<Self, ConsentByError> {
        Self::ALL.into_iter().find(|by| by.name() == text).ok_or(ConsentByError)
    }
}

impl fmt::Display for ConsentByError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("consent is asked for by `none`, `challenge` or `cloudevents`")
    }
}

impl core::error::Error for ConsentByError {}

/// Where the consent of an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever shows a stage must show each")]
pub enum Stage {
    /// Nobody asked for it.
    NotNeeded,
    /// The endpoint is to be asked at this time.
    Due {
        /// When.
        at: Instant,
    },
    /// The endpoint was asked and has not answered.
    Asking {
        /// When the ask has failed, if nothing is heard of it.
        until: Instant,
    },
    /// The endpoint leaves it to the callback.
    Waiting {
        /// When the last callback URL ends.
        until: Instant,
    },
    /// It agreed.
    Granted {
        /// When.
        at: UnixTime,
        /// The rate that it agreed to. By a challenge no rate is spoken of.
        rate: Rate,
    },
    /// It did not agree, and is not asked again by itself.
    Declined {
        /// When.
        at: UnixTime,
        /// Why.
        why: Decline,
    },
}

/// The consent of one endpoint.
///
/// No call panics, and a call that does not fit the stage changes nothing and says so
/// ([`Stale`](ConsentRule::Stale)). It is at most some 400 bytes, for the tokens of at most 7 asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    by: ConsentBy,
    /// Requests a minute that were asked for.
    rate: Option<NonZeroU32>,
    stage: Stage,
    /// Asks of this round.
    asks: u8,
    /// Tokens of this round's callback URLs, each with its end; at most [`ASKS`].
    tokens: Vec<(TokenDigest, Instant)>,
}

impl Consent {
    /// Nothing has been asked yet. `rate` is what the question will ask for, in requests a minute.
    pub const fn new(by: ConsentBy, rate: Option<NonZeroU32>) -> Self {
        Self { by, rate, stage: Stage::NotNeeded, asks: 0, tokens: Vec::new() }
    }

    /// Begins a round: the endpoint was registered, or registered again, its URL changed, or a grant is to be renewed.
    /// Whatever was granted before is over, and no earlier callback URL works. By [`None`](ConsentBy::None) there is
    /// nothing to begin.
    pub fn begin(&mut self, now: Now) -> ConsentReason {
        self.asks = 0;
        self.tokens.clear();
        match self.by {
            ConsentBy::None => {
                self.stage = Stage::NotNeeded;
                self.said(now, ConsentRule::NotNeeded)
            }
            ConsentBy::Challenge | ConsentBy::CloudEvents => {
                self.stage = Stage::Due { at: now.mono };
                self.said(now, ConsentRule::Begun)
            }
        }
    }

    /// Asks, with a token that was just minted, if it is time to. The caller sends the request when the reason is
    /// [`Asked`](ConsentRule::Asked), with the token in it, and reports what came of it once.
    pub fn ask(&mut self, now: Now, token: &Token) -> ConsentReason {
        match self.stage {
            Stage::Due { at } if at <= now.mono => {}
            Stage::NotNeeded
            | Stage::Due { .. }
            | Stage::Asking { .. }
            | Stage::Waiting { .. }
            | Stage::Granted { .. }
            | Stage::Declined { .. } => return self.said(now, ConsentRule::Stale),
        }
        self.asks = self.asks.saturating_add(1).min(ASKS);
        self.tokens.retain(|(_, ends)| *ends > now.mono);
        if self.tokens.len() >= usize::from(ASKS) {
            self.tokens.remove(0);
        }
        if self.by == ConsentBy::CloudEvents {
            self.tokens.push((token.digest(), now.mono.saturating_add(CALLBACK_LIFE)));
        }
        self.stage = Stage::Asking { until: now.mono.saturating_add(ASK_TIMEOUT) };
        self.said(now, ConsentRule::Asked)
    }

    /// The `OPTIONS` request was answered, with this meaning ([`Question::read`]) and this status.
    ///
    /// The status gives no consent and takes none. It only tells, where the answer is silent, a site that cannot answer
    /// now (408, 429, 5xx), which is asked again, from one that does not take part, which is not.
    pub fn answered(&mut self, now: Now, answer: Answer, status: u16) -> ConsentReason {
        if !self.is_asking(ConsentBy::CloudEvents) {
            return self.said(now, ConsentRule::Stale);
        }
        match answer {
            Answer::Granted(rate) => self.grant(now, rate, false),
            Answer::Later => match self.tokens.iter().map(|(_, ends)| *ends).max() {
                Some(until) => {
                    self.stage = Stage::Waiting { until };
                    self.said(now, ConsentRule::WaitsForCallback)
                }
                None => self.decline(now, Decline::NoCallback),
            },
            Answer::Refused(Refusal::Silent) if matches!(status, 408 | 429 | 500..) => {
                self.failed(now, Failure::Status(status))
            }
            Answer::Refused(why) => self.decline(now, Decline::Refused(why)),
        }
    }

    /// The challenge was answered ([`read_echo`]). Whatever is not its echo is tried again, as a receiver may be set up
    /// after it is registered; only 410 declines at once.
    pub fn echoed(&mut self, now: Now, echo: Result<(), EchoError>) -> ConsentReason {
        if !self.is_asking(ConsentBy::Challenge) {
            return self.said(now, ConsentRule::Stale);
        }
        match echo {
            Ok(()) => self.grant(now, Rate::Unspoken, false),
            Err(EchoError::Status(410)) => self.decline(now, Decline::Gone),
            Err(why @ (EchoError::Status(_) | EchoError::Empty | EchoError::TooLong | EchoError::Other)) => {
                self.failed(now, Failure::Echo(why))
            }
        }
    }

    /// The ask had no answer: it could not be sent, or the connection failed.
    pub fn unreachable(&mut self, now: Now) -> ConsentReason {
        match self.stage {
            Stage::Asking { .. } => self.failed(now, Failure::Unreachable),
            Stage::NotNeeded
            | Stage::Due { .. }
            | Stage::Waiting { .. }
            | Stage::Granted { .. }
            | Stage::Declined { .. } => self.said(now, ConsentRule::Stale),
        }
    }

    /// A request came to a callback URL, with this token ([`Callback::token_of`]), method and header lines.
    ///
    /// With the token of an ask of this round that is at most [`CALLBACK_LIFE`] old it gives consent, once: after that
    /// no URL of the round works. A request that gives none uses nothing up.
    pub fn called_back(
        &mut self,
        now: Now,
        token: &[u8],
        method: &str,
        headers: &(impl Headers + ?Sized),
    ) -> ConsentReason {
        let open = match self.stage {
            Stage::Due { .. } | Stage::Asking { .. } | Stage::Waiting { .. } => true,
            Stage::NotNeeded | Stage::Granted { .. } | Stage::Declined { .. } => false,
        };
        // Every token is compared, so that the time tells nothing about which.
        let known = self.tokens.iter().filter(|(digest, ends)| digest.is_of(token) & (*ends > now.mono)).count() > 0;
        if !(open && known) {
            return self.said(now, ConsentRule::UnknownCallback);
        }
        match read_callback(method, self.rate, headers) {
            Answer::Granted(rate) => self.grant(now, rate, true),
            Answer::Refused(why) => self.said(now, ConsentRule::BadCallback(why)),
            Answer::Later => self.said(now, ConsentRule::Stale),
        }
    }

    /// Time has passed: ends what has waited too long.
    pub fn tick(&mut self, now: Now) -> ConsentReason {
        match self.stage {
            Stage::Asking { until } if until <= now.mono => self.failed(now, Failure::Overdue),
            Stage::Waiting { until } if until <= now.mono => self.decline(now, Decline::NoCallback),
            Stage::NotNeeded
            | Stage::Due { .. }
            | Stage::Asking { .. }
            | Stage::Waiting { .. }
            | Stage::Granted { .. }
            | Stage::Declined { .. } => self.said(now, ConsentRule::Stale),
        }
    }

    /// When something is to be done next: [`ask`](Self::ask) where it is due, else [`tick`](Self::tick).
    pub fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due { at } => Some(at),
            Stage::Asking { until } | Stage::Waiting { until } => Some(until),
            Stage::NotNeeded | Stage::Granted { .. } | Stage::Declined { .. } => None,
        }
    }

    /// Where it stands.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// How it is asked for.
    pub const fn by(&self) -> ConsentBy {
        self.by
    }

    /// Asks of this round, at most 7.
    pub const fn asks(&self) -> u8 {
        self.asks
    }

    /// Whether deliveries may be made: it is not needed, or was given.
    pub fn is_given(&self) -> bool {
        self.by == ConsentBy::None || matches!(self.stage, Stage::Granted { .. })
    }

    /// The rate that deliveries are held to, in requests a minute, if any.
    pub fn limit(&self) -> Option<NonZeroU32> {
        match self.stage {
            Stage::Granted { rate, .. } => rate.limit(),
            Stage::NotNeeded
            | Stage::Due { .. }
            | Stage::Asking { .. }
            | Stage::Waiting { .. }
            | Stage::Declined { .. } => None,
        }
    }

    /// The line that every delivery carries besides, where consent was given by the handshake (section 4.1.2).
    pub fn delivery_line(&self, origin: &Origin) -> Option<Line> {
        let shook = self.by == ConsentBy::CloudEvents && matches!(self.stage, Stage::Granted { .. });
        shook.then(|| origin.line())
    }

    /// The digests of the tokens whose callback URLs may still be used.
    pub fn callbacks(&self) -> impl ExactSizeIterator<Item = TokenDigest> {
        self.tokens.iter().map(|(digest, _)| *digest)
    }

    fn is_asking(&self, by: ConsentBy) -> bool {
        self.by == by && matches!(self.stage, Stage::Asking { .. })
    }

    fn grant(&mut self, now: Now, rate: Rate, called: bool) -> ConsentReason {
        self.tokens.clear();
        self.stage = Stage::Granted { at: now.wall, rate };
        self.said(now, if called { ConsentRule::GrantedByCallback(rate) } else { ConsentRule::Granted(rate) })
    }

    fn decline(&mut self, now: Now, why: Decline) -> ConsentReason {
        self.tokens.clear();
        self.stage = Stage::Declined { at: now.wall, why };
        self.said(now, ConsentRule::Declined(why))
    }

    fn failed(&mut self, now: Now, why: Failure) -> ConsentReason {
        match ASK_DELAYS.get(usize::from(self.asks).saturating_sub(1)) {
            Some(delay) => {
                self.stage = Stage::Due { at: now.mono.saturating_add(*delay) };
                self.said(now, ConsentRule::TriesAgain(why))
            }
            None => self.decline(now, Decline::GaveUp(why)),
        }
    }

    fn said(&self, now: Now, rule: ConsentRule) -> ConsentReason {
        let next = self.due().map(|at| at.saturating_since(now.mono));
        ConsentReason { rule, by: self.by, asks: self.asks, at: now.wall, next }
    }
}

#[cfg(test)]
mod tests;
