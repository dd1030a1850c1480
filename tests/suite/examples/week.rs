//! How long a week of retries takes in the sandbox: an event that no receiver ever takes.

use std::time::{Duration, Instant};

use postrider_core::limits::SCHEDULE_STEPS;
use postrider_testkit::Sandbox;

fn main() {
    for (what, step) in [("the default schedule", None), ("64 attempts, the most there may be", Some(9500))] {
        let times = (0..21).map(|_| {
            let begun = Instant::now();
            let mut sandbox = Sandbox::new();
            let receiver = sandbox.receiver("acme").endpoint(|endpoint| endpoint.never_disable()).answers([500]);
            if let Some(secs) = step {
                let _ = receiver.schedule(vec![Duration::from_secs(secs); SCHEDULE_STEPS]);
            }
            let order = sandbox.publish("order.paid", serde_json::json!({ "id": 1001 }));
            sandbox.advance(Duration::from_secs(7 * 24 * 3600));
            (begun.elapsed(), sandbox.schedule_of("acme", &order).len())
        });
        let mut times: Vec<_> = times.collect();
        times.sort_unstable();
        println!("{what}: {} attempts, median {:.0?} of 21 runs", times[10].1, times[10].0);
    }
}
