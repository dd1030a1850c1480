//! The life of endpoints: whatever changes it goes through here, by the tables of `registration::lifecycle`.
//!
//! [`Sender::happens`] is for what has happened (an answer, a timer), [`Sender::wish`] for what somebody wants and may be
//! refused. Both take the step of the table and carry it out: a change of what was decided is recorded with its reason and
//! holds from then on, the effects that the step names follow, and the endpoint's timer is set anew.

use super::Sender;
use super::commands::{Change, CommandError};
use super::notice::Notice;
use super::operational::Cause;
use super::tables::Retired;
use crate::id::JournalSeq;
use crate::limits;
use crate::registration::State;
use crate::registration::lifecycle::{Answer, Effect, Event, Rule, Step};
use crate::time::Instant;

impl Sender {
    /// Something has happened to an endpoint. What came of it has been carried out.
    pub(super) fn happens(&mut self, at: u32, event: Event) -> Step {
        let step = self.endpoints.slab[at].life.step(self.now, event);
        if step.answer == Answer::Done {
            self.tidy_retired(at);
            self.take(at, &step);
        }
        step
    }

    /// Somebody wants something of an endpoint.
    pub(super) fn wish(&mut self, at: u32, event: Event) -> Result<Change, CommandError> {
        let life = self.endpoints.slab[at].life;
        let step = life.step(self.now, event);
        match step.answer {
            Answer::Refused => Err(CommandError::NotActive(life.admin)),
            Answer::Unchanged => Ok(self.unchanged(at)),
            Answer::Done => {
                self.tidy_retired(at);
                let slot = &self.endpoints.slab[at];
                let possible = match (slot.subscription, step.to.matches()) {
                    (None, true) => self.has_numbers(),
                    (Some(_), false) => slot.retired.len() < limits::RETIRED,
                    (None, false) | (Some(_), true) => true,
                };
                if !possible {
                    return Err(CommandError::TooManyChanges);
                }
                Ok(Change { seq: self.take(at, &step), changed: true })
            }
        }
    }

    /// How consent is asked for was changed, or who is asked: what was agreed is void.
    pub(super) fn consent_changed(&mut self, at: u32) -> JournalSeq {
        self.void_consent(at);
        let slot = &self.endpoints.slab[at];
        match (slot.wire.config.consent.is_needless(), slot.life.admin) {
            (true, State::Unverified { .. }) => _ = self.happens(at, Event::Register { consent: true }),
            (true, _) => {}
            (false, _) => _ = self.happens(at, Event::Withdrawn),
        }
        self.retime(at);
        self.outbox.last()
    }

    /// Carries a step out. Says which record makes it so.
    fn take(&mut self, at: u32, step: &Step) -> JournalSeq {
        let slot = &mut self.endpoints.slab[at];
        let is_decision = slot.life.admin != step.to.admin;
        if !slot.life.matches() && step.to.matches() {
            // Its health begins anew; its breaker is told with the record.
            slot.throttled = None;
        }
        let seq = if is_decision { self.decide_state(at, step) } else { slot.gate };
        for effect in step.effects {
            match effect {
                // The record says so, and what is in flight or waits goes when that is durable.
                Effect::Match | Effect::Unmatch | Effect::Abort => {}
                Effect::Discard if is_decision => {}
                Effect::Discard => self.discard_soon(at),
                Effect::Ask => self.begin_consent(at),
                // What is under way is ignored in every other state.
                Effect::StopAsking => {}
                Effect::Ramp => {
                    self.endpoints.slab[at].window.ramp();
                    self.wake_endpoint(at);
                }
                Effect::Release | Effect::Probe => self.wake_endpoint(at),
                Effect::Timer | Effect::NoTimer => {}
                // Whoever measured it tells more of it.
                Effect::Tell if step.reason.rule == Rule::Failing => {}
                Effect::Tell => {
                    let endpoint = self.endpoints.slab[at].key.clone();
                    let gate = if is_decision { seq } else { JournalSeq::ZERO };
                    self.tell(gate, Notice::Endpoint { endpoint, reason: step.reason });
                }
            }
        }
        self.retime(at);
        seq
    }

    /// Records what was decided, whatever the endpoint's subscriptions. One that has been changed a thousand times keeps
    /// its last subscription when it goes: it matches nothing, because gone endpoints are passed over.
    fn decide_state(&mut self, at: u32, step: &Step) -> JournalSeq {
        let mut standing = self.endpoints.slab[at].standing();
        standing.state = step.to.admin;
        standing.cause = Some(step.reason);
        match (standing.subscription, step.to.matches()) {
            (None, true) => standing.subscription = Some(self.next_subscription),
            (Some(number), false) if standing.retired.len() < limits::RETIRED => {
                let wanted = standing.config.subscription.clone();
                standing.retired.push(Retired { number, at: self.next_subscription, wanted });
                standing.subscription = None;
            }
            (None | Some(_), false) | (Some(_), true) => {}
        }
        let was = self.endpoints.slab[at].life.admin;
        let (_, seq) = self.set_endpoint(Some(at), standing);
        self.tell_subscribers(Cause::of_state(at, was, step.to.admin, seq));
        self.begin_hold(at);
        seq
    }

    /// Sets when the hold of a disabled endpoint ends, and ends that of another.
    pub(super) fn begin_hold(&mut self, at: u32) {
        let slot = &mut self.endpoints.slab[at];
        slot.hold = match slot.life.admin {
            State::Disabled { since, .. } => {
                let held = self.now.wall.saturating_since(since);
                #[cfg(postrider_planted)]
                let held = if crate::planted::breaks(26) { limits::DISABLED_HOLD * 63 / 64 } else { held };
                Some(self.now.mono.saturating_add(limits::DISABLED_HOLD.saturating_sub(held)))
            }
            State::Unverified { .. }
            | State::Active
            | State::Paused { .. }
            | State::Gone { .. }
            | State::Removed { .. } => None,
        };
    }

    /// Sets an endpoint's timer to what is due first.
    pub(super) fn retime(&mut self, at: u32) {
        self.retime_from(at, Instant::ORIGIN);
    }

    /// The same, where its consent is not looked at before `from`.
    fn retime_from(&mut self, at: u32, from: Instant) {
        let slot = &self.endpoints.slab[at];
        let due = match slot.life.admin {
            State::Active => self.rest_of(at),
            State::Disabled { .. } => slot.hold,
            State::Unverified { .. } | State::Paused { .. } | State::Gone { .. } | State::Removed { .. } => None,
        };
        let due =
            [due.filter(|_| !slot.removed), slot.consent_due().map(|due| due.max(from))].into_iter().flatten().min();
        self.endpoints.wake_at(at, due);
    }

    /// Something is due at an endpoint: a rest is over, its owner is to be asked for consent or has not answered, or a
    /// disabled one has been held long enough.
    pub(super) fn endpoint_due(&mut self, at: u32) {
        let now = self.mono();
        let slot = &mut self.endpoints.slab[at];
        match slot.life.admin {
            State::Active => self.wake_endpoint(at),
            State::Unverified { .. } | State::Paused { .. } => self.see_to_consent(at),
            State::Disabled { .. } => {
                if slot.hold.take_if(|hold| *hold <= now).is_some() {
                    self.happens(at, Event::HoldOver);
                }
            }
            State::Gone { .. } | State::Removed { .. } => {}
        }
        // What was due and could not be done waits a little, so that time passes.
        let overdue = self.endpoints.slab[at].consent_due().is_some_and(|due| due <= now);
        self.retime_from(at, if overdue { self.later() } else { now });
    }
}
