//! The receiving machine in a world of its own: senders of every scheme, a network that loses, delays, doubles and reorders,
//! receivers that crash and whose clocks are off, an application that fails, and a store of claims that goes away.
//!
//! Everything that happens is a pure function of one `u64`. After a phase of faults comes one without, in which every
//! message must come to its end.
//!
//! Judged are, from outside: a success is answered only to what has had its effect or is durable; what has ended is not
//! delivered again by whoever remembers it, which is everybody where there is a store of claims; what nobody signed is never
//! delivered; of a line one is out at a time, in order, or the gap is told; nothing is lost, and nobody waits for ever.

mod draw;
mod judge;
mod node;
mod shop;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub use draw::{Ordered, Setting};
pub use world::{Counts, Verdict, run};

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seeds that broke something, or did not come to the same twice, and what.
    pub failures: Vec<(u64, String)>,
    /// What was counted.
    pub counts: Counts,
}

/// Runs seeds side by side, each 16th of them twice.
pub fn run_all(first: u64, seeds: u64) -> Summary {
    let (next, summary) = (AtomicU64::new(0), Mutex::new(Summary::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= seeds {
                        return;
                    }
                    let (counts, broken) = tried(first + at);
                    let mut summary = summary.lock().expect("nobody panics while holding it");
                    summary.counts.add(&counts);
                    summary.failures.extend(broken.map(|what| (first + at, what)));
                }
            });
        }
    });
    let mut summary = summary.into_inner().expect("nobody panics while holding it");
    summary.failures.sort_unstable();
    summary
}

/// What a seed breaks; a panic is a finding too.
pub fn tried(seed: u64) -> (Counts, Option<String>) {
    match std::panic::catch_unwind(|| run(seed)) {
        Ok(verdict) => {
            let broken = verdict.broken.map(|(at, what)| format!("{what}, at {at}"));
            let twice = seed.is_multiple_of(16) && broken.is_none() && run(seed).hash != verdict.hash;
            (verdict.counts, broken.or_else(|| twice.then(|| "it does not come to the same twice".into())))
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            (Counts::default(), Some(format!("a panic: {}", text.unwrap_or_default())))
        }
    }
}
