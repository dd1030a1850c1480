//! Breakers open by their rule alone and let one probe through, and who keeps failing is disabled by its rule: invariant
//! 23. That nothing is dropped meanwhile is the ledger's.
//!
//! When a node tells that a breaker has opened or closed it may have been a while ago, and more has ended since; what is
//! told too late is not held against it.

use std::collections::{BTreeMap, VecDeque};

use super::facts::{Facts, GRACE, Scene};
use crate::observe::{Broken, Clocks, Note, Outcome, Seen, SimTime, Wish};

/// Attempts that are remembered of an endpoint: more than any rule looks at.
const REMEMBERED: usize = 4096;

/// What is known of every breaker.
#[derive(Debug, Default)]
pub(super) struct Circuits(BTreeMap<u32, Circuit>);

#[derive(Debug, Default)]
struct Circuit {
    /// When attempts ended, by the node's clock, and whether they may have counted as failures.
    ended: VecDeque<(u64, bool)>,
    open: Option<Open>,
}

/// A breaker that is open: nothing starts before `until`, and then one attempt at a time.
#[derive(Clone, Copy, Debug)]
struct Open {
    incarnation: u32,
    generation: u32,
    until: u64,
    probe: Option<u64>,
}

impl Circuits {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, facts: &Facts, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { wish: Wish::Put(spec), .. } => self.of(spec.endpoint).open = None,
            Seen::Asked { wish: Wish::Resume(endpoint), .. } => self.of(*endpoint).open = None,
            Seen::Noted { note: Note::Opened { endpoint, attempts, failures, until }, clocks, .. } => {
                let wrong = self.of(*endpoint).opened(facts, *endpoint, [*attempts, *failures], *until, *clocks);
                self.open_until(facts, *endpoint, *until, *clocks);
                return wrong.map_err(|what| Broken::new(23, format!("the breaker of endpoint {endpoint}: {what}")));
            }
            Seen::Noted { note: Note::Reopened { endpoint, until }, clocks, .. } => {
                self.open_until(facts, *endpoint, *until, *clocks);
            }
            Seen::Noted { note: Note::Recovered(endpoint), .. } => self.of(*endpoint).open = None,
            Seen::Noted { note: Note::Disabled { endpoint, failures, age }, .. } => {
                let wrong = disabled(facts, at, *endpoint, *failures, *age);
                return wrong.map_err(|what| Broken::new(23, format!("endpoint {endpoint} was disabled: {what}")));
            }
            Seen::Restarted { node, .. } => {
                for (number, circuit) in &mut self.0 {
                    if facts.endpoints.get(*number).is_some_and(|endpoint| endpoint.node == *node) {
                        *circuit = Circuit::default();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn started(&mut self, scene: &Scene<'_>) -> Result<(), Broken> {
        if scene.node.weak {
            return Ok(());
        }
        let open = scene.open;
        let name = || format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
        let circuit = self.of(open.endpoint);
        circuit.started(scene).map_err(|what| Broken::new(23, format!("{}: {what}", name())))
    }

    pub(super) fn ended(&mut self, scene: &Scene<'_>, clocks: Clocks, outcome: Outcome<'_>) {
        self.of(scene.open.endpoint).ended(scene, clocks, outcome);
    }

    fn of(&mut self, endpoint: u32) -> &mut Circuit {
        self.0.entry(endpoint).or_default()
    }

    fn open_until(&mut self, facts: &Facts, number: u32, until: u64, clocks: Clocks) {
        let Some(endpoint) = facts.endpoints.get(number) else { return };
        let (incarnation, generation) = (facts.node(endpoint.node).incarnation, endpoint.generation);
        let circuit = self.of(number);
        circuit.open = (clocks.mono < until).then_some(Open { incarnation, generation, until, probe: None });
    }
}

impl Circuit {
    fn started(&mut self, scene: &Scene<'_>) -> Result<(), String> {
        let Scene { facts, attempt, open: new, .. } = *scene;
        let same = |open: &&mut Open| (open.incarnation, open.generation) == (new.incarnation, new.generation);
        let Some(open) = self.open.as_mut().filter(same) else { return Ok(()) };
        let now = new.started.mono;
        if now < open.until {
            return Err(format!("its breaker is open for another {} ns", open.until - now));
        }
        let probe = open.probe.and_then(|probe| facts.attempt(probe));
        if probe.is_some_and(|probe| !probe.is_late(now)) {
            return Err("its breaker is half-open, and a probe is in flight".into());
        }
        open.probe = Some(attempt);
        Ok(())
    }

    fn ended(&mut self, scene: &Scene<'_>, clocks: Clocks, outcome: Outcome<'_>) {
        let Scene { attempt, open: done, .. } = *scene;
        let success = matches!(outcome, Outcome::Status { status: 200..=299, .. });
        let late = done.is_late(clocks.mono);
        let end = if late { done.started.mono + done.time + GRACE } else { clocks.mono };
        self.ended.push_back((end, late || !success));
        if self.ended.len() > REMEMBERED {
            self.ended.pop_front();
        }
        let Some(open) = self.open.as_mut().filter(|open| open.probe == Some(attempt)) else { return };
        open.probe = None;
        let tells = match outcome {
            Outcome::Status { status: 410, .. } => false,
            Outcome::Status { .. } => true,
            Outcome::Failed { why, denied, .. } => !denied && !matches!(why, "aborted" | "local-resources"),
        };
        let spec = scene.endpoint.and_then(|endpoint| endpoint.specs.sure());
        let first = spec.and_then(|spec| spec.pace.breaker).map(|breaker| breaker.open);
        match first {
            // It has closed, or was failed by itself long ago, which was told.
            _ if success || late => self.open = None,
            Some(first) if tells => open.until = clocks.mono.saturating_add(first),
            Some(_) | None => self.open = None,
        }
    }

    /// Whether it opened by its rule, for which as much must have ended.
    fn opened(
        &self,
        facts: &Facts,
        number: u32,
        [attempts, failures]: [u32; 2],
        until: u64,
        clocks: Clocks,
    ) -> Result<(), String> {
        let Some(endpoint) = facts.endpoints.get(number) else { return Ok(()) };
        let Some(spec) = endpoint.specs.sure().filter(|_| !facts.node(endpoint.node).weak) else { return Ok(()) };
        let Some(rule) = spec.pace.breaker else { return Err("it has none".into()) };
        if attempts < rule.attempts.into() || failures * 100 < attempts * u32::from(rule.percent) {
            return Err(format!("it opened when {failures} of {attempts} had failed, against its rule"));
        }
        // It opened that long before its end; attempts that are overdue have failed by then and are not reported yet.
        let since = until.saturating_sub(rule.open).saturating_sub(rule.window);
        let seen = self.ended.iter().filter(|(end, failed)| *failed && *end >= since).count();
        let overdue = facts.attempts_of(endpoint.node).filter(|open| open.endpoint == number);
        let overdue = overdue.filter(|open| open.is_late(clocks.mono)).count();
        if seen + overdue < failures as usize && seen < REMEMBERED {
            return Err(format!(
                "it opened by {failures} failures, of which {seen} were seen and {overdue} are overdue"
            ));
        }
        Ok(())
    }
}

/// Whether an endpoint was disabled by its rule.
fn disabled(facts: &Facts, at: SimTime, number: u32, failures: u32, age: u64) -> Result<(), String> {
    let Some(endpoint) = facts.endpoints.get(number) else { return Ok(()) };
    let Some(spec) = endpoint.specs.sure().filter(|_| !facts.node(endpoint.node).weak) else { return Ok(()) };
    let Some((least, fewest)) = spec.pace.disable else { return Err("it never is".into()) };
    if age < least || failures < fewest {
        return Err(format!("{failures} failures in {age} ns are not {fewest} in {least} ns"));
    }
    if !facts.rules().jumps && endpoint.failing_for(at) < least / 10 * 8 {
        return Err(format!("it failed for {} ns and not for {least}", endpoint.failing_for(at)));
    }
    Ok(())
}
