//! Why bytes are no record.

use core::fmt;

use super::codec::{FRAME_HEAD, VERSION};
use super::kind::Kind;
use crate::id::IdError;

/// Bytes that are no record: where, and why. It holds no text and no key of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodecError {
    /// The byte at which reading failed, counted from 0 at the beginning of the bytes that were given.
    pub at: usize,
    /// What is wrong there.
    pub why: Why,
}

/// What is wrong with bytes that are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The bytes end before the frame does: a write that was not finished, or a length that was damaged. All others
    /// are damage.
    Torn {
        /// Bytes that there are.
        have: usize,
        /// Bytes that the frame needs, as far as that can be told.
        need: u64,
    },
    /// The length is too small for a header.
    Short {
        /// The length.
        len: u32,
    },
    /// There is no such kind.
    Kind {
        /// The number of the kind.
        byte: u8,
    },
    /// The version is not known.
    Version {
        /// The version.
        byte: u8,
    },
    /// The reserved field is not 0.
    Reserved {
        /// The field.
        value: u16,
    },
    /// A field goes on after the end of the body.
    Cut {
        /// The field.
        field: &'static str,
        /// Bytes that it needs.
        need: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The body goes on after its last field.
    Trailing {
        /// How many bytes are left.
        left: usize,
    },
    /// A flag is neither 0 nor 1.
    Flag {
        /// The field.
        field: &'static str,
        /// Its byte.
        byte: u8,
    },
    /// A string is not UTF-8.
    Text {
        /// The field.
        field: &'static str,
    },
    /// A name is not allowed.
    Name {
        /// The field.
        field: &'static str,
        /// What is wrong with the name.
        why: IdError,
    },
    /// A list has too many items.
    Many {
        /// The field.
        field: &'static str,
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// A key has a form that is not known here.
    Form {
        /// The byte that tells the form.
        byte: u8,
    },
    /// A setting of an endpoint has a form that is not known here.
    Setting {
        /// The byte that tells the form.
        byte: u8,
    },
    /// The value of a header has a form that is not known here.
    ValueForm {
        /// The byte that tells the form.
        byte: u8,
    },
    /// A part behind the last field of an endpoint or an event is not known here, stands out of order, or is empty.
    Part {
        /// Its number.
        number: u8,
    },
    /// A key is empty, or a pair has not 64 bytes.
    NoKey,
    /// What follows an attempt is not known.
    Then {
        /// Its number.
        code: u8,
    },
    /// The time that an attempt took is not in its shortest form.
    Elapsed {
        /// Bytes that it is said to have.
        width: u8,
    },
}

impl CodecError {
    /// Whether the bytes end before the frame does. At the end of a log that is a write that was not finished;
    /// everywhere else, and for every other reason, it is damage.
    pub const fn is_torn(&self) -> bool {
        matches!(self.why, Why::Torn { .. })
    }

    pub(super) const fn new(at: usize, why: Why) -> Self {
        Self { at, why }
    }

    /// The same error for bytes that begin `base` bytes earlier.
    pub(super) fn after(self, base: usize) -> Self {
        Self { at: base + self.at, ..self }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { have, need } => write!(f, "the frame needs {need} bytes and has {have}"),
            Self::Short { len } => write!(f, "the frame's length is {len}, at least {} is needed", FRAME_HEAD - 4),
            Self::Kind { byte } => {
                let last = Kind::ALL.last().map_or(0, |kind| kind.byte());
                write!(f, "kind {byte} is not known, those up to {last} are")
            }
            Self::Version { byte } => write!(f, "version {byte} is not known, {VERSION} is"),
            Self::Reserved { value } => write!(f, "the reserved field is {value}, it must be 0"),
            Self::Cut { field, need, left } => {
                write!(f, "field '{field}' needs {need} bytes, the body has {left} left")
            }
            Self::Trailing { left } => write!(f, "{left} bytes follow the last field, none may"),
            Self::Flag { field, byte } => write!(f, "flag '{field}' is {byte}, it must be 0 or 1"),
            Self::Text { field } => write!(f, "field '{field}' must be UTF-8 and is not"),
            Self::Name { field, why } => write!(f, "name '{field}' {why}"),
            Self::Many { field, count, max } => {
                write!(f, "list '{field}' has {count} items, at most {max} are allowed")
            }
            Self::Form { byte } => {
                write!(f, "the form of a key is {byte}, 0 (plain), 1 (sealed) and 2 (a pair) are known")
            }
            Self::Setting { byte } => {
                write!(f, "the form of a setting is {byte}, 0 (usual), 1 (off) and 2 (given) are known")
            }
            Self::ValueForm { byte } => {
                write!(f, "the form of a header's value is {byte}, 0 (open), 1 (secret) and 2 (sealed) are known")
            }
            Self::Part { number } => {
                write!(f, "part {number} of the record is not known, empty or out of order")
            }
            Self::NoKey => f.write_str("a key is empty, or a pair has not 64 bytes"),
            Self::Then { code } => write!(f, "what follows the attempt is {code}, 0 to 7 are known"),
            Self::Elapsed { width } => {
                write!(f, "the time taken has {width} bytes, it must have as few as it needs and at most 8")
            }
        }
    }
}

impl core::error::Error for CodecError {}
