//! What is sent again says so, and what is not does not: the mark of a replay, the same in all its attempts, and under which
//! id it goes. That it goes to one endpoint alone, and whatever else holds for an event, the other judges look at.

use std::collections::BTreeMap;

use super::facts::{Facts, is_made};
use crate::observe::{Broken, Departure, Seen};

/// The marks of replays that have not ended.
#[derive(Debug, Default)]
pub(super) struct Replays {
    marks: BTreeMap<u64, u64>,
}

impl Replays {
    pub(super) fn see(&mut self, facts: &Facts, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Departed(departure) => self.departed(facts, departure),
            _ => Ok(()),
        }
    }

    /// Forgets an event.
    pub(super) fn forget(&mut self, event: u64) {
        self.marks.remove(&event);
    }

    fn departed(&mut self, facts: &Facts, departure: &Departure<'_>) -> Result<(), Broken> {
        let Some(open) = facts.attempt(departure.attempt).filter(|open| !is_made(open.event)) else { return Ok(()) };
        let text = |header: &str| departure.header(header).and_then(|value| std::str::from_utf8(value).ok());
        let (mark, named) = (text("postrider-replay"), text("postrider-replay-of"));
        let fail = |what: &str| {
            let name = format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
            Err(Broken::new(2, format!("{name}: {what}; its marks are {mark:?} and {named:?}")))
        };
        let Some(replay) = facts.replay(open.event) else {
            return if (mark, named) == (None, None) { Ok(()) } else { fail("it was never sent before") };
        };
        let expected = (!replay.keeps_id).then(|| format!("e{}", replay.of));
        if named != expected.as_deref() {
            return fail("it must name what it sends again exactly when it does not have its id");
        }
        let Some(mark) = mark.and_then(|mark| mark.parse::<u64>().ok()) else {
            return fail("it does not say that it sends something again");
        };
        // Who has lost what was safe may make another one of it.
        if *self.marks.entry(open.event).or_insert(mark) != mark && !facts.node(open.node).weak {
            return fail("an earlier attempt had another mark");
        }
        Ok(())
    }
}
