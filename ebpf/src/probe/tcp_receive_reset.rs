//! `void tcp_receive_reset(struct sock *sk)`, since 4.16.
//!
//! The kernel also comes here when data arrives after this end has closed: then this end sends the reset, and the socket
//! is gone before `tcp_send_reset` fires.

use weir_ebpf::socket::{CLOSED, PHASE_CONNECTING, PHASE_OPEN, UNRESOLVED};

use crate::{
    atomic::bump,
    connection::early_close,
    edge,
    kernel::{SHUTDOWN_RECEIVE, Sock, TCP_FIN_WAIT1, TCP_FIN_WAIT2},
    resolve, socket_table,
};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    let Some(socket) = socket_table::get(sk) else { return };
    // A FIN may have closed the connection before.
    let closes_first = socket.peer_closed == 0;
    if closes_first {
        socket.peer_closed = CLOSED;
    }
    if socket.phase == PHASE_CONNECTING {
        return; // an answer to a SYN is an outcome of the connect
    }
    if socket.resolution == UNRESOLVED && socket.phase == PHASE_OPEN {
        resolve::by_listener(sk, socket);
    }
    if !socket.is_resolved() {
        return;
    }
    if closes_first {
        early_close::peer_reset(sk, socket);
    }
    let Some(record) = edge::record(socket.edge) else { return };
    if matches!(sk.state(), TCP_FIN_WAIT1 | TCP_FIN_WAIT2) && sk.shutdown() & SHUTDOWN_RECEIVE != 0 {
        bump!(record.resets_sent);
    } else {
        bump!(record.resets_received);
    }
}
