//! What a request is answered.

use alloc::string::ToString as _;
use core::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use super::config::{self, Success};
use super::contract::ExchangeId;
use crate::secret::KeyId;
use crate::signing::VerifyError;

/// The answer to a request: a status, [`headers`](Self::headers) and a [`body`](Self::body).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a sender without an answer sends again"]
pub struct Response {
    pub(super) exchange: ExchangeId,
    pub(super) reason: Reason,
    pub(super) success: Success,
    /// The key that verified the request, if one did.
    pub(super) key: Option<KeyId>,
}

impl Response {
    /// Which exchange ends with it.
    pub fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// Why it is this answer. For logs; the sender is not told.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        match self.reason {
            Reason::Processed | Reason::Repeat | Reason::Late => self.success.status(),
            Reason::Queued => StatusCode::ACCEPTED,
            Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Malformed | Reason::Refused => StatusCode::BAD_REQUEST,
            Reason::Unverified => StatusCode::UNAUTHORIZED,
            Reason::Unsubscribed => StatusCode::GONE,
            Reason::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Reason::OverRate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Reason::TooManyExchanges
            | Reason::NoCredit
            | Reason::TooManyWaiters
            | Reason::TooManyHeld
            | Reason::Elsewhere
            | Reason::NoClaim
            | Reason::Later { .. }
            | Reason::TimedOut
            | Reason::Closing => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the sender is asked to wait; part of [`headers`](Self::headers). With every 429 and 503 and nothing else.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.reason {
            Reason::Later { after } | Reason::OverRate { after } => Some(after),
            Reason::TooManyExchanges
            | Reason::NoCredit
            | Reason::TooManyWaiters
            | Reason::TooManyHeld
            | Reason::Elsewhere
            | Reason::NoClaim
            | Reason::TimedOut
            | Reason::Closing => Some(config::RETRY_AFTER),
            Reason::Processed
            | Reason::Repeat
            | Reason::Late
            | Reason::Queued
            | Reason::Method
            | Reason::TooLarge
            | Reason::MediaType
            | Reason::Malformed
            | Reason::Unverified
            | Reason::Refused
            | Reason::Unsubscribed => None,
        }
    }

    /// The key that verified the request, if one did; the sender is told its name in `postrider-key-used`, so that it knows
    /// when an older key is safe to retire. The name tells nothing to somebody who has not signed: he gets none.
    pub fn key_used(&self) -> Option<KeyId> {
        self.key
    }

    /// The headers to send, at most four. `Content-Length` and `Date` are the adapter's. A wait is written in whole
    /// seconds, rounded up (RFC 9110 section 10.2.3).
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let allow = (self.reason == Reason::Method).then_some((ALLOW, HeaderValue::from_static("POST")));
        let seconds = |wait: Duration| wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        let retry_after = self.retry_after().map(|wait| (RETRY_AFTER, HeaderValue::from(seconds(wait))));
        let text = (!self.body().is_empty()).then_some((CONTENT_TYPE, HeaderValue::from_static("text/plain")));
        let key_used = self.key.map(|key| {
            let value = HeaderValue::try_from(key.to_string()).expect("a key's name is letters, digits and _");
            (HeaderName::from_static("postrider-key-used"), value)
        });
        [allow, retry_after, text, key_used].into_iter().flatten()
    }

    /// The body to send: empty for a success, else a few words. What was wrong with a signature is in no answer.
    pub fn body(&self) -> &'static str {
        match self.reason {
            Reason::Processed | Reason::Repeat | Reason::Late | Reason::Queued => "",
            Reason::Method => "only POST is answered here",
            Reason::TooLarge => "the body is too long",
            Reason::MediaType => "a body of this type is not read here",
            Reason::Malformed | Reason::Unverified => UNVERIFIED,
            Reason::Refused => "the event is not wanted",
            Reason::Unsubscribed => "nothing is wanted here any more",
            Reason::OverRate { .. } => "too much at once, try again later",
            Reason::TooManyExchanges
            | Reason::NoCredit
            | Reason::TooManyWaiters
            | Reason::TooManyHeld
            | Reason::Elsewhere
            | Reason::NoClaim
            | Reason::Later { .. }
            | Reason::TimedOut
            | Reason::Closing => "not now, try again later",
        }
    }
}

/// What a request that is not verified is answered, whatever was wrong.
const UNVERIFIED: &str = VerifyError::BadId.wire_text();

/// Why a request was answered as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The application has processed the event: success.
    Processed,
    /// The application had processed the event before: success.
    Repeat,
    /// A later event of its line has been processed, and this one is of no use any more: success, without a delivery.
    Late,
    /// The event is stored, now or before, by the application or because it is to be
    /// ([`Acknowledge::Stored`](super::Acknowledge::Stored)): 202.
    Queued,
    /// The method is not POST: 405.
    Method,
    /// The body is longer than the cap: 413.
    TooLarge,
    /// The body is not of a type that the configuration names: 415.
    MediaType,
    /// The headers that tell who signed it are missing or malformed: 400. [`RecvNotice::Unverified`](super::RecvNotice::Unverified) says more.
    Malformed,
    /// No known key signed it, or not now: 401. [`RecvNotice::Unverified`](super::RecvNotice::Unverified) says more.
    Unverified,
    /// The application refused the event, now or before: 400.
    Refused,
    /// The application wants nothing from this sender any more, as it said now or before: 410.
    Unsubscribed,
    /// More new events than the limit's rate allows: 429.
    OverRate {
        /// When the next may come.
        after: Duration,
    },
    /// As many exchanges as the limit allows have no answer yet: 503.
    TooManyExchanges,
    /// The application can take no more deliveries: 503.
    NoCredit,
    /// As many exchanges as the limit allows wait for the same delivery: 503.
    TooManyWaiters,
    /// As many events as the order allows are held for those before them: 503.
    TooManyHeld,
    /// Another instance has the event in progress: 503.
    Elsewhere,
    /// The store of claims could not be asked: 503. [`RecvNotice::NotClaimed`](super::RecvNotice::NotClaimed) says more.
    NoClaim,
    /// The application wants the event later: 503.
    Later {
        /// What the sender is asked to wait.
        after: Duration,
    },
    /// The application did not end the delivery in its time: 503.
    TimedOut,
    /// The machine was told to close: 503.
    Closing,
}
