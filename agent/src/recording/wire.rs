//! The lines of a recording. Counters that are zero, and empty buckets, are left out.

use serde::{Deserialize, Serialize};
use weir_abi::{BUCKETS, COMM_LEN, ConnectFailed, EXE_LEN, EdgeKey, EdgeRecord, Histogram, N_COUNTERS, SCALE};
use weir_engine::{AgentCost, Input, ProbeState, ProgramCost, Started};

/// One line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Header(Header),
    Started { monotonic_ns: u64, unix_ns: u64, kernel: String, version: String },
    Probe { name: String, missing: Option<String>, provides: String },
    Edge { slot: u32, record: Box<Record> },
    Retired { slot: u32 },
    ConnectFailed { at_ns: u64, after_ns: u64, key: Key, outcome: u32, errno: i32, syn_retransmits: u32 },
    Counters(Vec<u64>),
    Program { name: String, runs: Option<(u64, u64)>, recursion_misses: u64 },
    Agent { cpu_ns: u64, rss_bytes: u64, map_bytes: u64 },
    Tick { monotonic_ns: u64, unix_ns: u64 },
    End,
}

/// The first line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    version: u32,
    histogram_scale: u32,
}

/// The largest `--max-edges`, and some.
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

/// An edge key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Key {
    address: [u8; 16],
    tgid: u32,
    peer_tgid: u32,
    netns: u32,
    port: u16,
    listen_port: u16,
    role: u8,
}

impl From<EdgeKey> for Key {
    fn from(key: EdgeKey) -> Self {
        let EdgeKey { address, tgid, peer_tgid, netns, port, listen_port, role, _pad } = key;
        Self { address, tgid, peer_tgid, netns, port, listen_port, role }
    }
}

impl From<&Key> for EdgeKey {
    fn from(key: &Key) -> Self {
        let Key { address, tgid, peer_tgid, netns, port, listen_port, role } = *key;
        Self { address, tgid, peer_tgid, netns, port, listen_port, role, _pad: [0; 3] }
    }
}

/// A histogram, its empty buckets left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sparse {
    sum_ns: u64,
    buckets: Vec<(usize, u32)>,
}

impl From<&Histogram> for Sparse {
    fn from(histogram: &Histogram) -> Self {
        let buckets = histogram.buckets.iter().copied().enumerate().filter(|(_, n)| *n != 0).collect();
        Self { sum_ns: histogram.sum_ns, buckets }
    }
}

impl From<&Sparse> for Histogram {
    fn from(sparse: &Sparse) -> Self {
        let mut histogram = Self { sum_ns: sparse.sum_ns, buckets: [0; BUCKETS] };
        for &(i, n) in &sparse.buckets {
            if let Some(bucket) = histogram.buckets.get_mut(i) {
                *bucket = n;
            }
        }
        histogram
    }
}

macro_rules! record {
    ($($field:ident: $type:ty,)*) => {
        /// An edge record, field by field: the two conversions do not compile when the ABI gains a field.
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub(super) struct Record {
            key: Key,
            state: u32,
            comm: [u8; COMM_LEN],
            exe: [u8; EXE_LEN],
            $(#[serde(skip_serializing_if = "is_default")] $field: $type,)*
            latency: Sparse,
            full_latency_correction: Sparse,
            receive_queue_wait: Sparse,
            connect_latency: Sparse,
            connect_failed_latency: Sparse,
            handshake: Sparse,
        }

        impl Default for Record {
            fn default() -> Self {
                Self {
                    key: Key::default(), state: 0, comm: [0; COMM_LEN], exe: [0; EXE_LEN],
                    $($field: Default::default(),)*
                    latency: Sparse::default(), full_latency_correction: Sparse::default(),
                    receive_queue_wait: Sparse::default(), connect_latency: Sparse::default(),
                    connect_failed_latency: Sparse::default(), handshake: Sparse::default(),
                }
            }
        }

        impl From<&EdgeRecord> for Record {
            fn from(record: &EdgeRecord) -> Self {
                let EdgeRecord {
                    key, state, comm, exe, $($field,)* latency, full_latency_correction, receive_queue_wait, connect_latency,
                    connect_failed_latency, handshake,
                } = record;
                Self {
                    key: (*key).into(), state: *state, comm: *comm, exe: *exe, $($field: *$field,)*
                    latency: latency.into(), full_latency_correction: full_latency_correction.into(),
                    receive_queue_wait: receive_queue_wait.into(), connect_latency: connect_latency.into(),
                    connect_failed_latency: connect_failed_latency.into(), handshake: handshake.into(),
                }
            }
        }

        impl From<&Record> for EdgeRecord {
            fn from(record: &Record) -> Self {
                Self {
                    key: (&record.key).into(), state: record.state, comm: record.comm, exe: record.exe,
                    $($field: record.$field,)*
                    latency: (&record.latency).into(), full_latency_correction: (&record.full_latency_correction).into(),
                    receive_queue_wait: (&record.receive_queue_wait).into(),
                    connect_latency: (&record.connect_latency).into(),
                    connect_failed_latency: (&record.connect_failed_latency).into(),
                    handshake: (&record.handshake).into(),
                }
            }
        }
    };
}

record! {
    process_start_ns: u64,
    cgroup_id: u64,
    local_address: [u8; 16],
    peer_netns: u32,
    srtt_us: u32,
    last_event_ns: u64,
    connects: [u64; 8],
    timeout_by_caller: u64,
    opened: u64,
    closed: u64,
    partial: u64,
    attached: u64,
    detached: u64,
    in_flight: u64,
    rounds_abandoned: u64,
    rounds_broken: u64,
    unanswered_ns: u64,
    multiplexed_set: u64,
    multiplexed_cleared: u64,
    push_set: u64,
    push_cleared: u64,
    pipeline_sampled: u64,
    pipeline_repeated: u64,
    bytes_sent: u64,
    bytes_received: u64,
    retransmitted_segments: u64,
    resets_sent: u64,
    resets_received: u64,
    errors: [u64; 4],
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<&Input<'_>> for Line {
    fn from(input: &Input<'_>) -> Self {
        match input {
            Input::Started(Started { monotonic_ns, unix_ns, kernel, version }) => Self::Started {
                monotonic_ns: *monotonic_ns,
                unix_ns: *unix_ns,
                kernel: kernel.clone(),
                version: version.clone(),
            },
            Input::Probe(ProbeState { name, missing, provides }) => {
                Self::Probe { name: name.clone(), missing: missing.clone(), provides: provides.clone() }
            }
            Input::Edge { slot, record } => Self::Edge { slot: *slot, record: Box::new((*record).into()) },
            Input::Retired { slot } => Self::Retired { slot: *slot },
            Input::ConnectFailed(event) => {
                let ConnectFailed { at_ns, after_ns, key, outcome, errno, syn_retransmits } = *event;
                Self::ConnectFailed { at_ns, after_ns, key: key.into(), outcome, errno, syn_retransmits }
            }
            Input::Counters(counters) => Self::Counters(counters.to_vec()),
            Input::Program(ProgramCost { name, runs, recursion_misses }) => {
                Self::Program { name: name.clone(), runs: *runs, recursion_misses: *recursion_misses }
            }
            Input::Agent(AgentCost { cpu_ns, rss_bytes, map_bytes }) => {
                Self::Agent { cpu_ns: *cpu_ns, rss_bytes: *rss_bytes, map_bytes: *map_bytes }
            }
            Input::Tick { monotonic_ns, unix_ns } => Self::Tick { monotonic_ns: *monotonic_ns, unix_ns: *unix_ns },
        }
    }
}

impl Line {
    /// Tells the engine what this line recorded; a header or an end is nothing to tell.
    pub(super) fn tell(self, sink: &mut dyn FnMut(Input<'_>)) {
        sink(match self {
            Self::Header(_) | Self::End => return,
            Self::Started { monotonic_ns, unix_ns, kernel, version } => {
                Input::Started(Started { monotonic_ns, unix_ns, kernel, version })
            }
            Self::Probe { name, missing, provides } => Input::Probe(ProbeState { name, missing, provides }),
            // No weir has that many slots: a damaged line must not grow the engine's table.
            Self::Edge { slot, .. } if slot > MAX_SLOT => return,
            Self::Edge { slot, record } => {
                sink(Input::Edge { slot, record: &(&*record).into() });
                return;
            }
            Self::Retired { slot } => Input::Retired { slot },
            Self::ConnectFailed { at_ns, after_ns, key, outcome, errno, syn_retransmits } => {
                let key = (&key).into();
                Input::ConnectFailed(ConnectFailed { at_ns, after_ns, key, outcome, errno, syn_retransmits })
            }
            Self::Counters(recorded) => {
                // An older weir knew fewer counters, a newer one more.
                let mut counters = [0; N_COUNTERS as usize];
                for (counter, value) in counters.iter_mut().zip(recorded) {
                    *counter = value;
                }
                Input::Counters(counters)
            }
            Self::Program { name, runs, recursion_misses } => {
                Input::Program(ProgramCost { name, runs, recursion_misses })
            }
            Self::Agent { cpu_ns, rss_bytes, map_bytes } => Input::Agent(AgentCost { cpu_ns, rss_bytes, map_bytes }),
            Self::Tick { monotonic_ns, unix_ns } => Input::Tick { monotonic_ns, unix_ns },
        });
    }
}
