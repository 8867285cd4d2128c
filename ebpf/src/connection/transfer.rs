//! Data moves: each send and receive is a step of the conversation.

use weir_abi::{EdgeRecord, ROLE_SERVER};
use weir_ebpf::{round::Round, socket::Socket};

use super::{
    bytes::{add_received, add_sent},
    rounds::RoundRecorder,
};
use crate::{
    edge,
    kernel::{self, Sock, Tcp, pointer::Pointer},
    socket_sampling::weight,
};

/// A send of `bytes` by the running process.
#[inline(always)]
pub(crate) fn sent(sk: Sock<impl Pointer>, socket: &mut Socket, bytes: u32) {
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) else { return };
    notice_unseen_read(sk, tcp, socket, record);
    let at = send_time(tcp, socket);
    add_sent(sk, bytes, at, socket, record);
    let weight = weight(socket);
    let thread = Some(&mut socket.peer_or_thread);
    let mut recorder = RoundRecorder { record, flags: &mut socket.flags, weight, wait_ns: 0, bytes, thread };
    if socket.role == ROLE_SERVER {
        socket.round.respond(at, &mut recorder);
    } else {
        socket.round.initiate(at, || sk.srtt_ns(), &mut recorder);
    }
}

/// A receive of `bytes` by the running process; `more` if some are left unread.
#[inline(always)]
pub(crate) fn received(sk: Sock<impl Pointer>, socket: &mut Socket, bytes: u32, more: bool) {
    let Some(record) = edge::record(socket.edge) else { return };
    socket.copied_seq = socket.copied_seq.wrapping_add(bytes);
    let now = kernel::now();
    // The clocks of two processors may disagree on the order.
    let waited = now.wrapping_sub(socket.arrived_ns) as i64;
    let wait_ns = if socket.arrived_ns != 0 && waited > 0 { waited as u64 } else { 0 };
    // Data left unread arrived with the last packet at the latest.
    socket.arrived_ns = if more { sk.last_packet_ns() } else { 0 };
    add_received(sk, bytes, now, socket, record);
    let weight = weight(socket);
    let mut recorder = RoundRecorder { record, flags: &mut socket.flags, weight, wait_ns, bytes, thread: None };
    step_by_read(sk, now, socket.role, &mut socket.round, &mut recorder);
}

/// A read moves the conversation on: a server's request, a client's answer.
#[inline(always)]
fn step_by_read(sk: Sock<impl Pointer>, at: u64, role: u8, round: &mut Round, recorder: &mut RoundRecorder<'_>) {
    if role == ROLE_SERVER { round.initiate(at, || sk.srtt_ns(), recorder) } else { round.respond(at, recorder) }
}

/// The time of a send: the kernel's own stamp of the packet, which saves a clock read and excludes the rest of the send (on
/// loopback the receiver runs inside it). Where no packet has left since the last operation (corked), the clock.
#[inline(always)]
fn send_time(tcp: Tcp<impl Pointer>, socket: &Socket) -> u64 {
    let stamp = tcp.last_packet_ns();
    if stamp > socket.round.last_ns() { stamp } else { kernel::now() }
}

/// Data was read where no hook sees it (splice, zero-copy receive): the kernel's read position shows how much, and the arrival
/// is the best known time.
#[inline(always)]
pub(crate) fn notice_unseen_read(
    sk: Sock<impl Pointer>,
    tcp: Tcp<impl Pointer>,
    socket: &mut Socket,
    record: *mut EdgeRecord,
) {
    if tcp.copied_seq() != socket.copied_seq {
        take_in_unseen_read(sk, tcp, socket, record);
    }
}

#[inline(never)]
fn take_in_unseen_read(sk: Sock<impl Pointer>, tcp: Tcp<impl Pointer>, socket: &mut Socket, record: *mut EdgeRecord) {
    let position = tcp.copied_seq();
    let moved = position.wrapping_sub(socket.copied_seq);
    socket.copied_seq = position;
    // A reader at the end has passed the FIN too.
    let bytes = if sk.fin_received() && position == tcp.rcv_nxt() { moved.wrapping_sub(1) } else { moved };
    // Backwards: an urgent byte is read out of order, and its position passed later.
    if bytes as i32 <= 0 {
        return;
    }
    let at = if socket.arrived_ns == 0 { kernel::now() } else { socket.arrived_ns };
    socket.arrived_ns = 0;
    add_received(sk, bytes, at, socket, record);
    let weight = weight(socket);
    let mut recorder = RoundRecorder { record, flags: &mut socket.flags, weight, wait_ns: 0, bytes: 0, thread: None };
    step_by_read(sk, at, socket.role, &mut socket.round, &mut recorder);
}

/// A read reached the end of the stream. Unseen reads before it are counted now; the FIN occupies a position too.
#[inline(never)]
pub(crate) fn end_of_stream(sk: Sock<impl Pointer>, socket: &mut Socket) {
    if let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) {
        notice_unseen_read(sk, tcp, socket, record);
    }
    socket.arrived_ns = 0;
}
