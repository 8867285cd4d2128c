//! `void sock_recv_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every receive path of the socket layer but splice, in the caller's context. Peeks and error-queue reads count nothing.

use weir_ebpf::socket::RESOLVED;

use crate::{
    edge, follow,
    kernel::{self, Sock},
    sockets,
    track::{self, Books},
};

const MSG_PEEK: i32 = 0x2;
const MSG_ERRQUEUE: i32 = 0x2000;

#[inline(always)]
pub(crate) fn run(sk: Sock, result: i32, flags: i32) {
    let Some(sampling) = follow::sampled(sk) else { return };
    let Some(socket) = sockets::get(sk).or_else(|| track::adopt(sk)) else { return };
    follow::renew(sampling, socket);
    let bytes = if result > 0 && flags & (MSG_PEEK | MSG_ERRQUEUE) == 0 { result as u32 } else { 0 };
    if socket.resolution != RESOLVED && !track::prepare(sk, socket, bytes) {
        return;
    }
    if bytes == 0 {
        if result == 0 {
            track::end_of_stream(sk, socket);
        }
        return;
    }
    let Some(record) = edge::record(socket.edge) else { return };
    socket.copied_seq = socket.copied_seq.wrapping_add(bytes);
    let now = kernel::now();
    // The clocks of two processors may disagree on the order.
    let waited = now.wrapping_sub(socket.arrived_ns) as i64;
    let wait_ns = if socket.arrived_ns != 0 && waited > 0 { waited as u64 } else { 0 };
    // What is left unread came with the last packet at the latest.
    socket.arrived_ns = if sk.has_unread() { sk.last_packet_ns() } else { 0 };
    track::add_received(sk, bytes, now, socket, record);
    let weight = follow::weight(socket);
    let mut books = Books { record, flags: &mut socket.flags, weight, wait_ns, bytes };
    track::read(sk, now, socket.role, &mut socket.round, &mut books);
}
