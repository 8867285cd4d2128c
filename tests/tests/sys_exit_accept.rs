//! The wait in an accept queue, against a server that stamps when it accepts.

use std::{thread::sleep, time::Duration};

use serde_json::Value;
use weir_tests::{Document, Traffic, Weir, lab, machine::is_slow, weir};

const SECONDS: u32 = 20;

/// The queue of a port, as a recording has it.
fn queue_of(file: &str, port: u16) -> Value {
    let document = Document::parse(&String::from_utf8_lossy(&weir::run(&["replay", file, "-o", "json"]).stdout));
    let queues = document.value()["accept_queues"].as_array().expect("a list");
    queues
        .iter()
        .find(|queue| queue["port"] == port)
        .unwrap_or_else(|| panic!("no queue of {port}: {queues:?}"))
        .clone()
}

/// Three come at once to a server that works 300 ms on each: they wait nothing, 300 and 600.
#[test]
fn who_comes_later_waits_longer() {
    let lab = lab!();
    let server = lab.serve("one-by-one 300", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let file = lab.path("three.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["record", file, "-o", "json"]);
    client.must("race 3", "opened 3");
    client.must("write 8", "done");
    client.must("ends", "ended 3");
    sleep(Duration::from_millis(100));
    weir.finish();
    let queue = queue_of(file, server.port());
    assert_eq!((queue["arrivals"].as_u64(), queue["pid"].as_u64()), (Some(3), Some(server.pid().into())), "{queue}");
    assert_eq!(queue["accept_wait_s"]["count"], 3, "{queue}");
    let mean_s = queue["accept_wait_s"]["mean"].as_f64().expect("a mean");
    // 300 ms on average. In an emulator the callers do not come at once, and sleeps end late.
    let expected = if is_slow() { 0.1..3.0 } else { 0.25..0.6 };
    assert!(expected.contains(&mean_s), "{queue}");
}

struct Server {
    /// How much of its time it works.
    utilisation: f64,
    server: Traffic,
    client: Traffic,
}

/// One server works 20 ms on each caller, who come at random: half, four fifths and nearly all of what it can do.
#[test]
fn the_wait_is_what_the_server_says() {
    let lab = lab!();
    let file = lab.path("accept.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--record", file]);
    let mut servers = [0.5, 0.8, 0.95].map(|utilisation| {
        let server = lab.serve("one-by-one 20", "127.0.0.1:0");
        let client = lab.client(&format!("127.0.0.1:{}", server.port()));
        Server { utilisation, server, client }
    });
    for Server { utilisation, client, .. } in &mut servers {
        client.tell(&format!("arrive {} {SECONDS}", *utilisation / 0.0205));
    }
    let answers: Vec<String> = servers.iter_mut().map(|server| server.client.answer()).collect();
    weir.finish_raw();
    for (Server { utilisation, server, .. }, answer) in servers.iter().zip(answers) {
        let numbers: Vec<f64> = answer.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [callers, mean_us] = numbers[..] else { panic!("{answer}") };
        let queue = queue_of(file, server.port());
        let wait = &queue["accept_wait_s"];
        let mean_s = wait["mean"].as_f64().expect("a mean");
        println!(
            "at {utilisation}: {callers} callers waited {:.2} ms, weir says {:.2} ms",
            mean_us / 1e3,
            mean_s * 1e3
        );
        assert_eq!((wait["count"].as_f64(), queue["arrivals"].as_f64()), (Some(callers), Some(callers)));
        assert_eq!((queue["pid"].as_u64(), queue["limit"].as_u64()), (Some(server.pid().into()), Some(1024)));
        // A tenth, and a tenth of a millisecond for the clocks' being read at different places.
        assert!((mean_s - mean_us / 1e6).abs() <= 0.1 * mean_us / 1e6 + 1e-4, "{mean_s} s for {mean_us} us");
    }
}
