//! Nothing waits that could go: invariant 6. A delivery that is due, to an endpoint that is well, wants it at once and has
//! nothing in flight, over an adapter with room, starts within a bound.
//!
//! What is not known for sure stands for a reason to wait: an endpoint after a command, a failure or a throttling answer, a
//! node after a restart. Where something may fail for a while that nobody sees (room on a disk, payloads, the adapter's
//! credit), only the time after healing is judged. Times are the world's; clocks drift a little, and disks are slow.

use std::collections::BTreeMap;

use super::facts::{Facts, Scene};
use super::pages::Pages;
use crate::observe::{Ask, Broken, Note, Outcome, Place, SECOND, Seen, SimTime, Told, Wish};

/// What a machine, its clock and a disk of which a sync takes 30 s may need.
const BOUND: u64 = 120 * SECOND;

/// Since when deliveries are due, and everything that they may have waited for.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    judged: bool,
    /// Events that were submitted once: by their number, when whoever did so was told that it is safe.
    accepted: Pages<Option<SimTime>>,
    calls: Pages<About>,
    /// Deliveries that failed, and when the next attempt is due at the latest, once it is told.
    due: BTreeMap<(u64, u32), (u16, SimTime)>,
    ways: BTreeMap<u32, Way>,
    nodes: BTreeMap<u32, Carrier>,
}

#[derive(Clone, Copy, Debug)]
enum About {
    Event(u64),
    Endpoint(u32),
}

/// What is known of the way to an endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Something that it may have had to wait for lasted until then.
    busy: SimTime,
    flying: u32,
    /// Its last attempt to end succeeded.
    well: bool,
    /// Its breaker was told to be open.
    open: bool,
    /// Commands without an answer.
    asked: u32,
}

/// What is known of a node and its adapter.
#[derive(Clone, Copy, Debug, Default)]
struct Carrier {
    busy: SimTime,
    flying: u32,
}

impl Prompt {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, facts: &Facts, at: SimTime, seen: &Seen<'_>) {
        match seen {
            Seen::Began(rules) => self.judged = !rules.stalls,
            Seen::Asked { call, wish, .. } => self.asked(at, *call, wish),
            Seen::Noted { note, .. } => match note {
                Note::Retrying { endpoint, event, attempt, delay } => {
                    // The node's clock may be the slower one.
                    self.due.insert((*event, *endpoint), (*attempt, at.after(*delay + *delay / 7)));
                }
                Note::Opened { endpoint, .. } | Note::Reopened { endpoint, .. } => self.way(*endpoint).open = true,
                Note::Recovered(endpoint) => {
                    let way = self.way(*endpoint);
                    (way.open, way.busy) = (false, at);
                }
                _ => {}
            },
            Seen::Inquired { node, .. } | Seen::Replied { node, .. } => self.nodes.entry(*node).or_default().busy = at,
            Seen::Suspended { node, nanos } => {
                self.nodes.entry(*node).or_default().busy = at.after(*nanos);
                // Who stands still waits for as much longer.
                for ((_, endpoint), (_, due)) in &mut self.due {
                    if facts.endpoints.get(*endpoint).is_none_or(|known| known.node == *node) {
                        *due = due.after(*nanos);
                    }
                }
            }
            Seen::Died { node, .. } | Seen::Restarted { node, .. } => {
                *self.nodes.entry(*node).or_default() = Carrier { busy: at, flying: 0 };
                for (endpoint, way) in &mut self.ways {
                    if facts.endpoints.get(*endpoint).is_none_or(|known| known.node == *node) {
                        *way = Way { busy: at, asked: way.asked, ..Way::default() };
                    }
                }
                // When these are due now, only the node knows.
                self.due.clear();
                self.accepted.values_mut().for_each(|since| *since = None);
            }
            Seen::Healed { .. } => {
                self.judged = true;
                self.nodes.values_mut().for_each(|node| node.busy = at);
                self.ways.values_mut().for_each(|way| way.busy = at);
            }
            _ => {}
        }
    }

    /// Forgets an event.
    pub(super) fn forget(&mut self, event: u64) {
        self.accepted.remove(event);
        while let Some((key, _)) = self.due.range((event, 0)..=(event, u32::MAX)).next() {
            let key = *key;
            self.due.remove(&key);
        }
    }

    fn way(&mut self, endpoint: u32) -> &mut Way {
        self.ways.entry(endpoint).or_default()
    }

    pub(super) fn submitted(&mut self, call: u64, event: u64) {
        // Of several submissions it is not known which was taken.
        let first = !self.accepted.contains(event);
        self.accepted.insert(event, None);
        if first {
            self.calls.insert(call, About::Event(event));
        }
    }

    fn asked(&mut self, at: SimTime, call: u64, wish: &Wish<'_>) {
        let endpoint = match wish {
            Wish::Put(spec) => spec.endpoint,
            Wish::Pause(endpoint) | Wish::Resume(endpoint) | Wish::Disable(endpoint) | Wish::Remove(endpoint) => {
                *endpoint
            }
            _ => return,
        };
        let way = self.way(endpoint);
        (way.busy, way.asked) = (at, way.asked + 1);
        self.calls.insert(call, About::Endpoint(endpoint));
    }

    pub(super) fn answered(&mut self, at: SimTime, call: u64, told: Told) {
        match self.calls.remove(call) {
            Some(About::Event(event)) if told == (Told::Ok { fresh: true }) => {
                self.accepted.insert(event, Some(at));
            }
            Some(About::Endpoint(endpoint)) => {
                let way = self.way(endpoint);
                (way.busy, way.asked) = (at, way.asked.saturating_sub(1));
            }
            Some(About::Event(_)) | None => {}
        }
    }

    pub(super) fn started(&mut self, scene: &Scene<'_>) -> Result<(), Broken> {
        let Scene { at, open, .. } = *scene;
        let due = self.due_of(scene);
        self.due.remove(&(open.event, open.endpoint));
        let flown = |flying: u32, busy: SimTime| if flying > 0 { at } else { busy };
        let (now_way, now_node) =
            (self.ways.entry(open.endpoint).or_default(), self.nodes.entry(open.node).or_default());
        let (way, node) = (*now_way, *now_node);
        now_way.flying += 1;
        now_node.flying += 1;
        let full = node.flying >= scene.facts.rules().credit;
        if full {
            now_node.busy = at;
        }
        let Some(due) = due.filter(|_| self.judged && way.well && !way.open && way.asked == 0 && !full) else {
            return Ok(());
        };
        let latest = due.0.max(node.busy.0).max(flown(way.flying, way.busy).0);
        let waited = at.0.saturating_sub(latest);
        if waited <= BOUND || scene.node.weak {
            return Ok(());
        }
        let name = format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
        Err(Broken::new(6, format!("{name}: it waited for nothing for {} s", waited / SECOND)))
    }

    /// When an attempt was due at the latest; `None` where it may have had to wait for something that is not looked at.
    fn due_of(&self, scene: &Scene<'_>) -> Option<SimTime> {
        let (open, known, rules) = (scene.open, scene.endpoint?, scene.facts.rules());
        let spec = known.specs.sure()?;
        let free = spec.place == Place::Anywhere
            && !spec.coalesce
            && spec.pace.rate.is_none()
            && spec.ask == Ask::Nobody
            && (rules.tenant_bound, rules.host_bound) == (u32::MAX, u32::MAX)
            && !known.may_be_out();
        if !free {
            return None;
        }
        if open.number == 1 {
            let first = spec.schedule.first().copied().unwrap_or(0);
            return self.accepted.get(open.event).copied().flatten().map(|since| since.after(first + first / 5));
        }
        let (failed, due) = self.due.get(&(open.event, open.endpoint))?;
        (*failed + 1 == open.number).then_some(*due)
    }

    pub(super) fn ended(&mut self, Scene { facts, at, open, .. }: Scene<'_>, outcome: Outcome<'_>) {
        let credit = facts.rules().credit;
        let node = self.nodes.entry(open.node).or_default();
        if node.flying >= credit {
            node.busy = at;
        }
        node.flying = node.flying.saturating_sub(1);
        let way = self.way(open.endpoint);
        (way.busy, way.flying) = (at, way.flying.saturating_sub(1));
        way.well = matches!(outcome, Outcome::Status { status: 200..=299, .. });
    }
}
