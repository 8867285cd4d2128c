//! How cost grows: with edges, with sockets, with rounds a second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    measure::process::{cpu_ns, rss_bytes},
    subject::{Running, Subject, foreign, weir::Mode},
    workload::crowd::Crowd,
};

/// Programs that run at every round.
const OF_A_ROUND: [&str; 3] = ["sock_send_length", "sock_recv_length", "sk_data_ready"];
const SPAN: Duration = Duration::from_secs(4);
/// A round is a few microseconds; its thread looks at the clock once in so many.
const BATCH: u64 = 10;
/// Where only one thing varies, the others are these.
const EDGES: u32 = 100;
const RATE: u64 = 10_000;

/// Three curves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scaling {
    /// By edges, each with one connection, at a fixed rate.
    pub(crate) edges: Vec<Point>,
    /// By sockets, on a hundred edges, at a fixed rate.
    pub(crate) sockets: Vec<Point>,
    /// By rounds a second, on a hundred edges with a connection each.
    pub(crate) rounds: Vec<Point>,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Point {
    /// Edges, sockets or rounds a second.
    pub(crate) x: f64,
    /// The agent's processor time, share of one core, with a reading every second.
    pub(crate) agent_cpu_share: f64,
    /// Run time of the programs of a round, both ends', ns.
    pub(crate) kernel_ns_per_round: f64,
    /// The agent's resident memory.
    pub(crate) agent_rss_bytes: u64,
}

/// Measures all curves.
pub(crate) fn run() -> Result<Scaling> {
    foreign::wait_until_none()?;
    let mut scaling = Scaling::default();
    for edges in [1, 10, 100, 1000, 10_000] {
        eprintln!("scaling: {edges} edges");
        scaling.edges.push(Point { x: f64::from(edges), ..measure(edges, edges, Some(RATE))?.0 });
    }
    for sockets in [100, 1000, 10_000, 100_000] {
        eprintln!("scaling: {sockets} sockets");
        // Both ends are on this host.
        let (point, _) = measure(EDGES.min(sockets / 2), sockets / 2, Some(RATE))?;
        scaling.sockets.push(Point { x: f64::from(sockets), ..point });
    }
    for rate in [Some(1000), Some(3000), Some(10_000), Some(30_000), Some(100_000), None] {
        eprintln!("scaling: {} rounds a second", rate.map_or("all possible".into(), |rate| rate.to_string()));
        let (point, reached) = measure(EDGES, EDGES, rate)?;
        scaling.rounds.push(Point { x: reached, ..point });
    }
    Ok(scaling)
}

/// One point, and the rounds a second that were reached.
fn measure(edges: u32, connections: u32, rate: Option<u64>) -> Result<(Point, f64)> {
    let mut crowd = Crowd::open(edges, connections)?;
    let weir = Subject::Weir.start(Mode::Scaling)?;
    // Every connection has its record and its edge before time is taken.
    crowd.speak()?;
    let before = agent_ns(&weir)?;
    let start = Instant::now();
    let rounds = drive(&mut crowd, rate)?;
    let elapsed = start.elapsed().as_secs_f64();
    let used = agent_ns(&weir)? - before;
    let agent_rss_bytes = weir.pid().and_then(rss_bytes).context("weir's memory")?;
    let documents = weir.stop()?;
    let all_rounds = rounds + u64::from(connections);
    let point = Point {
        x: 0.0,
        agent_cpu_share: used as f64 / 1e9 / elapsed,
        kernel_ns_per_round: run_time_ns(&documents) as f64 / all_rounds as f64,
        agent_rss_bytes,
    };
    Ok((point, rounds as f64 / elapsed))
}

fn agent_ns(weir: &Running) -> Result<u64> {
    weir.pid().and_then(cpu_ns).context("weir's processor time")
}

/// Rounds on all connections in turn, at this rate or as fast as they go; how many there were.
fn drive(crowd: &mut Crowd, rate: Option<u64>) -> Result<u64> {
    let start = Instant::now();
    let mut done: u64 = 0;
    while start.elapsed() < SPAN {
        for _ in 0..BATCH {
            crowd.round(done as usize)?;
            done += 1;
        }
        if let Some(rate) = rate {
            let due = Duration::from_nanos(done * 1_000_000_000 / rate);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
    Ok(done)
}

fn run_time_ns(documents: &[Value]) -> u64 {
    let programs = documents.iter().filter_map(|document| document["cost"]["programs"].as_array()).flatten();
    let of_a_round = programs.filter(|program| program["name"].as_str().is_some_and(|name| OF_A_ROUND.contains(&name)));
    of_a_round.filter_map(|program| program["run_time_ns"].as_u64()).sum()
}
