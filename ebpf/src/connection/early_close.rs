//! Connections that the peer ends at once: because of what this end has just asked, or before it could. Pools of connections
//! are judged by them.

use weir_abi::{CLOSED_EARLY_NS, EdgeRecord, ROLE_CLIENT, ROLE_SERVER};
use weir_ebpf::socket::{CLOSED, CLOSED_UNJUDGED, PARTIAL, PHASE_OPEN, Socket, stamp};

use crate::{
    atomic::{add_u32, bump},
    edge,
    kernel::{self, Sock, Tcp, pointer::Pointer},
    socket_sampling,
};

/// Within this many rounds a server may send a banner and reject its client. A choice.
const FIRST_ROUNDS: u32 = 2;
/// Within this many it may log its client in first (TLS, SCRAM). A choice.
const LOGIN_ROUNDS: u32 = 6;

/// The peer ends the connection, in softirq. Whether it does so because of what this end has just asked is judged at this
/// end's next step, which finds the conversation as it is now, and its cache line on its own processor.
#[inline(always)]
pub(crate) fn peer_closed(sk: Sock, socket: &mut Socket) {
    let Some(tcp) = sk.tcp().filter(|_| is_open_client(socket)) else {
        socket.peer_closed = CLOSED;
        return;
    };
    socket.handshake_or_closed = stamp(tcp.last_packet_ns());
    socket.peer_closed = CLOSED_UNJUDGED;
    if !socket_sampling::is_current(sk, socket) {
        judge(sk, socket, 0); // no hook sees its next step
    }
}

/// The peer resets the connection: unread data is lost, so it is judged at once.
#[inline(always)]
pub(crate) fn peer_reset(sk: Sock, socket: &mut Socket) {
    if let Some(tcp) = sk.tcp().filter(|_| is_open_client(socket)) {
        socket.handshake_or_closed = stamp(tcp.last_packet_ns());
        judge(sk, socket, 0);
    }
}

/// Not for a connection older than weir: its first rounds are unknown.
#[inline(always)]
fn is_open_client(socket: &Socket) -> bool {
    socket.role == ROLE_CLIENT && socket.phase == PHASE_OPEN && socket.flags & PARTIAL == 0 && socket.is_resolved()
}

/// This end's next step after the peer's close, which has read this many bytes.
#[inline(always)]
pub(crate) fn judge_close(sk: Sock<impl Pointer>, socket: &mut Socket, read: u32) {
    if socket.peer_closed == CLOSED_UNJUDGED {
        judge(sk, socket, read);
    }
}

#[inline(never)]
fn judge(sk: Sock<impl Pointer>, socket: &mut Socket, read: u32) {
    socket.peer_closed = CLOSED;
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) else { return };
    // The answer to a quit message (COM_QUIT, Terminate), which is only a close, does not count.
    let spoke_last = read != 0 || tcp.unread() > 1 || (socket.bytes.received != 0 && !socket.round.in_flight());
    let after = socket.handshake_or_closed.wrapping_sub(stamp(socket.round.last_ns()));
    // Two processors' clocks may disagree on the order.
    if spoke_last && is_young(socket) && (after as i32) < stamp(CLOSED_EARLY_NS) as i32 {
        ended_early(socket, record);
    }
}

/// A server closes a connection that its client has already closed, without having read that: it meant to close. Clients that
/// understand a rejection close before the server does (libpq: PostgreSQL's backend has yet to exit).
#[inline(always)]
pub(crate) fn note_early_end(tcp: Tcp, socket: &Socket, record: *mut EdgeRecord) {
    // The FIN occupies one position, until it is read.
    let has_not_read_end = tcp.unread() == 1;
    let spoke_last = socket.bytes.sent != 0 && !socket.round.in_flight();
    if socket.role == ROLE_SERVER
        && is_young(socket)
        && has_not_read_end
        && spoke_last
        && kernel::now().saturating_sub(socket.round.last_ns()) < CLOSED_EARLY_NS
    {
        ended_early(socket, record);
    }
}

#[inline(always)]
fn is_young(socket: &Socket) -> bool {
    socket.round.rounds <= LOGIN_ROUNDS
}

#[inline(always)]
fn ended_early(socket: &Socket, record: *mut EdgeRecord) {
    if socket.round.rounds <= FIRST_ROUNDS {
        bump!(record.closed_early);
    } else {
        // SAFETY: a field of a live map value.
        add_u32(unsafe { &raw mut (*record).closed_after_login }, 1);
    }
}
