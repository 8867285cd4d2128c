//! How a client uses its connections: who takes one over from whom, and which the peer ends at once. What pools of
//! connections are judged by.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use weir_abi::{CLOSED_EARLY_NS, EdgeRecord, ROLE_CLIENT, ROLE_SERVER, THREADS_EXPONENT};
use weir_ebpf::{
    idle,
    round::Round,
    socket::{CLOSED, CLOSED_UNJUDGED, PARTIAL, PHASE_OPEN, Socket, stamp},
};

use crate::{
    edge::{self, bump},
    follow,
    kernel::{self, Sock, Tcp, pointer::Pointer},
};

/// A connection is used once more: after how long, and by the same thread or by another. Where threads share a pool of
/// connections, one that had to wait takes over at once what another has given back.
#[inline(always)]
pub(crate) fn by_current(round: &Round, thread: &mut u32, weight: u8, record: *mut EdgeRecord) {
    // SAFETY: no arguments.
    let current = unsafe { bpf_get_current_pid_tgid() } as u32;
    let last = core::mem::replace(thread, current);
    note_thread(current, round.started_ns, record);
    if last == 0 {
        return;
    }
    let idle_ns = round.started_ns.saturating_sub(round.answer_ended_ns());
    // SAFETY: fields of a live map value.
    let counts = unsafe {
        if last == current {
            &raw mut (*record).reused_by_same_thread
        } else {
            &raw mut (*record).reused_by_other_thread
        }
    };
    edge::count_in(counts, idle::bucket(idle_ns), 1u32.wrapping_shl(weight.into()));
}

/// Remembers that a thread has used the edge. Two processors at once may lose one bit, which the thread's next request sets.
#[inline(always)]
fn note_thread(thread: u32, now: u64, record: *mut EdgeRecord) {
    let epoch = now >> THREADS_EXPONENT;
    let bit = 1u64.wrapping_shl(thread);
    // SAFETY: fields of a live map value.
    unsafe {
        let words: *mut u64 = (&raw mut (*record).threads).cast();
        let before = (*record).threads_epoch;
        if before != epoch {
            // A clock that another processor has read a little earlier begins no epoch.
            if before.wrapping_sub(epoch) == 1 {
                return;
            }
            words.add(epoch as usize & 1).write_volatile(0);
            if epoch.wrapping_sub(before) != 1 {
                words.add(!epoch as usize & 1).write_volatile(0);
            }
            (*record).threads_epoch = epoch;
        }
        let word = words.add(epoch as usize & 1);
        let threads = word.read_volatile();
        if threads & bit == 0 {
            word.write_volatile(threads | bit);
        }
    }
}

/// A server may speak first and last within so many rounds, and log its client in before it turns it away within so many more
/// (TLS, SCRAM).
const FIRST_ROUNDS: u32 = 2;
const LOGIN_ROUNDS: u32 = 6;

/// The peer ends the connection, in softirq: is it because of what this end has just asked? That is judged with this end's next
/// step, which finds the conversation as it is now, and its cache line on its own processor.
#[inline(always)]
pub(crate) fn peer_closed(sk: Sock, socket: &mut Socket) {
    let Some(tcp) = sk.tcp().filter(|_| is_open_client(socket)) else {
        socket.peer_closed = CLOSED;
        return;
    };
    socket.handshake_or_closed = stamp(tcp.last_packet_ns());
    socket.peer_closed = CLOSED_UNJUDGED;
    if !follow::is_current(sk, socket) {
        judge(sk, socket, 0); // nobody sees its next step
    }
}

/// It resets it: what this end had not read is lost, and judged at once.
#[inline(always)]
pub(crate) fn peer_reset(sk: Sock, socket: &mut Socket) {
    if let Some(tcp) = sk.tcp().filter(|_| is_open_client(socket)) {
        socket.handshake_or_closed = stamp(tcp.last_packet_ns());
        judge(sk, socket, 0);
    }
}

/// Of one that is older than weir it is not known what it did before.
#[inline(always)]
fn is_open_client(socket: &Socket) -> bool {
    socket.role == ROLE_CLIENT && socket.phase == PHASE_OPEN && socket.flags & PARTIAL == 0 && socket.is_resolved()
}

/// This end's next step after that, which has read so many bytes.
#[inline(always)]
pub(crate) fn judge_close(sk: Sock<impl Pointer>, socket: &mut Socket, read: u32) {
    if socket.peer_closed == CLOSED_UNJUDGED {
        judge(sk, socket, read);
    }
}

#[inline(never)]
fn judge(sk: Sock<impl Pointer>, socket: &mut Socket, read: u32) {
    socket.peer_closed = CLOSED;
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) else { return };
    // Not what a good-bye (COM_QUIT, Terminate) is answered with: nothing but the end.
    let spoke_last = read != 0 || tcp.unread() > 1 || (socket.bytes.received != 0 && !socket.round.in_flight());
    let after = socket.handshake_or_closed.wrapping_sub(stamp(socket.round.last_ns()));
    // Two processors' clocks may disagree on the order.
    if spoke_last && is_young(socket) && (after as i32) < stamp(CLOSED_EARLY_NS) as i32 {
        ended_early(socket, record);
    }
}

/// A server closes a connection that its client has already left, and has not looked whether it had: it wanted to close. Clients
/// that understand what they are told leave before the server has (libpq: PostgreSQL's backend has yet to end).
#[inline(always)]
pub(crate) fn note_early_end(tcp: Tcp, socket: &Socket, record: *mut EdgeRecord) {
    // The end of the stream is one beyond its last byte, until it is read.
    let has_not_looked = tcp.unread() == 1;
    let spoke_last = socket.bytes.sent != 0 && !socket.round.in_flight();
    if socket.role == ROLE_SERVER
        && is_young(socket)
        && has_not_looked
        && spoke_last
        && kernel::now().saturating_sub(socket.round.last_ns()) < CLOSED_EARLY_NS
    {
        ended_early(socket, record);
    }
}

#[inline(always)]
fn is_young(socket: &Socket) -> bool {
    socket.round.rounds <= LOGIN_ROUNDS
}

#[inline(always)]
fn ended_early(socket: &Socket, record: *mut EdgeRecord) {
    if socket.round.rounds <= FIRST_ROUNDS {
        bump!(record.closed_early);
    } else {
        // SAFETY: a field of a live map value.
        edge::add_u32(unsafe { &raw mut (*record).closed_after_login }, 1);
    }
}
