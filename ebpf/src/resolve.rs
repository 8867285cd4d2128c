//! Whose socket is it, and which edge's: asked once per connection.

use weir_abi::{
    ConnectOutcome, Counter, EdgeKey, EdgeRecord, FIRST_SLOT, ListeningPort, OTHER_CLIENT, OTHER_SERVER_LOCAL,
    OTHER_SERVER_REMOTE, ROLE_CLIENT, ROLE_SERVER,
};
use weir_ebpf::socket::{
    Handshake, PARTIAL, PEER_UNTRACKED, PHASE_OPEN, RESOLVED, RESOLVING, Socket, UNMOVED, UNRESOLVED,
};

use crate::{
    accept_queue,
    edge::{self, Header, OwnedBy, bump, count, new_key, observe},
    kernel::{Sock, Task, Tcp, copy_address, pointer::Pointer},
    maps::{HANDSHAKES, LISTENERS},
    meeting, sockets,
};

/// Resolves by the running task, which is the owner in a process's own system call. False while another thread is at it.
#[inline(always)]
pub(crate) fn by_current(sk: Sock<impl Pointer>, socket: &mut Socket) -> bool {
    if socket.resolution == UNRESOLVED {
        let task = Task::current();
        accept_queue::left(sk, socket, task.tgid());
        resolve(sk, socket, OwnedBy::Task(task));
    }
    socket.is_resolved()
}

/// Resolves a connection that no process has used: it belongs to whoever listens there.
#[inline(always)]
pub(crate) fn by_listener(sk: Sock<impl Pointer>, socket: &mut Socket) {
    let listener = ListeningPort { netns: netns(sk, socket), port: u32::from(sk.source_port()) };
    // SAFETY: an entry replaced meanwhile reads as the old or the new listener.
    if let Some(owner) = unsafe { LISTENERS.get(listener) } {
        count(Counter::AcceptedUntouched);
        resolve(sk, socket, OwnedBy::Known(owner));
    } else {
        count(Counter::UnknownSockets);
        begin(socket);
        let other = if peer_of(sk, socket).is_some() { OTHER_SERVER_LOCAL } else { OTHER_SERVER_REMOTE };
        attach(sk, socket, other);
    }
}

/// Whether its record was made when it was accepted, and not before or after.
#[inline(always)]
fn is_accepted(socket: &Socket) -> bool {
    socket.role == ROLE_SERVER && socket.flags & PARTIAL == 0
}

/// The network namespace of a socket whose edge is not known yet.
#[inline(always)]
pub(crate) fn netns(sk: Sock<impl Pointer>, socket: &Socket) -> u32 {
    if is_accepted(socket) && socket.resolution == UNRESOLVED { socket.edge } else { sk.netns() }
}

/// The conversation of an accepted connection begins with what its process does first: until then nothing has touched its
/// part of the record.
#[inline(always)]
fn begin(socket: &mut Socket) {
    if is_accepted(socket) {
        sockets::begin(socket);
    }
}

/// Finds the socket's edge now that its owner is known, and counts an open connection there.
#[inline(never)]
pub(crate) fn resolve(sk: Sock<impl Pointer>, socket: &mut Socket, owner: OwnedBy<'_>) {
    if socket.resolution != UNRESOLVED {
        return;
    }
    begin(socket);
    let netns = netns(sk, socket);
    socket.resolution = RESOLVING;
    let tgid = match owner {
        OwnedBy::Task(task) => task.tgid(),
        OwnedBy::Known(owner) => owner.tgid,
    };
    let mut key = new_key();
    key.tgid = tgid;
    key.netns = netns;
    key.role = socket.role;
    let mut header = Header { owner, sk: Some(sk), peer_netns: 0 };
    let mut other = OTHER_CLIENT;
    if socket.role == ROLE_SERVER {
        // The source port: by the time of CLOSE the socket has let go of the local one.
        key.listen_port = sk.source_port();
        key.port = key.listen_port;
        other = match peer_of(sk, socket) {
            Some(slot) if slot < FIRST_SLOT || slot == PEER_UNTRACKED => {
                // The client's end is in `other`: so is this one, or the connection would count twice.
                if slot != PEER_UNTRACKED {
                    count(Counter::EdgesOverLimit);
                }
                attach(sk, socket, OTHER_SERVER_LOCAL);
                return;
            }
            Some(slot) => {
                name_by_client(slot, &mut key, &mut header);
                OTHER_SERVER_LOCAL
            }
            None => {
                sk.remote_address(&mut key.address);
                OTHER_SERVER_REMOTE
            }
        };
    } else {
        sk.remote_address(&mut key.address);
        key.port = sk.remote_port();
    }
    let slot = edge::slot(&key, &header, other);
    attach(sk, socket, slot);
}

/// Names a server's edge as the client on this host dialled it.
#[inline(always)]
fn name_by_client(slot: u32, key: &mut EdgeKey, header: &mut Header<'_, impl Pointer>) {
    let Some(client) = edge::record(slot) else { return };
    // SAFETY: a live map value, whose header does not change while the client's socket is attached.
    let client = unsafe { &(*client).key };
    copy_address(&client.address, &mut key.address);
    key.port = client.port;
    key.peer_tgid = client.tgid;
    header.peer_netns = client.netns;
}

/// Gives the socket its slot.
#[inline(always)]
fn attach(sk: Sock<impl Pointer>, socket: &mut Socket, slot: u32) {
    socket.edge = slot;
    socket.resolution = if socket.flags & PARTIAL == 0 { RESOLVED } else { UNMOVED };
    let Some(record) = edge::record(slot) else { return };
    bump!(record.attached);
    if socket.phase == PHASE_OPEN {
        opened(sk, socket, record);
    }
}

/// Counts an established connection, and leaves the client's handshake for the accepting end to find.
#[inline(always)]
pub(crate) fn opened(sk: Sock<impl Pointer>, socket: &mut Socket, record: *mut EdgeRecord) {
    bump!(record.opened);
    if socket.flags & PARTIAL != 0 {
        // SAFETY: a field of a live map value.
        edge::add_u32(unsafe { &raw mut (*record).partial }, 1);
    } else {
        bump!(record.connects[ConnectOutcome::Ok as usize]);
        if socket.handshake_or_closed != 0 {
            observe!(record.handshake, u64::from(socket.handshake_or_closed) * 1000);
        }
    }
    if socket.role == ROLE_CLIENT {
        edge::note_port(record, sk);
        announce(sk, socket.edge, socket.flags & PARTIAL != 0);
    } else if socket.flags & PARTIAL == 0 {
        count(Counter::AcceptedAttributed);
    }
}

/// Leaves a client's handshake and slot for the accepting end to find: within microseconds, or `for_long`, where the scan
/// looks for it, or the socket's end.
#[inline(always)]
pub(crate) fn announce(sk: Sock<impl Pointer>, slot: u32, for_long: bool) {
    let Some(tcp) = sk.tcp() else { return };
    let handshake = Handshake::of_client(tcp.positions());
    if for_long {
        let _ = HANDSHAKES.insert(handshake, slot, 0);
    } else {
        meeting::leave(handshake, slot);
    }
}

/// What the client of an accepted connection has announced, when it is on this host.
#[inline(always)]
pub(crate) fn announced(tcp: Tcp<impl Pointer>) -> Option<u32> {
    meeting::find(Handshake::of_server(tcp.positions()))
}

/// The same for a connection that was there before weir.
#[inline(always)]
fn announced_before(sk: Sock<impl Pointer>) -> Option<u32> {
    let handshake = Handshake::of_server(sk.tcp()?.positions());
    // SAFETY: slots are plain integers; an entry replaced meanwhile belongs to another handshake and cannot match.
    unsafe { HANDSHAKES.get(handshake) }.copied().or_else(|| meeting::find(handshake))
}

/// The same, from the record where it was noted at the establishment.
#[inline(always)]
fn peer_of(sk: Sock<impl Pointer>, socket: &Socket) -> Option<u32> {
    if socket.flags & PARTIAL != 0 { announced_before(sk) } else { socket.peer_or_thread.checked_sub(1) }
}

/// Which of the `other` slots a connection accepted just now without a record belongs to; remembered for its end, when
/// that is asked again.
#[inline(always)]
pub(crate) fn remember_untracked(sk: Sock<impl Pointer>) -> u32 {
    let Some(tcp) = sk.tcp() else { return OTHER_SERVER_REMOTE };
    let handshake = Handshake::of_server(tcp.positions());
    match meeting::find(handshake) {
        Some(slot) => {
            let _ = HANDSHAKES.insert(handshake, slot, 0);
            OTHER_SERVER_LOCAL
        }
        None => other_of_server(sk),
    }
}

/// Which of the `other` slots an accepted connection without a record belongs to.
#[inline(always)]
pub(crate) fn other_of_server(sk: Sock<impl Pointer>) -> u32 {
    if announced_before(sk).is_some() { OTHER_SERVER_LOCAL } else { OTHER_SERVER_REMOTE }
}

/// Which of the `other` slots any connection without a record belongs to.
#[inline(always)]
pub(crate) fn other_of(sk: Sock<impl Pointer>) -> u32 {
    let listener = ListeningPort { netns: sk.netns(), port: u32::from(sk.source_port()) };
    // SAFETY: only the presence is used.
    if unsafe { LISTENERS.get(listener) }.is_some() { other_of_server(sk) } else { OTHER_CLIENT }
}
