//! Why a restore fails.

use core::fmt;

use crate::id::{EndpointKey, JournalSeq};
use crate::registration::EndpointError;

/// Why records make no machine.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RestoreError {
    /// There are none: a new store is made with [`Sender::new`](crate::sender::Sender::new).
    Empty,
    /// They do not begin with a store's first record or with a snapshot.
    NoBeginning,
    /// Records are missing.
    Gap {
        /// The last record before the gap.
        after: JournalSeq,
        /// The next one there is.
        found: JournalSeq,
    },
    /// The snapshot shows more than the log has.
    SnapshotAhead {
        /// The last record that the log must have.
        through: JournalSeq,
        /// The last one that it has.
        last: JournalSeq,
    },
    /// An endpoint is none.
    Endpoint {
        /// The record.
        at: JournalSeq,
        /// The endpoint.
        endpoint: EndpointKey,
        /// What is wrong.
        why: EndpointError,
    },
    /// An endpoint's secrets are sealed: the adapter opens them first
    /// ([`Record::open_with`](crate::journal::Record::open_with)).
    Sealed {
        /// The record.
        at: JournalSeq,
        /// The endpoint.
        endpoint: EndpointKey,
    },
    /// An event is none.
    Event {
        /// Its record.
        at: JournalSeq,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the store has no records"),
            Self::NoBeginning => f.write_str("the store's first record is missing, and it has no snapshot"),
            Self::Gap { after, found } => write!(f, "after record {after} comes record {found}: some are missing"),
            Self::SnapshotAhead { through, last } => {
                write!(f, "the snapshot needs the log up to record {through}, and the log ends at {last}")
            }
            Self::Endpoint { at, endpoint, why } => write!(f, "record {at}: endpoint {endpoint}: {why}"),
            Self::Sealed { at, endpoint } => {
                write!(f, "record {at}: the secrets of endpoint {endpoint} are sealed; give the key that opens them")
            }
            Self::Event { at } => write!(f, "record {at}: the event's type is none"),
        }
    }
}

impl core::error::Error for RestoreError {}
