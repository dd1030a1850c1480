//! What does it cost to find who wants an event? By matches, not by subscriptions: beside a scan over all of them.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postrider_core::matching::{Index, Subscription};

/// Subscriptions of which the last hundred want the event and the others do not.
fn subscriptions(count: u32) -> Vec<Subscription> {
    let other = |n: u32| [format!("other.kind{}.**", n % 20_000), format!("other.kind{}", n % 20_000)];
    let wanted = [["order.payment.captured"], ["order.*.captured"], ["order.**"], ["**"]];
    (0..count)
        .map(|n| match n.checked_sub(count - 100) {
            None => Subscription::parse(other(n)).expect("good patterns"),
            Some(n) => Subscription::parse(wanted[n as usize % 4]).expect("good patterns"),
        })
        .collect()
}

fn matching(c: &mut Criterion) {
    let mut group = c.benchmark_group("matching");
    group.throughput(Throughput::Elements(100));
    for count in [10_000, 1_000_000] {
        let all = subscriptions(count);
        let mut index = Index::new();
        for (number, subscription) in (0..).zip(&all) {
            index.insert(number, subscription);
        }
        group.bench_function(BenchmarkId::new("index", count), |b| {
            b.iter(|| {
                let mut cursor = index.cursor("order.payment.captured", u32::MAX);
                let mut found = 0;
                while let Some(number) = index.next(&mut cursor) {
                    found += 1;
                    core::hint::black_box(number);
                }
                assert_eq!(found, 100);
            });
        });
        if count <= 10_000 {
            group.bench_function(BenchmarkId::new("scan", count), |b| {
                b.iter(|| all.iter().filter(|one| one.matches("order.payment.captured")).count());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);
