//! What is sent again says so, and what is not does not: the mark of a replay, the same in all its attempts, and under which
//! id it goes. That it goes to one endpoint alone, and whatever else holds for an event, the other judges look at.

use std::collections::BTreeMap;

use super::facts::{Scene, is_made};
use super::marks::{Marks, text};
use crate::observe::Broken;

/// The marks of replays that have not ended.
#[derive(Debug, Default)]
pub(super) struct Replays {
    marks: BTreeMap<u64, u64>,
}

impl Replays {
    /// Forgets an event.
    pub(super) fn forget(&mut self, event: u64) {
        self.marks.remove(&event);
    }

    pub(super) fn departed(&mut self, scene: &Scene<'_>, marks: &Marks<'_>) -> Result<(), Broken> {
        let Scene { facts, open, node, .. } = *scene;
        if is_made(open.event) {
            return Ok(());
        }
        let (mark, named) = (text(marks.replay), text(marks.replay_of));
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
        if *self.marks.entry(open.event).or_insert(mark) != mark && !node.weak {
            return fail("an earlier attempt had another mark");
        }
        Ok(())
    }
}
