//! What a bench found, as it is stored and reported.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::statistics::Spread;

/// One bench.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Results {
    /// Where.
    pub(crate) machine: Machine,
    /// What was measured, row by row.
    pub(crate) rows: Vec<RowResult>,
}

/// One workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowResult {
    /// As on the command line.
    pub(crate) name: String,
    /// What one unit of its work is called.
    pub(crate) unit: String,
    /// What happens in it.
    pub(crate) what: String,
    /// Rounds of the subjects.
    pub(crate) pairs: usize,
    /// The subjects.
    pub(crate) cells: Vec<Cell>,
    /// weir's programs, from a separate run in which the kernel timed them.
    pub(crate) programs: Vec<ProgramRuns>,
    /// Whether weir counted what the generator did.
    pub(crate) exact: Option<Exact>,
    /// Why the row has no numbers.
    pub(crate) not_measured: Option<String>,
}

/// One subject of a row. Ratios and differences are against the runs of the same round with nothing attached.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cell {
    /// As on the command line.
    pub(crate) subject: String,
    /// Why it has no numbers.
    pub(crate) not_measured: Option<String>,
    /// Units a second.
    pub(crate) rate: Option<Spread>,
    /// The rate over nothing's.
    pub(crate) rate_ratio: Option<Spread>,
    /// Processor time per unit, ns.
    pub(crate) cpu_ns: Option<Spread>,
    /// Processor time added per unit, ns.
    pub(crate) added_cpu_ns: Option<Spread>,
    /// The same between the best short blocks.
    pub(crate) added_best_ns: Option<Spread>,
    /// Latency, ns.
    pub(crate) p50_ns: Option<Spread>,
    /// Latency, ns.
    pub(crate) p99_ns: Option<Spread>,
    /// 99th percentile over nothing's.
    pub(crate) p99_ratio: Option<Spread>,
    /// The reading process's processor time, share of one core.
    pub(crate) agent_cpu_share: Option<Spread>,
    /// Its resident memory.
    pub(crate) agent_rss_bytes: Option<u64>,
    /// Its maps' memory.
    pub(crate) map_bytes: Option<u64>,
}

/// A program's runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramRuns {
    /// The program.
    pub(crate) name: String,
    /// Runs per unit of work.
    pub(crate) runs_per_unit: f64,
    /// Mean time of a run, ns, as the kernel times it: without the dispatch, with its own clock's cost.
    pub(crate) ns_per_run: f64,
}

/// The generator's counts and weir's, over all of the row's runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exact {
    /// Runs compared.
    pub(crate) runs: u64,
    /// Runs in which both counts agreed and nothing was lost.
    pub(crate) equal: u64,
    /// Answered requests: what the generator says, from and to.
    pub(crate) rounds: (u64, u64),
    /// What weir says.
    pub(crate) rounds_weir: u64,
    /// Connections: what the generator says, from and to.
    pub(crate) connects: (u64, u64),
    /// What weir says.
    pub(crate) connects_weir: u64,
    /// Sum of weir's losses.
    pub(crate) losses: u64,
}

impl RowResult {
    /// A subject that has numbers.
    pub(crate) fn cell(&self, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.subject == subject && cell.not_measured.is_none())
    }
}
