//! Does an idle poll cost the same however much is registered? It must be flat in the number of endpoints (law L8).

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use postrider_benches::Bench;
use postrider_core::sender::Input;

fn idle(c: &mut Criterion) {
    let mut group = c.benchmark_group("idle");
    for endpoints in [100, 10_000, 1_000_000] {
        let mut bench = Bench::with_endpoints(endpoints);
        group.bench_function(BenchmarkId::new("poll", endpoints), |b| b.iter(|| bench.sender.poll_output()));
        group.bench_function(BenchmarkId::new("tick_and_poll", endpoints), |b| {
            b.iter(|| {
                bench.sender.handle(bench.now, Input::Tick);
                bench.sender.poll_output()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, idle);
criterion_main!(benches);
