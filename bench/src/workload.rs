//! The rows: traffic that does a fixed amount of work, or a fixed time of it, again and again.

mod bulk;
pub(crate) mod crowd;
mod fixed_rate;
mod generator;
mod pair;
mod server;

use std::rc::Rc;

use anyhow::Result;

use crate::{site::Site, subject::tool::Tool};

/// What one timed run did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    /// Units of work: requests, connections, pairs.
    pub(crate) units: f64,
    /// How long they took, ns.
    pub(crate) elapsed_ns: f64,
    /// Processor time of all processes that took part, ns.
    pub(crate) cpu_ns: f64,
    /// The least time per unit seen in a short block, ns; only where blocks are timed.
    pub(crate) best_ns: Option<f64>,
    /// Latency from when a request was due, ns; only of an open loop.
    pub(crate) latency: Option<Latency>,
    /// What weir must have counted.
    pub(crate) truth: Option<Truth>,
}

/// Quantiles of latency, ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50_ns: f64,
    pub(crate) p99_ns: f64,
}

/// The load generator's own counts, on one port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    /// The server's port: the edges to it are the generator's alone.
    pub(crate) port: u16,
    /// Answered requests: from, to. A generator that stops at a time, not a count, has some in flight at the end.
    pub(crate) rounds: (u64, u64),
    /// Connections made: from, to.
    pub(crate) connects: (u64, u64),
}

/// Traffic that can be repeated.
pub(crate) trait Workload {
    /// One timed run.
    fn run(&mut self) -> Result<Run>;
}

/// One row of the bench.
pub(crate) struct Row {
    /// As it is named on the command line and in results.
    pub(crate) name: &'static str,
    /// What one unit of its work is called.
    pub(crate) unit: &'static str,
    /// What happens in it.
    pub(crate) what: &'static str,
    /// Rounds of the subjects, by default.
    pub(crate) pairs: usize,
    /// Roughly how long a run takes, with its subject's start, to show the time left.
    pub(crate) seconds: f64,
    /// Whether each run is measured between two of nothing: where nanoseconds count, the machine's drift within a round does too.
    pub(crate) bracketed: bool,
    /// Whether the agent is measured too, reading every second.
    pub(crate) reads: bool,
    /// Other tools that see the same events.
    pub(crate) tools: &'static [Tool],
    /// Starts its servers.
    pub(crate) open: fn(&Rc<Site>) -> Result<Box<dyn Workload>>,
}

impl Row {
    const fn new(
        name: &'static str,
        unit: &'static str,
        what: &'static str,
        open: fn(&Rc<Site>) -> Result<Box<dyn Workload>>,
    ) -> Self {
        Self { name, unit, what, pairs: 7, seconds: 1.4, bracketed: false, reads: false, tools: &[], open }
    }

    /// Nanoseconds count: more rounds, and each run between two of nothing.
    const fn precise(self, pairs: usize) -> Self {
        Self { pairs, seconds: 0.6, bracketed: true, ..self }
    }

    const fn taking(self, seconds: f64) -> Self {
        Self { seconds, ..self }
    }

    /// The agent is measured at its busiest: a reading every second, printed.
    const fn every_second(self) -> Self {
        Self { reads: true, ..self }
    }

    const fn against(self, tools: &'static [Tool]) -> Self {
        Self { tools, ..self }
    }
}

/// All rows, in the order of the report.
pub(crate) const ROWS: &[Row] = &[
    Row::new("pair", "pair", "one thread, two sockets, ping-pong; a pair is one send and one receive", pair::ping_pong)
        .precise(21)
        .against(&[Tool::Bpftrace]),
    Row::new("one_way", "pair", "the same in one direction only: no rounds", pair::one_way)
        .precise(11)
        .against(&[Tool::Bpftrace]),
    Row::new("redis", "request", "redis-benchmark -t get -P 1 -c 10", generator::redis)
        .every_second()
        .against(&[Tool::Bpftrace]),
    Row::new("redis_pipeline", "request", "redis-benchmark -t get -P 16 -c 10", generator::redis_pipeline)
        .against(&[Tool::Bpftrace]),
    Row::new("nginx_keepalive", "request", "nginx, wrk -t 1 -c 10", generator::nginx_keepalive)
        .against(&[Tool::Bpftrace]),
    Row::new("nginx_close", "connection", "nginx, wrk -t 1 -c 10, Connection: close", generator::nginx_close)
        .against(&[Tool::Tcplife, Tool::Tcpstates, Tool::Bpftrace]),
    Row::new("pgbench", "transaction", "pgbench -S -M prepared -c 10", generator::pgbench).against(&[Tool::Bpftrace]),
    Row::new("bulk", "MiB", "one connection, 128 KiB a write", bulk::bulk),
    Row::new("fixed_rate", "request", "redis, 10,000 requests a second, open loop", fixed_rate::fixed_rate)
        .every_second()
        .taking(2.5),
    Row::new("idle", "run", "5,000 open connections on 1,000 edges, idle", crowd::idle).every_second().taking(3.5),
];
