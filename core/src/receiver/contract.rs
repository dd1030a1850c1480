//! The words between a receiver and its driver.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::config::{self, Success};
use super::notice::RecvNotice;
use crate::secret::KeyId;
use crate::signing::standard::{self, Verified, VerifyError};
use crate::time::UnixTime;
use crate::wake::Wake;

/// One request and its answer, numbered by the adapter. A number may be used again when its exchange was answered or
/// dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(u64);

impl ExchangeId {
    /// The exchange with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exchange-{}", self.0)
    }
}

/// One delivery to the application. Each delivery of a machine has its own, and only the machine makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub(super) u64);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delivery-{}", self.0)
    }
}

/// A fact: something that has happened already and cannot be refused. A stale one is counted and dropped.
#[derive(Clone)]
#[non_exhaustive]
pub enum RecvInput {
    /// Only time passed.
    Tick,
    /// The head of a request has arrived.
    Head {
        /// The exchange that begins with it.
        exchange: ExchangeId,
        /// The head.
        head: RequestHead,
    },
    /// The body of a request has arrived, whole. It may come before [`RecvOutput::ReadBody`] has asked for it, from
    /// an adapter that has it at hand.
    Body {
        /// Whose body.
        exchange: ExchangeId,
        /// Its bytes, exactly as they came.
        body: Bytes,
    },
    /// The body of a request is longer than the cap; the adapter stopped reading.
    BodyTooLarge {
        /// Whose body.
        exchange: ExchangeId,
    },
    /// The application is done with a delivery. Reported at most once for each [`RecvOutput::Deliver`].
    Processed {
        /// Which.
        delivery: DeliveryId,
        /// What came of it.
        result: Processed,
    },
    /// The peer of an exchange went away, or its body did not come in the adapter's time. It gets no answer; what was
    /// delivered goes on.
    Dropped(ExchangeId),
    /// How many deliveries the application can take at once. Absolute, not a change; 64 at first.
    Credit(u32),
}

impl fmt::Debug for RecvInput {
    /// Without payload: of a body only the length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("Tick"),
            Self::Head { exchange, head } => {
                f.debug_struct("Head").field("exchange", exchange).field("head", head).finish()
            }
            Self::Body { exchange, body } => {
                f.debug_struct("Body").field("exchange", exchange).field("bytes", &body.len()).finish()
            }
            Self::BodyTooLarge { exchange } => f.debug_struct("BodyTooLarge").field("exchange", exchange).finish(),
            Self::Processed { delivery, result } => {
                f.debug_struct("Processed").field("delivery", delivery).field("result", result).finish()
            }
            Self::Dropped(exchange) => f.debug_tuple("Dropped").field(exchange).finish(),
            Self::Credit(deliveries) => f.debug_tuple("Credit").field(deliveries).finish(),
        }
    }
}

/// What is known of a request before its body.
#[derive(Clone)]
pub struct RequestHead {
    pub(super) method: Method,
    pub(super) path: Option<Box<str>>,
    pub(super) declared_length: Option<u64>,
    pub(super) headers: HeaderMap,
}

impl RequestHead {
    /// A request with this method and these headers, all of them, each line as it came.
    pub fn new(method: Method, headers: HeaderMap) -> Self {
        Self { method, path: None, declared_length: None, headers }
    }

    /// With the path that was asked for. The machine only hands it on, and no signature covers it.
    #[must_use]
    pub fn path(self, path: impl Into<Box<str>>) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// With the length that the body is declared to have (`Content-Length`), in bytes. Without it, as for a chunked
    /// body, only the adapter's count can tell that the body is too long.
    #[must_use]
    pub fn declared_length(self, bytes: u64) -> Self {
        Self { declared_length: Some(bytes), ..self }
    }

    /// What its `postrider-replay` says, where it says one number.
    pub(super) fn replay(&self) -> Option<u64> {
        let mut said = self.headers.get_all(standard::REPLAY).iter();
        let (Some(number), None) = (said.next(), said.next()) else { return None };
        let number = number.to_str().ok()?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
    }
}

impl fmt::Debug for RequestHead {
    /// Without the values of the headers and the query, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("path", &self.path.as_deref().and_then(|path| path.split('?').next()))
            .field("declared_length", &self.declared_length)
            .field("headers", &self.headers.len())
            .finish()
    }
}

/// What came of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an event is done, or is wanted again, or is not wanted")]
pub enum Processed {
    /// It has had its effect, for good. The sender is told so, and repeats are answered without a delivery.
    Done,
    /// It has had no effect, and should come again: the sender is answered 503, and the id is free.
    Later {
        /// What the sender is asked to wait; 5 s when nothing is said.
        after: Option<Duration>,
    },
    /// It is never wanted: the sender and its repeats are answered 400, without another delivery.
    Refuse,
}

/// An effect: something that the driver must do. Owned, without lifetimes.
#[derive(Debug)]
#[must_use = "an effect that is not carried out is lost"]
#[expect(clippy::exhaustive_enums, reason = "a driver that ignores a new effect must not compile")]
pub enum RecvOutput {
    /// Read the body of a request, within a time that the adapter sets, then feed [`RecvInput::Body`], or
    /// [`RecvInput::BodyTooLarge`] as soon as there are more bytes than the cap, or [`RecvInput::Dropped`].
    ReadBody {
        /// Whose body.
        exchange: ExchangeId,
        /// The bytes that it may have.
        cap: usize,
    },
    /// Hand this to the application, then feed [`RecvInput::Processed`].
    Deliver(Delivery),
    /// Answer a request. Where its body has not been read, the connection cannot be used again.
    Respond(Response),
    /// Tell whoever listens.
    Notice(RecvNotice),
    /// Nothing more for now; ends the drain.
    Wait(Wake),
}

/// An event that a known key signed, to be processed once. There is no other way to a payload, and only verifying it
/// makes one.
#[derive(Clone)]
#[must_use = "whoever sent it waits for an answer"]
pub struct Delivery {
    id: DeliveryId,
    webhook_id: Arc<str>,
    timestamp: UnixTime,
    key: KeyId,
    body: Bytes,
    head: RequestHead,
}

impl Delivery {
    pub(super) fn new(
        id: DeliveryId,
        webhook_id: Arc<str>,
        verified: &Verified<'_>,
        body: Bytes,
        head: RequestHead,
    ) -> Self {
        // No `assert_eq`, which would show the payload.
        debug_assert!(*webhook_id == *verified.id() && *body == *verified.body(), "what was verified is delivered");
        Self { id, webhook_id, timestamp: verified.timestamp(), key: verified.key(), body, head }
    }

    /// Which delivery this is; [`RecvInput::Processed`] names it.
    pub fn id(&self) -> DeliveryId {
        self.id
    }

    /// The event's id, the same whenever it is sent again.
    pub fn webhook_id(&self) -> &str {
        &self.webhook_id
    }

    /// The number of the replay that it belongs to, as its `postrider-replay` says, which the signature does not cover;
    /// `None` where it says none. Numbers are the sender's, and no two replays of an event have the same.
    pub fn replay(&self) -> Option<u64> {
        self.head.replay()
    }

    /// When the attempt was signed, by the sender's clock, in whole seconds.
    pub fn timestamp(&self) -> UnixTime {
        self.timestamp
    }

    /// Which key signed it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The bytes that were signed.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The bytes that were signed, to keep.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// All headers of the request. Only the id and the timestamp are covered by the signature.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The path that was asked for, where the adapter told it. The signature does not cover it.
    pub fn path(&self) -> Option<&str> {
        self.head.path.as_deref()
    }
}

impl fmt::Debug for Delivery {
    /// Without payload: of the body only the length is shown, of the headers only their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("webhook_id", &self.webhook_id)
            .field("timestamp", &self.timestamp)
            .field("key", &self.key)
            .field("bytes", &self.body.len())
            .field("head", &self.head)
            .finish()
    }
}

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
            Reason::Processed | Reason::Repeat => self.success.status(),
            Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Malformed | Reason::Refused => StatusCode::BAD_REQUEST,
            Reason::Unverified => StatusCode::UNAUTHORIZED,
            Reason::TooManyExchanges
            | Reason::NoCredit
            | Reason::TooManyWaiters
            | Reason::Later { .. }
            | Reason::TimedOut
            | Reason::Closing => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the sender is asked to wait; part of [`headers`](Self::headers). With every 503 and nothing else.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.reason {
            Reason::Later { after } => Some(after),
            Reason::TooManyExchanges
            | Reason::NoCredit
            | Reason::TooManyWaiters
            | Reason::TimedOut
            | Reason::Closing => Some(config::RETRY_AFTER),
            Reason::Processed
            | Reason::Repeat
            | Reason::Method
            | Reason::TooLarge
            | Reason::Malformed
            | Reason::Unverified
            | Reason::Refused => None,
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
            Reason::Processed | Reason::Repeat => "",
            Reason::Method => "only POST is answered here",
            Reason::TooLarge => "the body is too long",
            Reason::Malformed | Reason::Unverified => UNVERIFIED,
            Reason::Refused => "the event is not wanted",
            Reason::TooManyExchanges
            | Reason::NoCredit
            | Reason::TooManyWaiters
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
    /// The method is not POST: 405.
    Method,
    /// The body is longer than the cap: 413.
    TooLarge,
    /// The headers that tell who signed it are missing or malformed: 400. [`RecvNotice::Unverified`] says more.
    Malformed,
    /// No known key signed it, or not now: 401. [`RecvNotice::Unverified`] says more.
    Unverified,
    /// The application refused the event, now or before: 400.
    Refused,
    /// As many exchanges as the limit allows have no answer yet: 503.
    TooManyExchanges,
    /// The application can take no more deliveries: 503.
    NoCredit,
    /// As many exchanges as the limit allows wait for the same delivery: 503.
    TooManyWaiters,
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
