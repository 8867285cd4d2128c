//! A socket's record from its first sight to its end.

use weir_abi::{EdgeRecord, InFlight, ListeningPort, OTHER_CLIENT, ROLE_CLIENT, ROLE_SERVER};
use weir_ebpf::{
    round::{Account, Round},
    socket::{
        BOOKED, CLOSED, FAILED, Gathered, MULTIPLEXED, PARTIAL, PHASE_CONNECTING, PHASE_ENDED, PHASE_OPEN, PUSH,
        RESOLVED, Socket, UNMOVED, UNRESOLVED, stamp,
    },
};

use crate::{
    edge::{self, bump, observe, weigh},
    follow,
    kernel::{
        self, Sock, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_SYN_SENT, Tcp, pointer::Pointer,
    },
    maps::{FAILED_CONNECTS, LISTENERS},
    resolve, reuse, sample,
    sockets::{at_limit, create, has_missed},
};

/// Takes up a socket that is already alive: there before weir, or missed. Its role follows from the listening ports.
#[inline(never)]
pub(crate) fn adopt(sk: Sock<impl Pointer>) -> Option<&'static mut Socket> {
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
    let listener = ListeningPort { netns: sk.netns(), port: u32::from(sk.source_port()) };
    // SAFETY: only the presence is used.
    let listening = unsafe { LISTENERS.get(listener) }.is_some();
    socket.role = if listening { ROLE_SERVER } else { ROLE_CLIENT };
    socket.phase = if state == TCP_SYN_SENT { PHASE_CONNECTING } else { PHASE_OPEN };
    socket.flags = PARTIAL;
    socket.peer_closed = if state == TCP_CLOSE_WAIT { CLOSED } else { 0 };
    socket.total_retrans = tcp.total_retrans();
    socket.copied_seq = tcp.copied_seq();
    Some(socket)
}

/// Whether data can still move on it, or will.
#[inline(always)]
pub(crate) fn is_connection(sk: Sock<impl Pointer>) -> bool {
    matches!(sk.state(), TCP_ESTABLISHED | TCP_CLOSE_WAIT | TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_SYN_SENT)
}

/// The books of one operation: what the conversation tells is added to the socket's edge.
pub(crate) struct Books<'a> {
    pub(crate) record: *mut EdgeRecord,
    /// `Socket::flags`.
    pub(crate) flags: &'a mut u8,
    /// What the operation weighs, as a shift.
    pub(crate) weight: u8,
    /// How long the data that the operation read had been there; 0 when it read none.
    pub(crate) wait_ns: u64,
    /// Bytes that the current system call moves, to be sampled; 0 when they are not at hand.
    pub(crate) bytes: u32,
    /// A client's send: which thread sent the last request on this connection.
    pub(crate) thread: Option<&'a mut u32>,
}

impl Books<'_> {
    #[inline(always)]
    fn observe_wait(&self) {
        if self.wait_ns != 0 {
            let record = self.record;
            observe!(record.receive_queue_wait, self.wait_ns, self.weight);
        }
    }
}

impl Account for Books<'_> {
    #[inline(always)]
    fn opened(&mut self, round: &Round) {
        let record = self.record;
        weigh!(record.in_flight, InFlight::of(round.started_ns), self.weight);
        self.observe_wait();
        if let Some(thread) = &mut self.thread {
            reuse::by_current(round, thread, self.weight, record);
        }
        if self.bytes != 0 {
            sample::request(round, self.bytes, self.record);
        }
    }

    #[inline(always)]
    fn answered(&mut self, round: &Round, latency_ns: u64) {
        let record = self.record;
        observe!(record.latency, latency_ns, self.weight);
        take_off(round, self.weight, record);
        self.observe_wait();
    }

    #[inline(always)]
    fn prolonged(&mut self, first_ns: u64, full_ns: u64) {
        prolong(first_ns, full_ns, self.weight, self.record);
    }

    #[inline(always)]
    fn suspected(&mut self, round: &Round) {
        judge(round, self.flags, self.record);
    }
}

/// The round is no longer in flight.
#[inline(always)]
pub(crate) fn take_off(round: &Round, weight: u8, record: *mut EdgeRecord) {
    weigh!(record.in_flight, InFlight::of(round.started_ns).wrapping_neg(), weight);
}

/// An answer came in several pieces: the whole round took longer than `latency` says.
#[inline(never)]
fn prolong(first_ns: u64, full_ns: u64, weight: u8, record: *mut EdgeRecord) {
    // SAFETY: a field of a live map value.
    edge::replace_in(unsafe { &raw mut (*record).full_latency_correction }, first_ns, full_ns, weight.into());
}

#[inline(never)]
fn judge(round: &Round, flags: &mut u8, record: *mut EdgeRecord) {
    let evidence = round.evidence();
    if evidence.multiplexed && *flags & MULTIPLEXED == 0 {
        *flags |= MULTIPLEXED;
        bump!(record.multiplexed_set);
    }
    if evidence.push && *flags & PUSH == 0 {
        *flags |= PUSH;
        bump!(record.push_set);
    }
}

/// Ends a round that nothing has followed for long at `now` (with none: nothing will), and moves to the edge what has
/// gathered.
#[inline(always)]
pub(crate) fn settle(now: Option<u64>, socket: &mut Socket, record: *mut EdgeRecord) {
    follow::end_unobserved(socket, record);
    finish(now, socket, record);
}

#[inline(always)]
fn finish(now: Option<u64>, socket: &mut Socket, record: *mut EdgeRecord) {
    let weight = follow::weight(socket);
    let mut books = Books { record, flags: &mut socket.flags, weight, wait_ns: 0, bytes: 0, thread: None };
    socket.round.settle(now, &mut books);
    flush(socket, record);
}

/// Makes the socket ready for an operation that read `bytes` (0 for any other): whose it is, and from where its bytes count.
/// False while another thread is at it.
#[inline(never)]
pub(crate) fn prepare(sk: Sock<impl Pointer>, socket: &mut Socket, bytes: u32) -> bool {
    if !resolve::by_current(sk, socket) {
        return false;
    }
    if socket.resolution == UNMOVED
        && let Some(tcp) = sk.tcp()
    {
        socket.copied_seq = tcp.copied_seq().wrapping_sub(bytes);
        socket.resolution = RESOLVED;
    }
    reuse::judge_close(sk, socket, bytes);
    true
}

/// Gathers bytes sent, and at times moves them to the edge. Called by the send hook alone, as its twin is by the receive
/// hook: two threads on one socket must not share a total.
#[inline(always)]
pub(crate) fn add_sent(sk: Sock<impl Pointer>, bytes: u32, now: u64, socket: &mut Socket, record: *mut EdgeRecord) {
    if bytes >= Gathered::MANY {
        flush(socket, record);
    }
    socket.bytes.sent = socket.bytes.sent.wrapping_add(bytes);
    if socket.bytes.is_due(socket.moved_at, now) {
        move_gathered(sk, now, socket, record);
    }
}

/// The same for bytes received.
#[inline(always)]
pub(crate) fn add_received(sk: Sock<impl Pointer>, bytes: u32, now: u64, socket: &mut Socket, record: *mut EdgeRecord) {
    if bytes >= Gathered::MANY {
        flush(socket, record);
    }
    socket.bytes.received = socket.bytes.received.wrapping_add(bytes);
    if socket.bytes.is_due(socket.moved_at, now) {
        move_gathered(sk, now, socket, record);
    }
}

#[inline(never)]
fn move_gathered(sk: Sock<impl Pointer>, now: u64, socket: &mut Socket, record: *mut EdgeRecord) {
    socket.moved_at = stamp(now);
    flush(socket, record);
    // SAFETY: a field of a live map value; a torn gauge is impossible at 4 bytes.
    unsafe { (*record).srtt_us = sk.srtt_us() };
}

/// Moves what has gathered either way to the edge.
#[inline(always)]
fn flush(socket: &mut Socket, record: *mut EdgeRecord) {
    let weight = follow::weight(socket);
    let (sent, received) = (socket.bytes.unmoved_sent(), socket.bytes.unmoved_received());
    if sent != 0 {
        edge::add_u32(&raw mut socket.bytes.sent_moved, sent as u32);
        weigh!(record.bytes_sent, sent as u64, weight);
    }
    if received != 0 {
        edge::add_u32(&raw mut socket.bytes.received_moved, received as u32);
        weigh!(record.bytes_received, received as u64, weight);
    }
}

/// Moves the conversation on by a read: a server's request, a client's answer.
#[inline(always)]
pub(crate) fn read(sk: Sock<impl Pointer>, at: u64, role: u8, round: &mut Round, books: &mut Books<'_>) {
    if role == ROLE_SERVER { round.initiate(at, || sk.srtt_ns(), books) } else { round.respond(at, books) }
}

/// Moves it on by a send: a client's request, a server's answer.
#[inline(always)]
pub(crate) fn sent(sk: Sock<impl Pointer>, at: u64, role: u8, round: &mut Round, books: &mut Books<'_>) {
    if role == ROLE_SERVER { round.respond(at, books) } else { round.initiate(at, || sk.srtt_ns(), books) }
}

/// Data was read where no hook sees it (splice, zero-copy receive): the kernel's read position tells how much, and the
/// arrival is the best known time.
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
    // Who has read up to the end has read the FIN too.
    let bytes = if sk.fin_received() && position == tcp.rcv_nxt() { moved.wrapping_sub(1) } else { moved };
    // Backwards: an urgent byte is read out of its turn, and its place passed later.
    if bytes as i32 <= 0 {
        return;
    }
    let at = if socket.arrived_ns == 0 { kernel::now() } else { socket.arrived_ns };
    socket.arrived_ns = 0;
    add_received(sk, bytes, at, socket, record);
    let weight = follow::weight(socket);
    let mut books = Books { record, flags: &mut socket.flags, weight, wait_ns: 0, bytes: 0, thread: None };
    read(sk, at, socket.role, &mut socket.round, &mut books);
}

/// A read came to the end of the stream. What was read before it unseen is noticed now; the FIN takes a position too.
#[inline(never)]
pub(crate) fn end_of_stream(sk: Sock<impl Pointer>, socket: &mut Socket) {
    if let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) {
        notice_unseen_read(sk, tcp, socket, record);
    }
    socket.arrived_ns = 0;
}

/// Adds the retransmissions that the kernel has counted since the last time.
#[inline(always)]
pub(crate) fn sync_retransmits(tcp: Tcp<impl Pointer>, socket: &mut Socket, record: *mut EdgeRecord) {
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
pub(crate) fn end_round(socket: &mut Socket) {
    let Some(record) = edge::record(socket.edge) else { return };
    follow::end_unobserved(socket, record);
    let weight = follow::weight(socket);
    if socket.round.abandon() {
        take_off(&socket.round, weight, record);
        weigh!(record.unanswered_ns, kernel::now().saturating_sub(socket.round.started_ns), weight);
        if socket.peer_closed != 0 {
            weigh!(record.rounds_broken, 1, weight);
        } else {
            weigh!(record.rounds_abandoned, 1, weight);
        }
    }
    finish(None, socket, record);
}

/// Its process let go of the socket: all that the conversation has told goes to its edge, and the rest of the connection's
/// life, which may pass on another processor, does not look at it again.
#[inline(always)]
pub(crate) fn close_books(socket: &mut Socket) {
    if socket.resolution == RESOLVED && socket.phase == PHASE_ENDED {
        end_round(socket);
        socket.resolution = BOOKED;
    }
}

/// The connection is over for good: nothing may write to its edge any more.
#[inline(always)]
pub(crate) fn release(sk: Sock<impl Pointer>, socket: &mut Socket) {
    if socket.flags & FAILED != 0 {
        let _ = FAILED_CONNECTS.remove(sk.address());
    }
    if !socket.is_resolved() {
        return;
    }
    let Some(record) = edge::record(socket.edge) else { return };
    if socket.resolution != BOOKED {
        close(socket);
        end_round(socket);
    }
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

/// When this send left: the kernel's own stamp of it, saving a clock read and the time that the rest of the send took
/// (on loopback the receiver runs inside it). Where nothing has been transmitted since the last operation (corked),
/// the clock.
#[inline(always)]
pub(crate) fn send_time(tcp: Tcp<impl Pointer>, socket: &Socket) -> u64 {
    let stamp = tcp.last_packet_ns();
    if stamp > socket.round.last_ns() { stamp } else { kernel::now() }
}
