//! What a bench found, as it is stored and reported.

use serde::{Deserialize, Serialize};

use crate::{machine::Machine, scaling::Scaling, statistics::Spread};

/// One bench.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Results {
    /// Where.
    pub(crate) machine: Machine,
    /// What was measured, row by row.
    pub(crate) rows: Vec<RowResult>,
    /// How cost grows, if that was measured.
    pub(crate) scaling: Option<Scaling>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl Results {
    /// A row by its name.
    pub(crate) fn row(&self, name: &str) -> Option<&RowResult> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl RowResult {
    /// A subject that has numbers.
    pub(crate) fn cell(&self, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.subject == subject && cell.not_measured.is_none())
    }

    /// Whether floors are above the noise: where short blocks are timed.
    pub(crate) fn precise(&self) -> bool {
        self.cells.iter().any(|cell| cell.added_best_ns.is_some())
    }

    /// Time that weir adds over what `floor` adds, by the medians.
    pub(crate) fn over(&self, floor: &str) -> Option<f64> {
        let added = |subject| Some(self.cell(subject)?.added_cpu_ns?.median);
        Some(added("weir")? / added(floor)?)
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Results as they could be.

    use super::*;

    pub(crate) fn results() -> Results {
        let machine = Machine {
            kernel: "6.18.0".into(),
            processor: "A CPU".into(),
            processors: 2,
            memory_mib: 1000,
            hypervisor: "none".into(),
        };
        let cell = |subject: &str, ratio: f64, added: f64| Cell {
            subject: subject.into(),
            rate: Spread::of([1000.0]),
            rate_ratio: Spread::of([ratio - 0.01, ratio, ratio + 0.01]),
            cpu_ns: Spread::of([1000.0 + added]),
            added_cpu_ns: Spread::of([added - 5.0, added, added + 5.0]),
            ..Cell::default()
        };
        let row = RowResult {
            name: "pair".into(),
            unit: "pair".into(),
            what: "ping-pong".into(),
            pairs: 7,
            cells: vec![cell("nothing", 1.0, 0.0), cell("again", 1.0, 0.0), cell("floor_empty", 0.95, 100.0), {
                Cell { agent_rss_bytes: Some(7 << 20), ..cell("weir", 0.9, 190.0) }
            }],
            programs: vec![ProgramRuns { name: "sk_data_ready".into(), runs_per_unit: 1.0, ns_per_run: 40.0 }],
            exact: Some(Exact { runs: 7, equal: 7, rounds: (10, 12), rounds_weir: 11, ..Exact::default() }),
            not_measured: None,
        };
        Results { machine, rows: vec![row], scaling: None }
    }
}
