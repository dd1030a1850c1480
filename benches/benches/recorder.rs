//! What does the flight recorder cost?
//!
//! The same work with and without it, by turns: one event to a thousand endpoints, and a thousand events to one. `off`
//! and `on` are the time of one delivery, signed and with its head written; the ratio of the two is the answer. Writing
//! the trace to a file is not in it: that is a sequential write of `bytes` for each delivery, which is printed.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use postrider_benches::{Bench, Carry};

const PAYLOAD: usize = 1024;

fn recorder(c: &mut Criterion) {
    for (question, endpoints, events) in [("fan_out_1000", 1000, 1), ("events_to_one_endpoint", 1, 1000)] {
        let mut group = c.benchmark_group(format!("recorder/{question}"));
        group.sample_size(20);
        let mut benches = [Bench::with_endpoints(endpoints), Bench::recording(endpoints)];
        let mut id = 0;
        for (name, carry) in [("machine", Carry::Nothing), ("signed", Carry::Head)] {
            for (bench, how) in benches.iter_mut().zip(["off", "on"]) {
                group.bench_function(BenchmarkId::new(name, how), |b| {
                    b.iter_custom(|times| round(bench, &mut id, times, (endpoints, events), carry));
                });
            }
        }
        group.finish();
        // By turns, so that what else the machine does hits both.
        let mut spent = [Duration::ZERO; 2];
        for _ in 0..200 {
            for (bench, spent) in benches.iter_mut().zip(&mut spent) {
                *spent += round(bench, &mut id, 1, (endpoints, events), Carry::Head);
            }
        }
        benches[1].sender.take();
        round(&mut benches[1], &mut id, 1, (endpoints, events), Carry::Head);
        // `publish` drops what was written before it, so this is the share of the deliveries, and of the last event.
        let bytes = benches[1].sender.untaken() as u64 / u64::from(endpoints * events);
        println!(
            "{question}: with the recorder {:.3} x the time without, 200 rounds by turns; {bytes} bytes a delivery at most",
            spent[1].as_secs_f64() / spent[0].as_secs_f64(),
        );
    }
}

/// The time of one delivery.
fn round(bench: &mut Bench, id: &mut u64, times: u64, (endpoints, events): (u32, u32), carry: Carry) -> Duration {
    let begun = Instant::now();
    for _ in 0..times {
        for _ in 0..events {
            *id += 1;
            bench.publish(*id, PAYLOAD);
        }
        assert_eq!(bench.settle(carry), u64::from(endpoints) * u64::from(events));
    }
    begun.elapsed() / (endpoints * events)
}

criterion_group!(benches, recorder);
criterion_main!(benches);
