//! Where receivers keep which events they have claimed and which are over, so that several of them, or one before and
//! after a restart, deliver an event once between them: the trait, a store in memory, and one in a directory.
//!
//! What a store answers is the same for all of them, and is said by [`ClaimBook`].
//!
//! ```
//! use std::time::Duration;
//! use postrider_core::receiver::{Claim, Claimed, Ending};
//! use postrider_journal::claims::{ClaimStore, MemoryClaims};
//!
//! let mut claims = MemoryClaims::new(Default::default());
//! let event = Claim::new("0:msg_1", Duration::from_secs(30));
//! let (tell, told) = std::sync::mpsc::channel();
//! claims.claim(event.clone(), Box::new(move |claimed| tell.send(claimed).expect("somebody listens")));
//! let Ok(Ok(Claimed::Granted { token, .. })) = told.recv() else { panic!("nobody else wants it") };
//!
//! // It is processed; then it is over, for every clone.
//! claims.commit(event.commit(token, Ending::Done), Box::new(|committed| assert_eq!(committed, Ok(()))));
//! claims.clone().claim(event, Box::new(|claimed| assert_eq!(claimed, Ok(Claimed::Over(Ending::Done)))));
//! ```

mod bytes;
mod error;
mod file;
mod memory;
mod store;
#[cfg(test)]
mod tests;
mod worker;

use std::time::Instant;

use postrider_core::receiver::book::{BookLimits, ClaimBook};
use postrider_core::receiver::{Claim, ClaimError, Claimed, Commit, Release};
use postrider_core::time::UnixTime;

pub use self::error::{ClaimDamage, OpenClaimsError};
pub use self::file::FileClaims;
pub use self::memory::MemoryClaims;
pub use self::store::{ClaimFile, ClaimOptions, ClaimsFound, Pending};

/// How a store answers: called once, from any thread, within the call or later. Dropping it without calling it is as good
/// as [`ClaimError::Unavailable`]; a driver treats it so.
pub type ClaimDone<T> = Box<dyn FnOnce(Result<T, ClaimError>) + Send>;

/// Where claims go.
///
/// One thread at a time calls a store, and none of its methods may block for long: the receiver's drain waits meanwhile.
/// What it does with a claim, a commit and a release is what [`ClaimBook`] does; a store that outlives its process answers
/// a commit only when that is durable.
pub trait ClaimStore: Send + 'static {
    /// Claims an event.
    fn claim(&mut self, claim: Claim, done: ClaimDone<Claimed>);

    /// Ends a claim for good.
    fn commit(&mut self, commit: Commit, done: ClaimDone<()>);

    /// Gives a claim back. One that is lost is made up by the claim's lease.
    fn release(&mut self, release: Release);
}

impl ClaimStore for Box<dyn ClaimStore> {
    fn claim(&mut self, claim: Claim, done: ClaimDone<Claimed>) {
        (**self).claim(claim, done);
    }

    fn commit(&mut self, commit: Commit, done: ClaimDone<()>) {
        (**self).commit(commit, done);
    }

    fn release(&mut self, release: Release) {
        (**self).release(release);
    }
}

/// How much a store knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimsStats {
    /// Claims in progress.
    pub held: usize,
    /// Events that have ended.
    pub remembered: usize,
    /// Lines whose last place is known.
    pub lines: usize,
    /// Events that were over and were forgotten before their window had passed, because there were more than
    /// [`BookLimits::ids`].
    pub forgotten_early: u64,
}

impl ClaimsStats {
    fn of(book: &ClaimBook) -> Self {
        Self {
            held: book.held(),
            remembered: book.remembered(),
            lines: book.lines(),
            forgotten_early: book.forgotten_early(),
        }
    }
}

/// The time of the wall when this was made, and since then that of a clock that nobody sets: a lease is as long as it says
/// whatever becomes of the wall's.
#[derive(Clone, Copy, Debug)]
struct Steady {
    wall: UnixTime,
    since: Instant,
}

impl Steady {
    fn start() -> Self {
        Self { wall: crate::file_log::wall(), since: Instant::now() }
    }

    fn now(&self) -> UnixTime {
        self.wall.saturating_add(self.since.elapsed())
    }
}

/// An error for whoever waits.
fn unavailable(why: &str) -> ClaimError {
    ClaimError::Unavailable { why: why.into() }
}
