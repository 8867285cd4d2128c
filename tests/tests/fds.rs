//! A server that has no descriptor left, and one that has enough.
//!
//! Alone: connections that were never accepted end with their listener, and other tests assert that no socket is unknown.

use std::time::Duration;

use weir_tests::{
    Weir,
    incidents::{DETECTED_WITHIN_S, assert_replays, assert_timely, events_of, for_a_while, text, unix_s},
    lab, process,
};

/// A server that may have 64 descriptors, and callers that keep their connections.
#[test]
fn a_server_without_descriptors() {
    let lab = lab!("fds");
    let server = lab.serve("echo", "127.0.0.1:0");
    process::run("prlimit", &["--pid", &server.pid().to_string(), "--nofile=64:64"]);
    let at = format!("127.0.0.1:{}", server.port());
    let mut client = lab.client(&at);
    let mut callers = lab.client(&at);
    let file = lab.path("fds.weir");
    let file = file.to_str().expect("a path in UTF-8");
    // Half of them: nothing to say.
    client.must("open 30", "opened 30");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--record", file]);
    for_a_while(Duration::from_secs(11), || client.must("rounds 1 10", "done"));
    let fault_s = unix_s();
    callers.must("start 40", "started 40");
    for_a_while(Duration::from_secs(16), || client.must("rounds 1 10", "done"));
    let printed = weir.finish_raw();
    let events = events_of(&printed, "fds_exhausted");
    let raised = events.first().expect("an incident");
    assert_timely(raised, fault_s, DETECTED_WITHIN_S);
    assert_eq!(text(raised, "class"), "none left");
    assert_eq!(text(raised, "server"), format!("fds (pid {})", server.pid()));
    assert!(text(raised, "what").contains("of its 64 descriptors are open"), "{raised}");
    let critical = events.iter().find(|event| event["severity"] == "critical").expect("a page: connections wait");
    assert!(text(critical, "why").contains("wait all the time and are not accepted"), "{critical}");
    assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
    assert_replays(file, &printed, &[]);
}
