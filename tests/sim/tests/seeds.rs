//! The simulator in the test suite: a few seeds, a glance at every crash, and the same hash twice.

use postrider_sim::crash::{self, Effort};
use postrider_sim::journal::Journals;
use postrider_sim::profile::Scale;
use postrider_sim::run::{self, Plan};
use postrider_sim::world::{Cast, World};

#[test]
fn twenty_seeds_of_six_hours_hold() {
    let plan = Plan {
        first: 0,
        seeds: 20,
        scale: Scale { events: 2000, ..Scale::hours(6) },
        threads: 0,
        keep_going: true,
        progress: false,
        replay: None,
    };
    let summary = run::run(&plan, Cast::usual);
    let failures: Vec<_> =
        summary.failures.iter().map(|failure| format!("seed {}: {}", failure.seed, failure.what)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(summary.counts.attempts > 1000 && summary.counts.restarts > 10, "{}", summary.text());
}

#[test]
fn a_glance_at_every_crash() {
    let tried = crash::run(Effort::SHORT, || Box::new(Journals)).unwrap();
    assert!(tried.stories == 20 && tried.recoveries > 1000 && tried.second > 1000, "{tried:?}");
}

#[test]
fn a_seed_comes_to_the_same_hash_twice() {
    let scale = Scale { events: 300, ..Scale::hours(3) };
    let hash = |seed| World::new(seed, &scale, Cast::usual()).run().hash;
    assert_eq!(hash(5), hash(5));
    assert_ne!(hash(5), hash(6));
}
