//! Local ports that are used up, and those that merely look like it.

use std::time::Duration;

use serde_json::Value;
use weir_tests::{
    Netns, Weir,
    incidents::{assert_nothing, assert_replays, assert_timely, events_at, for_a_while, text, unix_s},
    lab,
};

/// Short connections through 64 ports: each keeps its port for a minute.
#[test]
fn a_range_that_is_used_up() {
    let lab = lab!("ports");
    let (near, far) = Netns::pair();
    near.set("net.ipv4.ip_local_port_range", "40000 40063");
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let at = format!("10.77.0.2:{}", server.port());
    let mut client = lab.client_in(&near, &at);
    let file = lab.path("ports.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--record", file]);
    for_a_while(Duration::from_secs(3), || client.must("short 1", "done"));
    client.tell("short 60");
    assert!(client.answer().starts_with("failed"), "64 ports for 80 connections");
    let fault_s = unix_s();
    for_a_while(Duration::from_secs(9), || drop(client.ask("short 1")));
    let printed = weir.finish_raw();
    let events = events_at(&printed, "ports_exhausted", &format!("ports:{}", server.port()));
    let critical = events.iter().find(|event| event["severity"] == "critical").expect("a page");
    let raised = events.first().expect("an incident");
    assert_timely(raised, fault_s, 8.0);
    assert!(critical["ts"].as_f64().expect("a time") - fault_s < 8.0, "{critical}");
    assert_eq!((text(critical, "client"), text(critical, "class")), ("ports", "ports used"));
    assert!(text(critical, "what").contains(&format!("64 local ports of 10.77.0.1 free to {at}")), "{critical}");
    assert!(text(critical, "where").contains("opened and closed instead of reused"), "{critical}");
    assert!(text(critical, "where").contains(&format!("(pid {})", client.pid())), "{critical}");
    assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
    assert_replays(file, &printed, &[]);
}

/// 20,000 connections in TIME_WAIT, in a range of more than 60,000 ports: no incident.
///
/// Alone: there must be no incident at all on the host.
#[test]
fn many_in_time_wait_are_well() {
    let lab = lab!();
    let (near, far) = Netns::pair();
    near.set("net.ipv4.ip_local_port_range", "1024 65535");
    let server = lab.serve_in(&far, "echo", "10.77.0.2:0");
    let mut client = lab.client_in(&near, &format!("10.77.0.2:{}", server.port()));
    let weir = Weir::start_as(&["signals", "-o", "json"]);
    client.must("short 20000", "done");
    for_a_while(Duration::from_secs(11), || client.must("short 1", "done"));
    let sockets = near.run("cat", &["/proc/self/net/sockstat"]);
    let waiting = sockets.split_whitespace().skip_while(|word| *word != "tw").nth(1).expect("a count");
    assert!(waiting.parse::<u32>().expect("a count") >= 20_000, "{sockets}");
    let document: Value = serde_json::from_str(&weir.finish_raw()).expect("a document");
    assert!(document["windows"].as_u64() >= Some(2), "{document}");
    assert_nothing(&document);
}
