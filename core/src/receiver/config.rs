//! What a receiver is made with.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use http::StatusCode;

use super::delivery::Delivery;
use super::order::Order;
use super::public_url::PublicUrl;
use crate::retry::Rate;
use crate::secret::KeyId;
use crate::signing::Verifier;

/// What a 503 tells the sender to wait when nothing better is known. Short, because a busy moment is.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Deliveries that the application can take at once, until [`RecvInput::Credit`](super::RecvInput::Credit) says
/// otherwise.
pub(super) const CREDIT: u32 = 64;

/// What a receiver is made with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// Whose requests are accepted.
    pub verifier: Verifier,
    /// What the machine may hold, and for how long.
    pub limits: ReceiverLimits,
    /// What a sender is answered when its event has been processed.
    pub success: Success,
    /// Whether an event comes again that its sender replays under the same id; see [`replays`](Self::replays).
    pub replays: bool,
    /// The address under which senders know the receiver; see [`PublicUrl`].
    pub public_url: Option<PublicUrl>,
    /// Media types of bodies that are read; without any, all are. See [`media_types`](Self::media_types).
    pub media_types: Vec<Box<str>>,
    /// Whose key is whose; see [`scope`](Self::scope).
    pub scopes: Vec<(KeyId, u32)>,
    /// When a success may be answered; see [`acknowledge`](Self::acknowledge).
    pub acknowledge: Acknowledge,
    /// How long a claim in a store of claims holds; without one no store is asked. See [`claims`](Self::claims).
    pub claims: Option<Duration>,
    /// The order in which events are delivered; see [`order`](Self::order).
    pub order: Option<Order>,
}

impl ReceiverConfig {
    /// The defaults, for what this verifier accepts: a [`signing::Verifier`](Verifier) of any scheme, or a
    /// [`signing::standard::Verifier`](crate::signing::standard::Verifier).
    pub fn new(verifier: impl Into<Verifier>) -> Self {
        Self {
            verifier: verifier.into(),
            limits: ReceiverLimits::default(),
            success: Success::default(),
            replays: false,
            public_url: None,
            media_types: Vec::new(),
            scopes: Vec::new(),
            acknowledge: Acknowledge::default(),
            claims: None,
            order: None,
        }
    }

    /// With this public address, for schemes that sign it. Without it the address is made of the request.
    #[must_use]
    pub fn public_url(self, url: PublicUrl) -> Self {
        Self { public_url: Some(url), ..self }
    }

    /// With nothing but bodies of these media types, such as `application/json`, in place of all. Others, and those that
    /// name none, are answered 415 before a byte is read. Parameters and case do not matter.
    #[must_use]
    pub fn media_types<T: Into<Box<str>>>(self, types: impl IntoIterator<Item = T>) -> Self {
        Self { media_types: types.into_iter().map(Into::into).collect(), ..self }
    }

    /// With this key in this scope. All keys are in scope 0 unless told otherwise: they are one sender's, and an event is
    /// a repeat under whichever of them it is signed. Where keys of several senders are in one verifier give each sender
    /// a scope: what one sends is then never taken for a repeat of another's.
    #[must_use]
    pub fn scope(mut self, key: KeyId, scope: u32) -> Self {
        self.scopes.retain(|(known, _)| *known != key);
        self.scopes.push((key, scope));
        self
    }

    /// With success answered when this has happened. There is no setting by which it is answered earlier.
    #[must_use]
    pub fn acknowledge(self, when: Acknowledge) -> Self {
        Self { acknowledge: when, ..self }
    }

    /// With claims in a store, which the driver has: for deduplication that outlives the machine or holds over several
    /// instances. Each event that is new here is claimed there before it is delivered
    /// ([`RecvOutput::Claim`](super::RecvOutput::Claim)), and what ended for good is committed there before it is answered.
    ///
    /// `lease` is how long a claim holds of an instance that is not heard of again: longer than
    /// [`ReceiverLimits::processing`] and the time that events are held for their [`order`](Self::order), or a slow delivery
    /// is claimed by another instance as well.
    #[must_use]
    pub fn claims(self, lease: Duration) -> Self {
        Self { claims: Some(lease), ..self }
    }

    /// With events delivered in this order.
    #[must_use]
    pub fn order(self, order: Order) -> Self {
        Self { order: Some(order), ..self }
    }

    /// With the events of a key delivered by their versions, which the application reads from the payloads of any source:
    /// one at a time, and an older one after a newer one is called late ([`Delivery::is_late`](super::Delivery::is_late)), or
    /// dropped if the [`Order`] says so. Short for [`order`](Self::order) with [`Order::by_version`].
    #[must_use]
    pub fn order_by(
        self,
        key: impl Fn(&Delivery) -> Option<String> + Send + Sync + 'static,
        version: impl Fn(&Delivery) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.order(Order::by_version(move |delivery| Some((key(delivery)?, version(delivery)?))))
    }

    /// With these limits.
    #[must_use]
    pub fn limits(self, limits: ReceiverLimits) -> Self {
        Self { limits, ..self }
    }

    /// With replays accepted: an event that was seen is delivered again where the request says `postrider-replay: N`, once
    /// for each number N. Off by default: then such a request is a repeat like any other.
    ///
    /// The header is not covered by the signature, so it alone proves nothing. A marked request counts as a replay only if
    /// it was signed later than everything that has come under its id, by the signed timestamp, in whole seconds; else it
    /// is answered as a repeat, as it is where the scheme's signature does not cover both id and time. So whoever has captured a request that came here cannot have it delivered again by adding
    /// the header, nor by changing the number. Two things are left to somebody between sender and receiver, who must
    /// already read and change what TLS protects: he can take the header from a replay, which is then answered as a repeat
    /// and not delivered; and he can hold a repeat back and mark it, within the verifier's tolerance of its timestamp, and
    /// have the event delivered once more.
    #[must_use]
    pub fn replays(self, accept: bool) -> Self {
        Self { replays: accept, ..self }
    }

    /// With this answer to what has been processed.
    #[must_use]
    pub fn success(self, success: Success) -> Self {
        Self { success, ..self }
    }
}

/// What a receiver may hold, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverLimits {
    /// Bytes of one body. A longer one is answered 413: before a byte is read, where its length is declared.
    pub body: usize,
    /// Exchanges that have no answer yet. One more is answered 503.
    pub exchanges: usize,
    /// Exchanges that wait for the same delivery, the one that brought it among them. One more is answered 503.
    pub waiters: usize,
    /// How long an event is remembered after its delivery has ended.
    pub window: Duration,
    /// Events remembered at once; the oldest are forgotten first, with a notice where their window has not passed.
    pub ids: usize,
    /// How long the application may take for a delivery before whoever waits for it is answered 503.
    pub processing: Duration,
    /// New events in so much time, for each [`scope`](ReceiverConfig::scope). One more is answered 429, and may come when
    /// there is room again. Repeats do not count; whoever has not signed does not either. Without it there is no bound.
    pub rate: Option<Rate>,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self {
            body: 1024 * 1024,
            exchanges: 1024,
            waiters: 8,
            window: Duration::from_secs(24 * 3600),
            ids: 100_000,
            processing: Duration::from_secs(30),
            rate: None,
        }
    }
}

/// When the sender may be told that its event has arrived, so that it does not send it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an event that is neither done nor durable may be lost")]
pub enum Acknowledge {
    /// When the application has finished with it: the machine says [`RecvOutput::Deliver`](super::RecvOutput::Deliver) and waits
    /// for [`RecvInput::Processed`](super::RecvInput::Processed).
    #[default]
    Processed,
    /// When it is durable: the machine says [`RecvOutput::Store`](super::RecvOutput::Store) and waits for
    /// [`RecvInput::Stored`](super::RecvInput::Stored); the answer is 202. Somebody else has it processed later.
    Stored,
}

/// The status that says that an event has been processed. To a conforming sender they are all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the statuses of success that suit an answer without content")]
pub enum Success {
    /// 200.
    Ok,
    /// 201.
    Created,
    /// 202.
    Accepted,
    /// 204.
    #[default]
    NoContent,
}

impl Success {
    /// The status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::Created => StatusCode::CREATED,
            Self::Accepted => StatusCode::ACCEPTED,
            Self::NoContent => StatusCode::NO_CONTENT,
        }
    }
}
