//! An edge as the kernel half counts it: one process, one role, one remote end.

use core::mem::offset_of;

use crate::{Histogram, N_CONNECT_OUTCOMES, N_SOCKET_ERRORS};

/// The role is unknown.
pub const ROLE_NONE: u8 = 0;
/// The process connected: an edge to a remote address and port.
pub const ROLE_CLIENT: u8 = 1;
/// The process accepted: an edge from a remote address to its listening port.
pub const ROLE_SERVER: u8 = 2;

/// Length of a task's comm, terminator included (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;
/// Length kept of an executable's file name; longer names are cut.
pub const EXE_LEN: usize = 32;

/// Marks a cgroup's id as one of a version 1 hierarchy (`Features::cgroup_v1_css`), which is read where version 2's has only
/// its root: ids of two hierarchies may be equal. Ids count up from 1 and stay far below this bit; with it they are still
/// numbers that every JSON parser represents exactly.
pub const CGROUP_V1: u64 = 1 << 52;
/// The id of every hierarchy's root.
pub const CGROUP_ROOT: u64 = 1;

/// The slot of the client's end of every edge beyond the limit.
pub const OTHER_CLIENT: u32 = 0;
/// The slot of the server's end, where the client is on this host too: one connection is counted once in each view.
pub const OTHER_SERVER_LOCAL: u32 = 1;
/// The slot of the server's end, where the client is on another host.
pub const OTHER_SERVER_REMOTE: u32 = 2;
/// The first slot of an edge of its own.
pub const FIRST_SLOT: u32 = 3;

/// `EdgeRecord::state` of a free slot.
pub const SLOT_FREE: u32 = 0;
/// `EdgeRecord::state` of a slot in use. Written last: a reader that sees it sees the header too.
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
    /// The port that the client dialled (host order); without a local peer, the listening port.
    pub port: u16,
    /// Server role: the local listening port; differs from `port` behind a port-changing NAT.
    pub listen_port: u16,
    /// `ROLE_*`.
    pub role: u8,
    #[doc(hidden)]
    pub _pad: [u8; 7],
}

/// Buckets of the time that a connection was idle between an answer and the next request on it: up to `2^19 ns` (0.52 ms),
/// 1.05 ms, 2.1 ms, and longer. A contended pool passes a connection to the next caller in less; longer ones were free. A choice.
pub const IDLE_BUCKETS: usize = 4;
/// Upper boundary of the first of them, as a power of two of nanoseconds.
pub const IDLE_MIN_EXPONENT: u32 = 19;
/// Length of an epoch of `EdgeRecord::threads`, as a power of two of nanoseconds: 4.3 s.
pub const THREADS_EXPONENT: u32 = 32;

/// A peer that closes within this time of this end's last operation closes because of it; later, for idleness. A choice.
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
    /// Process name (`comm` of the thread group leader), padded with NULs.
    pub comm: [u8; COMM_LEN],
    /// File name of the process's executable, padded with NULs.
    pub exe: [u8; EXE_LEN],
    /// The process's start, nanoseconds since boot: distinguishes a reused pid.
    pub process_start_ns: u64,
    /// The process's cgroup: its id in version 2's hierarchy, or in one of version 1 with `CGROUP_V1`. `CGROUP_ROOT` where the
    /// process is in the root of both, 0 where it could not be read.
    pub cgroup_id: u64,
    /// This end's own address.
    pub local_address: [u8; 16],

    // A cache line for the fields that each connection or round writes in its process's own context.
    /// Rounds in flight and their starts, in one word, so that opening a round is one atomic addition and ending it another: see
    /// `InFlight`.
    pub in_flight: u64,
    /// Payload bytes that the process sent.
    pub bytes_sent: u64,
    /// Payload bytes that the process received.
    pub bytes_received: u64,
    /// Sockets attached to this slot; minus `detached`, those that may still write to it.
    pub attached: u64,
    /// Connections that became established while attached to this edge, pre-existing ones included.
    pub opened: u64,
    /// Connections of `opened` that have left ESTABLISHED and CLOSE_WAIT.
    pub closed: u64,
    /// Connections of `opened` that were first seen in mid-life.
    pub partial: u32,
    /// Client role: the local port of the connection that last became established, or retransmitted a SYN. It serves to look up
    /// in the kernel's connection tracking where connections to this address go.
    pub local_port: u32,
    /// Connects by `ConnectOutcome`; server role: accepted connections under `Ok`, the last word of this cache line.
    pub connects: [u64; N_CONNECT_OUTCOMES],
    /// Of the timeouts: those where the caller closed the socket after a SYN had been unanswered for a second or more.
    pub timeout_by_caller: u64,

    // A cache line for the fields that softirq writes too, on whichever processor received the packet.
    /// Sockets detached from this slot.
    pub detached: u64,
    /// Retransmitted segments, SYNs and SYN-ACKs included (the kernel's `RetransSegs`).
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
    /// Rounds that were open when the sample of sockets changed: their end was not observed.
    pub rounds_unobserved: u64,
    /// Time in flight of the rounds that ended without an answer, or unobserved, nanoseconds.
    pub unanswered_ns: u64,
    /// Connections newly found multiplexed (a request sent while another was in flight).
    pub multiplexed_set: u64,
    /// Of those, connections that have closed.
    pub multiplexed_cleared: u64,
    /// Connections newly found to carry pushes (data that answers no request).
    pub push_set: u64,
    /// Of those, connections that have closed.
    pub push_cleared: u64,
    /// Requests whose head was compared with what follows it (a sample).
    pub pipeline_sampled: u64,
    /// Of those: the head was repeated, so one round carried several requests.
    pub pipeline_repeated: u64,
    /// Monotonic time of the last ring event about this edge, for its rate limit.
    pub last_event_ns: u64,
    /// Smoothed round-trip time of the socket that last flushed its bytes, microseconds.
    pub srtt_us: u32,
    /// As `closed_early`, after three to six rounds: as many as a login takes (TLS, SCRAM), or a short job that ends with
    /// the protocol's quit message.
    pub closed_after_login: u32,

    /// Client: requests sent by the thread that had sent the connection's previous one, by the connection's idle time before
    /// them (`IDLE_BUCKETS`). A connection's first request is in neither array.
    pub reused_by_same_thread: [u32; IDLE_BUCKETS],
    /// Those sent by another thread than the previous one: the connection had been returned to a pool, and taken again.
    pub reused_by_other_thread: [u32; IDLE_BUCKETS],
    /// Connections that the server ended within two rounds and `CLOSED_EARLY_NS` of the last operation, or of the handshake,
    /// having sent last: it accepts no more clients, or serves one request per connection. Client role: the server closed
    /// first. Server role: the client closed first, and the server closed without having read that.
    pub closed_early: u64,
    /// Client: threads that sent requests, a bit each by the low six bits of their ids, in the epoch `threads_epoch` and in the
    /// one before it. An epoch's lowest bit is the index of its word.
    pub threads: [u64; 2],
    /// Epoch of the last request: its monotonic time in units of `2^THREADS_EXPONENT` ns.
    pub threads_epoch: u64,

    /// Client: first send to first byte of the answer. Server: request read to answer sent (service time).
    pub latency: Histogram,
    /// To be added to `latency` for the distribution of whole rounds, first operation to the last of the answer: each answer in
    /// several pieces adds one to the bucket of the whole round, and subtracts one from that of its first piece (counts wrap).
    /// Most answers are one piece, and cost nothing here.
    pub full_latency_correction: Histogram,
    /// Data's arrival at the socket to the read that took it, at the turn of a round. Server: the request waited for
    /// the worker. Client: the answer waited for the caller.
    pub receive_queue_wait: Histogram,
    /// Client: SYN to ESTABLISHED, of the connects that succeeded.
    pub connect_latency: Histogram,
    /// Client: SYN to failure, of those that failed.
    pub connect_failed_latency: Histogram,
    /// The handshake's round trip as the kernel sampled it (`srtt` at ESTABLISHED), without retransmitted SYNs.
    pub handshake: Histogram,
}

/// Encoding of `EdgeRecord::in_flight`: the low bits count rounds in flight, the rest is minus the sum of their starts, each
/// rounded down to a multiple of `2^COUNT_BITS`. What a round adds at its start is subtracted exactly at its end.
pub struct InFlight;

impl InFlight {
    /// Up to 2^20 rounds at once, with starts in steps of a millisecond.
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

    /// Sum of the ages of the rounds in flight at `now_ns`; too large by at most a millisecond each.
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
    assert!(offset_of!(EdgeRecord, in_flight).is_multiple_of(64), "so do the fields that a process writes");
    assert!(offset_of!(EdgeRecord, detached).is_multiple_of(64), "and those that softirq writes");
};
