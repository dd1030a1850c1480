//! Requests signed in an endpoint's dialects by the keys of its ring, as they are built.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, BytesMut};

use super::dialect::{Dialect, Dialects};
use super::keys::{Algorithm, Key, KeyText};
use super::message::{CONTENT_DIGEST, MessageSigner, SIGNATURE as MESSAGE_SIGNATURE, SIGNATURE_INPUT, content_digest};
use super::receipt::{BodyDigest, DeliveryReceipt};
use super::received::Received;
use super::row::Material;
use super::rows::{Form, Row};
use super::scheme::Place;
use super::standard::{self, SVIX};
use super::{Decimal, SigningKey};
use crate::limits::RING_KEYS;
use crate::secret::{KeyId, Secret};
use crate::time::UnixTime;

/// What message signatures of ours cover.
const COMPONENTS: [&str; 4] = ["@method", "@target-uri", CONTENT_DIGEST, standard::ID];

/// A request that is being built: always a `POST`.
pub(crate) struct Outgoing<'a> {
    pub(crate) url: &'a str,
    pub(crate) id: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) at: UnixTime,
    pub(crate) body: &'a [u8],
    /// Whether the receipts are wanted that may answer it.
    pub(crate) receipts: bool,
}

/// What signing a request came to.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// The keys that have signed.
    pub(crate) keys: [Option<KeyId>; RING_KEYS],
    /// The receipt of each that can make one, where they are wanted.
    pub(crate) receipts: Box<[DeliveryReceipt]>,
}

/// A key of a ring, made ready for the dialects that its endpoint's requests are signed in.
pub(crate) struct ReadyKey {
    id: KeyId,
    standard: Standard,
    /// For each dialect but those of Standard Webhooks, in order; none where only shared keys can sign it and this is a
    /// pair.
    others: Box<[Option<Other>]>,
}

enum Standard {
    Shared(SigningKey),
    #[cfg(feature = "ed25519")]
    Pair(super::PrivateKey),
}

enum Other {
    Row(Key),
    Message(MessageSigner),
}

impl ReadyKey {
    pub(crate) fn new(secret: &Secret, dialects: &Dialects) -> Self {
        let others = dialects.as_slice().iter().filter(|dialect| !is_standard(dialect));
        let others = others.map(|dialect| Other::of(secret, dialect)).collect();
        Self { id: secret.id(), standard: Standard::of(secret), others }
    }

    pub(crate) const fn id(&self) -> KeyId {
        self.id
    }

    /// The receipt of whoever verifies by this key; none of a pair, whose public half signs nothing.
    fn receipt(&self, id: &str, body: &BodyDigest) -> Option<DeliveryReceipt> {
        match &self.standard {
            Standard::Shared(key) => Some(DeliveryReceipt::of(key, id, body)),
            #[cfg(feature = "ed25519")]
            Standard::Pair(_) => None,
        }
    }
}

impl fmt::Debug for ReadyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadyKey({}, ..)", self.id)
    }
}

impl Standard {
    fn of(secret: &Secret) -> Self {
        #[cfg(feature = "ed25519")]
        if let Some(seed) = secret.seed() {
            return Self::Pair(super::PrivateKey::from_seed(seed));
        }
        Self::Shared(SigningKey::new(secret))
    }

    fn write(&self, request: &Outgoing<'_>, out: &mut BytesMut) {
        let secs = request.at.as_secs();
        match self {
            Self::Shared(key) => key.write_v1(request.id, secs, request.body, out),
            #[cfg(feature = "ed25519")]
            Self::Pair(key) => key.write_v1a(request.id, secs, request.body, out),
        }
    }
}

impl Other {
    fn of(secret: &Secret, dialect: &Dialect) -> Option<Self> {
        let hmac = |algorithm, bytes: &[u8]| Key::new(algorithm, bytes).expect("a secret is not empty");
        let Some(row) = dialect.row() else {
            #[cfg(feature = "ed25519")]
            if let Some(seed) = secret.seed() {
                return Some(Self::Message(MessageSigner::Pair(super::PrivateKey::from_seed(seed))));
            }
            return Some(Self::Message(MessageSigner::Shared(hmac(Algorithm::HmacSha256, secret.expose()))));
        };
        if secret.is_pair() {
            return None;
        }
        Some(Self::Row(match row.key {
            KeyText::Whole => hmac(row.algorithm, zeroize::Zeroizing::new(secret.reveal()).as_bytes()),
            KeyText::Hex | KeyText::Base64 | KeyText::Sha1 | KeyText::Spki => hmac(row.algorithm, secret.expose()),
        }))
    }
}

const fn is_standard(dialect: &Dialect) -> bool {
    matches!(dialect, Dialect::Standard | Dialect::Svix)
}

/// Signs a request with the active keys of its endpoint's ring, newest first, and gives each header that it needs to
/// `put`. Returns the keys that have signed, and the receipts that they may bring. What is signed is what the headers say and the body that is passed.
pub(crate) fn sign<'k>(
    dialects: &Dialects,
    keys: impl Iterator<Item = &'k ReadyKey>,
    request: &Outgoing<'_>,
    put: &mut impl FnMut(&str, &[u8]),
) -> Made {
    let mut active = [None; RING_KEYS];
    active.iter_mut().zip(keys).for_each(|(place, key)| *place = Some(key));
    let mut signers = [None; RING_KEYS];
    let mut note = |of: &[Option<&ReadyKey>]| {
        of.iter().zip(&mut signers).for_each(|(key, signer)| *signer = signer.or(key.map(ReadyKey::id)));
    };
    let mut other = 0;
    for dialect in dialects.as_slice() {
        match dialect {
            Dialect::Standard => {
                let value = standard_value(&active, request);
                if !value.is_empty() {
                    put(standard::SIGNATURE, &value);
                }
                note(&active);
                continue;
            }
            Dialect::Svix => {
                let (value, [id, timestamp, signature]) = (standard_value(&active, request), SVIX.each());
                put(id, request.id.as_bytes());
                put(timestamp, Decimal::new(request.at.as_secs()).as_bytes());
                put(signature, &value);
                note(&active);
                continue;
            }
            Dialect::MessageSignatures => {
                message(&active, other, request, put);
                note(&active);
            }
            Dialect::Github | Dialect::Stripe | Dialect::Slack | Dialect::Shopify | Dialect::Hmac(_) => {
                let row = dialect.row().expect("these are rows");
                note(&by_row(&row, &active, other, request, put));
            }
        }
        other += 1;
    }
    Made { keys: signers, receipts: receipts(&active, request) }
}

/// The receipt of each key; none where they are not wanted, which takes no memory.
fn receipts(keys: &[Option<&ReadyKey>], request: &Outgoing<'_>) -> Box<[DeliveryReceipt]> {
    if !request.receipts {
        return Box::default();
    }
    let body = BodyDigest::of(request.body);
    keys.iter().flatten().filter_map(|key| key.receipt(request.id, &body)).collect()
}

/// The signatures of Standard Webhooks, each key's.
fn standard_value(keys: &[Option<&ReadyKey>], request: &Outgoing<'_>) -> BytesMut {
    let mut value = BytesMut::with_capacity(64);
    for key in keys.iter().flatten() {
        if !value.is_empty() {
            value.put_u8(b' ');
        }
        key.standard.write(request, &mut value);
    }
    value
}

/// The headers of a row of the table; says which keys have signed.
fn by_row<'k>(
    row: &Row<'_>,
    keys: &[Option<&'k ReadyKey>; RING_KEYS],
    other: usize,
    request: &Outgoing<'_>,
    put: &mut impl FnMut(&str, &[u8]),
) -> [Option<&'k ReadyKey>; RING_KEYS] {
    let most = match row.form {
        Form::Plain(_) => 1,
        Form::List { .. } => RING_KEYS,
    };
    let (mut signers, mut ready) = ([None; RING_KEYS], Vec::new());
    for (signer, key) in signers.iter_mut().zip(keys).filter(|(_, key)| key.is_some()) {
        if let Some(Some(Other::Row(hmac))) = key.and_then(|key| key.others.get(other))
            && ready.len() < most
        {
            ready.push(hmac);
            *signer = *key;
        }
    }
    let material = Material { url: request.url, id: Some(request.id), body: request.body };
    for (name, value) in row.sign(&ready, &material, request.at).into_iter().flatten() {
        put(&name.to_ascii_lowercase(), value.as_bytes());
    }
    if let Place::Header(name) = row.facts.kind.place {
        put(&name.to_ascii_lowercase(), request.event_type.as_bytes());
    }
    signers
}

/// The digest of the body, and one message signature for each key.
fn message(keys: &[Option<&ReadyKey>], other: usize, request: &Outgoing<'_>, put: &mut impl FnMut(&str, &[u8])) {
    let digest = content_digest(request.body);
    let headers = [(CONTENT_DIGEST, digest.as_str()), (standard::ID, request.id)];
    let received = Received { method: "POST", url: request.url, headers: &headers, body: request.body };
    let (mut inputs, mut signatures): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (number, key) in (1..).zip(keys.iter().flatten()) {
        let Some(Some(Other::Message(signer))) = key.others.get(other) else { continue };
        let (label, name) = (format!("sig{number}"), format!("{}", key.id));
        if let Some([(_, input), (_, signature)]) = signer.sign(&label, Some(&name), &COMPONENTS, &received, request.at)
        {
            inputs.push(input);
            signatures.push(signature);
        }
    }
    put(CONTENT_DIGEST, digest.as_bytes());
    put(SIGNATURE_INPUT, inputs.join(", ").as_bytes());
    put(MESSAGE_SIGNATURE, signatures.join(", ").as_bytes());
}
