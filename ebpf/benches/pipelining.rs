//! The check of a request's head: on a connection's first four rounds and one in 64 after.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_ebpf::pipelining::{Head, LOOKED_AT, head_repeats};

const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: www.example\r\nAccept: */*\r\n\r\n";

fn pipelining(c: &mut Criterion) {
    let mut one = [0; LOOKED_AT];
    one[..REQUEST.len()].copy_from_slice(REQUEST);
    let mut two = one;
    two[REQUEST.len()..2 * REQUEST.len()].copy_from_slice(REQUEST);
    // The worst case: all of it is compared, without a match.
    let long: [u8; LOOKED_AT] = std::array::from_fn(|i| (i % 251) as u8 ^ (i / 251) as u8);

    let mut group = c.benchmark_group("pipelining");
    for (name, bytes, length) in
        [("one request", &one, REQUEST.len()), ("two requests", &two, 2 * REQUEST.len()), ("upload", &long, LOOKED_AT)]
    {
        let words: Head =
            std::array::from_fn(|i| u64::from_ne_bytes(bytes[8 * i..8 * i + 8].try_into().expect("a word")));
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(format!("head_repeats, {name}"), |b| {
            b.iter(|| head_repeats(black_box(&words), black_box(length)));
        });
    }
    group.finish();
}

criterion_group!(benches, pipelining);
criterion_main!(benches);
