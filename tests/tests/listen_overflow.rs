//! An accept queue that overflows, one that is full without new callers, and a request queue that is full.
//!
//! Alone: connections that were never accepted end with their listener, and other tests assert that no socket is unknown.

use std::{thread::sleep, time::Duration};

use weir_tests::{
    Netns, Traffic, Weir,
    incidents::{assert_replays, assert_timely, events_at, for_a_while, text, unix_s},
    lab,
};

/// A server that accepts nothing, and callers that keep coming.
#[test]
fn an_accept_queue_that_is_full() {
    let lab = lab!("overflow");
    let (near, far) = Netns::pair();
    let server = lab.serve_in(&far, "deaf 3", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let file = lab.path("overflow.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--record", file]);
    // Three connections are waiting in a queue of three; no caller is turned away.
    client.must("start 3", "started 3");
    sleep(Duration::from_secs(6));
    let fault_s = unix_s();
    for_a_while(Duration::from_secs(11), || client.must("start 1", "started 1"));
    let printed = weir.finish_raw();
    let events = events_at(&printed, "listen_overflow", &format!("overflow:{}", server.port()));
    let raised = events.first().expect("an incident");
    assert_timely(raised, fault_s, 11.0);
    assert_eq!((text(raised, "severity"), text(raised, "class")), ("critical", "accept queue"));
    assert!(text(raised, "what").contains("the accept queue is full (4 of 3)"), "{raised}");
    assert!(text(raised, "where").contains(&format!("(pid {})", server.pid())), "{raised}");
    assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
    assert_replays(file, &printed, &[]);
}

/// A burst that fits the queue, and a full queue that drops no caller, as none comes: `accept_queue` reports that one.
#[test]
fn a_burst_that_fits_is_well() {
    let lab = lab!("burst");
    let (near, far) = Netns::pair();
    let busy = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let deaf = lab.serve_in(&far, "deaf 3", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", busy.port()));
    let mut patient = lab.client_in(&near, &format!("10.77.0.2:{}", deaf.port()));
    let weir = Weir::start_as(&["signals", "-o", "jsonl"]);
    patient.must("start 4", "started 4");
    client.must("start 200", "started 200");
    sleep(Duration::from_secs(11));
    let printed = weir.finish_raw();
    let of = |signal: &str, server: &Traffic| events_at(&printed, signal, &format!("burst:{}", server.port()));
    assert!(of("listen_overflow", &busy).is_empty() && of("listen_overflow", &deaf).is_empty(), "{printed}");
    assert!(of("accept_queue", &busy).is_empty(), "{printed}");
    let waiting = of("accept_queue", &deaf);
    assert_eq!(waiting.first().map(|event| text(event, "class")), Some("not accepting"), "{printed}");
}

/// Callers whose last ACK is lost: the handshake's last step never comes, and their requests fill the queue.
#[test]
fn a_request_queue_that_is_full() {
    let lab = lab!("requests");
    let (near, far) = Netns::pair();
    far.set("net.ipv4.tcp_syncookies", "0");
    far.set("net.ipv4.tcp_max_syn_backlog", "32");
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    far.filter("input", &["tcp flags & (syn | ack) == ack drop"]);
    let file = lab.path("requests.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--record", file]);
    sleep(Duration::from_secs(3));
    let fault_s = unix_s();
    client.must("start 60", "started 60");
    sleep(Duration::from_secs(11));
    let printed = weir.finish_raw();
    let at = format!("requests:{}", server.port());
    let events = events_at(&printed, "listen_overflow", &at);
    let raised = events.first().expect("an incident");
    assert_timely(raised, fault_s, 11.0);
    assert_eq!((text(raised, "severity"), text(raised, "class")), ("critical", "request queue"));
    assert!(text(raised, "where").contains(&format!("(pid {})", server.pid())), "{raised}");
    assert_eq!(raised["origin"]["node"], "10.77.0.1", "{raised}");
    let half_open = raised["evidence"].as_array().expect("a list").iter().find(|of| of["name"] == "half open");
    let half_open = half_open.expect("a count of them");
    // The kernel checks the limit before it adds one: a quarter of 32 is kept free.
    assert!(half_open["value"].as_f64() >= Some(24.0) && half_open["value"].as_f64() <= Some(26.0), "{half_open}");
    assert!(events_at(&printed, "accept_queue", &at).is_empty(), "{printed}");
    assert_replays(file, &printed, &[]);
}
