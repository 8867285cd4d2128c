//! Every way to receive: each byte counted once, whatever looks at it how often. Each way has a server of its own, and so
//! an edge; one observation has them all.

use weir_tests::{Lab, Traffic, lab};

const BYTES: u64 = 3 << 20;

/// Ways to receive. To peek is to look at all data before it is read. To truncate has the kernel throw the data away
/// instead of copying it. A splice out of a socket passes no receive hook: the next operation finds what it moved.
const WAYS: &[&str] = &["read", "readv", "recvmsg", "peek", "truncate", "splice", "uring"];
/// Of them those that meet a FIN each in their own way.
const WAYS_TO_AN_END: &[&str] = &["read", "peek", "splice"];

/// A server for each of these ways, which answers every so many bytes, and a client for all of them.
fn servers<'w>(lab: &Lab, ways: &[&'w str], every: u64) -> (Vec<(&'w str, Traffic)>, Traffic) {
    let serve = |&way: &&'w str| (way, lab.serve(&format!("sink-{way} {every}"), "127.0.0.1:0"));
    let servers: Vec<_> = ways.iter().map(serve).collect();
    let client = lab.client(&format!("127.0.0.1:{}", servers[0].1.port()));
    (servers, client)
}

#[test]
fn every_way_counts_each_byte_once() {
    let lab = lab!();
    let (servers, mut client) = servers(&lab, WAYS, BYTES);
    let weir = lab.weir(&[]);
    for (_, server) in &servers {
        client.must(&format!("to 127.0.0.1:{}", server.port()), "done");
        client.must("open 2", "opened 2");
        client.must(&format!("write {BYTES}"), "done");
        client.must("read 1", "done");
        client.must("close", "done");
    }
    let document = weir.finish();
    for (way, server) in &servers {
        let edge = document.edge(client.pid(), server.port());
        let served = edge.seen_by("server");
        assert_eq!(edge.count("bytes_sent"), 2 * BYTES, "{way}: {edge}");
        assert_eq!(served.count("bytes_received"), 2 * BYTES, "received by {way}");
        assert_eq!((served.count("bytes_sent"), edge.count("bytes_received")), (2, 2), "{way}: {edge}");
        assert_eq!((edge.count("rounds"), served.count("rounds")), (2, 2), "{way}: {edge}");
        assert_eq!(edge.server_pids(), [server.pid()], "{way}: {edge}");
        served.assert_connects(&[("ok", 2)]);
        assert_eq!(edge.count("open_connections"), 0, "{way}: {edge}");
    }
    document.assert_lossless();
}

/// A client that says "no more" and then waits for the answer, which may come with the server's own end: all of it was
/// there before anyone read it, and it is an answer all the same.
#[test]
fn what_comes_after_a_half_close_is_an_answer() {
    let lab = lab!();
    let (servers, mut client) = servers(&lab, WAYS_TO_AN_END, usize::MAX as u64);
    let weir = lab.weir(&[]);
    for (_, server) in &servers {
        client.must(&format!("to 127.0.0.1:{}", server.port()), "done");
        client.must("open 10", "opened 10");
        client.must("write 1000", "done");
        client.must("shut", "done");
        std::thread::sleep(std::time::Duration::from_millis(100));
        client.must("ends", "ended 10");
        client.must("close", "done");
    }
    let document = weir.finish();
    for (way, server) in &servers {
        let edge = document.edge(client.pid(), server.port());
        let served = edge.seen_by("server");
        let received = (edge.count("bytes_sent"), served.count("bytes_received"));
        assert_eq!(received, (10_000, 10_000), "{way}: the FIN is no byte: {edge}");
        assert_eq!((served.count("bytes_sent"), edge.count("bytes_received")), (10, 10), "{way}: {edge}");
        assert_eq!(
            (edge.count("rounds"), served.count("rounds")),
            (10, 10),
            "{way}: each request was answered: {edge}"
        );
        assert_eq!((edge.count("abandoned"), edge.count("broken")), (0, 0), "{way}: neither end gave up: {edge}");
    }
    document.assert_lossless();
}
