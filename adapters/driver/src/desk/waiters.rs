//! Everybody who waits for an answer.

use std::collections::BTreeMap;
use std::fmt;

use postrider_core::id::{EventId, JournalSeq, TenantId};
use postrider_core::secret::Secret;
use postrider_core::sender::{Change, EventReport, Put, Receipt};

use super::{Receipt as Promise, Registered, Reply};
use crate::error::{CommandError, PublishError, PutError, SettledError};

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
}

type Settled = Reply<Result<EventReport, SettledError>>;

/// Whoever waits, under what they wait for. Each reply is taken out before it is called.
#[derive(Default)]
pub(super) struct Waiters {
    number: u64,
    durable: BTreeMap<(JournalSeq, u64), Due>,
    settled: BTreeMap<(TenantId, EventId), Vec<(u64, Settled)>>,
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

    pub(super) fn settled(&mut self, tenant: &TenantId, event: &EventId, reply: Settled) -> Waiting {
        let (event, number) = ((tenant.clone(), event.clone()), self.next_number());
        self.settled.entry(event.clone()).or_default().push((number, reply));
        Waiting { event, number }
    }

    pub(super) fn give_up(&mut self, waiting: &Waiting) {
        if let Some(replies) = self.settled.get_mut(&waiting.event) {
            replies.retain(|(number, _)| *number != waiting.number);
            if replies.is_empty() {
                self.settled.remove(&waiting.event);
            }
        }
    }

    /// The next answer whose record is durable, in the order of the records.
    pub(super) fn next_durable(&mut self, durable: JournalSeq) -> Option<Due> {
        let first = self.durable.first_entry()?;
        (first.key().0 <= durable).then(|| first.remove())
    }

    /// Answers those who wait for one event, which has ended.
    pub(super) fn answer_settled(
        &mut self,
        tenant: &TenantId,
        event: &EventId,
        report: impl FnOnce() -> Option<EventReport>,
    ) {
        let Some(replies) = self.settled.remove(&(tenant.clone(), event.clone())) else { return };
        let report = report().ok_or_else(|| SettledError::Forgotten(event.clone()));
        for (_, reply) in replies {
            reply(report.clone());
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

    /// Answers those whose events have ended, or are not known any more.
    pub(super) fn check_all(&mut self, report: impl Fn(&TenantId, &EventId) -> Option<EventReport>) {
        let ended = self.settled.keys().filter_map(|(tenant, event)| match report(tenant, event) {
            Some(report) if !report.settled => None,
            found => Some(((tenant.clone(), event.clone()), found)),
        });
        let ended: Vec<_> = ended.collect();
        for ((tenant, event), report) in ended {
            self.answer_settled(&tenant, &event, || report);
        }
    }

    /// Nobody will be answered any more: tells them so.
    pub(super) fn fail(&mut self) {
        for due in std::mem::take(&mut self.durable).into_values() {
            match due {
                Due::Publish(receipt, reply) => reply(Err(PublishError::NotDurable(receipt.event))),
                Due::Put(_, _, reply) => reply(Err(PutError::NotDurable)),
                Due::Command(_, reply) => reply(Err(CommandError::NotDurable)),
            }
        }
        for ((_, event), replies) in std::mem::take(&mut self.settled) {
            for (_, reply) in replies {
                reply(Err(SettledError::Closed(event.clone())));
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
        let settled: usize = self.settled.values().map(Vec::len).sum();
        f.debug_struct("Waiters").field("durable", &self.durable.len()).field("settled", &settled).finish()
    }
}
