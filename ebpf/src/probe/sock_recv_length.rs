//! `void sock_recv_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every receive path of the socket layer but splice, in the caller's context. What was read is taken from the
//! kernel's read position, so that peeks and error-queue reads count nothing and no byte counts twice.

use crate::{
    edge, follow,
    kernel::{self, Sock},
    resolve, sample, track,
};

const MSG_PEEK: i32 = 0x2;
const MSG_ERRQUEUE: i32 = 0x2000;

#[inline(always)]
pub(crate) fn run(sk: Sock, result: i32, flags: i32) {
    let Some(sampling) = follow::sampled(sk) else { return };
    let Some(socket) = track::get(sk).or_else(|| track::adopt(sk)) else { return };
    if !resolve::by_current(sk, socket) || result < 0 || flags & MSG_ERRQUEUE != 0 {
        return;
    }
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) else { return };
    follow::renew(sampling, tcp, socket, record);
    if result == 0 {
        // The end of the stream. What was read before it unseen is noticed now; the FIN takes a position too.
        track::notice_unseen_read(sk, tcp, socket, record);
        socket.arrived_ns = 0;
        return;
    }
    let position = tcp.copied_seq();
    // A socket first seen in mid-life is counted from here on, not from where it had got to.
    let first = track::is_first_operation(socket);
    let moved = if first && flags & MSG_PEEK == 0 { result as u32 } else { position.wrapping_sub(socket.copied_seq) };
    socket.copied_seq = position;
    if moved == 0 {
        return; // a peek
    }
    // A read that took the last data and the FIN behind it moves one position more.
    let bytes = if moved == result as u32 + 1 { result as u32 } else { moved };
    let now = kernel::now();
    let wait = if socket.arrived_ns == 0 { 0 } else { now.saturating_sub(socket.arrived_ns) };
    // What is left unread came with the last packet at the latest.
    socket.arrived_ns = if position == tcp.rcv_nxt() { 0 } else { tcp.last_packet_ns() };
    let turn = track::received_turn(now, tcp, socket);
    if turn.opened {
        sample::request(socket.round.rounds, bytes, record);
    }
    track::add_received(bytes, turn, socket, record);
    track::apply(turn, now, wait, tcp, socket, record);
}
