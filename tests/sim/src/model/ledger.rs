//! Nothing that was accepted is lost, nothing is made up, nothing that has ended begins again.
//!
//! Invariants 1 to 4, 13, 14, 17 and 18. A delivery is owed from when its event was submitted until the node has told
//! that the event has settled; then the event is forgotten, and an attempt for it is an attempt for nobody.

use std::collections::BTreeMap;
use std::fmt;

use super::facts::{Facts, Scene, is_made};
use super::owed::{Event, Owed, is_envelope};
use super::pages::Pages;
use crate::observe::{Broken, Departure, Fate, Form, Note, Outcome, Report, Seen, SimTime, Submission, Told, Wish};

/// Everything that is owed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) events: Pages<Event>,
    /// What events unanswered calls submitted.
    calls: Pages<u64>,
    /// And of which events they want nothing more to be sent.
    pub(super) voids: BTreeMap<u64, Vec<u64>>,
    /// Events that have ended, 64 to an entry.
    ended: Pages<u64>,
    /// Where the next sweep goes on.
    pub(super) next: u64,
    /// A node has come back since the last sweep.
    pub(super) all: bool,
}

/// What an attempt is called where something is wrong with it; nothing is written as long as all is well.
struct Name<'a> {
    number: u16,
    event: &'a str,
    endpoint: u32,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} of {} to endpoint {}", self.number, self.event, self.endpoint)
    }
}

impl Ledger {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, facts: &Facts, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { call, wish, .. } => match wish {
                Wish::Cancel { .. } | Wish::Erase { .. } | Wish::Purge(_) => self.void(facts, *call, wish),
                Wish::Publish(_)
                | Wish::Put(_)
                | Wish::Pause(_)
                | Wish::Resume(_)
                | Wish::Disable(_)
                | Wish::Remove(_)
                | Wish::AddKey(..)
                | Wish::ExpireKey(..)
                | Wish::RevokeKey(..)
                | Wish::RotateKey(..)
                | Wish::FinishRotation(_)
                | Wish::Close(_) => {}
            },
            Seen::Noted { note, .. } => return self.noted(facts, at, note),
            Seen::Died { node, .. } => {
                for open in facts.attempts_of(*node) {
                    let event = self.events.get_mut(open.event);
                    let owed =
                        event.and_then(|event| event.owed.iter_mut().find(|owed| owed.endpoint == open.endpoint));
                    if let Some(owed) = owed {
                        let overdue = if open.may_be_overdue(at) { open.number } else { 0 };
                        (owed.flying, owed.failed) = (None, owed.failed.max(overdue));
                    }
                }
            }
            Seen::Restarted { node, lost, .. } => {
                self.all = true;
                return self.lose(facts, *node, lost);
            }
            Seen::Refused { node, lost, why, torn } => {
                if !facts.node(*node).weak && !torn {
                    return Err(Broken::new(17, format!("nothing was damaged, and node {node} does not open: {why}")));
                }
                return self.lose(facts, *node, lost);
            }
            Seen::Began(_)
            | Seen::Answered { .. }
            | Seen::Started { .. }
            | Seen::Departed(_)
            | Seen::Ended { .. }
            | Seen::Settled { .. }
            | Seen::Arrived { .. }
            | Seen::Aborted { .. }
            | Seen::Trimmed { .. }
            | Seen::Read { .. }
            | Seen::Stepped { .. }
            | Seen::Suspended { .. }
            | Seen::Inquired { .. }
            | Seen::Replied { .. }
            | Seen::Damaged { .. }
            | Seen::Healed { .. } => {}
        }
        Ok(())
    }

    pub(super) fn submitted(&mut self, facts: &Facts, at: SimTime, call: u64, node: u32, submission: &Submission<'_>) {
        self.calls.insert(call, submission.event);
        let Submission { tenant, event_type, payload, .. } = *submission;
        let again = submission.replay.map(|replay| (replay.endpoint, true));
        let anew =
            again.is_none().then(|| facts.endpoints.matching(tenant, event_type, payload, at, facts.rules().jumps));
        let matching = again.into_iter().chain(anew.into_iter().flatten());
        let fresh = |(endpoint, sure)| Owed {
            endpoint,
            sure,
            taken: None,
            failed: 0,
            denied: false,
            over: false,
            flying: None,
        };
        let Some(event) = self.events.get_mut(submission.event) else {
            let event = Event {
                number: submission.event,
                node,
                tenant: submission.tenant,
                event_type: submission.event_type.to_string(),
                payload: submission.payload.to_vec(),
                expires: submission.expires,
                keyed: submission.key.is_some(),
                alone: submission.idempotency.is_none(),
                again: self.has_ended(submission.event),
                sure: false,
                open: 1,
                offers: 1,
                since: facts.tick,
                first: at,
                wall: facts.node(node).clocks.wall,
                incarnation: facts.node(node).incarnation,
                owed: matching.map(fresh).collect(),
                cancelled: (false, false),
                unknown: None,
                lost: false,
            };
            self.events.insert(submission.event, event);
            return;
        };
        event.open += 1;
        event.offers += 1;
        if event.sure || event.payload != submission.payload {
            return;
        }
        // Which of the submissions is the one that counts is not known: owed for sure is what both mean.
        let matching: Vec<_> = matching.collect();
        for owed in &mut event.owed {
            owed.sure &= matching.iter().any(|(endpoint, sure)| *endpoint == owed.endpoint && *sure);
        }
        for (endpoint, _) in matching {
            if event.owed.iter().all(|owed| owed.endpoint != endpoint) {
                event.owed.push(fresh((endpoint, false)));
            }
        }
    }

    pub(super) fn answered(&mut self, call: u64, told: Told) {
        self.void_answered(call, told);
        let Some(number) = self.calls.remove(call) else { return };
        let Some(event) = self.events.get_mut(number) else { return };
        match told {
            Told::Ok { fresh } => {
                event.open -= 1;
                // A repeat is a promise too, unless it repeats what has ended, or an event of another id.
                event.sure |= fresh || (event.alone && !event.again);
                event.again &= !fresh;
                self.drop_if_none(number);
            }
            Told::Refused(_) => {
                event.open -= 1;
                self.drop_if_none(number);
            }
            Told::Lost => {}
        }
    }

    /// Forgets an event that nobody has accepted.
    fn drop_if_none(&mut self, number: u64) {
        if self.events.get(number).is_some_and(|event| event.open == 0 && !event.sure) {
            self.events.remove(number);
        }
    }

    fn has_ended(&self, number: u64) -> bool {
        self.ended.get(number / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    pub(super) fn forget(&mut self, facts: &mut Facts, number: u64) {
        self.events.remove(number);
        self.end_life(facts, number);
    }

    /// No judge counts on what was seen of an event until now.
    fn end_life(&mut self, facts: &mut Facts, number: u64) {
        *self.ended.or_insert_with(number / 64, || 0) |= 1 << (number % 64);
        facts.over.push(number);
    }

    /// `id` is the event's, as the node says it.
    pub(super) fn started(&mut self, scene: &Scene<'_>, id: &str) -> Result<(), Broken> {
        let Scene { facts, attempt, open, node, .. } = *scene;
        let name = Name { number: open.number, event: id, endpoint: open.endpoint };
        if is_made(open.event) {
            let unknown = || Broken::new(2, format!("{name}: no event has an id like that"));
            return if open.event == u64::MAX { Err(unknown()) } else { Ok(()) };
        }
        let Some(event) = self.events.get_mut(open.event) else {
            return if node.weak {
                Ok(())
            } else {
                Err(Broken::new(4, format!("{name}: the event was never submitted, was refused, or has ended")))
            };
        };
        if event.cancelled.1 {
            return Err(Broken::new(4, format!("{name}: the event was cancelled")));
        }
        if event.expires.is_some_and(|expires| open.started.wall >= expires) {
            return Err(Broken::new(20, format!("{name}: the event has expired")));
        }
        let Some(owed) = event.owed.iter_mut().find(|owed| owed.endpoint == open.endpoint) else {
            // A disk that lost what was safe may have brought back what the endpoint wanted long ago.
            let made_up = || Broken::new(2, format!("{name}: the endpoint did not want it when it was submitted"));
            return if node.weak { Ok(()) } else { Err(made_up()) };
        };
        if let Some(other) = owed.flying.and_then(|other| facts.attempt(other))
            && !other.is_late(open.started.mono)
        {
            return Err(Broken::new(14, format!("{name}: attempt {} is still under way", other.number)));
        }
        owed.flying = Some(attempt);
        if node.weak {
            return Ok(());
        }
        if owed.over {
            return Err(Broken::new(4, format!("{name}: the node has said that the delivery has ended")));
        }
        match owed.taken {
            Some((_, incarnation)) if incarnation == node.incarnation => {
                Err(Broken::new(14, format!("{name}: it was delivered, and the node has not been down since")))
            }
            Some((tick, incarnation)) if facts.is_durable(open.node, incarnation, tick) => {
                Err(Broken::new(4, format!("{name}: it was delivered, and something later is durable")))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn departed(&self, scene: &Scene<'_>, departure: &Departure<'_>) -> Result<(), Broken> {
        let open = scene.open;
        let (Some(event), Some(endpoint)) = (self.events.get(open.event), scene.endpoint) else { return Ok(()) };
        let is_body = |form: Form| match form {
            Form::Data => departure.body == event.payload,
            Form::Envelope => is_envelope(departure.body, &event.event_type, &event.payload),
        };
        let same = open.generation == endpoint.generation && !endpoint.changed_since(open.tick);
        if same && !endpoint.specs.all().any(|spec| is_body(spec.form)) {
            let length = departure.body.len();
            return Err(Broken::new(
                2,
                format!("e{}: the body of {length} bytes is not what was submitted", open.event),
            ));
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, scene: &Scene<'_>, mono: u64, outcome: Outcome<'_>) {
        let Scene { attempt, open, .. } = *scene;
        let Some(event) = self.events.get_mut(open.event) else { return };
        let Some(owed) = event.owed.iter_mut().find(|owed| owed.endpoint == open.endpoint) else { return };
        owed.flying = owed.flying.filter(|flying| *flying != attempt);
        let late = open.is_late(mono);
        match outcome {
            Outcome::Status { status: 200..=299, .. } => {
                // A late success may count or not: it allows the delivery to end, and forbids no further attempt. One that
                // was attempted again after it had not been remembered, so the newest is what counts.
                if late {
                    owed.taken = owed.taken.or(Some((u64::MAX, u32::MAX)));
                } else {
                    owed.taken = Some((scene.facts.tick, open.incarnation));
                }
            }
            Outcome::Failed { denied: true, .. } => owed.denied = true,
            Outcome::Status { .. } | Outcome::Failed { denied: false, .. } => {}
        }
        owed.failed = owed.failed.max(open.number);
    }

    fn noted(&mut self, facts: &Facts, at: SimTime, note: &Note<'_>) -> Result<(), Broken> {
        let (endpoint, number, fate) = match note {
            Note::Exhausted { endpoint, event, .. } => (*endpoint, *event, Fate::Exhausted),
            Note::Refused { endpoint, event } => (*endpoint, *event, Fate::Refused),
            Note::Expired { endpoint, event } => (*endpoint, *event, Fate::Expired),
            Note::Lost { endpoint, event } => (*endpoint, *event, Fate::Lost),
            Note::Superseded { endpoint, event } => (*endpoint, *event, Fate::Superseded),
            Note::Retrying { .. }
            | Note::Gone(_)
            | Note::Opened { .. }
            | Note::Reopened { .. }
            | Note::Recovered(_)
            | Note::Disabled { .. }
            | Note::HoldEnded(_)
            | Note::WindowShrunk(_)
            | Note::Trimmed(_)
            | Note::Other(_) => return Ok(()),
        };
        let Some(event) = self.events.get_mut(number) else { return Ok(()) };
        let Some(at_owed) = event.owed.iter().position(|owed| owed.endpoint == endpoint) else {
            let made_up = Err(Broken::new(2, format!("e{number} to endpoint {endpoint} has ended and was never owed")));
            return if facts.node(event.node).weak { Ok(()) } else { made_up };
        };
        event.owed[at_owed].over = true;
        event.allows(facts, at, &event.owed[at_owed], fate)
    }

    /// The node tells that an event has settled just now.
    pub(super) fn told_settled(
        &mut self,
        facts: &mut Facts,
        at: SimTime,
        node: u32,
        number: u64,
        report: Option<&Report<'_>>,
    ) -> Result<(), Broken> {
        if self.events.get(number).is_some_and(Event::may_have_ended_before) {
            // Whoever submitted it again may not know that it was taken as new, and now that has ended as well.
            self.forget(facts, number);
            return Ok(());
        }
        let newer = |event: &Event| event.offers > 1 && report.is_some_and(|report| !report.settled);
        if let Some(event) = self.events.get_mut(number).filter(|event| newer(event)) {
            // It had settled and was forgotten before this was told, and is on its way once more.
            event.begin_anew();
            self.end_life(facts, number);
            return Ok(());
        }
        if let (Some(event), Some(report)) = (self.events.get(number), report) {
            event.is_at_rest(facts, at, report)?;
        }
        self.settled(facts, at, node, number, report)
    }

    pub(super) fn settled(
        &mut self,
        facts: &mut Facts,
        at: SimTime,
        node: u32,
        number: u64,
        report: Option<&Report<'_>>,
    ) -> Result<(), Broken> {
        let Some(event) = self.events.get(number) else { return Ok(()) };
        if event.may_have_ended_before() {
            return Ok(());
        }
        if event.sure && !facts.node(node).weak {
            let open = event.owed.iter().find(|owed| owed.sure && !event.may_be_over(facts, at, owed));
            if let Some(to) = open.map(|owed| owed.endpoint) {
                let what = format!("e{number} has settled, and its delivery to endpoint {to} has not ended");
                return Err(Broken::new(1, what));
            }
            if let Some(report) = report {
                event.check(facts, at, report)?;
            }
        }
        self.forget(facts, number);
        Ok(())
    }

    fn lose(&mut self, facts: &Facts, node: u32, lost: &[u64]) -> Result<(), Broken> {
        if let Some(first) = lost.first()
            && !facts.node(node).weak
        {
            return Err(Broken::new(18, format!("nothing was damaged, and node {node} names e{first} as lost")));
        }
        for number in lost {
            if let Some(event) = self.events.get_mut(*number) {
                event.lost = true;
            }
        }
        Ok(())
    }
}
