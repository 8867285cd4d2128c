//! `void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, since 4.16.
//!
//! Connects and their outcome, accepts, listens, closes. May run in softirq, where the current task is a bystander:
//! owners are taken only at SYN_SENT, LISTEN and local closes, which happen in the process's own system call.

use weir_abi::{ConnectOutcome, Counter, ListeningPort, OTHER_CLIENT, ROLE_CLIENT, ROLE_SERVER};
use weir_ebpf::socket::{FAILED, FINALIZED, PEER_UNTRACKED, PHASE_CONNECTING, PHASE_ENDED, PHASE_OPEN, UNRESOLVED};

use crate::{
    accept_queue,
    atomic::{bump, observe},
    connection::{bytes, close, early_close, transfer},
    counters::count,
    edge::{self, Failure},
    kernel::{
        self, SHUTDOWN_BOTH, Sock, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2,
        TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, Task, clear,
    },
    local_peer,
    maps::{CLOSED_LISTENERS, FAILED_CONNECTS, LISTENERS},
    owner::{OwnedBy, Owner},
    resolve, socket_sampling, socket_table,
};

const EPIPE: i32 = 32;
const ENETDOWN: i32 = 100;
const ENETUNREACH: i32 = 101;
const ECONNRESET: i32 = 104;
const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;
const EHOSTDOWN: i32 = 112;
const EHOSTUNREACH: i32 = 113;
const EADDRNOTAVAIL: i32 = 99;

#[inline(always)]
pub(crate) fn run(sk: Sock, old: i32, new: i32) {
    match (old, new) {
        (_, TCP_SYN_SENT) => connecting(sk),
        (TCP_SYN_SENT | TCP_SYN_RECV, TCP_ESTABLISHED) => established(sk, old),
        (_, TCP_LISTEN) => listening(sk),
        (TCP_SYN_SENT, TCP_CLOSE) => connect_ended(sk),
        (TCP_LISTEN, TCP_CLOSE) => listener_closed(sk),
        // A child inherits LISTEN and SYN_RECV before it is a connection.
        (TCP_LISTEN, _) | (_, TCP_SYN_RECV) => {}
        _ => leaving(sk, old, new),
    }
}

/// `connect` has begun: this process is the owner.
#[inline(always)]
fn connecting(sk: Sock) {
    if !sk.is_tcp() {
        return;
    }
    let Some(socket) = socket_table::create(sk) else { return };
    if socket.phase != 0 {
        // The same socket again, after disconnect: a new connection.
        close::release(sk, socket);
        clear(socket);
        socket_sampling::join(socket);
    }
    socket.role = ROLE_CLIENT;
    socket.phase = PHASE_CONNECTING;
    socket.arrived_ns = kernel::now();
    resolve::resolve(sk, socket, OwnedBy::Task(Task::current()));
}

#[inline(always)]
fn established(sk: Sock, old: i32) {
    let Some(tcp) = sk.tcp() else { return };
    if let Some(socket) = socket_table::get(sk) {
        if socket.phase != PHASE_CONNECTING {
            return;
        }
        socket.phase = PHASE_OPEN;
        socket.handshake_or_closed = tcp.srtt_us();
        socket.copied_seq = tcp.rcv_nxt();
        // A request may have gone with the SYN (TCP Fast Open).
        if socket.round.last_ns() == 0 {
            socket.round.establish(tcp.last_packet_ns());
        }
        let Some(record) = edge::record(socket.edge) else { return };
        if socket.arrived_ns != 0 {
            // The kernel's own stamp of the packet that established it: the clock costs 20 ns.
            observe!(record.connect_latency, tcp.last_packet_ns().saturating_sub(socket.arrived_ns));
            socket.arrived_ns = 0;
        }
        resolve::opened(sk, socket, record);
        return;
    }
    if !sk.is_tcp() {
        return;
    }
    if old == TCP_SYN_SENT {
        // A connect that began without a record: only its outcome is known.
        local_peer::announce(sk, PEER_UNTRACKED, true);
        count_in_other(OTHER_CLIENT, ConnectOutcome::Ok);
        return;
    }
    let Some(socket) = socket_table::make(sk) else {
        count_in_other(local_peer::remember_untracked(sk), ConnectOutcome::Ok);
        return;
    };
    count(Counter::Accepted);
    socket.role = ROLE_SERVER;
    socket.phase = PHASE_OPEN;
    socket.edge = sk.netns();
    socket.handshake_or_closed = tcp.srtt_us();
    socket.copied_seq = tcp.rcv_nxt();
    accept_queue::established(socket, tcp.last_packet_ns());
    // Looked up now, and not at the first read: an entry of the table does not last until then.
    socket.peer_or_thread = local_peer::announced(tcp).map_or(0, |slot| slot + 1);
    // total_retrans starts at 0: a child begins with the SYN-ACKs that were retransmitted for it.
}

/// `listen`: this process opened the port.
#[inline(always)]
fn listening(sk: Sock) {
    if !sk.is_tcp() {
        return;
    }
    let listener = ListeningPort { netns: sk.netns(), port: u32::from(sk.local_port()) };
    if let Some(owner) = LISTENERS.get_ptr_mut(listener) {
        // SAFETY: a live map value; listeners come and go too rarely to race.
        unsafe { (*owner).listening = (*owner).listening.saturating_add(1) };
        return;
    }
    let owner = Owner::of(Task::current());
    accept_queue::opened(listener, &owner);
    if LISTENERS.insert(listener, owner, 0).is_err() {
        count(Counter::ListenersOverLimit);
    }
}

/// The last listener of a port closes it.
#[inline(always)]
fn listener_closed(sk: Sock) {
    let listener = ListeningPort { netns: sk.netns(), port: u32::from(sk.source_port()) };
    let Some(owner) = LISTENERS.get_ptr_mut(listener) else { return };
    // SAFETY: as above.
    let left = unsafe {
        if (*owner).listening == u32::MAX {
            return; // found by the scan (`iter_task_file`)
        }
        (*owner).listening -= 1;
        (*owner).listening
    };
    if left == 0 {
        accept_queue::closed(listener);
        // SAFETY: as above.
        let owner: &Owner = unsafe { &*owner };
        let _ = CLOSED_LISTENERS.insert(listener, owner, 0);
        let _ = LISTENERS.remove(listener);
    }
}

/// SYN_SENT to CLOSE: refused, timed out, unreachable, no free port, or given up.
#[inline(always)]
fn connect_ended(sk: Sock) {
    let Some(tcp) = sk.tcp() else { return };
    let errno = sk.error();
    let outcome = match errno {
        0 if tcp.segs_out() == 0 => ConnectOutcome::AddressNotAvailable,
        // The caller gave up. When the SYN had already been retransmitted, the reason was the far end's silence.
        0 if tcp.total_retrans() > 0 => ConnectOutcome::Timeout,
        0 => ConnectOutcome::Cancelled,
        ECONNREFUSED => ConnectOutcome::Refused,
        ETIMEDOUT => ConnectOutcome::Timeout,
        ENETUNREACH | EHOSTUNREACH | ENETDOWN | EHOSTDOWN => ConnectOutcome::Unreachable,
        ECONNRESET | EPIPE => ConnectOutcome::Reset,
        _ => ConnectOutcome::Other,
    };
    let now = kernel::now();
    if matches!(outcome, ConnectOutcome::Unreachable | ConnectOutcome::AddressNotAvailable | ConnectOutcome::Other) {
        // `sys_exit_connect` would count these errors again.
        let _ = FAILED_CONNECTS.insert(sk.address(), 1u32, 0);
    }
    let Some(socket) = socket_table::get(sk) else {
        if sk.is_tcp() {
            count_in_other(OTHER_CLIENT, outcome);
        }
        return;
    };
    if socket.phase != PHASE_CONNECTING {
        return;
    }
    socket.phase = PHASE_ENDED;
    socket.flags |= FAILED;
    let syn_retransmits = tcp.total_retrans();
    if let Some(record) = edge::record(socket.edge) {
        // The failed connect's disconnect resets the kernel's count.
        bytes::sync_retransmits(tcp, socket, record);
        edge::note_port(record, sk);
    }
    let failure = Failure {
        outcome,
        errno: if errno == 0 && outcome == ConnectOutcome::AddressNotAvailable { EADDRNOTAVAIL } else { errno },
        after_ns: if socket.arrived_ns == 0 { 0 } else { now.saturating_sub(socket.arrived_ns) },
        syn_retransmits,
    };
    edge::connect_failed(socket.edge, now, &failure);
    if errno == 0
        && outcome == ConnectOutcome::Timeout
        && let Some(record) = edge::record(socket.edge)
    {
        bump!(record.timeout_by_caller);
    }
}

/// Any step of a connection's end.
#[inline(always)]
fn leaving(sk: Sock, old: i32, new: i32) {
    let Some(socket) = socket_table::get(sk) else { return };
    if new == TCP_CLOSE_WAIT {
        early_close::peer_closed(sk, socket);
        return;
    }
    if new == TCP_FIN_WAIT2 && sk.is_dead() {
        close::finalize(socket);
    }
    if socket.resolution == FINALIZED || (socket.phase == PHASE_ENDED && new != TCP_CLOSE) {
        return;
    }
    early_close::judge_close(sk, socket, 0);
    let shut = sk.shutdown() == SHUTDOWN_BOTH;
    if socket.resolution == UNRESOLVED && socket.phase == PHASE_OPEN {
        // No process has read or written it. A local close is made by its owner; for any other end the listener's process is
        // the best guess.
        if new == TCP_FIN_WAIT1 || shut {
            resolve::by_current(sk, socket);
        } else {
            resolve::by_listener(sk, socket);
        }
    }
    if socket.phase == PHASE_OPEN
        && socket_sampling::is_current(sk, socket)
        && let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge))
    {
        transfer::notice_unseen_read(sk, tcp, socket, record);
        if new == TCP_LAST_ACK {
            early_close::note_early_end(tcp, socket, record);
        }
    }
    if new == TCP_CLOSE || shut {
        close::close(socket);
    }
    // After a shutdown of the sending side, or the peer's close, there may still be an answer to read.
    let unread = socket.arrived_ns != 0;
    let closed_here = shut && matches!(old, TCP_ESTABLISHED | TCP_CLOSE_WAIT) && (new == TCP_CLOSE || !unread);
    if closed_here || (new == TCP_CLOSE && sk.error() != 0 && !unread) {
        close::end_round(socket);
    }
}

#[inline(always)]
fn count_in_other(other: u32, outcome: ConnectOutcome) {
    if let Some(record) = edge::record(other) {
        edge::count_outcome(record, outcome);
    }
}
