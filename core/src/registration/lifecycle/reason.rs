//! Why an endpoint's life is as it is.

use core::fmt;
use core::time::Duration;

use super::{Event, UnixTime};

/// Why a step did what it did: the rule, its inputs, and what is due next. Made to be recorded and shown.
///
/// `Display` says it in one plain sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a record is written and read field by field")]
pub struct Reason {
    /// The rule.
    pub rule: Rule,
    /// What happened, with the inputs of the rule.
    pub event: Event,
    /// When it happened.
    pub at: UnixTime,
    /// How long after that something is due by itself: the end of a rest, or of a hold.
    pub next: Option<Duration>,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $code:literal, $name:literal, $text:literal;)*) => {
        /// The rules of an endpoint's life.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = concat!("The endpoint ", $text, ".")] $rule,)*
        }

        impl Rule {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// Its number in the journal. It never changes.
            pub const fn code(self) -> u8 {
                match self { $(Self::$rule => $code,)* }
            }

            /// Its name for machines, which never changes.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$rule => $text,)* }
            }
        }
    };
}

rules! {
    Registered = 1, "registered", "was registered";
    RegisteredUnverified = 2, "registered-unverified", "was registered, and its owner has yet to agree";
    RegisteredAgain = 3, "registered-again", "was registered again";
    Agreed = 4, "agreed", "may be sent to, because its owner agreed";
    Declined = 5, "declined", "was disabled, because its owner did not agree";
    Withdrawn = 6, "withdrawn", "is held until its owner agrees anew";
    Paused = 7, "paused", "was paused";
    Resumed = 8, "resumed", "was resumed";
    ResumedUnverified = 9, "resumed-unverified", "was resumed, and its owner has yet to agree";
    Disabled = 10, "disabled", "was disabled";
    Failing = 11, "failing", "was disabled, because its attempts failed for too long";
    Gone = 12, "gone", "answered 410 and is sent nothing more";
    HoldOver = 13, "hold-over", "was disabled for so long that what waited for it is discarded";
    Removed = 14, "removed", "was removed";
    Throttled = 15, "throttled", "asked for a rest";
    Opened = 16, "breaker-opened", "failed too often, so that its breaker opened";
    Probed = 17, "breaker-half-open", "has rested and is probed with one delivery";
    ProbeFailed = 18, "probe-failed", "failed its probe, so that its breaker opened again";
    Recovered = 19, "recovered", "passed its probe and is sent to again";
    RestOver = 20, "rest-over", "has rested as it asked and is sent to again";
    AlreadyRegistered = 32, "already-registered", "is registered already";
    AlreadyPaused = 33, "already-paused", "is paused already";
    AlreadyDisabled = 34, "already-disabled", "is disabled already";
    AlreadyGone = 35, "already-gone", "is gone already";
    AlreadyRemoved = 36, "already-removed", "is removed already";
    NotPaused = 37, "not-paused", "is neither paused nor disabled";
    NotActive = 38, "not-active", "is not active, so that its failures do not count";
    NotAsked = 39, "not-asked", "is not being asked for consent";
    NotDisabled = 40, "not-disabled", "is not disabled, so that nothing of it is held";
    NotInService = 41, "not-in-service", "is out of service, so that its answers do not count";
    NotResting = 42, "not-resting", "is not resting";
    StillPaused = 43, "still-paused", "stays paused until it is resumed";
    StillResting = 44, "still-resting", "rests for as long as it did before";
    Well = 45, "well", "answers well";
    FailureNoted = 46, "failure-noted", "failed once, which its breaker counts";
    ResumeFirst = 64, "resume-first", "is disabled and can be resumed or removed";
    RegisterFirst = 65, "register-first", "is gone or removed and can only be registered again";
}

impl Rule {
    /// The rule with this number.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.code() == code)
    }
}

impl Reason {
    /// The reason that a record says by its numbers; `None` when a later version wrote it.
    pub fn from_wire(rule: u8, event: (u8, [u64; 2]), at: UnixTime, next: Option<Duration>) -> Option<Self> {
        Some(Self { rule: Rule::of_code(rule)?, event: Event::from_wire(event.0, event.1)?, at, next })
    }
}

impl Event {
    /// Its number in the journal, which never changes, and its inputs: times in milliseconds, lengths of time in
    /// nanoseconds.
    pub fn to_wire(self) -> (u8, [u64; 2]) {
        let nanos = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        match self {
            Self::Register { consent } => (1, [consent.into(), 0]),
            Self::Agreed => (2, [0; 2]),
            Self::Declined => (3, [0; 2]),
            Self::Withdrawn => (4, [0; 2]),
            Self::Pause => (5, [0; 2]),
            Self::Resume { consent } => (6, [consent.into(), 0]),
            Self::Disable => (7, [0; 2]),
            Self::Failing { since, attempts } => (8, [since.as_millis(), attempts.into()]),
            Self::Gone => (9, [0; 2]),
            Self::HoldOver => (10, [0; 2]),
            Self::Remove => (11, [0; 2]),
            Self::Succeeded => (12, [0; 2]),
            Self::Failed => (13, [0; 2]),
            Self::Throttled { rest } => (14, [nanos(rest), 0]),
            Self::Tripped { attempts, failed } => (15, [attempts.into(), failed.into()]),
            Self::RestOver => (16, [0; 2]),
        }
    }

    /// The inverse of [`to_wire`](Self::to_wire); `None` for a number that it never gives. Inputs that are too large are
    /// as large as can be.
    pub fn from_wire(code: u8, [first, second]: [u64; 2]) -> Option<Self> {
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Some(match code {
            1 => Self::Register { consent: first != 0 },
            2 => Self::Agreed,
            3 => Self::Declined,
            4 => Self::Withdrawn,
            5 => Self::Pause,
            6 => Self::Resume { consent: first != 0 },
            7 => Self::Disable,
            8 => Self::Failing { since: UnixTime::from_millis(first), attempts: count(second) },
            9 => Self::Gone,
            10 => Self::HoldOver,
            11 => Self::Remove,
            12 => Self::Succeeded,
            13 => Self::Failed,
            14 => Self::Throttled { rest: Duration::from_nanos(first) },
            15 => Self::Tripped { attempts: count(first), failed: count(second) },
            16 => Self::RestOver,
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the endpoint {}", self.rule.text())?;
        if let (Rule::Failing, Event::Failing { since, attempts }) = (self.rule, self.event) {
            write!(f, ": {attempts} attempts failed since {since} and none succeeded")?;
        }
        if let (Rule::Opened | Rule::ProbeFailed, Event::Tripped { attempts, failed }) = (self.rule, self.event) {
            write!(f, ": {failed} of {attempts} attempts failed")?;
        }
        let Some(next) = self.next else { return Ok(()) };
        if matches!(self.rule, Rule::Throttled | Rule::Opened | Rule::ProbeFailed | Rule::StillResting) {
            write!(f, "; it is sent to again in {next:.0?}")
        } else if matches!(self.rule, Rule::Disabled | Rule::Failing | Rule::Declined) {
            write!(f, "; what waits for it is held for {next:.0?}")
        } else {
            Ok(())
        }
    }
}
