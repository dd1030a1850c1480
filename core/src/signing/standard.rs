//! Standard Webhooks 1.0.0: three headers, and a list of signatures of which one must fit.
//!
//! What the specification leaves open is settled strictly. Each header appears once. The id is 1 to 256 visible ASCII
//! characters (a `.` is accepted). The timestamp is a decimal number without sign, leading zero or blank. Signatures
//! are parted by single spaces, empty items and unknown versions are passed over, base64 is standard with its padding.
//! A shared key looks at `v1` signatures only, and a public key at `v1a` only.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut;
use hmac::digest::CtOutput;
use http::HeaderName;

use super::error::{HEADER_BYTES, KeyError};
use super::received::{Window, decimal, visible};
use super::{Headers, SigningKey};
pub use super::{VerifierError, VerifyError};
use crate::limits::{RING_KEYS, SIGNATURES};
use crate::secret::{KeyId, Secret, SecretError};
use crate::time::UnixTime;

/// The header that carries the event's id, the same on every attempt.
pub const ID: &str = "webhook-id";
/// The header that carries the attempt's time, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header that carries the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// The header of a request that sends an event again, which was replayed: a number that is another one for each replay of
/// the event, the same on every attempt of one. It is not covered by the signature.
pub const REPLAY: &str = "postrider-replay";
/// The header that names the event that is sent again, where the replay has an id of its own. It is not covered by the
/// signature either.
pub const REPLAY_OF: &str = "postrider-replay-of";

/// The header that names the ordering key of an event, where its endpoint asks for order: percent-encoded but for visible
/// ASCII without `%`. The signature covers none of the headers of order.
pub const KEY: &str = "postrider-key";
/// The header that tells the place of an event among those with its ordering key, the same on every attempt.
pub const SEQUENCE: &str = "postrider-sequence";
/// The header that tells the place of the event before it, where that is known.
pub const PREVIOUS_SEQUENCE: &str = "postrider-previous-sequence";

/// How far a timestamp may lie from the receiver's clock, either way, unless told otherwise.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The value of `webhook-signature`: a `v1` signature for each key, parted by spaces. Empty without keys.
pub fn sign<'k>(keys: impl IntoIterator<Item = &'k SigningKey>, id: &str, timestamp_secs: u64, body: &[u8]) -> String {
    let mut value = Vec::new();
    write_signatures(keys, id, timestamp_secs, body, &mut value);
    String::from_utf8(value).expect("base64 is ASCII")
}

/// Writes what [`sign`] returns, without allocating: 48 bytes for each key, less one.
///
/// # Panics
/// When `out` has a fixed size and less room than that, as is the rule for [`BufMut`].
pub fn write_signatures<'k>(
    keys: impl IntoIterator<Item = &'k SigningKey>,
    id: &str,
    timestamp_secs: u64,
    body: &[u8],
    out: &mut impl BufMut,
) {
    for (n, key) in keys.into_iter().enumerate() {
        if n > 0 {
            out.put_u8(b' ');
        }
        key.write_v1(id, timestamp_secs, body, out);
    }
}

/// Checks requests against 1 to 10 keys ([`RING_KEYS`]).
///
/// Keys come only from here, never from a request. One verifier serves any number of requests, from any thread.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Vec<SigningKey>,
    #[cfg(feature = "ed25519")]
    public: Vec<super::PublicKey>,
    pub(super) window: Window,
    svix: bool,
}

impl Verifier {
    /// A verifier that accepts what any of these keys signed, at most 300 s ago or ahead.
    pub fn new<K: Into<SigningKey>>(keys: impl IntoIterator<Item = K>) -> Result<Self, VerifierError> {
        let mut verifier = Self::empty();
        verifier.keys.extend(keys.into_iter().take(RING_KEYS + 1).map(Into::into));
        verifier.counted()
    }

    /// A verifier that accepts what the other halves of these keys signed with `v1a`, at most 300 s ago or ahead.
    #[cfg(feature = "ed25519")]
    pub fn from_public(keys: impl IntoIterator<Item = super::PublicKey>) -> Result<Self, VerifierError> {
        let mut verifier = Self::empty();
        verifier.public.extend(keys.into_iter().take(RING_KEYS + 1));
        verifier.counted()
    }

    /// Accepts what the other half of this key signed too, for a sender that changes over to `v1a`.
    #[cfg(feature = "ed25519")]
    pub fn and_public(mut self, key: super::PublicKey) -> Result<Self, VerifierError> {
        self.public.push(key);
        self.counted()
    }

    /// Reads `whsec_` and `whpk_` keys. `sizes` bounds the bytes of the former.
    pub(super) fn read<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
        sizes: &RangeInclusive<usize>,
    ) -> Result<Self, VerifierError> {
        let mut verifier = Self::empty();
        for (index, text) in texts.into_iter().take(RING_KEYS + 1).enumerate() {
            let refused = |why| VerifierError::Key { index, why };
            let text = text.as_ref();
            if text.starts_with("whpk_") {
                #[cfg(feature = "ed25519")]
                verifier.public.push(super::PublicKey::parse(text).map_err(refused)?);
                #[cfg(not(feature = "ed25519"))]
                return Err(VerifierError::NeedsFeature { feature: "ed25519" });
            } else {
                let secret = shared(text, sizes).map_err(|why| refused(KeyError::Secret(why)))?;
                verifier.keys.push(SigningKey::new(&secret));
            }
        }
        verifier.counted()
    }

    fn empty() -> Self {
        Self {
            keys: Vec::new(),
            #[cfg(feature = "ed25519")]
            public: Vec::new(),
            window: Window::both(Some(TOLERANCE)),
            svix: false,
        }
    }

    fn counted(self) -> Result<Self, VerifierError> {
        #[cfg(feature = "ed25519")]
        let count = self.keys.len() + self.public.len();
        #[cfg(not(feature = "ed25519"))]
        let count = self.keys.len();
        match count {
            0 => Err(VerifierError::NoKeys),
            1..=RING_KEYS => Ok(self),
            _ => Err(VerifierError::TooManyKeys),
        }
    }

    /// How far a timestamp may lie from the receiver's clock, either way. Both are compared in whole seconds. Zero
    /// means the same second, it does not turn the check off.
    #[must_use]
    pub fn tolerance(self, either_way: Duration) -> Self {
        self.past_tolerance(either_way).future_tolerance(either_way)
    }

    /// How old a timestamp may be.
    #[must_use]
    pub fn past_tolerance(mut self, past: Duration) -> Self {
        self.window.past = Some(past);
        self
    }

    /// How far ahead a timestamp may be.
    #[must_use]
    pub fn future_tolerance(mut self, future: Duration) -> Self {
        self.window.future = Some(future);
        self
    }

    /// Whether the names `svix-id`, `svix-timestamp` and `svix-signature` are accepted too. Where a request has all
    /// three, its `webhook-*` headers are not looked at. Off by default.
    #[must_use]
    pub fn accept_svix_names(self, accept: bool) -> Self {
        Self { svix: accept, ..self }
    }

    /// Checks a request whose body is exactly these bytes, received at `now`.
    ///
    /// Checked in this order: headers present, once each and of at most 8 KiB, id, timestamp, tolerance, signatures. Of
    /// the signatures the first 32 ([`SIGNATURES`]) are looked at, and each well-formed one is compared with that of
    /// every key of its kind, `v1` in constant time, and without stopping at the first that fits. Where several keys
    /// fit, the first given is named, shared ones first.
    ///
    /// Apart from a copy of the id, accepting a `v1` signature allocates nothing.
    pub fn verify<'b>(
        &self,
        headers: &(impl Headers + ?Sized),
        body: &'b [u8],
        now: UnixTime,
    ) -> Result<Verified<'b>, VerifyError> {
        let (claim, key) = self.check_within(&self.window, headers, body, now)?;
        Ok(Verified { body, id: claim.id.into(), timestamp: UnixTime::from_secs(claim.secs), key })
    }

    /// The same within other tolerances, with what the headers say.
    pub(super) fn check_within<'h>(
        &self,
        window: &Window,
        headers: &'h (impl Headers + ?Sized),
        body: &[u8],
        now: UnixTime,
    ) -> Result<(Claim<'h>, KeyId), VerifyError> {
        let claim = self.claim(headers)?;
        window.check(claim.secs, now)?;
        let listed = Listed::read(claim.signatures);
        let public = self.public_signatures(&claim);
        let shared = if self.keys.is_empty() { 0 } else { listed.len };
        let signatures = shared + public.as_ref().map_or(0, super::keys::Listed::len);
        if signatures == 0 {
            return Err(VerifyError::NoSignature { items: listed.items });
        }
        let shared = listed.key(&self.keys, claim.id.as_bytes(), claim.timestamp, body);
        let key = shared.or_else(|| self.public_signer(&claim, body, public.as_ref()?));
        Ok((claim, key.ok_or(VerifyError::NoMatch { signatures })?))
    }

    /// The `v1a` signatures, if anything could fit them.
    #[cfg(feature = "ed25519")]
    fn public_signatures(&self, claim: &Claim<'_>) -> Option<super::keys::Listed> {
        if self.public.is_empty() {
            return None;
        }
        let mut listed = super::keys::Listed::new();
        for item in items(claim.signatures) {
            if let Some(item) = item.strip_prefix(b"v1a,") {
                listed.push(super::Algorithm::Ed25519, super::keys::Text::Base64, item);
            }
        }
        Some(listed)
    }

    #[cfg(not(feature = "ed25519"))]
    fn public_signatures(&self, _: &Claim<'_>) -> Option<super::keys::Listed> {
        None
    }

    #[cfg(feature = "ed25519")]
    fn public_signer(&self, claim: &Claim<'_>, body: &[u8], listed: &super::keys::Listed) -> Option<KeyId> {
        if listed.len() == 0 {
            return None;
        }
        let message = [claim.id.as_bytes(), b".", claim.timestamp, b".", body].concat();
        let fits = |key: &&super::PublicKey| listed.iter().filter(|it| key.verifies(&message, it)).count() > 0;
        self.public.iter().find(fits).map(super::PublicKey::id)
    }

    #[cfg(not(feature = "ed25519"))]
    fn public_signer(&self, _: &Claim<'_>, _: &[u8], _: &super::keys::Listed) -> Option<KeyId> {
        None
    }

    /// The keys, in the order given.
    pub(super) fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// What the headers say, well-formed but not verified.
    pub(super) fn claim<'h>(&self, headers: &'h (impl Headers + ?Sized)) -> Result<Claim<'h>, VerifyError> {
        let names = self.family(headers);
        let [id, timestamp, signatures] = names.0.each_ref().map(|name| one(headers, name));
        let (id, timestamp, signatures) = (id?, timestamp?, signatures?);
        let id = visible(id).ok_or(VerifyError::BadId)?;
        let secs = decimal(timestamp).ok_or(VerifyError::BadTimestamp)?;
        Ok(Claim { id, timestamp, secs, signatures })
    }

    pub(super) fn check_time(&self, secs: u64, now: UnixTime) -> Result<(), VerifyError> {
        self.window.check(secs, now)
    }

    /// Which names to read. With some `svix-*` headers and no `webhook-*` ones, the former are read so that the error
    /// names what is missing.
    fn family(&self, headers: &(impl Headers + ?Sized)) -> &'static Names {
        if !self.svix {
            return &WEBHOOK;
        }
        let has = |name| headers.named(name).next().is_some();
        let svix = SVIX.0.each_ref().map(has);
        let alone = svix != [false; 3] && WEBHOOK.0.each_ref().map(has) == [false; 3];
        if svix == [true; 3] || alone { &SVIX } else { &WEBHOOK }
    }
}

/// A request that a known key signed. Only [`Verifier::verify`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified<'b> {
    body: &'b [u8],
    id: Box<str>,
    timestamp: UnixTime,
    key: KeyId,
}

impl<'b> Verified<'b> {
    /// The bytes that were signed.
    pub fn body(&self) -> &'b [u8] {
        self.body
    }

    /// The event's id, the same whenever it is sent again: deduplicate by this together with the key's owner.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the attempt was signed, by the sender's clock, in whole seconds.
    pub fn timestamp(&self) -> UnixTime {
        self.timestamp
    }

    /// Which of the verifier's keys signed it.
    pub fn key(&self) -> KeyId {
        self.key
    }
}

impl fmt::Debug for Verified<'_> {
    /// Everything but the body, of which only the length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .field("key", &self.key)
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// The three header names of one family: id, timestamp, signature.
pub(super) struct Names([HeaderName; 3]);

impl Names {
    const fn new([id, timestamp, signature]: [&'static str; 3]) -> Self {
        Self([HeaderName::from_static(id), HeaderName::from_static(timestamp), HeaderName::from_static(signature)])
    }

    pub(super) fn each(&'static self) -> [&'static str; 3] {
        self.0.each_ref().map(HeaderName::as_str)
    }
}

static WEBHOOK: Names = Names::new([ID, TIMESTAMP, SIGNATURE]);
pub(super) static SVIX: Names = Names::new(["svix-id", "svix-timestamp", "svix-signature"]);

/// The header that tells the place of an event, made ready.
pub(super) static ORDER: HeaderName = HeaderName::from_static(SEQUENCE);

/// What a request says of itself: well-formed, but not verified.
pub(super) struct Claim<'h> {
    pub(super) id: &'h str,
    pub(super) timestamp: &'h [u8],
    pub(super) secs: u64,
    pub(super) signatures: &'h [u8],
}

/// The well-formed `v1` signatures of a header, at most [`SIGNATURES`].
pub(super) struct Listed {
    macs: [[u8; 32]; SIGNATURES],
    len: usize,
    items: usize,
}

impl Listed {
    pub(super) fn read(header: &[u8]) -> Self {
        let mut listed = Self { macs: [[0; 32]; SIGNATURES], len: 0, items: 0 };
        for item in items(header) {
            listed.items += 1;
            if let Some(mac) = v1(item) {
                listed.macs[listed.len] = mac;
                listed.len += 1;
            }
        }
        listed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first key of which a signature is listed. Takes the same time wherever and whether one fits.
    pub(super) fn key(&self, keys: &[SigningKey], id: &[u8], timestamp: &[u8], body: &[u8]) -> Option<KeyId> {
        let mut first = None;
        for key in keys {
            let mac = key.mac(id, timestamp, body);
            let mut fits = false;
            for listed in &self.macs[..self.len] {
                fits |= mac == CtOutput::new((*listed).into());
            }
            if fits && first.is_none() {
                first = Some(key.id());
            }
        }
        first
    }
}

/// The items of a signature header that are looked at.
fn items(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split(|b| *b == b' ').filter(|item| !item.is_empty()).take(SIGNATURES)
}

/// A shared key of a size within these bounds.
fn shared(text: &str, sizes: &RangeInclusive<usize>) -> Result<Secret, SecretError> {
    let secret = Secret::parse_any_size(text)?;
    match secret.expose().len() {
        bytes if bytes < *sizes.start() => Err(SecretError::TooShort { bytes }),
        bytes if bytes > *sizes.end() => Err(SecretError::TooLong { bytes }),
        _ => Ok(secret),
    }
}

/// The bytes of one `v1,<base64>` item.
fn v1(item: &[u8]) -> Option<[u8; 32]> {
    let encoded = item.strip_prefix(b"v1,")?;
    if encoded.len() != 44 {
        return None;
    }
    let mut decoded = [0; 33];
    let len = STANDARD.decode_slice(encoded, &mut decoded).ok()?;
    (len == 32).then_some(decoded)?.first_chunk().copied()
}

/// The only value of a header.
fn one<'h>(headers: &'h (impl Headers + ?Sized), name: &'static HeaderName) -> Result<&'h [u8], VerifyError> {
    let mut values = headers.named(name);
    let header = name.as_str();
    let value = values.next().ok_or(VerifyError::Missing { header })?;
    match values.next() {
        Some(_) => Err(VerifyError::Duplicate { header }),
        None if value.len() > HEADER_BYTES => Err(VerifyError::TooLong { header }),
        None => Ok(value),
    }
}
