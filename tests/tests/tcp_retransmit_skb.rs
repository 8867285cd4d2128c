//! Loss, to the segment: weir's count is the kernel's own.

use std::time::Duration;

use weir_tests::{
    Document, Lab, Netns, Traffic, lab,
    machine::{enough, is_slow},
    wait_until,
};

const EVERY_TENTH: &[&str] = &["meta l4proto tcp numgen inc mod 10 == 5 drop"];

/// Segments sent again, by the kernel's count of each namespace, once every connection has come to its end.
fn truth(one: &Netns, two: &Netns) -> u64 {
    let quiet = || one.busy_sockets() + two.busy_sockets() == 0;
    wait_until(Duration::from_secs(60), "the last connections to end", quiet);
    one.tcp("RetransSegs") + two.tcp("RetransSegs")
}

fn retransmitted(document: &Document, clients: &[&Traffic]) -> u64 {
    let of_ours = document.edges_where(|edge| clients.iter().any(|client| edge.client_pid() == Some(client.pid())));
    of_ours.iter().map(|edge| edge.count("retransmitted_segments")).sum()
}

/// Bulk, ping-pong and handshakes between two namespaces that each lose every tenth packet that comes in.
fn loss_is_exact(near_address: &str, far_address: &str) {
    let lab = lab!();
    let (near, far) = Netns::pair();
    near.filter("input", EVERY_TENTH);
    far.filter("input", EVERY_TENTH);
    let weir = lab.weir(&[]);
    let clients = lossy_traffic(&lab, (&near, near_address), (&far, far_address));
    let truth = truth(&near, &far);
    let document = weir.finish();
    let counted = retransmitted(&document, &clients.iter().collect::<Vec<_>>());
    println!("{counted} segments sent again; the kernel says {truth}");
    assert!(truth > 100, "only {truth} segments were lost: this shows nothing");
    assert_eq!(counted, truth, "segments sent again");
    document.assert_lossless();
}

fn lossy_traffic(lab: &Lab, near: (&Netns, &str), far: (&Netns, &str)) -> Vec<Traffic> {
    let bulk_bytes = enough(20 << 20).max(3 << 20);
    let sink = lab.serve_in(far.0, &format!("sink-read {bulk_bytes}"), &format!("{}:0", far.1));
    let echo = lab.serve_in(far.0, "echo", &format!("{}:0", far.1));
    let back = lab.serve_in(near.0, "echo", &format!("{}:0", near.1));
    let mut bulk = lab.client_in(near.0, &format!("{}:{}", far.1, sink.port()));
    let mut ping = lab.client_in(near.0, &format!("{}:{}", far.1, echo.port()));
    let mut reverse = lab.client_in(far.0, &format!("{}:{}", near.1, back.port()));
    bulk.tell("race 1");
    ping.tell("race 20");
    reverse.tell("race 10");
    assert_eq!(bulk.answer(), "opened 1");
    assert_eq!(ping.answer(), "opened 20");
    assert_eq!(reverse.answer(), "opened 10");
    bulk.tell(&format!("write {bulk_bytes}"));
    // One after the other, and each loss is waited for.
    ping.tell(if is_slow() { "rounds 2 1" } else { "rounds 5 1" });
    reverse.tell("rounds 3 5000");
    for client in [&mut bulk, &mut ping, &mut reverse] {
        assert_eq!(client.answer(), "done");
    }
    bulk.must("read 1", "done");
    for client in [&mut bulk, &mut ping, &mut reverse] {
        client.must("close", "done");
    }
    vec![bulk, ping, reverse]
}

/// Alone: compares with the kernel's count to the segment.
#[test]
fn loss_over_ipv4_is_exact() {
    loss_is_exact("10.77.0.1", "10.77.0.2");
}

/// Alone: compares with the kernel's count to the segment.
#[test]
fn loss_over_ipv6_is_exact() {
    loss_is_exact("[fd77::1]", "[fd77::2]");
}

/// The count does not wait for the connection's end.
#[test]
fn an_open_connection_shows_its_loss() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 1", "opened 1");
    client.must("rounds 3 1", "done");
    far.filter("input", &["meta l4proto tcp drop"]);
    client.must("write 1", "done");
    wait_until(Duration::from_secs(20), "three retransmissions", || near.tcp("RetransSegs") >= 3);
    far.filter("input", &["accept"]);
    client.must("read 1", "done");
    let truth = near.tcp("RetransSegs") + far.tcp("RetransSegs");
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert_eq!(edge.count("retransmitted_segments"), truth);
    assert_eq!(edge.seen_by("client").count("retransmitted_segments"), near.tcp("RetransSegs"));
    assert_eq!((edge.count("open_connections"), edge.count("rounds")), (1, 4));
    document.assert_lossless();
}
