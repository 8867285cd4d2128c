//! `weir signals`: what is wrong, where to look and what it costs; nothing while all is well.

use std::{
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

use serde_json::Value;
use weir_tests::{
    Lab, Traffic, Weir,
    incidents::{DETECTED_WITHIN_S, assert_nothing, assert_replays, events_at, events_of, for_a_while, unix_s},
    lab,
};

fn server(lab: &Lab, at: &str) -> Traffic {
    lab.serve("echo", at)
}

/// A server goes away and comes back: one incident, named, timely, over in the end; and the same from the recording.
#[test]
fn a_server_that_is_gone() {
    let lab = lab!("gone");
    let first = server(&lab, "127.0.0.1:0");
    let at = format!("127.0.0.1:{}", first.port());
    let mut client = lab.client(&at);
    let file = lab.path("fault.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--learn", "5s", "--record", file]);
    for_a_while(Duration::from_secs(6), || client.must("short 1", "done"));
    drop(first);
    let fault_s = unix_s();
    for_a_while(Duration::from_secs(17), || client.must("open 1", "opened 0 111:1"));
    let _second = server(&lab, &at);
    for_a_while(Duration::from_secs(32), || client.must("short 1", "done"));
    let printed = weir.finish_raw();
    let mut events = events_of(&printed, "edge_errors");
    // Not those of other tests' servers.
    events.retain(|event| event["where"].as_str().is_some_and(|place| place.contains(&at)));
    let raised = events.first().expect("an incident");
    assert_eq!((raised["event"].as_str(), raised["signal"].as_str()), (Some("raised"), Some("edge_errors")));
    assert_eq!((raised["class"].as_str(), raised["client"].as_str()), (Some("refused"), Some("gone")), "{raised}");
    assert_eq!(raised["state"].as_str(), Some("firing"));
    // A window that the fault begins in may be the first of two: then it is worse in the next.
    let critical = events.iter().find(|event| event["severity"] == "critical").expect("a page");
    for (what, event) in [("raised", raised), ("critical", critical)] {
        let after_s = event["ts"].as_f64().expect("a time") - fault_s;
        println!("{what} after {after_s:.1} s");
        assert!((0.0..DETECTED_WITHIN_S).contains(&after_s), "{what} {after_s} s after the fault");
    }
    assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
    let last = events.last().expect("an event");
    assert_eq!((last["event"].as_str(), last["state"].as_str()), (Some("resolved"), Some("ok")), "{printed}");
    assert_replays(file, &printed, &["--learn", "5s"]);
}

/// Stops and continues a process, so that it runs a sixth of the time.
fn starve(pid: u32, span: Duration) {
    // SAFETY: a process of this test's own.
    let signal = |signal| assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
    let began = Instant::now();
    while began.elapsed() < span {
        signal(libc::SIGSTOP);
        sleep(Duration::from_millis(50));
        signal(libc::SIGCONT);
        sleep(Duration::from_millis(10));
    }
}

/// A server that gets no processor: requests lie in its sockets.
///
/// Alone: its class depends on how long the server waits for a processor.
#[test]
fn a_server_that_is_starved() {
    let lab = lab!("starved");
    let server = server(&lab, "127.0.0.1:0");
    let (pid, port) = (server.pid(), server.port());
    let mut client = lab.client(&format!("127.0.0.1:{port}"));
    client.must("open 5", "opened 5");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--learn", "5s"]);
    for_a_while(Duration::from_secs(17), || client.must("rounds 1 10", "done"));
    let fault_s = unix_s();
    let fault = spawn(move || starve(pid, Duration::from_secs(17)));
    for_a_while(Duration::from_secs(17), || client.must("rounds 1 10", "done"));
    fault.join().expect("the fault");
    let printed = weir.finish_raw();
    let events = events_at(&printed, "receive_queue", &format!("starved:{port}"));
    let raised = events.first().expect("an incident");
    println!("{raised}");
    assert_eq!((raised["event"].as_str(), raised["signal"].as_str()), (Some("raised"), Some("receive_queue")));
    assert_eq!((raised["class"].as_str(), raised["severity"].as_str()), (Some("starved"), Some("critical")));
    assert_eq!(raised["client"].as_str(), None);
    assert!(raised["where"].as_str().is_some_and(|place| place.contains(&format!("(pid {pid})"))), "{raised}");
    let after_s = raised["ts"].as_f64().expect("a time") - fault_s;
    println!("raised after {after_s:.1} s");
    assert!((0.0..DETECTED_WITHIN_S).contains(&after_s), "{after_s} s after the fault");
    assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
}

/// Traffic, one failure by chance, and probes that open and close: nothing to say.
///
/// Alone: there must be no incident at all on the host.
#[test]
fn nothing_while_all_is_well() {
    let lab = lab!();
    let server = server(&lab, "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let mut prober = lab.client(&format!("127.0.0.1:{}", server.port()));
    let mut unlucky = lab.client("127.0.0.1:1");
    let weir = Weir::start_as(&["signals", "--learn", "5s", "-o", "json"]);
    unlucky.must("open 1", "opened 0 111:1");
    for_a_while(Duration::from_secs(17), || {
        client.must("short 2", "done");
        prober.must("open 1", "opened 1");
        prober.must("close", "done");
    });
    let document: Value = serde_json::from_str(&weir.finish_raw()).expect("a document");
    assert!(document["windows"].as_u64() >= Some(3) && document["edges"].as_u64() >= Some(2), "{document}");
    assert_nothing(&document);
}
