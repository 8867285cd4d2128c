//! Arrival to read: how long requests wait for their server, apart from how long it works on them.
//!
//! Alone: asserts times to a few milliseconds.

use std::time::{Duration, Instant};

use weir_tests::{Spread, Traffic, lab, machine::is_slow};

const ROUNDS: u64 = 20;

/// Within a few milliseconds of a sleep, which is never shorter than asked. An emulated processor that shares a real one
/// wakes up tens of milliseconds late: there, no later than the client saw that it was, which `rounds` returns.
fn slept(what: &str, spread: Spread, ms: f64, late_ms: f64) {
    let mean = spread.mean * 1e3;
    let late = if is_slow() { late_ms + 1.0 } else { 5.0 };
    assert!((ms - 0.5..ms + late).contains(&mean), "{what}: {mean} ms where {ms} ms were slept, at most {late} late");
    assert_eq!(spread.count, ROUNDS, "{what}");
}

/// Asks and reads the answer after so long; how much longer than its sleeps, milliseconds, a round took on average.
fn rounds(client: &mut Traffic, until_read: Duration, sleeps_ms: f64) -> f64 {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        client.must("write 1", "done");
        std::thread::sleep(until_read);
        client.must("read 1", "done");
    }
    began.elapsed().as_secs_f64() * 1e3 / ROUNDS as f64 - sleeps_ms
}

#[test]
fn waiting_and_working_are_separate() {
    let lab = lab!();
    let server = lab.serve("slow 30 12", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 1", "opened 1");
    let late_ms = rounds(&mut client, Duration::ZERO, 42.0);
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    slept("receive-queue wait", edge.observed("receive_queue_wait_s"), 30.0, late_ms);
    slept("service", edge.observed("service_s"), 12.0, late_ms);
    slept("latency", edge.observed("latency_s"), 42.0, late_ms);
    document.assert_lossless();
}

/// The client's own slowness is in its view, not in the edge's.
#[test]
fn a_client_slow_to_read() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 1", "opened 1");
    let late_ms = rounds(&mut client, Duration::from_millis(25), 25.0);
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    slept("the answer's wait", edge.seen_by("client").observed("receive_queue_wait_s"), 25.0, late_ms);
    let wait = edge.observed("receive_queue_wait_s");
    if is_slow() {
        // Half of what the client sleeps: an emulated server may be woken late.
        assert!(wait.p50 < 0.0125, "the server reads before the client does: {wait:?}");
    } else {
        assert!(wait.p95 < 0.005, "the server reads at once: {wait:?}");
    }
    document.assert_lossless();
}

/// A FIN wakes the reader as data does, and is none.
#[test]
fn the_end_of_a_stream_is_no_data() {
    let lab = lab!();
    let server = lab.serve("sink-read 1", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 5", "opened 5");
    client.must("shut", "done");
    client.must("read 1", "done");
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    let served = edge.seen_by("server");
    assert_eq!((served.count("bytes_received"), served.count("bytes_sent")), (0, 5));
    assert_eq!(edge.count("rounds"), 0, "an answer without a request is no round: {edge}");
    assert!(edge.spread("receive_queue_wait_s").is_none(), "a wait for no data: {edge}");
    document.assert_lossless();
}
