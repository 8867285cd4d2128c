//! Every way to send: each byte counted once, at both ends.

use weir_tests::{lab, machine::kernel_is_older};

const BYTES: u64 = 3 << 20;

fn counted_when_sent_by(way: &str, bytes: u64) {
    let lab = lab!();
    let server = lab.serve(&format!("sink-read {bytes}"), "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 1", "opened 1");
    client.must(&format!("send {way} {bytes}"), "done");
    client.must("read 1", "done");
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    let served = edge.seen_by("server");
    assert_eq!(edge.count("bytes_sent"), bytes, "sent by {way}");
    assert_eq!(served.count("bytes_received"), bytes, "received of what was sent by {way}");
    assert_eq!((edge.count("bytes_received"), served.count("bytes_sent")), (1, 1));
    // One upload, one answer.
    assert_eq!((edge.count("rounds"), served.count("rounds")), (1, 1));
    assert_eq!(edge.server_pids(), [server.pid()]);
    edge.assert_connects(&[("ok", 1)]);
    assert!(!edge.is("multiplexed") && !edge.is("partial"), "labels of {edge}");
    document.assert_lossless();
}

#[test]
fn write() {
    counted_when_sent_by("write", BYTES);
}

#[test]
fn writev() {
    counted_when_sent_by("writev", BYTES);
}

#[test]
fn sendto() {
    counted_when_sent_by("sendto", BYTES);
}

#[test]
fn sendmsg() {
    counted_when_sent_by("sendmsg", BYTES);
}

#[test]
fn sendmmsg() {
    counted_when_sent_by("sendmmsg", BYTES);
}

/// Nothing is transmitted until the last piece.
#[test]
fn corked() {
    counted_when_sent_by("corked", 10_001);
}

#[test]
fn sendfile() {
    counted_when_sent_by("sendfile", BYTES);
}

#[test]
fn splice() {
    counted_when_sent_by("splice", BYTES);
}

/// Completions are read off the error queue, which is no data.
#[test]
fn zerocopy() {
    counted_when_sent_by("zerocopy", BYTES);
}

#[test]
fn uring() {
    counted_when_sent_by("uring", BYTES);
}

#[test]
fn uring_zerocopy() {
    if kernel_is_older("6.0") {
        eprintln!("skipped: io_uring sends without copying since 6.0");
        return;
    }
    counted_when_sent_by("uring-zerocopy", BYTES);
}
