//! The reference model: what must be true, told from what can be seen.
//!
//! One file for each concern, short enough to be obviously right; nothing here knows the core. What is uncertain (a
//! command whose answer got lost) is kept as everything that is possible, and only what is wrong in every case is a
//! fault. `COVERAGE.md` says which invariant is asserted where.

mod addresses;
mod asking;
mod base64;
mod book;
mod circuits;
mod consent;
mod endpoints;
mod facts;
mod filters;
mod history;
mod keys;
mod lanes;
mod ledger;
mod marks;
mod operational;
mod order;
mod owed;
mod pacing;
mod pages;
mod possible;
mod prompt;
mod rates;
mod recalled;
mod repeats;
mod replays;
mod retold;
mod retry_after;
mod schemes;
mod secrecy;
mod story;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_pace;
mod voided;

pub use addresses::is_public;

use crate::observe::{Broken, Clocks, Departure, Judge, Look, Outcome, Seen, SimTime, Submission, Told, Wish};
use circuits::Circuits;
use facts::{Facts, event_number};
use history::History;
use keys::Keys;
use lanes::Lanes;
use ledger::Ledger;
use marks::Marks;
use operational::Operational;
use order::Order;
use pacing::Pacing;
use prompt::Prompt;
use rates::Rates;
use repeats::Repeats;
use replays::Replays;
use secrecy::Secrecy;

/// All judges of the model behind one name.
#[derive(Debug, Default)]
pub struct Model {
    facts: Facts,
    ledger: Ledger,
    repeats: Repeats,
    pacing: Pacing,
    rates: Rates,
    prompt: Prompt,
    circuits: Circuits,
    order: Order,
    lanes: Lanes,
    keys: Keys,
    operational: Operational,
    replays: Replays,
    secrecy: Secrecy,
    history: History,
}

impl Model {
    /// Whether a text that a node has shown anywhere (a log line, an error, a `Debug` form) keeps every secret.
    pub fn shown(&self, place: &str, text: &[u8]) -> Result<(), Broken> {
        self.secrecy.search(place, text)
    }

    fn forget(&mut self) {
        while let Some(event) = self.facts.over.pop() {
            self.pacing.forget(event);
            self.rates.forget(event);
            self.prompt.forget(event);
            self.order.forget(event);
            self.lanes.forget(event);
            self.replays.forget(event);
        }
    }

    /// What is seen of every delivery goes to those judges alone that look at it.
    fn judge(&mut self, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { call, node, clocks, wish: Wish::Publish(submission) } => {
                self.submitted(at, *call, (*node, *clocks), submission);
                Ok(())
            }
            Seen::Answered { call, told } => self.answered(at, *call, *told),
            Seen::Started { attempt, event, .. } => self.started(at, *attempt, event),
            Seen::Departed(departure) => self.departed(at, departure),
            Seen::Ended { attempt, clocks, outcome } => {
                self.ended(at, *attempt, *clocks, *outcome);
                Ok(())
            }
            Seen::Settled { node, report, event } => {
                let number = event_number(event)
                    .ok_or_else(|| Broken::new(2, format!("event {event} has settled, and nobody submitted it")))?;
                self.ledger.told_settled(&mut self.facts, at, *node, number, report.as_ref())?;
                self.history.settled(&self.facts, at, *node, number);
                Ok(())
            }
            // What counts is what the node learns of it.
            Seen::Arrived { .. } => Ok(()),
            Seen::Began(_)
            | Seen::Asked { .. }
            | Seen::Inquired { .. }
            | Seen::Replied { .. }
            | Seen::Aborted { .. }
            | Seen::Noted { .. }
            | Seen::Trimmed { .. }
            | Seen::Read { .. }
            | Seen::Died { .. }
            | Seen::Restarted { .. }
            | Seen::Refused { .. }
            | Seen::Stepped { .. }
            | Seen::Suspended { .. }
            | Seen::Damaged { .. }
            | Seen::Healed { .. } => self.all(at, seen),
        }
    }

    /// What is seen less often goes to all who may look at it.
    fn all(&mut self, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        let facts = &self.facts;
        self.ledger.see(facts, at, seen)?;
        self.repeats.see(at, seen);
        self.pacing.see(facts, at, seen)?;
        self.rates.see(seen);
        self.prompt.see(facts, at, seen);
        self.circuits.see(facts, at, seen)?;
        self.order.see(facts, at, seen)?;
        self.lanes.see(facts, at, seen)?;
        self.keys.see(seen);
        self.secrecy.see(seen)?;
        self.history.see(facts, at, seen)
    }

    fn submitted(&mut self, at: SimTime, call: u64, (node, clocks): (u32, Clocks), submission: &Submission<'_>) {
        let (facts, event) = (&self.facts, submission.event);
        let content = story::digest(&[submission.event_type.as_bytes(), submission.payload]);
        self.ledger.submitted(facts, at, call, node, submission);
        self.repeats.submitted(facts, at, call, node, (submission, content));
        self.rates.submitted(event, clocks.wall);
        self.prompt.submitted(call, event);
        self.lanes.submitted(facts, (at, clocks.wall), call, submission);
        self.operational.submitted(event);
        self.history.submitted(facts, at, call, (node, clocks.wall), (submission, content));
    }

    fn answered(&mut self, at: SimTime, call: u64, told: Told) -> Result<(), Broken> {
        self.ledger.answered(call, told);
        self.repeats.answered(&self.facts, at, call, told)?;
        self.pacing.answered(call, told);
        self.prompt.answered(at, call, told);
        self.lanes.answered(&self.facts, call, told);
        self.keys.answered(call, told);
        self.history.answered(call, told);
        Ok(())
    }

    fn started(&mut self, at: SimTime, attempt: u64, id: &str) -> Result<(), Broken> {
        let scene = &self.facts.scene(at, attempt).expect("it has just been noted");
        self.ledger.started(scene, id)?;
        self.pacing.started(scene)?;
        self.rates.started(scene)?;
        self.prompt.started(scene)?;
        self.circuits.started(scene)?;
        self.order.started(scene)?;
        self.lanes.started(scene)?;
        consent::started(scene)?;
        self.history.started(scene);
        Ok(())
    }

    fn departed(&mut self, at: SimTime, departure: &Departure<'_>) -> Result<(), Broken> {
        let scene = self.facts.scene(at, departure.attempt);
        if let Some(scene) = &scene {
            let marks = Marks::of(departure);
            self.ledger.departed(scene, departure)?;
            self.lanes.departed(scene, &marks)?;
            self.keys.departed(scene, departure, &marks)?;
            self.operational.departed(scene, departure)?;
            self.replays.departed(scene, &marks)?;
        }
        addresses::departed(scene.as_ref(), departure)?;
        self.secrecy.departed(departure)
    }

    fn ended(&mut self, at: SimTime, attempt: u64, clocks: Clocks, outcome: Outcome<'_>) {
        let scene = self.facts.scene(at, attempt);
        if let Some(scene) = &scene {
            self.ledger.ended(scene, clocks.mono, outcome);
            self.pacing.ended(scene, clocks, outcome);
            self.rates.ended(scene, clocks.mono, outcome);
            self.prompt.ended(*scene, outcome);
            self.circuits.ended(scene, clocks, outcome);
            self.order.ended(*scene);
            self.lanes.ended(scene.open, outcome);
        }
        let late = scene.is_none_or(|scene| scene.open.is_late(clocks.mono));
        self.history.ended(self.facts.tick, attempt, clocks.wall, late, outcome);
    }
}

impl Judge for Model {
    fn see(&mut self, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        self.facts.before(at, seen);
        self.judge(at, seen)?;
        self.facts.after(seen);
        self.forget();
        Ok(())
    }

    fn sweep(&mut self, at: SimTime, look: &dyn Look) -> Result<(), Broken> {
        self.ledger.sweep(&mut self.facts, at, look)?;
        self.forget();
        Ok(())
    }

    fn end(&mut self, at: SimTime, look: &dyn Look) -> Result<(), Broken> {
        self.ledger.end(&mut self.facts, at, look)?;
        self.history.end(&self.facts, look)?;
        self.forget();
        Ok(())
    }
}
