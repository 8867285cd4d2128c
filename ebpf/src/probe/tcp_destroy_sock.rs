//! `void tcp_destroy_sock(struct sock *sk)`, since 4.16.
//!
//! The end of a socket, on every path.

use weir_ebpf::socket::{PHASE_OPEN, UNRESOLVED};

use crate::{
    atomic::add, connection::close, edge, kernel::Sock, local_peer, maps::FAILED_CONNECTS, resolve, socket_table,
};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    if let Some(socket) = socket_table::get(sk) {
        if socket.resolution == UNRESOLVED && socket.phase == PHASE_OPEN {
            resolve::by_listener(sk, socket);
        }
        close::release(sk, socket);
        socket_table::remove(sk);
    } else if socket_table::has_missed() {
        let _ = FAILED_CONNECTS.remove(sk.address());
        add_to_other(sk);
    }
}

/// A connection beyond the socket limit: what the kernel counted over its life goes to `other`.
#[inline(always)]
fn add_to_other(sk: Sock) {
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(local_peer::other_of(sk))) else { return };
    let received = tcp.positions().bytes_received;
    let received = if sk.fin_received() { received.wrapping_sub(1) } else { received };
    // SAFETY: fields of a live map value.
    unsafe {
        add(&raw mut (*record).bytes_sent, tcp.bytes_sent());
        add(&raw mut (*record).bytes_received, received);
        add(&raw mut (*record).retransmitted_segments, u64::from(tcp.total_retrans()));
    }
}
