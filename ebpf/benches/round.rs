//! The round machine: what each send and receive of the host pays, beside the maps and the clock.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use weir_ebpf::round::{IDLE_NS, Round};

/// A connection in mid-life: 1,000 rounds of 100 us.
fn busy() -> Round {
    let mut round = Round::default();
    for i in 0..1_000 {
        round.initiate(1 + i * 100_000, 50_000);
        round.respond(50_001 + i * 100_000);
    }
    round
}

fn round(c: &mut Criterion) {
    let answered = busy();
    let now = 1_000 * 100_000;
    let mut open = answered;
    open.initiate(now, 50_000);

    let mut group = c.benchmark_group("round");
    group.bench_function("initiate", |b| b.iter(|| black_box(answered).initiate(black_box(now), black_box(50_000))));
    group.bench_function("initiate, request goes on", |b| {
        b.iter(|| black_box(open).initiate(black_box(now + 2_000_000), black_box(50_000)));
    });
    group.bench_function("respond", |b| b.iter(|| black_box(open).respond(black_box(now + 50_000))));
    group.bench_function("respond, answer goes on", |b| b.iter(|| black_box(answered).respond(black_box(now))));
    group.bench_function("settle", |b| b.iter(|| black_box(answered).settle(black_box(now + IDLE_NS), false)));
    group.bench_function("evidence", |b| b.iter(|| black_box(open).evidence()));
    group.finish();
}

criterion_group!(benches, round);
criterion_main!(benches);
