//! Ten thousand connections of one byte each way: all of them, in one edge.

use std::time::Duration;

use weir_tests::{lab, machine::enough, netns::own_connections, wait_until};

/// Dials `dialled`, which must show as `shown`.
fn all_are_counted(listen: &str, dialled: &str, shown: &str) {
    let connections = enough(10_000);
    let lab = lab!();
    let server = lab.serve("echo", &format!("{listen}:0"));
    let mut client = lab.client(&format!("{dialled}:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must(&format!("short {connections}"), "done");
    // The client is done when it has closed its last end; the server may not have been woken yet to close its own.
    wait_until(Duration::from_secs(5), "the server to close", || own_connections(server.port()) == 0);
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("ok", connections)]);
    let served = edge.seen_by("server");
    served.assert_connects(&[("ok", connections)]);
    for edge in [edge, served] {
        assert_eq!(edge.count("rounds"), connections);
        assert_eq!((edge.count("bytes_sent"), edge.count("bytes_received")), (connections, connections));
        assert_eq!((edge.count("open_connections"), edge.count("in_flight")), (0, 0), "of {edge}");
    }
    assert_eq!(edge.observed("connect_latency_s").count, connections);
    assert_eq!(edge.observed("latency_s").count, connections);
    assert_eq!(edge.text("server", "address"), shown);
    assert_eq!(edge.server_pids(), [server.pid()]);
    let ours = document.edges_where(|edge| edge.port() == Some(server.port()));
    assert_eq!(ours.len(), 1, "one process and one server make one edge");
    document.assert_lossless();
}

#[test]
fn over_ipv4() {
    all_are_counted("127.0.0.1", "127.0.0.1", "127.0.0.1");
}

#[test]
fn over_ipv6() {
    all_are_counted("[::1]", "[::1]", "::1");
}

/// An IPv6 socket that dials an IPv4 address makes an IPv4 connection.
#[test]
fn over_ipv4_from_an_ipv6_socket() {
    all_are_counted("127.0.0.1", "[::ffff:127.0.0.1]", "127.0.0.1");
}

/// The accepting end may be the IPv6 socket.
#[test]
fn over_ipv4_to_an_ipv6_socket() {
    all_are_counted("[::]", "127.0.0.1", "127.0.0.1");
}

/// What the README's first example does: observe while a command runs.
#[test]
fn while_a_command_runs() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let address = format!("127.0.0.1:{}", server.port());
    let helper = lab.helper().to_str().expect("a path in UTF-8");
    let output = weir_tests::weir::run(&["edges", "-o", "json", "--", helper, "short", &address, "300"]);
    assert!(output.status.success(), "{output:?}");
    let document = weir_tests::Document::parse(&String::from_utf8_lossy(&output.stdout));
    let edge = document.only("to our server", |edge| edge.port() == Some(server.port()));
    edge.assert_connects(&[("ok", 300)]);
    assert_eq!((edge.text("client", "name"), edge.count("rounds")), ("weir-traffic", 300));
}
