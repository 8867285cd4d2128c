//! The lines of a recording. Counters that are zero, and empty buckets, are left out.
//!
//! A line to be written borrows its values: writing allocates nothing. A line that was read owns them.

use std::{borrow::Cow, net::SocketAddr};

use serde::{Deserialize, Serialize};
use weir_abi::{ConnectFailed, N_COUNTERS, SCALE};
use weir_engine::{AgentCost, Backend, Degraded, Input, Machine, Naming, ProbeState, ProgramCost, Started};

use super::{
    name::Name,
    poll::Poll,
    queue::Queue,
    record::{Key, Record},
};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Header(Header),
    Started {
        monotonic_ns: u64,
        unix_ns: u64,
        kernel: Cow<'a, str>,
        version: Cow<'a, str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<Cow<'a, str>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<Cow<'a, str>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_id: Option<Cow<'a, str>>,
    },
    Probe {
        name: Cow<'a, str>,
        missing: Option<Cow<'a, str>>,
        provides: Cow<'a, str>,
    },
    Edge {
        slot: u32,
        record: Record<'a>,
    },
    Named(Name<'a>),
    Naming {
        counts: Vec<(Cow<'a, str>, u64)>,
        unavailable: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    },
    Backend {
        slot: u32,
        address: SocketAddr,
    },
    Retired {
        slot: u32,
    },
    ConnectFailed {
        at_ns: u64,
        after_ns: u64,
        key: Key,
        outcome: u32,
        errno: i32,
        syn_retransmits: u32,
    },
    Counters(Cow<'a, [u64]>),
    Program {
        name: Cow<'a, str>,
        runs: Option<(u64, u64)>,
        recursion_misses: u64,
    },
    Agent {
        cpu_ns: u64,
        rss_bytes: u64,
        map_bytes: u64,
    },
    Degraded(Steps),
    AcceptQueue(Queue),
    Polled(Poll<'a>),
    /// So many inputs could not be written in time; what follows up to the next tick says again all that holds.
    Gap {
        inputs: u64,
    },
    Tick {
        monotonic_ns: u64,
        unix_ns: u64,
    },
    End,
}

/// The steps of weir's budgets.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Steps {
    cpu_step: u8,
    memory_step: u8,
    cpu_budget_ppm: Option<u32>,
    cpu_ppm: Option<u32>,
    programs_timed: bool,
    memory_limit_bytes: Option<u64>,
    memory_bytes: u64,
}

impl From<Degraded> for Steps {
    fn from(degraded: Degraded) -> Self {
        let Degraded {
            cpu_step,
            memory_step,
            cpu_budget_ppm,
            cpu_ppm,
            programs_timed,
            memory_limit_bytes,
            memory_bytes,
        } = degraded;
        Self { cpu_step, memory_step, cpu_budget_ppm, cpu_ppm, programs_timed, memory_limit_bytes, memory_bytes }
    }
}

impl From<Steps> for Degraded {
    fn from(steps: Steps) -> Self {
        let Steps { cpu_step, memory_step, cpu_budget_ppm, cpu_ppm, programs_timed, memory_limit_bytes, memory_bytes } =
            steps;
        Self { cpu_step, memory_step, cpu_budget_ppm, cpu_ppm, programs_timed, memory_limit_bytes, memory_bytes }
    }
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    version: u32,
    histogram_scale: u32,
}

/// More slots than the largest `--max-edges` has.
const MAX_SLOT: u32 = 1 << 17;

const FORMAT: &str = "weir recording";

impl Header {
    pub(super) fn of_version(version: u32) -> Self {
        Self { format: FORMAT.into(), version, histogram_scale: SCALE }
    }

    pub(super) fn check(&self, version: u32) -> anyhow::Result<()> {
        anyhow::ensure!(self.format == FORMAT, "not a weir recording but {:?}", self.format);
        anyhow::ensure!(
            self.version <= version,
            "recorded in format {} by a newer weir; this one reads up to format {version}",
            self.version,
        );
        anyhow::ensure!(
            self.histogram_scale == SCALE,
            "recorded with histograms of scale {}; this weir uses scale {SCALE}",
            self.histogram_scale,
        );
        Ok(())
    }
}

impl<'a> From<&'a Input<'_>> for Line<'a> {
    fn from(input: &'a Input<'_>) -> Self {
        match input {
            Input::Started(Started { monotonic_ns, unix_ns, kernel, version, machine }) => {
                let Machine { host, node, boot_id } = &**machine;
                let [host, node, boot_id] = [host, node, boot_id].map(|name| name.as_deref().map(Cow::Borrowed));
                let (kernel, version) = (kernel.into(), version.into());
                Self::Started { monotonic_ns: *monotonic_ns, unix_ns: *unix_ns, kernel, version, host, node, boot_id }
            }
            Input::Probe(ProbeState { name, missing, provides }) => {
                Self::Probe { name: name.into(), missing: missing.as_ref().map(Into::into), provides: provides.into() }
            }
            Input::Edge { slot, record } => Self::Edge { slot: *slot, record: Record::ToWrite(record) },
            Input::Named(named) => Self::Named(named.into()),
            Input::Naming(Naming { counts, unavailable }) => Self::Naming {
                counts: counts.iter().map(|(name, n)| (Cow::Borrowed(&**name), *n)).collect(),
                unavailable: unavailable.iter().map(|(a, b)| (Cow::Borrowed(&**a), Cow::Borrowed(&**b))).collect(),
            },
            Input::Backend(Backend { slot, address }) => Self::Backend { slot: *slot, address: *address },
            Input::Retired { slot } => Self::Retired { slot: *slot },
            Input::ConnectFailed(event) => {
                let ConnectFailed { at_ns, after_ns, key, outcome, errno, syn_retransmits, _pad: _ } = *event;
                Self::ConnectFailed { at_ns, after_ns, key: key.into(), outcome, errno, syn_retransmits }
            }
            Input::Counters(counters) => Self::Counters(counters.as_slice().into()),
            Input::Program(ProgramCost { name, runs, recursion_misses }) => {
                Self::Program { name: Cow::Borrowed(name), runs: *runs, recursion_misses: *recursion_misses }
            }
            Input::Agent(AgentCost { cpu_ns, rss_bytes, map_bytes }) => {
                Self::Agent { cpu_ns: *cpu_ns, rss_bytes: *rss_bytes, map_bytes: *map_bytes }
            }
            Input::Degraded(degraded) => Self::Degraded((*degraded).into()),
            Input::AcceptQueue { at, queue } => Self::AcceptQueue(Queue::of(*at, queue)),
            Input::Polled(polled) => Self::Polled(Poll::ToWrite(polled)),
            Input::Gap { inputs } => Self::Gap { inputs: *inputs },
            Input::Tick { monotonic_ns, unix_ns } => Self::Tick { monotonic_ns: *monotonic_ns, unix_ns: *unix_ns },
        }
    }
}

impl Line<'_> {
    /// Passes the recorded input on; a header or an end is none.
    pub(super) fn emit(self, sink: &mut dyn FnMut(Input<'_>)) {
        sink(match self {
            Self::Header(_) | Self::End => return,
            Self::Started { monotonic_ns, unix_ns, kernel, version, host, node, boot_id } => {
                let (kernel, version) = (kernel.into_owned(), version.into_owned());
                let [host, node, boot_id] = [host, node, boot_id].map(|name| name.map(Cow::into_owned));
                let machine = Machine { host, node, boot_id }.into();
                Input::Started(Started { monotonic_ns, unix_ns, kernel, version, machine })
            }
            Self::Probe { name, missing, provides } => Input::Probe(ProbeState {
                name: name.into_owned(),
                missing: missing.map(Cow::into_owned),
                provides: provides.into_owned(),
            }),
            // Beyond the slots of any weir: a damaged line must not grow the engine's table.
            Self::Edge { slot, .. } if slot > MAX_SLOT => return,
            Self::Edge { slot, record } => {
                sink(Input::Edge { slot, record: record.get() });
                return;
            }
            Self::Named(name) => Input::Named(name.into()),
            Self::Naming { counts, unavailable } => Input::Naming(Naming {
                counts: counts.into_iter().map(|(name, n)| (name.into(), n)).collect(),
                unavailable: unavailable.into_iter().map(|(a, b)| (a.into(), b.into())).collect(),
            }),
            Self::Backend { slot, address } => Input::Backend(Backend { slot, address }),
            Self::Retired { slot } => Input::Retired { slot },
            Self::ConnectFailed { at_ns, after_ns, key, outcome, errno, syn_retransmits } => {
                let key = (&key).into();
                Input::ConnectFailed(ConnectFailed { at_ns, after_ns, key, outcome, errno, syn_retransmits, _pad: 0 })
            }
            Self::Counters(recorded) => {
                // An older weir has fewer counters, a newer one more.
                let mut counters = [0; N_COUNTERS as usize];
                for (counter, value) in counters.iter_mut().zip(recorded.iter()) {
                    *counter = *value;
                }
                Input::Counters(counters)
            }
            Self::Program { name, runs, recursion_misses } => {
                Input::Program(ProgramCost { name: name.into(), runs, recursion_misses })
            }
            Self::Agent { cpu_ns, rss_bytes, map_bytes } => Input::Agent(AgentCost { cpu_ns, rss_bytes, map_bytes }),
            Self::Degraded(steps) => Input::Degraded(steps.into()),
            Self::AcceptQueue(queue) => {
                queue.emit(sink);
                return;
            }
            Self::Polled(poll) => {
                sink(Input::Polled(poll.get()));
                return;
            }
            Self::Gap { inputs } => Input::Gap { inputs },
            Self::Tick { monotonic_ns, unix_ns } => Input::Tick { monotonic_ns, unix_ns },
        });
    }
}
