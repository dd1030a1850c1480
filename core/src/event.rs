//! What the application publishes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use serde::Serialize;
use std::sync::OnceLock;

use crate::digest::sha256_of;
use crate::encoding::{Payload, PayloadError};
use crate::id::{EventId, IdError, TenantId};
use crate::matching::{EventType, TypeError};
use crate::time::UnixTime;

/// Longest ordering or idempotency key, in bytes.
const KEY_BYTES: usize = 256;

/// Something that happened, to be told to every endpoint that asked for it.
///
/// Made by [`Event::json`] or [`Event::raw`] and filled by the methods that follow. A mistake in one of these is kept
/// and reported when the event is published, so that the chain needs one `?` only.
///
/// ```
/// use postrider_core::event::Event;
/// let event = Event::json("order.paid", &serde_json::json!({ "id": 1001 }))?.id("order-1001-paid").tenant("acme");
/// assert_eq!(event.event_type().as_str(), "order.paid");
/// # Ok::<(), postrider_core::event::EventError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    id: Option<EventId>,
    event_type: EventType,
    time: Option<UnixTime>,
    payload: Payload,
    tenant: TenantId,
    key: Option<Arc<str>>,
    idempotency: Option<Arc<str>>,
    expires: Option<UnixTime>,
    payload_digest: [u8; 32],
    /// The digest of the content, once it has been taken; whatever changes the content empties it.
    digest: OnceLock<[u8; 16]>,
    mistake: Option<EventError>,
}

impl Event {
    /// An event of a dotted type whose data is `data` as JSON.
    pub fn json(event_type: impl AsRef<str>, data: &impl Serialize) -> Result<Self, EventError> {
        Self::new(event_type, Payload::json(data)?)
    }

    /// An event whose data is JSON text, which is checked and then passed on byte for byte.
    pub fn json_bytes(event_type: impl AsRef<str>, data: Bytes) -> Result<Self, EventError> {
        Self::new(event_type, Payload::json_bytes(data)?)
    }

    /// An event whose body is sent as it is, with this `Content-Type`.
    pub fn raw(event_type: impl AsRef<str>, content_type: &str, body: Bytes) -> Result<Self, EventError> {
        Self::new(event_type, Payload::raw(content_type, body)?)
    }

    /// An event of a type and a payload. Takes the digest of the payload, here and not on the machine's thread.
    pub fn new(event_type: impl AsRef<str>, payload: Payload) -> Result<Self, EventError> {
        let event_type = EventType::new(event_type).map_err(EventError::Type)?;
        let is_json = [u8::from(payload.is_json())];
        let payload_digest = sha256_of([&is_json, payload.content_type().as_bytes(), &[0], payload.body()]);
        Ok(Self {
            id: None,
            event_type,
            time: None,
            payload,
            tenant: TenantId::default(),
            key: None,
            idempotency: None,
            expires: None,
            payload_digest,
            digest: OnceLock::new(),
            mistake: None,
        })
    }

    /// Sets the id, sent as `webhook-id`: 1 to 256 visible ASCII characters without `.`. Publishing the same id again
    /// with the same content is a repeat and returns the first receipt. Without one, the adapter mints one.
    pub fn id(mut self, id: impl AsRef<str>) -> Self {
        match EventId::new(id) {
            Ok(id) => self.id = Some(id),
            Err(why) => self.note(EventError::Id(why)),
        }
        self
    }

    /// Sets the tenant; without it the event belongs to the tenant `default`.
    pub fn tenant(mut self, tenant: impl AsRef<str>) -> Self {
        match TenantId::new(tenant) {
            Ok(tenant) => (self.tenant, self.digest) = (tenant, OnceLock::new()),
            Err(why) => self.note(EventError::Tenant(why)),
        }
        self
    }

    /// Sets the time at which it happened; without it, the time of publishing.
    pub fn time(mut self, time: UnixTime) -> Self {
        (self.time, self.digest) = (Some(time), OnceLock::new());
        self
    }

    /// Sets the ordering key: at most 256 bytes.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        match checked_key(key.as_ref()) {
            Ok(key) => (self.key, self.digest) = (Some(key), OnceLock::new()),
            Err(why) => self.note(EventError::Key(why)),
        }
        self
    }

    /// Sets the key by which a repeat is recognised, where that is not the id: at most 256 bytes.
    pub fn idempotency_key(mut self, key: impl AsRef<str>) -> Self {
        match checked_key(key.as_ref()) {
            Ok(key) => self.idempotency = Some(key),
            Err(why) => self.note(EventError::Idempotency(why)),
        }
        self
    }

    /// Sets the time after which it is no longer worth sending: no attempt starts at or after it.
    pub fn expires(mut self, at: UnixTime) -> Self {
        (self.expires, self.digest) = (Some(at), OnceLock::new());
        self
    }

    /// The time after which it is no longer worth sending, where one is set.
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.expires
    }

    /// The id, where one is set.
    pub fn event_id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// The dotted type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// What it carries.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The tenant that it belongs to.
    pub fn tenant_id(&self) -> &TenantId {
        &self.tenant
    }

    /// The first mistake made in describing it.
    pub fn mistake(&self) -> Option<&EventError> {
        self.mistake.as_ref()
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts { time: self.time, key: self.key.as_ref(), idempotency: self.idempotency.as_ref(), expires: self.expires }
    }

    /// The digest of everything that two events must share to be the same one. The id is not part of it: a repeat is
    /// recognised by its id or by its idempotency key, and in the second case its id may be freshly minted. The time
    /// counts only where it was set, so that a producer who lets us stamp the event can repeat it.
    pub(crate) fn digest(&self) -> [u8; 16] {
        *self.digest.get_or_init(|| self.take_digest())
    }

    /// An event that counts as the same as those of this digest, whatever it carries: for replaying a trace whose
    /// payloads are stand-ins.
    pub(crate) fn with_digest(self, digest: [u8; 16]) -> Self {
        Self { digest: OnceLock::from(digest), ..self }
    }

    fn take_digest(&self) -> [u8; 16] {
        let texts = [self.event_type.as_str(), self.tenant.as_str(), self.key.as_deref().unwrap_or("")];
        let times = [self.time, self.expires];
        let [a, b, c] = texts.map(|text| (text.len() as u64).to_le_bytes());
        let [time, expires] = times.map(|time| time.map_or(u64::MAX, UnixTime::as_millis).to_le_bytes());
        let [one, two, three] = texts.map(str::as_bytes);
        let eight = 8_u64.to_le_bytes();
        let parts = [&self.payload_digest[..], &a, one, &b, two, &c, three, &eight, &time, &eight, &expires];
        let digest = sha256_of(parts);
        core::array::from_fn(|i| digest[i])
    }

    fn note(&mut self, mistake: EventError) {
        self.mistake.get_or_insert(mistake);
    }
}

/// What the machine reads of an event beside its public parts.
pub(crate) struct Parts<'a> {
    pub(crate) time: Option<UnixTime>,
    pub(crate) key: Option<&'a Arc<str>>,
    pub(crate) idempotency: Option<&'a Arc<str>>,
    pub(crate) expires: Option<UnixTime>,
}

/// Why something is not an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// The id is no id.
    Id(IdError),
    /// The tenant is no tenant.
    Tenant(IdError),
    /// The ordering key is no key.
    Key(IdError),
    /// The idempotency key is no key.
    Idempotency(IdError),
    /// The type is no type.
    Type(TypeError),
    /// The payload is no payload.
    Payload(PayloadError),
}

impl From<PayloadError> for EventError {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(why) => write!(f, "the event's id {why}"),
            Self::Tenant(why) => write!(f, "the event's tenant {why}"),
            Self::Key(why) => write!(f, "the event's ordering key {why}"),
            Self::Idempotency(why) => write!(f, "the event's idempotency key {why}"),
            Self::Type(why) => write!(f, "the event's type {why}"),
            Self::Payload(why) => write!(f, "the event's payload {why}"),
        }
    }
}

impl core::error::Error for EventError {}

fn checked_key(key: &str) -> Result<Arc<str>, IdError> {
    if key.is_empty() {
        return Err(IdError::Empty);
    }
    if key.len() > KEY_BYTES {
        return Err(IdError::TooLong { len: key.len(), max: KEY_BYTES });
    }
    Ok(key.into())
}

/// The `webhook-id` of a CloudEvent: an injective encoding of its source and id without a `.`.
///
/// CloudEvents 1.0 makes source and id together unique. Both are written with every byte outside `[A-Za-z0-9_-]` as
/// `~` and two hex digits, joined by `~~`, which cannot arise from the escapes. When that is longer than 256 bytes,
/// the result is `ce_` and the SHA-256 of the joined text in hex; such an id cannot be mistaken for a joined one,
/// because those contain `~~`.
pub fn cloud_event_id(source: &str, id: &str) -> EventId {
    let mut text = Vec::with_capacity(source.len() + id.len() + 2);
    escape(source, &mut text);
    text.extend_from_slice(b"~~");
    escape(id, &mut text);
    if text.len() > EventId::MAX {
        let digest = sha256_of([&text]);
        text.clear();
        text.extend_from_slice(b"ce_");
        digest.iter().for_each(|byte| push_hex(*byte, &mut text));
    }
    let text = core::str::from_utf8(&text).expect("only ASCII was written");
    EventId::new(text).expect("visible ASCII without dots, and short enough")
}

fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            out.push(byte);
        } else {
            out.push(b'~');
            push_hex(byte, out);
        }
    }
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_mistake_is_kept() {
        let event = Event::json("a", &1).unwrap().id("").tenant("").id("fine");
        assert_eq!(event.mistake(), Some(&EventError::Id(IdError::Empty)));
    }

    #[test]
    fn the_digest_tells_contents_apart() {
        let event = || Event::json("a.b", &1).unwrap().id("x");
        let digest = |event: Event| event.digest();
        assert_eq!(digest(event()), digest(event()));
        for other in [
            Event::json("a.c", &1).unwrap().id("x"),
            Event::json("a.b", &2).unwrap().id("x"),
            Event::raw("a.b", "application/json", Bytes::from_static(b"1")).unwrap().id("x"),
            event().time(UnixTime::EPOCH),
            event().expires(UnixTime::EPOCH),
            event().key("x"),
            event().tenant("other"),
        ] {
            assert_ne!(digest(event()), digest(other));
        }
    }

    proptest! {
        #[test]
        fn cloud_event_ids_are_injective(a in ".{0,12}", b in ".{0,12}", c in ".{0,12}", d in ".{0,12}") {
            prop_assert_eq!(cloud_event_id(&a, &b) == cloud_event_id(&c, &d), (&a, &b) == (&c, &d));
        }
    }

    #[test]
    fn a_digest_is_taken_anew_when_the_content_changes() {
        let event = Event::json("a.b", &1).unwrap().id("x");
        let before = event.digest();
        for changed in [event.clone().tenant("t"), event.clone().time(UnixTime::EPOCH), event.clone().key("k")] {
            assert_ne!(changed.digest(), before);
        }
        assert_eq!((event.clone().id("y").digest(), event.with_digest([1; 16]).digest()), (before, [1; 16]));
    }

    #[test]
    fn a_long_cloud_event_id_is_hashed() {
        let id = cloud_event_id(&"s".repeat(200), &"i".repeat(200));
        assert_eq!(id.as_str().len(), 67);
        assert!(id.as_str().starts_with("ce_"));
    }
}
