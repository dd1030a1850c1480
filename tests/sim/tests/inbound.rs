//! The receiving machine in worlds of its own.

use postrider_sim::inbound::{Ordered, Setting, run, run_all};

#[test]
fn three_hundred_worlds_hold() {
    let summary = run_all(0, 300);
    assert!(summary.failures.is_empty(), "{:#?}", summary.failures);
    let counts = summary.counts;
    assert!(counts.crashes > 1000 && counts.gaps > 500 && counts.late > 500, "{counts}");
}

#[test]
fn a_seed_means_the_same_each_time() {
    for seed in [3, 7, 11] {
        assert_eq!(run(seed).hash, run(seed).hash);
    }
}

#[test]
fn everything_that_can_be_asked_for_is_drawn() {
    let drawn: Vec<_> = (0..300).map(Setting::draw).collect();
    let schemes: std::collections::BTreeSet<_> = drawn.iter().map(|one| one.provider.scheme().name()).collect();
    assert!(schemes.len() > 25, "{schemes:?}");
    for order in [Ordered::No, Ordered::Version, Ordered::Sequence] {
        for claims in [false, true] {
            for stored in [false, true] {
                let alike = |one: &&Setting| (one.order, one.claims, one.stored) == (order, claims, stored);
                assert!(drawn.iter().any(|one| alike(&one)), "{order:?} {claims} {stored}");
            }
        }
    }
}
