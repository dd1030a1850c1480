//! What the ledger asks the nodes that are up: whether they still know what is owed, and whether all has ended at last.

use super::facts::Facts;
use super::ledger::Ledger;
use crate::observe::{Broken, Look, SimTime};

/// Open events that one sweep asks about.
const ASKED_AT_ONCE: usize = 32;

impl Ledger {
    /// Asks the nodes about events that have not ended: some of them, or all after a restart.
    pub(super) fn sweep(&mut self, facts: &mut Facts, at: SimTime, look: &dyn Look) -> Result<(), Broken> {
        let most = if std::mem::take(&mut self.all) { usize::MAX } else { ASKED_AT_ONCE };
        let asked: Vec<_> = self.events.range(self.next).map(|(number, _)| number).take(most).collect();
        self.next = if asked.len() < most { 0 } else { asked.last().map_or(0, |last| last + 1) };
        asked.into_iter().try_for_each(|number| self.ask(facts, at, look, number))
    }

    /// Everything must have ended.
    pub(super) fn end(&mut self, facts: &mut Facts, at: SimTime, look: &dyn Look) -> Result<(), Broken> {
        let open: Vec<_> = self.events.iter().map(|(number, _)| number).collect();
        open.into_iter().try_for_each(|number| self.ask(facts, at, look, number))?;
        let left = self.events.iter().filter(|(_, event)| event.sure && !event.lost && look.is_up(event.node));
        for (number, event) in left.filter(|(_, event)| !facts.node(event.node).weak) {
            let late = event.owed.iter().filter(|owed| owed.sure && !event.may_be_over(facts, at, owed));
            if let Some(owed) = late.min_by_key(|owed| owed.endpoint) {
                let to = owed.endpoint;
                return Err(Broken::new(
                    3,
                    format!("all is well again, and e{number} was not delivered to {to} in time"),
                ));
            }
        }
        Ok(())
    }

    fn ask(&mut self, facts: &mut Facts, at: SimTime, look: &dyn Look, number: u64) -> Result<(), Broken> {
        let Some(event) = self.events.get(number).filter(|event| look.is_up(event.node)) else { return Ok(()) };
        let (node, mut result, mut settled) = (event.node, Ok(()), false);
        let known = look.report(node, event.tenant, number, &mut |report| {
            settled = report.settled;
            if !event.again {
                result = event.check(facts, at, &report);
            }
        });
        let weak = facts.node(node).weak;
        if !weak {
            result?;
        }
        if known && settled {
            return self.settled(facts, at, node, number, None);
        }
        // What a disk lost that said it was safe, nobody can know of.
        if known || !event.sure || (weak && facts.rules().lies) {
            return Ok(());
        }
        let pending = event.owed.iter().find(|owed| owed.sure && !event.may_be_over(facts, at, owed));
        if let Some(owed) = pending.filter(|_| !event.lost) {
            let law = if weak { 18 } else { 1 };
            let what =
                format!("e{number} was accepted, is owed to endpoint {}, and the node does not know it", owed.endpoint);
            return Err(Broken::new(law, what));
        }
        // A node may have ended it and have no room to tell of that any longer, before the end is durable. Who has not said
        // that it has settled must not know it after a restart either.
        let incarnation = facts.node(node).incarnation;
        match self.events.get_mut(number) {
            Some(event) if event.unknown.is_none_or(|since| since == incarnation) => event.unknown = Some(incarnation),
            Some(_) | None => self.forget(facts, number),
        }
        Ok(())
    }
}
