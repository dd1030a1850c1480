//! A short run: the whole of it is `cargo run --release -p postrider-kill`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use postrider_kill::{Plan, build, run};

#[test]
fn ten_kills_lose_nothing() {
    let command = build().unwrap();
    for driver in ["tokio", "blocking"] {
        let mut plan = Plan::new(command.clone(), 10);
        (plan.kills, plan.events, plan.driver) = (10, 1000, driver.into());
        let report = run(&plan, |_, _| {}).unwrap();
        assert!(report.faults.is_empty(), "{driver}: {report}");
        assert_eq!((report.kills, report.arrived), (10, 1000), "{driver}: {report}");
    }
}
