//! Braintree: a form of which one field is the payload, in base64, and the other its signatures, each under the name
//! of a public key.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;

use super::super::error::{KeyError, VerifierError, VerifyError};
use super::super::keys::{self, Algorithm, Key, KeyText, Listed, Text};
use super::super::verified::{Signed, Told, Verified};
use super::super::{Received, Scheme};
use crate::limits::RING_KEYS;

const PAYLOAD: &str = "bt_payload";
pub(in super::super) const SIGNATURE: &str = "bt_signature";

/// Pairs of a public name and a private key.
#[derive(Clone)]
pub(in super::super) struct Braintree(Vec<(String, Key)>);

impl Braintree {
    /// Reads texts of a public key, `:`, and a private key.
    pub(in super::super) fn read<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, VerifierError> {
        let mut pairs = Vec::new();
        for (index, text) in texts.into_iter().take(RING_KEYS + 1).enumerate() {
            let refused = |why| VerifierError::Key { index, why };
            let (name, key) = text.as_ref().split_once(':').ok_or_else(|| refused(KeyError::NoName))?;
            if name.is_empty() || name.contains(['|', '&']) {
                return Err(refused(KeyError::NoName));
            }
            let key = KeyText::Sha1.read(key).map_err(refused)?;
            pairs.push((name.into(), Key::new(Algorithm::HmacSha1, &key)?));
        }
        match pairs.len() {
            0 => Err(VerifierError::NoKeys),
            1..=RING_KEYS => Ok(Self(pairs)),
            _ => Err(VerifierError::TooManyKeys),
        }
    }

    pub(in super::super) fn check<'r, H: ?Sized>(
        &self,
        received: &Received<'r, H>,
    ) -> Result<Verified<'r>, VerifyError> {
        let signatures = super::field(received.body, SIGNATURE)?;
        let payload = super::field(received.body, PAYLOAD)?;
        let decoded = decode(&payload)?;
        let (mut key, mut compared, mut items) = (None, 0, 0);
        for (name, own) in &self.0 {
            let mut listed = Listed::new();
            for item in signatures.split('&').filter_map(|item| item.strip_prefix(&**name)?.strip_prefix('|')) {
                listed.push(Algorithm::HmacSha1, Text::Hex, item.as_bytes());
            }
            (compared, items) = (compared + listed.len(), items + listed.items);
            let payload = payload.as_bytes();
            let fits = own.signed(&[payload], &listed) | own.signed(&[payload, b"\n"], &listed);
            if fits && key.is_none() {
                key = Some(own.id());
            }
        }
        if compared == 0 {
            return Err(VerifyError::NoSignature { items });
        }
        Ok(Verified {
            scheme: Scheme::Braintree,
            body: received.body,
            payload: Some(decoded),
            key: key.ok_or(VerifyError::NoMatch { signatures: compared })?,
            time: None,
            facts: *Scheme::Braintree.facts(),
            told: Told::default(),
            signed: Signed::Hashed(keys::digest(&[payload.trim_ascii_end().as_bytes()])),
        })
    }

    /// The form around a payload, signed with the first key.
    pub(in super::super) fn sign(&self, payload: &[u8]) -> Vec<u8> {
        let mut encoded = STANDARD.encode(payload);
        encoded.push('\n');
        let (name, key) = self.0.first().expect("there is a key");
        let mac = key.sign(&[encoded.as_bytes()]).expect("a shared key signs");
        let signature = alloc::format!("{name}|{}", Text::Hex.encode(&mac));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair(SIGNATURE, &signature).append_pair(PAYLOAD, &encoded);
        form.finish().into_bytes()
    }
}

/// The payload: base64 in lines.
fn decode(payload: &str) -> Result<Vec<u8>, VerifyError> {
    let lines: Vec<u8> = payload.bytes().filter(|b| *b != b'\n').collect();
    STANDARD.decode(lines).map_err(|_| VerifyError::BadBody { wanted: "a form with base64 in bt_payload" })
}
