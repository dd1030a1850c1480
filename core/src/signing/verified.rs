//! A request that a known key signed.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use super::keys;
use super::pointer;
use super::received::visible;
use super::rows::PARTS;
use super::scheme::{Extent, Facts, Place, Scheme};
use crate::secret::KeyId;
use crate::time::UnixTime;

/// A request that a known key signed. Only [`Verifier::verify`](super::Verifier::verify) makes one.
///
/// Deduplicate by [`id`](Self::id) where [`covered`](Self::covered) says that the signature covers it, and by
/// [`digest`](Self::digest) too where it does not: then anyone who has seen a request can send it again under another
/// id, and both must be unseen for it to be new.
#[derive(Clone)]
pub struct Verified<'r> {
    pub(super) scheme: Scheme,
    pub(super) body: &'r [u8],
    /// The payload, where it is not the body.
    pub(super) payload: Option<Vec<u8>>,
    pub(super) key: KeyId,
    pub(super) time: Option<UnixTime>,
    pub(super) facts: Facts<'r>,
    /// What the headers say of the id, type and order.
    pub(super) told: Told<'r>,
    pub(super) signed: Signed<'r>,
}

/// What headers say of an event.
#[derive(Clone, Copy, Default)]
pub(super) struct Told<'r> {
    pub(super) id: Option<&'r str>,
    pub(super) kind: Option<&'r str>,
    pub(super) order: Option<&'r str>,
}

/// What was signed.
#[derive(Clone, Copy)]
pub(super) enum Signed<'r> {
    /// These parts, one after the other.
    Parts([&'r [u8]; PARTS]),
    /// What has this SHA-256.
    Hashed([u8; 32]),
}

/// What of a request its signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Covered {
    /// How much of the body.
    pub body: Extent,
    /// Whether the id. False where there is none.
    pub id: bool,
    /// Whether the time.
    pub time: bool,
    /// Whether the event's type.
    pub kind: bool,
    /// Whether what tells the order.
    pub order: bool,
}

impl<'r> Verified<'r> {
    /// The body's bytes as they were received. [`covered`](Self::covered) says how much of it was signed.
    pub fn body(&self) -> &'r [u8] {
        self.body
    }

    /// What the application wants: the body, and with Braintree the XML inside of the form.
    pub fn payload(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or(self.body)
    }

    /// The scheme that was verified.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Which of the verifier's keys signed it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The event's id: 1 to 256 visible ASCII characters, from where the scheme has it. None where it has none. Where
    /// it is in the body, this reads the body.
    pub fn id(&self) -> Option<Cow<'r, str>> {
        self.value(self.facts.id.place, self.told.id).filter(|id| visible(id.as_bytes()).is_some())
    }

    /// The event's type.
    pub fn kind(&self) -> Option<Cow<'r, str>> {
        self.value(self.facts.kind.place, self.told.kind)
    }

    /// What tells which of two events is the later one, as it is written: a number or a date.
    pub fn order(&self) -> Option<Cow<'r, str>> {
        self.value(self.facts.order.place, self.told.order)
    }

    /// When it was signed, by the sender's clock. None where the scheme signs no time of its own.
    pub fn timestamp(&self) -> Option<UnixTime> {
        self.time
    }

    /// What of all that the signature covers.
    pub fn covered(&self) -> Covered {
        let is = |place| place != Place::Nowhere;
        let facts = &self.facts;
        Covered {
            body: facts.body,
            id: facts.id.covered && is(facts.id.place),
            time: facts.time.covered && is(facts.time.place),
            kind: facts.kind.covered && is(facts.kind.place),
            order: facts.order.covered && is(facts.order.place),
        }
    }

    /// SHA-256 of what was signed: the same for a request that is sent again unchanged, whatever else was changed
    /// about it. With a bare token, which signs nothing, that of the body. Computed anew at each call.
    pub fn digest(&self) -> [u8; 32] {
        match &self.signed {
            Signed::Parts(parts) => keys::digest(parts),
            Signed::Hashed(digest) => *digest,
        }
    }

    /// Where its scheme has things.
    pub(crate) fn facts(&self) -> &Facts<'r> {
        &self.facts
    }

    fn value(&self, place: Place<'r>, told: Option<&'r str>) -> Option<Cow<'r, str>> {
        match place {
            Place::Nowhere => None,
            Place::Header(_) => told.map(Cow::Borrowed),
            Place::Json(pointer) => pointer::find_text(self.body, pointer),
        }
    }
}

impl fmt::Debug for Verified<'_> {
    /// Everything but the body, of which only the length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("scheme", &self.scheme)
            .field("key", &self.key)
            .field("timestamp", &self.time)
            .field("covered", &self.covered())
            .field("bytes", &self.body.len())
            .finish()
    }
}
