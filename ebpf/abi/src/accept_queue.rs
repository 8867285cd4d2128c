//! A listening port's queue of connections that the kernel has completed and no process has accepted yet.

use crate::{COMM_LEN, Histogram};

/// Buckets of arrivals by the queue's fill after them: eighths of its limit, and last those that filled it or found it full.
pub const FILL_BUCKETS: usize = 9;

/// A listening port, however many sockets share it (`SO_REUSEPORT`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListeningPort {
    /// Network namespace, as in `EdgeKey`.
    pub netns: u32,
    /// Host order.
    pub port: u32,
}

/// One queue's counters, which only grow (and wrap).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueue {
    /// The process that accepted last; before the first accept, the one that listens.
    pub tgid: u32,
    /// The queue's limit (`sk_max_ack_backlog`): it is full when there are more.
    pub limit: u32,
    /// Its length after the last arrival.
    pub depth: u32,
    #[doc(hidden)]
    pub _pad: u32,
    /// Name of the process that listens, padded with NULs.
    pub comm: [u8; COMM_LEN],
    /// Connections that entered it.
    pub enqueued: u64,
    /// Sum of the queue's lengths after each arrival: divided by `enqueued`, the mean length.
    pub depth_sum: u64,
    /// Arrivals by the fill after them.
    pub fill: [u32; FILL_BUCKETS],
    #[doc(hidden)]
    pub _pad2: u32,
    /// Handshake complete to `accept` returned; where no `accept` was seen (`io_uring`), to the process's first operation.
    pub wait: Histogram,
}

impl AcceptQueue {
    /// A queue that has counted nothing.
    pub const EMPTY: Self = Self {
        tgid: 0,
        limit: 0,
        depth: 0,
        _pad: 0,
        comm: [0; COMM_LEN],
        enqueued: 0,
        depth_sum: 0,
        fill: [0; FILL_BUCKETS],
        _pad2: 0,
        wait: Histogram::EMPTY,
    };
}

const _: () = assert!(size_of::<ListeningPort>() == 8, "a map key: no implicit padding");
const _: () = assert!(size_of::<AcceptQueue>() == 88 + size_of::<Histogram>(), "a map value: no implicit padding");
