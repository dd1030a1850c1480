//! Sealing: secrets never reach a disk as they are, where the application gives a key of its own.
//!
//! A [`Vault`] holds the key under which a driver seals the signing keys and the secret header values of endpoints when
//! they enter, and opens them when a log is read again. What a log writes is the sealed form; whoever reads its files
//! without the vault's key learns nothing but lengths, and that two of them differ.
//!
//! ```
//! use postrider_core::id::EndpointKey;
//! use postrider_core::secret::{Secret, SecretName};
//! use postrider_journal::seal::Vault;
//!
//! let vault = Vault::from_bytes(&[7; 32]);
//! let (acme, secret) = (EndpointKey::new("acme").unwrap(), Secret::from_bytes([42; 32]).unwrap());
//! let sealed = vault.seal(&acme, SecretName::Key(secret.id()), secret.expose()).unwrap();
//! assert_eq!(vault.open(&acme, SecretName::Key(secret.id()), &sealed).unwrap().as_slice(), secret.expose());
//! ```
//!
//! # Format
//! `vault key id [4] | nonce [24] | ciphertext, as long as what was sealed | tag [16]`: XChaCha20-Poly1305
//! (draft-irtf-cfrg-xchacha-03) with a random nonce. The associated data is `tenant \0 endpoint \0 key \0` and the 8
//! bytes of the signing key's id, or `tenant \0 endpoint \0 header \0` and the header's name, so that a sealed secret
//! opens in its own place only. The vault key's id is the beginning of a SHA-256 over it.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use postrider_core::id::EndpointKey;
use postrider_core::secret::SecretName;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Bytes of a vault's key.
pub const VAULT_KEY: usize = 32;

/// Bytes that a sealed secret has more than the secret.
pub const SEAL: usize = KEY_ID + NONCE + TAG;

const KEY_ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Keeps the ids of vault keys apart from every other use of SHA-256 over a key.
const KEY_ID_DOMAIN: &[u8] = b"postrider vault key id 1\0";

/// A file with a key has no more bytes than this.
const FILE: u64 = 1024;

/// The keys that secrets are sealed with and opened with.
///
/// It seals with the first key, and opens what any of its keys sealed. To rotate: make a new key, open the directory
/// with `new.or(old)`, and leave the old one out once nothing is sealed with it any more; a driver seals again what an
/// older key sealed when it opens a directory, so that is after the next snapshot and the compaction behind it.
///
/// A clone is the same vault. Its keys are overwritten when the last clone is dropped, and `Debug` shows their ids only.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

#[derive(Clone)]
struct Keys {
    /// Never empty.
    keys: Vec<Key>,
    /// Files of keys that others than their owner may read.
    exposed: Vec<PathBuf>,
}

#[derive(Clone)]
struct Key {
    id: VaultKeyId,
    bytes: Zeroizing<[u8; VAULT_KEY]>,
}

impl Vault {
    /// A vault with this key: random bytes, which the caller overwrites.
    pub fn from_bytes(key: &[u8; VAULT_KEY]) -> Self {
        Self(Arc::new(Keys { keys: vec![Key::new(key)], exposed: Vec::new() }))
    }

    /// A vault with the key in a file: 32 raw bytes, or 64 hexadecimal digits, or base64 of 32 bytes (either alphabet,
    /// with or without padding). White space around text does not count.
    ///
    /// A file that others than its owner may read is taken, and [`exposed`](Self::exposed) names it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, VaultError> {
        let path = path.as_ref();
        let failed = |error: io::Error| VaultError::Read { file: path.to_owned(), kind: error.kind() };
        let file = fs::File::open(path).map_err(failed)?;
        let exposed = is_exposed(&file.metadata().map_err(failed)?);
        // As large as can be read, so that the buffer never grows and leaves a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE as usize + 1));
        file.take(FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        let place = || path.display().to_string();
        let key = match <&[u8; VAULT_KEY]>::try_from(bytes.as_slice()) {
            Ok(raw) => Key::new(raw),
            Err(_) => Key::parse(&bytes).ok_or_else(|| VaultError::Form { place: place(), bytes: bytes.len() })?,
        };
        let exposed = exposed.then(|| path.to_owned()).into_iter().collect();
        Ok(Self(Arc::new(Keys { keys: vec![key], exposed })))
    }

    /// A vault with the key in an environment variable: 64 hexadecimal digits, or base64 of 32 bytes. White space around
    /// it does not count. The variable itself is left as it is.
    pub fn from_env(variable: &str) -> Result<Self, VaultError> {
        let unset = || VaultError::NotSet { variable: variable.to_owned() };
        let text = Zeroizing::new(std::env::var_os(variable).ok_or_else(unset)?.into_encoded_bytes());
        let place = || format!("the environment variable {variable}");
        let key = Key::parse(&text).ok_or_else(|| VaultError::Form { place: place(), bytes: text.len() })?;
        Ok(Self(Arc::new(Keys { keys: vec![key], exposed: Vec::new() })))
    }

    /// The same vault, which also opens what the keys of `older` sealed.
    pub fn or(self, older: Self) -> Self {
        let mut all = Arc::unwrap_or_clone(self.0);
        let older = Arc::unwrap_or_clone(older.0);
        let new = older.keys.into_iter().filter(|key| all.keys.iter().all(|held| held.id != key.id));
        let new: Vec<_> = new.collect();
        all.keys.extend(new);
        all.exposed.extend(older.exposed);
        Self(Arc::new(all))
    }

    /// The keys' names: the one that seals, then the others.
    pub fn keys(&self) -> impl Iterator<Item = VaultKeyId> + '_ {
        self.0.keys.iter().map(|key| key.id)
    }

    /// Files of keys that others than their owner may read (mode bits `077`; on Unix). A warning, no error: where a
    /// directory around such a file is closed, nobody gets there.
    pub fn exposed(&self) -> &[PathBuf] {
        &self.0.exposed
    }

    /// Seals a secret of an endpoint. Sealing the same one twice gives two forms, which both open.
    pub fn seal(&self, endpoint: &EndpointKey, what: SecretName<'_>, secret: &[u8]) -> Result<Bytes, SealError> {
        let key = self.current();
        let mut sealed = vec![0; KEY_ID + NONCE];
        sealed[..KEY_ID].copy_from_slice(&key.id.0);
        getrandom::fill(&mut sealed[KEY_ID..]).map_err(|_| SealError::Entropy)?;
        let payload = Payload { msg: secret, aad: &place(endpoint, what) };
        let ciphertext = key.cipher().encrypt(XNonce::from_slice(&sealed[KEY_ID..]), payload);
        sealed.extend(ciphertext.expect("a secret is shorter than 256 GiB"));
        Ok(sealed.into())
    }

    /// Opens what [`seal`](Self::seal) made for this very endpoint and name.
    pub fn open(
        &self,
        endpoint: &EndpointKey,
        what: SecretName<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let altered = || SealError::Altered { endpoint: endpoint.clone(), what: what.to_string() };
        let id = VaultKeyId::of_sealed(sealed).ok_or_else(altered)?;
        let Some(key) = self.0.keys.iter().find(|key| key.id == id) else {
            let (endpoint, what) = (endpoint.clone(), what.to_string());
            return Err(SealError::OtherKey { endpoint, what, sealed_with: id, given: self.keys().collect() });
        };
        let (nonce, ciphertext) = sealed[KEY_ID..].split_at(NONCE);
        let payload = Payload { msg: ciphertext, aad: &place(endpoint, what) };
        key.cipher().decrypt(XNonce::from_slice(nonce), payload).map(Zeroizing::new).map_err(|_| altered())
    }

    /// Whether this was sealed with the key that seals now, not with an older one.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        VaultKeyId::of_sealed(sealed) == Some(self.current().id)
    }

    fn current(&self) -> &Key {
        self.0.keys.first().expect("a vault is made with a key, and none is ever taken away")
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")?;
        f.debug_list().entries(self.keys()).finish()
    }
}

/// The name of a vault's key: 4 bytes of a SHA-256 over it, in hexadecimal digits. It stands in front of what is sealed
/// with it and does not help to find it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultKeyId([u8; KEY_ID]);

impl VaultKeyId {
    /// The name of the key with which something was sealed; `None` for bytes that are too few to be a sealed secret.
    pub fn of_sealed(sealed: &[u8]) -> Option<Self> {
        let id = sealed.first_chunk()?;
        (sealed.len() >= SEAL).then_some(Self(*id))
    }
}

impl fmt::Display for VaultKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for VaultKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no vault. It says where and what, and never quotes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VaultError {
    /// The file cannot be read.
    Read {
        /// Which.
        file: PathBuf,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// There is no such environment variable.
    NotSet {
        /// Which.
        variable: String,
    },
    /// What is there is no key.
    Form {
        /// Where.
        place: String,
        /// How many bytes it has; one more than 1,024 for all that have more.
        bytes: usize,
    },
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, kind } => write!(f, "the vault key in {} cannot be read: {kind}", file.display()),
            Self::NotSet { variable } => {
                write!(f, "the environment variable {variable} is not set; it is to hold the vault key")
            }
            Self::Form { place, bytes } => write!(
                f,
                "{place} holds {bytes} bytes that are no vault key, which is 32 random bytes: raw in a file, as 64 \
                 hexadecimal digits, or as 44 characters of base64"
            ),
        }
    }
}

impl std::error::Error for VaultError {}

/// Why a secret could not be sealed or opened. It names the secret and never quotes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The operating system gave no random bytes to seal with.
    Entropy,
    /// It is sealed, and no vault was given.
    NoVault {
        /// Whose.
        endpoint: EndpointKey,
        /// Which of its secrets.
        what: String,
        /// The vault key that is needed; `None` when what is there cannot be a sealed secret.
        sealed_with: Option<VaultKeyId>,
    },
    /// It was sealed with a key that the vault does not have.
    OtherKey {
        /// Whose.
        endpoint: EndpointKey,
        /// Which of its secrets.
        what: String,
        /// The vault key that is needed.
        sealed_with: VaultKeyId,
        /// The vault keys that were given.
        given: Vec<VaultKeyId>,
    },
    /// It was sealed with a key of the vault, and is not what was sealed, or was sealed for another place.
    Altered {
        /// Whose.
        endpoint: EndpointKey,
        /// Which of its secrets.
        what: String,
    },
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entropy => f.write_str("a secret cannot be sealed: the operating system gave no random bytes"),
            Self::NoVault { endpoint, what, sealed_with } => {
                write!(f, "{what} of endpoint {endpoint} is sealed, and no vault was given; open with the vault key")?;
                sealed_with.map_or(Ok(()), |id| write!(f, " {id}"))
            }
            Self::OtherKey { endpoint, what, sealed_with, given } => {
                write!(f, "{what} of endpoint {endpoint} was sealed with the vault key {sealed_with}, and ")?;
                for (i, id) in given.iter().enumerate() {
                    write!(f, "{}{id}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(" was given; give that key, as an older one if it has been replaced")
            }
            Self::Altered { endpoint, what } => write!(
                f,
                "{what} of endpoint {endpoint} cannot be opened with the vault key that sealed it: its bytes were \
                 altered, or belong to another endpoint"
            ),
        }
    }
}

impl std::error::Error for SealError {}

impl Key {
    fn new(bytes: &[u8; VAULT_KEY]) -> Self {
        let digest = Sha256::new().chain_update(KEY_ID_DOMAIN).chain_update(bytes).finalize();
        let id = VaultKeyId(*digest.first_chunk().expect("a SHA-256 has 32 bytes"));
        Self { id, bytes: Zeroizing::new(*bytes) }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let mut bytes = Zeroizing::new([0; VAULT_KEY]);
        if text.len() == 2 * VAULT_KEY {
            for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                *byte = hex(digits[0])? << 4 | hex(digits[1])?;
            }
            return Some(Self::new(&bytes));
        }
        // Room for what so many characters could be, which is checked before they are read.
        let mut room = Zeroizing::new([0; VAULT_KEY + 4]);
        let url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
        let engine = if url_safe { &URL_SAFE } else { &STANDARD };
        let len = engine.decode_slice(text, room.as_mut_slice()).ok()?;
        bytes.copy_from_slice(room[..len].first_chunk::<VAULT_KEY>().filter(|_| len == VAULT_KEY)?);
        Some(Self::new(&bytes))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes.as_slice().into())
    }
}

const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, EITHER_PADDING);
const EITHER_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The place of a secret, which nothing but itself has: names have no zero byte.
fn place(endpoint: &EndpointKey, what: SecretName<'_>) -> Vec<u8> {
    let (kind, name) = match &what {
        SecretName::Key(id) => ("key", &id.to_bytes()[..]),
        SecretName::Header(name) => ("header", name.as_bytes()),
    };
    let parts = [endpoint.tenant.as_str(), endpoint.id.as_str(), kind];
    let mut place = Vec::new();
    parts.iter().for_each(|part| {
        place.extend_from_slice(part.as_bytes());
        place.push(0);
    });
    place.extend_from_slice(name);
    place
}

#[cfg(unix)]
fn is_exposed(file: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests;
