//! `void sock_recv_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every receive path of the socket layer but splice, in the caller's context. Peeks and error-queue reads count nothing.
//! Name servers' replies are emitted too, from the reader's memory.
//!
//! Before 6.3: the tracepoint in the middle of `tcp_recvmsg`. Not the function's exit: a thread that was inside when weir
//! attached would not pass it.

use weir_ebpf::socket::POSITION_UNKNOWN;

use crate::{
    connection::{adopt, transfer},
    dns,
    kernel::{Sock, pointer::Pointer},
};

const MSG_PEEK: i32 = 0x2;
const MSG_ERRQUEUE: i32 = 0x2000;

#[inline(always)]
pub(crate) fn run(sk: Sock<impl Pointer>, result: i32, flags: i32) {
    let bytes = if result > 0 && flags & (MSG_PEEK | MSG_ERRQUEUE) == 0 { result as u32 } else { 0 };
    let Some((sampling, socket)) = adopt::find(sk) else {
        dns::received(sk, bytes);
        return;
    };
    adopt::renew(sampling, socket);
    if !adopt::prepare(sk, socket, bytes) {
        return;
    }
    if bytes == 0 {
        if result == 0 {
            transfer::end_of_stream(sk, socket);
        }
        return;
    }
    transfer::received(sk, socket, bytes, sk.has_unread());
    dns::received_by_tcp(sk, bytes);
}

/// `void tcp_rcv_space_adjust(struct sock *sk)`, since 4.16: the data of one buffer has been read. The read position, which a
/// peek does not move, shows how much.
#[inline(always)]
pub(crate) fn run_by_position(sk: Sock<impl Pointer>) {
    let Some((sampling, socket)) = adopt::find(sk) else { return };
    let Some(tcp) = sk.tcp() else { return };
    let was_unknown = socket.resolution == POSITION_UNKNOWN;
    adopt::renew(sampling, socket);
    if socket.resolution == POSITION_UNKNOWN && !was_unknown {
        // Sampled only from now on: how much was read before is unknown.
        socket.copied_seq = tcp.copied_seq();
    }
    let moved = tcp.copied_seq().wrapping_sub(socket.copied_seq);
    // A splice up to the end has passed the FIN, which occupies a position and is not a byte.
    let bytes = if tcp.unread() == 0 && sk.fin_received() { moved.wrapping_sub(1) } else { moved };
    if !adopt::prepare(sk, socket, bytes) {
        return;
    }
    // Backwards: an urgent byte's position is passed later.
    if bytes as i32 > 0 {
        // The buffer just read is still in the queue.
        transfer::received(sk, socket, bytes, tcp.unread() != 0);
    }
}
