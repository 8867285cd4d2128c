//! `void sock_recv_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every receive path of the socket layer but splice, in the caller's context. Peeks and error-queue reads count nothing.
//! What name servers reply is told too, from the reader's memory.
//!
//! Before 6.3: the tracepoint in the midst of `tcp_recvmsg`. Not the function's exit: nobody who was inside when weir
//! attached would pass it.

use weir_ebpf::socket::{Socket, UNMOVED};

use crate::{
    dns, edge, follow,
    kernel::{self, Sock, pointer::Pointer},
    sockets,
    track::{self, Books},
};

const MSG_PEEK: i32 = 0x2;
const MSG_ERRQUEUE: i32 = 0x2000;

#[inline(always)]
pub(crate) fn run(sk: Sock<impl Pointer>, result: i32, flags: i32) {
    let bytes = if result > 0 && flags & (MSG_PEEK | MSG_ERRQUEUE) == 0 { result as u32 } else { 0 };
    let Some(sampling) = follow::sampled(sk) else {
        dns::received(sk, bytes);
        return;
    };
    let Some(socket) = sockets::get(sk).or_else(|| track::adopt(sk)) else {
        dns::received(sk, bytes);
        return;
    };
    follow::renew(sampling, socket);
    if !socket.is_ready() && !track::prepare(sk, socket, bytes) {
        return;
    }
    if bytes == 0 {
        if result == 0 {
            track::end_of_stream(sk, socket);
        }
        return;
    }
    take(sk, socket, bytes, sk.has_unread());
    dns::received_by_tcp(sk, bytes);
}

/// `void tcp_rcv_space_adjust(struct sock *sk)`, since 4.16: what lay in one buffer has been read. How much, the position
/// tells, which a peek does not move.
#[inline(always)]
pub(crate) fn run_by_position(sk: Sock<impl Pointer>) {
    let Some(sampling) = follow::sampled(sk) else { return };
    let Some(socket) = sockets::get(sk).or_else(|| track::adopt(sk)) else { return };
    let Some(tcp) = sk.tcp() else { return };
    let was_unmoved = socket.resolution == UNMOVED;
    follow::renew(sampling, socket);
    if socket.resolution == UNMOVED && !was_unmoved {
        // Followed only from now on: what was read before is not known.
        socket.copied_seq = tcp.copied_seq();
    }
    let moved = tcp.copied_seq().wrapping_sub(socket.copied_seq);
    // A splice up to the end has passed the FIN, which takes a position and is no byte.
    let bytes = if tcp.unread() == 0 && sk.fin_received() { moved.wrapping_sub(1) } else { moved };
    if !socket.is_ready() && !track::prepare(sk, socket, bytes) {
        return;
    }
    // Backwards: an urgent byte's place is passed later.
    if bytes as i32 > 0 {
        // The buffer just read is still in the queue.
        take(sk, socket, bytes, tcp.unread() != 0);
    }
}

/// A read of so many bytes, after which there are more or not.
#[inline(always)]
fn take(sk: Sock<impl Pointer>, socket: &mut Socket, bytes: u32, more: bool) {
    let Some(record) = edge::record(socket.edge) else { return };
    socket.copied_seq = socket.copied_seq.wrapping_add(bytes);
    let now = kernel::now();
    // The clocks of two processors may disagree on the order.
    let waited = now.wrapping_sub(socket.arrived_ns) as i64;
    let wait_ns = if socket.arrived_ns != 0 && waited > 0 { waited as u64 } else { 0 };
    // What is left unread came with the last packet at the latest.
    socket.arrived_ns = if more { sk.last_packet_ns() } else { 0 };
    track::add_received(sk, bytes, now, socket, record);
    let weight = follow::weight(socket);
    let mut books = Books { record, flags: &mut socket.flags, weight, wait_ns, bytes, thread: None };
    track::read(sk, now, socket.role, &mut socket.round, &mut books);
}
