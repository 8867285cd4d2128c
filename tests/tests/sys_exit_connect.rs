//! Connects that fail before a SYN is sent, and so before any socket state changes.

use weir_tests::{Netns, lab};

/// `n` connects in a namespace with this route, all of which must fail with `errno`, are counted as `outcome`.
fn fails(route: Option<&str>, address: &str, errno: i32, outcome: &str) {
    let lab = lab!();
    let netns = Netns::new();
    if let Some(route) = route {
        netns.ip(route);
    }
    let mut client = lab.client_in(&netns, &format!("{address}:7101"));
    let weir = lab.weir(&[]);
    client.must("open 12", &format!("opened 0 {errno}:12"));
    let document = weir.finish();
    let edge = document.edge(client.pid(), 7101);
    edge.assert_connects(&[(outcome, 12)]);
    assert!(edge.spread("connect_latency_s").is_none(), "a failure is timed as a success: {edge}");
    assert_eq!(edge.text("server", "address"), address.trim_matches(['[', ']']));
    assert_eq!(edge.text("client", "name"), "weir-traffic");
    document.assert_lossless();
}

#[test]
fn no_route_over_ipv4() {
    fails(None, "10.99.0.1", libc::ENETUNREACH, "unreachable");
}

#[test]
fn no_route_over_ipv6() {
    fails(None, "[fd99::1]", libc::ENETUNREACH, "unreachable");
}

#[test]
fn a_route_that_says_unreachable() {
    fails(Some("route add unreachable 10.99.0.0/24"), "10.99.0.1", libc::EHOSTUNREACH, "unreachable");
}

#[test]
fn a_route_that_says_unreachable_over_ipv6() {
    fails(Some("-6 route add unreachable fd99::/64"), "[fd99::1]", libc::EHOSTUNREACH, "unreachable");
}

#[test]
fn a_route_that_prohibits() {
    fails(Some("route add prohibit 10.99.0.0/24"), "10.99.0.1", libc::EACCES, "other");
}

/// A blackhole makes connect say EINVAL, which names no cause that the caller could act on.
#[test]
fn a_route_into_a_black_hole() {
    fails(Some("route add blackhole 10.99.0.0/24"), "10.99.0.1", libc::EINVAL, "other");
}

/// Resolvers connect UDP sockets to find routes; those are no connections.
#[test]
fn udp_is_not_counted() {
    let lab = lab!();
    let netns = Netns::new();
    let mut client = lab.client_in(&netns, "10.99.0.1:7102");
    let weir = lab.weir(&[]);
    client.must("udp 9", "failed 9");
    client.must("open 1", &format!("opened 0 {}:1", libc::ENETUNREACH));
    let document = weir.finish();
    document.edge(client.pid(), 7102).assert_connects(&[("unreachable", 1)]);
    document.assert_lossless();
}

/// Interrupted and asynchronous connects return errors that are no failures.
#[test]
fn a_connect_in_progress_is_no_failure() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("start 10", "started 10");
    client.must("open 5", "opened 5");
    let document = weir.finish();
    document.edge(client.pid(), server.port()).assert_connects(&[("ok", 15)]);
    document.assert_lossless();
}
