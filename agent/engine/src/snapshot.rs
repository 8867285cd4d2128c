//! What a window comes to: the only thing exporters read.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use weir_abi::ConnectOutcome;

use crate::{
    degraded::Degradation,
    edge::view::View,
    identity::Identity,
    input::{Machine, Naming, ProbeState, ProgramCost},
    state::{host::HostView, queues::AcceptQueueView},
};

/// The edges of one window, with all that was lost on the way and all that it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Length of the window, nanoseconds.
    pub window_ns: u64,
    /// Its end, monotonic nanoseconds.
    pub end_monotonic_ns: u64,
    /// Its end, nanoseconds since 1970.
    pub end_unix_ns: u64,
    /// Kernel release.
    pub kernel: String,
    /// weir's version.
    pub version: String,
    /// Which machine it is of.
    pub machine: Arc<Machine>,
    /// What was lost in the window.
    pub losses: Losses,
    /// Which share of connections was seen whole.
    pub coverage: Coverage,
    /// Probes that do not run, with the reason.
    pub missing_probes: Vec<ProbeState>,
    /// How well ends could be named.
    pub naming: Naming,
    /// How far weir had stepped back.
    pub degradation: Degradation,
    /// What weir itself used.
    pub cost: Cost,
    /// Accept queues that anything ever came into; empty where they were not watched.
    pub accept_queues: Vec<AcceptQueueView>,
    /// The host as it was polled; empty where nothing was.
    pub host: HostView,
    /// How many edges there are, wanted or not.
    pub edges_total: usize,
    /// The edges, in the order of their keys.
    pub edges: Vec<Edge>,
}

impl Snapshot {
    /// Whether nothing was lost, missed, unavailable or left out.
    pub fn is_complete(&self) -> bool {
        self.losses.none() && self.coverage.missed == 0 && self.missing_probes.is_empty() && self.degradation.lossless()
    }
}

/// Losses in the window, each by name. All zero: nothing was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Events dropped because the ring was full. Counts are not affected, only examples of failures.
    pub ring_full: u64,
    /// Sockets counted in `other` for want of an edge slot.
    pub edges_over_limit: u64,
    /// Connections without timing for want of a socket record.
    pub sockets_over_limit: u64,
    /// Sockets the kernel had no memory to remember.
    pub socket_storage_failed: u64,
    /// Connections whose process is unknown.
    pub unknown_sockets: u64,
    /// Listening ports not remembered.
    pub listeners_over_limit: u64,
    /// Failed connects whose target could not be read.
    pub unreadable_connects: u64,
    /// Sends whose return was not seen (kretprobe only).
    pub sends_missed: u64,
    /// Name servers' replies beyond what is read in a second: names are missing, counts are not affected.
    pub dns_replies_dropped: u64,
    /// Name servers' replies whose bytes were not found, likewise.
    pub dns_replies_unread: u64,
    /// Program runs skipped by recursion.
    pub recursion_misses: u64,
    /// Retired edges that were folded into `other`, because too many services had some.
    pub services_over_limit: u64,
}

impl Losses {
    /// Whether nothing was lost (by name: `Losses::named`, beside their rows in the catalog).
    pub fn none(&self) -> bool {
        self.named().iter().all(|(_, n)| *n == 0)
    }
}

/// Connections seen and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Connections with a record of their own.
    pub tracked: u64,
    /// Connections without.
    pub missed: u64,
    /// Accepted connections that no process has used yet.
    pub accepted_pending: u64,
    /// Sockets tracked at this moment.
    pub sockets_now: u64,
    /// Edges retired because they fell silent (over weir's life).
    pub evicted_edges: u64,
    /// SYN-ACKs retransmitted, of all handshakes, complete or not.
    pub synack_retransmits: u64,
}

/// weir's own use of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// Processor time in the window, nanoseconds.
    pub agent_cpu_ns: u64,
    /// Resident memory now, bytes.
    pub agent_rss_bytes: u64,
    /// Kernel memory of the maps, bytes.
    pub map_bytes: u64,
    /// Each program's runs in the window.
    pub programs: Vec<ProgramCost>,
}

/// An edge between two processes, or a process and an address; or, by service, between two services.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The end that connected.
    pub client: End,
    /// The end that accepted.
    pub server: End,
    /// Every process on this host that served it, busiest first.
    pub server_processes: Vec<ServerProcess>,
    /// What the client's sockets saw; none when the client is not on this host.
    pub client_view: Result<View, Absent>,
    /// What the server's sockets saw.
    pub server_view: Result<View, Absent>,
    /// By service: the part of `server_view` whose clients are not on this host. Without a client view, all of it is.
    pub unpaired_view: Option<View>,
    /// The last failed connect in the window.
    pub last_failure: Option<Failure>,
    /// This is the bucket for all edges beyond the limit.
    pub is_other: bool,
}

impl Edge {
    /// An edge with its ends and their views, and nothing else.
    pub(crate) fn new(
        client: End,
        server: End,
        client_view: Result<View, Absent>,
        server_view: Result<View, Absent>,
    ) -> Self {
        Self {
            client,
            server,
            server_processes: Vec::new(),
            client_view,
            server_view,
            unpaired_view: None,
            last_failure: None,
            is_other: false,
        }
    }
}

/// One end of an edge.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Its identity.
    pub identity: Arc<Identity>,
    /// Why there is no better name than its address.
    pub unknown: Option<Arc<str>>,
    /// The processes of this host that it stands for, in order.
    pub pids: Vec<u32>,
    /// The process, or why it is not known.
    pub process: Result<Process, Absent>,
    /// The address; none for the `other` edge.
    pub address: Option<IpAddr>,
    /// The port; only servers have one worth naming.
    pub port: Option<u16>,
    /// Servers: where connections to the address really go, if elsewhere (DNAT).
    pub backends: Vec<SocketAddr>,
}

impl End {
    /// A process of this host.
    pub fn of_process(identity: Arc<Identity>, process: Process) -> Self {
        let pids = vec![process.pid];
        Self { pids, process: Ok(process), ..Self::elsewhere(identity, Absent::NotOnThisHost) }
    }

    /// Where it listens, for servers.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        self.address.zip(self.port).map(SocketAddr::from)
    }

    /// An end of which no process is known.
    pub fn elsewhere(identity: Arc<Identity>, absent: Absent) -> Self {
        let process = Err(absent);
        Self { identity, unknown: None, pids: Vec::new(), process, address: None, port: None, backends: Vec::new() }
    }
}

/// A process on this host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Name of its main thread.
    pub comm: String,
    /// File name of its executable; empty for kernel threads.
    pub exe: String,
    /// Its start, nanoseconds since boot.
    pub start_ns: u64,
    /// Its v2 cgroup.
    pub cgroup_id: u64,
}

impl Process {
    /// The name that an engineer uses for it.
    pub fn name(&self) -> &str {
        program_name(&self.comm, &self.exe)
    }
}

/// The name that an engineer uses for a program: the executable's, unless the process was started under another one. Scripts
/// (`gunicorn`, run by `python3.11`) and links to multi-call programs (`redis-server`, a link to `redis-check-rdb`) show
/// that name as their comm; a comm that merely shortens the executable's name adds nothing, nor does one that a
/// runtime gives its main thread.
pub fn program_name<'n>(comm: &'n str, exe: &'n str) -> &'n str {
    const RENAMED: &[&str] = &["MainThread", "main"];
    let says_more = !comm.is_empty() && !RENAMED.contains(&comm);
    if exe.is_empty() || (says_more && !exe.starts_with(comm)) { comm } else { exe }
}

/// One server process's share of an edge.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerProcess {
    /// The process.
    pub process: Process,
    /// Connections accepted in the window.
    pub accepted: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Rounds served in the window.
    pub rounds: u64,
}

/// Why a value is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Absent {
    /// The far end runs on another host, or its socket was not tracked.
    NotOnThisHost,
    /// The edge stands for many.
    ManyInOne,
    /// It was on this host and has ended.
    Ended,
    /// Several instances of a service.
    Several,
    /// Several services were found behind one address: only the counts of their own sockets can be separated.
    Shared,
}

impl Absent {
    /// The reason as a phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotOnThisHost => "no socket of this peer is tracked on this host",
            Self::ManyInOne => "stands for all edges beyond the limit",
            Self::Ended => "its processes have ended",
            Self::Several => "several: see --instances",
            Self::Shared => "several services were reached at this address: see the views of their servers",
        }
    }
}

/// An example of a failed connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How it failed.
    pub outcome: ConnectOutcome,
    /// Error number; 0 for a cancelled connect.
    pub errno: i32,
    /// From the SYN to the failure, nanoseconds; 0 when no SYN left.
    pub after_ns: u64,
    /// SYNs retransmitted.
    pub syn_retransmits: u32,
    /// How long before the window's end.
    pub ago_ns: u64,
}
