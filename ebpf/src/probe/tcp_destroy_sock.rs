//! `void tcp_destroy_sock(struct sock *sk)`, since 4.16.
//!
//! The last sight of a socket, whatever path it died on.

use weir_ebpf::socket::{PHASE_OPEN, UNRESOLVED};

use crate::{edge, kernel::Sock, maps::FAILED_CONNECTS, resolve, sockets, track};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    if let Some(socket) = sockets::get(sk) {
        if socket.resolution == UNRESOLVED && socket.phase == PHASE_OPEN {
            resolve::by_listener(sk, socket);
        }
        track::release(sk, socket);
        sockets::remove(sk);
    } else if sockets::has_missed() {
        let _ = FAILED_CONNECTS.remove(sk.address());
        add_to_other(sk);
    }
}

/// A connection beyond the socket limit: what the kernel counted over its life goes to `other`.
#[inline(always)]
fn add_to_other(sk: Sock) {
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(resolve::other_of(sk))) else { return };
    let received = tcp.positions().bytes_received;
    let received = if sk.fin_received() { received.wrapping_sub(1) } else { received };
    // SAFETY: fields of a live map value.
    unsafe {
        edge::add(&raw mut (*record).bytes_sent, tcp.bytes_sent());
        edge::add(&raw mut (*record).bytes_received, received);
        edge::add(&raw mut (*record).retransmitted_segments, u64::from(tcp.total_retrans()));
    }
}
