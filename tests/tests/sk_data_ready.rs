//! Arrival to read: how long requests wait for their server, apart from how long it works on them.
//!
//! Alone: asserts times to a few milliseconds.

use std::time::Duration;

use weir_tests::{Spread, lab, machine::patient};

const ROUNDS: u64 = 20;

/// Within a few milliseconds of a sleep, which is never shorter than asked.
fn slept(what: &str, spread: Spread, ms: f64) {
    let mean = spread.mean * 1e3;
    let late = patient(Duration::from_millis(5)).min(Duration::from_millis(15)).as_secs_f64() * 1e3;
    assert!((ms - 0.5..ms + late).contains(&mean), "{what}: {mean} ms where {ms} ms were slept");
    assert_eq!(spread.count, ROUNDS, "{what}");
}

#[test]
fn waiting_and_working_are_separate() {
    let lab = lab!();
    let server = lab.serve("slow 30 12", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 1", "opened 1");
    for _ in 0..ROUNDS {
        client.must("write 1", "done");
        client.must("read 1", "done");
    }
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    slept("receive-queue wait", edge.observed("receive_queue_wait_s"), 30.0);
    slept("service", edge.observed("service_s"), 12.0);
    slept("latency", edge.observed("latency_s"), 42.0);
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
    for _ in 0..ROUNDS {
        client.must("write 1", "done");
        std::thread::sleep(Duration::from_millis(25));
        client.must("read 1", "done");
    }
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    slept("the answer's wait", edge.seen_by("client").observed("receive_queue_wait_s"), 25.0);
    let wait = edge.observed("receive_queue_wait_s");
    assert!(wait.p95 < 0.005, "the server reads at once: {wait:?}");
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
