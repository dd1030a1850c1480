//! The secret that only the owner of an endpoint can hand back.

use alloc::boxed::Box;
use core::fmt;

use hmac::digest::CtOutput;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Keeps digests of tokens apart from every other use of SHA-256.
const DOMAIN: &[u8] = b"postrider consent token 1\0";

/// Lengths of a token, in bytes. The shortest holds 128 random bits as URL-safe base64.
pub const TOKEN_BYTES: core::ops::RangeInclusive<usize> = 22..=128;

/// A random text that is sent once and must come back: in the path of a callback URL, or in the answer to a challenge.
///
/// The adapter mints it from the operating system's random source, at least 128 bits of it, a fresh one for each
/// question. It consists of letters, digits, `-` and `_`, so that it stands in a URL, in a header and in JSON as it is.
/// It has no `Display` and a dull `Debug`, and is overwritten when it is dropped; what may be kept is its
/// [`digest`](Self::digest).
#[derive(Clone)]
pub struct Token(Zeroizing<Box<str>>);

/// What may be written down of a token: a SHA-256 over it. It recognises the token and does not help to find it.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

/// The text is no token: 22 to 128 letters, digits, `-` and `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenError;

impl Token {
    /// Takes a token that was just minted.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if TOKEN_BYTES.contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(Zeroizing::new(text.into())))
        } else {
            Err(TokenError)
        }
    }

    /// The text, for the request that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be written down of it.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0.as_bytes())
    }

    /// Whether `text` is this token, in a time that tells nothing about where they differ.
    pub fn is(&self, text: &[u8]) -> bool {
        self.digest().is_of(text)
    }
}

impl TokenDigest {
    /// The digest with these bytes, as it was read back.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the journal.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether `text` is the token, in a time that tells nothing about where they differ. Its length is no secret.
    pub fn is_of(self, text: &[u8]) -> bool {
        TOKEN_BYTES.contains(&text.len()) && Self::of(text) == self
    }

    /// The digest that a text has if it is a token, to look it up by.
    pub fn of_text(text: &[u8]) -> Self {
        Self::of(text)
    }

    fn of(text: &[u8]) -> Self {
        Self(Sha256::new().chain_update(DOMAIN).chain_update(text).finalize().into())
    }
}

impl PartialEq for TokenDigest {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        CtOutput::<Sha256>::new(self.0.into()) == CtOutput::<Sha256>::new(other.0.into())
    }
}

impl Eq for TokenDigest {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (TOKEN_BYTES.start(), TOKEN_BYTES.end());
        write!(f, "the text is no token, which is {min} to {max} letters, digits, `-` and `_`")
    }
}

impl core::error::Error for TokenError {}
