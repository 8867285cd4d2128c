//! Connects and their outcome, accepts and closes: each outcome counted by its true cause, none timed as a success.

use std::{thread::sleep, time::Duration};

use weir_tests::{
    Edge, Netns, close, lab,
    lab::free_port,
    machine::{is_slow, patient},
    wait_until,
};

const DROP_ALL: &[&str] = &["meta l4proto tcp drop"];

/// What holds for every edge without a single successful connect.
fn assert_no_success(edge: &Edge<'_>) {
    assert!(edge.spread("connect_latency_s").is_none(), "failures are timed as successes: {edge}");
    assert!(edge.spread("latency_s").is_none(), "a latency without a connection: {edge}");
    assert_eq!((edge.count("open_connections"), edge.count("rounds")), (0, 0), "of {edge}");
    assert_eq!(edge.server_pid(), None, "a server that does not exist: {edge}");
    // What answers a SYN, or does not, is the connect's outcome and nothing else.
    assert_eq!(edge.count("resets"), 0, "a refusal is no reset: {edge}");
    let errors = edge.seen_by("client").value()["errors"].as_object().expect("errors by cause");
    assert!(errors.values().all(|count| count == 0), "a failed connect is no error of a connection: {edge}");
}

fn refused(address: &str) {
    let lab = lab!();
    let port = free_port();
    let mut client = lab.client(&format!("{address}:{port}"));
    let weir = lab.weir(&[]);
    client.must("open 50", "opened 0 111:50");
    let document = weir.finish();
    let edge = document.edge(client.pid(), port);
    edge.assert_connects(&[("refused", 50)]);
    assert_no_success(&edge);
    let failed = edge.observed("connect_failed_latency_s");
    assert_eq!(failed.count, 50);
    let soon = patient(Duration::from_millis(100)).as_secs_f64();
    assert!(failed.p99 < soon, "a refusal on loopback takes no time: {failed:?}");
    assert_eq!(edge.text("server", "address"), address.trim_matches(['[', ']']));
    document.assert_lossless();
}

#[test]
fn refused_over_ipv4() {
    refused("127.0.0.1");
}

#[test]
fn refused_over_ipv6() {
    refused("[::1]");
}

fn timed_out(address: &str) {
    let lab = lab!();
    let (near, far) = Netns::pair();
    far.filter("input", DROP_ALL);
    near.give_up_connecting_early();
    let mut client = lab.client_in(&near, &format!("{address}:7001"));
    let weir = lab.weir(&[]);
    client.must("race 5", "opened 0 110:5");
    let document = weir.finish();
    let edge = document.edge(client.pid(), 7001);
    edge.assert_connects(&[("timeout", 5)]);
    assert_no_success(&edge);
    let failed = edge.observed("connect_failed_latency_s");
    assert_eq!(failed.count, 5);
    // An emulator's timers are late when its host is busy.
    close("time until given up", failed.mean, 3.0, if is_slow() { 0.5 } else { 0.1 });
    assert_eq!(edge.count("retransmitted_segments"), 5, "one SYN each was sent again");
    assert_eq!(near.tcp("RetransSegs"), 5);
    document.assert_lossless();
}

#[test]
fn timed_out_over_ipv4() {
    timed_out("10.77.0.2");
}

#[test]
fn timed_out_over_ipv6() {
    timed_out("[fd77::2]");
}

/// A router says that the host is not there: after the SYN has left, unlike a missing route.
fn reported_unreachable(address: &str) {
    let lab = lab!();
    let (near, far) = Netns::pair();
    far.filter("input", &["meta l4proto tcp reject with icmpx type host-unreachable"]);
    let mut client = lab.client_in(&near, &format!("{address}:7002"));
    let weir = lab.weir(&[]);
    client.must("race 3", "opened 0 113:3");
    let document = weir.finish();
    let edge = document.edge(client.pid(), 7002);
    edge.assert_connects(&[("unreachable", 3)]);
    assert_no_success(&edge);
    assert_eq!(edge.observed("connect_failed_latency_s").count, 3);
    document.assert_lossless();
}

#[test]
fn reported_unreachable_over_ipv4() {
    reported_unreachable("10.77.0.2");
}

#[test]
fn reported_unreachable_over_ipv6() {
    reported_unreachable("[fd77::2]");
}

/// 32 ports, 32 connections that hold them, and 18 connects more.
fn out_of_ports(address: &str) {
    let lab = lab!();
    let netns = Netns::new();
    netns.set("net.ipv4.ip_local_port_range", "40000 40031");
    // Not a port of the range, which a listener would take from the clients.
    let server = lab.serve_in(&netns, "echo", &format!("{address}:7004"));
    let mut client = lab.client_in(&netns, &format!("{address}:7004"));
    let weir = lab.weir(&[]);
    client.must("open 50", "opened 32 99:18");
    client.must("rounds 1 1", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("ok", 32), ("address_not_available", 18)]);
    assert_eq!(edge.observed("connect_latency_s").count, 32, "only successes are timed as such");
    assert_eq!((edge.count("open_connections"), edge.count("rounds")), (32, 32));
    assert_eq!(edge.server_pids(), [server.pid()]);
    document.assert_lossless();
}

#[test]
fn out_of_ports_over_ipv4() {
    out_of_ports("127.0.0.1");
}

#[test]
fn out_of_ports_over_ipv6() {
    out_of_ports("[::1]");
}

fn cancelled(address: &str) {
    let lab = lab!();
    let (near, far) = Netns::pair();
    far.filter("input", DROP_ALL);
    let mut client = lab.client_in(&near, &format!("{address}:7003"));
    let mut killed = lab.client_in(&near, &format!("{address}:7003"));
    let killed_pid = killed.pid();
    let weir = lab.weir(&[]);
    client.must("start 7", "started 7");
    sleep(Duration::from_millis(200));
    client.must("close", "done");
    client.must("start 4", "started 4");
    killed.must("start 3", "started 3");
    wait_until(Duration::from_secs(5), "seven SYNs to be sent again", || near.tcp("RetransSegs") >= 7);
    client.must("close", "done");
    killed.kill();
    let document = weir.finish();
    let edge = document.edge(client.pid(), 7003);
    edge.assert_connects(&[("cancelled", 7), ("timeout", 4)]);
    assert_no_success(&edge);
    assert_eq!(edge.count("connects_timeout_by_caller"), 4, "those whose SYN was sent again");
    document.edge(killed_pid, 7003).assert_connects(&[("timeout", 3)]);
    document.assert_lossless();
}

#[test]
fn cancelled_over_ipv4() {
    cancelled("10.77.0.2");
}

#[test]
fn cancelled_over_ipv6() {
    cancelled("[fd77::2]");
}

/// A lost SYN delays the caller by a second; the network's round trip stays what it was.
#[test]
fn a_lost_syn_shows_in_the_connect_not_in_the_handshake() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    far.filter("input", DROP_ALL);
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let weir = lab.weir(&[]);
    client.tell("race 3");
    sleep(Duration::from_millis(500));
    far.filter("input", &["accept"]);
    assert_eq!(client.answer(), "opened 3");
    client.must("rounds 1 1", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("ok", 3)]);
    assert_eq!(edge.count("retransmitted_segments"), 3);
    let connect = edge.observed("connect_latency_s");
    let late = patient(Duration::from_millis(300)).as_secs_f64();
    assert!((0.9..1.0 + late).contains(&connect.mean), "the caller waited a second: {connect:?}");
    let handshake = edge.observed("handshake_s");
    let soon = if is_slow() { connect.mean / 2.0 } else { 0.1 };
    assert!(handshake.p99 < soon, "the network took no second: {handshake:?}");
    document.assert_lossless();
}

#[test]
fn connects_that_do_not_wait_succeed_too() {
    let lab = lab!();
    let server = lab.serve("untouched", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("start 25", "started 25");
    sleep(Duration::from_millis(100));
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("ok", 25)]);
    assert_eq!(edge.observed("connect_latency_s").count, 25);
    document.assert_lossless();
}

/// No data ever moves, so no read or write shows which process has the accepted connection.
#[test]
fn a_server_that_only_closes_owns_its_connections() {
    let lab = lab!();
    let server = lab.serve("untouched", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 20", "opened 20");
    client.must("ends", "ended 20");
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("ok", 20)]);
    assert_eq!(edge.server_pids(), [server.pid()]);
    edge.seen_by("server").assert_connects(&[("ok", 20)]);
    assert_eq!((edge.count("open_connections"), edge.count("rounds")), (0, 0));
    document.assert_lossless();
}

/// The kernel completes handshakes that no process ever accepts: they belong to the listener.
#[test]
fn connections_never_accepted_belong_to_the_listener() {
    let lab = lab!();
    let server = lab.serve("deaf", "127.0.0.1:0");
    let (server_pid, port) = (server.pid(), server.port());
    let mut client = lab.client(&format!("127.0.0.1:{port}"));
    let weir = lab.weir(&[]);
    client.must("open 10", "opened 10");
    server.kill();
    client.must("ends", "ended 0 104:10");
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), port);
    edge.assert_connects(&[("ok", 10)]);
    assert_eq!(edge.server_pids(), [server_pid]);
    edge.seen_by("server").assert_connects(&[("ok", 10)]);
    assert_eq!(edge.count("open_connections"), 0);
    document.assert_lossless();
}

/// The listener closes before the connections in its queue do: they were its, whether their clients have left or not.
#[test]
fn connections_in_the_queue_of_a_listener_that_closes_belong_to_it() {
    let lab = lab!();
    let weir = lab.weir(&[]);
    // Listeners that weir's scan has found are kept: this one is younger.
    let server = lab.serve("deaf", "127.0.0.1:0");
    let (server_pid, port) = (server.pid(), server.port());
    let [mut gone, mut waiting] = [(); 2].map(|()| lab.client(&format!("127.0.0.1:{port}")));
    gone.must("open 3", "opened 3");
    waiting.must("open 4", "opened 4");
    gone.must("close", "done");
    server.kill();
    waiting.must("ends", "ended 0 104:4");
    let document = weir.finish();
    for (client, connections) in [(&gone, 3), (&waiting, 4)] {
        let edge = document.edge(client.pid(), port);
        assert_eq!(edge.server_pids(), [server_pid]);
        edge.assert_connects(&[("ok", connections)]);
        edge.seen_by("server").assert_connects(&[("ok", connections)]);
        assert_eq!((edge.count("open_connections"), edge.seen_by("server").count("open_connections")), (0, 0));
    }
    document.assert_lossless();
}

/// A server at its limit of clients may send a refusal before any request, and before the client reads.
#[test]
fn a_server_that_speaks_first_and_closes_does_so_early() {
    let lab = lab!();
    let full = lab.serve("full 0", "127.0.0.1:0");
    let plain = lab.serve("untouched", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", full.port()));
    let mut other = lab.client(&format!("127.0.0.1:{}", plain.port()));
    let weir = lab.weir(&[]);
    for client in [&mut client, &mut other] {
        client.must("open 8", "opened 8");
        sleep(Duration::from_millis(300));
        client.must("ends", "ended 8");
        client.must("close", "done");
    }
    let document = weir.finish();
    let early = |client: u32, port| document.edge(client, port).seen_by("client").count("closed_early");
    assert_eq!((early(client.pid(), full.port()), early(other.pid(), plain.port())), (8, 0));
}

/// A client's good-bye is answered by the end alone.
#[test]
fn a_server_that_ends_on_a_good_bye_does_not_do_so_early() {
    let lab = lab!();
    let server = lab.serve("sink-read 3", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 8", "opened 8");
    client.must("write 3", "done");
    client.must("read 1", "done");
    client.must("write 1", "done");
    sleep(Duration::from_millis(300));
    client.must("close", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!(edge.seen_by("client").count("closed_early"), 0);
    assert_eq!(edge.count("broken"), 8, "the good-byes");
}

/// A client that understands leaves before the server has ended; one that is served leaves, and the server sees that.
#[test]
fn a_server_that_wants_to_close_is_distinguished_from_one_that_is_left() {
    let lab = lab!();
    let full = lab.serve("full 50", "127.0.0.1:0");
    let echo = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", full.port()));
    let mut other = lab.client(&format!("127.0.0.1:{}", echo.port()));
    let weir = lab.weir(&[]);
    client.must("open 8", "opened 8");
    client.must("read 20", "done");
    client.must("close", "done");
    other.must("open 8", "opened 8");
    other.must("rounds 1 1", "done");
    other.must("close", "done");
    sleep(Duration::from_millis(300));
    let document = weir.finish();
    let early = |client: u32, port| {
        let edge = document.edge(client, port);
        ["client", "server"].map(|end| edge.seen_by(end).count("closed_early"))
    };
    assert_eq!((early(client.pid(), full.port()), early(other.pid(), echo.port())), ([0, 8], [0, 0]));
}
