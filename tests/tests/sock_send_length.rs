//! Every way to send: each byte counted once, at both ends. Each way has a server of its own, and so an edge; one
//! observation has them all.

use weir_tests::{Traffic, lab, machine::kernel_is_older};

const BYTES: u64 = 3 << 20;

/// Ways to send, and how much. What is corked is not transmitted until the last piece. Without a copy (`zerocopy`),
/// completions are read off the error queue, which is no data.
const WAYS: &[(&str, u64)] = &[
    ("write", BYTES),
    ("writev", BYTES),
    ("sendto", BYTES),
    ("sendmsg", BYTES),
    ("sendmmsg", BYTES),
    ("corked", 10_001),
    ("sendfile", BYTES),
    ("splice", BYTES),
    ("zerocopy", BYTES),
    ("uring", BYTES),
    ("uring-zerocopy", BYTES),
];

#[test]
fn every_way_counts_each_byte_once() {
    let lab = lab!();
    // io_uring sends without copying since 6.0.
    let ways = WAYS.iter().filter(|(way, _)| *way != "uring-zerocopy" || !kernel_is_older("6.0"));
    let serve =
        |&(way, bytes): &(&'static str, u64)| (way, bytes, lab.serve(&format!("sink-read {bytes}"), "127.0.0.1:0"));
    let servers: Vec<(&str, u64, Traffic)> = ways.map(serve).collect();
    let mut client = lab.client(&format!("127.0.0.1:{}", servers[0].2.port()));
    let weir = lab.weir(&[]);
    for (way, bytes, server) in &servers {
        client.must(&format!("to 127.0.0.1:{}", server.port()), "done");
        client.must("open 1", "opened 1");
        client.must(&format!("send {way} {bytes}"), "done");
        client.must("read 1", "done");
        client.must("close", "done");
    }
    let document = weir.finish();
    for (way, bytes, server) in &servers {
        let edge = document.edge(client.pid(), server.port());
        let served = edge.seen_by("server");
        assert_eq!(edge.count("bytes_sent"), *bytes, "sent by {way}");
        assert_eq!(served.count("bytes_received"), *bytes, "received of what was sent by {way}");
        assert_eq!((edge.count("bytes_received"), served.count("bytes_sent")), (1, 1), "{way}: {edge}");
        // One upload, one answer.
        assert_eq!((edge.count("rounds"), served.count("rounds")), (1, 1), "{way}: {edge}");
        assert_eq!(edge.server_pids(), [server.pid()], "{way}: {edge}");
        edge.assert_connects(&[("ok", 1)]);
        assert!(!edge.is("multiplexed") && !edge.is("partial"), "{way}: labels of {edge}");
    }
    document.assert_lossless();
}
