//! A socket's record from its first sight to its end.

use aya_ebpf::{bindings::BPF_SK_STORAGE_GET_F_CREATE, helpers::generated::bpf_sk_storage_get};
use weir_abi::{Counter, EdgeRecord, OTHER_CLIENT, ROLE_CLIENT, ROLE_SERVER};
use weir_ebpf::{
    round::Turn,
    socket::{
        FAILED, MULTIPLEXED, PARTIAL, PHASE_CONNECTING, PHASE_ENDED, PHASE_OPEN, PUSH, RESOLVED, RESUMED, Socket,
        UNRESOLVED,
    },
};

use crate::{
    edge::{self, bump, count, counted, observe, weigh},
    follow,
    kernel::{self, Sock, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_SYN_SENT, Tcp},
    maps::{CONTROL, FAILED_CONNECTS, LISTENERS, Listener, SOCKETS},
};

/// Bytes a one-way stream may hold back from its edge between two rounds.
const FLUSH_BYTES: u64 = 256 << 10;

/// The socket's record, if it has one.
#[inline(always)]
pub(crate) fn get(sk: Sock) -> Option<&'static mut Socket> {
    storage(sk, 0)
}

#[inline(always)]
fn storage(sk: Sock, flags: u64) -> Option<&'static mut Socket> {
    // SAFETY: the map's value type is Socket; the helper takes any BTF-typed socket, null included, and returns null
    // or a value that lives as long as this program runs.
    unsafe {
        let map = (&raw const SOCKETS).cast_mut().cast();
        bpf_sk_storage_get(map, sk.0.cast_mut(), core::ptr::null_mut(), flags).cast::<Socket>().as_mut()
    }
}

/// The socket's record, a fresh one if need be; none when the limit is reached or the kernel has no memory.
#[inline(always)]
pub(crate) fn create(sk: Sock) -> Option<&'static mut Socket> {
    if let Some(socket) = get(sk) {
        return Some(socket);
    }
    if at_limit() {
        count(Counter::SocketsOverLimit);
        return None;
    }
    let Some(socket) = storage(sk, u64::from(BPF_SK_STORAGE_GET_F_CREATE)) else {
        count(Counter::SocketStorageFailed);
        return None;
    };
    if socket.phase == 0 {
        count(Counter::SocketsTracked);
        follow::join(socket);
    }
    Some(socket)
}

/// Whether some connection had to go without a record: then the rest of its life is counted in `other`.
#[inline(always)]
pub(crate) fn has_missed() -> bool {
    counted(Counter::SocketsOverLimit) | counted(Counter::SocketStorageFailed) != 0
}

#[inline(always)]
fn at_limit() -> bool {
    // SAFETY: an aligned map value; volatile because user space writes it.
    let most = CONTROL.get_ptr(0).map_or(0, |c| unsafe { core::ptr::read_volatile(&raw const (*c).max_sockets) });
    counted(Counter::SocketsTracked).wrapping_sub(counted(Counter::SocketsReleased)) >= u64::from(most)
}

/// Takes up a socket that is already alive: there before weir, or missed. Its role follows from the listening ports.
#[inline(never)]
pub(crate) fn adopt(sk: Sock) -> Option<&'static mut Socket> {
    // Once connections had to go without a record they are counted as such, and never half.
    if !sk.is_tcp() || at_limit() || has_missed() {
        return None;
    }
    if !is_connection(sk) {
        return None;
    }
    let state = sk.state();
    let tcp = sk.tcp()?;
    let socket = create(sk)?;
    if socket.phase != 0 {
        return Some(socket);
    }
    let listener = Listener { netns: sk.netns(), port: u32::from(sk.source_port()) };
    // SAFETY: only the presence is used.
    let listening = unsafe { LISTENERS.get(listener) }.is_some();
    socket.role = if listening { ROLE_SERVER } else { ROLE_CLIENT };
    socket.phase = if state == TCP_SYN_SENT { PHASE_CONNECTING } else { PHASE_OPEN };
    socket.flags = PARTIAL;
    socket.peer_closed = u8::from(state == TCP_CLOSE_WAIT);
    socket.total_retrans = tcp.total_retrans();
    socket.copied_seq = tcp.copied_seq();
    Some(socket)
}

/// Whether data can still move on it, or will.
#[inline(always)]
pub(crate) fn is_connection(sk: Sock) -> bool {
    matches!(sk.state(), TCP_ESTABLISHED | TCP_CLOSE_WAIT | TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_SYN_SENT)
}

/// Applies what an operation did to the conversation. `wait_ns` is how long the data it read had been there.
#[inline(always)]
pub(crate) fn apply(turn: Turn, now: u64, wait_ns: u64, tcp: Tcp, socket: &mut Socket, record: *mut EdgeRecord) {
    let weight = follow::weight(socket);
    if turn.completed {
        observe!(record.full_latency, turn.full_latency_ns, weight);
    }
    if turn.opened {
        weigh!(record.rounds_started, 1, weight);
        weigh!(record.in_flight_ns, now.wrapping_neg(), weight);
        // SAFETY: a field of a live map value; a torn gauge is impossible at 4 bytes.
        unsafe { (*record).srtt_us = tcp.srtt_us() };
    }
    if turn.answered {
        observe!(record.latency, turn.latency_ns, weight);
        weigh!(record.in_flight_ns, now, weight);
    }
    if turn.turned && wait_ns != 0 {
        observe!(record.receive_queue_wait, wait_ns, weight);
    }
    if socket.round.late | socket.round.pushes != 0 {
        judge(socket, record);
    }
}

#[inline(always)]
fn judge(socket: &mut Socket, record: *mut EdgeRecord) {
    let evidence = socket.round.evidence();
    if evidence.multiplexed && socket.flags & MULTIPLEXED == 0 {
        socket.flags |= MULTIPLEXED;
        bump!(record.multiplexed_set);
    }
    if evidence.push && socket.flags & PUSH == 0 {
        socket.flags |= PUSH;
        bump!(record.push_set);
    }
}

/// Gathers bytes sent, and moves them to the edge at a turn or when they are many. Called by the send hook alone, as its
/// twin is by the receive hook: two threads on one socket must not share a counter.
#[inline(always)]
pub(crate) fn add_sent(bytes: u32, turn: Turn, socket: &mut Socket, record: *mut EdgeRecord) {
    let total = socket.bytes_sent + u64::from(bytes);
    socket.bytes_sent = if turn.turned || total > FLUSH_BYTES {
        weigh!(record.bytes_sent, total, follow::weight(socket));
        0
    } else {
        total
    };
}

/// The same for bytes received.
#[inline(always)]
pub(crate) fn add_received(bytes: u32, turn: Turn, socket: &mut Socket, record: *mut EdgeRecord) {
    let total = socket.bytes_received + u64::from(bytes);
    socket.bytes_received = if turn.turned || total > FLUSH_BYTES {
        weigh!(record.bytes_received, total, follow::weight(socket));
        0
    } else {
        total
    };
}

/// Moves what has been gathered either way, when nobody else uses the socket any more, or rarely.
#[inline(always)]
pub(crate) fn flush(socket: &mut Socket, record: *mut EdgeRecord) {
    let now = Turn { turned: true, ..Turn::default() };
    add_sent(0, now, socket, record);
    add_received(0, now, socket, record);
}

/// Moves the conversation on by a read: a server's request, a client's answer.
#[inline(always)]
pub(crate) fn received_turn(at: u64, tcp: Tcp, socket: &mut Socket) -> Turn {
    if socket.role == ROLE_SERVER {
        socket.round.initiate(at, u64::from(tcp.srtt_us()) * 1000)
    } else {
        socket.round.respond(at)
    }
}

/// Data was read where no hook sees it (splice, zero-copy receive): the kernel's read position tells how much, and the
/// arrival is the best known time.
#[inline(always)]
pub(crate) fn notice_unseen_read(sk: Sock, tcp: Tcp, socket: &mut Socket, record: *mut EdgeRecord) {
    let position = tcp.copied_seq();
    let moved = position.wrapping_sub(socket.copied_seq);
    if moved == 0 {
        return;
    }
    socket.copied_seq = position;
    // Who has read up to the end has read the FIN too.
    let bytes = if sk.fin_received() && position == tcp.rcv_nxt() { moved - 1 } else { moved };
    if bytes == 0 {
        return;
    }
    let read = if socket.arrived_ns == 0 { kernel::now() } else { socket.arrived_ns };
    socket.arrived_ns = 0;
    let turn = received_turn(read, tcp, socket);
    add_received(bytes, turn, socket, record);
    apply(turn, read, 0, tcp, socket, record);
}

/// Adds the retransmissions that the kernel has counted since the last time.
#[inline(always)]
pub(crate) fn sync_retransmits(tcp: Tcp, socket: &mut Socket, record: *mut EdgeRecord) {
    let total = tcp.total_retrans();
    // A disconnect starts the kernel's count anew.
    let new = if total < socket.total_retrans { total } else { total - socket.total_retrans };
    if total != socket.total_retrans {
        socket.total_retrans = total;
        // SAFETY: a field of a live map value.
        edge::add(unsafe { &raw mut (*record).retransmitted_segments }, u64::from(new));
    }
}

/// The connection is no longer open. What was received may still be read.
#[inline(always)]
pub(crate) fn close(socket: &mut Socket) {
    if socket.phase == PHASE_OPEN
        && let Some(record) = edge::record(socket.edge)
    {
        bump!(record.closed);
    }
    socket.phase = PHASE_ENDED;
}

/// The conversation is over for this end: what is open will never be answered.
#[inline(always)]
pub(crate) fn end_round(socket: &mut Socket, now: u64) {
    let Some(record) = edge::record(socket.edge) else { return };
    follow::end_unobserved(socket, record);
    let weight = follow::weight(socket);
    if socket.round.abandon() {
        weigh!(record.in_flight_ns, now, weight);
        if socket.peer_closed != 0 {
            weigh!(record.rounds_broken, 1, weight);
        } else {
            weigh!(record.rounds_abandoned, 1, weight);
        }
    }
    let turn = socket.round.settle(now, true);
    if turn.completed {
        observe!(record.full_latency, turn.full_latency_ns, weight);
    }
    flush(socket, record);
}

/// The socket itself is gone: nothing may write to its edge any more.
#[inline(always)]
pub(crate) fn release(sk: Sock, socket: &mut Socket, now: u64) {
    count(Counter::SocketsReleased);
    if socket.flags & FAILED != 0 {
        let _ = FAILED_CONNECTS.remove(sk.0 as u64);
    }
    if socket.resolution != RESOLVED {
        return;
    }
    close(socket);
    end_round(socket, now);
    let Some(record) = edge::record(socket.edge) else { return };
    if let Some(tcp) = sk.tcp() {
        sync_retransmits(tcp, socket, record);
    }
    if socket.flags & MULTIPLEXED != 0 {
        bump!(record.multiplexed_cleared);
    }
    if socket.flags & PUSH != 0 {
        bump!(record.push_cleared);
    }
    bump!(record.detached);
    socket.phase = 0;
    socket.flags = 0;
    socket.resolution = UNRESOLVED;
    socket.edge = OTHER_CLIENT;
}

/// Whether a socket that was there before weir, or not followed for a while, moves data for the first time since.
#[inline(always)]
pub(crate) fn is_first_operation(socket: &Socket) -> bool {
    socket.flags & (PARTIAL | RESUMED) != 0 && socket.round.initiations | socket.round.responses == 0
}

/// When this send left: the kernel's own stamp of it, saving a clock read and the time that the rest of the send took
/// (on loopback the receiver runs inside it). Where nothing has been transmitted since the last operation (corked),
/// the clock.
#[inline(always)]
pub(crate) fn send_time(tcp: Tcp, socket: &Socket) -> u64 {
    let stamp = tcp.last_packet_ns();
    let round = &socket.round;
    if stamp > round.initiated_ns && stamp > round.answered_ns { stamp } else { kernel::now() }
}
