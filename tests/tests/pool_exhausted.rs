//! `pool_exhausted`: what weir infers of pools from outside, against what their own threads know.

use serde_json::Value;
use weir_tests::{Document, Lab, Traffic, Weir, lab, weir};

/// Longer than it takes to raise: a window to see that the pool does not grow, and two of three.
const SECONDS: u32 = 22;
/// How far the share of hand-offs may be from the truth.
const TOLERANCE: f64 = 0.07;

/// A pool of four connections to a server of its own, and how it is used.
struct Pool {
    name: &'static str,
    client: Traffic,
    server: Traffic,
    load: String,
}

impl Pool {
    /// `serve`: what the server does; then threads, milliseconds between two uses and at the beginning of each, and requests on
    /// each.
    fn new(lab: &Lab, name: &'static str, serve: &str, (threads, think, hold, requests): (u32, u32, u32, u32)) -> Self {
        let server = lab.serve(serve, "127.0.0.1:0");
        let client = lab.client(&format!("127.0.0.1:{}", server.port()));
        let load = format!("pool 4 {threads} {think} {hold} {requests} {SECONDS}");
        Self { name, client, server, load }
    }

    /// The part of all who took a connection that had to wait.
    fn truth(&mut self) -> f64 {
        let answer = self.client.answer();
        let numbers: Vec<f64> = answer.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [took, waited, _] = numbers[..] else { panic!("{}: {answer}", self.name) };
        waited / took
    }

    /// The part of all changes of hands that came at once, within 2^21 ns, without what chance makes of it: a connection of the
    /// four that changes hands so often each second.
    fn handed_off(&self, document: &Document) -> Option<f64> {
        let edge = document.edge(self.client.pid(), self.server.port());
        let reused = &edge.seen_by("client").value()["reused"];
        let count = |name: &str| reused[name].as_f64().expect("a count");
        let taken = count("by_other_thread");
        let by_chance = 1.0 - (-taken / f64::from(SECONDS) / 4.0 * 2.097e-3).exp();
        let at_once = count("by_other_thread_at_once") / taken;
        (taken > 20.0).then(|| ((at_once - by_chance) / (1.0 - by_chance)).max(0.0))
    }

    fn incident<'e>(&self, events: &'e [Value]) -> Option<&'e Value> {
        let client = format!("weir-traffic (pid {})", self.client.pid());
        events.iter().find(|event| event["signal"] == "pool_exhausted" && event["client"] == client.as_str())
    }
}

/// One after the other what 1.6 of the specification measured: threads enough and too many, long work and connections that
/// are held beside it.
///
/// Alone: compares hand-offs within two milliseconds.
#[test]
fn pools_of_threads() {
    let lab = lab!();
    let file = lab.path("pools.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--learn", "5s", "--record", file]);
    let mut pools = [
        Pool::new(&lab, "too small", "slow 10 10", (16, 0, 0, 1)),
        Pool::new(&lab, "held while not in use", "echo", (16, 0, 20, 3)),
        Pool::new(&lab, "several requests", "slow 1 1", (16, 0, 0, 10)),
        Pool::new(&lab, "closed loop", "slow 10 10", (4, 0, 0, 1)),
        Pool::new(&lab, "few wait", "slow 10 10", (16, 125, 0, 1)),
        Pool::new(&lab, "none waits", "slow 10 10", (3, 20, 0, 1)),
    ];
    pools.iter_mut().for_each(|pool| pool.client.tell(&pool.load));
    let truths: Vec<f64> = pools.iter_mut().map(Pool::truth).collect();
    let printed = weir.finish_raw();
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let document = Document::parse(&String::from_utf8_lossy(&weir::run(&["replay", file, "-o", "json"]).stdout));
    for (pool, truth) in pools.iter().zip(truths) {
        let handed_off = pool.handed_off(&document);
        let incident = pool.incident(&events);
        let class = incident.map_or("silent", |event| event["class"].as_str().unwrap_or("?"));
        let said = incident.and_then(|event| event["evidence"][0]["value"].as_f64());
        println!("{}: truth {truth:.2}, handed off {handed_off:.2?}, said {said:.2?}: {class}", pool.name);
        // As many threads as connections sometimes change places, which is no hand-off: their number alone shows that.
        let compared = if pool.name == "closed loop" { [None, said] } else { [handed_off, said] };
        for share in compared.into_iter().flatten() {
            assert!((share - truth).abs() <= TOLERANCE, "{}: {share} for {truth}", pool.name);
        }
        let expected = match pool.name {
            "several requests" => "too small",
            "closed loop" | "few wait" | "none waits" => "silent",
            name => name,
        };
        assert_eq!(class, expected, "{incident:?}");
    }
}
