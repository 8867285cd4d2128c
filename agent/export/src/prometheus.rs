//! Metrics as Prometheus scrapes them, from the catalog's rows straight into a writer: one family is in memory at a time, of text
//! one series.
//!
//! The snapshot is that of the window since weir's start, so counters only rise.

mod buckets;
mod edges;
mod encode;
mod families;
mod negotiation;
mod protobuf;
mod service_graph;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, Write};

use weir_engine::{
    Snapshot,
    catalog::{ACCEPT_QUEUE, About, COST, COVERAGE, EDGE, PROGRAM},
};

use edges::Exported;
use encode::{Encode, Family, Kind, Labels, Number};
use families::table;
pub use negotiation::{Exposition, accepts_gzip};
use protobuf::Protobuf;
use text::Text;

/// How much of an edge is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What tells whether an edge works: requests, failures, what is open, and one latency.
    Minimal,
    /// And where its time goes, bytes, loss, and the service graph.
    #[default]
    Standard,
    /// Everything that is a number.
    Full,
}

impl Mode {
    /// Every mode: its name in the configuration, and what it is for.
    pub const ALL: &[(Self, &str, &str)] = &[
        (Self::Minimal, "minimal", "Whether an edge works: requests, failures, what is open, one latency"),
        (Self::Standard, "standard", "And where its time goes, bytes, loss, and the service graph"),
        (Self::Full, "full", "Everything that is a number"),
    ];

    /// Fields of an edge that this mode has.
    fn has(self, about: &About) -> bool {
        match self {
            Self::Minimal => MINIMAL.contains(&about.name),
            Self::Standard => MINIMAL.contains(&about.name) || STANDARD.contains(&about.name),
            Self::Full => true,
        }
    }
}

const MINIMAL: &[&str] = &["connects", "open_connections", "rounds", "in_flight", "abandoned", "broken", "latency_s"];
const STANDARD: &[&str] = &[
    "connects_timeout_by_caller",
    "in_flight_age_s",
    "unobserved",
    "connect_latency_s",
    "receive_queue_wait_s",
    "service_s",
    "bytes_sent",
    "bytes_received",
    "retransmitted_segments",
    "resets",
    "srtt_s",
];

/// Writes expositions, one after the other. It remembers which edges have series of their own.
#[derive(Debug)]
pub struct Prometheus {
    mode: Mode,
    /// Edges with series of their own.
    max_edges: usize,
    exported: Exported,
}

impl Prometheus {
    /// The most edges with series of their own where nothing else is said. A choice: in mode `standard` 1,000 edges are
    /// 3 MB of protobuf.
    pub const MAX_EDGES: usize = 1000;

    /// For one agent's life.
    pub fn new(mode: Mode, max_edges: usize) -> Self {
        Self { mode, max_edges, exported: Exported::default() }
    }

    /// Writes one exposition of a snapshot of edges by service (`Snapshot::by_service`), of the window since the start.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn write(&mut self, format: Exposition, snapshot: &Snapshot, out: impl Write) -> io::Result<()> {
        match format {
            Exposition::Text => self.encode(Text::new(out, false), snapshot),
            Exposition::OpenMetrics => self.encode(Text::new(out, true), snapshot),
            Exposition::Protobuf => {
                let start = snapshot.end_unix_ns.saturating_sub(snapshot.window_ns);
                self.encode(Protobuf::new(out, start), snapshot)
            }
        }
    }

    fn encode(&mut self, mut encoder: impl Encode, snapshot: &Snapshot) -> io::Result<()> {
        let selected = self.exported.select(snapshot, self.max_edges);
        let edges: Vec<_> = selected.edges.iter().map(|(names, edge)| (edge, encoder.labels(&names.pairs()))).collect();
        table(&mut encoder, "edge", EDGE, |about| self.mode.has(about), &edges, snapshot)?;
        if self.mode != Mode::Minimal {
            service_graph::write(&mut encoder, &selected.edges)?;
        }
        let queues: Vec<_> = snapshot
            .accept_queues
            .iter()
            .map(|queue| {
                let [netns, port] = [queue.at.netns, queue.at.port].map(|n| n.to_string());
                (queue, encoder.labels(&[("service", &queue.comm), ("port", &port), ("netns", &netns)]))
            })
            .collect();
        table(&mut encoder, "listener", ACCEPT_QUEUE, |_| true, &queues, snapshot)?;
        self.agent(&mut encoder, snapshot, selected.in_other)?;
        encoder.finish()
    }

    /// What weir says of itself.
    fn agent(&self, encoder: &mut impl Encode, snapshot: &Snapshot, in_other: usize) -> io::Result<()> {
        let none = Labels::default();
        let info = encoder.labels(&[("version", &snapshot.version), ("kernel", &snapshot.kernel)]);
        one(encoder, "weir_agent_info", "The agent's version and the kernel's release.", Number::Count(1), &info)?;
        let in_other = Number::Count(in_other as u64);
        one(
            encoder,
            "weir_agent_edges_in_other",
            "Edges without series of their own, beyond the limit.",
            in_other,
            &none,
        )?;
        let (name, help) = ("weir_agent_losses", "What was lost, by name: see the document's `losses`.");
        encoder.begin(&Family { name: name.into(), help: help.into(), unit: "", kind: Kind::Counter })?;
        for (name, n) in snapshot.losses.named() {
            let labels = encoder.labels(&[("loss", name)]);
            encoder.number([&labels, &none], Number::Count(n))?;
        }
        encoder.end()?;
        let wanted = |about: &About| about.name != "share" && about.name != "agent_cpu_share";
        table(encoder, "coverage", COVERAGE, wanted, &[(&snapshot.coverage, none.clone())], snapshot)?;
        table(encoder, "agent", COST, wanted, &[(snapshot, none)], snapshot)?;
        let programs: Vec<_> =
            snapshot.cost.programs.iter().map(|p| (p, encoder.labels(&[("program", &p.name)]))).collect();
        table(encoder, "program", PROGRAM, |_| true, &programs, snapshot)
    }
}

/// A gauge with one series.
fn one(encoder: &mut impl Encode, name: &str, help: &str, value: Number, labels: &Labels) -> io::Result<()> {
    encoder.begin(&Family { name: name.into(), help: help.into(), unit: "", kind: Kind::Gauge })?;
    encoder.number([labels, &Labels::default()], value)?;
    encoder.end()
}
