//! The engine: a tick is what weir pays every second, a snapshot what it pays when a window is read, a decision what it pays
//! every five.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_abi::{EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_CLIENT, ROLE_SERVER, SLOT_LIVE};
use weir_engine::{Engine, Input, Schedule, WindowId};

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

/// The service's ends of the same edges.
fn servers(n: u32) -> Vec<EdgeRecord> {
    let base = EdgeKey { tgid: 1 << 20, netns: 1, role: ROLE_SERVER, address: [9; 16], port: 80, ..EdgeKey::default() };
    (1..=n).map(|peer_tgid| record(EdgeKey { peer_tgid, listen_port: 80, ..base })).collect()
}

fn tell(engine: &mut Engine, records: &[EdgeRecord], at_ns: u64) {
    for (slot, record) in (FIRST_SLOT..).zip(records) {
        engine.take(Input::Edge { slot, record });
    }
    engine.take(Input::Tick { monotonic_ns: at_ns, unix_ns: at_ns });
}

fn told(records: &[EdgeRecord]) -> Engine {
    let mut engine = Engine::new([Schedule::Whole]);
    tell(&mut engine, records, 1_000_000_000);
    engine
}

fn tick(c: &mut Criterion) {
    let records = clients(EDGES);
    let mut group = c.benchmark_group("engine tick, edges changed");
    for changed in [1, 100, 1_000, EDGES] {
        let mut engine = told(&records);
        group.throughput(Throughput::Elements(u64::from(changed)));
        group.bench_with_input(BenchmarkId::from_parameter(changed), &changed, |b, &changed| {
            b.iter(|| tell(&mut engine, black_box(&records[..changed as usize]), black_box(2_000_000_000)));
        });
    }
    group.finish();
}

fn snapshot(c: &mut Criterion) {
    let one_ended = told(&clients(1_000));
    let joined = told(&[clients(1_000), servers(1_000)].concat());
    assert_eq!(
        (one_ended.snapshot(WindowId::FIRST).edges.len(), joined.snapshot(WindowId::FIRST).edges.len()),
        (1_000, 1_000)
    );
    let mut group = c.benchmark_group("engine snapshot");
    for (name, engine) in [("1,000 edges", &one_ended), ("1,000 edges joined from 2,000 ends", &joined)] {
        group.bench_function(name, |b| {
            b.iter_batched(|| (), |()| engine.snapshot(WindowId::FIRST), BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, tick, snapshot);
criterion_main!(benches);
