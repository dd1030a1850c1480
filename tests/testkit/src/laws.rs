//! The laws of the sending machine, each as a function from what was done to it to what was broken.
//!
//! They judge Postrider's core, and are public so that whoever extends it, or replaces its log, can hold the result to
//! the same laws. Strategies for their arguments are in [`ops`](crate::ops).

use crate::harness::{Harness, Law, Violation};
use crate::ops::{Op, Setup};

/// Runs the ops, heals, and says the first thing that was broken about one law. Other laws are judged by their own
/// calls; see [`all`] for everything at once.
pub fn check(law: Law, setup: &Setup, ops: &[Op]) -> Result<(), Violation> {
    if law == Law::Determinism {
        return determinism(setup, ops);
    }
    let harness = Harness::new(setup);
    let mut harness = if matches!(law, Law::Progress | Law::Cost) { harness.thorough() } else { harness };
    ops.iter().for_each(|op| harness.apply(op));
    harness.heal();
    harness.judge();
    first(&harness, Some(law))
}

/// The same for all laws but that of determinism.
pub fn all(setup: &Setup, ops: &[Op]) -> Result<(), Violation> {
    let mut harness = Harness::new(setup).thorough();
    ops.iter().for_each(|op| harness.apply(op));
    harness.heal();
    harness.judge();
    first(&harness, None)
}

/// Runs of ops with a crash behind each: how many unacknowledged batches survive, and by how many milliseconds the
/// wall clock has moved. Judges by the laws of crashes and of draining.
pub fn crash(setup: &Setup, runs: &[(Vec<Op>, usize, i32)]) -> Result<(), Violation> {
    let mut harness = Harness::new(setup);
    for (ops, survive, wall) in runs {
        ops.iter().for_each(|op| harness.apply(op));
        harness.crash(*survive, *wall);
    }
    harness.heal();
    harness.judge();
    first(&harness, Some(Law::Crash)).and_then(|()| first(&harness, Some(Law::Drain)))
}

/// Runs the ops twice and compares every output, every byte of the log and every request.
pub fn determinism(setup: &Setup, ops: &[Op]) -> Result<(), Violation> {
    let run = || {
        let mut harness = Harness::new(setup).traced();
        ops.iter().for_each(|op| harness.apply(op));
        harness.heal();
        harness
    };
    let (first, second) = (run(), run());
    let differs = first.trace().lines().zip(second.trace().lines()).find(|(one, other)| one != other);
    match differs {
        None if first.trace().len() == second.trace().len() => Ok(()),
        None => Err(Violation { law: Law::Determinism, what: "one run said more than the other".into() }),
        Some((one, other)) => {
            Err(Violation { law: Law::Determinism, what: format!("one run said\n{one}\nthe other\n{other}") })
        }
    }
}

fn first(harness: &Harness, law: Option<Law>) -> Result<(), Violation> {
    let broken = harness.violations().iter().find(|violation| law.is_none_or(|law| violation.law == law));
    broken.cloned().map_or(Ok(()), Err)
}
