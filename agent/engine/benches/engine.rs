//! The engine: a tick is what weir pays every second, a snapshot what it pays when a window is read.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use records::{EDGES, clients, record, take};
use weir_abi::{EdgeKey, EdgeRecord, ROLE_SERVER};
use weir_engine::{Engine, Schedule, WindowId};

mod records;

/// The service's ends of the same edges.
fn servers(n: u32) -> Vec<EdgeRecord> {
    let base = EdgeKey { tgid: 1 << 20, netns: 1, role: ROLE_SERVER, address: [9; 16], port: 80, ..EdgeKey::default() };
    (1..=n).map(|peer_tgid| record(EdgeKey { peer_tgid, listen_port: 80, ..base })).collect()
}

fn told(records: &[EdgeRecord]) -> Engine {
    let mut engine = Engine::new([Schedule::Whole]);
    take(&mut engine, records, 1_000_000_000);
    engine
}

fn tick(c: &mut Criterion) {
    let records = clients(EDGES);
    let mut group = c.benchmark_group("engine tick, edges changed");
    for changed in [1, 100, 1_000, EDGES] {
        let mut engine = told(&records);
        group.throughput(Throughput::Elements(u64::from(changed)));
        group.bench_with_input(BenchmarkId::from_parameter(changed), &changed, |b, &changed| {
            b.iter(|| take(&mut engine, black_box(&records[..changed as usize]), black_box(2_000_000_000)));
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
