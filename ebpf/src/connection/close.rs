//! The end: the open round, the last bytes, and the release of the edge.

use weir_abi::OTHER_CLIENT;
use weir_ebpf::socket::{FAILED, FINALIZED, MULTIPLEXED, PHASE_ENDED, PHASE_OPEN, PUSH, RESOLVED, Socket, UNRESOLVED};

use super::{
    bytes::sync_retransmits,
    rounds::{end_unobserved, finish, take_off},
};
use crate::{
    atomic::{add_weighted, bump},
    edge,
    kernel::{self, Sock, pointer::Pointer},
    maps::FAILED_CONNECTS,
    socket_sampling::weight,
};

/// The connection is no longer open. Data received may still be read.
#[inline(always)]
pub(crate) fn close(socket: &mut Socket) {
    if socket.phase == PHASE_OPEN
        && let Some(record) = edge::record(socket.edge)
    {
        bump!(record.closed);
    }
    socket.phase = PHASE_ENDED;
}

/// The conversation is over for this end: an open round will never be answered.
#[inline(always)]
pub(crate) fn end_round(socket: &mut Socket) {
    let Some(record) = edge::record(socket.edge) else { return };
    end_unobserved(socket, record);
    let weight = weight(socket);
    if socket.round.abandon() {
        take_off(&socket.round, weight, record);
        add_weighted!(record.unanswered_ns, kernel::now().saturating_sub(socket.round.started_ns), weight);
        if socket.peer_closed != 0 {
            add_weighted!(record.rounds_broken, 1, weight);
        } else {
            add_weighted!(record.rounds_abandoned, 1, weight);
        }
    }
    finish(None, socket, record);
}

/// No process holds the socket any more: the conversation's last counts go to its edge, and the rest of the connection's life,
/// which may pass on another processor, does not touch the conversation again.
#[inline(always)]
pub(crate) fn finalize(socket: &mut Socket) {
    if socket.resolution == RESOLVED && socket.phase == PHASE_ENDED {
        end_round(socket);
        socket.resolution = FINALIZED;
    }
}

/// The socket's end: after this, nothing is added to its edge.
#[inline(always)]
pub(crate) fn release(sk: Sock<impl Pointer>, socket: &mut Socket) {
    if socket.flags & FAILED != 0 {
        let _ = FAILED_CONNECTS.remove(sk.address());
    }
    if !socket.is_resolved() {
        return;
    }
    let Some(record) = edge::record(socket.edge) else { return };
    if socket.resolution != FINALIZED {
        close(socket);
        end_round(socket);
    }
    if let Some(tcp) = sk.tcp() {
        sync_retransmits(tcp, socket, record);
    }
    if socket.flags & MULTIPLEXED != 0 {
        bump!(record.multiplexed_cleared);
    }
    if socket.flags & PUSH != 0 {
        bump!(record.push_cleared);
    }
    bump!(record.detached);
    socket.phase = 0;
    socket.flags = 0;
    socket.resolution = UNRESOLVED;
    socket.edge = OTHER_CLIENT;
}
