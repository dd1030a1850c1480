//! What does pacing add to an attempt? One row for each thing that is asked or told once an attempt; all are flat in the
//! number of flows.

use core::hint::black_box;
use core::num::NonZeroU16;
use core::time::Duration;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use postrider_core::retry::{
    Admission, Balance, Breaker, BreakerPolicy, Budget, Fair, Flows, Gcra, Link, Links, Pace, Rate,
};
use postrider_core::time::Instant;

struct Slab(Vec<(Link, Balance)>);

impl Links for Slab {
    fn link(&self, handle: u32) -> Link {
        self.0[handle as usize].0
    }
    fn link_mut(&mut self, handle: u32) -> &mut Link {
        &mut self.0[handle as usize].0
    }
}

impl Flows for Slab {
    fn balance(&self, handle: u32) -> Balance {
        self.0[handle as usize].1
    }
    fn balance_mut(&mut self, handle: u32) -> &mut Balance {
        &mut self.0[handle as usize].1
    }
}

fn pacing(c: &mut Criterion) {
    let mut group = c.benchmark_group("pacing");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));

    let (policy, mut breaker, mut nanos) = (BreakerPolicy::default(), Breaker::new(), 0);
    group.bench_function("breaker_record", |b| {
        b.iter(|| {
            // A millisecond later; half of all attempts fail, so that it counts and stays closed.
            nanos += 1_000_000;
            let told = breaker.record(&policy, Instant::from_nanos(nanos), nanos % 2_000_000 == 0);
            assert!(black_box(told).is_none());
        });
        assert_eq!(breaker.admits(Instant::LAST), Admission::Allow);
    });

    let rate = Rate::per_second(700_000).and_then(|rate| rate.with_burst(100)).expect("a rate");
    let (mut pace, mut nanos, mut ready) = (Gcra::full(rate), 0, 0_u64);
    group.bench_function("gcra_take", |b| {
        b.iter(|| {
            // A microsecond later, so that seven of ten are ready.
            nanos += 1000;
            ready += u64::from(pace.take(Instant::from_nanos(nanos)) == Pace::Ready);
        });
    });
    assert!(ready > nanos / 1000 / 2 || nanos == 0, "{ready} in {nanos} ns");

    let mut budget = Budget::default();
    group.bench_function("budget_next", |b| b.iter(|| black_box(budget.next(true, true))));

    for flows in [100, 1_000_000] {
        let mut slab = Slab(vec![Default::default(); flows as usize]);
        let mut fair: Fair = Fair::new(NonZeroU16::MIN);
        (0..flows).for_each(|flow| fair.activate(&mut slab, flow));
        group.bench_function(BenchmarkId::new("drr_step", flows), |b| {
            b.iter(|| {
                let flow = fair.next(&mut slab).expect("all are active");
                fair.charge(&mut slab, flow, 1);
                black_box(flow)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pacing);
criterion_main!(benches);
