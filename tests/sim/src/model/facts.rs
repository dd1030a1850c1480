//! What every judge needs to know about nodes, attempts and calls: bookkeeping, and no opinion.

use std::collections::BTreeMap;

use super::endpoints::{Endpoint, Endpoints};
use super::pages::Pages;
use crate::observe::{Clocks, Outcome, Replay, Rules, SECOND, Seen, SimTime, Submission, Told, Wish};

/// An attempt is given up by a node this long after its time is over.
pub(super) const GRACE: u64 = 5 * SECOND;

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) rules: Option<Rules>,
    /// How many things have been seen: the order of everything.
    pub(super) tick: u64,
    pub(super) endpoints: Endpoints,
    nodes: Vec<Node>,
    attempts: Pages<Attempt>,
    calls: Pages<Call>,
    /// What events send others again.
    replays: BTreeMap<u64, Replay>,
    /// Up to which tick what a node had done was durable when it died, by node and incarnation.
    ends: BTreeMap<(u32, u32), u64>,
    /// Events that are over, by the ledger's word; the other judges forget them.
    pub(super) over: Vec<u64>,
}

/// An attempt that something happens to, with all that judges look up of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) facts: &'a Facts,
    pub(super) at: SimTime,
    /// The attempt's number.
    pub(super) attempt: u64,
    pub(super) open: &'a Attempt,
    pub(super) node: &'a Node,
    pub(super) endpoint: Option<&'a Endpoint>,
}

/// A node, as far as it shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) up: bool,
    /// How often it has been restarted.
    pub(super) incarnation: u32,
    /// Its clocks when it was last seen.
    pub(super) clocks: Clocks,
    /// Its clocks when it came back.
    pub(super) began: Clocks,
    /// The latest that its wall clock ever showed, and when.
    pub(super) latest: u64,
    seen: SimTime,
    /// Everything that this incarnation did before this tick is durable: somebody was told so of something later.
    durable: u64,
    /// Its disk has lost what it said was safe, so that only loud loss and lies about content are judged.
    pub(super) weak: bool,
    /// Milliseconds that its wall clock has stepped back, in all.
    pub(super) stepped_back: u64,
}

/// A node of which nothing is known.
const UNKNOWN: Node = Node {
    up: false,
    incarnation: 0,
    clocks: Clocks { mono: 0, wall: 0 },
    began: Clocks { mono: 0, wall: 0 },
    latest: 0,
    seen: SimTime(0),
    durable: 0,
    weak: false,
    stepped_back: 0,
};

impl Node {
    /// Whether its wall clock may have shown this by now.
    pub(super) fn may_have_seen(&self, wall: u64, at: SimTime) -> bool {
        self.latest_by(at) >= wall
    }

    /// Nanoseconds that may have passed since then, by the world or by its wall clock, which leaps when a node that stood
    /// still is started anew.
    pub(super) fn age(&self, wall: u64, since: SimTime, at: SimTime) -> u64 {
        at.since(since).max(self.latest_by(at).saturating_sub(wall).saturating_mul(1_000_000))
    }

    /// The latest that its wall clock may have shown by now: it may go a little faster than the world.
    pub(super) fn latest_by(&self, at: SimTime) -> u64 {
        self.latest.max(self.clocks.wall + at.since(self.seen) / 900_000 + 1)
    }
}

/// An attempt that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) node: u32,
    pub(super) incarnation: u32,
    pub(super) endpoint: u32,
    pub(super) event: u64,
    pub(super) number: u16,
    pub(super) started: Clocks,
    pub(super) at: SimTime,
    pub(super) tick: u64,
    /// Nanoseconds that it may take.
    pub(super) time: u64,
    /// The node gave it up, at this time of its monotonic clock.
    pub(super) aborted: Option<u64>,
    /// The registration of the endpoint that it is for.
    pub(super) generation: u32,
}

impl Attempt {
    /// Whether its node no longer cares how it ended, at this time of its monotonic clock.
    pub(super) fn is_late(&self, mono: u64) -> bool {
        self.aborted.is_some() || mono >= self.started.mono.saturating_add(self.time).saturating_add(GRACE)
    }

    /// Whether its node may have ended it by itself by now, by the world's time; clocks drift a little.
    pub(super) fn may_be_overdue(&self, at: SimTime) -> bool {
        at.since(self.at) >= self.time / 10 * 9
    }

    /// Whether its node may have freed its slot, whatever became of it.
    pub(super) fn may_be_freed(&self, mono: u64) -> bool {
        let end = self.started.mono.saturating_add(self.time).saturating_add(2 * GRACE);
        mono >= self.aborted.map_or(end, |at| end.min(at.saturating_add(GRACE)))
    }
}

/// A call that has no answer yet.
#[derive(Clone, Copy, Debug)]
struct Call {
    node: u32,
    tick: u64,
}

impl Facts {
    /// Takes note before the judges do.
    pub(super) fn before(&mut self, at: SimTime, seen: &Seen<'_>) {
        self.tick += 1;
        match seen {
            Seen::Began(rules) => {
                self.rules = Some((*rules).clone());
                self.nodes = vec![Node { up: true, ..UNKNOWN }; rules.nodes as usize];
            }
            Seen::Asked { call, node, clocks, wish } => {
                self.clock(at, *node, *clocks);
                self.calls.insert(*call, Call { node: *node, tick: self.tick });
                if let Wish::Publish(Submission { event, replay: Some(replay), .. }) = wish {
                    self.replays.insert(*event, *replay);
                }
                self.endpoints.asked(at, self.tick, *node, *call, wish);
            }
            Seen::Answered { call, told } => {
                self.endpoints.answered(*call, *told);
                if let (Some(call), Told::Ok { fresh: true }) = (self.calls.remove(*call), told) {
                    let node = self.node_mut(call.node);
                    node.durable = node.durable.max(call.tick);
                }
            }
            Seen::Started { attempt, node, clocks, endpoint, event, number, time } => {
                self.clock(at, *node, *clocks);
                let attempt_of = Attempt {
                    node: *node,
                    incarnation: self.node(*node).incarnation,
                    endpoint: *endpoint,
                    event: event_number(event).unwrap_or(u64::MAX),
                    number: *number,
                    started: *clocks,
                    at,
                    tick: self.tick,
                    time: *time,
                    aborted: None,
                    generation: self.endpoints.get(*endpoint).map_or(0, |endpoint| endpoint.generation),
                };
                self.attempts.insert(*attempt, attempt_of);
                let jumps = self.rules().jumps;
                self.endpoints.started(*endpoint, at, self.tick, jumps);
            }
            Seen::Ended { attempt, clocks, outcome } => self.ended(at, *attempt, *clocks, *outcome),
            Seen::Aborted { attempt } => {
                if let Some(open) = self.attempts.get_mut(*attempt) {
                    let mono = self.nodes.get(open.node as usize).map_or(0, |node| node.clocks.mono);
                    open.aborted = open.aborted.or(Some(mono));
                }
            }
            Seen::Noted { node, clocks, note } => {
                self.clock(at, *node, *clocks);
                self.endpoints.noted(at, self.tick, note);
            }
            Seen::Read { node, clocks, .. } | Seen::Inquired { node, clocks, .. } => self.clock(at, *node, *clocks),
            Seen::Replied { endpoint, node, clocks, status, word } => {
                self.clock(at, *node, *clocks);
                self.endpoints.replied(*endpoint, at, self.tick, *status, *word);
            }
            Seen::Died { node, .. } => {
                // Where a disk lies, and the power may go while nobody looks, nothing is safe after that.
                let lies = self.rules().lies;
                let known = self.node_mut(*node);
                known.up = false;
                known.weak |= lies;
                let (incarnation, durable) = (known.incarnation, known.durable);
                self.ends.insert((*node, incarnation), durable);
            }
            Seen::Restarted { node, clocks, .. } => {
                self.endpoints.restarted(*node);
                let known = self.node_mut(*node);
                known.up = true;
                known.incarnation += 1;
                known.began = *clocks;
                known.clocks = *clocks;
                known.seen = at;
                known.latest = known.latest.max(clocks.wall);
            }
            Seen::Stepped { node, by } => {
                let known = self.node_mut(*node);
                known.latest = known.latest_by(at);
                known.stepped_back += by.min(&0).unsigned_abs();
                known.clocks.wall = known.clocks.wall.saturating_add_signed(*by);
                known.latest = known.latest.max(known.clocks.wall);
            }
            Seen::Damaged { node } => self.node_mut(*node).weak = true,
            Seen::Departed(_)
            | Seen::Suspended { .. }
            | Seen::Trimmed { .. }
            | Seen::Arrived { .. }
            | Seen::Settled { .. }
            | Seen::Refused { .. }
            | Seen::Healed { .. } => {}
        }
    }

    /// Takes note after the judges did: forgets what is over.
    pub(super) fn after(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Ended { attempt, .. } => {
                self.attempts.remove(*attempt);
            }
            Seen::Died { node, .. } => self.attempts.retain(|attempt| attempt.node != *node),
            Seen::Began(_)
            | Seen::Asked { .. }
            | Seen::Answered { .. }
            | Seen::Started { .. }
            | Seen::Departed(_)
            | Seen::Arrived { .. }
            | Seen::Aborted { .. }
            | Seen::Noted { .. }
            | Seen::Settled { .. }
            | Seen::Trimmed { .. }
            | Seen::Read { .. }
            | Seen::Restarted { .. }
            | Seen::Refused { .. }
            | Seen::Stepped { .. }
            | Seen::Suspended { .. }
            | Seen::Inquired { .. }
            | Seen::Replied { .. }
            | Seen::Damaged { .. }
            | Seen::Healed { .. } => {}
        }
    }

    /// The rules of the seed.
    pub(super) fn rules(&self) -> &Rules {
        self.rules.as_ref().expect("a seed begins with its rules")
    }

    /// A node.
    pub(super) fn node(&self, node: u32) -> &Node {
        self.nodes.get(node as usize).unwrap_or(&UNKNOWN)
    }

    /// Whether what a node did at a tick of one of its incarnations is surely durable.
    pub(super) fn is_durable(&self, node: u32, incarnation: u32, tick: u64) -> bool {
        let end = self.ends.get(&(node, incarnation)).copied();
        tick < end.unwrap_or_else(|| self.node(node).durable)
    }

    /// What an event sends again, where it is a replay.
    pub(super) fn replay(&self, event: u64) -> Option<&Replay> {
        self.replays.get(&event)
    }

    /// An event and all that was submitted to send it again: who wishes it forgotten means those too.
    pub(super) fn with_replays(&self, event: u64) -> Vec<u64> {
        let again = self.replays.iter().filter(|(_, replay)| replay.of == event).map(|(number, _)| *number);
        std::iter::once(event).chain(again).collect()
    }

    /// All attempts of a node that have not ended.
    pub(super) fn attempts_of(&self, node: u32) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().map(|(_, attempt)| attempt).filter(move |attempt| attempt.node == node)
    }

    /// An attempt that has not ended.
    pub(super) fn attempt(&self, attempt: u64) -> Option<&Attempt> {
        self.attempts.get(attempt)
    }

    /// An attempt that has not ended, with all that is known of whom it concerns.
    pub(super) fn scene(&self, at: SimTime, attempt: u64) -> Option<Scene<'_>> {
        let open = self.attempts.get(attempt)?;
        let (node, endpoint) = (self.node(open.node), self.endpoints.get(open.endpoint));
        Some(Scene { facts: self, at, attempt, open, node, endpoint })
    }

    fn ended(&mut self, at: SimTime, attempt: u64, clocks: Clocks, outcome: Outcome<'_>) {
        let Some(open) = self.attempts.get(attempt).copied() else { return };
        self.clock(at, open.node, clocks);
        let success = matches!(outcome, Outcome::Status { status: 200..=299, .. }) && !open.is_late(clocks.mono);
        let jumps = self.rules().jumps;
        self.endpoints.ended(open.endpoint, at, self.tick, jumps, success);
        if let Outcome::Status { status: 410, .. } = outcome
            && open.aborted.is_none()
        {
            self.endpoints.gone(open.endpoint, self.tick);
        }
    }

    fn clock(&mut self, at: SimTime, node: u32, clocks: Clocks) {
        let node = self.node_mut(node);
        node.clocks = clocks;
        node.seen = at;
        node.latest = node.latest.max(clocks.wall);
    }

    fn node_mut(&mut self, node: u32) -> &mut Node {
        let place = node as usize;
        if self.nodes.len() <= place {
            self.nodes.resize(place + 1, UNKNOWN);
        }
        &mut self.nodes[place]
    }
}

/// The number in an event's id: `e12` is 12. One that a node has made itself has a number of its own kind.
pub(super) fn event_number(id: &str) -> Option<u64> {
    match id.strip_prefix('e').or_else(|| id.strip_prefix(REPLAYED)) {
        Some(digits) => digits.parse().ok().filter(|number| !is_made(*number)),
        None => {
            let digits = id.strip_prefix(MADE)?.get(..15)?;
            u64::from_str_radix(digits, 16).ok().map(|number| number | MADE_BIT)
        }
    }
}

/// What the id of an event begins with that a node has made itself, to tell of what has happened.
pub(super) const MADE: &str = "postrider_op_";

/// What the id of an event begins with that sends another again.
pub(super) const REPLAYED: &str = "rpl_";

const MADE_BIT: u64 = 1 << 63;

/// Whether a number is that of an event that a node has made itself.
pub(super) const fn is_made(event: u64) -> bool {
    event & MADE_BIT != 0
}
