//! Until when what has ended is gone.

use std::time::Duration;

use postrider_core::time::UnixTime;

use super::Retention;

/// What budgets have trimmed: what ended before these times is gone. They only move forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) payloads: UnixTime,
    pub(super) attempts: UnixTime,
}

impl Marks {
    pub(super) fn raise(&mut self, other: Self) {
        self.payloads = self.payloads.max(other.payloads);
        self.attempts = self.attempts.max(other.attempts);
    }

    /// What is gone at `wall`.
    pub(super) fn cut(&self, retention: &Retention, wall: UnixTime) -> Cut {
        let before = |mark: UnixTime, kept: Duration| {
            if kept.is_zero() {
                return UnixTime::from_millis(u64::MAX);
            }
            let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
            // What ended exactly that long ago is gone.
            let gone =
                wall.as_millis().checked_sub(kept).map_or(UnixTime::EPOCH, |last| UnixTime::from_millis(last + 1));
            mark.max(gone)
        };
        let attempts = before(self.attempts, retention.attempts);
        Cut { payloads: before(self.payloads, retention.payloads).max(attempts), attempts }
    }
}

/// What is gone at one moment: payloads and whole events that ended before these times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Not below `attempts`: an event that is gone has no payload.
    pub(super) payloads: UnixTime,
    pub(super) attempts: UnixTime,
}

impl Cut {
    /// Whether an event that ended then is gone, with its attempts.
    pub(super) fn is_gone(&self, ended: UnixTime) -> bool {
        ended < self.attempts
    }

    /// Whether the payload of an event that ended then is gone.
    pub(super) fn has_no_payload(&self, ended: UnixTime) -> bool {
        ended < self.payloads
    }
}
