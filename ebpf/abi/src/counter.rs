//! The kernel half's own counters: every way to lose something, and what the limits are checked against.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $index:literal,)*) => {
        /// Index into the `COUNTERS` map.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[$doc])* $name = $index,)*
        }

        impl Counter {
            /// Every counter, in index order.
            pub const ALL: &'static [Counter] = &[$(Counter::$name,)*];
        }
    };
}

counters! {
    /// Sockets that got a record.
    SocketsTracked = 0,
    /// Sockets whose record ended.
    SocketsReleased = 1,
    /// Accepted connections seen.
    Accepted = 2,
    /// Sockets the kernel refused storage for (out of memory).
    SocketStorageFailed = 3,
    /// Sockets counted in the `other` edge because the edge limit was reached.
    EdgesOverLimit = 4,
    /// Connections without a record because the socket limit was reached: counted in `other`, without timing.
    SocketsOverLimit = 5,
    /// SYN-ACKs sent again. Those of handshakes that complete are in their edge's retransmitted segments too.
    SynackRetransmits = 6,
    /// Accepted connections that ended before any process used them: attributed to the listener's process.
    AcceptedUntouched = 7,
    /// Connections whose process could not be found at all: in `other`.
    UnknownSockets = 8,
    /// Ring events dropped because the ring was full.
    RingFull = 9,
    /// Listening ports not remembered because the table was full.
    ListenersOverLimit = 10,
    /// Failed connects whose target could not be read.
    UnreadableConnects = 11,
    // A cache line away from those above, which are written in softirq. This is written in the worker's own context, as
    // a rule on another processor, and two that write to one line wait for each other.
    /// Accepted connections that were given to a process, or to `other`.
    AcceptedAttributed = 12,
    /// Sends that a kretprobe did not see return: their bytes and rounds are missing.
    SendsMissed = 13,
    /// Name servers' replies emitted to user space.
    DnsRepliesEmitted = 14,
    /// Replies beyond so many in a second.
    DnsRepliesDropped = 15,
    /// Replies whose bytes could not be found: read by io_uring, by recvmmsg, or in small pieces.
    DnsRepliesUnread = 16,
}

/// Number of counters.
pub const N_COUNTERS: u32 = Counter::ALL.len() as u32;
