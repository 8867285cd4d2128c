//! A socket's record from its first sight to its end.

use aya_ebpf::{bindings::BPF_SK_STORAGE_GET_F_CREATE, helpers::generated::bpf_sk_storage_get};
use weir_abi::{
    ConnectOutcome, Counter, EdgeKey, EdgeRecord, FIRST_SLOT, OTHER_CLIENT, OTHER_SERVER_LOCAL, OTHER_SERVER_REMOTE,
    ROLE_CLIENT, ROLE_NONE, ROLE_SERVER,
};
use weir_ebpf::{
    round::Turn,
    socket::{
        FAILED, Handshake, MULTIPLEXED, PARTIAL, PEER_CLOSED, PHASE_CONNECTING, PHASE_ENDED, PHASE_OPEN, PUSH,
        RESOLVED, Socket,
    },
};

use crate::{
    edge::{self, Header, OwnedBy, bump, count, counted, observe},
    kernel::{self, Sock, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_SYN_SENT, Task, Tcp},
    maps::{FAILED_CONNECTS, HANDSHAKES, LISTENERS, Listener, SOCKETS, max_sockets},
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

/// A fresh record; none when the limit is reached or the kernel has no memory.
#[inline(always)]
pub(crate) fn create(sk: Sock) -> Option<&'static mut Socket> {
    if at_limit() {
        return None;
    }
    let Some(socket) = storage(sk, u64::from(BPF_SK_STORAGE_GET_F_CREATE)) else {
        count(Counter::SocketStorageFailed);
        return None;
    };
    if socket.phase == 0 {
        count(Counter::SocketsTracked);
    }
    Some(socket)
}

#[inline(always)]
fn at_limit() -> bool {
    counted(Counter::SocketsTracked).wrapping_sub(counted(Counter::SocketsReleased)) >= max_sockets()
}

/// Takes up a socket that is already alive: there before weir, or missed. Its role follows from the listening ports.
#[inline(never)]
pub(crate) fn adopt(sk: Sock) -> Option<&'static mut Socket> {
    // Once connections had to go without a record they are counted as such, and never half.
    if !sk.is_tcp() || at_limit() || counted(Counter::SocketsOverLimit) != 0 {
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
    let listener = Listener { netns: sk.netns(), port: u32::from(sk.local_port()) };
    // SAFETY: only the presence is used.
    let listening = unsafe { LISTENERS.get(listener) }.is_some();
    socket.role = if listening { ROLE_SERVER } else { ROLE_CLIENT };
    socket.phase = if state == TCP_SYN_SENT { PHASE_CONNECTING } else { PHASE_OPEN };
    socket.flags = PARTIAL | if state == TCP_CLOSE_WAIT { PEER_CLOSED } else { 0 };
    socket.total_retrans = tcp.total_retrans();
    socket.copied_seq = tcp.copied_seq();
    Some(socket)
}

/// Whether data can still move on it, or will.
#[inline(always)]
pub(crate) fn is_connection(sk: Sock) -> bool {
    matches!(sk.state(), TCP_ESTABLISHED | TCP_CLOSE_WAIT | TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_SYN_SENT)
}

/// Finds the socket's edge now that its owner is known, and counts an open connection there.
#[inline(never)]
pub(crate) fn resolve(sk: Sock, socket: &mut Socket, owner: OwnedBy<'_>) {
    if socket.flags & RESOLVED != 0 {
        return;
    }
    let tgid = match owner {
        OwnedBy::Task(task) => task.tgid(),
        OwnedBy::Known(owner) => owner.tgid,
    };
    let mut key = EdgeKey { tgid, netns: sk.netns(), role: socket.role, ..EdgeKey::default() };
    let mut other = OTHER_CLIENT;
    let mut header = Header { owner, local_address: [0; 16], peer_netns: 0 };
    sk.local_address(&mut header.local_address);
    if socket.role == ROLE_SERVER {
        key.listen_port = sk.local_port();
        match peer_of(sk) {
            Some(client) if client.role == ROLE_NONE => {
                // The client's end is in `other`: so is this one, or the connection would count twice.
                if client.port != NO_RECORD {
                    count(Counter::EdgesOverLimit);
                }
                attach(sk, socket, OTHER_SERVER_LOCAL, &key);
                return;
            }
            Some(client) => {
                key.address = client.address;
                key.port = client.port;
                key.peer_tgid = client.tgid;
                header.peer_netns = client.netns;
                other = OTHER_SERVER_LOCAL;
            }
            None => {
                sk.remote_address(&mut key.address);
                key.port = key.listen_port;
                other = OTHER_SERVER_REMOTE;
            }
        }
    } else {
        sk.remote_address(&mut key.address);
        key.port = sk.remote_port();
    }
    let slot = edge::slot(&key, &header, other);
    attach(sk, socket, slot, &key);
}

/// The edge of this connection's client, when that is on this host too.
#[inline(always)]
fn peer_of(sk: Sock) -> Option<&'static EdgeKey> {
    let handshake = Handshake::of_server(sk.tcp()?.positions());
    // SAFETY: keys are plain integers; an entry replaced meanwhile belongs to another handshake and cannot match.
    unsafe { HANDSHAKES.get(handshake) }
}

/// Gives the socket its slot.
#[inline(always)]
fn attach(sk: Sock, socket: &mut Socket, slot: u32, key: &EdgeKey) {
    socket.edge = slot;
    socket.flags |= RESOLVED;
    let Some(record) = edge::record(socket.edge) else { return };
    bump!(record.attached);
    if socket.phase == PHASE_OPEN {
        opened(sk, socket, record, key);
    }
}

/// Counts an established connection, and leaves the client's handshake for the accepting end to find.
#[inline(always)]
pub(crate) fn opened(sk: Sock, socket: &mut Socket, record: *mut EdgeRecord, key: &EdgeKey) {
    bump!(record.opened);
    if socket.flags & PARTIAL != 0 {
        bump!(record.partial);
    } else {
        bump!(record.connects[ConnectOutcome::Ok as usize]);
        if socket.handshake_us != 0 {
            observe!(record.handshake, u64::from(socket.handshake_us) * 1000);
        }
    }
    if socket.role == ROLE_CLIENT {
        announce(sk, if socket.edge < FIRST_SLOT { &IN_OTHER } else { key });
    } else if socket.flags & PARTIAL == 0 {
        count(Counter::AcceptedOwned);
    }
}

/// Stands for a client's edge that is in `other` for want of a slot.
pub(crate) static IN_OTHER: EdgeKey = stand_in(0);
/// Stands for a client's connection that has no record.
pub(crate) static UNTRACKED: EdgeKey = stand_in(NO_RECORD);

const NO_RECORD: u16 = 1;

const fn stand_in(port: u16) -> EdgeKey {
    EdgeKey { address: [0; 16], tgid: 0, peer_tgid: 0, netns: 0, port, listen_port: 0, role: ROLE_NONE, _pad: [0; 3] }
}

/// Leaves a client's handshake for the accepting end to find.
#[inline(always)]
pub(crate) fn announce(sk: Sock, key: &EdgeKey) {
    if let Some(tcp) = sk.tcp() {
        let _ = HANDSHAKES.insert(Handshake::of_client(tcp.positions()), key, 0);
    }
}

/// Which of the `other` slots an accepted connection without a record belongs to.
#[inline(always)]
pub(crate) fn other_of_server(sk: Sock) -> u32 {
    if peer_of(sk).is_some() { OTHER_SERVER_LOCAL } else { OTHER_SERVER_REMOTE }
}

/// Which of the `other` slots any connection without a record belongs to.
#[inline(always)]
pub(crate) fn other_of(sk: Sock, local_port: u16) -> u32 {
    let listener = Listener { netns: sk.netns(), port: u32::from(local_port) };
    // SAFETY: only the presence is used.
    if unsafe { LISTENERS.get(listener) }.is_some() { other_of_server(sk) } else { OTHER_CLIENT }
}

/// Applies what an operation did to the conversation. `wait_ns` is how long the data it read had been there.
#[inline(always)]
pub(crate) fn apply(turn: Turn, now: u64, wait_ns: u64, tcp: Tcp, socket: &mut Socket, record: *mut EdgeRecord) {
    if turn.completed {
        observe!(record.full_latency, turn.full_latency_ns);
    }
    if turn.opened {
        bump!(record.rounds_started);
        // SAFETY: fields of a live map value; a torn gauge is impossible at 4 bytes.
        unsafe {
            edge::add(&raw mut (*record).in_flight_ns, now.wrapping_neg());
            (*record).srtt_us = tcp.srtt_us();
        }
    }
    if turn.answered {
        observe!(record.latency, turn.latency_ns);
        // SAFETY: a field of a live map value.
        edge::add(unsafe { &raw mut (*record).in_flight_ns }, now);
    }
    if turn.turned && wait_ns != 0 {
        observe!(record.receive_queue_wait, wait_ns);
    }
    if turn.opened || socket.bytes_sent + socket.bytes_received > FLUSH_BYTES {
        flush(socket, record);
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

/// Moves the bytes the socket has gathered to its edge.
#[inline(always)]
pub(crate) fn flush(socket: &mut Socket, record: *mut EdgeRecord) {
    // SAFETY: fields of a live map value.
    unsafe {
        if socket.bytes_sent != 0 {
            edge::add(&raw mut (*record).bytes_sent, socket.bytes_sent);
            socket.bytes_sent = 0;
        }
        if socket.bytes_received != 0 {
            edge::add(&raw mut (*record).bytes_received, socket.bytes_received);
            socket.bytes_received = 0;
        }
    }
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
    if socket.round.abandon() {
        // SAFETY: a field of a live map value.
        edge::add(unsafe { &raw mut (*record).in_flight_ns }, now);
        if socket.flags & PEER_CLOSED != 0 {
            bump!(record.rounds_broken);
        } else {
            bump!(record.rounds_abandoned);
        }
    }
    let turn = socket.round.settle(now, true);
    if turn.completed {
        observe!(record.full_latency, turn.full_latency_ns);
    }
    flush(socket, record);
}

/// The socket itself is gone: nothing may write to its edge any more.
#[inline(always)]
pub(crate) fn release(sk: Sock, socket: &mut Socket, now: u64) {
    close(socket);
    end_round(socket, now);
    count(Counter::SocketsReleased);
    if socket.flags & FAILED != 0 {
        let _ = FAILED_CONNECTS.remove(sk.0 as u64);
    }
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
    socket.edge = OTHER_CLIENT;
}

/// Resolves a connection that ends before any process used it: it belongs to whoever listens there.
#[inline(always)]
pub(crate) fn resolve_untouched(sk: Sock, socket: &mut Socket, port: u16) {
    let listener = Listener { netns: sk.netns(), port: u32::from(port) };
    // SAFETY: an entry replaced meanwhile reads as the old or the new listener.
    if let Some(owner) = unsafe { LISTENERS.get(listener) } {
        count(Counter::AcceptedUntouched);
        resolve(sk, socket, OwnedBy::Known(owner));
    } else {
        count(Counter::UnknownSockets);
        attach(sk, socket, other_of_server(sk), &IN_OTHER);
    }
}

/// Resolves by the running task, which is the owner in a process's own system call.
#[inline(always)]
pub(crate) fn resolve_current(sk: Sock, socket: &mut Socket) {
    if socket.flags & RESOLVED == 0 {
        resolve(sk, socket, OwnedBy::Task(Task::current()));
    }
}

/// Whether a socket that was there before weir moves data for the first time since.
#[inline(always)]
pub(crate) fn is_first_operation(socket: &Socket) -> bool {
    socket.flags & PARTIAL != 0 && socket.round.initiations | socket.round.responses == 0
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
