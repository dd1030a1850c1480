//! The laws L1 to L10 of the sending machine, each as a property. `PROPTEST_CASES` sets the number of cases; without
//! it there are 256 of each.

use postrider_testkit::harness::Law;
use postrider_testkit::{laws, ops};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: once everything goes well, every event that was accepted and not cancelled
    /// ends, with each endpoint that wanted it delivered or with a true reason why not.
    #[test]
    fn l1_nothing_is_lost_or_stuck(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Drain, &setup, &ops), Ok(()));
    }

    /// Wakes lie ahead, at most 256 outputs come before one, and at rest polling again changes nothing.
    #[test]
    fn l2_waits_lie_ahead_and_polling_at_rest_changes_nothing(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Progress, &setup, &ops), Ok(()));
    }

    /// No attempt and no notice leaves before the record that it depends on is acknowledged.
    #[test]
    fn l3_nothing_shows_before_it_is_durable(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Durability, &setup, &ops), Ok(()));
    }

    /// Attempts in flight never exceed the credit, and each slot is freed once.
    #[test]
    fn l4_attempts_keep_to_the_credit(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Credit, &setup, &ops), Ok(()));
    }

    /// No attempt is early, whatever the clocks do, and a monotonic clock that goes back is counted.
    #[test]
    fn l5_nothing_is_early(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Time, &setup, &ops), Ok(()));
    }

    /// The same calls give the same outputs, byte for byte.
    #[test]
    fn l6_the_same_calls_have_the_same_outputs(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Determinism, &setup, &ops), Ok(()));
    }

    /// Queues stay within the limits that they were given.
    #[test]
    fn l7_queues_stay_within_their_limits(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Bounds, &setup, &ops), Ok(()));
    }

    /// Steps are paid for by calls, outputs and records, and an idle poll takes one.
    #[test]
    fn l8_work_is_paid_for(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Cost, &setup, &ops), Ok(()));
    }

    /// After a drain, nothing waits that could go on.
    #[test]
    fn l9_effects_come_in_the_same_drain(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Fixpoint, &setup, &ops), Ok(()));
    }

    /// After the end nothing has an effect.
    #[test]
    fn l10_the_end_is_the_end(setup in ops::setup(), ops in ops::ops_with_close(60)) {
        prop_assert_eq!(laws::check(Law::Terminal, &setup, &ops), Ok(()));
    }
}
