//! What a crash must not break. `PROPTEST_CASES` sets the number of cases; without it there are 256.

use postrider_testkit::{laws, ops};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The process may die at any moment, with any prefix of what was not acknowledged on the disk: what was
    /// acknowledged is owed as before, what was delivered is not sent again, and what was revoked, disabled, paused or
    /// removed stays so.
    #[test]
    fn nothing_acknowledged_is_lost(setup in ops::setup(), runs in runs()) {
        prop_assert_eq!(laws::crash(&setup, &runs), Ok(()));
    }
}

fn runs() -> impl Strategy<Value = Vec<(Vec<ops::Op>, usize, i32)>> {
    let wall = prop_oneof![Just(0), -100_000_000..100_000_000_i32, 0..60_000_i32];
    prop::collection::vec((ops::ops(40), 0..4_usize, wall), 1..4)
}
