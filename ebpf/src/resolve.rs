//! The owner and the edge of a socket: resolved once per connection.

use weir_abi::{
    ConnectOutcome, Counter, EdgeKey, EdgeRecord, FIRST_SLOT, ListeningPort, OTHER_CLIENT, OTHER_SERVER_LOCAL,
    OTHER_SERVER_REMOTE, ROLE_CLIENT, ROLE_SERVER,
};
use weir_ebpf::socket::{
    PARTIAL, PEER_UNTRACKED, PHASE_OPEN, POSITION_UNKNOWN, RESOLVED, RESOLVING, Socket, UNRESOLVED,
};

use crate::{
    accept_queue,
    atomic::{add_u32, bump, observe},
    counters::count,
    edge::{self, Header, new_key},
    kernel::{Sock, Task, copy_address, pointer::Pointer},
    local_peer::{announce, peer_of},
    maps::{CLOSED_LISTENERS, LISTENERS},
    owner::OwnedBy,
    socket_table,
};

/// Resolves by the running task, which is the owner in a process's own system call. False while another thread resolves it.
#[inline(always)]
pub(crate) fn by_current(sk: Sock<impl Pointer>, socket: &mut Socket) -> bool {
    if socket.resolution == UNRESOLVED {
        let task = Task::current();
        accept_queue::left(sk, socket, task.tgid());
        resolve(sk, socket, OwnedBy::Task(task));
    }
    socket.is_resolved()
}

/// Resolves a connection that no process has used: it belongs to the process that listens on the port, or did so until just now.
#[inline(always)]
pub(crate) fn by_listener(sk: Sock<impl Pointer>, socket: &mut Socket) {
    let listener = ListeningPort {
        netns: socket.accepted_netns().unwrap_or_else(|| sk.netns()),
        port: u32::from(sk.source_port()),
    };
    // SAFETY: an entry replaced meanwhile reads as the old or the new listener.
    let owner = unsafe { LISTENERS.get(listener).or_else(|| CLOSED_LISTENERS.get(listener)) };
    if let Some(owner) = owner {
        count(Counter::AcceptedUntouched);
        resolve(sk, socket, OwnedBy::Known(owner));
    } else {
        count(Counter::UnknownSockets);
        begin(socket);
        let other = if peer_of(sk, socket).is_some() { OTHER_SERVER_LOCAL } else { OTHER_SERVER_REMOTE };
        attach(sk, socket, other);
    }
}

/// Clears the conversation's part of an accepted connection's record at the process's first operation: until then it is not
/// initialized.
#[inline(always)]
fn begin(socket: &mut Socket) {
    if socket.is_accepted() {
        socket_table::begin(socket);
    }
}

/// Finds the socket's edge now that its owner is known, and counts an open connection there.
#[inline(never)]
pub(crate) fn resolve(sk: Sock<impl Pointer>, socket: &mut Socket, owner: OwnedBy<'_>) {
    if socket.resolution != UNRESOLVED {
        return;
    }
    begin(socket);
    let netns = socket.accepted_netns().unwrap_or_else(|| sk.netns());
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
        // The source port: at CLOSE the socket no longer has its local one.
        key.listen_port = sk.source_port();
        key.port = key.listen_port;
        other = match peer_of(sk, socket) {
            Some(slot) if slot < FIRST_SLOT || slot == PEER_UNTRACKED => {
                // The client's end is in `other`, so this end must be too: else the connection would count twice.
                if slot != PEER_UNTRACKED {
                    count(Counter::EdgesOverLimit);
                }
                attach(sk, socket, OTHER_SERVER_LOCAL);
                return;
            }
            Some(slot) => {
                key_by_client(slot, &mut key, &mut header);
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

/// Completes a server's key with the address that the client on this host dialled.
#[inline(always)]
fn key_by_client(slot: u32, key: &mut EdgeKey, header: &mut Header<'_, impl Pointer>) {
    let Some(client) = edge::record(slot) else { return };
    // SAFETY: a live map value, whose header does not change while the client's socket is attached.
    let client = unsafe { &(*client).key };
    copy_address(&client.address, &mut key.address);
    key.port = client.port;
    key.peer_tgid = client.tgid;
    header.peer_netns = client.netns;
}

/// Attaches the socket to its slot.
#[inline(always)]
fn attach(sk: Sock<impl Pointer>, socket: &mut Socket, slot: u32) {
    socket.edge = slot;
    socket.resolution = if socket.flags & PARTIAL == 0 { RESOLVED } else { POSITION_UNKNOWN };
    let Some(record) = edge::record(slot) else { return };
    bump!(record.attached);
    if socket.phase == PHASE_OPEN {
        opened(sk, socket, record);
    }
}

/// Counts an established connection, and announces a client to the accepting end.
#[inline(always)]
pub(crate) fn opened(sk: Sock<impl Pointer>, socket: &mut Socket, record: *mut EdgeRecord) {
    bump!(record.opened);
    if socket.flags & PARTIAL != 0 {
        // SAFETY: a field of a live map value.
        add_u32(unsafe { &raw mut (*record).partial }, 1);
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
