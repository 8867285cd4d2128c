//! SYN-ACKs sent again, of handshakes that complete and of those that never do.
//!
//! Alone: SYN-ACKs are counted for the whole host.

use std::{thread::sleep, time::Duration};

use weir_tests::{Netns, lab, wait_until};

const SYN_ACK: &str = "tcp flags & (syn | ack) == syn | ack";

/// The first answer to each SYN is lost on the way: the kernel does not count what it fails to send.
#[test]
fn handshakes_that_complete_carry_them_into_their_edge() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    near.filter("input", &[&format!("{SYN_ACK} drop")]);
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let weir = lab.weir(&[]);
    client.tell("race 3");
    sleep(Duration::from_millis(500));
    near.filter("input", &["accept"]);
    assert_eq!(client.answer(), "opened 3");
    client.must("rounds 1 1", "done");
    client.must("close", "done");
    sleep(Duration::from_millis(100));
    let document = weir.finish();
    let again = far.tcp("RetransSegs");
    let edge = document.edge(client.pid(), server.port());
    assert!(again >= 3, "the server answered again {again} times");
    assert_eq!(document.coverage("synack_retransmits"), again);
    assert_eq!(edge.seen_by("server").count("retransmitted_segments"), again);
    assert_eq!(edge.count("retransmitted_segments"), again + near.tcp("RetransSegs"));
    edge.assert_connects(&[("ok", 3)]);
    assert!(edge.observed("connect_latency_s").mean > 0.9, "the caller waited a second: {edge}");
    document.assert_lossless();
}

/// No answer ever arrives: there is no connection to count them in.
#[test]
fn handshakes_that_never_complete_are_counted_still() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    near.filter("input", &[&format!("{SYN_ACK} drop")]);
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("start 2", "started 2");
    // Both ends try again at one second: without that, giving up is no timeout.
    wait_until(Duration::from_secs(5), "both ends to try again", || {
        near.tcp("RetransSegs") >= 2 && far.tcp("RetransSegs") >= 2
    });
    client.must("close", "done");
    let before = far.tcp("RetransSegs");
    let document = weir.finish();
    let after = far.tcp("RetransSegs");
    let counted = document.coverage("synack_retransmits");
    assert!(before >= 2, "the server answered again {before} times");
    assert!((before..=after).contains(&counted), "{counted} counted, the kernel says {before} to {after}");
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("timeout", 2)]);
    assert!(edge.view("server").is_none(), "a server's view of no connection: {edge}");
}
