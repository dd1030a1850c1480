//! Whether the clocks of sender and receiver differ.
//!
//! Only requests that a known key signed are asked, so no stranger can make it say anything. One that is captured and sent
//! again has its old time: each that counts is signed later than the one before. Any that comes in time ends the streak.

use core::time::Duration;

use crate::limits::SKEW_REQUESTS;
use crate::time::UnixTime;

/// By how much two clocks seem to differ, seen from the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a clock that is off is ahead or behind")]
pub enum ClockSkew {
    /// The receiver's clock is ahead of the sender's: requests seem too old. By this much at most, since the time that a
    /// request was on its way is in it.
    Ahead(Duration),
    /// The receiver's clock is behind the sender's: requests seem to come from the future. By this much at least.
    Behind(Duration),
}

/// The streak of requests that are off in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skew(Option<Streak>);

#[derive(Clone, Copy, Debug)]
struct Streak {
    skew: ClockSkew,
    signed: UnixTime,
    requests: u32,
    tell_at: u32,
}

impl Skew {
    /// A request came in time.
    pub(super) fn fits(&mut self) {
        self.0 = None;
    }

    /// A request that a known key signed was out of time. Says what is to be told, if anything: at the fifth in a row
    /// ([`SKEW_REQUESTS`]), and whenever there are twice as many.
    pub(super) fn is_off(&mut self, signed: UnixTime, now: UnixTime) -> Option<(ClockSkew, u32)> {
        let seen = if signed <= now {
            ClockSkew::Ahead(now.saturating_since(signed))
        } else {
            ClockSkew::Behind(signed.saturating_since(now))
        };
        let streak = match &mut self.0 {
            Some(streak) if streak.skew.same_way(seen) => {
                if signed <= streak.signed {
                    return None;
                }
                streak
            }
            Some(_) | None => self.0.insert(Streak { skew: seen, signed, requests: 0, tell_at: SKEW_REQUESTS }),
        };
        streak.signed = signed;
        streak.skew = streak.skew.closer(seen);
        streak.requests = streak.requests.saturating_add(1);
        if streak.requests < streak.tell_at {
            return None;
        }
        streak.tell_at = streak.tell_at.saturating_mul(2);
        Some((streak.skew, streak.requests))
    }
}

impl ClockSkew {
    fn same_way(self, other: Self) -> bool {
        match (self, other) {
            (Self::Ahead(_), Self::Ahead(_)) | (Self::Behind(_), Self::Behind(_)) => true,
            (Self::Ahead(_), Self::Behind(_)) | (Self::Behind(_), Self::Ahead(_)) => false,
        }
    }

    /// The better of two estimates: a request's way makes it older, never younger.
    fn closer(self, other: Self) -> Self {
        match (self, other) {
            (Self::Ahead(one), Self::Ahead(two)) => Self::Ahead(one.min(two)),
            (Self::Behind(one), Self::Behind(two)) => Self::Behind(one.max(two)),
            (Self::Ahead(_), Self::Behind(_)) | (Self::Behind(_), Self::Ahead(_)) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn off(skew: &mut Skew, signed: u64, now: u64) -> Option<(ClockSkew, u32)> {
        skew.is_off(UnixTime::from_secs(signed), UnixTime::from_secs(now))
    }

    #[test]
    fn the_fifth_in_a_row_tells_and_then_every_doubling() {
        let mut skew = Skew::default();
        // An hour behind, and on the way for 0 to 4 seconds.
        let told: Vec<_> = (0..40).filter_map(|n| off(&mut skew, NOW + n, NOW + n + 3600 + n % 5)).collect();
        let hour = ClockSkew::Ahead(Duration::from_secs(3600));
        assert_eq!(told, [(hour, 5), (hour, 10), (hour, 20), (hour, 40)]);
    }

    #[test]
    fn a_clock_that_is_behind_is_at_least_as_far_as_the_farthest() {
        let mut skew = Skew::default();
        let told: Vec<_> = (0..5).filter_map(|n| off(&mut skew, NOW + n + 900, NOW + n + n % 3)).collect();
        assert_eq!(told, [(ClockSkew::Behind(Duration::from_secs(900)), 5)]);
    }

    #[test]
    fn a_request_in_time_or_off_the_other_way_ends_the_streak() {
        let mut skew = Skew::default();
        for n in 0..100 {
            assert_eq!(off(&mut skew, NOW + n, NOW + n + 3600), None);
            match n % 8 {
                3 => skew.fits(),
                7 => assert_eq!(off(&mut skew, NOW + n + 3600, NOW + n), None),
                _ => {}
            }
        }
    }

    #[test]
    fn what_is_sent_again_says_nothing_new() {
        let mut skew = Skew::default();
        for n in 0..100 {
            assert_eq!(off(&mut skew, NOW, NOW + 400 + n), None, "one request, captured");
        }
        for n in 0..100 {
            assert_eq!(off(&mut skew, NOW - n, NOW + 500), None, "older and older ones");
        }
    }

    proptest! {
        /// Whatever comes, it tells at most once in five requests and once for each doubling, and no estimate is worse
        /// than the best request.
        #[test]
        fn it_is_quiet_and_close(ages in prop::collection::vec(301..5000u64, 0..200)) {
            let (mut skew, mut told, mut best) = (Skew::default(), 0, u64::MAX);
            for (n, age) in ages.iter().enumerate() {
                best = best.min(*age);
                let signed = NOW + 10_000 * n as u64;
                if let Some((estimate, requests)) = off(&mut skew, signed, signed + age) {
                    told += 1;
                    prop_assert_eq!(estimate, ClockSkew::Ahead(Duration::from_secs(best)));
                    prop_assert_eq!(requests as usize, n + 1);
                }
            }
            prop_assert_eq!(told, (ages.len() / 5).checked_ilog2().map_or(0, |doublings| doublings + 1));
        }
    }
}
