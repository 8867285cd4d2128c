//! The agent serves what it sees: counts are the traffic's own, in the format that the scraper asks for.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use weir_tests::{Weir, lab, lab::free_port, machine::patient, wait_until};

/// Prometheus 3 with native histograms, shortened.
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,*/*;q=0.1";

/// An address of this host that no other test uses.
fn free(loopback: &str) -> SocketAddr {
    (loopback.parse::<IpAddr>().expect("an address"), free_port()).into()
}

fn agent(address: SocketAddr) -> Weir {
    Weir::start_as(&["agent", "--listen", &address.to_string()])
}

/// Sends these bytes, and reads until the agent closes.
fn exchange(to: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).expect("a connection to the agent");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    // It may have had enough before it has all.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// The head and the body, whose chunks are put together.
fn get(to: SocketAddr, path: &str, headers: &str) -> (String, Vec<u8>) {
    let answer =
        exchange(to, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").as_bytes());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let body = &answer[end + 4..];
    (head.clone(), if head.contains("transfer-encoding: chunked") { joined(body) } else { body.to_vec() })
}

fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = chunks.windows(2).position(|two| two == b"\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(str::from_utf8(&chunks[..line]).expect("text"), 16).expect("a size");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunks[line + 2..line + 2 + size]);
        chunks = &chunks[line + 2 + size + 2..];
    }
}

fn ready(at: SocketAddr) {
    wait_until(Duration::from_secs(20), "the first window", || get(at, "/readyz", "").0.starts_with("http/1.1 200"));
}

/// The value of a series by the start of its line and a label.
fn value(text: &str, name: &str, label: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name) && line.contains(label))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn counts_are_the_traffics_own(loopback: &str) {
    let lab = lab!();
    let address = free(loopback);
    let host = if loopback == "::1" { "[::1]".to_owned() } else { loopback.to_owned() };
    let server = lab.serve("echo", &format!("{host}:0"));
    let mut client = lab.client(&format!("{host}:{}", server.port()));
    let weir = agent(address);
    client.must("open 3", "opened 3");
    client.must("rounds 5 100", "done");
    ready(address);
    let port = format!("server_port=\"{}\"", server.port());
    let text = || String::from_utf8(get(address, "/metrics", "").1).expect("text");
    wait_until(Duration::from_secs(20), "the rounds", || {
        value(&text(), "weir_edge_rounds_total{", &port) == Some(15.0)
    });
    let text = text();
    let ok = format!("{port},outcome=\"ok\"");
    for (name, label, expected) in [
        ("weir_edge_connects_total{", &ok, 3.0),
        ("weir_edge_open_connections{", &port, 3.0),
        ("weir_edge_bytes_sent_total{", &port, 1500.0),
        ("weir_edge_bytes_received_total{", &port, 1500.0),
        ("weir_edge_latency_seconds_count{", &port, 15.0),
        ("weir_edge_service_seconds_count{", &port, 15.0),
    ] {
        assert_eq!(value(&text, name, label), Some(expected), "{name}");
    }
    let (head, _) = get(address, "/metrics", "accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    let (head, body) = get(address, "/metrics", &format!("accept: {PROTOBUF}\r\n"));
    assert!(head.contains("content-type: application/vnd.google.protobuf; proto="), "{head}");
    assert!(body.windows(22).any(|name| name == b"weir_edge_rounds_total"), "no edges in {} bytes", body.len());
    let (head, body) = get(address, "/metrics", "accept-encoding: gzip\r\n");
    assert!(head.contains("content-encoding: gzip") && body.starts_with(&[0x1f, 0x8b]), "{head}");
    assert!(get(address, "/healthz", "").0.starts_with("http/1.1 200"));
    weir.finish_raw();
}

#[test]
fn counts_over_ipv4() {
    counts_are_the_traffics_own("127.0.0.1");
}

#[test]
fn counts_over_ipv6() {
    counts_are_the_traffics_own("::1");
}

#[test]
fn hostile_requests_are_answered_and_change_nothing() {
    let _lab = lab!();
    let address = free("127.0.0.1");
    let weir = agent(address);
    ready(address);
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let hostile: [&[u8]; 8] = [
        b"",
        b"\0\0\0\0\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"GET /api/../metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: ,;=;q=,\xff\r\n\r\n",
        long.as_bytes(),
    ];
    for request in hostile {
        let answer = exchange(address, request);
        assert!(
            !answer.starts_with(b"HTTP/1.1 200"),
            "{:?}",
            String::from_utf8_lossy(&answer[..answer.len().min(200)])
        );
    }
    // Slow ones: connections beyond the limit are closed, and those within it have five seconds for a request.
    let slow: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    wait_until(Duration::from_secs(20), "an answer beside slow requests", || {
        exchange(address, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").starts_with(b"HTTP/1.1 200")
    });
    drop(slow);
    let began = Instant::now();
    weir.finish_raw();
    assert!(began.elapsed() < patient(Duration::from_secs(5)), "it ends at once");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let output = weir_tests::weir::run(&["agent", "--listen", &address]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("cannot listen at {address}: is another agent running?")), "{stderr}");
}
