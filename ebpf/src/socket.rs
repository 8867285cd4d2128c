//! What weir keeps on a socket, and the small decisions over it.

use weir_abi::ROLE_SERVER;

use crate::round::Round;

/// SYN sent, no answer yet.
pub const PHASE_CONNECTING: u8 = 1;
/// Established.
pub const PHASE_OPEN: u8 = 2;
/// Closed by this end, reset, or failed to connect.
pub const PHASE_ENDED: u8 = 3;

/// `Socket::resolution`: the edge is unknown.
pub const UNRESOLVED: u8 = 0;
/// A thread resolves it: operations of other threads meanwhile go uncounted rather than to the wrong edge.
pub const RESOLVING: u8 = 1;
/// The edge is known, but not the read position: a socket first seen, or sampled again, in mid-life, on which no data has moved
/// since.
pub const POSITION_UNKNOWN: u8 = 2;
/// The edge is known: `Socket::edge` is valid.
pub const RESOLVED: u8 = 3;
/// And it has all counts of the conversation: no process holds the socket any more.
pub const FINALIZED: u8 = 4;

/// `Socket::peer_closed`: the peer has closed or reset the connection.
pub const CLOSED: u8 = 1;
/// The peer has closed it, and whether that was early is judged at this end's next step.
pub const CLOSED_UNJUDGED: u8 = 2;

/// First seen in mid-life.
pub const PARTIAL: u8 = 1 << 1;
/// Counted in the edge's `multiplexed_set`.
pub const MULTIPLEXED: u8 = 1 << 3;
/// Counted in the edge's `push_set`.
pub const PUSH: u8 = 1 << 4;
/// Its connect failed: an entry in `FAILED_CONNECTS`.
pub const FAILED: u8 = 1 << 5;

/// One socket's record: it lives and dies with the socket. In the table it fills two cache lines with its slot's header.
///
/// The first, up to the beginning of `round`, is what softirq and a connection's first and last steps need, on whichever
/// processor they run. The second is the conversation's; of an accepted connection, only its process's own steps touch it: a
/// line fetched from another processor costs as much as a dozen atomic additions to a local one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Client, while connecting: the SYN. Then: the arrival of the first unread data; 0 when there is none.
    pub arrived_ns: u64,
    /// Slot of the edge. Of an accepted connection, until that is known: its network namespace, which a process on another
    /// processor would have to read from a line that every new connection writes to.
    pub edge: u32,
    /// The peer closed or reset the connection: `CLOSED` and its like. Written in softirq, so a byte of its own.
    pub peer_closed: u8,
    /// `UNRESOLVED` and its like: a byte of its own, as softirq must not write over it.
    pub resolution: u8,
    /// `PARTIAL` and its like: written in the process's own context.
    pub flags: u8,
    /// `PHASE_*`.
    pub phase: u8,
    /// The kernel's read position at the last operation: a read no hook saw (splice) shows as a step.
    pub copied_seq: u32,
    /// The kernel's retransmission count already added to the edge.
    pub total_retrans: u32,
    /// Server: what the client has announced under this handshake (`weir_abi` slots, or `PEER_UNTRACKED`), plus 1; 0 for nothing.
    /// Client: the thread that sent the last request; 0 before the first.
    pub peer_or_thread: u32,
    /// Until the edge is known: round trip of the handshake in microseconds. Then, of a client: when the peer closed, in units
    /// of 2^20 ns.
    pub handshake_or_closed: u32,
    /// The sample that the conversation belongs to (`weir_abi::Control::sampling_epoch`).
    pub sampling_epoch: u16,
    /// The weight of the conversation's counts in the edge: `1 << sampling_shift`.
    pub sampling_shift: u8,
    /// `weir_abi::ROLE_*`.
    pub role: u8,
    /// When bytes were last flushed to the edge, in units of 2^20 ns.
    pub flushed_at: u32,
    /// The conversation: the second cache line begins behind its first field.
    pub round: Round,
    /// Bytes sent and received, some of which are not in the edge yet.
    pub bytes: Gathered,
}

impl Socket {
    /// Whether an operation can be recorded at once: the edge and the read position are known, the record is not finalized, and
    /// no close waits to be judged. Two neighbouring bytes, for every send and receive.
    #[inline(always)]
    pub fn is_ready(&self) -> bool {
        self.resolution == RESOLVED && self.peer_closed & CLOSED_UNJUDGED == 0
    }

    /// Whether the edge is known.
    #[inline(always)]
    pub fn is_resolved(&self) -> bool {
        self.resolution >= POSITION_UNKNOWN
    }

    /// Whether the record was made when the connection was accepted, and not later.
    #[inline(always)]
    pub fn is_accepted(&self) -> bool {
        self.role == ROLE_SERVER && self.flags & PARTIAL == 0
    }

    /// The network namespace of an accepted connection whose edge is not known yet.
    #[inline(always)]
    pub fn accepted_netns(&self) -> Option<u32> {
        if self.is_accepted() && self.resolution == UNRESOLVED { Some(self.edge) } else { None }
    }
}

/// Bytes of the record in the first cache line, behind a slot's header of 16 bytes.
pub const FIRST_LINE: usize = 48;

const _: () = assert!(size_of::<Socket>() == FIRST_LINE + 64, "with its slot's header a record fills two cache lines");
const _: () = assert!(
    core::mem::offset_of!(Socket, round) + size_of::<u64>() == FIRST_LINE,
    "the first line has when the conversation could begin, the second all else of it"
);

/// A time in the units of the record's short stamps: 2^20 ns, for 52 days.
#[inline(always)]
pub fn stamp(ns: u64) -> u32 {
    (ns >> 20) as u32
}

/// Bytes gathered for the edge. The totals have one writer each, the hooks of one direction, so plain additions suffice; the
/// edge is shared by processors and needs an atomic addition, which many operations share.
///
/// The flushed bytes are a count of their own and not subtracted from the totals: a flush adds the difference to both that count
/// and the edge. Two flushes at once add too much, which the next difference, then negative, corrects.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// All bytes sent.
    pub sent: u32,
    /// All bytes received.
    pub received: u32,
    /// Of those sent: flushed.
    pub sent_flushed: u32,
    /// Of those received: flushed.
    pub received_flushed: u32,
}

impl Gathered {
    /// Before and after an operation of at least this many bytes there is a flush: differences stay below 2^31, as operations do.
    /// A choice.
    pub const MANY: u32 = 256 << 10;
    /// Bytes are flushed after a quarter of a second, or when they are many. A choice.
    const LONG: u32 = 238;

    /// Whether a flush is due at `now`; the last one was at this stamp.
    #[inline(always)]
    pub fn is_due(&self, flushed_at: u32, now: u64) -> bool {
        stamp(now).wrapping_sub(flushed_at) >= Self::LONG
            || self.sent.wrapping_sub(self.sent_flushed) >= Self::MANY
            || self.received.wrapping_sub(self.received_flushed) >= Self::MANY
    }

    /// Bytes sent and not flushed; below zero when two flushes have added the same.
    #[inline(always)]
    pub fn unflushed_sent(&self) -> i64 {
        self.sent.wrapping_sub(self.sent_flushed) as i32 as i64
    }

    /// Bytes received and not flushed.
    #[inline(always)]
    pub fn unflushed_received(&self) -> i64 {
        self.received.wrapping_sub(self.received_flushed) as i32 as i64
    }
}

/// In place of a slot: a client on this host that has no record.
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
        /// No byte is lost or added, though some differences are flushed twice, and none stays gathered for long.
        #[test]
        fn gathered_bytes_all_arrive(ops in prop::collection::vec((0u32..0x7fff_f000, 0u64..1 << 29, any::<bool>()), 0..200)) {
            let mut gathered = Gathered::default();
            let (mut now, mut flushed_at, mut given, mut arrived) = (1u64 << 40, 0, 0i64, 0i64);
            let mut flush = |gathered: &mut Gathered, times: i64| {
                let unflushed = gathered.unflushed_sent();
                gathered.sent_flushed = gathered.sent_flushed.wrapping_add((unflushed * times) as u32);
                arrived += unflushed * times;
                arrived
            };
            for (bytes, step, twice) in ops {
                now += step;
                given += i64::from(bytes);
                if bytes >= Gathered::MANY {
                    flush(&mut gathered, 1);
                }
                gathered.sent = gathered.sent.wrapping_add(bytes);
                if gathered.is_due(flushed_at, now) {
                    flushed_at = stamp(now);
                    flush(&mut gathered, if twice && bytes < Gathered::MANY { 2 } else { 1 });
                }
                prop_assert!(gathered.unflushed_sent().unsigned_abs() < u64::from(2 * Gathered::MANY));
            }
            prop_assert_eq!(flush(&mut gathered, 1), given);
            prop_assert_eq!(gathered.unflushed_sent(), 0);
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
