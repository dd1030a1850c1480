//! Whoever asks a node about the past: one event, lists page by page, counts.

use postrider_core::id::{EndpointId, EndpointKey, JournalSeq, TenantId};
use postrider_core::journal::Then;
use postrider_core::response::TransportError;
use postrider_core::time::UnixTime;
use postrider_journal::history::{
    Answer, AttemptHistory, End, EndedDelivery, EventHistory, HistoryError, Paging, Place, Query,
};

use crate::observe::{Came, Ended, Fate, List, Look as _, Of, Past, Question, Recalled, Seen, Spot, Try};

use super::node::{Looking, number};
use super::{Happening, World};

/// Entries of a page, where everything is read.
const PAGE: usize = 200;

/// Pages of one list, where everything is read: then something goes round in circles.
const PAGES: usize = 10_000;

/// Events that are asked for at the end, of those that are to be forgotten and of all.
const LAST_EVENTS: u64 = 200;

/// A list that is being read, a page now and then.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    node: u32,
    of: Of,
    ends: Vec<Fate>,
    from: u64,
    to: u64,
    next: Spot,
}

impl World {
    pub(super) fn begin_reading(&mut self) {
        let first = self.streams.reader.about(self.profile.reads);
        self.schedule.at(self.now.after(first), Happening::Read);
    }

    /// Somebody wants to know something, and will want to know the next thing some time later.
    pub(super) fn read(&mut self) {
        let gap = self.streams.reader.about(self.profile.reads);
        self.schedule.at(self.now.after(gap), Happening::Read);
        let node = u32::try_from(self.streams.reader.below(self.profile.nodes.into())).expect("a node");
        if !self.can_read(node) {
            return;
        }
        match self.streams.reader.below(32) {
            0 => self.audit(node),
            1..12 => self.read_on(node),
            12..22 => self.read_event(),
            _ => self.read_forgotten(1),
        }
    }

    fn can_read(&self, node: u32) -> bool {
        let node = &self.nodes[node as usize];
        self.profile.asks && node.up.is_some() && node.frozen.is_none()
    }

    /// After a restart: is what was forgotten still so?
    pub(super) fn read_after_start(&mut self, node: u32) {
        if self.can_read(node) {
            self.read_forgotten(4);
            self.read_event();
        }
    }

    /// At the end: all that can be counted, and many events.
    pub(super) fn read_at_end(&mut self) {
        if !self.profile.asks {
            return;
        }
        for node in 0..self.profile.nodes {
            self.audit(node);
        }
        self.read_forgotten(LAST_EVENTS);
        for _ in 0..LAST_EVENTS.min(self.next_event) {
            self.read_event();
        }
    }

    fn read_event(&mut self) {
        let young = self.streams.reader.once_in(2);
        let back = match young {
            true => self.streams.reader.about(20).min(self.next_event),
            false => self.streams.reader.below(self.next_event) + 1,
        };
        if let Some(event) = self.next_event.checked_sub(back) {
            self.ask_event(event);
        }
    }

    /// Asks for events that somebody wished forgotten, and for their neighbours, whom a purge may have meant.
    fn read_forgotten(&mut self, most: u64) {
        for _ in 0..most.min(self.forgotten.len() as u64) {
            let event = *self.streams.reader.pick(&self.forgotten);
            let back = if self.streams.reader.once_in(2) { self.streams.reader.below(8) } else { 0 };
            self.ask_event(event.saturating_sub(back));
        }
    }

    fn ask_event(&mut self, event: u64) {
        let (node, tenant) = (self.node_of_event(event), self.tenant_of_event(event));
        if !self.can_read(node) {
            return;
        }
        let mut pending = false;
        Looking::at(&self.nodes, &self.replays).report(node, tenant, event, &mut |report| {
            pending = report.rows.iter().any(|row| !row.fate.is_final());
        });
        let id = self.replays.id(event);
        self.ask(
            node,
            Question::Event { tenant, event },
            &Query::Event { tenant: tenant_id(tenant), event: id },
            pending,
        );
    }

    /// The next page of a list that is being read, or the first of another.
    fn read_on(&mut self, node: u32) {
        let walk = self.walk.take().filter(|walk| walk.node == node && !self.streams.reader.once_in(8));
        let (walk, after) = match walk {
            Some(walk) => {
                let after = Some(walk.next);
                (walk, after)
            }
            None => match self.new_walk(node) {
                Some(walk) => (walk, None),
                None => return,
            },
        };
        let limit = usize::try_from(self.streams.reader.between(1, 20)).expect("it is small");
        let list = List { of: walk.of, ends: &walk.ends, from: walk.from, to: walk.to, after, limit };
        let next = self.page(node, &list);
        self.walk = next.map(|next| Walk { next, ..walk });
    }

    fn new_walk(&mut self, node: u32) -> Option<Walk> {
        let rng = &mut self.streams.reader;
        let mine: Vec<_> = self.places.iter().filter(|place| place.node == node).collect();
        if mine.is_empty() {
            return None;
        }
        let place = *rng.pick(&mine);
        let of = match rng.below(8) {
            0 => Of::AllDeadLetters,
            1 | 2 => Of::DeadLetters(place.spec.tenant),
            _ => Of::Endpoint(place.spec.endpoint),
        };
        let ends: Vec<_> = match rng.below(3) {
            0 => FATES.into_iter().filter(|_| rng.once_in(2)).collect(),
            _ => Vec::new(),
        };
        let ends = if matches!(of, Of::Endpoint(_)) { ends } else { Vec::new() };
        let wall = self.nodes[node as usize].clock.at(self.now).wall;
        let span = rng.about(6 * 3_600_000);
        let (from, to) = match rng.below(3) {
            0 => (wall.saturating_sub(span), wall.saturating_sub(span / 4)),
            _ => (0, u64::MAX),
        };
        Some(Walk { node, of, ends, from, to, next: Spot { at: 0, record: 0 } })
    }

    /// Reads everything at one moment: every list to its end, and the counts, which must agree.
    fn audit(&mut self, node: u32) {
        let of_node = self.places.iter().filter(|place| place.node == node);
        let mut lists: Vec<_> = of_node.clone().map(|place| Of::Endpoint(place.spec.endpoint)).collect();
        let mut tenants: Vec<_> = of_node.map(|place| place.spec.tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        lists.extend(tenants.into_iter().map(Of::DeadLetters));
        lists.push(Of::AllDeadLetters);
        for of in lists {
            let mut list = List { of, ends: &[], from: 0, to: u64::MAX, after: None, limit: PAGE };
            for _ in 0..PAGES {
                list.after = self.page(node, &list);
                if list.after.is_none() || self.broken.is_some() {
                    break;
                }
            }
        }
        self.ask(node, Question::Counts, &Query::Counts, false);
    }

    /// Asks for a page, and says where the next begins.
    fn page(&mut self, node: u32, list: &List<'_>) -> Option<Spot> {
        let page = Paging { after: list.after.map(place_of), limit: list.limit };
        let (from, to) = (UnixTime::from_millis(list.from), UnixTime::from_millis(list.to));
        let query = match list.of {
            Of::Endpoint(number) => {
                let tenant = tenant_id(self.places[number as usize].spec.tenant);
                let endpoint = EndpointKey { tenant, id: EndpointId::new(format!("p{number}")).expect("a name") };
                let ends = list.ends.iter().filter_map(|fate| FATES.iter().position(|other| other == fate));
                Query::Endpoint { endpoint, ends: ends.map(|at| End::ALL[at]).collect(), from, to, page }
            }
            Of::DeadLetters(tenant) => Query::Exhausted { tenant: tenant_id(tenant), from, to, page },
            Of::AllDeadLetters => Query::GivenUp { from, to, page },
        };
        self.ask(node, Question::List(*list), &query, false)
    }

    /// Asks a node, and shows everybody what it answers; of a page, where the next begins.
    fn ask(&mut self, node: u32, question: Question<'_>, query: &Query, pending: bool) -> Option<Spot> {
        let clocks = self.clocks(node);
        let process = self.nodes[node as usize].up.as_mut()?;
        let answer = process.store.history(query, UnixTime::from_millis(clocks.wall));
        let (text, items, tries);
        let mut next = None;
        let recalled = match &answer {
            Err(HistoryError::NotKept) => return None,
            Err(why) => {
                text = why.to_string();
                Recalled::Failed(&text)
            }
            Ok(Answer::Event(None)) => Recalled::Event(None),
            Ok(Answer::Event(Some(event))) => {
                tries = event.attempts.iter().map(plain_try).collect::<Vec<_>>();
                Recalled::Event(Some(plain(event, &tries)))
            }
            Ok(Answer::Deliveries { items: found, next: behind }) => {
                items = found.iter().map(plain_ended).collect::<Vec<_>>();
                next = behind.map(spot_of);
                Recalled::Page { items: &items, next }
            }
            Ok(Answer::Counts(counts)) => Recalled::Counts(counts.ended),
            Ok(_) => Recalled::Failed("an answer of a kind that is not known here"),
        };
        self.see(&Seen::Read { node, clocks, question, recalled, pending });
        if let Ok(Answer::Event(Some(event))) = answer {
            self.may_replay(*event);
        }
        next
    }

    /// Compacts a copy of the disk of each node from which somebody wished something forgotten.
    pub(super) fn compact_copies(&mut self) {
        if self.forgotten.is_empty() {
            return;
        }
        for node in 0..self.profile.nodes {
            let owner = &self.nodes[node as usize];
            if owner.damaged || owner.torn {
                continue;
            }
            let copy = owner.disk.deep_clone();
            let wall = UnixTime::from_millis(self.clocks(node).wall);
            match self.cast.stores.compact(&copy, &self.profile, wall) {
                Ok(true) => self.nodes[node as usize].compacted = Some(copy),
                Ok(false) => {}
                Err(why) => {
                    let what = format!("what a process has at rest cannot be compacted: {why}");
                    return self.break_off(crate::observe::Broken::new(18, what));
                }
            }
        }
    }
}

const FATES: [Fate; 7] =
    [Fate::Delivered, Fate::Exhausted, Fate::Refused, Fate::Discarded, Fate::Expired, Fate::Lost, Fate::Superseded];

fn tenant_id(tenant: u32) -> TenantId {
    TenantId::new(format!("t{tenant}")).expect("a name")
}

fn place_of(spot: Spot) -> Place {
    Place { at: UnixTime::from_millis(spot.at), outcome: JournalSeq::new(spot.record) }
}

fn spot_of(place: Place) -> Spot {
    Spot { at: place.at.as_millis(), record: place.outcome.get() }
}

/// The number in an endpoint's name.
fn endpoint_number(key: &EndpointKey) -> u32 {
    number(key.id.as_str()).and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX)
}

fn came(status: Option<u16>, failure: Option<TransportError>) -> Came {
    match (status, failure) {
        (Some(status), _) => Came::Status(status),
        (None, Some(failure)) => Came::Failed(failure.code()),
        (None, None) => Came::None,
    }
}

fn plain<'a>(event: &'a EventHistory, tries: &'a [Try]) -> Past<'a> {
    Past {
        event: number(event.event.as_str()).unwrap_or(u64::MAX),
        tenant: number(event.tenant.as_str()).and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX),
        event_type: &event.event_type,
        accepted: event.accepted.as_millis(),
        ended: event.ended.map(UnixTime::as_millis),
        payload_len: event.payload_len.into(),
        payload: event.payload.as_deref(),
        erased: event.erased,
        tries,
        more: event.more,
    }
}

fn plain_try(attempt: &AttemptHistory) -> Try {
    let nanos = |delay: std::time::Duration| u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
    Try {
        endpoint: attempt.endpoint.as_ref().map(endpoint_number),
        number: attempt.number,
        at: attempt.at.as_millis(),
        result: came(attempt.status, attempt.failure),
        fate: match attempt.then {
            Then::Delivered => Fate::Delivered,
            Then::Retry(due) => Fate::Waiting(nanos(due.delay)),
            Then::Exhausted => Fate::Exhausted,
            Then::Refused => Fate::Refused,
            Then::Discarded => Fate::Discarded,
            Then::Expired => Fate::Expired,
            Then::Lost => Fate::Lost,
            Then::Superseded => Fate::Superseded,
        },
        answer: attempt.answer.clone(),
    }
}

fn plain_ended(delivery: &EndedDelivery) -> Ended {
    Ended {
        spot: spot_of(delivery.place),
        event: delivery.event.as_ref().map(|event| number(event.as_str()).unwrap_or(u64::MAX)),
        endpoint: endpoint_number(&delivery.endpoint),
        fate: FATES[delivery.end as usize],
        attempts: delivery.attempts,
        result: came(delivery.status, delivery.failure),
    }
}
