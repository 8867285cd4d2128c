//! Beyond the limits: the rest goes to `other`, the counters say how many, nothing is wrong or silently lost.
//!
//! Alone: fills limits, which other tests' sockets and edges count against.

use weir_tests::{Document, Edge, Traffic, lab, netns::own_tcp};

/// Sum over all edges.
fn sum(document: &Document, of: impl Fn(&Edge<'_>) -> u64) -> u64 {
    document.edges_where(|_| true).iter().map(of).sum()
}

/// Sum over one end of all edges.
fn sum_at(document: &Document, end: &str, of: impl Fn(&Edge<'_>) -> u64) -> u64 {
    document.edges_where(|_| true).iter().filter_map(|edge| edge.view(end)).map(|view| of(&view)).sum()
}

/// Connections that the kernel of this namespace has opened, each counted where it was dialled.
fn opened() -> u64 {
    own_tcp("ActiveOpens") - own_tcp("AttemptFails")
}

fn other(document: &Document) -> Edge<'_> {
    // Clients on other hosts have a rest of their own.
    let other = document.only("for the rest", |edge| edge.is("other") && edge.view("client").is_some());
    assert_eq!((other.client_pid(), other.server_pid(), other.port()), (None, None, None));
    other
}

/// Runs `traffic` under these limits; it must open exactly `connections`.
fn observe(limits: &[&str], connections: u64, traffic: impl FnOnce(&mut Traffic, u16)) -> Document {
    let lab = lab!();
    let server = lab.serve("echo", "0.0.0.0:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let before = opened();
    let weir = lab.weir(limits);
    traffic(&mut client, server.port());
    let document = weir.finish();
    // Other traffic of the host in the meantime is in the sum, too.
    let most = opened() - before;
    let counted = sum(&document, |edge| edge.connects("ok"));
    assert!(
        (connections..=most).contains(&counted),
        "{counted} of {connections} connections are shown, {most} at most"
    );
    for end in ["client", "server"] {
        let counted = sum_at(&document, end, |view| view.connects("ok"));
        assert!((connections..=most).contains(&counted), "{counted} of {connections} connections at the {end}");
    }
    assert_eq!(document.value()["complete"], false, "more than the limits allow is not complete");
    document
}

/// One connection to each of so many addresses of this host: as many edges.
fn spread(client: &mut Traffic, port: u16, addresses: u64) {
    for i in 1..=addresses {
        client.must(&format!("to 127.0.0.{i}:{port}"), "done");
        client.must("open 1", "opened 1");
    }
}

#[test]
fn more_edges_than_allowed() {
    let document = observe(&["--max-edges", "64"], 100, |client, port| {
        spread(client, port, 100);
        client.must("rounds 2 1000", "done");
        client.must("close", "done");
    });
    let other = other(&document);
    let named = document.edges_where(|edge| !edge.is("other"));
    assert!(named.len() <= 64, "{} edges under a limit of 64", named.len());
    let over = document.loss("edges_over_limit");
    assert!(over >= 200 - 64, "200 ends do not fit 64 edges: {}", document.value()["losses"]);
    let in_other = other.seen_by("client").connects("ok") + other.seen_by("server").connects("ok");
    assert_eq!(in_other, over, "each loss is in the rest");
    // Sockets are below their limit: the rest is counted as well as any.
    assert_eq!(document.loss("sockets_over_limit"), 0);
    assert_eq!(sum(&document, |edge| edge.count("rounds")), 200);
    assert_eq!(sum(&document, |edge| edge.count("bytes_sent")), 200_000);
    assert_eq!(sum(&document, |edge| edge.count("bytes_received")), 200_000);
    assert_eq!(sum(&document, |edge| edge.count("open_connections")), 0);
}

/// 150 connections at once, twice as many sockets, and then ten when records are free again.
#[test]
fn more_sockets_than_allowed() {
    let document = observe(&["--max-sockets", "128"], 160, |client, _| {
        client.must("open 150", "opened 150");
        client.must("rounds 1 1000", "done");
        client.must("close", "done");
        client.must("open 10", "opened 10");
        client.must("rounds 1 1000", "done");
        client.must("close", "done");
    });
    let over = document.loss("sockets_over_limit");
    assert!((300 - 128..=300).contains(&over), "300 sockets, 128 records, and {over} without");
    assert_eq!(document.coverage("missed"), over);
    assert!(document.coverage("tracked") + over >= 320, "of {}", document.value()["coverage"]);
    let other = other(&document);
    let in_other = other.seen_by("client").connects("ok") + other.seen_by("server").connects("ok");
    assert_eq!(in_other, over, "each loss is in the rest");
    assert_eq!(sum(&document, |edge| edge.count("open_connections")), 0);
    // SYN and FIN take sequence numbers and are no bytes.
    for field in ["bytes_sent", "bytes_received"] {
        assert_eq!(sum(&document, |edge| edge.count(field)), 160_000, "{field} of 160 connections, tracked or not");
    }
    assert_eq!(document.loss("edges_over_limit"), 0, "the loss that is named is the one that a larger limit mends");
}

#[test]
fn more_of_both() {
    let document = observe(&["--max-edges", "64", "--max-sockets", "128"], 250, |client, port| {
        spread(client, port, 250);
        client.must("rounds 1 10", "done");
        client.must("close", "done");
    });
    let over = document.loss("sockets_over_limit");
    assert!(over >= 500 - 128, "500 sockets, 128 records, and {over} without");
    assert!(document.loss("edges_over_limit") > 0, "64 pairs of ends do not fit 64 edges");
    assert!(other(&document).connects("ok") >= 250 - 64, "the rest: {}", other(&document));
}

/// The limits are limits: within them nothing is lost.
#[test]
fn within_the_limits_nothing_is_lost() {
    let lab = lab!();
    let server = lab.serve("echo", "0.0.0.0:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&["--max-edges", "64", "--max-sockets", "128"]);
    spread(&mut client, server.port(), 20);
    client.must("rounds 1 1", "done");
    let document = weir.finish();
    let edges = document.edges_where(|edge| edge.client_pid() == Some(client.pid()));
    assert_eq!(edges.len(), 20);
    edges.iter().for_each(|edge| edge.assert_connects(&[("ok", 1)]));
    document.assert_lossless();
}
