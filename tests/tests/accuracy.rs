//! weir's numbers against those of the tools that made the traffic.

use std::process::Command;

use weir_tests::{
    Document, Edge, Lab, close, lab,
    process::{self, Process},
    server::{self, Server, postgres_client},
    tally::median,
};

/// What a run of redis-benchmark said and what weir said of it.
struct Run {
    pid: u32,
    mean_s: f64,
}

/// redis-benchmark first asks the server for its configuration: one connection and one round that are not of the test.
const REDIS_BENCHMARK_EXTRA: u64 = 1;

fn redis_benchmark(server: &Server, arguments: &[&str]) -> Run {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &server.port().to_string(), "-t", "get", "--csv"]).args(arguments);
    let (pid, csv) = process_output(&mut command);
    // "test","rps","avg_latency_ms",...
    let row = csv.lines().find(|line| line.starts_with("\"GET\"")).unwrap_or_else(|| panic!("no GET in {csv}"));
    let mean_ms: f64 = row.split(',').nth(2).expect("a mean").trim_matches('"').parse().expect("a number");
    Run { pid, mean_s: mean_ms / 1e3 }
}

/// Runs a tool to its end: its process id and what it printed.
fn process_output(command: &mut Command) -> (u32, String) {
    use std::{io::Read as _, process::Stdio, time::Duration};
    let mut process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let pid = process.pid();
    let mut text = String::new();
    process.pipes().stdout.take().expect("a pipe").read_to_string(&mut text).expect("read a tool's output");
    assert!(process.wait(Duration::from_secs(60)).success(), "{command:?} failed:\n{text}");
    (pid, text)
}

/// Asserts that the timing adds up by weir's own check: counted and timed concurrency agree.
fn assert_littles_law(edge: &Edge<'_>) {
    for end in ["client", "server"] {
        let law = &edge.seen_by(end).value()["littles_law"];
        assert_eq!(law["state"], "holds", "Little's law at the {end}: {law}");
    }
}

/// Alone: compares latencies with the client's own to 5%.
#[test]
fn redis_benchmark_without_pipelining() {
    const REQUESTS: u64 = 40_000;
    let lab = lab!();
    let redis = server::redis(&lab);
    let weir = lab.weir(&[]);
    let runs: Vec<Run> = (0..3).map(|_| redis_benchmark(&redis, &["-P", "1", "-c", "10", "-n", "40000"])).collect();
    let document = weir.finish();
    let mut errors = Vec::new();
    for run in &runs {
        let edge = document.edge(run.pid, redis.port());
        assert_eq!((edge.text("client", "name"), edge.text("server", "name")), ("redis-benchmark", "redis-server"));
        assert_eq!(edge.server_pids(), [redis.pid()]);
        edge.assert_connects(&[("ok", 10 + REDIS_BENCHMARK_EXTRA)]);
        close("rounds", edge.count("rounds") as f64, (REQUESTS + REDIS_BENCHMARK_EXTRA) as f64, 0.001);
        assert_eq!(edge.seen_by("server").count("rounds"), edge.count("rounds"), "rounds as the server saw them");
        assert!(!edge.is("multiplexed") && !edge.is("pipelined") && !edge.is("partial"), "labels of {edge}");
        assert_eq!((edge.count("open_connections"), edge.count("in_flight")), (0, 0));
        assert_littles_law(&edge);
        let mean = edge.observed("latency_s").mean;
        println!("mean {:.1} us, redis-benchmark says {:.1} us", mean * 1e6, run.mean_s * 1e6);
        errors.push(mean / run.mean_s - 1.0);
    }
    let error = median(errors.clone());
    assert!(error.abs() <= 0.05, "mean latency is off by {:.1}% (runs: {errors:?})", error * 100.0);
    document.assert_lossless();
}

#[test]
fn redis_benchmark_with_pipelining_is_labelled() {
    const REQUESTS: u64 = 160_000;
    let lab = lab!();
    let redis = server::redis(&lab);
    let weir = lab.weir(&[]);
    let run = redis_benchmark(&redis, &["-P", "16", "-c", "4", "-n", "160000"]);
    let document = weir.finish();
    let edge = document.edge(run.pid, redis.port());
    edge.assert_connects(&[("ok", 4 + REDIS_BENCHMARK_EXTRA)]);
    assert!(edge.is("pipelined") || edge.is("multiplexed"), "16 requests in each round go unnoticed: {edge}");
    assert_eq!(edge.value()["rounds_are"], "a lower bound of requests");
    let rounds = edge.count("rounds");
    assert!(rounds <= REQUESTS, "{rounds} rounds of {REQUESTS} requests");
    close("rounds", rounds as f64, (REQUESTS / 16 + REDIS_BENCHMARK_EXTRA) as f64, 0.001);
    document.assert_lossless();
}

/// Requests that overlap in time, each in a segment of its own.
#[test]
fn overlapping_requests_are_labelled_multiplexed() {
    let lab = lab!();
    let server = lab.serve("slow 0 10", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 1", "opened 1");
    client.tell("overlap 400 4");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert!(edge.is("multiplexed"), "requests overlap: {edge}");
    assert!(edge.count("rounds") < 400, "rounds of 400 requests: {edge}");
}

/// A server that goes on speaking unasked, at intervals that no answer has.
#[test]
fn pushes_are_labelled() {
    let lab = lab!();
    let server = lab.serve("push 250", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let weir = lab.weir(&[]);
    client.must("open 1", "opened 1");
    client.must("write 1", "done");
    // A verdict takes 100 operations: five for each of 24 pushes of five bytes.
    for _ in 0..120 {
        client.must("read 1", "done");
    }
    let document = weir.finish();
    let edge = document.edge(client.pid(), server.port());
    assert!(edge.is("push"), "the client sent no request: {edge}");
    assert_eq!(edge.value()["rounds_are"], "a lower bound of requests");
    assert!(edge.count("rounds") <= 1, "rounds without a request: {edge}");
    assert_eq!(edge.count("bytes_received"), 120);
}

fn pgbench(lab: &Lab, postgres: &Server) -> (u32, Document, f64) {
    process::succeed(postgres_client("pgbench", postgres).args(["-i", "-s", "1", "-q", "postgres"]));
    let weir = lab.weir(&[]);
    let mut command = postgres_client("pgbench", postgres);
    command.args(["-n", "-S", "-M", "prepared", "-c", "4", "-j", "1", "-t", "10000", "postgres"]);
    let (pid, text) = process_output(&mut command);
    assert!(text.contains("processed: 40000/40000"), "pgbench said: {text}");
    let line = text.lines().find_map(|line| line.strip_prefix("latency average = ")).expect("a mean latency");
    let mean_ms: f64 = line.split(' ').next().expect("a number").parse().expect("a number");
    (pid, weir.finish(), mean_ms / 1e3)
}

/// Alone: compares latencies with the client's own.
#[test]
fn pgbench_select_only() {
    // Each of four connections logs in and prepares its statement; one more logs in and looks at the tables, twice.
    const TRANSACTIONS: u64 = 40_000;
    const SETUP: u64 = 4 * 2 + 3;
    let lab = lab!();
    let postgres = server::postgres(&lab);
    let (pid, document, mean_s) = pgbench(&lab, &postgres);
    let edge = document.edge(pid, postgres.port());
    assert_eq!((edge.text("client", "name"), edge.text("server", "name")), ("pgbench", "postgres"));
    edge.assert_connects(&[("ok", 5)]);
    close("rounds", edge.count("rounds") as f64, (TRANSACTIONS + SETUP) as f64, 0.001);
    assert!(!edge.is("multiplexed") && !edge.is("pipelined"), "labels of {edge}");
    assert_eq!(edge.server_pids().len(), 5, "a backend for each connection");
    assert!(!edge.server_pids().contains(&postgres.pid()), "the postmaster serves no connection");
    assert_eq!(edge.seen_by("server").count("rounds"), edge.count("rounds"), "rounds as the backends saw them");
    assert_littles_law(&edge);
    // pgbench counts the time its one thread took to come back to an answer, too.
    let mean = edge.observed("latency_s").mean;
    println!("mean {:.1} us, pgbench says {:.1} us", mean * 1e6, mean_s * 1e6);
    assert!(mean < mean_s, "weir's {mean} s is more than the whole that pgbench measured, {mean_s} s");
    document.assert_lossless();
}
