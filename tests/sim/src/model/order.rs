//! Attempts are counted: one after the other, across restarts, and never more than the schedule has.
//!
//! Invariant 13. An attempt's number is one more than the attempts whose outcomes the node remembers. A node that was
//! down may have forgotten the last outcomes, but none before something that somebody was told is safe.
//! Ordered lanes (invariant 7) are judged in `lanes`.

use std::collections::BTreeMap;

use super::facts::{Facts, Scene, is_made};
use crate::observe::{Broken, Note, Seen, SimTime};

/// Where every delivery stands that has had an attempt.
#[derive(Debug, Default)]
pub(super) struct Order {
    tracks: BTreeMap<(u64, u32), Track>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// The last attempt that started, and in which incarnation of its node.
    started: (u16, u32),
    /// The highest attempt whose end the node was told, when, and in which incarnation.
    ended: (u16, u64, u32),
    /// The highest attempt whose end is surely durable.
    durable: u16,
    generation: u32,
}

impl Order {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, facts: &Facts, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Died { node, .. } => {
                // An attempt that was overdue may have been ended without being reported.
                for open in facts.attempts_of(*node).filter(|open| open.may_be_overdue(at)) {
                    if let Some(track) = self.tracks.get_mut(&(open.event, open.endpoint)) {
                        track.settle(facts, *node);
                        track.ended = (track.ended.0.max(open.number), u64::MAX, open.incarnation);
                    }
                }
                Ok(())
            }
            Seen::Noted { note: Note::Exhausted { endpoint, event, attempts }, .. } => {
                let Some(endpoint_of) = facts.endpoints.get(*endpoint) else { return Ok(()) };
                let (fewest, most) = endpoint_of.attempts;
                let most = if endpoint_of.tried_on { u16::MAX } else { most };
                if (fewest..=most).contains(attempts) || facts.node(endpoint_of.node).weak {
                    return Ok(());
                }
                let what = format!("e{event} to endpoint {endpoint} was given up after {attempts} attempts");
                Err(Broken::new(13, format!("{what}, the schedule has {fewest}")))
            }
            _ => Ok(()),
        }
    }

    /// Forgets an event.
    pub(super) fn forget(&mut self, event: u64) {
        while let Some((key, _)) = self.tracks.range((event, 0)..=(event, u32::MAX)).next() {
            let key = *key;
            self.tracks.remove(&key);
        }
    }

    pub(super) fn started(&mut self, scene: &Scene<'_>) -> Result<(), Broken> {
        let Scene { facts, open, node, endpoint, .. } = *scene;
        // An event that a node has made itself may be made once more when nobody remembers it.
        if is_made(open.event) {
            return Ok(());
        }
        let track = self.tracks.entry((open.event, open.endpoint)).or_default();
        if track.generation != open.generation {
            // Whether it was removed in between is perhaps not known, so it may begin anew or go on: also after an
            // attempt that the machine ended by itself, of whose end nobody was told.
            let last = track.ended.0.max(track.started.0);
            *track = Track { generation: open.generation, ended: (last, u64::MAX, 0), ..Track::default() };
        }
        track.settle(facts, open.node);
        let (last, incarnation) = track.started;
        let allowed = if last > 0 && incarnation == open.incarnation {
            last + 1..=last + 1
        } else {
            track.durable + 1..=track.ended.0 + 1
        };
        track.started = (open.number, open.incarnation);
        if node.weak {
            return Ok(());
        }
        let most = endpoint.map_or(u16::MAX, |endpoint| endpoint.attempts.1);
        let name = || format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
        if !allowed.contains(&open.number) {
            return Err(Broken::new(13, format!("{}: its number must be in {allowed:?}", name())));
        }
        // The first of a strict lane is tried on.
        let tried_on = endpoint.is_some_and(|endpoint| endpoint.may_try_on());
        if open.number > most && !tried_on {
            return Err(Broken::new(13, format!("{}: the schedule has only {most}", name())));
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, Scene { facts, open, .. }: Scene<'_>) {
        let Some(track) = self.tracks.get_mut(&(open.event, open.endpoint)) else { return };
        if open.number < track.ended.0 {
            return;
        }
        track.settle(facts, open.node);
        // Told twice of one number, after a crash: the later one counts.
        track.ended = (open.number, facts.tick, open.incarnation);
    }
}

impl Track {
    /// Remembers the last end if it is durable by now.
    fn settle(&mut self, facts: &Facts, node: u32) {
        let (number, tick, incarnation) = self.ended;
        if facts.is_durable(node, incarnation, tick) {
            self.durable = self.durable.max(number);
        }
    }
}
