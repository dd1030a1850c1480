//! Names and numbers of things. None of them converts into another by accident.

use alloc::sync::Arc;
use core::fmt;

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdError {
    /// It has no characters.
    Empty,
    /// It has more bytes than allowed.
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// It has a byte that is not allowed.
    Forbidden {
        /// Where the byte is, counted from 0.
        at: usize,
        /// The byte.
        byte: u8,
    },
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { len, max } => write!(f, "has {len} bytes, at most {max} are allowed"),
            Self::Forbidden { at, byte: b'.' } => {
                write!(f, "has a '.' at byte {at}, which would make the signed content ambiguous")
            }
            Self::Forbidden { at, byte } if byte.is_ascii_graphic() => {
                write!(f, "has a {:?} at byte {at}, which is not allowed", char::from(*byte))
            }
            Self::Forbidden { at, byte } => {
                write!(f, "has byte 0x{byte:02x} at byte {at}; only visible ASCII characters are allowed")
            }
        }
    }
}

impl core::error::Error for IdError {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, max: $max:expr, dots: $dots:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest name allowed, in bytes.
            pub const MAX: usize = $max;

            /// Checks the name.
            pub fn new(name: impl AsRef<str>) -> Result<Self, IdError> {
                let name = name.as_ref();
                check(name, Self::MAX, $dots)?;
                Ok(Self(name.into()))
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }
    };
}

name! {
    /// The id of an event, sent as `webhook-id` on every attempt: 1 to 256 visible ASCII characters without `.`
    /// (Standard Webhooks joins id, timestamp and body with dots, so a dot in the id would make them ambiguous).
    EventId, max: 256, dots: false
}

name! {
    /// The caller's name for an endpoint, unique within its tenant: 1 to 128 visible ASCII characters.
    EndpointId, max: 128, dots: true
}

name! {
    /// The customer that endpoints and events belong to: 1 to 128 visible ASCII characters.
    TenantId, max: 128, dots: true
}

impl Default for TenantId {
    /// The tenant `default`, for those who have only one.
    fn default() -> Self {
        Self("default".into())
    }
}

/// An endpoint, named with its tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a name within a name")]
pub struct EndpointKey {
    /// The tenant that the endpoint belongs to.
    pub tenant: TenantId,
    /// The endpoint's name within the tenant.
    pub id: EndpointId,
}

impl EndpointKey {
    /// The endpoint `id` of the tenant `default`.
    pub fn new(id: impl AsRef<str>) -> Result<Self, IdError> {
        Ok(Self { tenant: TenantId::default(), id: EndpointId::new(id)? })
    }

    /// The same name under another tenant.
    pub fn of(self, tenant: TenantId) -> Self {
        Self { tenant, ..self }
    }
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tenant.as_str() == "default" {
            write!(f, "{}", self.id)
        } else {
            write!(f, "{}/{}", self.tenant, self.id)
        }
    }
}

/// One HTTP request for a delivery. It names the incarnation of the machine that made it, so that an answer that
/// arrives after a restart is told apart from the answers to the new run's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    incarnation: u32,
    slot: u32,
    turn: u32,
}

impl AttemptId {
    pub(crate) const fn new(incarnation: u32, slot: u32, turn: u32) -> Self {
        Self { incarnation, slot, turn }
    }

    /// How often the store had been opened when the attempt was made, counted from 1.
    pub const fn incarnation(self) -> u32 {
        self.incarnation
    }

    pub(crate) const fn slot(self) -> u32 {
        self.slot
    }

    pub(crate) const fn turn(self) -> u32 {
        self.turn
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt-{}-{}-{}", self.incarnation, self.slot, self.turn)
    }
}

/// The place of a record in the journal, counted from 1 without gaps. 0 stands before the first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalSeq(u64);

impl JournalSeq {
    /// Before the first record.
    pub const ZERO: Self = Self(0);

    /// The `n`th place.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The place as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next place.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for JournalSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A request to read records back, answered once by `Input::Loaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub(crate) u64);

impl fmt::Display for LoadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "load-{}", self.0)
    }
}

fn check(name: &str, max: usize, dots: bool) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty);
    }
    if name.len() > max {
        return Err(IdError::TooLong { len: name.len(), max });
    }
    match name.bytes().position(|b| !b.is_ascii_graphic() || (b == b'.' && !dots)) {
        Some(at) => Err(IdError::Forbidden { at, byte: name.as_bytes()[at] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_visible_ascii_without_dots() {
        assert_eq!(EventId::new("msg_1").unwrap().as_str(), "msg_1");
        assert_eq!(EventId::new(""), Err(IdError::Empty));
        assert_eq!(EventId::new("a.b"), Err(IdError::Forbidden { at: 1, byte: b'.' }));
        assert_eq!(EventId::new("a b"), Err(IdError::Forbidden { at: 1, byte: b' ' }));
        assert_eq!(EventId::new("x".repeat(257)), Err(IdError::TooLong { len: 257, max: 256 }));
        assert!(EndpointId::new("acme.eu").is_ok());
    }
}
