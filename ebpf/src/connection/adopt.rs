//! The beginning: a socket's record found or made, and ready for an operation.

use weir_abi::{ListeningPort, ROLE_CLIENT, ROLE_SERVER};
use weir_ebpf::{
    round::Round,
    socket::{CLOSED, PARTIAL, PHASE_CONNECTING, PHASE_OPEN, POSITION_UNKNOWN, RESOLVED, Socket},
};

use super::{early_close, rounds};
use crate::{
    edge,
    kernel::{Sock, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_SYN_SENT, pointer::Pointer},
    maps::LISTENERS,
    resolve,
    socket_sampling::{Sampling, sampled},
    socket_table::{self, at_limit, has_missed},
};

/// The record of a socket on which data moves, made if need be; none for a socket that is not sampled.
#[inline(always)]
pub(crate) fn find(sk: Sock<impl Pointer>) -> Option<(Sampling, &'static mut Socket)> {
    let sampling = sampled(sk)?;
    let socket = socket_table::get(sk).or_else(|| adopt(sk))?;
    Some((sampling, socket))
}

/// Makes a record for a socket that is already alive: older than weir, or missed. Its role follows from the listening ports.
#[inline(never)]
pub(crate) fn adopt(sk: Sock<impl Pointer>) -> Option<&'static mut Socket> {
    // Once connections have gone without a record, those are counted in `other` as a whole at their end, and never partly here.
    if !sk.is_tcp() || at_limit() || has_missed() {
        return None;
    }
    if !is_connection(sk) {
        return None;
    }
    let state = sk.state();
    let tcp = sk.tcp()?;
    let socket = socket_table::create(sk)?;
    if socket.phase != 0 {
        return Some(socket);
    }
    let listener = ListeningPort { netns: sk.netns(), port: u32::from(sk.source_port()) };
    // SAFETY: only the presence is used.
    let listening = unsafe { LISTENERS.get(listener) }.is_some();
    socket.role = if listening { ROLE_SERVER } else { ROLE_CLIENT };
    socket.phase = if state == TCP_SYN_SENT { PHASE_CONNECTING } else { PHASE_OPEN };
    socket.flags = PARTIAL;
    socket.peer_closed = if state == TCP_CLOSE_WAIT { CLOSED } else { 0 };
    socket.total_retrans = tcp.total_retrans();
    socket.copied_seq = tcp.copied_seq();
    Some(socket)
}

/// Whether data can still move on it, or will.
#[inline(always)]
pub(crate) fn is_connection(sk: Sock<impl Pointer>) -> bool {
    matches!(sk.state(), TCP_ESTABLISHED | TCP_CLOSE_WAIT | TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_SYN_SENT)
}

/// Restarts the conversation where the sample has changed since the socket was last observed.
#[inline(always)]
pub(crate) fn renew(sampling: Sampling, socket: &mut Socket) {
    if sampling.is_newer_than(socket) {
        restart(sampling.epoch, sampling.shift, socket);
    }
}

#[inline(never)]
fn restart(epoch: u16, shift: u32, socket: &mut Socket) {
    if socket.is_resolved() {
        if let Some(record) = edge::record(socket.edge) {
            rounds::settle(None, socket, record);
        }
        // The read position is unknown: the next operation reads it.
        socket.resolution = POSITION_UNKNOWN;
        socket.round = Round::default();
    }
    socket.arrived_ns = 0;
    socket.sampling_epoch = epoch;
    socket.sampling_shift = shift as u8;
}

/// Prepares the record for an operation that read `bytes` (0 for any other): its edge, and the position from which its bytes
/// count. False while another thread resolves it.
#[inline(always)]
pub(crate) fn prepare(sk: Sock<impl Pointer>, socket: &mut Socket, bytes: u32) -> bool {
    socket.is_ready() || make_ready(sk, socket, bytes)
}

#[inline(never)]
fn make_ready(sk: Sock<impl Pointer>, socket: &mut Socket, bytes: u32) -> bool {
    if !resolve::by_current(sk, socket) {
        return false;
    }
    if socket.resolution == POSITION_UNKNOWN
        && let Some(tcp) = sk.tcp()
    {
        socket.copied_seq = tcp.copied_seq().wrapping_sub(bytes);
        socket.resolution = RESOLVED;
    }
    early_close::judge_close(sk, socket, bytes);
    true
}
