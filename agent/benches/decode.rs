//! Decoding: an edge record out of the shared memory, which every tick does for every live edge, and a recording's
//! lines, in and out.

use std::{fs::File, hint::black_box, io::Write as _, os::fd::OwnedFd, path::PathBuf};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustix::fs::{MemfdFlags, memfd_create};
use weir_abi::{EdgeKey, EdgeRecord, SLOT_LIVE};
use weir_agent::EdgeMemory;
use weir_engine::Input;
use weir_recording::{Recorder, play};

/// An edge that has seen something of everything.
fn record(tgid: u32) -> EdgeRecord {
    let key = EdgeKey { tgid, port: 80, role: 1, address: [9; 16], ..EdgeKey::default() };
    let mut record = EdgeRecord { key, state: SLOT_LIVE, opened: 1, bytes_sent: 12_345_678, ..EdgeRecord::EMPTY };
    record.comm[..4].copy_from_slice(b"curl");
    record.connects[0] = 1;
    for histogram in [&mut record.latency, &mut record.full_latency_correction, &mut record.receive_queue_wait] {
        histogram.sum_ns = 1_000_000;
        histogram.buckets[20..30].fill(10);
    }
    record
}

/// The records where the reader expects them: in memory behind a descriptor, here one of our own.
fn shared(records: &[EdgeRecord]) -> EdgeMemory {
    let mut file = File::from(memfd_create("edges", MemfdFlags::CLOEXEC).expect("memfd_create"));
    for record in records {
        // SAFETY: integers without padding, as the ABI asserts; read as the bytes they are.
        let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<EdgeRecord>()) };
        file.write_all(bytes).expect("fill the memfd");
    }
    EdgeMemory::over(OwnedFd::from(file), records.len() as u32).expect("map the memfd")
}

fn edges(c: &mut Criterion) {
    let mut group = c.benchmark_group("edge records copied out of memory");
    for edges in [1, 100, 1_000] {
        let mut memory = shared(&(0..edges).map(record).collect::<Vec<_>>());
        let mut into = EdgeRecord::EMPTY;
        group.throughput(Throughput::Elements(u64::from(edges)));
        group.bench_function(BenchmarkId::from_parameter(edges), |b| {
            b.iter(|| {
                (0..edges).fold(0, |sum, slot| {
                    assert!(memory.look_at(slot).expect("map a part of the memfd"), "edge {slot} lives");
                    sum ^ memory.copy(slot, black_box(&mut into))
                })
            });
        });
    }
    group.finish();
}

/// A recording that goes away with the benchmark.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn recording(c: &mut Criterion) {
    const LINES: u32 = 1_000;
    let scratch = Scratch(std::env::temp_dir().join(format!("weir-bench-{}.rec", std::process::id())));
    let record = record(7);
    let mut group = c.benchmark_group("recording, edge lines");
    group.throughput(Throughput::Elements(u64::from(LINES)));
    let write = || {
        let mut recorder = Recorder::create(&scratch.0).expect("create a recording");
        for slot in 0..LINES {
            recorder.write(&Input::Edge { slot, record: black_box(&record) }).expect("write a line");
        }
        recorder.finish().expect("finish the recording");
    };
    group.bench_function("write", |b| b.iter(write));
    write();
    group.bench_function("decode", |b| {
        b.iter(|| play(&scratch.0, &mut |input| drop(black_box(input))).expect("play the recording"));
    });
    group.finish();
}

criterion_group!(benches, edges, recording);
criterion_main!(benches);
