//! How much of the traffic may be retries, when there is more to do than can be done.

use crate::limits;
use core::fmt;

/// Who goes next when not everybody can: of what starts while both wait, retries are at most a share. 8 bytes.
///
/// Each fresh attempt earns a part of a retry, each retry spends one; what was earned and not used is kept up to a number
/// of retries. So over any stretch in which fresh attempts wait all the time, retries are at most their share of what
/// starts plus that number. And since a retry that is earned goes first, they get their share when they want it: neither
/// starves the other.
///
/// While only one kind waits it goes, whatever was earned: a budget takes nothing from anybody where there is room, and
/// when nothing fresh comes the retries have everything.
///
/// The default is 20 per cent, and 10 retries kept.
///
/// ```
/// use postrider_core::retry::{Budget, Next};
///
/// let mut budget = Budget::default();
/// let retries = (0..1000).filter(|_| budget.next(true, true) == Some(Next::Retry)).count();
/// assert_eq!(retries, 200);
/// assert_eq!(budget.next(false, true), Some(Next::Retry));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In hundredths of what a fresh attempt and a retry are worth together.
    earned: u32,
    kept: u16,
    percent: u8,
}

/// What goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an attempt is the first of its delivery or it is not")]
pub enum Next {
    /// The first attempt of a delivery.
    Fresh,
    /// A further attempt.
    Retry,
}

/// Why a budget was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetError {
    /// The share is out of range.
    Percent(u8),
    /// The number of retries kept is out of range.
    Kept(u16),
}

impl Budget {
    /// Retries are at most `percent` of what starts, 1 to 99, and at most `kept` are kept for later, 1 to 10,000. It
    /// starts with none.
    pub const fn new(percent: u8, kept: u16) -> Result<Self, BudgetError> {
        if percent < 1 || percent > 99 {
            return Err(BudgetError::Percent(percent));
        }
        if kept < 1 || kept > 10_000 {
            return Err(BudgetError::Kept(kept));
        }
        Ok(Self { earned: 0, kept, percent })
    }

    /// What starts now, given what waits; it counts as started. `None` when nothing waits.
    pub fn next(&mut self, fresh_waits: bool, retry_waits: bool) -> Option<Next> {
        let next = self.choice(fresh_waits, retry_waits)?;
        self.record(next);
        Some(next)
    }

    /// What should start now, given what waits; nothing changes.
    pub const fn choice(&self, fresh_waits: bool, retry_waits: bool) -> Option<Next> {
        match (fresh_waits, retry_waits) {
            (true, true) if self.earned >= self.price() => Some(Next::Retry),
            (true, _) => Some(Next::Fresh),
            (false, true) => Some(Next::Retry),
            (false, false) => None,
        }
    }

    /// An attempt started. A retry that was not earned, because nothing fresh waited, leaves no debt.
    pub fn record(&mut self, started: Next) {
        self.earned = match started {
            Next::Fresh => {
                // At least so much that a retry and a part of the next fit: nothing that is spent at once is cut.
                let most = (self.price() * u32::from(self.kept)).max(100);
                (self.earned + u32::from(self.percent)).min(most)
            }
            Next::Retry => self.earned.saturating_sub(self.price()),
        };
    }

    /// How many retries are earned.
    pub const fn available(&self) -> u32 {
        self.earned / self.price()
    }

    /// The largest share of retries, in per cent.
    pub const fn percent(&self) -> u8 {
        self.percent
    }

    /// A fresh attempt earns `percent`, and a retry costs the rest of a hundred: so many retries for so many fresh ones
    /// that they are `percent` of all.
    const fn price(&self) -> u32 {
        100 - self.percent as u32
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { earned: 0, kept: limits::RETRIES_KEPT, percent: limits::RETRY_PERCENT }
    }
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "the retries' share of {percent} % is not within 1 to 99"),
            Self::Kept(kept) => write!(f, "the {kept} retries to keep are not within 1 to 10000"),
        }
    }
}

impl core::error::Error for BudgetError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn it_is_small_and_refuses_nonsense() {
        assert!(size_of::<Budget>() <= 8);
        assert_eq!(Budget::new(20, 10), Ok(Budget::default()));
        assert_eq!(Budget::new(0, 10).unwrap_err().to_string(), "the retries' share of 0 % is not within 1 to 99");
        assert_eq!(Budget::new(100, 10), Err(BudgetError::Percent(100)));
        assert_eq!(Budget::new(20, 0), Err(BudgetError::Kept(0)));
        assert_eq!(
            Budget::new(20, 10_001).unwrap_err().to_string(),
            "the 10001 retries to keep are not within 1 to 10000"
        );
    }

    #[test]
    fn where_there_is_room_it_takes_nothing_from_anybody() {
        let mut budget = Budget::default();
        assert!((0..1000).all(|_| budget.next(false, true) == Some(Next::Retry)));
        assert!((0..1000).all(|_| budget.next(true, false) == Some(Next::Fresh)));
        assert_eq!(budget.next(false, false), None);
        assert_eq!((budget.available(), budget.percent()), (10, 20), "kept for later, and no more");
        let first: Vec<_> = (0..11).filter_map(|_| budget.next(true, true)).collect();
        assert!(first[..10].iter().all(|next| *next == Next::Retry) && first[10] == Next::Fresh);
    }

    proptest! {
        /// In every stretch in which fresh attempts wait all the time, retries are at most their share and what was kept;
        /// and while both wait, not less than their share but for one.
        #[test]
        fn retries_get_their_share_and_no_more(
            percent in 1..100_u8,
            kept in 1..20_u16,
            waits in prop::collection::vec((prop::bool::weighted(0.9), prop::bool::weighted(0.9)), 1..300),
        ) {
            let mut budget = Budget::new(percent, kept).unwrap();
            let started: Vec<_> = waits.iter().map(|(fresh, retry)| budget.next(*fresh, *retry)).collect();
            for first in 0..waits.len() {
                let (mut retries, mut all) = (0, 0);
                for at in first..waits.len() {
                    let ((fresh_waits, retry_waits), next) = (waits[at], started[at]);
                    prop_assert_eq!(next.is_some(), fresh_waits || retry_waits);
                    if !fresh_waits {
                        break;
                    }
                    prop_assert!(next == Some(Next::Fresh) || retry_waits, "only what waits goes");
                    retries += u64::from(next == Some(Next::Retry));
                    all += 1;
                    prop_assert!(retries * 100 <= all * u64::from(percent) + u64::from(kept) * 100);
                }
            }
            for first in 0..waits.len() {
                let (mut retries, mut all) = (0, 0);
                for at in first..waits.len() {
                    if waits[at] != (true, true) {
                        break;
                    }
                    retries += u64::from(started[at] == Some(Next::Retry));
                    all += 1;
                    prop_assert!(retries * 100 + 100 > all * u64::from(percent));
                }
            }
        }
    }
}
