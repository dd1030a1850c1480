//! What does one delivery cost, from the event to the verdict, with and without its signature?
//!
//! The machine alone: records are acknowledged and attempts answered at once, nothing is sent. `machine` is the core's
//! own work; `signed` adds the cleared address, the head and the HMAC; `hmac` is the bare keyed HMAC of the same bytes,
//! so that the ratio of the two can be read on any machine. A thousand endpoints lie in the processor's caches, a hundred
//! thousand do not: the difference is what memory costs. All times are for one delivery.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use postrider_benches::{Bench, Carry};
use sha2::Sha256;

fn fan_out(c: &mut Criterion) {
    fan_out_to(c, 1000);
    fan_out_to(c, 100_000);
}

fn fan_out_to(c: &mut Criterion, endpoints: u32) {
    let mut group = c.benchmark_group(format!("fan_out_{endpoints}"));
    group.sample_size(10);
    let mut bench = Bench::with_endpoints(endpoints);
    let mut id = 0;
    for size in [64, 1024] {
        for (name, carry) in [("machine", Carry::Nothing), ("signed", Carry::Head)] {
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter_custom(|times| {
                    each(times, endpoints, || {
                        id += 1;
                        bench.publish(id, size);
                        assert_eq!(bench.settle(carry), u64::from(endpoints));
                    })
                });
            });
        }
        let keyed = Hmac::<Sha256>::new_from_slice(&[9; 24]).expect("any length");
        let message = vec![b'x'; size + 43 + 60];
        group.bench_function(BenchmarkId::new("hmac", size), |b| {
            b.iter(|| {
                let mut mac = keyed.clone();
                mac.update(core::hint::black_box(&message));
                mac.finalize()
            });
        });
    }
    group.finish();
}

/// What one delivery takes, when something makes `deliveries` of them, so many times.
fn each(times: u64, deliveries: u32, mut make: impl FnMut()) -> Duration {
    let begun = Instant::now();
    (0..times).for_each(|_| make());
    begun.elapsed() / deliveries
}

fn many_events(c: &mut Criterion) {
    let mut group = c.benchmark_group("events_to_one_endpoint");
    let mut bench = Bench::with_endpoints(1);
    let mut id = 0;
    for (name, carry) in [("machine", Carry::Nothing), ("signed", Carry::Head)] {
        group.bench_function(BenchmarkId::new(name, 1024), |b| {
            b.iter_custom(|times| {
                each(times, 1000, || {
                    for _ in 0..1000 {
                        id += 1;
                        bench.publish(id, 1024);
                    }
                    assert_eq!(bench.settle(carry), 1000);
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out, many_events);
criterion_main!(benches);
