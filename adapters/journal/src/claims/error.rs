//! Why a store of claims cannot be opened.

use std::fmt;
use std::io;

use crate::store::OpenError;

/// A place of a file of claims that is not as it was written, and was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimDamage {
    /// The byte at which it begins.
    pub offset: u64,
    /// How many bytes from there cannot be read.
    pub bytes: u64,
}

impl fmt::Display for ClaimDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from byte {} on", self.bytes, self.offset)
    }
}

/// Why a store of claims cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenClaimsError {
    /// Something that was acknowledged is not what it was. Nothing was changed. Opening with
    /// [`Recovery::Salvage`](crate::store::Recovery::Salvage) goes on without it.
    Damaged {
        /// Every place, in order.
        places: Vec<ClaimDamage>,
    },
    /// It was written by a later release.
    Newer {
        /// Its format.
        format: u16,
        /// The newest format that is read here.
        known: u16,
    },
    /// Another process has it, and kept it for as long as was waited.
    Busy {
        /// The number of that process, if it can be told.
        process: Option<u32>,
    },
    /// The operating system did not do what was asked.
    Io {
        /// What was being done, and with which file.
        doing: String,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
}

impl OpenClaimsError {
    pub(super) fn io(doing: &str, name: &str, error: &io::Error) -> Self {
        Self::Io { doing: format!("{doing} {name}"), kind: error.kind() }
    }

    /// What a lock says.
    pub(super) fn of(error: OpenError) -> Self {
        match error {
            OpenError::Busy { process } => Self::Busy { process },
            OpenError::Io { doing, kind } => Self::Io { doing, kind },
            OpenError::Newer { format, known, .. } => Self::Newer { format, known },
            OpenError::Corrupt(_) | OpenError::NoBeginning { .. } => Self::Damaged { places: Vec::new() },
        }
    }
}

impl fmt::Display for OpenClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { places } => {
                f.write_str("the store of claims is damaged")?;
                if let Some(first) = places.first() {
                    write!(f, ": {first}")?;
                }
                if places.len() > 1 {
                    write!(f, ", and {} more places", places.len() - 1)?;
                }
                Ok(())
            }
            Self::Newer { format, known } => write!(
                f,
                "the store of claims has format {format} and this release reads formats up to {known}: use the release \
                 that wrote it"
            ),
            Self::Busy { process: Some(process) } => write!(f, "process {process} uses the store of claims"),
            Self::Busy { process: None } => f.write_str("another process uses the store of claims"),
            Self::Io { doing, kind } => write!(f, "the store of claims failed {doing}: {kind}"),
        }
    }
}

impl std::error::Error for OpenClaimsError {}
