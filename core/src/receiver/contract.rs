//! The words between a receiver and its driver.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};

use super::claim::{Claim, ClaimError, Claimed, Commit, Release};
use super::delivery::Delivery;
use super::notice::RecvNotice;
use super::public_url;
use super::response::Response;
use crate::signing::standard;
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
    /// A delivery that was to be stored is durable, or could not be stored. Reported at most once for each
    /// [`RecvOutput::Store`].
    Stored {
        /// Which.
        delivery: DeliveryId,
        /// Whether it is durable.
        result: Result<(), NotStored>,
    },
    /// The store of claims has answered a [`RecvOutput::Claim`]. Reported once for each.
    Claimed {
        /// Whose claim.
        delivery: DeliveryId,
        /// What it came to.
        result: Result<Claimed, ClaimError>,
    },
    /// The store of claims has answered a [`RecvOutput::Commit`]. Reported once for each.
    Committed {
        /// Whose claim.
        delivery: DeliveryId,
        /// Whether it is durable.
        result: Result<(), ClaimError>,
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
            Self::Stored { delivery, result } => {
                f.debug_struct("Stored").field("delivery", delivery).field("result", result).finish()
            }
            Self::Claimed { delivery, result } => {
                f.debug_struct("Claimed").field("delivery", delivery).field("result", result).finish()
            }
            Self::Committed { delivery, result } => {
                f.debug_struct("Committed").field("delivery", delivery).field("result", result).finish()
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
    pub(super) target: Option<Box<str>>,
    pub(super) declared_length: Option<u64>,
    pub(super) headers: HeaderMap,
}

impl RequestHead {
    /// A request with this method and these headers, all of them, each line as it came.
    pub fn new(method: Method, headers: HeaderMap) -> Self {
        Self { method, target: None, declared_length: None, headers }
    }

    /// With what was asked for, as it stands in the request line: path and query, or the whole URL. HTTP/2 and HTTP/3 have
    /// no such line, and their adapters tell the whole URL. Schemes that sign the address need it; how the URL is made of
    /// it says [`PublicUrl`](super::PublicUrl).
    #[must_use]
    pub fn target(self, target: impl Into<Box<str>>) -> Self {
        Self { target: Some(target.into()), ..self }
    }

    /// With the length that the body is declared to have (`Content-Length`), in bytes. Without it, as for a chunked
    /// body, only the adapter's count can tell that the body is too long.
    #[must_use]
    pub fn declared_length(self, bytes: u64) -> Self {
        Self { declared_length: Some(bytes), ..self }
    }

    /// The path that was asked for, without its query.
    pub(super) fn path(&self) -> Option<&str> {
        self.target.as_deref().map(|target| {
            let path = public_url::path_and_query(target);
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            if path.is_empty() { "/" } else { path }
        })
    }

    /// The media type of its body, without parameters, where it names one.
    pub(super) fn media_type(&self) -> Option<&str> {
        let mut said = self.headers.get_all(CONTENT_TYPE).iter();
        let (Some(said), None) = (said.next(), said.next()) else { return None };
        said.to_str().ok()?.split(';').next().map(str::trim)
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
            .field("path", &self.path())
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
    /// It has been put where it will not be lost, and will have its effect later: 202, to repeats too.
    Queued,
    /// It has had no effect, and should come again: the sender is answered 503, and the event is free.
    Later {
        /// What the sender is asked to wait; 5 s when nothing is said.
        after: Option<Duration>,
    },
    /// It is never wanted: the sender and its repeats are answered 400, without another delivery.
    Refuse,
    /// Nothing from this sender is wanted any more: it and its repeats are answered 410, at which senders stop. Other events
    /// are delivered as ever, and each is answered by what comes of it.
    Unsubscribed,
}

/// Why a delivery is not durable. Its sender is answered 503, and the event is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotStored {
    /// What the sender is asked to wait; 5 s when nothing is said.
    pub after: Option<Duration>,
}

impl NotStored {
    /// With this wait asked of the sender.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self { after: Some(time) }
    }
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
    /// Make this durable, then feed [`RecvInput::Stored`]. In place of [`Deliver`](Self::Deliver), under
    /// [`Acknowledge::Stored`](super::Acknowledge::Stored).
    Store(Delivery),
    /// Ask the store of claims, then feed [`RecvInput::Claimed`].
    Claim(Claim),
    /// Tell the store of claims, then feed [`RecvInput::Committed`].
    Commit(Commit),
    /// Tell the store of claims; it needs no answer.
    Release(Release),
    /// Answer a request. Where its body has not been read, the connection cannot be used again.
    Respond(Response),
    /// Tell whoever listens.
    Notice(RecvNotice),
    /// Nothing more for now; ends the drain.
    Wait(Wake),
}
