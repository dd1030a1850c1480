//! The reference model: what must be true, told from what can be seen.
//!
//! One file for each concern, short enough to be obviously right; nothing here knows the core. What is uncertain (a
//! command whose answer got lost) is kept as everything that is possible, and only what is wrong in every case is a
//! fault. `COVERAGE.md` says which invariant is asserted where.

mod addresses;
mod asking;
mod base64;
mod circuits;
mod consent;
mod endpoints;
mod facts;
mod filters;
mod history;
mod keys;
mod lanes;
mod ledger;
mod operational;
mod order;
mod owed;
mod pacing;
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

use crate::observe::{Broken, Judge, Look, Seen, SimTime};
use circuits::Circuits;
use facts::Facts;
use history::History;
use keys::Keys;
use lanes::Lanes;
use ledger::Ledger;
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
}

impl Judge for Model {
    fn see(&mut self, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        self.facts.before(at, seen);
        self.ledger.see(&mut self.facts, at, seen)?;
        self.repeats.see(&self.facts, at, seen)?;
        self.pacing.see(&self.facts, at, seen)?;
        self.rates.see(&self.facts, seen)?;
        self.prompt.see(&self.facts, at, seen)?;
        self.circuits.see(&self.facts, at, seen)?;
        self.order.see(&self.facts, at, seen)?;
        self.lanes.see(&self.facts, at, seen)?;
        self.keys.see(&self.facts, seen)?;
        self.operational.see(&self.facts, seen)?;
        self.replays.see(&self.facts, seen)?;
        addresses::see(&self.facts, seen)?;
        consent::see(&self.facts, seen)?;
        self.secrecy.see(seen)?;
        self.history.see(&self.facts, at, seen)?;
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
