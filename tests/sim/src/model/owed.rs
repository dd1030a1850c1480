//! What is owed: one event to its endpoints, and how each of these deliveries may have ended.

use super::endpoints::Endpoint;
use super::facts::Facts;
use crate::observe::{Broken, Fate, Report, SimTime};

/// An event that was submitted and has not settled.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) number: u64,
    pub(super) node: u32,
    pub(super) tenant: u32,
    pub(super) event_type: String,
    pub(super) payload: Vec<u8>,
    pub(super) expires: Option<u64>,
    /// It has an ordering key.
    pub(super) keyed: bool,
    /// It has a name of its own: no other event can be meant by a repeat.
    pub(super) alone: bool,
    /// It had ended before it was submitted again.
    pub(super) again: bool,
    /// Somebody was told that it is safe.
    pub(super) sure: bool,
    /// Calls that submitted it and may yet succeed, or may have succeeded.
    pub(super) open: u32,
    /// Times that it was submitted.
    pub(super) offers: u32,
    /// It was submitted at this tick.
    pub(super) since: u64,
    /// And then.
    pub(super) first: SimTime,
    /// When its node's wall clock showed this.
    pub(super) wall: u64,
    /// Of this incarnation of its node.
    pub(super) incarnation: u32,
    pub(super) owed: Vec<Owed>,
    /// Somebody asked to cancel it; the second says whether it was confirmed.
    pub(super) cancelled: (bool, bool),
    /// The node did not know it in this incarnation, and had not said that it has settled.
    pub(super) unknown: Option<u32>,
    /// The node names it as lost with its disk.
    pub(super) lost: bool,
}

/// One event owed to one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) endpoint: u32,
    /// The endpoint surely wanted it.
    pub(super) sure: bool,
    /// The node was told of a success, at this tick of this incarnation.
    pub(super) taken: Option<(u64, u32)>,
    /// The highest number of an attempt that the node was told has failed.
    pub(super) failed: u16,
    /// An attempt could never succeed.
    pub(super) denied: bool,
    /// The node has said that nothing more happens.
    pub(super) over: bool,
    /// An attempt is under way.
    pub(super) flying: Option<u64>,
}

impl Event {
    /// Whether a delivery may have ended, by what was seen.
    pub(super) fn may_be_over(&self, facts: &Facts, at: SimTime, owed: &Owed) -> bool {
        let endpoint = facts.endpoints.get(owed.endpoint);
        let node = facts.node(self.node);
        owed.taken.is_some()
            || owed.denied
            || owed.over
            || self.lost
            || self.cancelled.0
            || self.expires.is_some_and(|expires| node.may_have_seen(expires, at))
            || endpoint.is_none_or(|endpoint| {
                owed.failures(facts, at) >= endpoint.attempts.0
                    || (self.keyed && endpoint.coalesces())
                    || endpoint.may_discard(self.since, at, facts.rules().jumps)
                    || endpoint.may_expire(node.age(self.wall, self.first, at), facts.rules().jumps)
            })
    }

    /// Whether a report that says that it has settled may speak of what ended before it was submitted again.
    pub(super) fn may_have_ended_before(&self) -> bool {
        self.again && !self.sure && self.open > 0
    }

    /// What was seen of it was of an earlier life, and so was what is known by now: who gave it its next life, or
    /// cancelled that, is answered only after the end of the earlier one was told.
    pub(super) fn begin_anew(&mut self) {
        (self.again, self.sure, self.cancelled.1) = (true, false, false);
        for owed in &mut self.owed {
            (owed.taken, owed.failed, owed.denied, owed.over) = (None, 0, false, false);
        }
    }

    /// What is reported as delivered must not have an attempt under way that still has time: an earlier one that
    /// succeeded late counts only while no other has begun.
    pub(super) fn is_at_rest(&self, facts: &Facts, at: SimTime, report: &Report<'_>) -> Result<(), Broken> {
        for row in report.rows.iter().filter(|row| row.fate == Fate::Delivered) {
            let owed = self.owed.iter().find(|owed| owed.endpoint == row.endpoint);
            let flying = owed.and_then(|owed| owed.flying).and_then(|attempt| facts.attempt(attempt));
            if let Some(open) = flying.filter(|open| open.aborted.is_none() && !open.may_be_overdue(at)) {
                let (event, to, number) = (self.number, row.endpoint, open.number);
                let what = format!("e{event} to endpoint {to} ended as delivered while attempt {number} is under way");
                return Err(Broken::new(14, what));
            }
        }
        Ok(())
    }

    /// A delivery must not have ended in a way for which nothing was seen.
    pub(super) fn allows(&self, facts: &Facts, at: SimTime, owed: &Owed, fate: Fate) -> Result<(), Broken> {
        let node = facts.node(self.node);
        let endpoint = facts.endpoints.get(owed.endpoint);
        let fewest = endpoint.map_or(0, |endpoint| endpoint.attempts.0);
        let jumps = facts.rules().jumps;
        let may = match fate {
            Fate::Delivered => owed.taken.is_some(),
            Fate::Exhausted => {
                let tried_on = self.keyed && endpoint.is_some_and(|endpoint| endpoint.has_tried_on(self.since));
                owed.failures(facts, at) >= fewest && !tried_on
            }
            Fate::Refused => owed.denied,
            Fate::Discarded => {
                self.cancelled.0 || endpoint.is_some_and(|endpoint| endpoint.may_discard(self.since, at, jumps))
            }
            Fate::Expired => {
                self.expires.is_some_and(|expires| node.may_have_seen(expires, at))
                    || endpoint.is_some_and(|endpoint| endpoint.may_expire(node.age(self.wall, self.first, at), jumps))
            }
            Fate::Lost => false,
            // What it was superseded by, the judge of lanes knows.
            Fate::Superseded => self.keyed && endpoint.is_some_and(Endpoint::coalesces),
            Fate::InFlight | Fate::Waiting(_) => true,
        };
        if may || node.weak {
            return Ok(());
        }
        let name = format!("e{} to endpoint {}", self.number, owed.endpoint);
        Err(Broken::new(1, format!("{name} ended as {fate:?}, and nothing that was seen allows it")))
    }

    /// What a node reports must be what was seen.
    pub(super) fn check(&self, facts: &Facts, at: SimTime, report: &Report<'_>) -> Result<(), Broken> {
        let number = self.number;
        for row in report.rows {
            let Some(owed) = self.owed.iter().find(|owed| owed.endpoint == row.endpoint) else {
                return Err(Broken::new(
                    2,
                    format!("e{number} is reported as owed to {}, which never wanted it", row.endpoint),
                ));
            };
            self.allows(facts, at, owed, row.fate)?;
        }
        let told: u64 = report.tally.iter().sum();
        if told > self.owed.len() as u64 {
            return Err(Broken::new(
                2,
                format!("e{number} has {told} ended deliveries, owed were {}", self.owed.len()),
            ));
        }
        let alive = self.incarnation == facts.node(self.node).incarnation && !self.cancelled.0 && report.settled;
        let kept = |owed: &&Owed| {
            owed.sure
                && facts
                    .endpoints
                    .get(owed.endpoint)
                    .is_some_and(|endpoint| !endpoint.may_discard(self.since, at, facts.rules().jumps))
        };
        let least = self.owed.iter().filter(kept).count() as u64;
        if alive && told < least {
            return Err(Broken::new(1, format!("e{number} has settled with {told} deliveries, owed were {least}")));
        }
        Ok(())
    }
}

impl Owed {
    /// The highest number of an attempt that may have failed: one that is overdue has, for its node.
    fn failures(&self, facts: &Facts, at: SimTime) -> u16 {
        let flying = self.flying.and_then(|attempt| facts.attempt(attempt));
        flying.filter(|open| open.may_be_overdue(at)).map_or(self.failed, |open| open.number.max(self.failed))
    }
}

/// Whether a body is the envelope around a payload.
pub(super) fn is_envelope(body: &[u8], event_type: &str, payload: &[u8]) -> bool {
    let mut rest = Some(body);
    for part in [b"{\"type\":\"", event_type.as_bytes(), b"\",\"timestamp\":\""] {
        rest = rest.and_then(|rest| rest.strip_prefix(part));
    }
    let rest = rest.and_then(|rest| rest.strip_suffix(b"}")).and_then(|rest| rest.strip_suffix(payload));
    rest.and_then(|rest| rest.strip_suffix(b"\",\"data\":")).is_some_and(|time| time.len() == 24)
}
