//! `void sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every send path of the socket layer, in the caller's context: write, sendmsg, writev, sendfile, splice to a socket,
//! MSG_ZEROCOPY, io_uring.

use weir_abi::ROLE_SERVER;
use weir_ebpf::socket::Socket;

use crate::{
    edge,
    kernel::{self, Sock, Tcp},
    sample, track,
};

#[inline(always)]
pub(crate) fn run(sk: Sock, result: i32) {
    let Some(socket) = track::get(sk).or_else(|| track::adopt(sk)) else { return };
    track::resolve_current(sk, socket);
    if result <= 0 {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    let Some(record) = edge::record(socket.edge) else { return };
    if track::is_first_operation(socket) {
        socket.copied_seq = tcp.copied_seq();
    } else if tcp.copied_seq() != socket.copied_seq {
        unseen_read(sk, tcp, socket, record);
    }
    socket.bytes_sent += result as u64;
    let sent = track::send_time(tcp, socket);
    let turn = if socket.role == ROLE_SERVER {
        socket.round.respond(sent)
    } else {
        socket.round.initiate(sent, u64::from(tcp.srtt_us()) * 1000)
    };
    if turn.opened {
        sample::request(socket.round.rounds, result as u32, record);
    }
    track::apply(turn, sent, 0, tcp, socket, record);
}

/// Data was read where no hook sees it (splice, zero-copy receive): the kernel's read position tells how much, and the
/// arrival is the best known time.
#[inline(always)]
fn unseen_read(sk: Sock, tcp: Tcp, socket: &mut Socket, record: *mut weir_abi::EdgeRecord) {
    let position = tcp.copied_seq();
    let moved = position.wrapping_sub(socket.copied_seq);
    socket.copied_seq = position;
    // Who has read up to the end has read the FIN too.
    let bytes = if sk.fin_received() && position == tcp.rcv_nxt() { moved - 1 } else { moved };
    if bytes == 0 {
        return;
    }
    socket.bytes_received += u64::from(bytes);
    let read = if socket.arrived_ns == 0 { kernel::now() } else { socket.arrived_ns };
    socket.arrived_ns = 0;
    let turn = if socket.role == ROLE_SERVER {
        socket.round.initiate(read, u64::from(tcp.srtt_us()) * 1000)
    } else {
        socket.round.respond(read)
    };
    track::apply(turn, read, 0, tcp, socket, record);
}
