//! The bucket of a duration: twice or three times a round.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use weir_ebpf::histogram::index;

fn histogram(c: &mut Criterion) {
    let mut group = c.benchmark_group("histogram");
    for (name, ns) in [("below range", 500), ("100 us", 100_000), ("10 s", 10_000_000_000), ("above range", u64::MAX)] {
        group.bench_function(format!("index, {name}"), |b| b.iter(|| index(black_box(ns))));
    }
    group.finish();
}

criterion_group!(benches, histogram);
criterion_main!(benches);
