//! What weir costs when nothing happens, and how soon it is there.
//!
//! Alone: measures weir's own processor time and memory, which other traffic adds to.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use weir_tests::{lab, process::memory_bytes};

const IDLE: Duration = Duration::from_secs(20);
const MOST_CPU: f64 = 0.002;
const MOST_RSS: u64 = 24 << 20;

/// Processor time of all threads, as the scheduler counts it.
fn cpu_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let nanoseconds = tasks.flatten().map(|task| {
        let stat = fs::read_to_string(task.path().join("schedstat")).expect("/proc/<pid>/schedstat");
        stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).expect("nanoseconds")
    });
    Duration::from_nanos(nanoseconds.sum())
}

#[test]
fn idle_weir_costs_next_to_nothing() {
    let lab = lab!();
    let weir = lab.weir(&[]);
    let (before, began) = (cpu_time(weir.pid()), Instant::now());
    sleep(IDLE);
    let share = (cpu_time(weir.pid()) - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let rss = memory_bytes(weir.pid(), "VmRSS").expect("a process");
    let document = weir.finish();
    println!("{:.4}% of a core, {:.1} MiB resident", share * 100.0, rss as f64 / 1048576.0);
    assert!(share < MOST_CPU, "{:.3}% of a core", share * 100.0);
    assert!(rss < MOST_RSS, "{:.1} MiB resident", rss as f64 / 1048576.0);
    // What weir says of itself is true; its own figure has the start in it.
    let cost = &document.value()["cost"];
    let reported = cost["agent_rss_bytes"].as_u64().expect("its own resident size");
    assert!(reported.abs_diff(rss) < 4 << 20, "weir reports {reported} bytes where the kernel says {rss}");
    let reported = cost["agent_cpu_s"].as_f64().expect("its own processor time");
    assert!(reported < MOST_CPU * IDLE.as_secs_f64() + 0.5, "weir reports {reported} s");
    assert!(cost["map_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "cost: {cost}");
}

/// From nothing to a document with an edge in it, the end of weir included.
#[test]
fn the_first_edge_takes_less_than_a_second() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let began = Instant::now();
    let weir = lab.weir(&[]);
    let ready = weir.ready_after();
    client.must("short 1", "done");
    let document = weir.finish();
    let took = began.elapsed();
    println!("ready after {ready:?}, edge printed after {took:?}");
    assert_eq!(document.edge(client.pid(), server.port()).count("rounds"), 1);
    assert!(took < Duration::from_secs(1), "{took:?} from the start to the first edge (ready after {ready:?})");
}
