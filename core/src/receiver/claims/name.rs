//! By what an event is known.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use crate::table::rest_of;
use crate::time::UnixTime;

/// SHA-256 of what was signed.
pub(in crate::receiver) type Digest = [u8; 32];

/// What a request brings that is looked for among what has been seen.
#[derive(Debug)]
pub(in crate::receiver) struct Name {
    /// Whose ids and contents it is among.
    pub(in crate::receiver) scope: u32,
    pub(in crate::receiver) id: Option<Arc<str>>,
    hash: u64,
    kind: Kind,
    /// When it was signed; of an entry, the newest request that came for it.
    pub(in crate::receiver) signed: UnixTime,
}

/// What counts of it.
#[derive(Debug)]
enum Kind {
    /// The id, which the signature covers.
    Id,
    /// That, of the replay with this number.
    Replay(u64),
    /// What was signed, where the signature covers no id; so it is there where the id is not.
    Content(Box<Digest>),
}

impl Name {
    /// Of a request that has this digest where its signature covers no id, and which counts as the replay of this number
    /// where it does.
    pub(in crate::receiver) fn new(
        (scope, id): (u32, Option<Arc<str>>),
        digest: Option<Digest>,
        replay: Option<u64>,
        signed: UnixTime,
    ) -> Self {
        let kind = match (digest, replay) {
            (Some(digest), _) => Kind::Content(Box::new(digest)),
            (None, Some(number)) => Kind::Replay(number),
            (None, None) => Kind::Id,
        };
        let hash = id.as_deref().map_or(0, |id| hash(scope, digest.is_none(), id.as_bytes()));
        Self { scope, id, hash, kind, signed }
    }

    /// Gives it the id of another that is as covered and of the same scope, if that has one.
    pub(super) fn take_id(&mut self, other: Self) {
        if other.id.is_some() {
            (self.id, self.hash) = (other.id, other.hash);
        }
    }

    /// What was signed, where the signature covers no id.
    pub(in crate::receiver) fn digest(&self) -> Option<&Digest> {
        match &self.kind {
            Kind::Content(digest) => Some(digest),
            Kind::Id | Kind::Replay(_) => None,
        }
    }

    /// The number of the replay that it is, where it counts as one: only under an id that is covered.
    pub(super) fn replay(&self) -> Option<u64> {
        match self.kind {
            Kind::Replay(number) => Some(number),
            Kind::Id | Kind::Content(_) => None,
        }
    }

    /// Whether the signature covers its id.
    pub(super) fn is_covered(&self) -> bool {
        match self.kind {
            Kind::Id | Kind::Replay(_) => true,
            Kind::Content(_) => false,
        }
    }

    /// What a person calls it by.
    pub(super) fn label(&self) -> Arc<str> {
        match (&self.id, self.digest()) {
            (Some(id), _) => Arc::clone(id),
            (None, Some(digest)) => digest_text(digest).into(),
            (None, None) => Arc::from(""),
        }
    }

    /// The key by which a store of claims knows it.
    pub(in crate::receiver) fn key(&self) -> Arc<str> {
        let (scope, id) = (self.scope, self.id.as_deref().unwrap_or_default());
        match &self.kind {
            Kind::Content(digest) => format!("{scope}/{}", digest_text(digest)).into(),
            Kind::Replay(number) => format!("{scope}/replay/{number}/{id}").into(),
            Kind::Id => format!("{scope}/id/{id}").into(),
        }
    }

    /// Its id, where anyone could have given it, as a store of claims knows it.
    pub(in crate::receiver) fn said(&self) -> Option<Arc<str>> {
        self.digest()?;
        self.id.as_ref().map(|id| format!("{}/said/{id}", self.scope).into())
    }

    /// The key of what it replays, where it is a replay, as a store of claims knows it.
    pub(in crate::receiver) fn replay_of(&self) -> Option<Arc<str>> {
        self.replay()?;
        self.id.as_ref().map(|id| format!("{}/id/{id}", self.scope).into())
    }

    /// Whether it is of the same id, whatever replay of it. Those that are covered and those that are not have nothing to do
    /// with each other.
    pub(super) fn is_of_same_id(&self, other: &Self) -> bool {
        // The text of an id lies elsewhere: of another's nearly always the hash is another already.
        self.hash == other.hash
            && (self.scope, self.is_covered()) == (other.scope, other.is_covered())
            && self.id.is_some()
            && self.id == other.id
    }

    /// Whether it is of the same id, and the same replay of it.
    pub(super) fn is_same_id(&self, other: &Self) -> bool {
        self.replay() == other.replay() && self.is_of_same_id(other)
    }

    /// A hash of the id, the same for all replays of it. It has no key: whoever is let in to sign can give many ids one
    /// hash.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Its id as it is kept in order.
    pub(super) fn id_key(&self) -> Option<IdKey> {
        let id = Arc::clone(self.id.as_ref()?);
        Some(IdKey { scope: self.scope, covered: self.is_covered(), id, replay: self.replay() })
    }
}

fn hash(scope: u32, covered: bool, id: &[u8]) -> u64 {
    let (words, rest) = id.as_chunks::<8>();
    let last = rest_of(id, rest);
    let whose = u64::from(scope) << 1 | u64::from(covered);
    let first = fold(whose ^ (id.len() as u64) << 40);
    let words = words.iter().fold(first, |hash, word| fold(hash ^ u64::from_le_bytes(*word)));
    fold(words ^ last)
}

/// Bears all bits of a number on all of the result.
const fn fold(number: u64) -> u64 {
    let wide = (number ^ 0x9e37_79b9_7f4a_7c15) as u128 * 0xd6e8_feb8_6659_fd93_u128;
    wide as u64 ^ (wide >> 64) as u64
}

/// An id, or a replay of it, in an order in which all replays of an id lie together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdKey {
    scope: u32,
    covered: bool,
    id: Arc<str>,
    replay: Option<u64>,
}

impl IdKey {
    /// The same of this replay, or of none.
    pub(super) fn replay(self, replay: Option<u64>) -> Self {
        Self { replay, ..self }
    }
}

/// A digest as text.
pub(in crate::receiver) fn digest_text(digest: &Digest) -> String {
    digest.iter().fold("sha256:".into(), |text, byte| format!("{text}{byte:02x}"))
}
