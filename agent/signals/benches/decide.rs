//! The engine: a tick is what weir pays every second, a snapshot what it pays when one is taken, a decision what it pays
//! every five.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use weir_abi::{EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_CLIENT, SLOT_LIVE};
use weir_engine::{Engine, Input, Schedule, Started, WindowId};
use weir_signals::{Decider, Learning};

const EDGES: u32 = 5_000;

/// An edge that has seen something of everything.
fn record(key: EdgeKey) -> EdgeRecord {
    let mut record = EdgeRecord { key, state: SLOT_LIVE, peer_netns: 1, opened: 1, ..EdgeRecord::EMPTY };
    record.comm[..4].copy_from_slice(b"curl");
    record.connects[0] = 1;
    record.in_flight = 100;
    for histogram in [&mut record.latency, &mut record.full_latency_correction, &mut record.receive_queue_wait] {
        histogram.sum_ns = 1_000_000;
        histogram.buckets[20..30].fill(10);
    }
    record
}

/// `n` processes that call one service.
fn clients(n: u32) -> Vec<EdgeRecord> {
    let key = |tgid| EdgeKey { tgid, netns: 1, role: ROLE_CLIENT, address: [9; 16], port: 80, ..EdgeKey::default() };
    (1..=n).map(|tgid| record(key(tgid))).collect()
}

fn take(engine: &mut Engine, records: &[EdgeRecord], at_ns: u64) {
    for (slot, record) in (FIRST_SLOT..).zip(records) {
        engine.take(Input::Edge { slot, record });
    }
    engine.take(Input::Tick { monotonic_ns: at_ns, unix_ns: at_ns });
}

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
