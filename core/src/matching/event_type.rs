//! The dotted name of what happened.

use alloc::sync::Arc;
use core::fmt;

use crate::limits;

/// The type of an event: dot-separated non-empty segments of `[A-Za-z0-9_:/-]`, at most 256 bytes together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Checks the name, see [`validate_type`].
    pub fn new(name: impl AsRef<str>) -> Result<Self, TypeError> {
        let name = name.as_ref();
        validate_type(name)?;
        Ok(Self(name.into()))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for EventType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventType({:?})", &*self.0)
    }
}

/// Whether the text is an event type. The first fault from the left is reported, except that the length comes first, so
/// the work is bounded by 256 bytes.
pub fn validate_type(name: &str) -> Result<(), TypeError> {
    if name.is_empty() {
        return Err(TypeError::Empty);
    }
    if name.len() > limits::EVENT_TYPE_BYTES {
        return Err(TypeError::TooLong { len: name.len(), max: limits::EVENT_TYPE_BYTES });
    }
    let mut start = 0;
    for (at, byte) in name.bytes().enumerate() {
        if byte == b'.' {
            if at == start {
                return Err(TypeError::EmptySegment { at });
            }
            start = at + 1;
        } else if !in_segment(byte) {
            return Err(TypeError::Forbidden { at, found: char_at(name, at) });
        }
    }
    if start == name.len() {
        return Err(TypeError::EmptySegment { at: start });
    }
    Ok(())
}

/// Why a text is no event type. Positions are bytes, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypeError {
    /// It has no characters.
    Empty,
    /// It has more bytes than allowed.
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// A segment has no characters: two dots in a row, or a dot at the beginning or the end.
    EmptySegment {
        /// Where the segment should begin.
        at: usize,
    },
    /// It has a character that is not allowed.
    Forbidden {
        /// Where the character begins.
        at: usize,
        /// The character.
        found: char,
    },
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty; an event type is a dotted name such as `order.paid`"),
            Self::TooLong { len, max } => write!(f, "has {len} bytes, at most {max} are allowed"),
            Self::EmptySegment { at } => {
                write!(f, "has an empty segment at byte {at}; one dot between two segments, none at the ends")
            }
            Self::Forbidden { at, found: '*' } => {
                write!(f, "has a '*' at byte {at}; a wildcard belongs in a pattern, an event has one exact type")
            }
            Self::Forbidden { at, found } => {
                write!(f, "has a {found:?} at byte {at}; letters, digits, '_', ':', '/' and '-' are allowed")
            }
        }
    }
}

impl core::error::Error for TypeError {}

/// Whether the byte may stand in a segment.
pub(super) const fn in_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'/' | b'-')
}

/// The character at the first byte that is not ASCII punctuation of ours: such a byte always begins a character.
pub(super) fn char_at(text: &str, at: usize) -> char {
    text[at..].chars().next().expect("the byte at `at` exists and begins a character")
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_type_is_dotted_segments() {
        for name in ["order", "order.paid", "a-b_c:d/e.F9", &"x".repeat(256)] {
            assert_eq!(EventType::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_fault_is_named_with_its_place() {
        assert_eq!(validate_type(""), Err(TypeError::Empty));
        assert_eq!(validate_type(&"x".repeat(257)), Err(TypeError::TooLong { len: 257, max: 256 }));
        assert_eq!(validate_type(".a"), Err(TypeError::EmptySegment { at: 0 }));
        assert_eq!(validate_type("a..b"), Err(TypeError::EmptySegment { at: 2 }));
        assert_eq!(validate_type("a.b."), Err(TypeError::EmptySegment { at: 4 }));
        assert_eq!(validate_type("a.é"), Err(TypeError::Forbidden { at: 2, found: 'é' }));
        assert_eq!(validate_type("a\n"), Err(TypeError::Forbidden { at: 1, found: '\n' }));
        assert!(validate_type("order.*").unwrap_err().to_string().contains("belongs in a pattern"));
    }
}
