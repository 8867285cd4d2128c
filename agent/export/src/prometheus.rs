//! Metrics as Prometheus scrapes them, from the catalog's rows straight into a writer: one family is in memory at a time, of text
//! one series.
//!
//! The snapshot is that of the window since weir's start. Where its counters can fall is in docs/agent.md.

mod buckets;
mod edges;
mod encode;
mod families;
mod incidents;
mod negotiation;
mod protobuf;
mod service_graph;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, Write};

use weir_engine::{
    Edge, Snapshot,
    catalog::{ACCEPT_QUEUE, About, COST, COVERAGE, EDGE, PROGRAM},
};
use weir_signals::Standing;

use crate::machine;
use edges::{Exported, Names, Selected};
use encode::{Encode, Family, Kind, Labels, Number, single};
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

/// Makes expositions, one after the other. It remembers which edges have series of their own.
#[derive(Debug)]
pub struct Prometheus {
    mode: Mode,
    /// Edges with series of their own.
    max_edges: usize,
    exported: Exported,
}

impl Prometheus {
    /// The most edges with series of their own where nothing else is said. A choice: in mode `standard` 1,000 edges to other hosts
    /// are 1.8 MB of protobuf or 7.6 MB of text, before gzip.
    pub const MAX_EDGES: usize = 1000;

    /// For one agent's life.
    pub fn new(mode: Mode, max_edges: usize) -> Self {
        Self { mode, max_edges, exported: Exported::default() }
    }

    /// Chooses the edges for one exposition of a snapshot of edges by service (`Snapshot::by_service`), of the window since the
    /// start. What is chosen is written later, so that a slow scraper holds up no other.
    pub fn select(&mut self, mut snapshot: Snapshot) -> Page {
        let edges = std::mem::take(&mut snapshot.edges);
        let Selected { edges, in_other } = self.exported.select(edges, self.max_edges);
        Page { mode: self.mode, edges, in_other, snapshot }
    }
}

/// What one exposition says.
pub struct Page {
    mode: Mode,
    edges: Vec<(Names, Edge)>,
    in_other: usize,
    /// Without its edges.
    snapshot: Snapshot,
}

impl Page {
    /// Writes it, with the incidents that stand where signals are judged.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn write(&self, format: Exposition, incidents: Option<&Standing>, out: impl Write) -> io::Result<()> {
        match format {
            Exposition::Text => self.encode(Text::new(out, false), incidents),
            Exposition::OpenMetrics => self.encode(Text::new(out, true), incidents),
            Exposition::Protobuf => {
                let start = self.snapshot.end_unix_ns.saturating_sub(self.snapshot.window_ns);
                self.encode(Protobuf::new(out, start), incidents)
            }
        }
    }

    fn encode(&self, mut encoder: impl Encode, incidents: Option<&Standing>) -> io::Result<()> {
        let Self { mode, edges, in_other: _, snapshot } = self;
        let labelled: Vec<_> = edges.iter().map(|(names, edge)| (edge, encoder.labels(&names.pairs()))).collect();
        table(&mut encoder, "edge", EDGE, |about| mode.has(about), &labelled, snapshot)?;
        if *mode != Mode::Minimal {
            service_graph::write(&mut encoder, edges)?;
        }
        let queues = snapshot.accept_queues.iter().map(|queue| {
            let [netns, port] = [queue.at.netns, queue.at.port].map(|n| n.to_string());
            (queue, encoder.labels(&[("service", &queue.comm), ("port", &port), ("netns", &netns)]))
        });
        let queues: Vec<_> = queues.collect();
        table(&mut encoder, "listener", ACCEPT_QUEUE, |_| true, &queues, snapshot)?;
        if let Some(standing) = incidents {
            incidents::write(&mut encoder, standing)?;
        }
        self.agent(&mut encoder)?;
        encoder.finish()
    }

    /// What weir says of itself.
    fn agent(&self, encoder: &mut impl Encode) -> io::Result<()> {
        let Self { in_other, snapshot, .. } = self;
        let none = Labels::default();
        let machine: Vec<_> = machine::names(&snapshot.version, &snapshot.machine)
            .filter_map(|(name, value)| value.ok().map(|value| (name, value)))
            .collect();
        let pairs: Vec<_> = machine.iter().map(|(name, value)| (*name, &**value)).collect();
        let info = encoder.labels(&[&pairs[..], &[("kernel", &snapshot.kernel)]].concat());
        let (name, help) = ("weir_agent_info", "The agent's version, and its machine.");
        single(encoder, Kind::Gauge, name, help, Number::Count(1), &info)?;
        let in_other = Number::Count(*in_other as u64);
        let (name, help) = ("weir_agent_edges_in_other", "Edges without series of their own, beyond the limit.");
        single(encoder, Kind::Gauge, name, help, in_other, &none)?;
        let (name, help) = ("weir_agent_losses", "What was lost, by name: see the document's `losses`.");
        encoder.begin(&Family { name: name.into(), help: help.into(), unit: "", kind: Kind::Counter })?;
        for (name, n) in snapshot.losses.named() {
            let labels = encoder.labels(&[("loss", name)]);
            encoder.number([&labels, &none], Number::Count(n))?;
        }
        encoder.end()?;
        let wanted = |about: &About| about.name != "share" && about.name != "agent_cpu_share";
        table(encoder, "agent_coverage", COVERAGE, wanted, &[(&snapshot.coverage, none.clone())], snapshot)?;
        table(encoder, "agent", COST, wanted, &[(snapshot, none)], snapshot)?;
        let programs: Vec<_> =
            snapshot.cost.programs.iter().map(|p| (p, encoder.labels(&[("program", &p.name)]))).collect();
        table(encoder, "agent_program", PROGRAM, |_| true, &programs, snapshot)
    }
}
