//! Replays: what history keeps is asked for, and given to the machine again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use postrider_core::event::Event;
use postrider_core::id::{EndpointId, EventId, TenantId};
use postrider_core::sender::{
    EventReport, Fate, REPLAYED, Receipt as Accepted, Refused, Replay, ReplayAs, ReplayRefused, Wake,
};
use postrider_core::time::Instant;
use postrider_journal::LogError;
use postrider_journal::history::{Answer, EndedDelivery, HistoryError, Paging, Place, Query};

use super::asked::{Ask, Said};
use super::{Desk, Receipt, Reply};
use crate::error::Error;
use crate::mint;
use crate::replays::{self, OPEN, One, ReplayError, Replayed, Retained};

/// How long a walk rests when the machine has no room for its next replay.
const REST: Duration = Duration::from_secs(1);

/// Deliveries on a page that is walked through.
const AT_ONCE: usize = 128;

/// A question for the sake of a replay.
pub(super) enum Asking {
    /// What is to be sent again.
    One(Box<One>, String, Reply<Result<Receipt, Error>>),
    /// Since when things are kept, because it is not there any more: known at least, or not at all.
    Gone(Box<One>, bool, Reply<Result<Receipt, Error>>),
    /// The next thing that this walk needs to know.
    Walk(u64),
}

/// Everything that is being walked through.
#[derive(Default)]
pub(super) struct Walks {
    number: u64,
    all: BTreeMap<u64, Walk>,
    /// The machine was told something since anybody looked.
    acted: bool,
}

/// One walk.
struct Walk {
    what: Retained,
    name: String,
    /// Only counts.
    dry: bool,
    state: State,
    page: VecDeque<EndedDelivery>,
    next: Option<Place>,
    /// Replays that have not ended.
    open: BTreeSet<EventId>,
    told: Replayed,
    /// Not before this time.
    rests: Option<Instant>,
    reply: Reply<Result<Replayed, Error>>,
}

/// What a walk does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Ask since when payloads are kept.
    Begin,
    /// Ask for the next page.
    Turn,
    /// Replay what is on the page.
    Page { last: bool },
    /// Wait for an answer, and then go on with what was before.
    Asked(Question),
    /// Wait for what is open.
    Wait,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Since,
    Page,
    Event { last: bool },
}

impl Desk {
    /// Sends one event again. Replies when that is durable, or with why not; the log may take a moment to give the event
    /// back.
    pub fn replay(&mut self, one: One, reply: Reply<Result<Receipt, Error>>) {
        let name = match name_of(one.name.as_ref()) {
            Ok(name) => name,
            Err(why) => return reply(Err(why)),
        };
        let query = Query::Event { tenant: one.endpoint.tenant.clone(), event: one.event.clone() };
        self.ask_for_replay(query, Asking::One(Box::new(one), name, reply));
        self.hear_history();
    }

    /// Sends everything again that is kept of this. Replies when all of it has ended, when it was cancelled, or with why
    /// it cannot go on.
    pub fn replay_all(&mut self, what: Retained, reply: Reply<Result<Replayed, Error>>) {
        self.walk(what, false, reply);
    }

    /// Counts what [`replay_all`](Self::replay_all) would find, and sends nothing. Which payloads were erased shows only when
    /// they are read.
    pub fn replay_dry_run(&mut self, what: Retained, reply: Reply<Result<Replayed, Error>>) {
        self.walk(what, true, reply);
    }

    /// Stops what [`replay_all`](Self::replay_all) does under this name, and cancels the replays of it that have not
    /// ended; what has ended stays so. Whether there was one.
    pub fn cancel_replay(&mut self, name: &str) -> bool {
        let found = self.walks.all.iter_mut().find(|(_, walk)| walk.name == name && !walk.dry);
        let Some((number, walk)) = found.filter(|(_, walk)| !walk.told.cut) else { return false };
        walk.told.cut = true;
        walk.told.cancelled = walk.open.len() as u64;
        let (number, tenant) = (*number, walk.what.endpoint.tenant.clone());
        for event in walk.open.clone() {
            // One that has ended meanwhile needs no cancelling.
            let _ = self.machine.cancel(self.clock.now(), &tenant, &event);
        }
        self.walks.acted = true;
        self.step(number);
        true
    }

    fn walk(&mut self, what: Retained, dry: bool, reply: Reply<Result<Replayed, Error>>) {
        let name = match name_of(what.name.as_ref()) {
            Ok(name) => name,
            Err(why) => return reply(Err(why)),
        };
        if self.is_over() {
            return reply(Err(Error::Stopped));
        }
        if self.walks.all.values().any(|walk| walk.name == name && !walk.dry && !dry) {
            return reply(Err(ReplayError::UnderWay(name).into()));
        }
        self.walks.number += 1;
        let walk = Walk {
            told: Replayed { name: name.clone(), ..Replayed::default() },
            what,
            name,
            dry,
            state: State::Begin,
            page: VecDeque::new(),
            next: None,
            open: BTreeSet::new(),
            rests: None,
            reply,
        };
        self.walks.all.insert(self.walks.number, walk);
        self.step(self.walks.number);
        self.hear_history();
    }

    /// The log has answered.
    pub(super) fn hear_for_replay(&mut self, asking: Asking, said: Said) {
        match asking {
            Asking::One(one, name, reply) => self.replay_found(*one, &name, said, reply),
            Asking::Gone(one, known, reply) => reply(Err(match said {
                Ok(Answer::Since(since)) if known => ReplayError::Forgotten { since: since.payloads }.into(),
                Ok(Answer::Since(since)) => ReplayError::Unknown(one.event, since.attempts).into(),
                Ok(_) => other_answer(),
                Err(why) => Error::History(why),
            })),
            Asking::Walk(number) => {
                let taken = self.take_answer(number, said);
                match taken {
                    Ok(()) => self.step(number),
                    Err(why) => self.end_walk(number, Some(why)),
                }
            }
        }
    }

    fn replay_found(&mut self, one: One, name: &str, said: Said, reply: Reply<Result<Receipt, Error>>) {
        let found = match said {
            Ok(Answer::Event(found)) => found,
            Ok(_) => return reply(Err(other_answer())),
            Err(why) => return reply(Err(Error::History(why))),
        };
        if let Some(found) = found.as_ref().filter(|found| found.erased) {
            return reply(Err(ReplayError::Erased(found.event.clone()).into()));
        }
        let known = found.is_some();
        let Some(event) = found.and_then(|found| found.into_event()) else {
            return self.ask_for_replay(Query::Since, Asking::Gone(Box::new(one), known, reply));
        };
        match self.give_again(event, name, (&one.event, &one.endpoint.id), one.how) {
            Ok(receipt) => self.waiters.replay(receipt, name.to_owned(), reply),
            Err(refused) => return reply(Err(ReplayError::Refused(refused).into())),
        }
        self.answer_durable();
    }

    fn give_again(
        &mut self,
        event: Event,
        name: &str,
        (of, endpoint): (&EventId, &EndpointId),
        how: ReplayAs,
    ) -> Result<Accepted, ReplayRefused> {
        self.walks.acted = true;
        let replay = Replay::new(event, name, of.clone(), endpoint.clone(), how);
        self.machine.replay(self.clock.now(), replay)
    }

    fn ask_for_replay(&mut self, query: Query, asking: Asking) {
        self.ask(query, Ask::Replay(asking));
    }

    /// Goes on with every walk that can; whether the machine was told anything.
    pub(super) fn step_walks(&mut self) -> bool {
        let now = self.clock.now().mono;
        let rested = |walk: &Walk| walk.rests.is_none_or(|until| until <= now);
        let ready: Vec<_> = self.walks.all.iter().filter(|(_, walk)| rested(walk)).map(|(number, _)| *number).collect();
        ready.into_iter().for_each(|number| self.step(number));
        std::mem::take(&mut self.walks.acted)
    }

    /// When a walk that rests goes on, if that is before the machine wakes.
    pub(super) fn wake_for_walks(&self, wake: Wake) -> Wake {
        let Some(first) = self.walks.all.values().filter_map(|walk| walk.rests).min() else { return wake };
        match wake {
            Wake::At(at) => Wake::At(at.min(first)),
            Wake::Input => Wake::At(first),
            Wake::Ready | Wake::Closed => wake,
        }
    }
}

impl Desk {
    /// Does what a walk does next, up to where it must wait.
    fn step(&mut self, number: u64) {
        loop {
            let Some(walk) = self.walks.all.get_mut(&number) else { return };
            let query = match walk.state {
                State::Asked(_) => return,
                State::Wait if walk.open.is_empty() => return self.end_walk(number, None),
                State::Wait => return,
                _ if walk.told.cut => {
                    (walk.state, walk.rests) = (State::Wait, None);
                    continue;
                }
                State::Begin => walk.ask(Question::Since, Query::Since),
                State::Turn => {
                    let query = walk.query();
                    walk.ask(Question::Page, query)
                }
                State::Page { last } => {
                    let rests = walk.rests.is_some_and(|until| until > self.clock.now().mono);
                    if rests {
                        return;
                    }
                    walk.rests = None;
                    if walk.open.len() >= OPEN {
                        return;
                    }
                    match walk.page.front().map(|item| item.event.clone()) {
                        None => {
                            walk.state = if last { State::Wait } else { State::Turn };
                            continue;
                        }
                        Some(None) => {
                            walk.page.pop_front();
                            walk.told.gone += 1;
                            continue;
                        }
                        Some(Some(event)) => {
                            let tenant = walk.what.endpoint.tenant.clone();
                            walk.ask(Question::Event { last }, Query::Event { tenant, event })
                        }
                    }
                }
            };
            return self.ask_for_replay(query, Asking::Walk(number));
        }
    }

    /// The answer to what a walk has asked.
    fn take_answer(&mut self, number: u64, said: Said) -> Result<(), Error> {
        let Some(walk) = self.walks.all.get_mut(&number) else { return Ok(()) };
        let State::Asked(question) = walk.state else { return Ok(()) };
        match (question, said.map_err(Error::History)?) {
            _ if walk.told.cut => walk.state = State::Wait,
            (Question::Since, Answer::Since(since)) => {
                let since = since.payloads;
                if walk.what.from.is_some_and(|from| from < since) {
                    return Err(ReplayError::Forgotten { since }.into());
                }
                walk.what.from.get_or_insert(since);
                walk.state = State::Turn;
            }
            (Question::Page, Answer::Deliveries { items, next }) => {
                walk.take_page(items, next);
            }
            (Question::Event { last }, Answer::Event(found)) => {
                walk.state = State::Page { last };
                let Some(item) = walk.page.pop_front() else { return Ok(()) };
                let found = found.filter(|found| found.seq == item.event_seq && !found.erased);
                match found.and_then(|found| found.into_event()) {
                    Some(event) => self.replay_item(number, item, event)?,
                    None => walk.told.gone += 1,
                }
            }
            _ => return Err(other_answer()),
        }
        Ok(())
    }

    fn replay_item(&mut self, number: u64, item: EndedDelivery, event: Event) -> Result<(), Error> {
        let (Some(walk), Some(of)) = (self.walks.all.get(&number), &item.event) else { return Ok(()) };
        let (name, how) = (format!("{}-{}", walk.name, item.event_seq), walk.what.how);
        let tenant = walk.what.endpoint.tenant.clone();
        let told = self.give_again(event, &name, (of, &item.endpoint.id), how);
        let pending = |receipt: &Accepted| self.is_pending(&tenant, &receipt.event);
        let open = told.as_ref().ok().filter(|receipt| pending(receipt)).map(|receipt| receipt.event.clone());
        let until = self.clock.now().mono.saturating_add(REST);
        let Some(walk) = self.walks.all.get_mut(&number) else { return Ok(()) };
        match told {
            Ok(receipt) => {
                walk.told.made += u64::from(receipt.fresh);
                walk.told.before += u64::from(!receipt.fresh);
                walk.open.extend(open);
            }
            Err(why) if why.is_temporary() => {
                walk.page.push_front(item);
                walk.rests = Some(until);
            }
            Err(ReplayRefused::Refused(why)) if !is_the_end(&why) => walk.told.refused += 1,
            Err(why) => return Err(ReplayError::Refused(why).into()),
        }
        Ok(())
    }

    fn is_pending(&self, tenant: &TenantId, event: &EventId) -> bool {
        self.machine.report(tenant, event).is_some_and(|report| !report.settled)
    }

    /// An event has ended.
    pub(super) fn walk_on(&mut self, tenant: &TenantId, event: &EventId) {
        if event.as_str().starts_with(REPLAYED) {
            let report = self.machine.report(tenant, event);
            let walks = self.walks.all.values_mut().filter(|walk| walk.what.endpoint.tenant == *tenant);
            for walk in walks.filter(|walk| walk.open.contains(event)) {
                walk.open.remove(event);
                count(&mut walk.told, report.as_ref());
            }
        }
    }

    /// Nobody was told of some events that ended.
    pub(super) fn check_walks(&mut self) {
        let machine = &self.machine;
        for walk in self.walks.all.values_mut() {
            let tenant = &walk.what.endpoint.tenant;
            let (open, told) = (&mut walk.open, &mut walk.told);
            open.retain(|event| {
                let report = machine.report(tenant, event);
                let waits = report.as_ref().is_some_and(|report| !report.settled);
                if !waits {
                    count(told, report.as_ref());
                }
                waits
            });
        }
    }

    fn end_walk(&mut self, number: u64, why: Option<Error>) {
        if let Some(walk) = self.walks.all.remove(&number) {
            (walk.reply)(why.map_or(Ok(walk.told), Err));
        }
    }

    /// Nothing more can be done for any walk.
    pub(super) fn fail_walks(&mut self) {
        for walk in std::mem::take(&mut self.walks.all).into_values() {
            (walk.reply)(Err(Error::Stopped));
        }
    }
}

impl Walk {
    fn ask(&mut self, question: Question, query: Query) -> Query {
        self.state = State::Asked(question);
        query
    }

    /// The next page.
    fn query(&self) -> Query {
        Query::Endpoint {
            endpoint: self.what.endpoint.clone(),
            ends: self.what.ends.clone(),
            from: self.what.from.unwrap_or_default(),
            to: self.what.to,
            page: Paging { after: self.next, limit: AT_ONCE },
        }
    }

    fn take_page(&mut self, items: Vec<EndedDelivery>, next: Option<Place>) {
        let is_first = |item: &EndedDelivery| !item.event.as_ref().is_some_and(|id| id.as_str().starts_with(REPLAYED));
        for item in items.into_iter().filter(is_first) {
            self.told.found[item.end as usize] += 1;
            if !self.dry {
                self.page.push_back(item);
            } else if item.event.is_none() {
                self.told.gone += 1;
            }
        }
        self.next = next;
        self.state = State::Page { last: next.is_none() };
    }
}

impl fmt::Debug for Walks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walks").field("all", &self.all.len()).finish_non_exhaustive()
    }
}

/// A replay has ended so; it failed as far as anybody can tell when nothing is known of it any more.
fn count(told: &mut Replayed, report: Option<&EventReport>) {
    if told.cut {
        return;
    }
    let is_delivered = |report: &EventReport| report.deliveries.iter().all(|of| of.fate == Fate::Delivered);
    if report.is_some_and(is_delivered) {
        told.delivered += 1;
    } else {
        told.failed += 1;
    }
}

/// The name given, or one that nobody has.
fn name_of(given: Option<&String>) -> Result<String, Error> {
    match given {
        Some(name) => {
            replays::check(name).map_err(ReplayError::Name)?;
            Ok(name.clone())
        }
        None => Ok(mint::event_id().map_err(Error::Entropy)?.as_str()["msg_".len()..].to_owned()),
    }
}

/// Whether no other replay can be accepted either.
fn is_the_end(why: &Refused) -> bool {
    matches!(why, Refused::Closed(_) | Refused::Fenced(_))
}

fn other_answer() -> Error {
    let (place, why) = ("in an answer about history".to_owned(), "it answers another question".to_owned());
    Error::History(HistoryError::Failed(LogError::Damaged { place, why }))
}
