//! Standard Webhooks 1.0.0: three headers, and a list of signatures of which one must fit.
//!
//! What the specification leaves open is settled strictly. Each header appears once. The id is 1 to 256 visible ASCII
//! characters (a `.` is accepted). The timestamp is a decimal number without sign, leading zero or blank. Signatures
//! are parted by single spaces, empty items and unknown versions are passed over, base64 is standard with its padding.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut;
use hmac::digest::CtOutput;

use super::{Headers, SigningKey};
use crate::limits::{RING_KEYS, SIGNATURES};
use crate::secret::KeyId;
use crate::time::UnixTime;

/// The header that carries the event's id, the same on every attempt.
pub const ID: &str = "webhook-id";
/// The header that carries the attempt's time, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header that carries the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a timestamp may lie from the receiver's clock, either way, unless told otherwise.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Longest id, in bytes.
const ID_BYTES: usize = 256;

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
    past: Duration,
    future: Duration,
    svix: bool,
}

impl Verifier {
    /// A verifier that accepts what any of these keys signed, at most 300 s ago or ahead.
    pub fn new<K: Into<SigningKey>>(keys: impl IntoIterator<Item = K>) -> Result<Self, VerifierError> {
        let keys: Vec<SigningKey> = keys.into_iter().take(RING_KEYS + 1).map(Into::into).collect();
        match keys.len() {
            0 => Err(VerifierError::NoKeys),
            1..=RING_KEYS => Ok(Self { keys, past: TOLERANCE, future: TOLERANCE, svix: false }),
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
    pub fn past_tolerance(self, past: Duration) -> Self {
        Self { past, ..self }
    }

    /// How far ahead a timestamp may be.
    #[must_use]
    pub fn future_tolerance(self, future: Duration) -> Self {
        Self { future, ..self }
    }

    /// Whether the names `svix-id`, `svix-timestamp` and `svix-signature` are accepted too. Where a request has all
    /// three, its `webhook-*` headers are not looked at. Off by default.
    #[must_use]
    pub fn accept_svix_names(self, accept: bool) -> Self {
        Self { svix: accept, ..self }
    }

    /// Checks a request whose body is exactly these bytes, received at `now`.
    ///
    /// Checked in this order: headers present, once each, id, timestamp, tolerance, signatures. Of the signatures the
    /// first 32 ([`SIGNATURES`]) are looked at, and each well-formed `v1` is compared with that of every key, in
    /// constant time and without stopping at the first that fits. Where several keys fit, the first given is named.
    ///
    /// Apart from a copy of the id, accepting allocates nothing.
    pub fn verify<'b>(
        &self,
        headers: &(impl Headers + ?Sized),
        body: &'b [u8],
        now: UnixTime,
    ) -> Result<Verified<'b>, VerifyError> {
        let claim = self.claim(headers)?;
        self.check_time(claim.secs, now)?;
        let listed = Listed::read(claim.signatures);
        if listed.is_empty() {
            return Err(VerifyError::NoSignature { items: listed.items });
        }
        let key = listed
            .key(&self.keys, claim.id.as_bytes(), claim.timestamp, body)
            .ok_or(VerifyError::NoMatch { signatures: listed.len })?;
        Ok(Verified { body, id: claim.id.into(), timestamp: UnixTime::from_secs(claim.secs), key })
    }

    /// The keys, in the order given.
    pub(super) fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// What the headers say, well-formed but not verified.
    pub(super) fn claim<'h>(&self, headers: &'h (impl Headers + ?Sized)) -> Result<Claim<'h>, VerifyError> {
        let names = self.family(headers);
        let [id, timestamp, signatures] =
            [one(headers, names.id), one(headers, names.timestamp), one(headers, names.signature)];
        let (id, timestamp, signatures) = (id?, timestamp?, signatures?);
        let id = core::str::from_utf8(id).map_err(|_| VerifyError::BadId)?;
        if id.is_empty() || id.len() > ID_BYTES || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(VerifyError::BadId);
        }
        let secs = seconds(timestamp).ok_or(VerifyError::BadTimestamp)?;
        Ok(Claim { id, timestamp, secs, signatures })
    }

    pub(super) fn check_time(&self, secs: u64, now: UnixTime) -> Result<(), VerifyError> {
        let (age, lead) = (now.as_secs().saturating_sub(secs), secs.saturating_sub(now.as_secs()));
        if Duration::from_secs(age) > self.past {
            return Err(VerifyError::TooOld { age: Duration::from_secs(age), tolerance: self.past });
        }
        if Duration::from_secs(lead) > self.future {
            return Err(VerifyError::TooNew { lead: Duration::from_secs(lead), tolerance: self.future });
        }
        Ok(())
    }

    /// Which names to read. With some `svix-*` headers and no `webhook-*` ones, the former are read so that the error
    /// names what is missing.
    fn family(&self, headers: &(impl Headers + ?Sized)) -> &'static Names {
        let has = |name| headers.all(name).next().is_some();
        let svix = SVIX.each().map(has);
        let complete = svix == [true; 3];
        let alone = svix != [false; 3] && WEBHOOK.each().map(has) == [false; 3];
        if self.svix && (complete || alone) { &SVIX } else { &WEBHOOK }
    }
}

/// Keys that make no verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifierError {
    /// There is none, so nothing could ever be accepted.
    NoKeys,
    /// There are more than 10 ([`RING_KEYS`]).
    TooManyKeys,
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => f.write_str("a verifier needs at least one key"),
            Self::TooManyKeys => write!(f, "a verifier takes at most {RING_KEYS} keys"),
        }
    }
}

impl core::error::Error for VerifierError {}

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

/// Why a request was not accepted. For the receiver's log; the sender is told [`status_hint`](Self::status_hint) and
/// [`wire_text`](Self::wire_text) only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header is absent.
    Missing {
        /// Its name.
        header: &'static str,
    },
    /// A header appears more than once, so that two readers could take two different values.
    Duplicate {
        /// Its name.
        header: &'static str,
    },
    /// The id is not 1 to 256 visible ASCII characters.
    BadId,
    /// The timestamp is not a plain decimal number of seconds below 2^63.
    BadTimestamp,
    /// The timestamp is further back than is tolerated. The signature was not looked at.
    TooOld {
        /// How far back it is, in whole seconds.
        age: Duration,
        /// How far back it may be.
        tolerance: Duration,
    },
    /// The timestamp is further ahead than is tolerated. The signature was not looked at.
    TooNew {
        /// How far ahead it is, in whole seconds.
        lead: Duration,
        /// How far ahead it may be.
        tolerance: Duration,
    },
    /// Nothing in the signature header is a well-formed `v1` signature.
    NoSignature {
        /// How many items were looked at.
        items: usize,
    },
    /// No signature was made over these bytes with a key of the verifier.
    NoMatch {
        /// How many well-formed `v1` signatures were compared.
        signatures: usize,
    },
}

impl VerifyError {
    /// The status to answer with: 400 for headers that are missing or malformed, 401 for everything that concerns
    /// trust. Either makes a conforming sender try again.
    pub const fn status_hint(&self) -> u16 {
        match self {
            Self::Missing { .. } | Self::Duplicate { .. } | Self::BadId | Self::BadTimestamp => 400,
            Self::TooOld { .. } | Self::TooNew { .. } | Self::NoSignature { .. } | Self::NoMatch { .. } => 401,
        }
    }

    /// The one text for the answer's body, whatever was wrong, so that it helps nobody to try keys or times.
    pub const fn wire_text(&self) -> &'static str {
        "the webhook was not accepted"
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { header } => write!(f, "the header {header} is missing"),
            Self::Duplicate { header } => write!(f, "the header {header} appears more than once"),
            Self::BadId => write!(f, "the id header is not 1 to {ID_BYTES} visible ASCII characters"),
            Self::BadTimestamp => f.write_str(
                "the timestamp header is not a plain decimal number of seconds (no sign, leading zero, blank or fraction)",
            ),
            Self::TooOld { age, tolerance } => {
                write!(f, "the timestamp is {age:?} before this receiver's clock, at most {tolerance:?} is tolerated")
            }
            Self::TooNew { lead, tolerance } => {
                write!(f, "the timestamp is {lead:?} ahead of this receiver's clock, at most {tolerance:?} is tolerated")
            }
            Self::NoSignature { items } => {
                write!(f, "none of the {items} items in the signature header is a `v1,` with 44 characters of base64")
            }
            Self::NoMatch { signatures } => {
                write!(f, "none of {signatures} signatures fits this id, timestamp and body under a known key")
            }
        }
    }
}

impl core::error::Error for VerifyError {}

/// The three header names of one family.
struct Names {
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

impl Names {
    const fn each(&self) -> [&'static str; 3] {
        [self.id, self.timestamp, self.signature]
    }
}

const WEBHOOK: Names = Names { id: ID, timestamp: TIMESTAMP, signature: SIGNATURE };
const SVIX: Names = Names { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

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
        for item in header.split(|b| *b == b' ').filter(|item| !item.is_empty()).take(SIGNATURES) {
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
fn one<'h>(headers: &'h (impl Headers + ?Sized), name: &'static str) -> Result<&'h [u8], VerifyError> {
    let mut values = headers.all(name);
    let value = values.next().ok_or(VerifyError::Missing { header: name })?;
    match values.next() {
        None => Ok(value),
        Some(_) => Err(VerifyError::Duplicate { header: name }),
    }
}

/// A decimal number below 2^63, without sign, leading zero or anything else.
fn seconds(text: &[u8]) -> Option<u64> {
    let plain = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.len() <= 19;
    if !plain {
        return None;
    }
    let number =
        text.iter().try_fold(0u64, |number, b| b.is_ascii_digit().then(|| number * 10 + u64::from(b - b'0')))?;
    (number <= i64::MAX.unsigned_abs()).then_some(number)
}
