//! An accept queue that is full, and one that nobody comes to.

use std::{thread::sleep, time::Duration};

use weir_tests::{
    Netns, Weir,
    incidents::{assert_replays, assert_timely, events_of, for_a_while, text, unix_s},
    lab,
};

/// A server that accepts nothing, and callers that keep coming.
#[test]
fn an_accept_queue_that_is_full() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    let server = lab.serve_in(&far, "deaf 3", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let file = lab.path("overflow.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--record", file]);
    // Three connections are waiting in a queue of three; nobody is turned away.
    client.must("start 3", "started 3");
    sleep(Duration::from_secs(6));
    let fault_s = unix_s();
    for_a_while(Duration::from_secs(11), || client.must("start 1", "started 1"));
    let printed = weir.finish_raw();
    let events = events_of(&printed, "listen_overflow");
    let raised = events.first().expect("an incident");
    assert_timely(raised, fault_s, 11.0);
    assert_eq!((text(raised, "severity"), text(raised, "class")), ("critical", "accept queue"));
    assert_eq!(text(raised, "server"), format!("weir-traffic:{}", server.port()));
    assert!(text(raised, "what").contains("the accept queue is full (4 of 3)"), "{raised}");
    assert!(text(raised, "where").contains(&format!("(pid {})", server.pid())), "{raised}");
    assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
    assert_replays(file, &printed, &[]);
}

/// A burst that fits the queue, and a queue that is full but drops nobody, as nobody comes: that is `accept_queue`'s to say.
#[test]
fn a_burst_that_fits_is_well() {
    let lab = lab!();
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
    assert!(events_of(&printed, "listen_overflow").is_empty(), "{printed}");
    let waiting = events_of(&printed, "accept_queue");
    let deaf = format!("weir-traffic:{}", deaf.port());
    assert!(waiting.iter().all(|event| text(event, "server") == deaf), "{printed}");
    assert_eq!(waiting.first().map(|event| text(event, "class")), Some("not accepting"), "{printed}");
}
