//! `void sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every send path of the socket layer, in the caller's context: write, sendmsg, writev, sendfile, splice to a socket,
//! MSG_ZEROCOPY, io_uring.

use weir_ebpf::socket::RESOLVED;

use crate::{
    edge, follow,
    kernel::Sock,
    sockets,
    track::{self, Books},
};

#[inline(always)]
pub(crate) fn run(sk: Sock, result: i32) {
    let Some(sampling) = follow::sampled(sk) else { return };
    let Some(socket) = sockets::get(sk).or_else(|| track::adopt(sk)) else { return };
    follow::renew(sampling, socket);
    if socket.resolution != RESOLVED && !track::prepare(sk, socket, 0) {
        return;
    }
    if result <= 0 {
        return;
    }
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) else { return };
    track::notice_unseen_read(sk, tcp, socket, record);
    let at = track::send_time(tcp, socket);
    let bytes = result as u32;
    track::add_sent(sk, bytes, at, socket, record);
    let weight = follow::weight(socket);
    let mut books = Books { record, flags: &mut socket.flags, weight, wait_ns: 0, bytes };
    track::sent(sk, at, socket.role, &mut socket.round, &mut books);
}
