//! A shared key made ready for signing and verifying.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut;
use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::receipt;
use crate::secret::{KeyId, Secret};

/// A shared key with its HMAC-SHA256 set up, so that a signature costs only the bytes that it covers.
///
/// It is as secret as the [`Secret`] it was made from, and is overwritten when it is dropped. It has about 180
/// bytes; cloning copies them.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    keyed: Hmac<Sha256>,
    /// The key of its receipts.
    pub(super) receipt: Zeroizing<[u8; 32]>,
}

impl SigningKey {
    /// The bytes that [`write_v1`](Self::write_v1) writes.
    pub const V1_BYTES: usize = 47;

    /// Sets the key up. Costs four to six blocks of SHA-256, once.
    pub fn new(secret: &Secret) -> Self {
        let keyed = Hmac::new_from_slice(secret.expose()).expect("HMAC takes a key of any length");
        Self { id: secret.id(), keyed, receipt: receipt::key_of(secret.expose()) }
    }

    /// The name of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The Standard Webhooks `v1` signature: HMAC-SHA256 over `id`, `.`, the timestamp in Unix seconds, `.`, `body`.
    ///
    /// Signing takes any id. One with a `.` lets the same signature stand for another id and body, so ids are checked
    /// where they are made ([`EventId`](crate::id::EventId)).
    pub fn sign(&self, id: &str, timestamp_secs: u64, body: &[u8]) -> [u8; 32] {
        self.mac(id.as_bytes(), Decimal::new(timestamp_secs).as_bytes(), body).into_bytes().into()
    }

    /// Writes that signature as it stands in the header: `v1,` and base64, [`V1_BYTES`](Self::V1_BYTES) in all,
    /// without allocating.
    ///
    /// # Panics
    /// When `out` has a fixed size and less room than that, as is the rule for [`BufMut`].
    pub fn write_v1(&self, id: &str, timestamp_secs: u64, body: &[u8], out: &mut impl BufMut) {
        let mut text = *b"v1,............................................";
        STANDARD
            .encode_slice(self.sign(id, timestamp_secs, body), &mut text[3..])
            .expect("32 bytes are 44 characters of base64");
        out.put_slice(&text);
    }

    /// The MAC over the header texts as they are. It compares in constant time.
    pub(super) fn mac(&self, id: &[u8], timestamp: &[u8], body: &[u8]) -> CtOutput<Hmac<Sha256>> {
        let mut mac = self.keyed.clone();
        // Nearly always short: then in one go.
        let mut front = [b'.'; 128];
        let end = id.len() + timestamp.len() + 2;
        if let Some(front) = front.get_mut(..end) {
            front[..id.len()].copy_from_slice(id);
            front[id.len() + 1..end - 1].copy_from_slice(timestamp);
            mac.update(front);
        } else {
            [id, b".", timestamp, b"."].iter().for_each(|part| mac.update(part));
        }
        mac.update(body);
        mac.finalize()
    }
}

impl From<&Secret> for SigningKey {
    fn from(secret: &Secret) -> Self {
        Self::new(secret)
    }
}

impl From<Secret> for SigningKey {
    fn from(secret: Secret) -> Self {
        Self::new(&secret)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ..)", self.id)
    }
}

/// A number in decimal digits, on the stack.
pub(super) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(super) fn new(mut number: u64) -> Self {
        let mut text = Self { digits: [b'0'; 20], start: 20 };
        loop {
            text.start -= 1;
            text.digits[text.start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return text;
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}
