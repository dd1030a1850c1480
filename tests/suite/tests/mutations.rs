//! Messages that were changed after they were signed; `cargo run --release -p postrider-tests --bin mutate` makes ten
//! million.

use postrider_tests::mutations;

#[test]
fn nothing_that_was_changed_is_accepted() {
    let tally = mutations::run(1, 100_000);
    assert_eq!(tally.forged, Vec::<String>::new());
    assert!(tally.refused >= 90_000, "{tally}");
}
