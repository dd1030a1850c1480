//! Keys of every algorithm, made ready, and the signatures that are compared with theirs.

use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::{CtOutput, Output};
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::error::{KeyError, VerifierError};
use crate::limits::{RING_KEYS, SIGNATURES};
use crate::secret::{KeyId, Secret};

/// What signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-1 (RFC 2104), which only old schemes use.
    HmacSha1,
    /// HMAC with SHA-256 (RFC 2104, RFC 6234).
    HmacSha256,
    /// HMAC with SHA-512 (RFC 2104, RFC 6234).
    HmacSha512,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5), in DER.
    EcdsaP256,
}

impl Algorithm {
    /// The bytes of a signature, at most.
    pub(super) const MOST_BYTES: usize = 72;

    /// Whether a signature may have so many bytes.
    pub(super) const fn fits(self, bytes: usize) -> bool {
        match self {
            Self::HmacSha1 => bytes == 20,
            Self::HmacSha256 => bytes == 32,
            Self::HmacSha512 | Self::Ed25519 => bytes == 64,
            Self::EcdsaP256 => bytes >= 8 && bytes <= Self::MOST_BYTES,
        }
    }
}

/// How the text of a key becomes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyText {
    /// Its bytes are the key, prefix and all.
    Whole,
    /// It is hexadecimal digits.
    Hex,
    /// It is standard base64.
    Base64,
    /// The SHA-1 of its bytes is the key.
    Sha1,
    /// It is the base64 of an X.509 `SubjectPublicKeyInfo`.
    Spki,
}

impl KeyText {
    /// The key that a text means.
    pub(super) fn read(self, text: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let key = match self {
            Self::Whole => Zeroizing::new(text.as_bytes().to_vec()),
            Self::Hex => from_hex(text).ok_or(KeyError::NotHex)?,
            Self::Base64 => from_base64(text).ok_or(KeyError::NotBase64)?,
            Self::Sha1 if text.is_empty() => return Err(KeyError::Empty),
            Self::Sha1 => Zeroizing::new(Sha1::digest(text).to_vec()),
            Self::Spki => spki_point(&from_base64(text).ok_or(KeyError::NotBase64)?)?,
        };
        if key.is_empty() { Err(KeyError::Empty) } else { Ok(key) }
    }
}

/// The bytes of hexadecimal digits of either case.
pub(super) fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    odd.is_empty().then_some(bytes)
}

/// The bytes of standard base64 with its padding.
pub(super) fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(alloc::vec![0; text.len().div_ceil(4) * 3]);
    let len = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

/// The point in the `SubjectPublicKeyInfo` of a P-256 key (RFC 5480), uncompressed.
fn spki_point(der: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const HEAD: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    if der.is_empty() {
        return Err(KeyError::Empty);
    }
    if der.len() != 91 {
        return Err(KeyError::Size { bytes: der.len(), wanted: 91 });
    }
    let point = der.strip_prefix(&HEAD).ok_or(KeyError::NoPoint)?;
    Ok(Zeroizing::new(point.to_vec()))
}

/// A key of a verifier. As secret as what it was made from.
#[derive(Clone)]
pub(super) struct Key {
    id: KeyId,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
    #[cfg(feature = "ed25519")]
    Ed25519(super::PublicKey),
    #[cfg(feature = "p256")]
    P256(p256::ecdsa::VerifyingKey),
}

impl Key {
    /// Makes a key ready. What it is for a pair is the public half.
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, VerifierError> {
        Self::with_index(algorithm, key, 0)
    }

    fn with_index(algorithm: Algorithm, key: &[u8], index: usize) -> Result<Self, VerifierError> {
        let refused = |why| VerifierError::Key { index, why };
        let id = Secret::from_bytes_any_size(key).map_err(|_| refused(KeyError::Empty))?.id();
        let any = "HMAC takes a key of any length";
        let kind = match algorithm {
            Algorithm::HmacSha1 => Kind::Sha1(Hmac::new_from_slice(key).expect(any)),
            Algorithm::HmacSha256 => Kind::Sha256(Hmac::new_from_slice(key).expect(any)),
            Algorithm::HmacSha512 => Kind::Sha512(Hmac::new_from_slice(key).expect(any)),
            #[cfg(feature = "ed25519")]
            Algorithm::Ed25519 => Kind::Ed25519(super::PublicKey::from_bytes(key).map_err(refused)?),
            #[cfg(not(feature = "ed25519"))]
            Algorithm::Ed25519 => return Err(VerifierError::NeedsFeature { feature: "ed25519" }),
            #[cfg(feature = "p256")]
            Algorithm::EcdsaP256 => {
                Kind::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| refused(KeyError::NoPoint))?)
            }
            #[cfg(not(feature = "p256"))]
            Algorithm::EcdsaP256 => return Err(VerifierError::NeedsFeature { feature: "p256" }),
        };
        Ok(Self { id, kind })
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    /// Whether one of the signatures was made with this key over the parts, one after the other. All are compared,
    /// shared keys' in constant time.
    pub(super) fn signed(&self, parts: &[&[u8]], listed: &Listed) -> bool {
        match &self.kind {
            Kind::Sha1(keyed) => mac_signed(keyed, parts, listed),
            Kind::Sha256(keyed) => mac_signed(keyed, parts, listed),
            Kind::Sha512(keyed) => mac_signed(keyed, parts, listed),
            #[cfg(feature = "ed25519")]
            Kind::Ed25519(key) => {
                let message = parts.concat();
                listed.iter().filter(|signature| key.verifies(&message, signature)).count() > 0
            }
            #[cfg(feature = "p256")]
            Kind::P256(key) => {
                use p256::ecdsa::Signature;
                use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
                let digest = digest(parts);
                let fits = |der: &&[u8]| {
                    Signature::from_der(der).is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok())
                };
                listed.iter().filter(fits).count() > 0
            }
        }
    }

    /// Writes the signature over the parts. None for the public half of a pair, which cannot sign.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Sha1(keyed) => Some(mac(keyed, parts).into_bytes().to_vec()),
            Kind::Sha256(keyed) => Some(mac(keyed, parts).into_bytes().to_vec()),
            Kind::Sha512(keyed) => Some(mac(keyed, parts).into_bytes().to_vec()),
            #[cfg(feature = "ed25519")]
            Kind::Ed25519(_) => None,
            #[cfg(feature = "p256")]
            Kind::P256(_) => None,
        }
    }
}

/// SHA-256 over the parts, one after the other.
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

fn mac<M: Mac + Clone>(keyed: &M, parts: &[&[u8]]) -> CtOutput<M> {
    let mut mac = keyed.clone();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize()
}

fn mac_signed<M: Mac + Clone>(keyed: &M, parts: &[&[u8]], listed: &Listed) -> bool {
    let right = mac(keyed, parts);
    let mut fits = false;
    for signature in listed.iter() {
        if let Ok(given) = <&Output<M>>::try_from(signature) {
            fits |= right == CtOutput::new(given.clone());
        }
    }
    fits
}

/// The keys of a verifier, 1 to 10.
#[derive(Clone)]
pub(super) struct Ring(Vec<Key>);

impl Ring {
    /// Reads the texts of keys.
    pub(super) fn read<T: AsRef<str>>(
        algorithm: Algorithm,
        form: KeyText,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, VerifierError> {
        let texts: Vec<T> = texts.into_iter().take(RING_KEYS + 1).collect();
        let keys = texts.iter().enumerate().map(|(index, text)| {
            let key = form.read(text.as_ref()).map_err(|why| VerifierError::Key { index, why })?;
            Key::with_index(algorithm, &key, index)
        });
        Self::new(keys.collect::<Result<_, _>>()?)
    }

    pub(super) fn new(keys: Vec<Key>) -> Result<Self, VerifierError> {
        match keys.len() {
            0 => Err(VerifierError::NoKeys),
            1..=RING_KEYS => Ok(Self(keys)),
            _ => Err(VerifierError::TooManyKeys),
        }
    }

    /// The first key of which a signature over the parts is listed. All are tried.
    pub(super) fn signer(&self, parts: &[&[u8]], listed: &Listed) -> Option<KeyId> {
        let mut first = None;
        for key in &self.0 {
            if key.signed(parts, listed) && first.is_none() {
                first = Some(key.id());
            }
        }
        first
    }

    /// The key that signs: the first.
    pub(super) fn first(&self) -> &Key {
        self.0.first().expect("a ring has a key")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }
}

/// Signatures taken from a request, decoded: at most 32 ([`SIGNATURES`]).
pub(super) struct Listed {
    bytes: [[u8; Algorithm::MOST_BYTES]; SIGNATURES],
    lens: [u8; SIGNATURES],
    len: usize,
    /// How many items were looked at, well-formed or not.
    pub(super) items: usize,
}

impl Listed {
    pub(super) const fn new() -> Self {
        Self { bytes: [[0; Algorithm::MOST_BYTES]; SIGNATURES], lens: [0; SIGNATURES], len: 0, items: 0 }
    }

    /// Looks at one more item. What is not a well-formed signature of the algorithm is passed over, and so is
    /// everything beyond the bound.
    pub(super) fn push(&mut self, algorithm: Algorithm, text: Text, item: &[u8]) {
        if self.items == SIGNATURES {
            return;
        }
        self.items += 1;
        let Some(len) = text.decode(item, &mut self.bytes[self.len]) else { return };
        if algorithm.fits(len) {
            self.lens[self.len] = len as u8;
            self.len += 1;
        }
    }

    /// The same for a signature that is decoded already.
    pub(super) fn push_bytes(&mut self, algorithm: Algorithm, signature: &[u8]) {
        if self.items == SIGNATURES {
            return;
        }
        self.items += 1;
        if algorithm.fits(signature.len()) {
            self.bytes[self.len][..signature.len()].copy_from_slice(signature);
            self.lens[self.len] = signature.len() as u8;
            self.len += 1;
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.iter().zip(&self.lens).take(self.len).map(|(bytes, len)| &bytes[..usize::from(*len)])
    }
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Hexadecimal digits, lower case.
    Hex,
    /// Hexadecimal digits of either case.
    AnyHex,
    /// Standard base64 with padding.
    Base64,
}

impl Text {
    /// Decodes into `out`. None when it is not written so, or does not fit.
    pub(super) fn decode(self, item: &[u8], out: &mut [u8; Algorithm::MOST_BYTES]) -> Option<usize> {
        if self == Self::Base64 {
            // The decoder wants room for what the padding could have been.
            let mut wide = [0; Algorithm::MOST_BYTES + 3];
            let len = STANDARD.decode_slice(item, &mut wide).ok().filter(|len| *len <= out.len())?;
            out.copy_from_slice(&wide[..Algorithm::MOST_BYTES]);
            return Some(len);
        }
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            b'A'..=b'F' if self == Self::AnyHex => Some(b - b'A' + 10),
            _ => None,
        };
        let (pairs, odd) = item.as_chunks::<2>();
        if pairs.len() > out.len() || !odd.is_empty() {
            return None;
        }
        for (byte, [high, low]) in out.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(pairs.len())
    }

    /// Writes a signature so.
    pub(super) fn encode(self, signature: &[u8]) -> alloc::string::String {
        match self {
            Self::Hex | Self::AnyHex => {
                let digit = |n: u8| char::from_digit(n.into(), 16).expect("four bits");
                signature.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
            }
            Self::Base64 => STANDARD.encode(signature),
        }
    }
}
