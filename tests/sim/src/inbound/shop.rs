//! The store of claims that all receivers of a world share: what every store of claims means, over a log whose end is lost
//! in a crash.

use postrider_core::receiver::book::{BookLimits, BookRecord, ClaimBook};
use postrider_core::receiver::{Claim, ClaimError, Claimed, Commit, Release};
use postrider_core::time::UnixTime;

/// The store.
#[derive(Debug)]
pub(super) struct Shop {
    book: ClaimBook,
    log: Vec<BookRecord>,
    synced: usize,
    /// How often it has crashed.
    pub(super) incarnation: u32,
}

impl Shop {
    pub(super) fn new(now: UnixTime) -> Self {
        Self { book: ClaimBook::new(BookLimits::default(), now), log: Vec::new(), synced: 0, incarnation: 0 }
    }

    /// The answer, and how much must be synced before it is given.
    pub(super) fn claim(&mut self, now: UnixTime, claim: &Claim) -> (Claimed, usize) {
        let claimed = self.book.claim(now, claim);
        (claimed, self.write())
    }

    pub(super) fn commit(&mut self, now: UnixTime, commit: &Commit) -> (Result<(), ClaimError>, usize) {
        let committed = self.book.commit(now, commit);
        (committed, self.write())
    }

    pub(super) fn release(&mut self, now: UnixTime, release: &Release) {
        self.book.release(now, release);
        self.write();
    }

    fn write(&mut self) -> usize {
        let Some(record) = self.book.change() else { return 0 };
        let gates = record.is_gating();
        self.log.push(record);
        if gates { self.log.len() } else { 0 }
    }

    /// Everything up to here is durable.
    pub(super) fn sync(&mut self, to: usize) {
        self.synced = self.synced.max(to.min(self.log.len()));
    }

    /// What was not synced is lost, and the book is made again of the rest.
    pub(super) fn crash(&mut self, now: UnixTime) {
        self.log.truncate(self.synced);
        self.incarnation += 1;
        let next = self.book.next_token();
        self.book = ClaimBook::new(BookLimits::default(), now);
        self.book.apply(BookRecord::Tokens { next });
        for record in &self.log {
            self.book.apply(record.clone());
        }
    }
}
