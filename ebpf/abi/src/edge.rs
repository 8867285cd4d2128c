//! An edge as the kernel sees it: one process, one role, one far end.

use core::mem::offset_of;

use crate::{Histogram, N_CONNECT_OUTCOMES, N_SOCKET_ERRORS};

/// A socket whose role is not known.
pub const ROLE_NONE: u8 = 0;
/// The process connected: an edge to a remote address and port.
pub const ROLE_CLIENT: u8 = 1;
/// The process accepted: an edge from a remote address to its listening port.
pub const ROLE_SERVER: u8 = 2;

/// Length of a task's comm, terminator included (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;
/// Length kept of an executable's file name; longer names are cut.
pub const EXE_LEN: usize = 32;

/// In a cgroup's id: it is of a hierarchy of version 1 (`Features::cgroup_v1_css`), asked where version 2's says only its
/// root. Ids of two hierarchies may be equal. They are counted from 1, and come nowhere near this bit; with it they are
/// still numbers that every reader of JSON holds exactly.
pub const CGROUP_V1: u64 = 1 << 52;
/// The id of every hierarchy's root.
pub const CGROUP_ROOT: u64 = 1;

/// The slot that takes the client's end of every edge beyond the limit.
pub const OTHER_CLIENT: u32 = 0;
/// The slot that takes the server's end, where the client is on this host too: one connection is counted once a view.
pub const OTHER_SERVER_LOCAL: u32 = 1;
/// The slot that takes the server's end, where the client is elsewhere.
pub const OTHER_SERVER_REMOTE: u32 = 2;
/// The first slot of an edge of its own.
pub const FIRST_SLOT: u32 = 3;

/// `EdgeRecord::state` of a slot that no edge uses.
pub const SLOT_FREE: u32 = 0;
/// `EdgeRecord::state` of a slot in use; written last, so a reader that sees it sees the header too.
pub const SLOT_LIVE: u32 = 1;

/// What makes two sockets belong to the same edge. Aligned so that it is written and compared in words.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeKey {
    /// Client role: the address dialled. Server role with a peer on this host: the address that peer dialled, so
    /// that both keys name the same pair. Server role otherwise: the client's address.
    pub address: [u8; 16],
    /// Process (thread group) that owns this end.
    pub tgid: u32,
    /// Server role: the client's process when it is on this host, else 0.
    pub peer_tgid: u32,
    /// Network namespace (inode number) of this end.
    pub netns: u32,
    /// The port dialled, as seen by whoever dialled it (host order); without a local peer, the listening port.
    pub port: u16,
    /// Server role: the local listening port; differs from `port` behind a port-changing NAT.
    pub listen_port: u16,
    /// `ROLE_*`.
    pub role: u8,
    #[doc(hidden)]
    pub _pad: [u8; 7],
}

/// How long a connection lay idle between an answer and the next request on it: up to `2^19 ns` (0.52 ms), 1.05 ms, 2.1 ms, and
/// longer. A pool hands a connection from one caller to the next in less; what is longer is nobody's.
pub const IDLE_BUCKETS: usize = 4;
/// Upper boundary of the first of them, as a power of two of nanoseconds.
pub const IDLE_MIN_EXPONENT: u32 = 19;
/// Threads are told apart for so long, as a power of two of nanoseconds: 4.3 s, and as much before it.
pub const THREADS_EXPONENT: u32 = 32;

/// A peer that closes so soon after this end's last operation closes because of it; later, for idleness.
pub const CLOSED_EARLY_NS: u64 = 200_000_000;

/// One edge's slot: header written once, counters that only grow (and wrap), read in place by user space.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeRecord {
    /// The edge.
    pub key: EdgeKey,
    /// `SLOT_*`.
    pub state: u32,
    /// Server role with a local peer: the peer's network namespace.
    pub peer_netns: u32,
    /// Process name (`comm` of the thread group leader).
    pub comm: [u8; COMM_LEN],
    /// File name of the process's executable.
    pub exe: [u8; EXE_LEN],
    /// The process's start, nanoseconds since boot: tells a reused pid from the old one.
    pub process_start_ns: u64,
    /// The process's cgroup: its id in version 2's hierarchy, or in one of version 1 with `CGROUP_V1`. `CGROUP_ROOT` where
    /// both say only that, 0 where it could not be read.
    pub cgroup_id: u64,
    /// This end's own address.
    pub local_address: [u8; 16],

    // A cache line for what each connection or round writes in its process's own context.
    /// Rounds in flight now and when they began, in one word so that opening a round is one atomic addition and ending it
    /// another: see `InFlight`.
    pub in_flight: u64,
    /// Payload bytes that the process sent.
    pub bytes_sent: u64,
    /// Payload bytes that the process received.
    pub bytes_received: u64,
    /// Sockets that took this slot; with `detached`, how many may still write to it.
    pub attached: u64,
    /// Connections that became established while attached to this edge, pre-existing ones included.
    pub opened: u64,
    /// Connections of `opened` that have left ESTABLISHED and CLOSE_WAIT.
    pub closed: u64,
    /// Connections of `opened` that were first seen in mid-life.
    pub partial: u32,
    /// Client role: the local port of the connection that last became established, or sent a SYN again. With it, the
    /// kernel's connection tracking can be asked where connections to this address go.
    pub local_port: u32,
    /// Connects by `ConnectOutcome`; server role: accepted connections under `Ok`, the last word of that line.
    pub connects: [u64; N_CONNECT_OUTCOMES],
    /// Of the timeouts: those where the caller closed the socket, a SYN having gone unanswered for a second or more.
    pub timeout_by_caller: u64,

    // One for what is written in softirq, or by it too: on whichever processor a packet came in.
    /// Sockets that let go of this slot.
    pub detached: u64,
    /// Segments sent again, SYNs and SYN-ACKs included (the kernel's `RetransSegs`).
    pub retransmitted_segments: u64,
    /// RSTs sent.
    pub resets_sent: u64,
    /// RSTs received.
    pub resets_received: u64,
    /// Errors of established connections by `SocketError`.
    pub errors: [u64; N_SOCKET_ERRORS],

    /// Rounds ended by this end's close before any answer.
    pub rounds_abandoned: u64,
    /// Rounds ended by the peer's close or reset before any answer.
    pub rounds_broken: u64,
    /// Rounds that were open when the sample of followed sockets changed: their end was not observed.
    pub rounds_unobserved: u64,
    /// Time that the rounds which ended without an answer, or unobserved, had been in flight.
    pub unanswered_ns: u64,
    /// Connections newly found multiplexed (a request sent while another was in flight).
    pub multiplexed_set: u64,
    /// Connections that were, and are no more (closed).
    pub multiplexed_cleared: u64,
    /// Connections newly found to carry pushes (data that answers no request).
    pub push_set: u64,
    /// Connections that were, and are no more (closed).
    pub push_cleared: u64,
    /// Requests whose head was compared with what follows it (a sample).
    pub pipeline_sampled: u64,
    /// Of those: the same head came again, so one round carried several requests.
    pub pipeline_repeated: u64,
    /// Monotonic time of the last ring event about this edge, for its rate limit.
    pub last_event_ns: u64,
    /// Smoothed round-trip time of the last socket that moved data, microseconds.
    pub srtt_us: u32,
    /// As `closed_early`, after three to six rounds: as many as a login takes (TLS, SCRAM), or a short job that ends with
    /// the protocol's quit message.
    pub closed_after_login: u32,

    /// Client: requests by how long their connection had lain idle (`IDLE_BUCKETS`), sent by the thread that had sent the
    /// one before. The first request on a connection is in neither.
    pub reused_by_same_thread: [u32; IDLE_BUCKETS],
    /// Those sent by another thread than the one before: the connection had been given back, and taken by somebody else.
    pub reused_by_other_thread: [u32; IDLE_BUCKETS],
    /// Connections that the server ended within two rounds and `CLOSED_EARLY_NS` of the last operation, or of the handshake,
    /// having spoken last. A server that takes no more clients does that; so does one that serves one request each.
    /// Client: it left first. Server: the client did, and the server had not seen that.
    pub closed_early: u64,
    /// Client: threads that sent requests, a bit each by the low six bits of their ids, in the epoch `threads_epoch` and in the
    /// one before it: each has the word that its lowest bit says.
    pub threads: [u64; 2],
    /// Monotonic time of the last request, in units of `2^THREADS_EXPONENT` ns.
    pub threads_epoch: u64,

    /// Client: first send to first byte of the answer. Server: request read to answer sent (service time).
    pub latency: Histogram,
    /// What makes `latency` the distribution of whole rounds, first operation to the last of the answer: for each answer
    /// in several pieces one more in the bucket of the whole, one less in that of its first piece (counts wrap). Most
    /// answers are one piece, and cost nothing here.
    pub full_latency_correction: Histogram,
    /// Data's arrival at the socket to the read that took it, at the turn of a round. Server: the request waited for
    /// the worker. Client: the answer waited for the caller.
    pub receive_queue_wait: Histogram,
    /// Client: SYN to ESTABLISHED, of the connects that succeeded.
    pub connect_latency: Histogram,
    /// Client: SYN to failure, of those that failed.
    pub connect_failed_latency: Histogram,
    /// The handshake's round trip as the kernel sampled it (`srtt` at ESTABLISHED): a SYN sent again is not in it.
    pub handshake: Histogram,
}

/// Reading and writing `EdgeRecord::in_flight`: the low bits count rounds in flight, the rest is minus the sum of their
/// starts, which the same bits cut off each. A round in flight is added once and taken off once, exactly.
pub struct InFlight;

impl InFlight {
    /// 2^20 rounds at once, with starts in steps of a millisecond.
    const COUNT_BITS: u32 = 20;
    const COUNT: u64 = (1 << Self::COUNT_BITS) - 1;

    /// What to add when a round begins at `start_ns`, and to subtract when it ends.
    #[inline(always)]
    pub const fn of(start_ns: u64) -> u64 {
        1u64.wrapping_sub(start_ns & !Self::COUNT)
    }

    /// Rounds in flight.
    pub const fn count(word: u64) -> u64 {
        word & Self::COUNT
    }

    /// For how long, in all, the rounds in flight have been so at `now_ns`; too long by a millisecond each at most.
    pub const fn age_ns(word: u64, now_ns: u64) -> u64 {
        let starts = Self::count(word).wrapping_sub(word);
        Self::count(word).wrapping_mul(now_ns).wrapping_sub(starts)
    }
}

impl EdgeRecord {
    /// A record that has counted nothing.
    pub const EMPTY: Self = Self {
        key: EdgeKey {
            address: [0; 16],
            tgid: 0,
            peer_tgid: 0,
            netns: 0,
            port: 0,
            listen_port: 0,
            role: 0,
            _pad: [0; 7],
        },
        state: SLOT_FREE,
        comm: [0; COMM_LEN],
        exe: [0; EXE_LEN],
        process_start_ns: 0,
        cgroup_id: 0,
        local_address: [0; 16],
        peer_netns: 0,
        srtt_us: 0,
        closed_after_login: 0,
        last_event_ns: 0,
        connects: [0; N_CONNECT_OUTCOMES],
        timeout_by_caller: 0,
        opened: 0,
        closed: 0,
        partial: 0,
        local_port: 0,
        attached: 0,
        detached: 0,
        in_flight: 0,
        rounds_abandoned: 0,
        rounds_broken: 0,
        rounds_unobserved: 0,
        unanswered_ns: 0,
        multiplexed_set: 0,
        multiplexed_cleared: 0,
        push_set: 0,
        push_cleared: 0,
        pipeline_sampled: 0,
        pipeline_repeated: 0,
        bytes_sent: 0,
        bytes_received: 0,
        retransmitted_segments: 0,
        resets_sent: 0,
        resets_received: 0,
        errors: [0; N_SOCKET_ERRORS],
        reused_by_same_thread: [0; IDLE_BUCKETS],
        reused_by_other_thread: [0; IDLE_BUCKETS],
        closed_early: 0,
        threads: [0; 2],
        threads_epoch: 0,
        latency: Histogram::EMPTY,
        full_latency_correction: Histogram::EMPTY,
        receive_queue_wait: Histogram::EMPTY,
        connect_latency: Histogram::EMPTY,
        connect_failed_latency: Histogram::EMPTY,
        handshake: Histogram::EMPTY,
    };
}

const _: () = assert!(size_of::<EdgeKey>() == 40, "EdgeKey is a map key: no implicit padding");
const _: () = assert!(size_of::<EdgeRecord>().is_multiple_of(8), "array values are read in place as 8-byte words");
const _: () = assert!(size_of::<EdgeRecord>() <= 3072, "4096 edges must fit 12 MiB");
const _: () = {
    assert!(size_of::<EdgeRecord>().is_multiple_of(64), "a record begins a cache line");
    assert!(offset_of!(EdgeRecord, in_flight).is_multiple_of(64), "as does what a process writes");
    assert!(offset_of!(EdgeRecord, detached).is_multiple_of(64), "and what softirq does");
};
