//! Bytes and rounds of real servers, against the client's own figures.

use std::process::Command;

use weir_tests::{close, lab, process, server};

const MIB_10: usize = 10 << 20;

#[test]
fn nginx_sends_a_file_by_sendfile() {
    let lab = lab!();
    std::fs::write(lab.path("file"), vec![b'x'; MIB_10]).expect("write the file");
    let nginx = server::nginx(&lab, 1, "", &format!("root {};", lab.path("").display()));
    let weir = lab.weir(&[]);
    let url = format!("http://127.0.0.1:{}/file", nginx.port());
    let format = "%{size_download} %{size_header} %{size_request}";
    let reported = process::succeed(Command::new("curl").args(["-s", "-o", "/dev/null", "-w", format, &url]));
    let document = weir.finish();
    let reported: Vec<u64> = reported.split(' ').map(|n| n.parse().expect("a count")).collect();
    let [body, header, request] = reported.as_slice() else { panic!("curl reported {reported:?}") };
    assert_eq!(*body, MIB_10 as u64);
    let edge = document.only("to nginx", |edge| edge.port() == Some(nginx.port()));
    assert_eq!((edge.text("client", "name"), edge.text("server", "name")), ("curl", "nginx"));
    close("bytes received", edge.count("bytes_received") as f64, (body + header) as f64, 0.001);
    assert_eq!(edge.count("bytes_received"), body + header, "to the byte");
    assert_eq!(edge.count("bytes_sent"), *request, "to the byte");
    let served = edge.seen_by("server");
    assert_eq!((served.count("bytes_sent"), served.count("bytes_received")), (body + header, *request));
    edge.assert_connects(&[("ok", 1)]);
    assert_eq!((edge.count("rounds"), edge.is("partial")), (1, false));
    document.assert_lossless();
}

/// Rounds and latency without a look at the payload: TLS hides the requests, not the turns.
///
/// Alone: compares latencies with the client's own.
#[test]
fn curl_over_tls() {
    const REQUESTS: usize = 30;
    const BEHIND_MS: u64 = 20;
    let lab = lab!();
    let behind = lab.serve(&format!("http {BEHIND_MS}"), "127.0.0.1:0");
    let pass = format!("location / {{ proxy_pass http://127.0.0.1:{}; }}", behind.port());
    let nginx = server::nginx(&lab, 1, "ssl", &pass);
    let weir = lab.weir(&[]);
    let url = format!("https://127.0.0.1:{}/[1-{REQUESTS}]", nginx.port());
    // Times of a transfer count from its own start, so the difference is the wait for the first byte of the answer.
    let format = "%{time_pretransfer} %{time_starttransfer} %{num_connects}\n";
    let mut curl = Command::new("curl");
    let reported = process::succeed(curl.args(["-sk", "--http1.1", "-o", "/dev/null", "-w", format, &url]));
    let document = weir.finish();

    let mut waits = Vec::new();
    let mut connects = 0.0;
    for line in reported.lines() {
        let numbers: Vec<f64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
        waits.push(numbers[1] - numbers[0]);
        connects += numbers[2];
    }
    assert_eq!((waits.len(), connects), (REQUESTS, 1.0), "curl reported {reported}");

    let edge = document.only("to nginx", |edge| edge.port() == Some(nginx.port()));
    edge.assert_connects(&[("ok", 1)]);
    // TLS 1.3 takes one turn: the client's Finished leaves with the first request.
    assert_eq!(edge.count("rounds"), REQUESTS as u64 + 1, "a round for each request, and one for the handshake");
    assert!(!edge.is("multiplexed") && !edge.is("push"), "labels of {edge}");
    let latency = edge.observed("latency_s");
    let total = latency.mean * latency.count as f64;
    // The session tickets that answer the Finished end the first request's wait early, or they do not.
    let all: f64 = waits.iter().sum();
    assert!(total > (all - waits[0]) * 0.95 && total < all * 1.05 + 0.005, "{total} s of waits, curl says {all} s");
    close("median latency", latency.p50, weir_tests::tally::median(waits), 0.1);
    // Behind it: nginx is the client of the second edge.
    let worker = nginx.children()[0];
    let second = document.edge(worker, behind.port());
    assert_eq!(second.count("rounds"), REQUESTS as u64);
    let mean_ms = second.observed("latency_s").mean * 1e3;
    assert!((20.0..25.0).contains(&mean_ms), "{mean_ms} ms behind nginx, of which {BEHIND_MS} are asleep");
    document.assert_lossless();
}
