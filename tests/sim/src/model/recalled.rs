//! What a node tells of the past: held against what happened.
//!
//! Invariants 31 and 32. What is told of an event must have happened, and what must be kept must be told: an event as long
//! as a delivery of it waits, and after its end for as long as it is to be kept, unless the node said that it had no room.

use super::facts::Facts;
use super::history::History;
use super::retold::is_verdict;
use super::story::{Place, Story};
use crate::observe::{Broken, Came, Ended, Fate, List, Of, Past, Question, Recalled, SimTime, Spot};

/// When somebody asked whom.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) facts: &'a Facts,
    pub(super) at: SimTime,
    pub(super) node: u32,
    /// What the node's wall clock shows.
    pub(super) wall: u64,
    /// The node reports that a delivery of the event waits.
    pub(super) pending: bool,
}

/// What was read at one moment: whole lists, to be held against the counts.
#[derive(Debug, Default)]
pub(super) struct Audit {
    at: SimTime,
    node: u32,
    /// By endpoint, in each way.
    ended: [u64; 7],
    /// By tenant, and of all at once.
    given_up: [u64; 2],
}

/// All ways in which a delivery ends, in the order of counts.
const ENDS: [Fate; 7] =
    [Fate::Delivered, Fate::Exhausted, Fate::Refused, Fate::Discarded, Fate::Expired, Fate::Lost, Fate::Superseded];

pub(super) fn wrong<T>(what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken::new(31, what))
}

impl History {
    pub(super) fn recalled(
        &mut self,
        read: &Read<'_>,
        question: &Question<'_>,
        recalled: &Recalled<'_>,
    ) -> Result<(), Broken> {
        let weak = read.facts.node(read.node).weak;
        match (question, recalled) {
            (_, Recalled::Failed(_)) if weak => Ok(()),
            (question, Recalled::Failed(why)) => wrong(format!("node {} cannot tell {question:?}: {why}", read.node)),
            (Question::Event { event, tenant }, Recalled::Event(past)) => {
                self.event(read, *event, *tenant, past.as_ref())
            }
            (Question::List(_) | Question::Counts, _) if weak => Ok(()),
            (Question::List(list), Recalled::Page { items, next }) => {
                self.page(read, list, items, *next)?;
                self.add(read, list, items);
                Ok(())
            }
            (Question::Counts, Recalled::Counts(ended)) => self.counted(read, ended),
            (question, recalled) => wrong(format!("{recalled:?} is no answer to {question:?}")),
        }
    }

    fn event(&self, read: &Read<'_>, event: u64, tenant: u32, past: Option<&Past<'_>>) -> Result<(), Broken> {
        let (facts, node) = (read.facts, read.node);
        let weak = facts.node(node).weak;
        let kept = facts.rules().history.attempts;
        let story = self.story(event);
        let Some(past) = past else {
            let must = |story: &&Story| {
                let retained =
                    story.ended.is_some_and(|(ended, _)| self.must_be_kept(facts, node, back(read, ended), kept));
                story.sure && !weak && !story.again && (read.pending || retained)
            };
            return match story.filter(must) {
                Some(story) => {
                    let (ended, pending) = (story.ended, read.pending);
                    let what = format!("pending: {pending}, ended between {ended:?}, kept for {kept}");
                    wrong(format!("e{event} is not told, and must be kept: {what}"))
                }
                None => Ok(()),
            };
        };
        let Some(story) = story.filter(|_| (past.event, past.tenant) == (event, tenant)) else {
            return wrong(format!("e{event} of t{tenant} is told as {past:?}, and was never submitted so"));
        };
        self.payload(read, story, past)?;
        if weak {
            return Ok(());
        }
        if story.accepted.is_some_and(|accepted| accepted != past.accepted) {
            return wrong(format!("e{event} was accepted at {:?}, told is {}", story.accepted, past.accepted));
        }
        let (first, last) = story.ended.map_or((0, u64::MAX), |(first, last)| (back(read, first), last));
        match past.ended {
            Some(_) if read.pending => return wrong(format!("e{event} is told to have ended, and a delivery waits")),
            Some(ended) if ended.saturating_add(kept) <= read.wall => {
                return wrong(format!(
                    "e{event} ended at {ended} and is told at {}, for longer than it is kept",
                    read.wall
                ));
            }
            Some(ended) if !story.again && !(first..=last).contains(&ended) => {
                return wrong(format!("e{event} ended between {first} and {last}, told is {ended}"));
            }
            None if story.ended.is_some() && !story.again => {
                return wrong(format!("e{event} is told not to have ended, and the node had told that it has"));
            }
            Some(_) | None => {}
        }
        self.tries(read, story, past)
    }

    /// The payload is there, byte for byte, as long as it must be and no longer.
    fn payload(&self, read: &Read<'_>, story: &Story, past: &Past<'_>) -> Result<(), Broken> {
        let (facts, event) = (read.facts, past.event);
        if past.payload.is_some_and(|payload| !story.is_content(past.event_type, payload)) {
            return wrong(format!("e{event} is told with a payload with which it was not submitted"));
        }
        if facts.node(read.node).weak {
            return Ok(());
        }
        if past.payload.is_some() && self.is_forgotten(story) {
            return Err(Broken::new(32, format!("e{event} was to be forgotten, and its payload is told")));
        }
        if past.erased && !self.may_be_forgotten(story) {
            return wrong(format!("e{event} is told to have been erased, and nobody wished that"));
        }
        if !story.is_length(past.payload_len) {
            return wrong(format!("e{event} is told to have {} bytes", past.payload_len));
        }
        let kept = facts.rules().history;
        let kept = kept.payloads.min(kept.attempts);
        let over = past.ended.is_some_and(|ended| ended.saturating_add(kept) <= read.wall);
        if past.payload.is_some() && over {
            return wrong(format!("e{event} is told with its payload, for longer than that is kept"));
        }
        let must = past.ended.is_none_or(|ended| self.must_be_kept(facts, read.node, ended, kept));
        if past.payload.is_none() && must && !self.may_be_forgotten(story) {
            return wrong(format!("e{event} is told without its payload, which is still to be kept"));
        }
        Ok(())
    }

    /// A page has what ended between its first place and its last, all of it and nothing else.
    fn page(&self, read: &Read<'_>, list: &List<'_>, items: &[Ended], next: Option<Spot>) -> Result<(), Broken> {
        let ordered = items.is_sorted_by(|one, next| one.spot > next.spot);
        let behind = list.after.is_none_or(|after| items.iter().all(|item| item.spot < after));
        let whole = items.len() <= list.limit.max(1)
            && next.is_none_or(|next| items.len() == list.limit && items.last().is_some_and(|last| last.spot == next));
        if !ordered || !behind || !whole {
            return wrong(format!("{list:?} gives {items:?} and goes on at {next:?}: it is no page of that list"));
        }
        for item in items {
            self.item(read, list, item)?;
        }
        let (from, to) = (next.map_or(list.from, |next| next.at + 1), list.after.map_or(list.to, |after| after.at));
        let kept = read.facts.rules().history.attempts;
        let places = self.endpoints.iter().filter(|(number, place)| is_of(list.of, **number, place));
        let ended = |attempt: u64| self.tried(attempt).map(|tried| tried.at);
        let closed = places.flat_map(|(_, place)| place.closed.within(from, to.min(list.to), ended));
        for tried in closed.filter_map(|attempt| self.tried(attempt)) {
            let fate = tried.told.filter(|told| told.is_final()).unwrap_or(Fate::Delivered);
            let listed = match list.of {
                Of::Endpoint(_) => list.ends.is_empty() || list.ends.contains(&fate),
                Of::DeadLetters(_) | Of::AllDeadLetters => fate == Fate::Exhausted,
            };
            let must = listed
                && self.story(tried.event).is_some()
                && self.endpoints.get(&tried.endpoint).is_some_and(|place| place.node == read.node)
                && self.must_be_kept(read.facts, read.node, back(read, tried.at), kept)
                && self.is_safe(read.facts, tried)
                && self.must_be_named(read.facts, tried);
            let first = items.partition_point(|item| item.spot.at > tried.at);
            let mut at_that_time = items[first..].iter().take_while(|item| item.spot.at == tried.at);
            if must && !at_that_time.any(|item| (item.event, item.endpoint) == (Some(tried.event), tried.endpoint)) {
                return wrong(format!("{list:?} gives a page without {tried:?}, which ended as {fate:?}"));
            }
        }
        Ok(())
    }

    fn item(&self, read: &Read<'_>, list: &List<'_>, item: &Ended) -> Result<(), Broken> {
        let kept = read.facts.rules().history.attempts;
        let place = self.endpoints.get(&item.endpoint);
        let asked_for = place.is_some_and(|place| is_of(list.of, item.endpoint, place) && place.node == read.node)
            && (list.ends.is_empty() || list.ends.contains(&item.fate))
            && (matches!(list.of, Of::Endpoint(_)) || item.fate == Fate::Exhausted)
            && (list.from..list.to).contains(&item.spot.at);
        if !asked_for {
            return wrong(format!("{list:?} gives {item:?}, which nobody asked for"));
        }
        if item.spot.at.saturating_add(kept) <= read.wall {
            return wrong(format!("{item:?} is told at {}, for longer than it is kept", read.wall));
        }
        let Some(event) = item.event else {
            // Where the wall clock was set back, or a budget was exceeded before a crash, the event itself may be gone.
            let must = self.must_be_kept(read.facts, read.node, back(read, item.spot.at), kept);
            return if must { wrong(format!("{item:?} is told without its event")) } else { Ok(()) };
        };
        if event == u64::MAX {
            return Ok(());
        }
        let mut tries = self.tries_of(event).filter(|(_, tried)| tried.endpoint == item.endpoint);
        let happened = item.result == Came::None
            || tries.any(|(_, tried)| tried.explains(item.attempts, item.spot.at, item.result).is_some());
        match happened && is_verdict(item.result, item.fate) {
            true => Ok(()),
            false => wrong(format!("{item:?} is told, and no attempt ended so")),
        }
    }

    /// Adds a page to what was read at this moment.
    fn add(&mut self, read: &Read<'_>, list: &List<'_>, items: &[Ended]) {
        if !list.is_whole() {
            return;
        }
        let audit = &mut self.audit;
        if (audit.at, audit.node) != (read.at, read.node) {
            *audit = Audit { at: read.at, node: read.node, ..Audit::default() };
        }
        match list.of {
            Of::Endpoint(_) => {
                for (sum, end) in audit.ended.iter_mut().zip(ENDS) {
                    *sum += items.iter().filter(|item| item.fate == end).count() as u64;
                }
            }
            Of::DeadLetters(_) => audit.given_up[0] += items.len() as u64,
            Of::AllDeadLetters => audit.given_up[1] += items.len() as u64,
        }
    }

    /// Counts are the sums of the lists, where every endpoint has kept its name.
    fn counted(&self, read: &Read<'_>, ended: &[u64; 7]) -> Result<(), Broken> {
        let audit = &self.audit;
        if (audit.at, audit.node) != (read.at, read.node) {
            return Ok(());
        }
        let of_node = self.endpoints.iter().filter(|(_, place)| place.node == read.node);
        let is_steady =
            |(number, place): (&u32, &Place)| place.renamed.is_none() && !read.facts.endpoints.may_lack_a_name(*number);
        let steady = of_node.into_iter().all(is_steady);
        let less = audit.ended.iter().zip(ended).all(|(listed, counted)| listed <= counted);
        let dead = [audit.ended[1]; 2];
        if !less || dead != audit.given_up || (steady && audit.ended != *ended) {
            return wrong(format!("node {} counts {ended:?}, and lists {audit:?}", read.node));
        }
        Ok(())
    }
}

/// A time that cannot be later, although the node's wall clock may have been set back since.
fn back(read: &Read<'_>, time: u64) -> u64 {
    time.saturating_sub(read.facts.node(read.node).stepped_back)
}

fn is_of(of: Of, number: u32, place: &Place) -> bool {
    match of {
        Of::Endpoint(endpoint) => number == endpoint,
        Of::DeadLetters(tenant) => place.tenant == tenant,
        Of::AllDeadLetters => true,
    }
}
