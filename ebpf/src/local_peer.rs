//! The two ends of a connection on one host: the client announces its slot under its handshake, and the accepting end looks
//! it up.

use weir_abi::{ListeningPort, OTHER_CLIENT, OTHER_SERVER_LOCAL, OTHER_SERVER_REMOTE};
use weir_ebpf::socket::{Handshake, PARTIAL, Socket};

use crate::{
    handshake_table,
    kernel::{Sock, Tcp, pointer::Pointer},
    maps::{HANDSHAKES, LISTENERS},
};

/// Announces a client's slot under its handshake: for microseconds, until the accepting end is established, or `for_long`,
/// until the scan or the accepting socket's end looks it up.
#[inline(always)]
pub(crate) fn announce(sk: Sock<impl Pointer>, slot: u32, for_long: bool) {
    let Some(tcp) = sk.tcp() else { return };
    let handshake = Handshake::of_client(tcp.positions());
    if for_long {
        let _ = HANDSHAKES.insert(handshake, slot, 0);
    } else {
        handshake_table::insert(handshake, slot);
    }
}

/// The slot that the client of an accepted connection has announced, when it is on this host.
#[inline(always)]
pub(crate) fn announced(tcp: Tcp<impl Pointer>) -> Option<u32> {
    handshake_table::lookup(Handshake::of_server(tcp.positions()))
}

/// The same for a connection that is older than weir.
#[inline(always)]
fn announced_before(sk: Sock<impl Pointer>) -> Option<u32> {
    let handshake = Handshake::of_server(sk.tcp()?.positions());
    // SAFETY: slots are plain integers; an entry replaced meanwhile belongs to another handshake and cannot match.
    unsafe { HANDSHAKES.get(handshake) }.copied().or_else(|| handshake_table::lookup(handshake))
}

/// The same, from the record where it was noted at the establishment.
#[inline(always)]
pub(crate) fn peer_of(sk: Sock<impl Pointer>, socket: &Socket) -> Option<u32> {
    if socket.flags & PARTIAL != 0 { announced_before(sk) } else { socket.peer_or_thread.checked_sub(1) }
}

/// Which of the `other` slots a connection accepted just now without a record belongs to. The handshake is kept for the
/// connection's end, which looks it up again.
#[inline(always)]
pub(crate) fn remember_untracked(sk: Sock<impl Pointer>) -> u32 {
    let Some(tcp) = sk.tcp() else { return OTHER_SERVER_REMOTE };
    let handshake = Handshake::of_server(tcp.positions());
    match handshake_table::lookup(handshake) {
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
