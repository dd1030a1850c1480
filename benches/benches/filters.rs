//! What does content cost? Flattening an event, and finding the filters that match it: by the fields used and the
//! matches, not by subscriptions, beside a scan over all of them.

use core::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postrider_core::matching::filter::{Filter, FilterIndex, Flat};

/// Filters of eight kinds, of which some ten match the event however many there are. All want the same kind of order,
/// as the subscriptions of one tenant would.
fn filters(count: u32) -> Vec<Filter> {
    (0..count)
        .map(|n| {
            let text = match n % 8 {
                0 | 1 => format!(r#"{{"kind": ["order"], "customer": {{"id": ["c{n}"]}}}}"#),
                2 => format!(r#"{{"kind": ["order"], "sku": [{{"prefix": "{n:07}-"}}]}}"#),
                3 => {
                    let low = u64::from(n) * 10;
                    format!(r#"{{"kind": ["order"], "total": [{{"numeric": [">=", {low}, "<", {}]}}]}}"#, low + 25)
                }
                4 => format!(
                    r#"{{"kind": ["order"], "lines": {{"sku": ["s{n}"], "count": [{{"numeric": [">", 1]}}]}}}}"#
                ),
                5 => format!(r#"{{"kind": ["order"], "mail": [{{"equals-ignore-case": "User{n}@Example.com"}}]}}"#),
                6 => format!(r#"{{"$or": [{{"region": ["r{n}"]}}, {{"customer": {{"id": ["d{n}"]}}}}]}}"#),
                _ => format!(r#"{{"kind": ["order"], "note": [{{"wildcard": "n{n} *urgent*"}}]}}"#),
            };
            Filter::eventbridge(&text).expect("a good pattern")
        })
        .collect()
}

/// About 900 bytes.
fn event() -> String {
    let lines: Vec<String> = (0..8)
        .map(|line| {
            format!(r#"{{"sku": "s{}", "count": {line}, "price": 19.90, "tags": ["new", "sale"]}}"#, line * 8 + 4)
        })
        .collect();
    format!(
        r#"{{"kind": "order", "customer": {{"id": "c16", "name": "Ada L.", "since": "2019-04-01T00:00:00Z"}},
            "sku": "0000010-x", "total": 121.50, "mail": "user21@example.com", "region": "r14", "note": "n7 very urgent!",
            "address": {{"street": "Somewhere 1", "city": "Elsewhere", "zip": "12345", "country": "DE"}},
            "lines": [{}]}}"#,
        lines.join(", ")
    )
}

fn matching(c: &mut Criterion) {
    let event = Flat::of(event().as_bytes()).expect("a good event");
    let mut group = c.benchmark_group("filters/match");
    group.throughput(Throughput::Elements(1));
    for count in [100, 10_000, 1_000_000] {
        let all = filters(count);
        let mut index = FilterIndex::new();
        for (number, filter) in (0..).zip(&all) {
            index.insert(number, filter);
        }
        let scan = || (0..).zip(&all).filter(|(_, filter)| filter.matches(&event)).map(|(n, _): (u32, _)| n);
        let found = index.matches(&event);
        assert_eq!(found, scan().collect::<Vec<_>>());
        println!("{count} filters, {} match", found.len());
        group.bench_function(BenchmarkId::new("index", count), |b| b.iter(|| index.matches(&event).len()));
        group.bench_function(BenchmarkId::new("scan", count), |b| b.iter(|| scan().count()));
    }
    group.finish();
}

fn inserting(c: &mut Criterion) {
    let all = filters(100_000);
    let mut index = FilterIndex::new();
    for (number, filter) in (0..).zip(&all) {
        index.insert(number, filter);
    }
    let mut group = c.benchmark_group("filters/change");
    group.throughput(Throughput::Elements(1));
    let mut number = 0;
    group.bench_function("remove and insert among 100000", |b| {
        b.iter(|| {
            number = (number + 7919) % 100_000;
            let filter = index.remove(number).expect("it is there");
            index.insert(number, &filter)
        });
    });
    let text = all[4].as_str();
    group.bench_function("read", |b| b.iter(|| Filter::eventbridge(core::hint::black_box(text))));
    group.finish();
}

fn flattening(c: &mut Criterion) {
    let small = event();
    let large = format!("[{}]", [&*small; 256].join(","));
    let large = format!(r#"{{"all": {large}}}"#);
    let text = format!(r#"{{"text": "{}"}}"#, "lorem ipsum ".repeat(20_000));
    let mut group = c.benchmark_group("filters/flatten");
    for (name, event) in [("order of 1 KB", small), ("list of 300 KB", large), ("string of 240 KB", text)] {
        group.throughput(Throughput::Bytes(event.len() as u64));
        group.bench_function(name, |b| b.iter(|| Flat::of(core::hint::black_box(event.as_bytes()))));
    }
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = quick();
    targets = matching, inserting, flattening
}
criterion_main!(benches);
