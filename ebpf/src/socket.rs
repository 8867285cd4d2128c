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
/// The edge is known: `Socket::edge` is valid.
pub const RESOLVED: u8 = 2;

/// First seen in mid-life.
pub const PARTIAL: u8 = 1 << 1;
/// Counted in the edge's `multiplexed_set`.
pub const MULTIPLEXED: u8 = 1 << 3;
/// Counted in the edge's `push_set`.
pub const PUSH: u8 = 1 << 4;
/// Its connect failed: remembered in `FAILED_CONNECTS`.
pub const FAILED: u8 = 1 << 5;
/// Taken up again in mid-life, after a change of the sample.
pub const RESUMED: u8 = 1 << 6;

/// One socket's record (`sk_storage`): it lives and dies with the socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// The conversation.
    pub round: Round,
    /// Arrival of the first unread data; 0 when there is none.
    pub arrived_ns: u64,
    /// Client: the SYN; 0 when unknown.
    pub since_ns: u64,
    /// Bytes sent and not yet added to the edge.
    pub bytes_sent: u64,
    /// Bytes received and not yet added to the edge.
    pub bytes_received: u64,
    /// Slot of the edge.
    pub edge: u32,
    /// The kernel's read position at the last operation: a read no hook saw (splice) shows as a step.
    pub copied_seq: u32,
    /// The kernel's retransmission count already added to the edge.
    pub total_retrans: u32,
    /// Server: what the client left under this handshake (`weir_abi` slots, or `PEER_UNTRACKED`), plus 1; 0 for nothing.
    pub peer: u32,
    /// Round trip of the handshake in microseconds, until the edge is known.
    pub handshake_us: u32,
    /// The sample that the conversation belongs to (`weir_abi::Control::sampling_epoch`).
    pub sampling_epoch: u32,
    /// `weir_abi::ROLE_*`.
    pub role: u8,
    /// `PHASE_*`.
    pub phase: u8,
    /// `PARTIAL` and its like: written in the process's own context.
    pub flags: u8,
    /// `UNRESOLVED` and its like: a byte of its own, as softirq must not write over it.
    pub resolution: u8,
    /// The peer closed or reset the connection: written in softirq, so a byte of its own too.
    pub peer_closed: u8,
    /// What the conversation's counts weigh in the edge: `1 << sampling_shift`.
    pub sampling_shift: u8,
    #[doc(hidden)]
    pub _pad: [u8; 2],
}

const _: () =
    assert!(size_of::<Socket>() <= 120, "65,536 sockets must stay under 16 MiB with the kernel's own 64 bytes");

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
