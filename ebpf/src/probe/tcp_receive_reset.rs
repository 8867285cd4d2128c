//! `void tcp_receive_reset(struct sock *sk)`, since 4.16.

use weir_ebpf::socket::{PEER_CLOSED, PHASE_CONNECTING, RESOLVED};

use crate::{
    edge::{self, bump},
    kernel::Sock,
    track,
};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    let Some(socket) = track::get(sk) else { return };
    socket.flags |= PEER_CLOSED;
    if socket.flags & RESOLVED == 0 || socket.phase == PHASE_CONNECTING {
        return; // an answer to a SYN is an outcome of the connect
    }
    if let Some(record) = edge::record(socket.edge) {
        bump!(record.resets_received);
    }
}
