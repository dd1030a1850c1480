//! Everybody who waits for an answer.

use std::collections::BTreeMap;
use std::fmt;

use postrider_core::id::{EventId, JournalSeq, TenantId};
use postrider_core::registration::consent::ConsentReason;
use postrider_core::secret::Secret;
use postrider_core::sender::{Change, EventReport, Put, Receipt};

use super::{Receipt as Promise, Registered, Reply, SyncReport};
use crate::error::{CommandError, Error, PublishError, PutError, SettledError, SyncError};
use crate::replays::ReplayError;

/// Somebody who waits for an event to settle; see [`Desk::give_up`](super::Desk::give_up).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "whoever stops waiting must give up"]
pub struct Waiting {
    event: (TenantId, EventId),
    number: u64,
}

/// An answer that only waits for a record to be durable.
pub(super) enum Due {
    Publish(Receipt, Reply<Result<Promise, PublishError>>),
    Put(Put, Option<Secret>, Reply<Result<Registered, PutError>>),
    Command(Change, Reply<Result<Change, CommandError>>),
    Called(ConsentReason, Reply<Result<ConsentReason, CommandError>>),
    Sync(SyncReport, Reply<Result<SyncReport, SyncError>>),
    Replay(Receipt, String, Reply<Result<Promise, Error>>),
}

type Settled = Reply<Result<EventReport, SettledError>>;

/// Those who wait for one event to settle.
#[derive(Default)]
struct Ending {
    /// The log's history has been asked for the event, which the machine does not know.
    asked: bool,
    waiters: Vec<Waiter>,
}

struct Waiter {
    number: u64,
    /// The machine knew the event when the waiting began.
    known: bool,
    reply: Settled,
}

/// Whoever waits, under what they wait for. Each reply is taken out before it is called.
#[derive(Default)]
pub(super) struct Waiters {
    number: u64,
    durable: BTreeMap<(JournalSeq, u64), Due>,
    settled: BTreeMap<(TenantId, EventId), Ending>,
    /// Notices were folded: whoever waits for an event is looked at again.
    check: Option<Check>,
}

/// A notice that was not kept may be about an end whose record was still on its way to the log.
struct Check {
    /// What was durable the last time.
    seen: JournalSeq,
    /// With this record durable, nobody is left whose notice can have been among those folded.
    until: JournalSeq,
}

impl Waiters {
    pub(super) fn publish(&mut self, receipt: Receipt, reply: Reply<Result<Promise, PublishError>>) {
        self.add(receipt.seq, Due::Publish(receipt, reply));
    }

    pub(super) fn put(&mut self, put: Put, minted: Option<Secret>, reply: Reply<Result<Registered, PutError>>) {
        self.add(put.change().seq, Due::Put(put, minted, reply));
    }

    pub(super) fn command(&mut self, change: Change, reply: Reply<Result<Change, CommandError>>) {
        self.add(change.seq, Due::Command(change, reply));
    }

    pub(super) fn called(
        &mut self,
        seq: JournalSeq,
        reason: ConsentReason,
        reply: Reply<Result<ConsentReason, CommandError>>,
    ) {
        self.add(seq, Due::Called(reason, reply));
    }

    pub(super) fn sync(&mut self, report: SyncReport, reply: Reply<Result<SyncReport, SyncError>>) {
        self.add(report.done.change.seq, Due::Sync(report, reply));
    }

    pub(super) fn replay(&mut self, receipt: Receipt, name: String, reply: Reply<Result<Promise, Error>>) {
        self.add(receipt.seq, Due::Replay(receipt, name, reply));
    }

    /// Somebody waits for an event to settle; `known` says whether the machine knows of it.
    pub(super) fn settled(&mut self, tenant: &TenantId, event: &EventId, known: bool, reply: Settled) -> Waiting {
        let (event, number) = ((tenant.clone(), event.clone()), self.next_number());
        self.settled.entry(event.clone()).or_default().waiters.push(Waiter { number, known, reply });
        Waiting { event, number }
    }

    /// Whether this one has not been answered yet.
    pub(super) fn is_waiting(&self, waiting: &Waiting) -> bool {
        let ending = self.settled.get(&waiting.event);
        ending.is_some_and(|ending| ending.waiters.iter().any(|waiter| waiter.number == waiting.number))
    }

    pub(super) fn give_up(&mut self, waiting: &Waiting) {
        if let Some(ending) = self.settled.get_mut(&waiting.event) {
            ending.waiters.retain(|waiter| waiter.number != waiting.number);
            if ending.waiters.is_empty() {
                self.settled.remove(&waiting.event);
            }
        }
    }

    /// Marks an event as asked for in the log's history, or as asked no more. Whether that is news to somebody who
    /// waits.
    pub(super) fn mark_asked(&mut self, tenant: &TenantId, event: &EventId, asked: bool) -> bool {
        let ending = self.settled.get_mut(&(tenant.clone(), event.clone()));
        ending.is_some_and(|ending| std::mem::replace(&mut ending.asked, asked) != asked)
    }

    /// The next answer whose record is durable, in the order of the records.
    pub(super) fn next_durable(&mut self, durable: JournalSeq) -> Option<Due> {
        let first = self.durable.first_entry()?;
        (first.key().0 <= durable).then(|| first.remove())
    }

    /// Answers those who wait for one event, which has ended: with its report, or with why there is none, given whether
    /// the event was known when the waiting began.
    pub(super) fn answer_settled(
        &mut self,
        tenant: &TenantId,
        event: &EventId,
        report: impl Fn(bool) -> Result<EventReport, SettledError>,
    ) {
        let ending = self.settled.remove(&(tenant.clone(), event.clone()));
        for waiter in ending.into_iter().flat_map(|ending| ending.waiters) {
            (waiter.reply)(report(waiter.known));
        }
    }

    /// Has everybody who waits for an event looked at again, now and as records become durable, up to `until`.
    pub(super) fn check_until(&mut self, until: JournalSeq) {
        self.check = Some(Check { seen: JournalSeq::ZERO, until });
    }

    /// Whether it is time for that.
    pub(super) fn take_check(&mut self, durable: JournalSeq) -> bool {
        let Some(check) = &mut self.check else { return false };
        let news = check.seen < durable;
        check.seen = durable;
        self.check.take_if(|check| check.until <= durable);
        news
    }

    /// The events that somebody waits for.
    pub(super) fn awaited(&self) -> Vec<(TenantId, EventId)> {
        self.settled.keys().cloned().collect()
    }

    /// Nobody will be answered any more: tells them so.
    pub(super) fn fail(&mut self) {
        for due in std::mem::take(&mut self.durable).into_values() {
            match due {
                Due::Publish(receipt, reply) => reply(Err(PublishError::NotDurable(receipt.event))),
                Due::Put(_, _, reply) => reply(Err(PutError::NotDurable)),
                Due::Command(_, reply) => reply(Err(CommandError::NotDurable)),
                Due::Called(_, reply) => reply(Err(CommandError::NotDurable)),
                Due::Sync(_, reply) => reply(Err(SyncError::NotDurable)),
                Due::Replay(_, name, reply) => reply(Err(ReplayError::NotDurable(name).into())),
            }
        }
        for ((_, event), ending) in std::mem::take(&mut self.settled) {
            for waiter in ending.waiters {
                (waiter.reply)(Err(SettledError::Closed(event.clone())));
            }
        }
    }

    /// Whether nobody waits for the log.
    #[cfg(test)]
    pub(super) fn is_durable(&self) -> bool {
        self.durable.is_empty()
    }

    fn add(&mut self, seq: JournalSeq, due: Due) {
        let number = self.next_number();
        self.durable.insert((seq, number), due);
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled: usize = self.settled.values().map(|ending| ending.waiters.len()).sum();
        f.debug_struct("Waiters").field("durable", &self.durable.len()).field("settled", &settled).finish()
    }
}
