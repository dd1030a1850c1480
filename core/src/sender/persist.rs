//! What goes to the log, in which order, and what has arrived there.

use alloc::collections::VecDeque;
use bytes::BytesMut;
use core::fmt;

use super::contract::{PersistBatch, PersistFailure};
use crate::id::JournalSeq;
use crate::journal::{self, Record};
use crate::limits;
use crate::time::Instant;

/// Records on their way to the log. Every record is held until it is acknowledged.
///
/// Gating records are flushed at the next opportunity and take everything before them along. Lazy ones gather while
/// there is something else to do, up to [`limits::LINGER`] or [`limits::LINGER_RECORDS`] of them, and go when there is
/// not: a process that dies must not forget what it has seen end. Of either kind of batch only so many are handed out
/// and not acknowledged, [`limits::UNACKED_BATCHES`] and [`limits::LAZY_BATCHES`]; what comes meanwhile gathers in the
/// next. They are counted apart because the log takes its time with lazy ones, for which a gating one must not wait.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The last record made.
    last: JournalSeq,
    /// The last record acknowledged.
    durable: JournalSeq,
    open: Open,
    unacked: VecDeque<PersistBatch>,
    /// How many of `unacked` are lazy.
    lazy: usize,
    /// How many of `unacked` have been handed out since the last failure.
    issued: usize,
    /// Bytes of `unacked` and of the open batch.
    held: u64,
    failed: bool,
    full: bool,
    room: Option<u64>,
}

/// The batch that is being filled.
#[derive(Default)]
struct Open {
    bytes: BytesMut,
    first: JournalSeq,
    count: usize,
    gating: bool,
    since: Instant,
}

impl fmt::Debug for Open {
    /// Without the records: they hold secrets and payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("first", &self.first).field("count", &self.count).finish_non_exhaustive()
    }
}

/// What a failure of the log leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The records are issued again.
    Again,
    /// They are issued again when there is room.
    WaitForRoom,
    /// Twice in a row: the end.
    Fence,
    /// Nothing of it is outstanding.
    Stale,
}

impl Outbox {
    pub(crate) fn new(last: JournalSeq) -> Self {
        Self {
            last,
            durable: last,
            open: Open::default(),
            unacked: VecDeque::new(),
            lazy: 0,
            issued: 0,
            held: 0,
            failed: false,
            full: false,
            room: None,
        }
    }

    /// Adds a record and says where it stands.
    pub(crate) fn push(&mut self, now: Instant, record: &Record) -> JournalSeq {
        self.last = self.last.next();
        if self.open.count == 0 {
            self.open.first = self.last;
            self.open.since = now;
        }
        let before = self.open.bytes.len();
        journal::encode(self.last, record, &mut self.open.bytes);
        self.held += (self.open.bytes.len() - before) as u64;
        self.open.count += 1;
        self.open.gating |= record.is_gating();
        self.last
    }

    /// The next batch to hand out, when there is one that must go now. With `flush` there is nothing that lazy records
    /// would wait for.
    #[inline]
    pub(crate) fn issue(&mut self, now: Instant, flush: bool) -> Option<PersistBatch> {
        if self.issued == self.unacked.len() && self.open.count == 0 {
            return None;
        }
        self.issue_next(now, flush)
    }

    fn issue_next(&mut self, now: Instant, flush: bool) -> Option<PersistBatch> {
        if self.full {
            return None;
        }
        if self.issued == self.unacked.len() && self.may_close(now, flush) {
            // What is left of the buffer takes the next records.
            let bytes = self.open.bytes.split().freeze();
            let Open { first, gating, .. } = self.open;
            self.open = Open { bytes: core::mem::take(&mut self.open.bytes), ..Open::default() };
            self.lazy += usize::from(!gating);
            self.unacked.push_back(PersistBatch { first, last: self.last, gating, bytes });
        }
        let batch = self.unacked.get(self.issued)?.clone();
        self.issued += 1;
        Some(batch)
    }

    /// Whether [`issue`](Self::issue) would hand something out.
    pub(crate) fn ready(&self, now: Instant, flush: bool) -> bool {
        !self.full && (self.issued < self.unacked.len() || self.may_close(now, flush))
    }

    fn may_close(&self, now: Instant, flush: bool) -> bool {
        if self.open.count == 0 {
            return false;
        }
        if self.open.gating {
            return self.unacked.len() - self.lazy < limits::UNACKED_BATCHES;
        }
        let due =
            flush || self.open.count >= limits::LINGER_RECORDS || now >= self.open.since.saturating_add(limits::LINGER);
        due && self.lazy < limits::LAZY_BATCHES
    }

    /// Everything up to `seq` is durable. Says whether that is news; an acknowledgement of what was never handed out
    /// counts for what was.
    pub(crate) fn acknowledge(&mut self, seq: JournalSeq) -> bool {
        let mut news = false;
        while self.issued > 0 && self.unacked.front().is_some_and(|batch| batch.last <= seq) {
            let batch = self.unacked.pop_front().expect("it was just looked at");
            self.issued -= 1;
            self.lazy -= usize::from(!batch.gating);
            self.held -= batch.bytes.len() as u64;
            self.room = self.room.map(|room| room.saturating_sub(batch.bytes.len() as u64));
            self.durable = batch.last;
            self.failed = false;
            news = true;
        }
        news
    }

    pub(crate) fn fail(&mut self, from: JournalSeq, why: PersistFailure) -> Failure {
        let outstanding = self.issued > 0 && self.unacked.iter().take(self.issued).any(|batch| batch.last >= from);
        if !outstanding {
            return Failure::Stale;
        }
        self.issued = 0;
        #[cfg(postrider_planted)]
        if crate::planted::breaks(16) {
            self.unacked.pop_front();
        }
        match why {
            PersistFailure::Full => {
                self.full = true;
                Failure::WaitForRoom
            }
            PersistFailure::Broken if self.failed => Failure::Fence,
            PersistFailure::Broken => {
                self.failed = true;
                Failure::Again
            }
        }
    }

    pub(crate) fn set_room(&mut self, bytes: u64) {
        // What is held has not been written, so it still has to fit.
        self.room = Some(bytes);
        if bytes >= self.held {
            self.full = false;
        }
    }

    /// Bytes that the log can take beyond what is held already; `None` without a bound.
    pub(crate) fn room(&self) -> Option<u64> {
        if self.full { Some(0) } else { self.room.map(|room| room.saturating_sub(self.held)) }
    }

    /// Bytes of records that are not acknowledged.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    pub(crate) fn last(&self) -> JournalSeq {
        self.last
    }

    pub(crate) fn durable(&self) -> JournalSeq {
        self.durable
    }

    /// Whether everything made has been acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.count == 0 && self.unacked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    fn gating() -> Record {
        Record::Opened { incarnation: 1, at: UnixTime::EPOCH }
    }

    fn lazy() -> Record {
        Record::Ended { event: JournalSeq::new(1), at: UnixTime::EPOCH }
    }

    #[test]
    fn gating_goes_at_once_and_lazy_when_there_is_nothing_else() {
        let mut outbox = Outbox::new(JournalSeq::ZERO);
        outbox.push(Instant::ORIGIN, &lazy());
        assert!(outbox.issue(Instant::from_millis(4), false).is_none());
        outbox.push(Instant::ORIGIN, &gating());
        let batch = outbox.issue(Instant::ORIGIN, false).unwrap();
        assert_eq!((batch.first, batch.last, batch.gating), (JournalSeq::new(1), JournalSeq::new(2), true));
        outbox.push(Instant::ORIGIN, &lazy());
        assert!(outbox.issue(Instant::from_millis(4), false).is_none());
        assert!(outbox.issue(Instant::from_millis(5), false).is_some(), "it has waited long enough");
        outbox.push(Instant::ORIGIN, &lazy());
        assert!(!outbox.issue(Instant::ORIGIN, true).unwrap().gating);
    }

    #[test]
    fn lazy_batches_that_linger_in_the_log_hold_up_no_gating_one() {
        let mut outbox = Outbox::new(JournalSeq::ZERO);
        for _ in 0..limits::LAZY_BATCHES {
            outbox.push(Instant::ORIGIN, &lazy());
            assert!(outbox.issue(Instant::ORIGIN, true).is_some());
        }
        let last = outbox.push(Instant::ORIGIN, &lazy());
        assert!(!outbox.ready(Instant::from_millis(9), true), "more of them gather");
        for _ in 0..limits::UNACKED_BATCHES {
            outbox.push(Instant::ORIGIN, &gating());
            assert!(outbox.issue(Instant::ORIGIN, false).is_some());
        }
        outbox.push(Instant::ORIGIN, &gating());
        assert!(!outbox.ready(Instant::ORIGIN, true));
        assert!(!outbox.acknowledge(JournalSeq::new(0)) && outbox.acknowledge(last.next()));
        assert!(outbox.ready(Instant::ORIGIN, false));
    }

    #[test]
    fn a_broken_log_gets_the_same_records_once_more_and_then_never() {
        let mut outbox = Outbox::new(JournalSeq::ZERO);
        let seq = outbox.push(Instant::ORIGIN, &gating());
        let first = outbox.issue(Instant::ORIGIN, false).unwrap();
        assert_eq!(outbox.fail(seq, PersistFailure::Broken), Failure::Again);
        let again = outbox.issue(Instant::ORIGIN, false).unwrap();
        assert_eq!(first.bytes, again.bytes);
        assert_eq!(outbox.fail(seq, PersistFailure::Broken), Failure::Fence);
    }

    #[test]
    fn a_full_log_waits_for_room() {
        let mut outbox = Outbox::new(JournalSeq::ZERO);
        let seq = outbox.push(Instant::ORIGIN, &gating());
        let batch = outbox.issue(Instant::ORIGIN, false).unwrap();
        assert_eq!(outbox.fail(seq, PersistFailure::Full), Failure::WaitForRoom);
        outbox.set_room(batch.bytes.len() as u64 - 1);
        assert!(outbox.issue(Instant::ORIGIN, false).is_none());
        outbox.set_room(batch.bytes.len() as u64);
        assert_eq!(outbox.issue(Instant::ORIGIN, false).unwrap().bytes, batch.bytes);
        assert!(outbox.acknowledge(seq) && outbox.is_empty());
        assert!(!outbox.acknowledge(seq), "a repeated acknowledgement is no news");
    }

    #[test]
    fn an_acknowledgement_covers_only_what_was_handed_out() {
        let mut outbox = Outbox::new(JournalSeq::ZERO);
        outbox.push(Instant::ORIGIN, &gating());
        assert!(!outbox.acknowledge(JournalSeq::new(9)));
        assert_eq!(outbox.durable(), JournalSeq::ZERO);
    }
}
