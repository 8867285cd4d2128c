//! What weir keeps on a socket, and the small decisions over it.

use crate::round::Round;

/// SYN sent, no answer yet.
pub const PHASE_CONNECTING: u8 = 1;
/// Established.
pub const PHASE_OPEN: u8 = 2;
/// Closed by this end, reset, or failed to connect.
pub const PHASE_ENDED: u8 = 3;

/// `Socket::resolution`: nobody has looked for the edge.
pub const UNRESOLVED: u8 = 0;
/// Somebody is looking: operations of other threads meanwhile go uncounted rather than to the wrong edge.
pub const RESOLVING: u8 = 1;
/// The edge is known, but nothing has moved since, on a socket first seen in mid-life: how far reading had got is not.
pub const UNMOVED: u8 = 2;
/// The edge is known: `Socket::edge` is valid.
pub const RESOLVED: u8 = 3;

/// First seen in mid-life.
pub const PARTIAL: u8 = 1 << 1;
/// Counted in the edge's `multiplexed_set`.
pub const MULTIPLEXED: u8 = 1 << 3;
/// Counted in the edge's `push_set`.
pub const PUSH: u8 = 1 << 4;

/// Its connect failed: remembered in `FAILED_CONNECTS`.
pub const FAILED: u8 = 1 << 5;

/// One socket's record: it lives and dies with the socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Client, while connecting: the SYN. Then: the arrival of the first unread data; 0 when there is none.
    pub arrived_ns: u64,
    /// Slot of the edge.
    pub edge: u32,
    /// `weir_abi::ROLE_*`.
    pub role: u8,
    /// `UNRESOLVED` and its like: a byte of its own, as softirq must not write over it.
    pub resolution: u8,
    /// `PARTIAL` and its like: written in the process's own context.
    pub flags: u8,
    /// `PHASE_*`.
    pub phase: u8,
    /// The conversation.
    pub round: Round,
    /// Bytes sent and not yet added to the edge.
    pub sent: Gathered,
    /// Bytes received and not yet added to the edge.
    pub received: Gathered,
    /// The kernel's read position at the last operation: a read no hook saw (splice) shows as a step.
    pub copied_seq: u32,
    /// The kernel's retransmission count already added to the edge.
    pub total_retrans: u32,
    /// Server: what the client left under this handshake (`weir_abi` slots, or `PEER_UNTRACKED`), plus 1; 0 for nothing.
    pub peer: u32,
    /// Round trip of the handshake in microseconds, until the edge is known.
    pub handshake_us: u32,
    /// The peer closed or reset the connection: written in softirq, so a byte of its own.
    pub peer_closed: u8,
    #[doc(hidden)]
    pub _pad: [u8; 7],
}

impl Socket {
    /// Whether the edge is known.
    #[inline(always)]
    pub fn is_resolved(&self) -> bool {
        self.resolution >= UNMOVED
    }
}

const _: () = assert!(size_of::<Socket>() == 112, "with its slot's header a record fills two cache lines");

/// Bytes on their way to the edge. One direction's operations follow each other, so plain additions do; the edge is shared
/// by processors and costs an atomic one, which so many operations share.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    bytes: u32,
    /// When they were last moved, in units of 2^20 ns.
    moved_at: u32,
}

impl Gathered {
    /// Bytes are moved when they are many,
    const MANY: u32 = 256 << 10;
    /// or have gathered for this long: a quarter of a second.
    const LONG: u32 = 238;

    /// Gathers what an operation moved at `now`. Returns what is to be added to the edge, if it is time for that.
    #[inline(always)]
    pub fn add(&mut self, bytes: u32, now: u64) -> u64 {
        let now = (now >> 20) as u32;
        if now.wrapping_sub(self.moved_at) < Self::LONG && bytes < Self::MANY && self.bytes < Self::MANY {
            self.bytes += bytes;
            return 0;
        }
        self.moved_at = now;
        self.take() + bytes as u64
    }

    /// All that has gathered, now the edge's.
    #[inline(always)]
    pub fn take(&mut self) -> u64 {
        let bytes = self.bytes;
        self.bytes = 0;
        bytes as u64
    }
}

/// Stands for a client on this host that has no record.
pub const PEER_UNTRACKED: u32 = u32::MAX - 1;

/// Joins the two ends of a connection on one host: the two initial sequence numbers. Unlike the 4-tuple they survive
/// NAT, and two network namespaces with the same addresses do not share them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// First sequence number of the client's data.
    pub client: u32,
    /// First sequence number of the server's data.
    pub server: u32,
}

/// Position counters of one socket, from which the handshake is recovered at any time of its life.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Oldest unacknowledged sequence number.
    pub snd_una: u32,
    /// Next sequence number expected.
    pub rcv_nxt: u32,
    /// Bytes acknowledged by the peer; the kernel counts a client's SYN here, a server's not.
    pub bytes_acked: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
}

impl Handshake {
    /// The handshake as the client's socket knows it.
    #[inline(always)]
    pub fn of_client(p: Positions) -> Self {
        Self {
            client: p.snd_una.wrapping_sub(p.bytes_acked as u32).wrapping_add(1),
            server: p.rcv_nxt.wrapping_sub(p.bytes_received as u32),
        }
    }

    /// The handshake as the server's socket knows it.
    #[inline(always)]
    pub fn of_server(p: Positions) -> Self {
        Self {
            client: p.rcv_nxt.wrapping_sub(p.bytes_received as u32),
            server: p.snd_una.wrapping_sub(p.bytes_acked as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No byte is lost or added, however it is moved, and none stays for long under way.
        #[test]
        fn gathered_bytes_all_arrive(ops in prop::collection::vec((any::<u32>(), 0u64..1 << 29), 0..200)) {
            let mut gathered = Gathered::default();
            let (mut now, mut given, mut moved) = (0u64, 0u64, 0u64);
            for (bytes, step) in ops {
                now += step;
                given += u64::from(bytes);
                moved += gathered.add(bytes, now);
                prop_assert!(given - moved < u64::from(2 * Gathered::MANY));
            }
            prop_assert_eq!(moved + gathered.take(), given);
            prop_assert_eq!(gathered.take(), 0);
        }

        /// Both ends agree, at any two moments of the connection, whatever was sent and however far it wrapped.
        #[test]
        fn both_ends_find_the_same_handshake(
            client_isn: u32, server_isn: u32,
            c_sent in 0u64..1 << 40, c_acked in 0u64..1 << 40, s_sent in 0u64..1 << 40, s_acked in 0u64..1 << 40,
        ) {
            let client = Positions {
                snd_una: client_isn.wrapping_add(1).wrapping_add(c_acked as u32),
                bytes_acked: c_acked + 1,
                rcv_nxt: server_isn.wrapping_add(1).wrapping_add(s_sent as u32),
                bytes_received: s_sent,
            };
            let server = Positions {
                snd_una: server_isn.wrapping_add(1).wrapping_add(s_acked as u32),
                bytes_acked: s_acked,
                rcv_nxt: client_isn.wrapping_add(1).wrapping_add(c_sent as u32),
                bytes_received: c_sent,
            };
            prop_assert_eq!(Handshake::of_client(client), Handshake::of_server(server));
        }
    }
}
