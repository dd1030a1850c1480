//! The status table, and what follows from it.

use super::{Denial, Outcome, TransportError};
use crate::limits::RETRY_AFTER_CAP;
use crate::time::UnixTime;
use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

/// What an outcome means for the delivery and for its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever acts on a verdict has to act on each")]
pub enum Verdict {
    /// The receiver has the event.
    Delivered,
    /// It failed; try again by the schedule.
    Retry {
        /// No attempt of this delivery before this long after the reply: the `Retry-After`, capped.
        not_before: Option<Duration>,
    },
    /// The receiver cannot keep up: try again, and spare the whole endpoint.
    Throttled {
        /// No attempt of any delivery to the endpoint before this long after the reply: the `Retry-After`, capped.
        not_before: Option<Duration>,
    },
    /// The endpoint is no more: disable it.
    Gone,
    /// Trying again is pointless.
    Refused(RefusedWhy),
}

/// Why trying again is pointless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedWhy {
    /// The attempt may not be made, or the payload not be expressed.
    Denied(Denial),
    /// The receiver answered with this status, and under the endpoint's profile a client error is final.
    Status(u16),
    /// The application in this process that it was handed to never wants it.
    Unwanted,
}

/// By which specification a status is judged. They differ only in the client errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Standard Webhooks, "Delivery success and failure": a client error is retried.
    #[default]
    StandardWebhooks,
    /// CloudEvents, HTTP webhook 1.0.2 section 2.2: certain client errors are final.
    CloudEvents,
}

/// A verdict with its reason. `Display` writes the reason as one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ruling {
    /// What the outcome means.
    pub verdict: Verdict,
    /// The row of the table that decided.
    pub rule: Rule,
    /// What was judged.
    pub cause: Cause,
    /// What a failing response asked for by `Retry-After`, before it was capped.
    pub asked: Option<Duration>,
}

/// What was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an attempt ends with a status or without one")]
pub enum Cause {
    /// The status of a response.
    Status(u16),
    /// The lack of a response.
    Transport(TransportError),
}

/// A row of the status table, or one of the three rules for attempts without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// 200 to 299.
    Success,
    /// 400.
    BadRequest,
    /// 401.
    Unauthorized,
    /// 402.
    PaymentRequired,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 410.
    Gone,
    /// 413.
    TooLarge,
    /// 415.
    UnsupportedType,
    /// 422.
    Unprocessable,
    /// 429.
    TooMany,
    /// 431.
    HeadersTooLarge,
    /// 502.
    BadGateway,
    /// 503.
    Unavailable,
    /// 504.
    GatewayTimeout,
    /// 100 to 199, which no final response has.
    Interim,
    /// 300 to 399.
    Redirect,
    /// 400 to 499 without a row of their own.
    ClientError,
    /// 500 to 599 without a row of their own.
    ServerError,
    /// Every other number.
    Unknown,
    /// No attempt may be made.
    Denied,
    /// The application in this process never wants it.
    Unwanted,
    /// There was no response.
    NoResponse,
}

/// Judges how an attempt ended. `wall` is the time at which the reply came; `Retry-After` dates are counted from it
/// where the reply has no `Date`.
///
/// Total: every status and every transport error has a verdict. A response is judged by its status and its
/// `Retry-After` alone.
pub fn verdict(outcome: &Outcome, profile: Profile, wall: UnixTime) -> Ruling {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(error) => return without_reply(*error),
    };
    let status = reply.status();
    let row = TABLE.iter().find(|row| row.statuses.contains(&status)).expect("the last row has every status");
    let hint = reply.hint(wall);
    let verdict = match row.meaning.under(profile) {
        Class::Delivered => Verdict::Delivered,
        Class::Retry => Verdict::Retry { not_before: hint.floor() },
        Class::Throttled => Verdict::Throttled { not_before: hint.floor() },
        Class::Gone => Verdict::Gone,
        Class::Refused => Verdict::Refused(RefusedWhy::Status(status)),
    };
    let asked = match verdict {
        Verdict::Delivered => None,
        Verdict::Retry { .. } | Verdict::Throttled { .. } | Verdict::Gone | Verdict::Refused(_) => hint.asked(),
    };
    Ruling { verdict, rule: row.rule, cause: Cause::Status(status), asked }
}

/// What was denied stays denied, except that a name without an address today may have one tomorrow.
fn without_reply(error: TransportError) -> Ruling {
    use Denial::{Address, Mixed, NoAddress, Port, Scheme, TooLarge, TooNested, Unencodable};
    use TransportError as E;
    let retry = (Verdict::Retry { not_before: None }, Rule::NoResponse);
    let (verdict, rule) = match error {
        E::Denied(denial @ (Address | Port | Scheme | Mixed | Unencodable | TooNested | TooLarge)) => {
            (Verdict::Refused(RefusedWhy::Denied(denial)), Rule::Denied)
        }
        E::Unwanted => (Verdict::Refused(RefusedWhy::Unwanted), Rule::Unwanted),
        E::Denied(NoAddress) | E::NameNotFound | E::NameFailed => retry,
        E::ConnectRefused | E::Unreachable | E::ConnectFailed => retry,
        E::TlsUntrusted | E::TlsWrongName | E::TlsExpired | E::TlsFailed => retry,
        E::SendFailed | E::Closed | E::MalformedHead | E::HeadTooLarge => retry,
        E::TimedOut(_) | E::Aborted | E::LocalResources => retry,
    };
    Ruling { verdict, rule, cause: Cause::Transport(error), asked: None }
}

/// One row: these statuses mean this.
struct Row {
    statuses: RangeInclusive<u16>,
    rule: Rule,
    meaning: Meaning,
    /// Follows the status in the sentence.
    says: &'static str,
}

/// What a row means.
enum Meaning {
    /// The same under every profile.
    Always(Class),
    /// Retried, but final under CloudEvents.
    ClientError,
}

impl Meaning {
    const fn under(&self, profile: Profile) -> Class {
        match (self, profile) {
            (Self::Always(class), Profile::StandardWebhooks | Profile::CloudEvents) => *class,
            (Self::ClientError, Profile::StandardWebhooks) => Class::Retry,
            (Self::ClientError, Profile::CloudEvents) => Class::Refused,
        }
    }
}

#[derive(Clone, Copy)]
enum Class {
    Delivered,
    Retry,
    Throttled,
    Gone,
    Refused,
}

const fn row(statuses: RangeInclusive<u16>, rule: Rule, meaning: Meaning, says: &'static str) -> Row {
    Row { statuses, rule, meaning, says }
}

const DELIVERED: Meaning = Meaning::Always(Class::Delivered);
const RETRY: Meaning = Meaning::Always(Class::Retry);
const THROTTLED: Meaning = Meaning::Always(Class::Throttled);
const GONE: Meaning = Meaning::Always(Class::Gone);
const CLIENT_ERROR: Meaning = Meaning::ClientError;

/// The first row that has the status decides.
const TABLE: [Row; 21] = [
    row(200..=299, Rule::Success, DELIVERED, "says that the receiver has the event"),
    row(400..=400, Rule::BadRequest, CLIENT_ERROR, "says that the receiver cannot read the request"),
    row(401..=401, Rule::Unauthorized, CLIENT_ERROR, "says that the request lacks credentials"),
    row(402..=402, Rule::PaymentRequired, CLIENT_ERROR, "says that the receiver wants to be paid"),
    row(403..=403, Rule::Forbidden, CLIENT_ERROR, "says that the receiver does not allow the request"),
    row(404..=404, Rule::NotFound, CLIENT_ERROR, "says that there is nothing at the URL"),
    row(405..=405, Rule::MethodNotAllowed, CLIENT_ERROR, "says that the URL does not take POST"),
    row(410..=410, Rule::Gone, GONE, "says that the endpoint is no more"),
    row(413..=413, Rule::TooLarge, CLIENT_ERROR, "says that the payload is too large"),
    row(415..=415, Rule::UnsupportedType, CLIENT_ERROR, "says that the receiver does not take this content type"),
    row(422..=422, Rule::Unprocessable, CLIENT_ERROR, "says that the receiver cannot process the payload"),
    row(429..=429, Rule::TooMany, THROTTLED, "says that the receiver gets too many requests"),
    row(431..=431, Rule::HeadersTooLarge, CLIENT_ERROR, "says that the headers are too large"),
    row(502..=502, Rule::BadGateway, THROTTLED, "says that a gateway got no valid answer from the receiver"),
    row(503..=503, Rule::Unavailable, THROTTLED, "says that the receiver is overloaded"),
    row(504..=504, Rule::GatewayTimeout, THROTTLED, "says that a gateway got no answer from the receiver in time"),
    row(100..=199, Rule::Interim, RETRY, "is no final status"),
    row(300..=399, Rule::Redirect, RETRY, "says that the endpoint is elsewhere, and redirects are not followed"),
    row(400..=499, Rule::ClientError, RETRY, "says that the receiver does not accept the request"),
    row(500..=599, Rule::ServerError, RETRY, "says that the receiver failed"),
    row(0..=u16::MAX, Rule::Unknown, RETRY, "is no status that HTTP defines"),
];

impl Ruling {
    /// What the receiver asked for, when it is more than is honoured: worth a notice.
    pub fn above_cap(&self) -> Option<Duration> {
        self.asked.filter(|asked| *asked > RETRY_AFTER_CAP)
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Transport(error) => error.fmt(f)?,
            Cause::Status(status) => {
                let says = TABLE.iter().find(|row| row.rule == self.rule).map_or("ended the attempt", |row| row.says);
                write!(f, "{status} {says}")?;
            }
        }
        if let Some(asked) = self.asked {
            write!(f, "; it asked for {} s", whole_secs(asked))?;
        }
        if self.above_cap().is_some() {
            write!(f, ", of which {} s are honoured", RETRY_AFTER_CAP.as_secs())?;
        }
        Ok(())
    }
}

/// Seconds, rounded up: a hint given as a date is no whole number of them.
const fn whole_secs(time: Duration) -> u64 {
    time.as_secs().saturating_add((time.subsec_nanos() > 0) as u64)
}

impl Rule {
    /// A short name that does not change between versions, for metrics and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::BadRequest => "bad-request",
            Self::Unauthorized => "unauthorized",
            Self::PaymentRequired => "payment-required",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Gone => "gone",
            Self::TooLarge => "too-large",
            Self::UnsupportedType => "unsupported-type",
            Self::Unprocessable => "unprocessable",
            Self::TooMany => "too-many",
            Self::HeadersTooLarge => "headers-too-large",
            Self::BadGateway => "bad-gateway",
            Self::Unavailable => "unavailable",
            Self::GatewayTimeout => "gateway-timeout",
            Self::Interim => "interim",
            Self::Redirect => "redirect",
            Self::ClientError => "client-error",
            Self::ServerError => "server-error",
            Self::Unknown => "unknown",
            Self::Denied => "denied",
            Self::Unwanted => "unwanted",
            Self::NoResponse => "no-response",
        }
    }
}

impl fmt::Display for RefusedWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Unwanted => TransportError::Unwanted.fmt(f),
            Self::Status(status) => write!(f, "the receiver answered {status}"),
        }
    }
}
