//! `void inet_sk_error_report(const struct sock *sk)`, since 5.14.
//!
//! Errors of established connections. Failed connects are counted by their outcome instead.
//!
//! Before 5.14: `sock_def_error_report`, which the sockets call then.

use weir_abi::SocketError;
use weir_ebpf::socket::{FAILED, PHASE_CONNECTING};

use crate::{
    atomic::add,
    edge,
    kernel::{Sock, pointer::Pointer},
    socket_table,
};

#[inline(always)]
pub(crate) fn run(sk: Sock<impl Pointer>) {
    let Some(socket) = socket_table::get(sk) else { return };
    // Before 6.11 a failing connect reports its error before its state changes.
    if !socket.is_resolved() || socket.flags & FAILED != 0 || socket.phase == PHASE_CONNECTING {
        return;
    }
    let kind = match sk.error() {
        0 => return,
        // A socket that aborts its own connection gets this error too.
        104 | 32 if socket.peer_closed == 0 => return,
        104 | 32 => SocketError::Reset,
        110 => SocketError::Timeout,
        101 | 113 | 100 | 112 => SocketError::Unreachable,
        _ => SocketError::Other,
    };
    if let Some(record) = edge::record(socket.edge) {
        // SAFETY: a field of a live map value; the index is an enum's.
        add(unsafe { (&raw mut (*record).errors).cast::<u64>().add(kind.index()) }, 1);
    }
}
