//! What polls of the host found: readings of the kernel's files and socket tables, each as of the next tick.
//!
//! Counters are cumulative, as the kernel keeps them; the window's part of them is in `snapshot.host`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// One thing that was polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// When all that follows was read, up to the next of these. Answers that are late come with a later tick.
    Read(ReadAt),
    /// Once a second: a network namespace's counters and listening sockets.
    Namespace(NamespacePoll),
    /// Its connections that have more to send than they may; once a second where there are few, and where there are any.
    Senders(SendersPoll),
    /// Every five seconds, as all that follow: how far its local ports are used.
    Ports(PortsPoll),
    /// Its connection tracking.
    Conntrack(ConntrackPoll),
    /// A process that has edges.
    Process(ProcessPoll),
    /// A cgroup of such a process, or the host.
    Cgroup(CgroupPoll),
    /// Who ran most on the host, while threads wait for a processor.
    Busiest(BusiestPoll),
    /// What was not to be had.
    Missed(PollMisses),
}

/// A time of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadAt {
    /// Monotonic clock, nanoseconds.
    pub monotonic_ns: u64,
}

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespacePoll {
    /// Its inode number.
    pub netns: u32,
    /// What went wrong in it.
    pub counters: NetCounters,
    /// TCP sockets in use, those in TIME_WAIT apart.
    pub in_use: u64,
    /// And those.
    pub time_wait: u64,
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
    /// Its listening UNIX sockets in whose queues connections wait.
    pub unix: Vec<UnixListener>,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// Counters of a network namespace that rise when something goes wrong.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct NetCounters {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl NetCounters {
            /// What was counted since `before`.
            #[must_use]
            pub fn since(&self, before: &Self) -> Self {
                Self { $($field: self.$field.saturating_sub(before.$field),)* }
            }

            /// Each by its name in the kernel's files.
            pub fn by_name(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $($name => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }
    };
}

counters! {
    /// Connections and SYNs turned away because an accept queue was full.
    listen_overflows = "ListenOverflows",
    /// Those and all others that a listener dropped.
    listen_drops = "ListenDrops",
    /// SYNs beyond a request queue, answered with a cookie.
    request_queue_cookies = "TCPReqQFullDoCookies",
    /// And dropped.
    request_queue_drops = "TCPReqQFullDrop",
    /// SYN cookies sent.
    syncookies_sent = "SyncookiesSent",
    /// Times that TCP's memory became scarce.
    memory_pressures = "TCPMemoryPressures",
    /// TIME_WAIT sockets beyond `tcp_max_tw_buckets`.
    time_wait_overflow = "TCPTimeWaitOverflow",
    /// Times that a socket's queues were cut for want of memory.
    prune_called = "PruneCalled",
    /// Segments dropped because a receive buffer was full.
    receive_queue_drops = "TCPRcvQDrop",
    /// And because the queue of a socket in use was.
    backlog_drops = "TCPBacklogDrop",
    /// UDP datagrams dropped because a receive buffer was full.
    udp_receive_errors = "RcvbufErrors",
}

/// A listening socket. Several may share an address (`SO_REUSEPORT`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// The socket's inode number.
    pub inode: u32,
    /// Connections that wait for `accept`.
    pub backlog: u32,
    /// It is full when there are more than these.
    pub max: u32,
    /// Who holds it, where that was looked for: once half of it was full.
    pub owner: Option<Owner>,
    /// Its request queue, where that was looked at: once SYNs did not fit.
    pub half_open: Option<HalfOpen>,
}

/// Connections whose SYN was answered, and whose handshake is not complete (SYN_RECV).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfOpen {
    /// So many.
    pub count: u32,
    /// With more, if not with so many, the next SYN is answered by a cookie, or dropped.
    pub limit: u32,
    /// The caller of most of those whose SYN-ACK was retransmitted: it does not answer.
    pub from: IpAddr,
    /// How many that are.
    pub of_it: u32,
}

impl Listener {
    /// The next SYN is dropped.
    pub fn is_full(&self) -> bool {
        self.backlog > self.max
    }
}

/// A listening UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixListener {
    /// Its path; an abstract name begins with `@`.
    pub name: Arc<str>,
    /// The socket's inode number.
    pub inode: u32,
    /// Connections that wait for `accept`.
    pub backlog: u32,
    /// Beyond these a `connect` waits, or fails at once (`EAGAIN`).
    pub max: u32,
    /// Who holds it, where that was looked for.
    pub owner: Option<Owner>,
}

impl UnixListener {
    /// The next `connect` waits, or fails.
    pub fn is_full(&self) -> bool {
        self.backlog > self.max
    }
}

/// A process that holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub pid: u32,
    /// The name of its first thread.
    pub comm: Arc<str>,
}

/// Connections of a network namespace that have more to send than they may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendersPoll {
    /// The namespace.
    pub netns: u32,
    /// Those with bytes that have not been sent once.
    pub senders: Vec<Sender>,
}

/// Such a connection, as the kernel's `tcp_info` tells of it; what is not named otherwise is of the connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// No other socket of this boot has it.
    pub cookie: u64,
    /// This end.
    pub local: SocketAddr,
    /// The far end.
    pub remote: SocketAddr,
    /// Bytes written and not acknowledged, now.
    pub queued_bytes: u32,
    /// Of these, not sent once (`tcpi_notsent_bytes`).
    pub unsent_bytes: u32,
    /// Bytes acknowledged.
    pub acked_bytes: u64,
    /// Time with something to send, microseconds (`tcpi_busy_time`).
    pub busy_us: u64,
    /// Of it, held up by the receiver's window (`tcpi_rwnd_limited`).
    pub receiver_limited_us: u64,
    /// And by the size of the send buffer (`tcpi_sndbuf_limited`).
    pub buffer_limited_us: u64,
    /// Segments sent.
    pub segments: u32,
    /// Segments retransmitted.
    pub retransmitted: u32,
    /// Round-trip time now, smoothed; microseconds.
    pub srtt_us: u32,
    /// The shortest lately.
    pub min_rtt_us: u32,
}

/// The local ports of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsPoll {
    /// The namespace.
    pub netns: u32,
    /// First and last port of `ip_local_port_range`.
    pub range: (u16, u16),
    /// Ports of it that are reserved.
    pub reserved: u32,
    /// `tcp_max_tw_buckets`.
    pub time_wait_limit: u64,
    /// `tcp_tw_reuse`: 0 never, 1 always, 2 between loopback addresses.
    pub time_wait_reuse: u8,
    /// Where many of them are used towards one address, most first. Not counted where there are too few sockets in all.
    pub tuples: Vec<PortUse>,
    /// There were more sockets than are counted: what is counted is less than what there is.
    pub is_cut: bool,
}

impl PortsPoll {
    /// Ports that a connect can get.
    pub fn available(&self) -> u32 {
        let (low, high) = self.range;
        (u32::from(high) + 1).saturating_sub(low.into()).saturating_sub(self.reserved)
    }

    /// Ports that a connect to that address cannot get: those in TIME_WAIT it can where the kernel may use them again.
    pub fn taken(&self, tuple: &PortUse) -> u32 {
        let loopback = tuple.local.is_loopback() || tuple.remote.ip().is_loopback();
        let reuses = self.time_wait_reuse == 1 || (self.time_wait_reuse == 2 && loopback);
        if reuses { tuple.sockets.saturating_sub(tuple.time_wait) } else { tuple.sockets }
    }
}

/// Local ports used towards one address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortUse {
    /// From here.
    pub local: IpAddr,
    /// To there.
    pub remote: SocketAddr,
    /// Sockets in any state.
    pub sockets: u32,
    /// Of these, in TIME_WAIT.
    pub time_wait: u32,
}

/// Connection tracking of a network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConntrackPoll {
    /// The namespace.
    pub netns: u32,
    /// Connections tracked.
    pub count: u64,
    /// The most there may be.
    pub max: u64,
    /// Packets dropped because the table was full, or for lack of memory; cumulative.
    pub dropped: u64,
    /// Connections that were not entered; cumulative.
    pub insert_failed: u64,
    /// Connections evicted for new ones; cumulative.
    pub early_drop: u64,
}

/// A process that has edges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessPoll {
    /// Its id.
    pub pid: u32,
    /// Its network namespace.
    pub netns: u32,
    /// Descriptors that are open; none where that cannot be seen.
    pub fds: Option<u64>,
    /// How many may be.
    pub fds_limit: Option<u64>,
    /// Threads that were looked at, of how many.
    pub threads: (u32, u32),
    /// Their time ready to run and not running, nanoseconds since they were first looked at.
    pub run_delay_ns: u64,
    /// Their time running.
    pub on_cpu_ns: u64,
    /// Its cgroup, where processor time is shared out.
    pub cgroup: Option<Arc<str>>,
}

/// Who ran most on the host, processes of one name together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusiestPoll {
    /// In so long a time.
    pub over_ns: u64,
    /// The busiest first.
    pub busiest: Vec<Busy>,
}

/// Processes of one name that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// The name of their first threads.
    pub comm: Arc<str>,
    /// The one that ran most.
    pub pid: u32,
    /// How long that one ran.
    pub most_ns: u64,
    /// How many there are.
    pub processes: u32,
    /// How long all of them ran.
    pub ran_ns: u64,
}

/// A cgroup, or the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupPoll {
    /// Its path; the host's is `/`.
    pub path: Arc<str>,
    /// How it was kept from running; none where it has no limit.
    pub throttle: Option<Throttle>,
    /// How long its tasks waited for what they need; none where the kernel does not say.
    pub pressure: Option<Pressure>,
}

/// A cgroup's `cpu.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Periods in which it ran.
    pub periods: u64,
    /// Of these, those that it had used up.
    pub throttled: u64,
    /// For how long it was kept from running, over all processors, nanoseconds.
    pub throttled_ns: u64,
}

/// Pressure stall information: microseconds in which some task, or every one, waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Some, for a processor.
    pub cpu_some_us: u64,
    /// Some, for memory.
    pub memory_some_us: u64,
    /// All, for memory.
    pub memory_full_us: u64,
    /// Some, for devices.
    pub io_some_us: u64,
    /// All, for devices.
    pub io_full_us: u64,
}

/// What was not to be had since weir's start, by why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollMisses {
    /// Names and counts; cumulative.
    pub counts: Vec<(Arc<str>, u64)>,
}
