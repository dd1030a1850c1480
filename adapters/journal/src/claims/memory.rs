//! Claims that die with their process.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BookLimits, Claim, ClaimBook, ClaimDone, ClaimStore, Claimed, ClaimsStats, Commit, Release, Steady};

/// Claims in memory: answers at once, within the call, and never fails.
///
/// A clone is the same store, for every receiver of a process that is to deliver an event once among them.
#[derive(Clone)]
pub struct MemoryClaims {
    clock: Steady,
    book: Arc<Mutex<ClaimBook>>,
}

impl MemoryClaims {
    /// A store that knows of nothing.
    pub fn new(limits: BookLimits) -> Self {
        let clock = Steady::start();
        Self { clock, book: Arc::new(Mutex::new(ClaimBook::new(limits, clock.now()))) }
    }

    /// How much it knows.
    pub fn stats(&self) -> ClaimsStats {
        ClaimsStats::of(&self.book())
    }

    /// Whoever panicked with it did so between two operations.
    fn book(&self) -> MutexGuard<'_, ClaimBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryClaims {
    fn default() -> Self {
        Self::new(BookLimits::default())
    }
}

impl ClaimStore for MemoryClaims {
    fn claim(&mut self, claim: Claim, done: ClaimDone<Claimed>) {
        let claimed = self.book().claim(self.clock.now(), &claim);
        done(Ok(claimed));
    }

    fn commit(&mut self, commit: Commit, done: ClaimDone<()>) {
        let committed = self.book().commit(self.clock.now(), &commit);
        done(committed);
    }

    fn release(&mut self, release: Release) {
        self.book().release(self.clock.now(), &release);
    }
}

impl fmt::Debug for MemoryClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryClaims").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
