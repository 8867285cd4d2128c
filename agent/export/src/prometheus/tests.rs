//! The bytes are those of `prometheus-client`, where it can write them: text 0.0.4 with classic buckets, and protobuf with native
//! ones.

mod oracle;

use weir_abi::{ConnectOutcome, EdgeKey, EdgeRecord, Histogram, ROLE_CLIENT, ROLE_SERVER, SLOT_LIVE};
use weir_engine::{Engine, Input, Machine, Schedule, Started, WindowId};

use super::*;
use oracle::Oracle;

const S: u64 = 1_000_000_000;
/// 2026, with a part of a second.
const START_UNIX_NS: u64 = 1_795_000_000 * S + 250_000_000;

fn named(record: &mut EdgeRecord, name: &str) {
    record.comm[..name.len()].copy_from_slice(name.as_bytes());
}

fn times(counts: &[(usize, u32)], sum_ns: u64) -> Histogram {
    let mut histogram = Histogram { sum_ns, ..Histogram::EMPTY };
    counts.iter().for_each(|(bucket, n)| histogram.buckets[*bucket] = *n);
    histogram
}

/// A client of this host, of the process `n`, with so many rounds to `10.0.0.2`.
fn client(n: u32, name: &str, port: u16, rounds: u32) -> EdgeRecord {
    let key = EdgeKey { tgid: n, netns: 1, role: ROLE_CLIENT, address: v4(2), port, ..EdgeKey::default() };
    let mut record = EdgeRecord { key, state: SLOT_LIVE, local_address: v4(1), ..EdgeRecord::EMPTY };
    named(&mut record, name);
    record.connects[ConnectOutcome::Ok as usize] = 3;
    (record.opened, record.bytes_sent, record.bytes_received) = (3, 1 << 40, 7);
    record.latency = times(&[(0, 1), (40, rounds), (41, 2), (60, 1), (105, 1)], 123_456_789);
    record
}

fn server(n: u32, name: &str) -> EdgeRecord {
    let key = EdgeKey {
        tgid: n,
        netns: 1,
        role: ROLE_SERVER,
        address: v4(9),
        port: 80,
        listen_port: 80,
        ..EdgeKey::default()
    };
    let mut record = EdgeRecord { key, state: SLOT_LIVE, local_address: v4(1), ..EdgeRecord::EMPTY };
    named(&mut record, name);
    record.latency = times(&[(30, 5)], 5_000);
    record.connects[ConnectOutcome::Ok as usize] = 1;
    record
}

fn v4(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]
}

fn snapshot(records: &[EdgeRecord]) -> Snapshot {
    let mut engine = Engine::new([Schedule::Whole]);
    let (kernel, version) = ("6.18".into(), "0.1.0".into());
    engine.take(Input::Started(Started {
        monotonic_ns: 10 * S,
        unix_ns: START_UNIX_NS,
        kernel,
        version,
        machine: Machine { host: Some("db-1".into()), ..Machine::default() }.into(),
    }));
    for (slot, record) in (11..).zip(records) {
        engine.take(Input::Edge { slot, record });
    }
    engine.take(Input::Tick { monotonic_ns: 20 * S, unix_ns: START_UNIX_NS + 10 * S });
    engine.snapshot(WindowId::FIRST).by_service(|_| true)
}

fn shop() -> Snapshot {
    snapshot(&[client(7, "web\"\\", 80, 5), client(8, "web", 5432, 70_000), server(20, "nginx")])
}

fn written(format: Exposition, mode: Mode, most: usize, snapshot: &Snapshot) -> Vec<u8> {
    let mut out = Vec::new();
    let page = Prometheus::new(mode, most).select(snapshot.clone());
    page.write(format, Some(&Standing::default()), &mut out).expect("a vector takes all");
    out
}

fn text(mode: Mode, most: usize, snapshot: &Snapshot) -> String {
    String::from_utf8(written(Exposition::Text, mode, most, snapshot)).expect("text")
}

#[test]
fn text_is_what_the_library_writes() {
    for mode in [Mode::Minimal, Mode::Standard, Mode::Full] {
        let oracle = Oracle::of(mode, &shop()).text();
        assert_eq!(text(mode, 9, &shop()), oracle);
        assert!(oracle.contains(
            "weir_edge_connects_total{client=\"web\",server=\"10.0.0.2\",server_port=\"5432\",outcome=\"ok\"} 3"
        ));
    }
}

#[test]
fn protobuf_is_what_the_library_writes() {
    for mode in [Mode::Minimal, Mode::Standard, Mode::Full] {
        assert!(written(Exposition::Protobuf, mode, 9, &shop()) == Oracle::of(mode, &shop()).protobuf(), "{mode:?}");
    }
}

/// The library orders a histogram's series otherwise, and labels; the lines are the same but for the boundaries' spelling.
#[test]
fn openmetrics_has_the_lines_that_the_library_writes() {
    let ours = String::from_utf8(written(Exposition::OpenMetrics, Mode::Full, 9, &shop())).expect("text");
    let theirs = Oracle::of(Mode::Full, &shop()).open_metrics();
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(sorted_labels).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&ours), lines(&theirs));
    assert!(ours.ends_with("# EOF\n") && ours.contains("# UNIT weir_edge_latency_seconds seconds\n"));
}

/// A line with its labels in order, and its boundary as a number.
fn sorted_labels(line: &str) -> String {
    let Some((name, rest)) = line.split_once('{') else { return line.to_owned() };
    let Some((labels, value)) = rest.rsplit_once("} ") else { return line.to_owned() };
    let mut labels: Vec<String> = labels
        .split(',')
        .map(|label| match label.strip_prefix("le=\"") {
            Some(le) => format!("le={:?}", le.trim_end_matches('"').parse::<f64>()),
            None => label.to_owned(),
        })
        .collect();
    labels.sort();
    format!("{name}{{{}}} {value}", labels.join(","))
}

#[test]
fn a_series_has_one_line() {
    // Two processes of one name are one service; two ports are two edges, and one in the service graph.
    let snapshot = snapshot(&[client(7, "web", 80, 5), client(8, "web", 80, 5), client(9, "web", 81, 5)]);
    let text = text(Mode::Full, 9, &snapshot);
    let mut series: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all);
    assert!(text.contains("traces_service_graph_request_total{client=\"web\",server=\"10.0.0.2\",connection_type=\"virtual_node\",source=\"weir\"} 30"), "{text}");
}

#[test]
fn what_is_unknown_has_no_series() {
    let text = text(Mode::Full, 9, &shop());
    assert!(!text.contains("weir_edge_service_seconds_count{client=\"web\""), "the server is elsewhere");
    assert!(
        text.contains("weir_edge_service_seconds_count{client=\"10.0.0.9\",server=\"nginx\",server_port=\"80\"} 5")
    );
    assert!(!text.contains("weir_edge_in_flight_age_seconds{"), "nothing waits");
}

#[test]
fn beyond_the_limit_is_other_and_counters_only_rise() {
    let healthy = |n: u32| client(n, &format!("web{n}"), 80, n);
    let mut exporter = Prometheus::new(Mode::Minimal, 4);
    let mut scrape = |records: &[EdgeRecord]| {
        let mut out = Vec::new();
        exporter.select(snapshot(records)).write(Exposition::Text, None, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    };
    let rounds = |text: &str, of: &str| {
        let start = format!("weir_edge_rounds_total{{client=\"{of}\"");
        let line = text.lines().find(|line| line.starts_with(&start))?;
        line.rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    let mut records: Vec<EdgeRecord> = (1..=6).map(|n| healthy(n * 10)).collect();
    let first = scrape(&records);
    // Each has five more in other buckets. The fourth is for one that fails.
    assert_eq!(["web60", "web50", "web40", "web30"].map(|of| rounds(&first, of)), [Some(65), Some(55), Some(45), None]);
    assert_eq!(rounds(&first, "other"), Some(10 + 20 + 30 + 15));
    assert!(first.contains("weir_agent_edges_in_other 3\n"));
    // One of the others becomes the busiest, and stays where it is; another begins to fail, and has its own from now on.
    records[0] = client(10, "web10", 80, 1000);
    records[1].rounds_broken = 1;
    let second = scrape(&records);
    assert_eq!((rounds(&second, "web10"), rounds(&second, "web20")), (None, Some(25)));
    assert_eq!(rounds(&second, "other"), Some(1000 + 20 + 30 + 15), "what it had counted there stays there");
    assert!(second.contains("weir_agent_edges_in_other 2\n"));
    let third = scrape(&records);
    assert_eq!(second, third);
}

#[test]
fn help_is_a_sentence() {
    assert_eq!(families::sentence("answered rounds ([rounds](rounds.md))"), "Answered rounds.");
    assert_eq!(families::sentence("`a` of all, ([x](y.md)) and more"), "'a' of all, and more.");
}

#[test]
fn modes_name_fields_that_exist() {
    for name in MINIMAL.iter().chain(STANDARD) {
        assert!(EDGE.iter().any(|field| field.about.name == *name), "{name}");
    }
}

/// What the documentation says of the default limit.
#[test]
fn a_thousand_edges_have_the_stated_size() {
    let records: Vec<EdgeRecord> = (0..1500).map(|n| client(100 + n, &format!("checkout-{n}"), 8080, 1 + n)).collect();
    let snapshot = snapshot(&records);
    let [text, protobuf] = [Exposition::Text, Exposition::Protobuf]
        .map(|format| written(format, Mode::Standard, Prometheus::MAX_EDGES, &snapshot).len());
    println!("{text} bytes of text, {protobuf} of protobuf");
    assert!(text < 15_000_000 && protobuf < 4_000_000, "{text} bytes of text, {protobuf} of protobuf");
}
