//! What weir holds in memory when there is much to see: 1,000 edges as shown, which are 2,000 records (both ends are on
//! this host), on 5,000 sockets. The start is left out: it reads the kernel's types and gives that memory back.
//!
//! Alone: measures weir's own memory, which other tests' sockets and edges add to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use weir_tests::{
    Document, Traffic, Weir, lab,
    process::{forget_peak, memory_bytes},
};

const MOST: u64 = 16 << 20;
const EDGES: u64 = 1000;
/// Two and a half connections an edge.
const CONNECTIONS: u64 = 2500;

/// Follows the most memory that a process has had at once, since now.
struct Peak {
    follower: JoinHandle<u64>,
    over: Arc<AtomicBool>,
}

impl Peak {
    fn of(pid: u32) -> Self {
        forget_peak(pid);
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        // It outlives nothing: the peak is in a file that goes with the process, so it is read all the time.
        let follower = thread::spawn(move || {
            let mut peak = 0;
            while !until.load(Ordering::Relaxed) {
                peak = memory_bytes(pid, "VmHWM").unwrap_or(peak);
                thread::sleep(Duration::from_millis(1));
            }
            peak
        });
        Self { follower, over }
    }

    fn assert(self, mode: &str) {
        self.over.store(true, Ordering::Relaxed);
        let peak = self.follower.join().expect("the follower");
        println!("{mode}: at most {:.1} MiB resident", peak as f64 / 1048576.0);
        assert!(peak > 1 << 20, "the peak was never read");
        assert!(peak < MOST, "{mode}: {:.1} MiB resident", peak as f64 / 1048576.0);
    }
}

/// A connection or three to each of as many addresses of this host as there shall be edges.
fn spread(client: &mut Traffic, port: u16) {
    for i in 0..EDGES {
        client.must(&format!("to 127.1.{}.{}:{port}", i / 250, i % 250 + 1), "done");
        let n = if i < CONNECTIONS - 2 * EDGES { 3 } else { 2 };
        client.must(&format!("open {n}"), &format!("opened {n}"));
    }
}

/// Runs weir so, with all the traffic and so many spans of it; returns what it printed.
fn observe(mode: &[&str], spans: u32) -> String {
    let lab = lab!();
    let server = lab.serve("echo", "0.0.0.0:0");
    let mut client = lab.client("127.0.0.1:1");
    let recording = lab.path("recording");
    let recording = recording.to_str().expect("a path in UTF-8");
    let mode: Vec<&str> = mode.iter().map(|word| if *word == "FILE" { recording } else { *word }).collect();
    let weir = Weir::start_as(&mode);
    let peak = Peak::of(weir.pid());
    spread(&mut client, server.port());
    client.must("rounds 8 100", "done");
    for _ in 0..spans {
        thread::sleep(Duration::from_secs(5));
        client.must("rounds 4 100", "done");
    }
    let printed = weir.finish_raw();
    peak.assert(&mode.join(" "));
    printed
}

fn assert_all_there(document: &Document) {
    let document = document.value();
    assert!(document["edges_total"].as_u64() >= Some(EDGES), "{} edges", document["edges_total"]);
    assert!(document["coverage"]["sockets_now"].as_u64() >= Some(2 * CONNECTIONS), "{}", document["coverage"]);
}

#[test]
fn one_window_as_json() {
    assert_all_there(&Document::parse(&observe(&["edges", "--instances", "--for", "60s", "-o", "json"], 0)));
}

#[test]
fn one_window_as_a_table() {
    assert!(observe(&["edges", "--instances", "--for", "60s", "-o", "table"], 0).lines().count() as u64 > EDGES);
}

#[test]
fn window_after_window_as_lines() {
    let printed = observe(&["edges", "--instances", "--every", "5s", "-o", "jsonl"], 3);
    let windows: Vec<_> = printed.lines().map(Document::parse).collect();
    assert!(windows.len() >= 3, "{} windows", windows.len());
    windows[1..3].iter().for_each(assert_all_there);
}

#[test]
fn window_after_window_as_tables() {
    observe(&["edges", "--instances", "--every", "5s", "-o", "table"], 2);
}

#[test]
fn a_recording() {
    assert_all_there(&Document::parse(&observe(&["record", "FILE", "--instances", "--for", "60s", "-o", "jsonl"], 0)));
}
