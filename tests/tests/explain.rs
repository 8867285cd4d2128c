//! `weir explain`: the whole picture of one service, and of one edge.

use std::{process::Command, thread::sleep, time::Duration};

use serde_json::Value;
use weir_tests::{Lab, Traffic, Weir, incidents::for_a_while, lab, weir};

/// The helper under a name of its own, so that each is a service.
fn start(lab: &Lab, name: &str, arguments: &[&str]) -> Traffic {
    let path = lab.path(name);
    let helper = if path.exists() { path } else { lab.helper_as(name) };
    Traffic::of(Command::new(helper).args(arguments))
}

fn explained(file: &str, arguments: &[&str]) -> Value {
    let output = weir::run(&[&["explain", "--replay", file, "-o", "json"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a document")
}

fn list<'a>(of: &'a Value, name: &str) -> &'a Vec<Value> {
    of[name].as_array().unwrap_or_else(|| panic!("no list {name} in {of}"))
}

/// Client and server of each edge of a list.
fn ends(document: &Value, name: &str) -> Vec<(String, String)> {
    let text = |end: &Value| end["name"].as_str().expect("a name").to_owned();
    list(document, name).iter().map(|edge| (text(&edge["client"]), text(&edge["server"]))).collect()
}

fn pair(client: &str, server: &str) -> (String, String) {
    (client.to_owned(), server.to_owned())
}

/// All parts together are the client's latency, and most of it is known.
fn assert_split(edge: &Value) {
    let time = &edge["time_s"];
    let part = |name: &str| time[name].as_f64().unwrap_or_else(|| panic!("no {name} in {time} of {edge}"));
    let parts = ["network", "peer_queue", "peer_work", "own_wait", "not_explained"].map(part);
    let (sum, latency) = (parts.iter().sum::<f64>(), edge["latency_s"]["mean"].as_f64().expect("a latency"));
    assert!((sum - latency).abs() <= 0.01 * latency + 1e-8, "{sum} of {latency}: {time}");
    assert!(parts.iter().take(4).all(|part| *part >= 0.0), "{time}");
    assert!(part("peer_work") >= 0.005, "the server works for 5 ms: {time}");
    assert!(part("peer_queue") >= 0.001, "it reads after 2 ms: {time}");
    assert!(part("not_explained").abs() < 0.5 * latency, "{time}");
}

/// front calls mid, and mid (another process of it) calls back.
///
/// Alone: asserts where the time of a request goes, to half of it.
#[test]
fn a_service_its_callers_and_callees() {
    let lab = lab!();
    let back = start(&lab, "back", &["serve", "slow", "127.0.0.1:0", "2", "5"]);
    let mid = start(&lab, "mid", &["serve", "slow", "127.0.0.1:0", "2", "5"]);
    let mut mid_calls = start(&lab, "mid", &["client", &format!("127.0.0.1:{}", back.port())]);
    let mut front = start(&lab, "front", &["client", &format!("127.0.0.1:{}", mid.port())]);
    let file = lab.path("explain.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let recorder = Weir::start_as(&["signals", "--record", file]);
    front.must("open 2", "opened 2");
    mid_calls.must("open 2", "opened 2");
    for_a_while(Duration::from_secs(2), || {
        front.must("rounds 1 1", "done");
        mid_calls.must("rounds 1 1", "done");
    });
    recorder.finish_raw();

    let document = explained(file, &["mid"]);
    assert_eq!(ends(&document, "callers"), [pair("front", "mid")], "{document}");
    assert_eq!(ends(&document, "callees"), [pair("mid", "back")], "{document}");
    for edge in list(&document, "callers").iter().chain(list(&document, "callees")) {
        assert_split(edge);
        assert!(edge["rounds_per_s"].as_f64() > Some(1.0), "{edge}");
        let pool = &edge["pool"];
        assert_eq!(pool["connections_open"].as_u64(), Some(2), "{pool}");
        assert!(pool["busy_share"].as_f64().is_some_and(|share| share > 0.0 && share < 1.0), "{pool}");
    }
    let pids: Vec<u64> = list(&document, "instances").iter().filter_map(|one| one["pid"].as_u64()).collect();
    let mut expected = [mid.pid(), mid_calls.pid()].map(u64::from);
    expected.sort_unstable();
    assert_eq!(pids, expected);
    let queue = &list(&document, "accept_queues")[0];
    assert_eq!(queue["port"].as_u64(), Some(mid.port().into()), "{document}");
    assert!(!list(&document, "processes").is_empty() && !list(&document, "listeners").is_empty(), "{document}");
    assert!(list(&document, "incidents").iter().all(|incident| incident["signal"] == "pressure"), "{document}");

    let by_port = explained(file, &[&format!(":{}", back.port())]);
    assert_eq!(
        (ends(&by_port, "callers"), ends(&by_port, "callees")),
        (vec![pair("mid", "back")], vec![]),
        "{by_port}"
    );
    let by_pid = explained(file, &[&mid_calls.pid().to_string()]);
    assert_eq!((ends(&by_pid, "callers"), ends(&by_pid, "callees")), (vec![], vec![pair("mid", "back")]), "{by_pid}");
    let edge = explained(file, &["front->mid"]);
    assert_eq!((ends(&edge, "callers"), ends(&edge, "callees")), (vec![], vec![pair("front", "mid")]), "{edge}");

    let text = String::from_utf8(weir::run(&["explain", "mid", "--replay", file]).stdout).expect("UTF-8");
    println!("{text}");
    for title in ["WHO CALLS IT", "WHAT IT CALLS", "QUEUES AND LIMITS", "INCIDENTS", "WHERE THE TIME GOES"] {
        assert!(text.contains(title), "{title} in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");

    for (asked, error) in [("midd", "nearest: mid"), ("back->front", "no connection from back to front")] {
        let output = weir::run(&["explain", asked, "--replay", file]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{asked}: {said}");
        assert!(said.contains(error), "{asked}: {said}");
    }
}

/// On the machine itself, and an edge that fails.
#[test]
fn a_server_that_is_gone() {
    let lab = lab!();
    let gone = weir_tests::lab::free_port();
    let mut front = start(&lab, "front", &["client", &format!("127.0.0.1:{gone}")]);
    let weir = Weir::start_as(&["explain", "front", "-o", "json", "--for", "1m"]);
    for_a_while(Duration::from_millis(5500), || front.must("open 2", "opened 0 111:2"));
    sleep(Duration::from_millis(100));
    let document: Value = serde_json::from_str(&weir.finish_raw()).expect("a document");
    let edge = &list(&document, "callees")[0];
    assert!(edge["failed_connects"].as_u64() >= Some(50) && edge["time_s"].is_null(), "{edge}");
    assert!(edge["time_s_reason"].as_str().is_some_and(|why| !why.is_empty()), "{edge}");
    let said = list(&document, "incidents").iter().chain(list(&document, "pending"));
    assert!(said.into_iter().any(|one| one["signal"] == "edge_errors"), "{document}");
}
