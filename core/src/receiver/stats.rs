//! What a receiver counts.

use super::response::Reason;

/// Counters since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// Deliveries begun: requests that were verified and had not been seen.
    pub accepted: u64,
    /// Requests that were verified and had been seen: they joined a delivery, found no room to, or were answered from
    /// memory.
    pub duplicates: u64,
    /// Requests refused.
    pub refused: Refusals,
    /// Deliveries that the application did not end in time.
    pub timed_out: u64,
    /// Of those, the ones that ended afterwards and still counted.
    pub late: u64,
    /// Events of a line that were passed without what comes before them.
    pub gaps: u64,
    /// Events that came after a later one of their line had ended.
    pub out_of_order: u64,
    /// Events forgotten before their window had passed.
    pub forgotten_early: u64,
    /// Facts about exchanges and deliveries that the machine does not know, or not as such any more.
    pub stale: u64,
    /// Exchanges dropped before they were answered.
    pub dropped: u64,
    /// Times the monotonic clock went back.
    pub clock_regressions: u64,
    /// Drains that ended: how often the driver came by.
    pub waits: u64,
}

/// Requests refused, by [`Reason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// Not POST.
    pub method: u64,
    /// Longer than the cap.
    pub too_large: u64,
    /// Of another media type than those that are read.
    pub media_type: u64,
    /// Not signed by a known key, or not now, or without what is needed to tell.
    pub unverified: u64,
    /// Refused by the application, repeats included.
    pub refused: u64,
    /// Not wanted any more by the application, repeats included.
    pub unsubscribed: u64,
    /// More than the rate allows.
    pub over_rate: u64,
    /// Too many exchanges, deliveries or waiters at once.
    pub busy: u64,
    /// In progress at another instance, or not to be claimed because the store of claims could not be asked.
    pub not_claimed: u64,
    /// Wanted later by the application.
    pub later: u64,
    /// Not processed in time.
    pub timed_out: u64,
    /// Not begun, because the machine was closing.
    pub closing: u64,
}

impl Refusals {
    pub(super) fn count(&mut self, reason: Reason) {
        *match reason {
            Reason::Processed | Reason::Repeat | Reason::Late | Reason::Queued => return,
            Reason::Method => &mut self.method,
            Reason::TooLarge => &mut self.too_large,
            Reason::MediaType => &mut self.media_type,
            Reason::Malformed | Reason::Unverified => &mut self.unverified,
            Reason::Refused => &mut self.refused,
            Reason::Unsubscribed => &mut self.unsubscribed,
            Reason::OverRate { .. } => &mut self.over_rate,
            Reason::TooManyExchanges | Reason::NoCredit | Reason::TooManyWaiters | Reason::TooManyHeld => {
                &mut self.busy
            }
            Reason::Elsewhere | Reason::NoClaim => &mut self.not_claimed,
            Reason::Later { .. } => &mut self.later,
            Reason::TimedOut => &mut self.timed_out,
            Reason::Closing => &mut self.closing,
        } += 1;
    }
}
