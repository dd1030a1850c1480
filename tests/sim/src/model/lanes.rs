//! Ordered lanes: invariant 7. A lane is what one endpoint is owed under one key.
//!
//! Who is surely accepted before another is submitted comes before it: no attempt of the later one starts while the
//! earlier one may still be delivered, and at most one attempt of a lane is in flight. What the headers say of places
//! is the same in every attempt, grows with acceptance, and leaves no event out that was sent: so gaps can be seen.

use std::collections::BTreeMap;

use super::facts::{Attempt, Facts, Scene};
use super::marks::{Marks, text};
use super::pages::Pages;
use crate::observe::{Broken, Note, Outcome, Place, Seen, SimTime, Submission, Told, Wish};

/// Places that are remembered of each lane.
const REMEMBERED: usize = 64;

/// Who has to come before whom.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    events: BTreeMap<u64, Keyed>,
    /// Events that surely were accepted and may still be delivered, by endpoint and key, by the tick of the answer.
    first: BTreeMap<(u32, u32), BTreeMap<u64, u64>>,
    /// Submissions without an answer.
    calls: Pages<u64>,
    /// Places that were sent, by endpoint, generation and key.
    places: BTreeMap<(u32, u32, u32), BTreeMap<u64, u64>>,
    /// The two events last submitted under each key, by tenant and key: event and tick.
    newest: BTreeMap<(u32, u32), [(u64, u64); 2]>,
}

/// An event with a key.
#[derive(Debug)]
struct Keyed {
    key: u32,
    tenant: u32,
    /// The tick at which it was first submitted.
    asked: u64,
    /// And then.
    first: SimTime,
    /// When its node's wall clock showed this.
    wall: u64,
    offers: u32,
    accepted: Option<u64>,
    expires: Option<u64>,
    /// Endpoints with lanes that surely want it, and the highest number of an attempt that failed.
    to: Vec<(u32, u16)>,
    /// Its place, as it was sent.
    place: Option<u64>,
}

impl Lanes {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, facts: &Facts, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { wish: Wish::Cancel { event, .. } | Wish::Erase { event, .. }, .. } => {
                self.through(*event, None)
            }
            Seen::Asked { wish: Wish::Purge(tenant), .. } => {
                let of_tenant = self.events.iter().filter(|(_, event)| event.tenant == *tenant);
                let events: Vec<_> = of_tenant.map(|(number, _)| *number).collect();
                events.into_iter().for_each(|event| self.through(event, None));
            }
            Seen::Noted { note, .. } => match note {
                Note::Exhausted { endpoint, event, .. }
                | Note::Refused { endpoint, event }
                | Note::Expired { endpoint, event }
                | Note::Lost { endpoint, event }
                | Note::Superseded { endpoint, event } => {
                    self.superseded_by_none(facts, note)?;
                    self.through(*event, Some(*endpoint));
                }
                _ => {}
            },
            Seen::Died { node, .. } => {
                for open in facts.attempts_of(*node).filter(|open| open.may_be_overdue(at)) {
                    self.failed(open.event, open.endpoint, open.number);
                }
                // Notices that were not told may have said that something was superseded.
                let may_have = |endpoint: u32| facts.endpoints.get(endpoint).is_none_or(|known| known.coalesces());
                self.first.retain(|(endpoint, _), _| !may_have(*endpoint));
            }
            _ => {}
        }
        Ok(())
    }

    /// Forgets an event.
    pub(super) fn forget(&mut self, event: u64) {
        self.through(event, None);
        self.events.remove(&event);
    }

    pub(super) fn submitted(
        &mut self,
        facts: &Facts,
        (at, wall): (SimTime, u64),
        call: u64,
        submission: &Submission<'_>,
    ) {
        let Some(key) = submission.key else { return };
        let (number, tick) = (submission.event, facts.tick);
        let newest = self.newest.entry((submission.tenant, key)).or_insert([(u64::MAX, 0); 2]);
        if newest[0].0 != number {
            newest[1] = newest[0];
        }
        newest[0] = (number, tick);
        self.calls.insert(call, number);
        let Submission { tenant, event_type, payload, .. } = *submission;
        let matching = facts.endpoints.matching(tenant, event_type, payload, at, facts.rules().jumps);
        let sure = matching.filter(|(_, sure)| *sure);
        let laned =
            |endpoint: &u32| facts.endpoints.get(*endpoint).is_some_and(|known| known.place() != Place::Anywhere);
        let to: Vec<_> = sure.map(|(endpoint, _)| endpoint).filter(laned).map(|endpoint| (endpoint, 0)).collect();
        let event = self.events.entry(number).or_insert_with(|| Keyed {
            key,
            tenant: submission.tenant,
            asked: tick,
            first: at,
            wall,
            offers: 0,
            accepted: None,
            expires: submission.expires,
            to: to.clone(),
            place: None,
        });
        event.offers += 1;
        // Of several submissions only those count that all of them mean.
        event.to.retain(|(endpoint, _)| to.iter().any(|(other, _)| other == endpoint));
    }

    pub(super) fn answered(&mut self, facts: &Facts, call: u64, told: Told) {
        let Some(number) = self.calls.remove(call) else { return };
        let Some(event) = self.events.get_mut(&number) else { return };
        // A repeat may be one of an event that has ended.
        if let (Told::Ok { fresh: true }, None) = (told, event.accepted) {
            event.accepted = Some(facts.tick);
            for (endpoint, _) in &event.to {
                self.first.entry((*endpoint, event.key)).or_default().insert(facts.tick, number);
            }
        }
    }

    /// An event is waited for no more, by one endpoint or by all.
    fn through(&mut self, number: u64, endpoint: Option<u32>) {
        let Some(event) = self.events.get(&number) else { return };
        let Some(tick) = event.accepted else { return };
        for (to, _) in event.to.iter().filter(|(to, _)| endpoint.is_none_or(|endpoint| endpoint == *to)) {
            if let Some(lane) = self.first.get_mut(&(*to, event.key)) {
                lane.remove(&tick);
            }
        }
    }

    fn failed(&mut self, event: u64, endpoint: u32, number: u16) {
        let to = self.events.get_mut(&event).and_then(|event| event.to.iter_mut().find(|(to, _)| *to == endpoint));
        if let Some((_, failed)) = to {
            *failed = number.max(*failed);
        }
    }

    pub(super) fn ended(&mut self, open: &Attempt, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Status { status: 200..=299 | 410, .. } | Outcome::Failed { denied: true, .. } => {
                self.through(open.event, Some(open.endpoint));
            }
            Outcome::Status { .. } | Outcome::Failed { .. } => self.failed(open.event, open.endpoint, open.number),
        }
    }

    /// Whether an event may have ended for an endpoint without our being told.
    fn may_be_through(&self, facts: &Facts, at: SimTime, number: u64, endpoint: u32) -> bool {
        let (Some(event), Some(known)) = (self.events.get(&number), facts.endpoints.get(endpoint)) else { return true };
        let node = facts.node(known.node);
        let failed = event.to.iter().find(|(to, _)| *to == endpoint).map_or(u16::MAX, |(_, failed)| *failed);
        let flying = facts.attempts_of(known.node).filter(|open| (open.event, open.endpoint) == (number, endpoint));
        let overdue = flying.filter(|open| open.may_be_overdue(at)).map(|open| open.number).max().unwrap_or(0);
        let exhausted = !known.has_tried_on(event.asked) && failed.max(overdue) >= known.attempts.0;
        // What was superseded is told once that is durable.
        let superseded = known.coalesces() && self.has_newer(number, event);
        node.weak
            || exhausted
            || superseded
            || event.expires.is_some_and(|expires| node.may_have_seen(expires, at))
            || known.may_discard(event.asked, at, facts.rules().jumps)
            || known.may_expire(node.age(event.wall, event.first, at), facts.rules().jumps)
    }

    /// Whether another event of the same tenant and key was submitted later.
    fn has_newer(&self, number: u64, event: &Keyed) -> bool {
        let newest = self.newest.get(&(event.tenant, event.key)).into_iter().flatten();
        newest.into_iter().any(|(other, tick)| *other != number && *tick > event.asked)
    }

    pub(super) fn started(&mut self, scene: &Scene<'_>) -> Result<(), Broken> {
        let Scene { facts, at, open, .. } = *scene;
        let (Some(event), Some(known)) = (self.events.get(&open.event), scene.endpoint) else { return Ok(()) };
        let (asked, key) = (event.asked, event.key);
        let sure = event.to.iter().any(|(to, _)| *to == open.endpoint) && known.place() != Place::Anywhere;
        if !sure || scene.node.weak || known.may_discard(asked, at, facts.rules().jumps) {
            return Ok(());
        }
        let name = || format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
        let same = |other: &&Attempt| {
            (other.endpoint, other.generation, other.incarnation) == (open.endpoint, open.generation, open.incarnation)
                && other.tick != open.tick
                && !other.is_late(open.started.mono)
                && self.events.get(&other.event).is_some_and(|other| other.key == key)
        };
        if let Some(other) = facts.attempts_of(open.node).find(same) {
            let what = format!("{}: attempt {} of e{} is in flight in its lane", name(), other.number, other.event);
            return Err(Broken::new(7, what));
        }
        while let Some((tick, first)) = self.first.get(&(open.endpoint, key)).and_then(|lane| lane.first_key_value()) {
            let (tick, first) = (*tick, *first);
            if tick >= asked || first == open.event {
                break;
            }
            if !self.may_be_through(facts, at, first, open.endpoint) {
                return Err(Broken::new(7, format!("{}: e{first} is before it in its lane", name())));
            }
            self.first.entry((open.endpoint, key)).or_default().remove(&tick);
        }
        Ok(())
    }

    /// What the headers say of the place in a lane.
    pub(super) fn departed(&mut self, scene: &Scene<'_>, marks: &Marks<'_>) -> Result<(), Broken> {
        let open = scene.open;
        let Some(event) = self.events.get_mut(&open.event) else { return Ok(()) };
        let number = |mark| text(mark).and_then(|text| text.parse::<u64>().ok());
        let (place, previous) = (number(marks.sequence), number(marks.previous));
        let known = scene.endpoint.filter(|known| known.place() != Place::Anywhere);
        let sure = known.is_some() && event.to.iter().any(|(to, _)| *to == open.endpoint);
        if !sure || scene.node.weak || event.offers > 1 {
            return Ok(());
        }
        let name = || format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
        let Some(place) = place else {
            return Err(Broken::new(7, format!("{}: it does not say its place in its lane", name())));
        };
        if event.place.is_some_and(|other| other != place) {
            return Err(Broken::new(7, format!("{}: its place is {place}, and was another", name())));
        }
        event.place = Some(place);
        let lane = self.places.entry((open.endpoint, open.generation, event.key)).or_default();
        let before = lane.range(..place).next_back().map(|(place, _)| *place);
        let skipped = before.filter(|before| previous.is_none_or(|previous| previous < *before));
        if let Some(skipped) = skipped {
            let what = format!("{}: it says that {previous:?} was before {place}, and {skipped} was", name());
            return Err(Broken::new(7, what));
        }
        lane.insert(place, open.event);
        while lane.len() > REMEMBERED {
            lane.pop_first();
        }
        Ok(())
    }

    /// What is superseded has a newer one to be superseded by, and an endpoint that wants that.
    fn superseded_by_none(&self, facts: &Facts, note: &Note<'_>) -> Result<(), Broken> {
        let Note::Superseded { endpoint, event: number } = note else { return Ok(()) };
        let (Some(event), Some(known)) = (self.events.get(number), facts.endpoints.get(*endpoint)) else {
            return Ok(());
        };
        if (self.has_newer(*number, event) && known.coalesces()) || facts.node(known.node).weak {
            return Ok(());
        }
        Err(Broken::new(7, format!("e{number} to endpoint {endpoint} was superseded, and nothing newer came")))
    }
}
