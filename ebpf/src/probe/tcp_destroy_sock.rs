//! `void tcp_destroy_sock(struct sock *sk)`, since 4.16.
//!
//! The last sight of a socket, whatever path it died on.

use weir_abi::Counter;
use weir_ebpf::socket::{PHASE_OPEN, RESOLVED};

use crate::{
    edge,
    kernel::{self, Sock},
    track,
};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    if let Some(socket) = track::get(sk) {
        if socket.flags & RESOLVED == 0 && socket.phase == PHASE_OPEN {
            track::resolve_untouched(sk, socket, sk.source_port());
        }
        track::end(socket, kernel::now());
        track::release(sk, socket);
    } else if edge::counted(Counter::SocketsOverLimit) != 0 {
        add_to_other(sk);
    }
}

/// A connection beyond the socket limit: what the kernel counted over its life goes to `other`.
#[inline(always)]
fn add_to_other(sk: Sock) {
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(track::other_of(sk, sk.source_port()))) else { return };
    let positions = tcp.positions();
    // SAFETY: fields of a live map value.
    unsafe {
        edge::add(&raw mut (*record).bytes_sent, positions.bytes_acked);
        edge::add(&raw mut (*record).bytes_received, positions.bytes_received);
        edge::add(&raw mut (*record).retransmitted_segments, u64::from(tcp.total_retrans()));
    }
}
