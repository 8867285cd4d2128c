//! Names of the kernel half's own counters: every way to lose something, and what the limits are checked against.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $index:literal $text:literal,)*) => {
        /// Index into the `COUNTERS` map.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[$doc])* $name = $index,)*
        }

        impl Counter {
            /// Every counter, in index order.
            pub const ALL: &'static [Counter] = &[$(Counter::$name,)*];

            /// The name used in every output.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Counter::$name => $text,)*
                }
            }
        }
    };
}

counters! {
    /// Sockets that got a record.
    SocketsTracked = 0 "sockets_tracked",
    /// Sockets whose record ended.
    SocketsReleased = 1 "sockets_released",
    /// Connections without a record because the socket limit was reached: counted in `other`, without timing.
    SocketsOverLimit = 2 "sockets_over_limit",
    /// Sockets the kernel refused storage for (out of memory).
    SocketStorageFailed = 3 "socket_storage_failed",
    /// Sockets counted in the `other` edge because the edge limit was reached.
    EdgesOverLimit = 4 "edges_over_limit",
    /// Accepted connections whose process was found.
    AcceptedOwned = 5 "accepted_owned",
    /// Accepted connections seen.
    Accepted = 6 "accepted",
    /// Accepted connections that ended before any process used them: attributed to the listener's process.
    AcceptedUntouched = 7 "accepted_untouched",
    /// Connections whose process could not be found at all: in `other`.
    UnknownSockets = 8 "unknown_sockets",
    /// Ring events dropped because the ring was full.
    RingFull = 9 "ring_full",
    /// Listening ports not remembered because the table was full.
    ListenersOverLimit = 10 "listeners_over_limit",
    /// Failed connects whose target could not be read.
    UnreadableConnects = 11 "unreadable_connects",
    /// SYN-ACKs sent again. Those of handshakes that complete are in their edge's retransmitted segments too.
    SynackRetransmits = 12 "synack_retransmits",
}

/// Number of counters.
pub const N_COUNTERS: u32 = Counter::ALL.len() as u32;
