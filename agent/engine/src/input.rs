//! Everything that the engine takes: a closed set.

use std::sync::Arc;

use weir_abi::{AcceptQueue, ConnectFailed, EdgeRecord, ListeningPort, N_COUNTERS};

use crate::{
    degraded::Degraded,
    identity::{Backend, Named},
    polled::Polled,
};

/// One input. Records are borrowed: the engine copies what it keeps, the reader reuses its buffer.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// The stream begins.
    Started(Started),
    /// What became of a probe.
    Probe(ProbeState),
    /// An edge's cumulative record, as of the next tick.
    Edge {
        /// The slot it lives in.
        slot: u32,
        /// The record.
        record: &'a EdgeRecord,
    },
    /// Who an end of an edge is.
    Named(Named),
    /// What the asking for names has come to.
    Naming(Naming),
    /// Where connections to an edge's address really go.
    Backend(Backend),
    /// An edge was retired: its slot may come back as another.
    Retired {
        /// The slot it lived in.
        slot: u32,
    },
    /// A connect failed: one example; the counts are in the records.
    ConnectFailed(ConnectFailed),
    /// The kernel half's counters, cumulative.
    Counters([u64; N_COUNTERS as usize]),
    /// What the programs cost so far.
    Program(ProgramCost),
    /// What the agent costs so far.
    Agent(AgentCost),
    /// A listening port's accept queue, cumulative.
    AcceptQueue {
        /// Which.
        at: ListeningPort,
        /// Its counters.
        queue: &'a AcceptQueue,
    },
    /// What was polled of the host.
    Polled(&'a Polled),
    /// How far weir has stepped back, from the last tick on.
    Degraded(Degraded),
    /// A recording could not take so many inputs. What follows, up to the next tick, says again all that holds.
    Gap {
        /// How many.
        inputs: u64,
    },
    /// All of the above is complete up to this time.
    Tick {
        /// Monotonic clock, nanoseconds: the clock of every record.
        monotonic_ns: u64,
        /// Wall clock, nanoseconds since 1970.
        unix_ns: u64,
    },
}

/// The first input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// Monotonic clock, nanoseconds.
    pub monotonic_ns: u64,
    /// Wall clock, nanoseconds since 1970.
    pub unix_ns: u64,
    /// Kernel release.
    pub kernel: String,
    /// weir's version.
    pub version: String,
    /// Which machine it is of.
    pub machine: Arc<Machine>,
}

/// A machine; nothing is known of it where a recording is older than these fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub host: Option<String>,
    /// Its name as a Kubernetes node.
    pub node: Option<String>,
    /// The id that the kernel gave this boot.
    pub boot_id: Option<String>,
}

/// Whether a probe runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeState {
    /// The probe's name.
    pub name: String,
    /// Why it does not run; none when it does.
    pub missing: Option<String>,
    /// What is not known without it.
    pub provides: String,
}

/// How well ends could be named, since weir's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// What was lost or not found, by name; cumulative.
    pub counts: Vec<(Arc<str>, u64)>,
    /// Sources of names that do not answer, and why; empty when all do.
    pub unavailable: Vec<(Arc<str>, Arc<str>)>,
}

/// Cumulative cost of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramCost {
    /// The program's name: emitted on every tick, so shared rather than copied.
    pub name: Arc<str>,
    /// Runs and their nanoseconds; none while `kernel.bpf_stats_enabled` is off.
    pub runs: Option<(u64, u64)>,
    /// Runs skipped because the program was already running on that processor.
    pub recursion_misses: u64,
}

/// Cumulative cost of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentCost {
    /// Processor time used since the process began, nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Kernel memory of the maps, bytes.
    pub map_bytes: u64,
}
