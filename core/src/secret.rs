//! Secrets: the keys that a sender and a receiver share, and the fingerprints by which they are named.
//!
//! A [`Secret`] has no voice: no `Display`, a dull `Debug`, no `==`, and its bytes are overwritten when it is dropped.
//! They leave it only through [`Secret::expose`] and [`Secret::reveal`]. What may be logged, stored and sent is the
//! [`KeyId`]. An adapter that has a key of its own seals secrets when they enter ([`Secret::with_sealed`]); the journal
//! then holds the sealed form alone.
//!
//! ```
//! use postrider_core::secret::{Secret, SecretError};
//!
//! let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! assert_eq!(format!("{secret:?}"), "Secret(..)");
//! assert_eq!(Secret::parse("v1,whsec_MfKQ9r8GKYqr").err(), Some(SecretError::VersionPrefix));
//! # Ok::<(), SecretError>(())
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::digest::CtOutput;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::limits::KEY_BYTES;

/// What the text of a shared key begins with.
const PREFIX: &str = "whsec_";

/// What the text of the private half of a key pair begins with.
const PAIR_PREFIX: &str = "whsk_";

/// Bytes of a seed, and of the public half of a pair.
const HALF: usize = 32;

/// Keeps fingerprints apart from every other use of SHA-256 over a key.
const KEY_ID_DOMAIN: &[u8] = b"postrider key id 1\0";

/// The bytes of a shared key, for HMAC-SHA256.
///
/// Source: Standard Webhooks 1.0.0, "Symmetric signatures": 24 to 64 random bytes, written as `whsec_` and base64.
#[derive(Clone)]
pub struct Secret {
    key: Zeroizing<Vec<u8>>,
    /// It is the private half of a key pair: 32 bytes of seed, then 32 of the public half.
    pair: bool,
    /// The same, as it may be written down.
    sealed: Option<Bytes>,
}

impl Secret {
    /// Reads `whsec_` and standard base64 with padding, of 24 to 64 bytes ([`KEY_BYTES`]). The prefix may be absent.
    ///
    /// Nothing is repaired: text with spaces, in the URL-safe alphabet, without its padding or with stray final bits
    /// is refused with an error that says which it was.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        Self::parse_any_size(text)?.of_usual_size()
    }

    /// Like [`parse`](Self::parse), for a receiver whose sender hands out shorter or longer keys: any size but zero.
    pub fn parse_any_size(text: &str) -> Result<Self, SecretError> {
        let encoded = encoded_part(text)?;
        let mut key = Zeroizing::new(alloc::vec![0; encoded.len() / 4 * 3]);
        let len = STANDARD.decode_slice(encoded, &mut key).map_err(|_| SecretError::NotCanonical)?;
        key.truncate(len);
        Ok(Self { key, pair: false, sealed: None })
    }

    /// Takes a key of 24 to 64 bytes ([`KEY_BYTES`]), such as one minted by the adapter.
    pub fn from_bytes(key: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        Self::from_bytes_any_size(key)?.of_usual_size()
    }

    /// Like [`from_bytes`](Self::from_bytes), for a receiver whose sender hands out shorter or longer keys: any size
    /// but zero.
    pub fn from_bytes_any_size(key: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        let key = key.as_ref();
        if key.is_empty() {
            return Err(SecretError::Empty);
        }
        Ok(Self { key: Zeroizing::new(key.to_vec()), pair: false, sealed: None })
    }

    /// The same key with its sealed form, which is what a journal will hold of it. The form is the adapter's: the core
    /// carries it and never looks into it. At most 65,535 bytes.
    pub fn with_sealed(self, sealed: Bytes) -> Self {
        Self { sealed: Some(sealed), ..self }
    }

    /// Its sealed form, where there is one. It is no part of what the key is: [`id`](Self::id) and
    /// [`same_as`](Self::same_as) do not look at it.
    pub const fn sealed(&self) -> Option<&Bytes> {
        self.sealed.as_ref()
    }

    /// The private half of an Ed25519 key pair: the 32 bytes of its seed, then the 32 of its public half. `None` when
    /// there are not 64 bytes.
    pub(crate) fn from_pair_bytes(pair: impl AsRef<[u8]>) -> Option<Self> {
        let key = Zeroizing::new(pair.as_ref().to_vec());
        (key.len() == 2 * HALF).then_some(Self { key, pair: true, sealed: None })
    }

    /// Whether it is the private half of a key pair, of which receivers know the public one.
    pub const fn is_pair(&self) -> bool {
        self.pair
    }

    /// The seed of a key pair.
    #[cfg(feature = "ed25519")]
    pub(crate) fn seed(&self) -> Option<&[u8; HALF]> {
        self.key.first_chunk().filter(|_| self.pair)
    }

    /// The name by which this key may be logged, stored and sent. A pair's is that of its public half.
    pub fn id(&self) -> KeyId {
        let named = if self.pair { &self.key[HALF..] } else { &self.key };
        let digest = Sha256::new().chain_update(KEY_ID_DOMAIN).chain_update(named).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        KeyId(id)
    }

    /// Whether both are the same key, in a time that tells nothing about their bytes.
    pub fn same_as(&self, other: &Self) -> bool {
        let digest = |secret: &Self| CtOutput::<Sha256>::new(Sha256::digest(&*secret.key));
        self.pair == other.pair && digest(self) == digest(other)
    }

    /// The key's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.key
    }

    /// The key as text: `whsec_`, or `whsk_` of a pair, and base64. For showing it once to whoever configures the other side; the text is the
    /// caller's to keep and to overwrite.
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(PREFIX.len() + self.key.len().div_ceil(3) * 4);
        text.push_str(if self.pair { PAIR_PREFIX } else { PREFIX });
        STANDARD.encode_string(&*self.key, &mut text);
        text
    }

    fn of_usual_size(self) -> Result<Self, SecretError> {
        let bytes = self.key.len();
        if bytes < *KEY_BYTES.start() {
            return Err(SecretError::TooShort { bytes });
        }
        if bytes > *KEY_BYTES.end() {
            return Err(SecretError::TooLong { bytes });
        }
        Ok(self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(41) {
            return write!(f, "Secret({:?})", self.expose());
        }
        f.write_str("Secret(..)")
    }
}

/// Which secret of an endpoint is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an endpoint has no other secrets, and whoever seals must know each")]
pub enum SecretName<'a> {
    /// The signing key with this id.
    Key(KeyId),
    /// The value of the custom header with this name, in lower case.
    Header(&'a str),
}

impl fmt::Display for SecretName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Header(name) => write!(f, "header {name}"),
        }
    }
}

/// The name of a key: 8 bytes of a SHA-256 over it, written `key_` and 16 hexadecimal digits.
///
/// It tells keys apart and does not help to find one of 24 random bytes or more. A key that a person could guess can
/// be guessed from its name too, as it can from any signature made with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The name with these bytes, as it came from [`to_bytes`](Self::to_bytes).
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The name's bytes, for the journal.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    /// Reads what `Display` writes, and nothing else: digits `a` to `f` are lower case.
    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let digits = text.strip_prefix("key_").ok_or(KeyIdError)?.as_bytes();
        if digits.len() != 16 || digits.iter().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(KeyIdError);
        }
        let number = u64::from_str_radix(&text[4..], 16).map_err(|_| KeyIdError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key_{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The text is not the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyIdError;

impl fmt::Display for KeyIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not the name of a key, which is `key_` and 16 lower-case hexadecimal digits")
    }
}

impl core::error::Error for KeyIdError {}

/// Why a secret was refused. It says where and what, and never quotes the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// There is no key in it.
    Empty,
    /// There is white space in it, often the final line break of a file.
    Whitespace {
        /// Where, in bytes counted from 0.
        at: usize,
    },
    /// It begins with a signature version, such as `v1,whsec_...`.
    VersionPrefix,
    /// It is the private key of an asymmetric scheme (`whsk_...`).
    PrivateKey,
    /// It is the public key of an asymmetric scheme (`whpk_...`).
    PublicKey,
    /// It has a `-` or `_`, which only the URL-safe alphabet of base64 has.
    UrlSafeBase64 {
        /// Where, in bytes counted from 0.
        at: usize,
    },
    /// It has a character that base64 does not have, or a `=` before its end.
    NotBase64 {
        /// Where, in bytes counted from 0.
        at: usize,
    },
    /// Its base64 is not a multiple of 4 characters: cut short, or without its final `=`.
    Unpadded,
    /// Its base64 ends in bits that no encoder writes, so it was altered.
    NotCanonical,
    /// The key is shorter than a key that may be registered.
    TooShort {
        /// How many bytes it has.
        bytes: usize,
    },
    /// The key is longer than a key that may be registered.
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (KEY_BYTES.start(), KEY_BYTES.end());
        match self {
            Self::Empty => f.write_str("the secret is empty"),
            Self::Whitespace { at } => {
                write!(f, "the secret has white space at byte {at}; remove it (a file often ends in a line break)")
            }
            Self::VersionPrefix => f.write_str(
                "the secret begins with a signature version; leave it out, so that the secret begins with `whsec_`",
            ),
            Self::PrivateKey => f.write_str(
                "the secret is a private key (`whsk_`) of the asymmetric scheme; a shared key (`whsec_`) is needed",
            ),
            Self::PublicKey => f.write_str(
                "the secret is a public key (`whpk_`) of the asymmetric scheme; a shared key (`whsec_`) is needed",
            ),
            Self::UrlSafeBase64 { at } => write!(
                f,
                "the secret has a `-` or `_` at byte {at}, so it is URL-safe base64; standard base64 writes `+` and `/`"
            ),
            Self::NotBase64 { at } => {
                write!(f, "the secret has a character at byte {at} that is not base64 there")
            }
            Self::Unpadded => f.write_str(
                "the secret's base64 is not a multiple of 4 characters; it was cut short or lost its final `=`",
            ),
            Self::NotCanonical => {
                f.write_str("the secret's base64 ends in bits that no encoder writes; its last character was altered")
            }
            Self::TooShort { bytes } => {
                write!(f, "the secret's key has {bytes} bytes, at least {min} are needed")
            }
            Self::TooLong { bytes } => write!(f, "the secret's key has {bytes} bytes, at most {max} are allowed"),
        }
    }
}

impl core::error::Error for SecretError {}

/// The base64 part of a secret, of which only the last symbol's bits are not checked yet. It is not empty.
fn encoded_part(text: &str) -> Result<&str, SecretError> {
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_whitespace()) {
        return Err(SecretError::Whitespace { at });
    }
    if text.starts_with("v1,") || text.starts_with("v1a,") {
        return Err(SecretError::VersionPrefix);
    }
    if text.starts_with("whsk_") {
        return Err(SecretError::PrivateKey);
    }
    if text.starts_with("whpk_") {
        return Err(SecretError::PublicKey);
    }
    let encoded = text.strip_prefix(PREFIX).unwrap_or(text);
    let skipped = text.len() - encoded.len();
    if encoded.is_empty() {
        return Err(SecretError::Empty);
    }
    if let Some(at) = encoded.bytes().position(|b| matches!(b, b'-' | b'_')) {
        return Err(SecretError::UrlSafeBase64 { at: skipped + at });
    }
    let symbols = encoded.bytes().position(|b| !matches!(b, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/'));
    match symbols.map(|at| (at, &encoded[at..])) {
        Some((at, "=" | "==")) if at > 0 => {}
        Some((at, _)) => return Err(SecretError::NotBase64 { at: skipped + at }),
        None => {}
    }
    if !encoded.len().is_multiple_of(4) {
        return Err(SecretError::Unpadded);
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    const TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn each_mistake_has_its_own_name() {
        let refused = |text: &str| Secret::parse(text).map(|_| ());
        assert_eq!(refused(""), Err(SecretError::Empty));
        assert_eq!(refused("whsec_"), Err(SecretError::Empty));
        assert_eq!(refused(&format!("{TEXT}\n")), Err(SecretError::Whitespace { at: 38 }));
        assert_eq!(refused(&format!(" {TEXT}")), Err(SecretError::Whitespace { at: 0 }));
        assert_eq!(refused(&format!("v1,{TEXT}")), Err(SecretError::VersionPrefix));
        assert_eq!(refused("whsk_AAAA"), Err(SecretError::PrivateKey));
        assert_eq!(refused("whpk_AAAA"), Err(SecretError::PublicKey));
        assert_eq!(refused("whsec_AA-A"), Err(SecretError::UrlSafeBase64 { at: 8 }));
        assert_eq!(refused("whsec_AA!A"), Err(SecretError::NotBase64 { at: 8 }));
        assert_eq!(refused("whsec_A=AA"), Err(SecretError::NotBase64 { at: 7 }));
        assert_eq!(refused("whsec_===="), Err(SecretError::NotBase64 { at: 6 }));
        assert_eq!(refused("whsec_AAA"), Err(SecretError::Unpadded));
        assert_eq!(refused("whsec_AA="), Err(SecretError::Unpadded));
        assert_eq!(refused("whsec_A==="), Err(SecretError::NotBase64 { at: 7 }));
        assert_eq!(refused("whsec_AAB="), Err(SecretError::NotCanonical));
        assert_eq!(refused("whsec_AAAA"), Err(SecretError::TooShort { bytes: 3 }));
        assert_eq!(refused(&"A".repeat(88)), Err(SecretError::TooLong { bytes: 66 }));
    }

    #[test]
    fn sizes_are_those_of_the_specification_unless_told_otherwise() {
        for (len, usual) in [(1, false), (23, false), (24, true), (64, true), (65, false), (4096, false)] {
            let key = alloc::vec![7; len];
            assert_eq!(Secret::from_bytes(&key).is_ok(), usual, "{len}");
            let text = Secret::from_bytes_any_size(&key).unwrap().reveal();
            assert_eq!(Secret::parse(&text).is_ok(), usual, "{len}");
            assert_eq!(Secret::parse_any_size(&text).unwrap().expose(), key);
        }
        assert_eq!(Secret::from_bytes([]).err(), Some(SecretError::Empty));
        assert_eq!(Secret::from_bytes_any_size([]).err(), Some(SecretError::Empty));
    }

    #[test]
    fn a_key_is_named_by_its_bytes_alone() {
        let secret = Secret::parse(TEXT).unwrap();
        let bare = Secret::parse(TEXT.strip_prefix(PREFIX).unwrap()).unwrap();
        assert_eq!(secret.id(), bare.id());
        assert!(secret.same_as(&bare));
        // SHA-256 of `postrider key id 1\0` and the key, computed apart with Python's hashlib.
        assert_eq!(format!("{}", secret.id()), "key_36519758066c4cb2");
        let padded = Secret::from_bytes([secret.expose(), b"\0"].concat()).unwrap();
        assert_ne!(secret.id(), padded.id());
        assert!(!secret.same_as(&padded), "HMAC would not tell these keys apart, we do");
    }

    #[test]
    fn a_sealed_form_is_no_part_of_a_key() {
        let plain = Secret::parse(TEXT).unwrap();
        let sealed = plain.clone().with_sealed(Bytes::from_static(b"CANARY"));
        assert_eq!((plain.sealed(), sealed.sealed()), (None, Some(&Bytes::from_static(b"CANARY"))));
        assert!(plain.same_as(&sealed) && plain.id() == sealed.id());
        assert_eq!(plain.expose(), sealed.expose());
        assert_eq!(format!("{sealed:?}"), "Secret(..)");
    }

    #[test]
    fn a_key_id_reads_only_what_it_writes() {
        let id = KeyId::from_bytes([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);
        assert_eq!(format!("{id}"), "key_00010203fcfdfeff");
        assert_eq!("key_00010203fcfdfeff".parse(), Ok(id));
        for bad in
            ["", "key_", "00010203fcfdfeff", "key_00010203FCFDFEFF", "key_+0010203fcfdfeff", "key_é0010203fcfdfef"]
        {
            assert_eq!(bad.parse::<KeyId>(), Err(KeyIdError), "{bad}");
        }
    }

    proptest! {
        /// No error, in any form, quotes three characters in a row of a secret that has nothing in common with prose.
        #[test]
        fn no_error_quotes_the_secret(canary in "[QXZ]{3}[QXZ+/=_!\u{e9} -]{0,90}") {
            for text in [canary.clone(), format!("whsec_{canary}"), format!("v1,{canary}")] {
                if let Err(error) = Secret::parse(&text) {
                    let said = format!("{error} {error:?}");
                    prop_assert!(!said.contains(&canary[..3]), "{said}");
                }
            }
        }

        #[test]
        fn what_is_revealed_is_read_back(key in prop::collection::vec(any::<u8>(), 24..=64)) {
            let secret = Secret::from_bytes(&key).unwrap();
            let again = Secret::parse(&secret.reveal()).unwrap();
            prop_assert!(again.same_as(&secret));
            prop_assert_eq!(again.expose(), &key[..]);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,100}") {
            let _ = Secret::parse(&text).map(|_| ());
        }
    }
}
