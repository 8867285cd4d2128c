//! `void sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every send path of the socket layer, in the caller's context: write, sendmsg, writev, sendfile, splice to a socket,
//! MSG_ZEROCOPY, io_uring.

use weir_abi::ROLE_SERVER;

use crate::{edge, follow, kernel::Sock, resolve, sample, track};

#[inline(always)]
pub(crate) fn run(sk: Sock, result: i32) {
    let Some(sampling) = follow::sampled(sk) else { return };
    let Some(socket) = track::get(sk).or_else(|| track::adopt(sk)) else { return };
    if !resolve::by_current(sk, socket) || result <= 0 {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    let Some(record) = edge::record(socket.edge) else { return };
    follow::renew(sampling, tcp, socket, record);
    if track::is_first_operation(socket) {
        socket.copied_seq = tcp.copied_seq();
    } else {
        track::notice_unseen_read(sk, tcp, socket, record);
    }
    let sent = track::send_time(tcp, socket);
    let turn = if socket.role == ROLE_SERVER {
        socket.round.respond(sent)
    } else {
        socket.round.initiate(sent, u64::from(tcp.srtt_us()) * 1000)
    };
    if turn.opened {
        sample::request(socket.round.rounds, result as u32, record);
    }
    track::add_sent(result as u32, turn, socket, record);
    track::apply(turn, sent, 0, tcp, socket, record);
}
