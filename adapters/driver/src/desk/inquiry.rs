//! What has become of events: asked of the machine first, and of the log where the machine has forgotten.

use postrider_core::id::{EndpointKey, EventId, TenantId};
use postrider_core::sender::EventReport;
use postrider_journal::history::{Answer, HistoryError, Query};

use super::asked::{Ask, Said};
use super::replaying::Asking;
use super::{Desk, Reply, Waiting};
use crate::error::{Error, SettledError};
use crate::reported;
use crate::story::DeliveryStory;

impl Desk {
    /// Waits until all deliveries of an event have ended, durably. Replies at once if they have, or if neither the machine
    /// nor the log's history knows the event; the log may take a moment to say so.
    ///
    /// Whoever waits no longer says so with [`give_up`](Self::give_up), since an event may take days; `None` when the
    /// reply has been called already.
    pub fn settled(
        &mut self,
        tenant: &TenantId,
        event: &EventId,
        reply: Reply<Result<EventReport, SettledError>>,
    ) -> Option<Waiting> {
        let report = self.machine.report(tenant, event);
        let known = report.is_some();
        let ended = report.filter(|report| report.settled);
        if let Some(report) = ended.as_ref().filter(|report| self.saw_all_of(report)) {
            reply(Ok(report.clone()));
            return None;
        }
        if self.is_over() {
            reply(Err(SettledError::Closed(event.clone())));
            return None;
        }
        let waiting = self.waiters.settled(tenant, event, known, reply);
        if !known || ended.is_some() {
            self.ask_how_it_ended(tenant, event);
            self.hear_history();
        }
        self.waiters.is_waiting(&waiting).then_some(waiting)
    }

    /// Says what has become of an event: from the machine while it knows it, else from the log's history. `None` when
    /// neither does.
    pub fn report(&mut self, tenant: &TenantId, event: &EventId, reply: Reply<Result<Option<EventReport>, Error>>) {
        let report = self.machine.report(tenant, event);
        if let Some(report) = report.filter(|report| !report.settled || self.saw_all_of(report)) {
            return reply(Ok(Some(report)));
        }
        let query = Query::Event { tenant: tenant.clone(), event: event.clone() };
        self.ask(query, Ask::Report(tenant.clone(), event.clone(), reply));
        self.hear_history();
    }

    /// Says how one delivery stands, why, and what would change it, from the machine; and every attempt that was made, from
    /// the log's history. `None` when neither knows it. Fails only if the log has a history and cannot read it.
    pub fn explain_delivery(
        &mut self,
        endpoint: &EndpointKey,
        event: &EventId,
        reply: Reply<Result<Option<DeliveryStory>, Error>>,
    ) {
        let query = Query::Event { tenant: endpoint.tenant.clone(), event: event.clone() };
        self.ask(query, Ask::Story(endpoint.clone(), event.clone(), reply));
        self.hear_history();
    }

    /// Asks the log what has ended. [`Question`](crate::questions::Question) is the typed form.
    pub fn history(&mut self, query: Query, reply: Reply<Result<Answer, Error>>) {
        self.ask(query, Ask::Query(reply));
        self.hear_history();
    }

    /// Forgets somebody who waits for an event to settle; the reply is dropped without being called.
    pub fn give_up(&mut self, waiting: Waiting) {
        self.waiters.give_up(&waiting);
    }

    /// Answers those who wait for an event if it has ended.
    pub(super) fn look_again(&mut self, tenant: &TenantId, event: &EventId) {
        match self.machine.report(tenant, event) {
            Some(report) if report.settled && self.saw_all_of(&report) => {
                self.waiters.answer_settled(tenant, event, |_| Ok(report.clone()));
            }
            Some(report) if !report.settled => {}
            Some(_) | None => self.ask_how_it_ended(tenant, event),
        }
    }

    /// Whether the machine has seen every delivery of an event end: of one that is older than this opening of the log,
    /// some may have ended before, and only the log knows how.
    fn saw_all_of(&self, report: &EventReport) -> bool {
        self.opened.is_none_or(|opened| opened < report.accepted)
    }

    /// Asks the log for an event that somebody waits for and the machine does not know; once at a time.
    fn ask_how_it_ended(&mut self, tenant: &TenantId, event: &EventId) {
        if self.waiters.mark_asked(tenant, event, true) {
            let (tenant, event) = (tenant.clone(), event.clone());
            let query = Query::Event { tenant: tenant.clone(), event: event.clone() };
            self.ask(query, Ask::Settled(tenant, event));
        }
    }

    pub(super) fn ask(&mut self, query: Query, ask: Ask) {
        if self.is_over() {
            return ended(ask);
        }
        let answered = self.asked.ask(ask, &self.facts);
        self.log.history(query, answered);
    }

    pub(super) fn hear_history(&mut self) {
        while let Some((ask, said)) = self.asked.next() {
            match ask {
                Ask::Query(reply) => reply(said.map_err(Error::History)),
                Ask::Replay(asking) => self.hear_for_replay(asking, said),
                Ask::Report(tenant, event, reply) => {
                    // It may have been published meanwhile.
                    let report = best(self.machine.report(&tenant, &event), said);
                    reply(report.map_err(Error::History));
                }
                Ask::Story(endpoint, event, reply) => reply(self.story(endpoint, event, said)),
                Ask::Settled(tenant, event) => self.said_how_it_ended(&tenant, &event, said),
            }
        }
    }

    /// What is known of a delivery by now, and what the log said of it.
    fn story(&self, endpoint: EndpointKey, event: EventId, said: Said) -> Result<Option<DeliveryStory>, Error> {
        let kept = match said {
            Ok(Answer::Event(found)) => Some(found),
            Ok(_) | Err(HistoryError::NotKept) => None,
            Err(why) => return Err(Error::History(why)),
        };
        let now = self.machine.explain_delivery(&endpoint, &event);
        Ok(DeliveryStory::join((endpoint, event), now, kept))
    }

    fn said_how_it_ended(&mut self, tenant: &TenantId, event: &EventId, said: Said) {
        self.waiters.mark_asked(tenant, event, false);
        let report = self.machine.report(tenant, event);
        if report.as_ref().is_some_and(|report| !report.settled) {
            return;
        }
        let found = best(report, said);
        self.waiters.answer_settled(tenant, event, |known| match &found {
            Ok(Some(report)) if report.settled => Ok(report.clone()),
            Ok(None) if !known => Err(SettledError::Unknown(event.clone())),
            // What is not the machine's any more has ended, although that is not in the log's history.
            Ok(_) => Err(SettledError::Forgotten(event.clone())),
            Err(why) => Err(SettledError::Unreadable { event: event.clone(), why: why.clone() }),
        });
    }
}

/// What is known of an event from the machine and from the log: the log's word for one that has ended, if that is whole.
fn best(report: Option<EventReport>, said: Said) -> Result<Option<EventReport>, HistoryError> {
    let found = match said {
        Ok(Answer::Event(found)) => found,
        Ok(_) | Err(HistoryError::NotKept) => None,
        Err(why) => return report.map(Some).ok_or(why),
    };
    let Some(report) = report else { return Ok(found.map(|history| reported::report_of(&history))) };
    let whole = found.filter(|history| report.settled && history.ended.is_some() && history.more == 0);
    Ok(Some(whole.map_or(report, |history| reported::report_of(&history))))
}

/// Answers a question that the log does not answer any more.
pub(super) fn ended(ask: Ask) {
    match ask {
        Ask::Query(reply) => reply(Err(Error::Stopped)),
        Ask::Report(_, _, reply) => reply(Err(Error::Stopped)),
        Ask::Story(_, _, reply) => reply(Err(Error::Stopped)),
        // Those who wait are answered on their own.
        Ask::Settled(..) | Ask::Replay(Asking::Walk(_)) => {}
        Ask::Replay(Asking::One(_, _, reply) | Asking::Gone(_, _, reply)) => reply(Err(Error::Stopped)),
    }
}
