//! Why a text is no filter.

use alloc::boxed::Box;
use core::fmt;

/// Why a text is no filter. `path` is the place in the text as a JSON pointer (RFC 6901), empty for the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// It has more bytes than allowed.
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// It is no JSON.
    Syntax {
        /// What was being read.
        path: Box<str>,
        /// Which byte of the text stops being JSON, counted from 0.
        at: usize,
        /// What would be right there.
        expected: &'static str,
    },
    /// It is JSON, but something else should stand there.
    Expected {
        /// Where.
        path: Box<str>,
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A name stands where only certain ones may.
    Unknown {
        /// Where.
        path: Box<str>,
        /// The name.
        name: Box<str>,
        /// Those that would be right.
        expected: &'static str,
    },
    /// The name of a test stands as a field inside `$or`, where it is most likely a mistake.
    Reserved {
        /// Where.
        path: Box<str>,
        /// The name.
        name: Box<str>,
    },
    /// A number to compare with is outside of what numbers in JSON commonly reach.
    Number {
        /// Where.
        path: Box<str>,
        /// The number.
        number: Box<str>,
    },
    /// The lower bound of a range is not below the upper one, so that nothing could be between.
    EmptyRange {
        /// Where.
        path: Box<str>,
    },
    /// A text with wildcards has a fault.
    Wildcard {
        /// Where.
        path: Box<str>,
        /// Which byte of the wildcard, counted from 0.
        at: usize,
        /// What would be right there.
        expected: &'static str,
    },
    /// A range of addresses is none.
    Network {
        /// Where.
        path: Box<str>,
        /// What would be right.
        expected: &'static str,
    },
    /// There is more of something than allowed.
    TooMany {
        /// Where it became too much.
        path: Box<str>,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "has {len} bytes, at most {max} are allowed"),
            Self::Syntax { path, at, expected } => {
                write!(f, "is not JSON at byte {at} ({}); expected {expected}", At(path))
            }
            Self::Expected { path, expected, found } => write!(f, "has {found} {}; expected {expected}", At(path)),
            Self::Unknown { path, name, expected } => {
                write!(f, "has an unknown name {name:?} {}; expected {expected}", At(path))
            }
            Self::Reserved { path, name } => {
                write!(f, "has the test {name:?} as a field {}; expected a test inside an array of a field", At(path))
            }
            Self::Number { path, number } => write!(
                f,
                "has the number {number} {}; expected one that is 0 or between 1e-324 and 1e309 in size",
                At(path)
            ),
            Self::EmptyRange { path } => {
                write!(f, "has an empty range {}; expected a lower bound below the upper one", At(path))
            }
            Self::Wildcard { path, at, expected } => {
                write!(f, "has a fault at byte {at} of the wildcard {}; expected {expected}", At(path))
            }
            Self::Network { path, expected } => {
                write!(f, "has no range of addresses {}; expected {expected}", At(path))
            }
            Self::TooMany { path, what, max } => {
                write!(f, "has more than {max} {what} {}; expected fewer", At(path))
            }
        }
    }
}

impl core::error::Error for FilterError {}

/// A path in a sentence.
struct At<'a>(&'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("at the top") } else { write!(f, "at {:?}", self.0) }
    }
}
