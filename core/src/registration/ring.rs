//! The keys of an endpoint.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::sync::{PoisonError, RwLock};

use crate::limits;
use crate::secret::{KeyId, Secret};
use crate::signing::{self, Dialects, Made, Outgoing, ReadyKey};
use crate::time::UnixTime;

/// Keys that are kept from ever signing again, per endpoint; the oldest is forgotten when there are more.
const REVOKED: usize = 1024;

/// Longest overlap of a rotation.
pub const LONGEST_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);

/// The keys with which an endpoint's requests are signed, at most 10.
///
/// A clone is the same ring: a request looks its keys up at the moment when it is built, on whichever thread that
/// happens, so that a revocation is effective for every request not yet built. All active keys sign, newest first, in
/// each of the endpoint's [dialects](crate::signing::Dialect) that has room for several signatures.
#[derive(Clone, Default)]
pub struct KeyRing(Arc<RwLock<Ready>>);

/// What signs.
#[derive(Default)]
struct Ready {
    dialects: Dialects,
    keys: Vec<Key>,
}

struct Key {
    ready: ReadyKey,
    expires: Option<UnixTime>,
}

/// Why a key cannot join a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// The ring has as many keys as it can hold.
    Full,
    /// The key was revoked, and a revoked key never signs again.
    Revoked(KeyId),
    /// There is no such key.
    Unknown(KeyId),
    /// No key would sign for good without it; another must be added first.
    Last(KeyId),
    /// It is the newest key and is to expire, so that it cannot sign alone.
    Ends(KeyId),
    /// The endpoint signs with a scheme that only shared keys can sign, or asks for receipts, and no shared key would sign
    /// for good.
    NoShared,
    /// Old and new keys would sign together for longer than they may ([`LONGEST_OVERLAP`]).
    Overlap(Duration),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "the endpoint has {} keys already; revoke one first", limits::RING_KEYS),
            Self::Revoked(key) => write!(f, "{key} was revoked and never signs again; use a new secret"),
            Self::Unknown(key) => write!(f, "the endpoint has no {key}"),
            Self::Last(key) => write!(f, "{key} is the only key that signs for good; add another first"),
            Self::Ends(key) => write!(f, "{key} is the newest key and is to expire; add it or another again first"),
            Self::NoShared => f.write_str(
                "the endpoint signs with a scheme or asks for receipts that need a shared key (`whsec_`), and none would \
                 sign for good; keep or add one",
            ),
            Self::Overlap(overlap) => {
                write!(f, "an overlap of {overlap:?} is too long; at most {LONGEST_OVERLAP:?} is allowed")
            }
        }
    }
}

impl core::error::Error for RingError {}

impl KeyRing {
    /// The ids of the keys that sign at `wall`, newest first.
    pub fn active(&self, wall: UnixTime) -> Vec<KeyId> {
        let ready = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ready.active(wall).map(ReadyKey::id).collect()
    }

    /// Signs a request with the keys that are active at `wall`, and gives each header that this needs to `put`. Returns
    /// the keys that have signed, and the receipts that they may bring.
    pub(crate) fn sign(&self, wall: UnixTime, request: &Outgoing<'_>, put: &mut impl FnMut(&str, &[u8])) -> Made {
        let ready = self.0.read().unwrap_or_else(PoisonError::into_inner);
        signing::sign(&ready.dialects, ready.active(wall), request, put)
    }

    /// Makes its keys those of a draft, for these dialects. It costs the setting up of each key for each of them.
    pub fn publish(&self, draft: &Draft, dialects: &Dialects) {
        let keys = draft.keys.iter();
        let keys = keys.map(|(secret, expires)| Key { ready: ReadyKey::new(secret, dialects), expires: *expires });
        let ready = Ready { dialects: dialects.clone(), keys: keys.collect() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = ready;
    }

    /// Stops the keys that a draft has revoked, at once: a revocation must not wait for a disk. Keys that were merely
    /// replaced go on until the new ones are published, so that no request leaves unsigned in between.
    pub fn silence_revoked(&self, draft: &Draft) {
        let mut ready = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ready.keys.retain(|key| !draft.revoked.contains(&key.ready.id()));
    }
}

impl Ready {
    /// The keys that sign at `wall`, newest first.
    fn active(&self, wall: UnixTime) -> impl Iterator<Item = &ReadyKey> {
        let keys = &self.keys;
        #[cfg(postrider_planted)]
        let keys = if crate::planted::breaks(12) && keys.len() > 1 { &keys[1..] } else { &keys[..] };
        keys.iter().filter(move |key| key.expires.is_none_or(|at| wall < at)).map(|key| &key.ready)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.active(UnixTime::EPOCH)).finish()
    }
}

/// The content of a ring as commands and records make it, at most 10 keys. What signs is the published [`KeyRing`],
/// which follows when the record is durable.
///
/// | command | what happens |
/// | --- | --- |
/// | [`add`](Self::add) | the key signs besides the others |
/// | [`rotate`](Self::rotate) | the key signs besides the others, and these expire when the overlap is over |
/// | [`finish`](Self::finish) | the newest key alone signs, from now on |
/// | [`expire`](Self::expire) | the key signs nothing from a time on |
/// | [`revoke`](Self::revoke) | the key signs nothing from now on, and never again |
///
/// A command that is refused, or that says `false`, changes nothing. Once a ring has a key, one of its keys signs without
/// end.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Keys, newest first, each with the time at which it expires.
    pub(crate) keys: Vec<(Secret, Option<UnixTime>)>,
    /// Keys that must never sign again, oldest first.
    pub(crate) revoked: Vec<KeyId>,
}

impl Draft {
    /// The keys, newest first, each with the time at which it expires. Those that have expired may be among them.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (KeyId, Option<UnixTime>)> {
        self.keys.iter().map(|(secret, expires)| (secret.id(), *expires))
    }

    /// The ids of the keys that sign at `wall`, newest first.
    pub fn active(&self, wall: UnixTime) -> Vec<KeyId> {
        self.keys().filter(|(_, expires)| expires.is_none_or(|at| wall < at)).map(|(id, _)| id).collect()
    }

    /// The keys that were revoked, oldest first.
    pub fn revoked(&self) -> &[KeyId] {
        &self.revoked
    }

    /// Puts a key in front, and lets every other one expire `overlap` after `wall`, or when it would anyway if that is
    /// earlier. Until then all of them sign, so that the receiver may change over at any moment in between.
    ///
    /// The overlap is at most [`LONGEST_OVERLAP`]; the usual one is
    /// [`ROTATION_OVERLAP`](limits::ROTATION_OVERLAP). Repeating the command changes nothing: the overlap is not begun
    /// anew.
    pub fn rotate(&mut self, secret: &Secret, wall: UnixTime, overlap: Duration) -> Result<bool, RingError> {
        if overlap > LONGEST_OVERLAP {
            return Err(RingError::Overlap(overlap));
        }
        let id = secret.id();
        if self.revoked.contains(&id) {
            return Err(RingError::Revoked(id));
        }
        if self.is_rotating_to(id) {
            return Ok(false);
        }
        let mut next = self.clone();
        next.prune(wall);
        next.keys.retain(|(key, _)| key.id() != id);
        next.add(secret)?;
        let ends = wall.saturating_add(overlap);
        for (_, expires) in &mut next.keys[1..] {
            *expires = Some(expires.map_or(ends, |at| at.min(ends)));
        }
        *self = next;
        Ok(true)
    }

    /// Ends a rotation: every key but the newest expires at `wall`. The newest must sign without end.
    pub fn finish(&mut self, wall: UnixTime) -> Result<bool, RingError> {
        let Some(((newest, expires), others)) = self.keys.split_first_mut() else { return Ok(false) };
        if expires.is_some() {
            return Err(RingError::Ends(newest.id()));
        }
        let mut changed = false;
        for (_, expires) in others {
            if expires.is_none_or(|at| wall < at) {
                *expires = Some(wall);
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Whether this key is in front for good, and every other one is to expire.
    fn is_rotating_to(&self, id: KeyId) -> bool {
        let mut keys = self.keys();
        keys.next() == Some((id, None)) && keys.all(|(_, expires)| expires.is_some())
    }

    /// Adds a key in front; adding one that is there makes it permanent again. Says whether anything changed.
    pub fn add(&mut self, secret: &Secret) -> Result<bool, RingError> {
        let id = secret.id();
        if self.revoked.contains(&id) {
            return Err(RingError::Revoked(id));
        }
        if let Some(known) = self.keys.iter_mut().find(|(key, _)| key.id() == id) {
            return Ok(known.1.take().is_some());
        }
        if self.keys.len() >= limits::RING_KEYS {
            return Err(RingError::Full);
        }
        self.keys.insert(0, (secret.clone(), None));
        Ok(true)
    }

    /// Lets a key expire at a time. One other key must sign without end: were it to expire too, if later, no key would be
    /// left in the end.
    pub fn expire(&mut self, id: KeyId, at: UnixTime) -> Result<bool, RingError> {
        let stays = self.signs_without(id);
        let Some(key) = self.keys.iter_mut().find(|(key, _)| key.id() == id) else {
            return Err(RingError::Unknown(id));
        };
        if !stays {
            return Err(RingError::Last(id));
        }
        Ok(key.1.replace(at) != Some(at))
    }

    /// Takes a key away for good. One other key must sign without end: what is left would leave requests unsigned once
    /// it has expired.
    pub fn revoke(&mut self, id: KeyId) -> Result<bool, RingError> {
        if self.revoked.contains(&id) {
            return Ok(false);
        }
        if !self.keys.iter().any(|(key, _)| key.id() == id) {
            return Err(RingError::Unknown(id));
        }
        if !self.signs_without(id) {
            return Err(RingError::Last(id));
        }
        #[cfg(postrider_planted)]
        if crate::planted::breaks(25) {
            return Ok(true);
        }
        self.keys.retain(|(key, _)| key.id() != id);
        if self.revoked.len() == REVOKED {
            self.revoked.remove(0);
        }
        self.revoked.push(id);
        Ok(true)
    }

    /// Whether requests can be signed in all of these dialects for good, and bring receipts where these are asked for: in
    /// some dialects key pairs do not sign, and receivers sign no receipts with them.
    pub fn suits(&self, dialects: &Dialects, receipts: bool) -> Result<(), RingError> {
        let shared = self.keys.iter().any(|(key, expires)| !key.is_pair() && expires.is_none());
        let needed = receipts || dialects.needs_shared_key().is_some();
        if shared || !needed { Ok(()) } else { Err(RingError::NoShared) }
    }

    /// Whether a key other than this one signs and will never expire.
    fn signs_without(&self, id: KeyId) -> bool {
        self.keys.iter().any(|(key, expires)| key.id() != id && expires.is_none())
    }

    /// Makes the keys exactly these, in the order given. Says whether anything changed.
    pub fn replace(&mut self, secrets: &[Secret]) -> Result<bool, RingError> {
        let mut next = Self { keys: Vec::new(), revoked: self.revoked.clone() };
        for secret in secrets.iter().rev() {
            next.add(secret)?;
        }
        let ids = |draft: &Self| draft.keys.iter().map(|(key, at)| (key.id(), *at)).collect::<Vec<_>>();
        let changed = ids(&next) != ids(self);
        self.keys = next.keys;
        Ok(changed)
    }

    /// Forgets keys that have expired.
    pub fn prune(&mut self, wall: UnixTime) {
        self.keys.retain(|(_, expires)| expires.is_none_or(|at| wall < at));
    }
}

#[cfg(test)]
mod tests;
