//! A decision: what weir pays every five seconds.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use records::{EDGES, clients, take};
use weir_engine::{Engine, Input, Schedule, Started, WindowId};
use weir_signals::{Decider, Learning};

#[path = "../../engine/benches/records/mod.rs"]
mod records;

/// 5,000 edges to as many addresses, each with so many connects of that outcome a window.
fn decide(c: &mut Criterion) {
    let window_ns = 5_000_000_000;
    let mut group = c.benchmark_group("decide, 5,000 edges");
    for (name, outcome) in [("all well", 0), ("all refused", 1)] {
        let mut records = clients(EDGES);
        let mut engine = Engine::new([Schedule::Tumbling { span_ns: window_ns }]);
        engine.take(Input::Started(Started::default()));
        let mut decider = Decider::new(Learning::of(0));
        let mut now_ns = 0;
        let mut window = |engine: &mut Engine, outcome: usize| {
            now_ns += window_ns;
            for (at, record) in records.iter_mut().enumerate() {
                record.key.address[12..].copy_from_slice(&(at as u32).to_be_bytes());
                record.connects[outcome] += 30;
                record.latency.buckets[20] += 30;
            }
            take(engine, &records, now_ns);
            (now_ns, engine.snapshot(WindowId::FIRST))
        };
        for _ in 0..60 {
            let (now_ns, snapshot) = window(&mut engine, 0);
            decider.window(now_ns, &snapshot);
        }
        group.throughput(Throughput::Elements(u64::from(EDGES)));
        group.bench_function(name, |b| {
            b.iter_batched(
                || window(&mut engine, outcome),
                |(now_ns, snapshot)| decider.window(now_ns, black_box(&snapshot)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
