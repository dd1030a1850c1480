//! Not too fast, not too much at once, and not too late: invariants 6, 8 and 9 of what an endpoint, a tenant and a host
//! are given.
//!
//! Rates are counted anew here, by the node's own clock: a bucket starts full, and is empty after a restart, never full.

use std::collections::BTreeMap;

use super::facts::{Attempt, Facts, Scene};
use super::pages::Pages;
use crate::observe::{Broken, Note, Outcome, Rate, SECOND, Seen, Wish};

/// What is let pass: a machine looks at its clock a little before it hands something out.
const SLACK: u64 = 2 * SECOND;

/// Buckets, attempts in flight, and since when something waits.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: BTreeMap<u32, Bucket>,
    of_tenants: BTreeMap<u32, Vec<u64>>,
    of_hosts: BTreeMap<(u32, String, u16), Vec<u64>>,
    /// The latest that the wall clock showed when an event was submitted: which submission was taken is not known.
    offered: Pages<u64>,
    waits: BTreeMap<(u64, u32), Wait>,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: Rate,
    generation: u32,
    incarnation: u32,
    /// When everything is paid for, in nanoseconds times the rate's count.
    paid: u128,
}

/// A delivery that failed and is tried again.
#[derive(Clone, Copy, Debug)]
struct Wait {
    failed: u16,
    incarnation: u32,
    ended: u64,
    /// When the next attempt is due, once the node has told it.
    due: Option<u64>,
}

impl Rates {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Asked { wish: Wish::Put(spec), .. } => {
                let same = self.buckets.get(&spec.endpoint).is_some_and(|bucket| Some(bucket.rate) == spec.pace.rate);
                if !same {
                    self.buckets.remove(&spec.endpoint);
                }
            }
            Seen::Noted { note: Note::Retrying { endpoint, event, attempt, delay }, .. } => {
                if let Some(wait) = self.waits.get_mut(&(*event, *endpoint)).filter(|wait| wait.failed == *attempt) {
                    wait.due = Some(wait.ended.saturating_add(*delay));
                }
            }
            _ => {}
        }
    }

    pub(super) fn submitted(&mut self, event: u64, wall: u64) {
        let latest = self.offered.or_insert_with(event, || 0);
        *latest = wall.max(*latest);
    }

    pub(super) fn started(&mut self, scene: &Scene<'_>) -> Result<(), Broken> {
        if scene.node.weak {
            return Ok(());
        }
        let open = scene.open;
        let name = || format!("attempt {} of e{} to endpoint {}", open.number, open.event, open.endpoint);
        self.at_rate(scene).map_err(|what| Broken::new(9, format!("{}: {what}", name())))?;
        self.at_once(scene).map_err(|what| Broken::new(8, format!("{}: {what}", name())))?;
        self.too_late(scene).map_err(|what| Broken::new(6, format!("{}: {what}", name())))
    }

    pub(super) fn ended(&mut self, scene: &Scene<'_>, mono: u64, outcome: Outcome<'_>) {
        let open = scene.open;
        let key = (open.event, open.endpoint);
        if matches!(outcome, Outcome::Status { status: 200..=299, .. }) || open.is_late(mono) {
            self.waits.remove(&key);
        } else {
            let (failed, incarnation) = (open.number, open.incarnation);
            self.waits.insert(key, Wait { failed, incarnation, ended: mono, due: None });
        }
    }

    /// Forgets an event.
    pub(super) fn forget(&mut self, event: u64) {
        self.offered.remove(event);
        while let Some((key, _)) = self.waits.range((event, 0)..=(event, u32::MAX)).next() {
            let key = *key;
            self.waits.remove(&key);
        }
    }

    fn at_rate(&mut self, scene: &Scene<'_>) -> Result<(), String> {
        let open = scene.open;
        let spec = scene.endpoint.and_then(|endpoint| endpoint.specs.sure());
        let Some(rate) = spec.and_then(|spec| spec.pace.rate) else {
            // Which of several rates holds is not known; the next one that is known begins anew.
            self.buckets.remove(&open.endpoint);
            return Ok(());
        };
        let (count, cost) = (u128::from(rate.count), u128::from(rate.nanos));
        let whole = cost * u128::from(rate.burst);
        let fresh = Bucket { rate, generation: open.generation, incarnation: open.incarnation, paid: 0 };
        let bucket = self.buckets.entry(open.endpoint).or_insert(fresh);
        if bucket.rate != rate || bucket.generation != open.generation {
            *bucket = fresh;
        } else if bucket.incarnation != open.incarnation {
            let began = u128::from(scene.node.began.mono);
            *bucket = Bucket { paid: began * count + whole, ..fresh };
        }
        let now = u128::from(open.started.mono) * count;
        if bucket.paid + cost > now + whole {
            let early = (bucket.paid + cost - now - whole) / count;
            return Err(format!("its rate of {} in {} ns allows it {early} ns later", rate.count, rate.nanos));
        }
        bucket.paid = bucket.paid.max(now) + cost;
        Ok(())
    }

    fn at_once(&mut self, scene: &Scene<'_>) -> Result<(), String> {
        let Scene { facts, attempt, open, .. } = *scene;
        let rules = facts.rules();
        let Some(endpoint) = scene.endpoint else { return Ok(()) };
        if let (true, Some(spec)) = (rules.tenant_bound < u32::MAX, endpoint.specs.all().next()) {
            let flying = self.of_tenants.entry(spec.tenant).or_default();
            within(facts, flying, attempt, open, rules.tenant_bound).map_err(|found| {
                format!("{found} attempts for the tenant are in flight, at most {} may be", rules.tenant_bound)
            })?;
        }
        if let (true, Some(spec)) = (rules.host_bound < u32::MAX, endpoint.specs.sure()) {
            let flying = self.of_hosts.entry((open.node, spec.host.clone(), spec.port)).or_default();
            within(facts, flying, attempt, open, rules.host_bound).map_err(|found| {
                format!("{found} attempts to the host are in flight, at most {} may be", rules.host_bound)
            })?;
        }
        Ok(())
    }

    /// Whether it is not for a delivery that should have been given up.
    fn too_late(&mut self, scene: &Scene<'_>) -> Result<(), String> {
        let open = scene.open;
        let key = (open.event, open.endpoint);
        let wait = self.waits.remove(&key).filter(|wait| wait.incarnation == open.incarnation);
        let spec = scene.endpoint.and_then(|endpoint| endpoint.specs.sure());
        let Some(pace) = spec.map(|spec| spec.pace) else { return Ok(()) };
        let age =
            self.offered.get(open.event).map(|at| open.started.wall.saturating_sub(*at).saturating_mul(1_000_000));
        if let (Some(age), Some(max)) = (age, pace.max_age)
            && age > max + SLACK
        {
            return Err(format!("it is {age} ns old, and no attempt may start after {max} ns"));
        }
        let due = wait.filter(|wait| wait.failed + 1 == open.number).and_then(|wait| wait.due);
        let waited = due.map(|due| open.started.mono.saturating_sub(due));
        if let (Some(waited), Some(max)) = (waited, pace.queue)
            && waited > max + SLACK
        {
            return Err(format!("it has waited {waited} ns for its endpoint, which may take {max} ns"));
        }
        Ok(())
    }
}

/// Counts an attempt in, and says how many are in flight if these are too many.
fn within(facts: &Facts, flying: &mut Vec<u64>, attempt: u64, open: &Attempt, most: u32) -> Result<(), usize> {
    flying.push(attempt);
    if flying.len() <= most as usize {
        return Ok(());
    }
    let now = open.started.mono;
    flying.retain(|other| facts.attempt(*other).is_some_and(|other| !other.may_be_freed(now)));
    if flying.len() <= most as usize { Ok(()) } else { Err(flying.len()) }
}
