//! Nothing starts too early, too much at once, or where it is held: invariants 5, 8, 20, 22 and 23.
//!
//! While a node runs, its own monotonic clock decides. Over a restart a due time is as far away as the wall clock says,
//! but no further than it was; that clock may have been moved, which is the one way to be early.

use std::collections::{BTreeMap, VecDeque};

use super::endpoints::{Endpoint, HOLD, State};
use super::facts::{Facts, GRACE, Scene, is_made};
use super::retry_after::asked;
use crate::observe::{Broken, Clocks, Note, Outcome, SECOND, Seen, SimTime, Told, Wish};

/// A throttled endpoint rests for the delivery's own delay, but for that at most this long.
const REST: u64 = 60 * SECOND;

/// What is due when, and who is busy.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    due: BTreeMap<(u64, u32), Due>,
    lanes: BTreeMap<u32, Lane>,
    /// Attempts in flight of each node.
    flying: BTreeMap<u32, Vec<u64>>,
    /// Unanswered calls that let an endpoint go on.
    resumes: BTreeMap<u64, u32>,
    /// All unanswered calls that are meant to.
    asked: BTreeMap<u64, u32>,
}

/// When the next attempt may start.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// After this attempt.
    failed: u16,
    incarnation: u32,
    generation: u32,
    /// By the monotonic clock of that incarnation.
    mono: u64,
    /// The wall clock when it was written down.
    wall: u64,
    at: SimTime,
    /// Milliseconds that the wall clock had stepped back until then.
    stepped: u64,
    /// The least and the most that the delay can be.
    delay: (u64, u64),
}

/// An endpoint's attempts.
#[derive(Debug, Default)]
struct Lane {
    flying: Vec<u64>,
    /// It rests until then: incarnation, generation, monotonic clock.
    rest: Option<(u32, u32, u64)>,
    /// How many attempts may be in flight, at most, and whether each success doubles it.
    window: Option<(u32, bool)>,
    /// It answered 410 to this incarnation, and nobody has wanted it back since.
    gone: Option<(u32, u32)>,
    /// What a ramp that has been asked for has grown to.
    ramp: u32,
    /// When attempts failed, by the node's clock, while that may count for a breaker.
    failed: VecDeque<u64>,
    /// How many may be in flight if a breaker that may have opened has closed, so that a ramp has begun since.
    recovery: Option<u32>,
}

impl Pacing {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, facts: &Facts, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { call, wish: Wish::Resume(endpoint), .. } => {
                self.asked.insert(*call, *endpoint);
                self.lanes.entry(*endpoint).or_default().gone = None;
                self.resume(facts, *call, *endpoint);
            }
            Seen::Asked { wish: Wish::Put(spec), .. } => {
                self.lanes.entry(spec.endpoint).or_default().window = None;
            }
            Seen::Noted { note: Note::Retrying { endpoint, event, attempt, delay }, .. } => {
                let Some(due) = self.due.get(&(*event, *endpoint)).filter(|due| due.failed == *attempt) else {
                    return Ok(());
                };
                let (least, most) = due.delay;
                if !(least..=most).contains(delay) {
                    let what = format!("after attempt {attempt} of e{event} to endpoint {endpoint} the next is due in");
                    return Err(Broken::new(5, format!("{what} {delay} ns, which should be {least} to {most}")));
                }
            }
            Seen::Noted { node, note: Note::Disabled { endpoint, .. }, .. } => {
                let generation = facts.endpoints.get(*endpoint).map_or(0, |endpoint| endpoint.generation);
                let lane = self.lanes.entry(*endpoint).or_default();
                // Somebody may have resumed it before it was told.
                if self.asked.values().all(|other| other != endpoint) {
                    lane.gone = Some((facts.node(*node).incarnation, generation));
                }
            }
            Seen::Noted { note: Note::Recovered(number), .. } => {
                let lane = self.lanes.entry(*number).or_default();
                lane.window = lane.recovery.take().map(|size| (size, true));
            }
            Seen::Noted { note: Note::HoldEnded(number), .. } => return hold_ended(facts, at, *number),
            Seen::Restarted { node, .. } => {
                self.flying.remove(node);
                for (number, lane) in &mut self.lanes {
                    if facts.endpoints.get(*number).is_some_and(|endpoint| endpoint.node == *node) {
                        *lane = Lane::default();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, call: u64, told: Told) {
        self.asked.remove(&call);
        let endpoint = self.resumes.remove(&call);
        let lane = endpoint.and_then(|endpoint| self.lanes.get_mut(&endpoint));
        if let (Some(lane), Told::Ok { fresh: true }) = (lane, told) {
            lane.window = Some((lane.ramp, true));
        }
    }

    pub(super) fn started(&mut self, scene: &Scene<'_>) -> Result<(), Broken> {
        let open = scene.open;
        let name = || format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
        let lane = self.lanes.entry(open.endpoint).or_default();
        let due = self.due.remove(&(open.event, open.endpoint));
        in_time(scene, lane, due).map_err(|what| Broken::new(5, format!("{}: {what}", name())))?;
        let flying = self.flying.entry(open.node).or_default();
        at_once(scene, flying, lane).map_err(|what| Broken::new(8, format!("{}: {what}", name())))?;
        if lane.gone == Some((open.incarnation, open.generation)) {
            return Err(Broken::new(23, format!("{}: the endpoint answered 410 or was disabled", name())));
        }
        if !scene.node.weak && scene.endpoint.is_some_and(|endpoint| !endpoint.may_start()) {
            return Err(Broken::new(23, format!("{}: the endpoint is held", name())));
        }
        Ok(())
    }

    /// Forgets an event.
    pub(super) fn forget(&mut self, event: u64) {
        while let Some((key, _)) = self.due.range((event, 0)..=(event, u32::MAX)).next() {
            let key = *key;
            self.due.remove(&key);
        }
    }

    pub(super) fn ended(&mut self, scene: &Scene<'_>, clocks: Clocks, outcome: Outcome<'_>) {
        let Scene { at, attempt, open, node, .. } = *scene;
        if let Some(flying) = self.flying.get_mut(&open.node) {
            flying.retain(|other| *other != attempt);
        }
        let lane = self.lanes.entry(open.endpoint).or_default();
        lane.flying.retain(|other| *other != attempt);
        let Some(endpoint) = scene.endpoint else { return };
        let key = (open.event, open.endpoint);
        let throttled = matches!(outcome, Outcome::Status { status: 429 | 502 | 503 | 504, .. });
        if let Outcome::Status { status: 200..=299, .. } = outcome {
            self.due.remove(&key);
            lane.grow();
            return;
        }
        if open.aborted.is_some() {
            self.due.remove(&key);
            return;
        }
        let late = open.is_late(clocks.mono);
        lane.failed(endpoint, clocks.mono);
        if let (Outcome::Status { status: 410, .. }, false) = (outcome, late) {
            lane.gone = Some((open.incarnation, open.generation));
        }
        let floor = match outcome {
            Outcome::Status { lines, .. } => asked(lines, clocks.wall),
            Outcome::Failed { .. } => 0,
        };
        let index = usize::from(open.number);
        let delays = || endpoint.specs.all().map(|spec| spec.schedule.get(index).copied());
        // Who is out of service rests no more when it is back.
        if throttled && !late && endpoint.is_in_service() {
            let own = delays().map(|delay| delay.unwrap_or(REST).min(REST)).min().unwrap_or(0);
            let until = clocks.mono.saturating_add(own.max(floor));
            let same = |(incarnation, generation, _): &(u32, u32, u64)| {
                (*incarnation, *generation) == (open.incarnation, open.generation)
            };
            let until = lane.rest.filter(same).map_or(until, |(_, _, other)| other.max(until));
            lane.rest = Some((open.incarnation, open.generation, until));
            if let Some(spec) = endpoint.specs.sure() {
                let (size, _) = lane.window.unwrap_or_else(|| (u32::from(spec.concurrency), false));
                lane.window = Some(((size / 2).max(1), false));
            }
            lane.recovery = lane.recovery.map(|size| (size / 2).max(1));
        }
        let Some(least) = delays().flatten().min().filter(|_| !is_made(open.event)) else {
            self.due.remove(&key);
            return;
        };
        let most = delays().flatten().max().unwrap_or(least);
        // An attempt that was given up counts from then, and what the receiver asked for comes too late.
        let (end, floor) = if late { (open.started.mono + open.time + GRACE, 0) } else { (clocks.mono, floor) };
        let due = Due {
            failed: open.number,
            incarnation: open.incarnation,
            generation: open.generation,
            mono: end.saturating_add(least.max(floor)),
            wall: clocks.wall - (clocks.mono - end).div_ceil(1_000_000).min(clocks.wall),
            at,
            stepped: node.stepped_back,
            delay: (least.max(floor), if late { u64::MAX } else { (most + most / 5 + 1).max(floor + SECOND) }),
        };
        self.due.insert(key, due);
    }

    fn resume(&mut self, facts: &Facts, call: u64, number: u32) {
        let Some(endpoint) = facts.endpoints.get(number) else { return };
        // What was before is all but the last, which is what was asked for just now.
        let before: Vec<_> = endpoint.states.all().collect();
        if endpoint.may_be_out() {
            self.lanes.entry(number).or_default().rest = None;
        }
        if let [State::Paused | State::Disabled, State::Active] = before[..] {
            self.resumes.insert(call, number);
            self.lanes.entry(number).or_default().ramp = 1;
        }
    }
}

impl Lane {
    /// An attempt has failed; so many may have by now that a breaker is open, which is told later.
    fn failed(&mut self, endpoint: &Endpoint, now: u64) {
        let breakers = || endpoint.specs.all().filter_map(|spec| spec.pace.breaker);
        let Some(window) = breakers().map(|breaker| breaker.window + 2 * GRACE).max() else { return };
        self.failed.push_back(now);
        let least = breakers().map(|breaker| usize::from(breaker.attempts) * usize::from(breaker.percent) / 100).min();
        while self.failed.front().is_some_and(|first| now.saturating_sub(*first) > window) {
            self.failed.pop_front();
        }
        if self.failed.len() + self.flying.len() >= least.unwrap_or(0) {
            self.recovery.get_or_insert(1);
        }
    }

    /// A success lets one more start, or twice as many.
    fn grow(&mut self) {
        self.ramp = self.ramp.saturating_mul(2);
        self.recovery = self.recovery.map(|size| size.saturating_mul(2));
        if let Some((size, doubles)) = &mut self.window {
            *size = if *doubles { size.saturating_mul(2) } else { size.saturating_add(1) };
        }
    }
}

/// Whether an attempt is not too early.
fn in_time(scene: &Scene<'_>, lane: &Lane, due: Option<Due>) -> Result<(), String> {
    let Scene { open, node, .. } = *scene;
    let now = open.started.mono;
    if let Some((incarnation, generation, until)) = lane.rest
        && (incarnation, generation) == (open.incarnation, open.generation)
        && now < until
    {
        return Err(format!("the endpoint rests for another {} ns", until - now));
    }
    let Some(due) = due else { return Ok(()) };
    if due.failed + 1 != open.number || due.generation != open.generation || node.weak {
        return Ok(());
    }
    if due.incarnation == open.incarnation {
        return if now < due.mono { Err(format!("it is {} ns early", due.mono - now)) } else { Ok(()) };
    }
    // Milliseconds are what is written down; clocks may drift against each other.
    let rest = (due.wall + due.delay.0 / 1_000_000).saturating_sub(node.began.wall) * 1_000_000;
    let drift = scene.at.since(due.at) / 8 + 2_000_000;
    let moved = (node.stepped_back - due.stepped).saturating_mul(1_000_000);
    let rest = rest.min(due.delay.0).saturating_sub(drift).saturating_sub(moved);
    let since = now.saturating_sub(node.began.mono);
    if since < rest { Err(format!("it is {} ns early after a restart", rest - since)) } else { Ok(()) }
}

/// Whether there are not too many.
fn at_once(scene: &Scene<'_>, of_node: &mut Vec<u64>, lane: &mut Lane) -> Result<(), String> {
    let Scene { facts, attempt, open, .. } = *scene;
    let now = open.started.mono;
    let still = |other: &u64| facts.attempt(*other).is_some_and(|other| !other.may_be_freed(now));
    of_node.push(attempt);
    let credit = facts.rules().credit as usize;
    if of_node.len() > credit {
        of_node.retain(still);
        if of_node.len() > credit {
            return Err(format!("{} attempts are in flight, the credit is {credit}", of_node.len()));
        }
    }
    let Some(endpoint) = scene.endpoint else { return Ok(()) };
    let most = endpoint.specs.all().map(|spec| u32::from(spec.concurrency)).max().unwrap_or(u32::MAX);
    lane.flying.push(attempt);
    let most = lane.window.map_or(most, |(size, _)| most.min(size.max(lane.recovery.unwrap_or(0))));
    if lane.flying.len() > most as usize {
        lane.flying.retain(still);
        // Attempts for an endpoint of the same name that was removed do not count for this one.
        let ours = |other: &&u64| facts.attempt(**other).is_some_and(|other| other.generation == open.generation);
        let count = lane.flying.iter().filter(ours).count();
        if count > most as usize && !scene.node.weak {
            return Err(format!("{count} attempts to the endpoint are in flight, at most {most} may be"));
        }
    }
    Ok(())
}

/// What waits for a disabled endpoint is not discarded early.
fn hold_ended(facts: &Facts, at: SimTime, number: u32) -> Result<(), Broken> {
    let Some(endpoint) = facts.endpoints.get(number) else { return Ok(()) };
    let held = endpoint.held_since().map(|from| at.since(from));
    if facts.rules().jumps || facts.node(endpoint.node).weak || held.is_some_and(|held| held >= HOLD / 10 * 9) {
        return Ok(());
    }
    let what = format!("the hold of endpoint {number} has ended, and it has been disabled for");
    Err(Broken::new(23, format!("{what} {} s", held.unwrap_or(0) / SECOND)))
}
