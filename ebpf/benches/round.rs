//! The round machine: the cost of each send and receive, without the maps and the clock.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use weir_ebpf::round::{IDLE_NS, Round, RoundEvents};

/// Only sums up, as the edge's counters do.
#[derive(Default)]
struct Sums(u64);

impl RoundEvents for Sums {
    fn opened(&mut self, round: &Round) {
        self.0 = self.0.wrapping_sub(round.started_ns);
    }

    fn answered(&mut self, _round: &Round, latency_ns: u64) {
        self.0 = self.0.wrapping_add(latency_ns);
    }

    fn prolonged(&mut self, first_ns: u64, full_ns: u64) {
        self.0 = self.0.wrapping_add(full_ns - first_ns);
    }

    fn suspected(&mut self, _round: &Round) {
        self.0 = self.0.wrapping_add(1);
    }
}

/// The result of one operation on a copy of `round`.
fn after(mut round: Round, operation: impl FnOnce(&mut Round, &mut Sums)) -> (Round, u64) {
    let mut sums = Sums::default();
    operation(&mut round, &mut sums);
    (round, sums.0)
}

/// A connection in mid-life: 1,000 rounds of 100 us.
fn busy() -> Round {
    let mut round = Round::default();
    for i in 0..1_000 {
        round.initiate(1 + i * 100_000, || 50_000, &mut Sums::default());
        round.respond(50_001 + i * 100_000, &mut Sums::default());
    }
    round
}

fn round(c: &mut Criterion) {
    let answered = busy();
    let now = 1_000 * 100_000;
    let mut open = answered;
    open.initiate(now, || 50_000, &mut Sums::default());

    let mut group = c.benchmark_group("round");
    group.bench_function("initiate", |b| {
        b.iter(|| after(black_box(answered), |round, sums| round.initiate(black_box(now), || 50_000, sums)));
    });
    group.bench_function("initiate, request goes on", |b| {
        b.iter(|| after(black_box(open), |round, sums| round.initiate(black_box(now + 2_000_000), || 50_000, sums)));
    });
    group.bench_function("respond", |b| {
        b.iter(|| after(black_box(open), |round, sums| round.respond(black_box(now + 50_000), sums)));
    });
    group.bench_function("respond, answer goes on", |b| {
        b.iter(|| after(black_box(answered), |round, sums| round.respond(black_box(now), sums)));
    });
    group.bench_function("settle", |b| {
        b.iter(|| after(black_box(answered), |round, sums| round.settle(black_box(Some(now + 2 * IDLE_NS)), sums)));
    });
    group.bench_function("evidence", |b| b.iter(|| black_box(open).evidence()));
    group.finish();
}

criterion_group!(benches, round);
criterion_main!(benches);
