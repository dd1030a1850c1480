//! Key pairs of Ed25519: the private half signs, the public half verifies.

use alloc::string::String;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::error::KeyError;
use super::key::Decimal;
use super::keys::from_base64;
use crate::secret::{KeyId, Secret};

const PRIVATE: &str = "whsk_";
const PUBLIC: &str = "whpk_";
const SHARED: &str = "whsec_";

/// The private half of a key pair, for Standard Webhooks `v1a` and for HTTP Message Signatures.
///
/// Source: Standard Webhooks 1.0.0, "Asymmetric signatures": `whsk_` and the base64 of 64 bytes, the seed and the
/// public half. It has no voice: no `Display`, a dull `Debug`, and it is overwritten when it is dropped.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// The bytes that [`write_v1a`](Self::write_v1a) writes.
    pub const V1A_BYTES: usize = 92;

    /// Reads `whsk_` and base64. The prefix may be absent.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = encoded(text, PRIVATE)?;
        let pair: &[u8; 64] =
            bytes.as_slice().try_into().map_err(|_| KeyError::Size { bytes: bytes.len(), wanted: 64 })?;
        SigningKey::from_keypair_bytes(pair).map(Self).map_err(|_| KeyError::Halves)
    }

    /// The pair that grows from these 32 bytes (RFC 8032, section 5.1.5), which must come from a good random source.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The other half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The name of the pair, the same as that of its public half.
    pub fn id(&self) -> KeyId {
        self.public().id()
    }

    /// The key as text, for showing it once to whoever keeps it. The text is the caller's to keep and to overwrite.
    pub fn reveal(&self) -> String {
        let pair = Zeroizing::new(self.0.to_keypair_bytes());
        let mut text = String::from(PRIVATE);
        STANDARD.encode_string(pair.as_slice(), &mut text);
        text
    }

    /// The signature over any bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Writes the Standard Webhooks `v1a` signature as it stands in the header: `v1a,` and base64 over `id`, `.`, the
    /// timestamp in Unix seconds, `.`, `body`; [`V1A_BYTES`](Self::V1A_BYTES) in all.
    ///
    /// # Panics
    /// When `out` has a fixed size and less room than that, as is the rule for [`BufMut`].
    pub fn write_v1a(&self, id: &str, timestamp_secs: u64, body: &[u8], out: &mut impl BufMut) {
        let timestamp = Decimal::new(timestamp_secs);
        let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let mut text = [0; Self::V1A_BYTES];
        text[..4].copy_from_slice(b"v1a,");
        STANDARD.encode_slice(self.sign(&message), &mut text[4..]).expect("64 bytes are 88 characters of base64");
        out.put_slice(&text);
    }
}

impl From<&PrivateKey> for Secret {
    /// The same key among the secrets of an endpoint.
    fn from(key: &PrivateKey) -> Self {
        let pair = Zeroizing::new(key.0.to_keypair_bytes());
        Self::from_pair_bytes(pair.as_slice()).expect("a pair has 64 bytes")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, ..)", self.id())
    }
}

/// The public half of a key pair. It may be shown to anyone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads `whpk_` and the base64 of 32 bytes. The prefix may be absent.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&encoded(text, PUBLIC)?)
    }

    /// The key with these 32 bytes (RFC 8032, section 5.1.2). One of the few points that sign for everything is
    /// refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Size { bytes: bytes.len(), wanted: 32 })?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NoPoint)?;
        if key.is_weak() { Err(KeyError::NoPoint) } else { Ok(Self(key)) }
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The name of the pair.
    pub fn id(&self) -> KeyId {
        Secret::from_bytes_any_size(self.0.as_bytes()).expect("it is not empty").id()
    }

    /// Whether the private half made this signature of 64 bytes. Strict: each message and key has few signatures, and
    /// none that fits two messages (RFC 8032, section 8.4).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    /// As `whpk_` and base64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// The bytes behind the prefix, which is the wanted one or absent.
fn encoded(text: &str, wanted: &'static str) -> Result<Zeroizing<alloc::vec::Vec<u8>>, KeyError> {
    for (prefix, error) in [(PRIVATE, KeyError::Private), (PUBLIC, KeyError::Public), (SHARED, KeyError::Shared)] {
        if prefix != wanted && text.starts_with(prefix) {
            return Err(error);
        }
    }
    let text = text.strip_prefix(wanted).unwrap_or(text);
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    from_base64(text).ok_or(KeyError::NotBase64)
}
