//! A short run of the cases; the long one is `cargo run --release -p postrider-damage`.

use postrider_damage::{Cases, Kind};

#[test]
fn no_loss_is_silent_and_no_wrong_byte_is_handed_out() {
    let table = Cases::new(1).run(600, 2, &|_| {});
    assert!(table.failures().is_empty(), "{table}");
    for kind in Kind::ALL {
        assert!(table.cases(kind) > 0, "there is no case of {kind}");
    }
}

#[test]
fn a_case_is_a_function_of_its_number() {
    let (some, others) = (Cases::new(7), Cases::new(7));
    for number in [3, 1, 2] {
        assert_eq!(some.case(number), others.case(number));
    }
}
