//! Stand-ins for what must not be in a trace.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write as _;
use sha2::{Digest as _, Sha256};

use crate::digest::{BLOCK, sha256};
use crate::journal::{Accepted, EndpointRecord, Kept, KeyRecord, Record, StoredKey, StoredValue};
use crate::response::Reply;
use crate::secret::{KeyId, Secret};

/// How much of what an application gave is in a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between with and without")]
pub enum Detail {
    /// Payloads, answers and secrets are replaced by stand-ins of the same length.
    #[default]
    StandIns,
    /// Everything is in it, secrets too: the trace is as secret as they are.
    Everything,
}

/// Replaces what must not be in a trace, the same by the same.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    detail: Detail,
    /// Distinguishes the stand-ins of one trace from those of another, so that a digest cannot be looked up.
    salt: [u8; 32],
    /// Keys that have been seen, and their stand-ins.
    keys: Vec<(KeyId, KeyId)>,
}

/// Keys whose stand-ins are remembered by name; revoking an older one by its name alone finds a guess.
const KEYS: usize = 4096;

/// Bytes of a key that has only been seen by name.
const USUAL_KEY: usize = 32;

impl Mask {
    pub(super) const fn new(detail: Detail, salt: [u8; 32]) -> Self {
        Self { detail, salt, keys: Vec::new() }
    }

    pub(super) const fn hides(&self) -> bool {
        matches!(self.detail, Detail::StandIns)
    }

    /// A digest of a content that tells nothing of it and is equal where it was equal.
    pub(super) fn digest(&self, digest: [u8; 16]) -> [u8; 16] {
        if !self.hides() {
            return digest;
        }
        // The salt is secret and as long as the block that it is mixed with, so one pass of SHA-256 hides the rest.
        let mut block = [0; BLOCK];
        block[..32].copy_from_slice(&self.salt);
        block[32..48].copy_from_slice(&digest);
        let hashed = sha256([block], 48);
        core::array::from_fn(|i| hashed[i])
    }

    pub(super) fn key(&mut self, secret: &Secret) -> Secret {
        if !self.hides() {
            // Without its sealed form, which nobody could open when the trace is run again.
            return of_kind(secret.expose(), secret.is_pair());
        }
        let id = secret.id();
        let stand_in = of_kind(Self::stand_in(id, secret.expose().len()).expose(), secret.is_pair());
        if !self.keys.iter().any(|(known, _)| *known == id) && self.keys.len() < KEYS {
            self.keys.push((id, stand_in.id()));
        }
        stand_in
    }

    pub(super) fn key_id(&self, id: KeyId) -> KeyId {
        if !self.hides() {
            return id;
        }
        let known = self.keys.iter().find(|(known, _)| *known == id);
        known.map_or_else(|| Self::stand_in(id, USUAL_KEY).id(), |(_, stand_in)| *stand_in)
    }

    fn stand_in(id: KeyId, len: usize) -> Secret {
        let mut bytes = Vec::with_capacity(len.max(1) + 32);
        let mut block = Sha256::new().chain_update(b"stand-in").chain_update(id.to_bytes()).finalize();
        while bytes.len() < len.max(1) {
            bytes.extend_from_slice(&block);
            block = Sha256::digest(block);
        }
        bytes.truncate(len.max(1));
        Secret::from_bytes_any_size(bytes).expect("it has a byte at least")
    }

    /// Text of the same length in which nothing is left of the old.
    fn text(&self, text: &str) -> String {
        let hashed = Sha256::new().chain_update(self.salt).chain_update(text).finalize();
        let mut out = String::with_capacity(text.len() + 64);
        while out.len() < text.len() {
            hashed.iter().for_each(|byte| write!(out, "{byte:02x}").expect("a string takes everything"));
        }
        out.truncate(text.len());
        out
    }

    fn url(&self, url: String) -> String {
        match url.split_once('?') {
            Some((front, query)) if self.hides() => alloc::format!("{front}?{}", self.text(query)),
            Some(_) | None => url,
        }
    }

    pub(super) fn endpoint(&mut self, mut record: EndpointRecord) -> EndpointRecord {
        record.url = self.url(record.url);
        for header in &mut record.headers {
            if let StoredValue::Secret { value, sealed } = &mut header.value {
                *sealed = None;
                if self.hides() {
                    *value = self.text(&String::from_utf8_lossy(value)).into();
                }
            }
        }
        let keys = core::mem::take(&mut record.keys).into_iter();
        let keys = keys.map(|key| match &key.secret {
            StoredKey::Plain(secret) => KeyRecord { secret: StoredKey::Plain(self.key(secret)), ..key },
            StoredKey::Sealed { .. } => key,
        });
        record.keys = keys.collect();
        record.revoked.iter_mut().for_each(|id| *id = self.key_id(*id));
        record
    }

    /// An accepted event as it is written: with stand-ins, the record that has no payload.
    pub(super) fn accepted(&self, accepted: Accepted) -> Record {
        if !self.hides() {
            return Record::Accepted(Box::new(accepted));
        }
        let payload_len = u32::try_from(accepted.payload.len()).unwrap_or(u32::MAX);
        let digest = self.digest(accepted.digest);
        Record::Kept(Box::new(Kept { accepted: Accepted { payload: Bytes::new(), digest, ..accepted }, payload_len }))
    }

    pub(super) fn record(&mut self, record: Record) -> Record {
        match record {
            Record::Accepted(accepted) => self.accepted(*accepted),
            Record::Endpoint(endpoint) => Record::Endpoint(Box::new(self.endpoint(*endpoint))),
            Record::Event(mut event) => {
                event.accepted.digest = self.digest(event.accepted.digest);
                Record::Event(event)
            }
            Record::Remembered(mut known) => {
                known.digest = self.digest(known.digest);
                Record::Remembered(known)
            }
            Record::KeyUse(mut uses) => {
                uses.keys.iter_mut().chain(&mut uses.run).for_each(|uses| uses.key = self.key_id(uses.key));
                Record::KeyUse(uses)
            }
            Record::Outcome(mut outcome) => {
                if self.hides() {
                    (outcome.answer, outcome.signed) = (None, Vec::new());
                }
                Record::Outcome(outcome)
            }
            other => other,
        }
    }

    /// The kept header lines of an answer as they are written. With stand-ins, a line says no key and no receipt.
    pub(super) fn kept(&self, reply: &Reply) -> Vec<(&'static str, Bytes)> {
        let line = |(name, value): &(&'static str, Box<[u8]>)| match *name {
            "postrider-key-used" | "postrider-receipt" if self.hides() => (*name, Bytes::from_static(b"?")),
            name => (name, Bytes::copy_from_slice(value)),
        };
        reply.kept().iter().map(line).collect()
    }

    /// The kept part of an answer as it is written.
    pub(super) fn answer(&self, reply: &Reply) -> Option<Bytes> {
        let body = reply.body()?;
        Some(if self.hides() { stand_in_bytes(body.len()) } else { body.clone() })
    }
}

/// A key of these bytes, which may be those of a pair.
pub(super) fn of_kind(bytes: &[u8], pair: bool) -> Secret {
    let pair = if pair { Secret::from_pair_bytes(bytes) } else { None };
    pair.unwrap_or_else(|| Secret::from_bytes_any_size(bytes).expect("it has a byte at least"))
}

/// A payload of a length: JSON text where it was JSON.
pub(super) fn stand_in_payload(len: usize, json: bool) -> Bytes {
    let mut bytes = alloc::vec![b'x'; len];
    match bytes.as_mut_slice() {
        [.., _] if !json => {}
        [only] => *only = b'1',
        [first, .., last] => (*first, *last) = (b'"', b'"'),
        [] => {}
    }
    bytes.into()
}

fn stand_in_bytes(len: usize) -> Bytes {
    stand_in_payload(len, false)
}
