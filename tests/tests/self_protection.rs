//! Over its own limits weir does less, says so everywhere, and does all of it again when it can.

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use weir_tests::{
    Document, Edge, Weir, lab,
    process::Process,
    server::{self, Server},
    weir,
};

/// A span of five seconds for each step, and one more for the first.
const UP: Duration = Duration::from_secs(45);
/// Ten seconds or more a step, and twenty until the programs are timed again.
const DOWN: Duration = Duration::from_secs(110);
/// A budget that weir cannot keep even while it does nothing: it goes to the last step and stays there.
const NOTHING: &str = "0.0001%";

fn windows(printed: &str) -> Vec<Document> {
    printed.lines().map(Document::parse).collect()
}

fn degraded<'d>(document: &'d Document, field: &str) -> &'d Value {
    &document.value()["degraded"][field]
}

fn step(document: &Document) -> u64 {
    degraded(document, "cpu_step_worst").as_u64().expect("a step")
}

/// The edges of this process to this port, in all windows.
fn edges(windows: &[Document], pid: u32, port: u16) -> Vec<Edge<'_>> {
    windows
        .iter()
        .flat_map(|window| window.edges_where(|e| e.client_pid() == Some(pid) && e.port() == Some(port)))
        .collect()
}

fn sum(edges: &[Edge<'_>], end: &str, field: &str) -> u64 {
    edges.iter().filter_map(|edge| edge.view(end)).map(|view| view.count(field)).sum()
}

/// Asserts that a window says what its steps cost.
fn assert_says_so(window: &Document) {
    let step = step(window);
    assert_eq!(degraded(window, "in_window"), step > 0, "{}", window.value()["degraded"]);
    assert_eq!(window.value()["estimated"], step >= 3, "{}", window.value()["degraded"]);
    assert_eq!(window.value()["complete"] == true, step < 2, "step {step}: {}", window.value()["degraded"]);
    let count = |field: &Value| field.as_array().map_or(0, Vec::len);
    assert_eq!(count(degraded(window, "does")), step as usize);
    assert_eq!(count(&window.value()["estimated_fields"]) > 0, step >= 3);
    for edge in window.edges_where(|edge| step >= 2 && edge.view("server").is_some()) {
        let reason = &edge.value()["receive_queue_wait_s_reason"];
        assert_eq!(*reason, "switched off to keep the CPU budget", "at step {step}");
    }
}

fn redis_load(redis: &Server) -> Process {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &redis.port().to_string(), "-t", "get", "-c", "10", "-n", "100000000", "-q"]);
    Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Alone: without its load, weir must cost less than 0.4% of a processor.
#[test]
fn under_load_it_steps_back_and_comes_back_when_the_load_is_gone() {
    let lab = lab!();
    let redis = server::redis(&lab);
    let echo = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", echo.port()));
    let load = redis_load(&redis);
    let mut weir = Weir::start_as(&["edges", "-o", "jsonl", "--every", "5s", "--cpu-budget", "0.4%"]);
    for step in 1..=3 {
        println!("{}", weir.says(&format!("weir: CPU step {step} of 5"), UP));
    }
    drop(load);
    // Whatever it has come to meanwhile, it goes back one by one.
    for step in (0..=2).rev() {
        println!("{}", weir.says(&format!("weir: CPU step {step} of 5"), DOWN));
    }
    // The window in which it came back.
    sleep(Duration::from_secs(6));
    client.must("open 20", "opened 20");
    client.must("rounds 50 100", "done");
    client.must("close", "done");
    let windows = windows(&weir.finish_raw());
    windows.iter().for_each(assert_says_so);
    assert!(windows.iter().any(|window| step(window) >= 3), "no window says that it is sampled");
    let last = windows.last().expect("a window");
    assert_eq!((step(last), degraded(last, "now")), (0, &Value::Bool(false)));
    // Everything again: counts are exact, waits are measured.
    let edges = edges(&windows, client.pid(), echo.port());
    for end in ["client", "server"] {
        assert_eq!(sum(&edges, end, "rounds"), 1000, "rounds at the {end}");
        assert_eq!(sum(&edges, end, "bytes_sent"), 100_000, "bytes from the {end}");
    }
    assert!(edges.iter().any(|edge| edge.spread("receive_queue_wait_s").is_some()));
    // No client took up the load's long-lived connections again; nothing of theirs is left in flight.
    let left: u64 =
        last.edges_where(|edge| edge.port() == Some(redis.port())).iter().map(|e| e.count("in_flight")).sum();
    assert_eq!(left, 0);
}

/// Every connection in the sample counts for 64: the estimate is 64 times a binomial count of connections.
#[test]
fn counts_from_a_sample_are_unbiased_estimates() {
    const CONNECTIONS: u64 = 2000;
    const ROUNDS: u64 = 8;
    const BYTES: u64 = 100;
    const WEIGHT: u64 = 64;
    let lab = lab!();
    let echo = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", echo.port()));
    let mut weir = Weir::start_as(&["edges", "-o", "jsonl", "--every", "5s", "--cpu-budget", NOTHING]);
    weir.says("weir: CPU step 5 of 5", UP);
    client.must(&format!("open {CONNECTIONS}"), &format!("opened {CONNECTIONS}"));
    client.must(&format!("rounds {ROUNDS} {BYTES}"), "done");
    client.must("close", "done");
    echo.wait_idle();
    let windows = windows(&weir.finish_raw());
    windows.iter().for_each(assert_says_so);
    let edges = edges(&windows, client.pid(), echo.port());
    // The life of connections is counted whole.
    assert_eq!(edges.iter().map(|edge| edge.connects("ok")).sum::<u64>(), CONNECTIONS);
    let mean = CONNECTIONS as f64 / WEIGHT as f64;
    // Of a binomial; five of its standard deviations are exceeded once in a million runs or two.
    let deviation = (mean * (1.0 - 1.0 / WEIGHT as f64)).sqrt();
    for end in ["client", "server"] {
        assert_eq!(sum(&edges, end, "closed_connections"), CONNECTIONS, "closed at the {end}");
        let rounds = sum(&edges, end, "rounds");
        assert_eq!(rounds % (WEIGHT * ROUNDS), 0, "{rounds} rounds are of whole connections");
        let sampled = rounds / (WEIGHT * ROUNDS);
        println!(
            "{end}: {sampled} of {CONNECTIONS} connections in the sample, {mean:.1} expected, deviation {deviation:.1}"
        );
        assert!((sampled as f64 - mean).abs() < 5.0 * deviation, "{sampled} connections in the sample at the {end}");
        for field in ["bytes_sent", "bytes_received"] {
            assert_eq!(sum(&edges, end, field), rounds * BYTES, "{field} at the {end}");
        }
        for field in ["in_flight", "abandoned", "broken", "unobserved"] {
            assert_eq!(sum(&edges, end, field), 0, "{field} at the {end}");
        }
    }
}

/// Requests that wait while the sample changes are no longer watched: counted as such, and not in flight for ever.
#[test]
fn rounds_that_a_change_of_the_sample_cuts_are_counted() {
    let lab = lab!();
    let silent = lab.serve("silent", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", silent.port()));
    let mut weir = Weir::start_as(&["edges", "-o", "jsonl", "--every", "5s", "--cpu-budget", NOTHING]);
    client.must("open 10", "opened 10");
    client.must("write 1", "done");
    weir.says("weir: CPU step 3 of 5", UP);
    sleep(Duration::from_secs(11));
    client.must("close", "done");
    let windows = windows(&weir.finish_raw());
    let edges = edges(&windows, client.pid(), silent.port());
    assert_eq!(edges.first().map(|edge| edge.count("in_flight")), Some(10), "before the sample changes");
    assert_eq!(edges.last().map(|edge| edge.count("in_flight")), Some(0), "after");
    let ends = ["unobserved", "abandoned", "broken"].map(|field| sum(&edges, "client", field));
    assert_eq!(ends, [10, 0, 0], "unobserved, abandoned, broken");
}

#[test]
fn a_recording_replays_the_steps() {
    let lab = lab!();
    let path = lab.path("degraded.weir");
    let path = path.to_str().expect("a path in UTF-8");
    let mut weir = Weir::start_as(&["record", path, "-o", "json", "--for", "300s", "--cpu-budget", NOTHING]);
    weir.says("weir: CPU step 3 of 5", UP);
    let printed = weir.finish_raw();
    assert_eq!(step(&Document::parse(&printed)), 3);
    let again = weir::run(&["replay", path, "-o", "json"]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), printed);
    let table = String::from_utf8_lossy(&weir::run(&["replay", path, "-o", "table"]).stdout).into_owned();
    assert!(table.lines().any(|line| line.starts_with("DEGRADED: CPU step 3 of 5")), "{table}");
}

/// Alone: other tests' sockets and edges count against its memory limit.
#[test]
fn over_its_memory_limit_new_edges_are_counted_together() {
    const SMALL: [&str; 2] = ["--max-edges", "1024"];
    let lab = lab!();
    let echo = lab.serve("echo", "127.0.0.1:0");
    let to = format!("127.0.0.1:{}", echo.port());
    let mut crowd = lab.client(&to);
    crowd.must("open 1", "opened 1");
    // What it takes once it has written a window or two: at the start it is less.
    let every = ["edges", "-o", "jsonl", "--every", "2s", "--memory-limit"];
    let idle = Weir::start_as(&[&every[..], &["1GiB"], &SMALL].concat());
    sleep(Duration::from_secs(5));
    let written = windows(&idle.finish_raw());
    let base = degraded(written.last().expect("a window"), "memory_bytes").as_u64().expect("its memory");
    // 4,500 connections are 9,000 sockets, which count 3.8 MiB.
    let limit = (base + base / 5).to_string();
    let mut weir = Weir::start_as(&[&every[..], &[&limit], &SMALL].concat());
    crowd.must("open 4500", "opened 4500");
    println!("{}", weir.says("weir: memory step 2 of 3", UP));
    let mut newcomer = lab.client(&to);
    newcomer.must("open 7", "opened 7");
    newcomer.must("rounds 3 10", "done");
    newcomer.must("close", "done");
    crowd.must("close", "done");
    println!("{}", weir.says("weir: memory step 0 of 3", DOWN));
    let mut latecomer = lab.client(&to);
    latecomer.must("short 5", "done");
    let windows = windows(&weir.finish_raw());
    assert!(windows.iter().any(|w| degraded(w, "memory_step_worst").as_u64() >= Some(2)));
    assert_eq!(edges(&windows, newcomer.pid(), echo.port()).len(), 0, "a new edge got a record");
    let over: u64 = windows.iter().map(|window| window.loss("edges_over_limit")).sum();
    assert_eq!(over, 14, "both ends of seven connections");
    let others: Vec<Edge<'_>> =
        windows.iter().flat_map(|w| w.edges_where(|e| e.is("other") && e.view("client").is_some())).collect();
    assert_eq!((sum(&others, "client", "rounds"), sum(&others, "server", "rounds")), (21, 21), "in `other`");
    let late = edges(&windows, latecomer.pid(), echo.port());
    assert_eq!(late.iter().map(|edge| edge.connects("ok")).sum::<u64>(), 5, "new edges get records again");
}
