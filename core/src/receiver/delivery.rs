//! What the application gets: a payload that was verified, and what its scheme tells of it.

mod stored;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use bytes::Bytes;
use http::HeaderMap;

use super::claims::{Begun, Digest, Name, digest_text};
use super::contract::{DeliveryId, RequestHead};
use crate::secret::KeyId;
use crate::signing::{Covered, Place, Scheme, Verified, Verifier};
use crate::time::UnixTime;

pub use stored::{STORED_TYPE, StoredError};

/// An event that a known key signed, to be processed once. There is no other way to a payload, and only verifying it
/// makes one: what is [read back](Self::from_stored) was verified before it was [stored](Self::to_stored).
#[derive(Clone)]
#[must_use = "whoever sent it waits for an answer"]
pub struct Delivery {
    /// What it holds, in one piece that stays where it is while the delivery goes from hand to hand.
    told: Box<Told>,
}

/// What a delivery holds.
#[derive(Clone)]
struct Told {
    id: DeliveryId,
    event_id: Option<Arc<str>>,
    label: Arc<str>,
    digest: Option<Digest>,
    scope: u32,
    timestamp: Option<UnixTime>,
    key: KeyId,
    scheme: Scheme,
    covered: Covered,
    body: Bytes,
    /// The payload, where it is not the body.
    payload: Option<Bytes>,
    head: RequestHead,
    places: Arc<Places>,
    late: bool,
}

/// Where a scheme's requests tell what is read only when it is asked for.
#[derive(Debug)]
pub(super) struct Places {
    kind: Spot,
    order: Spot,
}

/// A place of a scheme that may be the caller's own.
#[derive(Debug)]
enum Spot {
    Nowhere,
    Header(Box<str>),
    Json(Box<str>),
}

/// What verifying a request came to, without what it borrowed.
pub(super) struct Proof {
    pub(super) name: Name,
    pub(super) seen: Seen,
}

/// What else was seen of it.
pub(super) struct Seen {
    pub(super) timestamp: Option<UnixTime>,
    key: KeyId,
    scheme: Scheme,
    covered: Covered,
    /// The payload, where it is not the body.
    payload: Option<Bytes>,
}

impl Proof {
    /// Of a request that is of this scope, and which its headers call a replay with this number.
    pub(super) fn of(verified: &Verified<'_>, scope: u32, replay: Option<u64>) -> Self {
        let (covered, timestamp) = (verified.covered(), verified.timestamp());
        let id: Option<Arc<str>> = verified.id().map(|id| Arc::from(&*id));
        let digest = (id.is_none() || !covered.id).then(|| verified.digest());
        let is_body = core::ptr::eq(verified.payload(), verified.body());
        let replay = replay.filter(|_| digest.is_none() && covered.time && timestamp.is_some());
        Self {
            name: Name::new((scope, id), digest, replay, timestamp.unwrap_or(UnixTime::EPOCH)),
            seen: Seen {
                timestamp,
                key: verified.key(),
                scheme: verified.scheme(),
                covered,
                payload: (!is_body).then(|| Bytes::copy_from_slice(verified.payload())),
            },
        }
    }
}

impl Places {
    pub(super) fn of(verifier: &Verifier) -> Self {
        let facts = verifier.facts();
        Self { kind: facts.kind.place.into(), order: facts.order.place.into() }
    }
}

impl From<Place<'_>> for Spot {
    fn from(place: Place<'_>) -> Self {
        match place {
            Place::Nowhere => Self::Nowhere,
            Place::Header(name) => Self::Header(name.into()),
            Place::Json(pointer) => Self::Json(pointer.into()),
        }
    }
}

impl Spot {
    fn place(&self) -> Place<'_> {
        match self {
            Self::Nowhere => Place::Nowhere,
            Self::Header(name) => Place::Header(name),
            Self::Json(pointer) => Place::Json(pointer),
        }
    }
}

impl Delivery {
    pub(super) fn new(claimed: Begun, seen: Seen, places: &Arc<Places>, body: Bytes, head: RequestHead) -> Self {
        Self::of(Told {
            id: claimed.delivery,
            event_id: claimed.id,
            label: claimed.label,
            digest: claimed.digest,
            scope: claimed.scope,
            timestamp: seen.timestamp,
            key: seen.key,
            scheme: seen.scheme,
            covered: seen.covered,
            payload: seen.payload,
            body,
            head,
            places: Arc::clone(places),
            late: false,
        })
    }

    fn of(told: Told) -> Self {
        Self { told: Box::new(told) }
    }

    /// It comes late, or not.
    pub(super) fn set_late(&mut self, late: bool) {
        self.told.late = late;
    }

    /// Whether a later event of its line has ended before, where receiving is [ordered](super::ReceiverConfig::order): then
    /// what it tells is out of date.
    pub fn is_late(&self) -> bool {
        self.told.late
    }

    /// Which delivery this is; [`RecvInput::Processed`](super::RecvInput::Processed) names it.
    pub fn id(&self) -> DeliveryId {
        self.told.id
    }

    /// What the event is called: its id, the same whenever it is sent again, and `sha256:` and the
    /// [`digest`](Self::digest) in hexadecimal digits where it has none.
    ///
    /// Where [`covered`](Self::covered) says that the signature does not cover the id, anyone on the way may have changed
    /// it: then keep what came by [`dedup_key`](Self::dedup_key) too. Of the ids under which the same content came it is
    /// the first, so it may differ from what the [`headers`](Self::headers) say.
    pub fn webhook_id(&self) -> &str {
        &self.told.label
    }

    /// The event's id, if it has one; see [`webhook_id`](Self::webhook_id).
    pub fn event_id(&self) -> Option<&str> {
        self.told.event_id.as_deref()
    }

    /// SHA-256 of what was signed, where the signature covers no id.
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.told.digest
    }

    /// What nobody but the signer can change and a repeat has again: the id where the signature covers it, else `sha256:` and
    /// the digest of what was signed. For an application whose effect must happen once, together with the
    /// [`scope`](Self::scope). A scheme that signs a time but no id has another one for a repeat that was signed anew: there
    /// take the [`event_id`](Self::event_id) too, and let both be unseen.
    pub fn dedup_key(&self) -> Cow<'_, str> {
        match &self.told.digest {
            Some(digest) if self.told.event_id.is_some() => digest_text(digest).into(),
            Some(_) | None => Cow::Borrowed(&self.told.label),
        }
    }

    /// Whose event it is, by what the configuration says of its key ([`scope`](super::ReceiverConfig::scope)); 0 where it
    /// says nothing.
    pub fn scope(&self) -> u32 {
        self.told.scope
    }

    /// The number of the replay that it belongs to, as its `postrider-replay` says, which the signature does not cover;
    /// `None` where it says none. Numbers are the sender's, and no two replays of an event have the same.
    pub fn replay(&self) -> Option<u64> {
        self.told.head.replay()
    }

    /// The event's type, where the scheme has a place for it. Where that is in the body, each call reads the body.
    pub fn kind(&self) -> Option<Cow<'_, str>> {
        self.told.places.kind.place().read(&self.told.head.headers, &self.told.body)
    }

    /// What tells which of two events is the later one, as it is written: a number or a date. Where it is in the body, each
    /// call reads the body.
    pub fn order(&self) -> Option<Cow<'_, str>> {
        self.told.places.order.place().read(&self.told.head.headers, &self.told.body)
    }

    /// When the request was signed, by the sender's clock. `None` where the scheme signs no time of its own.
    pub fn timestamp(&self) -> Option<UnixTime> {
        self.told.timestamp
    }

    /// Which key signed it.
    pub fn key(&self) -> KeyId {
        self.told.key
    }

    /// The scheme by which it was verified.
    pub fn scheme(&self) -> Scheme {
        self.told.scheme
    }

    /// What of all that the signature covers. What it does not, anyone on the way may have changed.
    pub fn covered(&self) -> Covered {
        self.told.covered
    }

    /// The body, exactly as it came. [`covered`](Self::covered) says how much of it was signed: most schemes sign all.
    pub fn body(&self) -> &Bytes {
        &self.told.body
    }

    /// What the application wants: the body, and with Braintree the XML inside of the form.
    pub fn payload(&self) -> &Bytes {
        self.told.payload.as_ref().unwrap_or(&self.told.body)
    }

    /// The body, to keep.
    pub fn into_body(self) -> Bytes {
        self.told.body
    }

    /// All headers of the request. The signature covers at most the few that [`covered`](Self::covered) speaks of.
    pub fn headers(&self) -> &HeaderMap {
        &self.told.head.headers
    }

    /// The path that was asked for, where the adapter told it. Few schemes sign it
    /// ([`Scheme::signs_url`]).
    pub fn path(&self) -> Option<&str> {
        self.told.head.path()
    }
}

impl fmt::Debug for Delivery {
    /// Without payload: of the body only the length is shown, of the headers only their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.told.id)
            .field("webhook_id", &self.told.label)
            .field("scheme", &self.told.scheme)
            .field("timestamp", &self.told.timestamp)
            .field("key", &self.told.key)
            .field("covered", &self.told.covered)
            .field("bytes", &self.told.body.len())
            .field("head", &self.told.head)
            .finish()
    }
}
