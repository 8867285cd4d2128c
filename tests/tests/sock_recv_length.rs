//! Every way to receive: each byte counted once, whatever looks at it how often.

use weir_tests::lab;

const BYTES: u64 = 3 << 20;

fn counted_when_received_by(way: &str) {
    let lab = lab!();
    let server = lab.serve(&format!("sink-{way} {BYTES}"), "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 2", "opened 2");
    client.must(&format!("write {BYTES}"), "done");
    client.must("read 1", "done");
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    let served = edge.seen_by("server");
    assert_eq!(edge.count("bytes_sent"), 2 * BYTES);
    assert_eq!(served.count("bytes_received"), 2 * BYTES, "received by {way}");
    assert_eq!((served.count("bytes_sent"), edge.count("bytes_received")), (2, 2));
    assert_eq!((edge.count("rounds"), served.count("rounds")), (2, 2));
    assert_eq!(edge.server_pids(), [server.pid()]);
    served.assert_connects(&[("ok", 2)]);
    assert_eq!(edge.count("open_connections"), 0);
    document.assert_lossless();
}

#[test]
fn read() {
    counted_when_received_by("read");
}

#[test]
fn readv() {
    counted_when_received_by("readv");
}

#[test]
fn recvmsg() {
    counted_when_received_by("recvmsg");
}

/// All data is looked at before it is read.
#[test]
fn peek() {
    counted_when_received_by("peek");
}

/// The kernel throws the data away instead of copying it.
#[test]
fn truncate() {
    counted_when_received_by("truncate");
}

/// A splice out of a socket passes no receive hook: the next operation finds what it moved.
#[test]
fn splice() {
    counted_when_received_by("splice");
}

#[test]
fn uring() {
    counted_when_received_by("uring");
}

/// A client that says "no more" and then waits for the answer, which may come with the server's own end: all of it was
/// there before anyone read it, and it is an answer all the same. Every way to receive meets the FIN in its own way.
fn answered_after_half_close(way: &str) {
    let lab = lab!();
    let server = lab.serve(&format!("sink-{way} {}", usize::MAX), "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 10", "opened 10");
    client.must("write 1000", "done");
    client.must("shut", "done");
    std::thread::sleep(std::time::Duration::from_millis(100));
    client.must("ends", "ended 10");
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    let served = edge.seen_by("server");
    assert_eq!((edge.count("bytes_sent"), served.count("bytes_received")), (10_000, 10_000), "the FIN is no byte");
    assert_eq!((served.count("bytes_sent"), edge.count("bytes_received")), (10, 10));
    assert_eq!((edge.count("rounds"), served.count("rounds")), (10, 10), "each request was answered");
    assert_eq!((edge.count("abandoned"), edge.count("broken")), (0, 0), "nobody gave up");
    document.assert_lossless();
}

#[test]
fn read_after_half_close() {
    answered_after_half_close("read");
}

#[test]
fn peek_after_half_close() {
    answered_after_half_close("peek");
}

#[test]
fn splice_after_half_close() {
    answered_after_half_close("splice");
}
