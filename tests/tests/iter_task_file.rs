//! Connections that were there before weir: found, owned, in the right role, and counted from then on.

use std::time::Duration;

use weir_tests::{Netns, lab, machine::patient, server};

#[test]
fn old_connections_are_counted_from_then_on() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    client.must("open 5", "opened 5");
    client.must("rounds 3 100", "done");
    let weir = lab.weir(&[]);
    client.must("rounds 10 100", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    let served = edge.seen_by("server");
    assert_eq!(edge.server_pids(), [server.pid()]);
    for edge in [edge, served] {
        assert_eq!((edge.count("rounds"), edge.count("open_connections")), (50, 5), "of {edge}");
        assert_eq!((edge.count("bytes_sent"), edge.count("bytes_received")), (5000, 5000), "of {edge}");
        edge.assert_connects(&[]);
    }
    assert!(edge.is("partial"), "these connections were not seen whole: {edge}");
    assert!(edge.spread("connect_latency_s").is_none(), "their connects were not seen: {edge}");
    let ours = document.edges_where(|edge| edge.port() == Some(server.port()));
    assert_eq!(ours.len(), 1, "both ends are one edge");
    document.assert_lossless();
}

#[test]
fn idle_connections_are_there() {
    let lab = lab!();
    let idle = ["127.0.0.1", "[::1]"].map(|address| {
        let server = lab.serve("echo", &format!("{address}:0"));
        let mut client = lab.client(&format!("{address}:{}", server.port()));
        client.must("open 3", "opened 3");
        (server, client)
    });
    let document = lab.weir(&[]).finish();
    for (server, client) in &idle {
        let edge = document.edge(client.pid(), server.port());
        assert_eq!((edge.count("open_connections"), edge.count("rounds")), (3, 0));
        assert_eq!(edge.seen_by("server").count("open_connections"), 3);
        assert_eq!(edge.server_pids(), [server.pid()]);
        assert!(edge.is("partial"));
        edge.assert_connects(&[]);
    }
}

#[test]
fn idle_connections_of_other_namespaces_are_there() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    client.must("open 2", "opened 2");
    let weir = lab.weir(&[]);
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!(edge.server_pids(), [server.pid()]);
    assert_eq!((edge.text("client", "address"), edge.text("server", "address")), ("10.77.0.1", "10.77.0.2"));
    assert_eq!(edge.count("open_connections"), 2);
}

/// A request that was on its way when weir came is no round: its beginning is not known.
#[test]
fn the_first_move_after_the_scan_may_be_the_servers() {
    let lab = lab!();
    let server = lab.serve("slow 0 1500", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    client.must("open 1", "opened 1");
    client.must("write 1", "done");
    let weir = lab.weir(&[]);
    client.must("read 1", "done");
    client.must("rounds 1 1", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!((edge.count("rounds"), edge.count("bytes_received")), (1, 2), "of {edge}");
    let mean = edge.observed("latency_s").mean;
    let late = patient(Duration::from_millis(100)).as_secs_f64();
    assert!((1.5..1.5 + late).contains(&mean), "{mean} s where 1.5 s were slept");
    assert_eq!(edge.server_pids(), [server.pid()]);
}

/// Old and new connections share an edge; only the new ones were seen to connect.
#[test]
fn old_and_new_connections_meet_in_one_edge() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    client.must("open 4", "opened 4");
    let weir = lab.weir(&[]);
    client.must("open 3", "opened 3");
    client.must("rounds 2 1", "done");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("ok", 3)]);
    assert_eq!((edge.count("open_connections"), edge.count("rounds")), (7, 14));
    assert_eq!(edge.seen_by("client").count("partial_connections"), 4);
    assert_eq!(edge.seen_by("server").count("partial_connections"), 4);
    document.assert_lossless();
}

/// What a server of forked processes accepted before weir came belongs to the worker, though the master has the port.
#[test]
fn old_connections_belong_to_the_worker_that_accepted_them() {
    let lab = lab!();
    let nginx = server::nginx(&lab, 2, "", "keepalive_timeout 60; return 204;");
    let mut client = lab.client(&format!("127.0.0.1:{}", nginx.port()));
    client.must("open 6", "opened 6");
    // An accepted connection belongs to the worker once it is in its table of files.
    std::thread::sleep(Duration::from_millis(200));
    let weir = lab.weir(&[]);
    let document = weir.finish();
    let edge = document.edge(client.pid(), nginx.port());
    let pids = edge.server_pids();
    assert!(!pids.is_empty() && pids.iter().all(|pid| nginx.children().contains(pid)), "owners {pids:?}");
    assert_eq!(edge.count("open_connections"), 6);
    assert_eq!(edge.seen_by("server").count("open_connections"), 6);
}

/// A connection that waits to be accepted is in no process's table of files.
#[test]
fn connections_that_wait_to_be_accepted() {
    let lab = lab!();
    let server = lab.serve("deaf", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    client.must("open 3", "opened 3");
    let weir = lab.weir(&[]);
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!((edge.count("open_connections"), edge.is("partial")), (3, true));
}
