//! The end of sockets, whatever path they die on: nothing stays open, nothing leaks.

use weir_tests::{lab, machine::enough};

/// With records for few sockets, many connections one after the other fit only if each gives its record back.
///
/// Alone: other tests' sockets count against its limit.
#[test]
fn every_socket_gives_its_record_back() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&["--max-sockets", "128"]);
    // Many times as many sockets as records, as each connection has two ends.
    let short = enough(3000);
    client.must(&format!("short {short}"), "done");
    for _ in 0..20 {
        client.must("open 20", "opened 20");
        client.must("rounds 1 1", "done");
        client.must("abort", "done");
    }
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("ok", short + 400)]);
    edge.seen_by("server").assert_connects(&[("ok", short + 400)]);
    assert_eq!((edge.count("rounds"), edge.count("open_connections")), (short + 400, 0));
    document.assert_lossless();
}

/// Failed connects end too.
///
/// Alone: other tests' sockets count against its limit.
#[test]
fn failed_connects_give_their_records_back() {
    let lab = lab!();
    let port = weir_tests::lab::free_port();
    let mut client = lab.client(&format!("127.0.0.1:{port}"));
    let weir = lab.weir(&["--max-sockets", "64"]);
    client.must("open 1000", "opened 0 111:1000");
    let document = weir.finish();
    document.edge(client.pid(), port).assert_connects(&[("refused", 1000)]);
    document.assert_lossless();
}

/// A process that dies leaves requests without answers and connections without an owner.
#[test]
fn a_killed_client_leaves_nothing_open() {
    let lab = lab!();
    let server = lab.serve("silent", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let pid = client.pid();
    let weir = lab.weir(&[]);
    client.must("open 10", "opened 10");
    client.must("write 1", "done");
    client.kill();
    let idle = || std::fs::read_to_string("/proc/net/tcp").expect("read /proc/net/tcp");
    let port = format!(":{:04X} ", server.port());
    weir_tests::wait_until(std::time::Duration::from_secs(5), "the server to see the end", || {
        // Field 3 is the state: ESTABLISHED or CLOSE_WAIT.
        !idle().lines().any(|line| line.contains(&port) && matches!(line.split_whitespace().nth(3), Some("01" | "08")))
    });
    let document = weir.finish();
    let edge = document.edge(pid, server.port());
    let served = edge.seen_by("server");
    assert_eq!((edge.count("open_connections"), served.count("open_connections")), (0, 0));
    assert_eq!((edge.count("in_flight"), served.count("in_flight")), (0, 0));
    assert_eq!((edge.count("abandoned"), edge.count("broken"), edge.count("rounds")), (10, 0, 0));
    // The server read the requests and saw the client go before it had an answer.
    assert_eq!((served.count("abandoned"), served.count("broken")), (0, 10), "of {served}");
    document.assert_lossless();
}

/// What still waits when the window closes is in flight, not gone.
#[test]
fn requests_without_an_answer_are_in_flight() {
    let lab = lab!();
    let server = lab.serve("silent", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 6", "opened 6");
    client.must("write 10", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!((edge.count("in_flight"), edge.count("open_connections")), (6, 6));
    assert_eq!((edge.count("rounds"), edge.count("abandoned"), edge.count("broken")), (0, 0, 0));
    assert!(edge.spread("latency_s").is_none(), "a latency without an answer: {edge}");
    document.assert_lossless();
}
