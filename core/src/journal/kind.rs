//! The kinds of record, and what each kind means to those who only carry it.

use super::record::Record;

/// What a record is about, without what it says. The number is the byte in its frame and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the format is versioned as a whole, and its one reader must know every kind"
)]
pub enum Kind {
    /// [`Record::Genesis`].
    Genesis = 1,
    /// [`Record::Opened`].
    Opened = 2,
    /// [`Record::Accepted`].
    Accepted = 3,
    /// [`Record::Endpoint`].
    Endpoint = 4,
    /// [`Record::Removed`].
    Removed = 5,
    /// [`Record::Queued`].
    Queued = 6,
    /// [`Record::Outcome`].
    Outcome = 7,
    /// [`Record::Mark`].
    Mark = 8,
    /// [`Record::Ended`].
    Ended = 9,
    /// [`Record::Cancelled`].
    Cancelled = 10,
    /// [`Record::SnapshotBegin`].
    SnapshotBegin = 11,
    /// [`Record::Event`].
    Event = 12,
    /// [`Record::Pending`].
    Pending = 13,
    /// [`Record::Remembered`].
    Remembered = 14,
    /// [`Record::SnapshotEnd`].
    SnapshotEnd = 15,
    /// [`Record::Purged`].
    Purged = 16,
    /// [`Record::Erased`].
    Erased = 17,
    /// [`Record::Kept`].
    Kept = 18,
    /// [`Record::Health`].
    Health = 19,
    /// [`Record::Synced`].
    Synced = 20,
    /// [`Record::Consent`].
    Consent = 21,
    /// [`Record::KeyUse`].
    KeyUse = 22,
    /// [`Record::Lane`].
    Lane = 25,
}

impl Kind {
    /// Every kind, by number.
    pub const ALL: [Self; 23] = [
        Self::Genesis,
        Self::Opened,
        Self::Accepted,
        Self::Endpoint,
        Self::Removed,
        Self::Queued,
        Self::Outcome,
        Self::Mark,
        Self::Ended,
        Self::Cancelled,
        Self::SnapshotBegin,
        Self::Event,
        Self::Pending,
        Self::Remembered,
        Self::SnapshotEnd,
        Self::Purged,
        Self::Erased,
        Self::Kept,
        Self::Health,
        Self::Synced,
        Self::Consent,
        Self::KeyUse,
        Self::Lane,
    ];

    /// The kind with this number; `None` when there is none.
    pub fn from_byte(byte: u8) -> Option<Self> {
        const BY_BYTE: [Option<Kind>; 256] = {
            let mut table = [None; 256];
            let mut at = 0;
            while at < Kind::ALL.len() {
                table[Kind::ALL[at] as usize] = Some(Kind::ALL[at]);
                at += 1;
            }
            table
        };
        BY_BYTE[usize::from(byte)]
    }

    /// Its number.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether something waits until a record of this kind is durable; see [`Record::is_gating`].
    pub const fn is_gating(self) -> bool {
        match self {
            Self::Genesis
            | Self::Opened
            | Self::Accepted
            | Self::Endpoint
            | Self::Removed
            | Self::Cancelled
            | Self::Purged
            | Self::Erased
            | Self::Synced
            | Self::Consent => true,
            Self::Queued
            | Self::Outcome
            | Self::Mark
            | Self::Ended
            | Self::SnapshotBegin
            | Self::Event
            | Self::Pending
            | Self::Remembered
            | Self::SnapshotEnd
            | Self::Kept
            | Self::Lane
            | Self::Health
            | Self::KeyUse => false,
        }
    }

    /// What a record of this kind is about.
    pub(super) const fn subject(self) -> Subject {
        match self {
            Self::Accepted | Self::Kept => Subject::Itself,
            Self::Mark | Self::Ended | Self::Cancelled | Self::Event | Self::Remembered => Subject::Event,
            Self::Queued | Self::Outcome | Self::Pending => Subject::Delivery,
            Self::Genesis
            | Self::Opened
            | Self::Endpoint
            | Self::Removed
            | Self::SnapshotBegin
            | Self::SnapshotEnd
            | Self::Purged
            | Self::Erased
            | Self::Lane
            | Self::Health
            | Self::Synced
            | Self::Consent
            | Self::KeyUse => Subject::Other,
        }
    }
}

/// What a record is about, and with that how its body begins.
pub(super) enum Subject {
    /// The event that has the record's own place.
    Itself,
    /// An event, named in the first 8 bytes of the body.
    Event,
    /// A delivery: the event in the first 8 bytes of the body, the subscription in the next 4.
    Delivery,
    /// Neither.
    Other,
}

impl Record {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Genesis { .. } => Kind::Genesis,
            Self::Opened { .. } => Kind::Opened,
            Self::Accepted(_) => Kind::Accepted,
            Self::Endpoint(_) => Kind::Endpoint,
            Self::Removed { .. } => Kind::Removed,
            Self::Queued { .. } => Kind::Queued,
            Self::Outcome(_) => Kind::Outcome,
            Self::Mark(_) => Kind::Mark,
            Self::Ended { .. } => Kind::Ended,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::SnapshotBegin(_) => Kind::SnapshotBegin,
            Self::Event(_) => Kind::Event,
            Self::Pending { .. } => Kind::Pending,
            Self::Remembered(_) => Kind::Remembered,
            Self::SnapshotEnd { .. } => Kind::SnapshotEnd,
            Self::Purged { .. } => Kind::Purged,
            Self::Erased { .. } => Kind::Erased,
            Self::Kept(_) => Kind::Kept,
            Self::Synced { .. } => Kind::Synced,
            Self::Consent(_) => Kind::Consent,
            Self::KeyUse(_) => Kind::KeyUse,
            Self::Health(_) => Kind::Health,
            Self::Lane { .. } => Kind::Lane,
        }
    }

    /// Whether something waits until the record is durable: nothing that depends on a gating record is visible
    /// outside before the batch that holds it is acknowledged. Losing a record that is not gating can only cause a
    /// request to be sent again, or a snapshot to be made again.
    pub const fn is_gating(&self) -> bool {
        self.kind().is_gating()
    }
}
