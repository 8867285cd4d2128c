//! Bytes and segments: gathered in the socket's record, and flushed to the edge.

use weir_abi::EdgeRecord;
use weir_ebpf::socket::{Gathered, Socket, stamp};

use crate::{
    atomic::{add, add_u32, add_weighted},
    kernel::{Sock, Tcp, pointer::Pointer},
    socket_sampling::weight,
};

/// Gathers bytes sent, and at times flushes them to the edge. Called by the send hook alone, as its twin is by the receive
/// hook: two threads on one socket must not share a total.
#[inline(always)]
pub(super) fn add_sent(sk: Sock<impl Pointer>, bytes: u32, now: u64, socket: &mut Socket, record: *mut EdgeRecord) {
    if bytes >= Gathered::MANY {
        flush(socket, record);
    }
    socket.bytes.sent = socket.bytes.sent.wrapping_add(bytes);
    if socket.bytes.is_due(socket.flushed_at, now) {
        flush_due(sk, now, socket, record);
    }
}

/// The same for bytes received.
#[inline(always)]
pub(super) fn add_received(sk: Sock<impl Pointer>, bytes: u32, now: u64, socket: &mut Socket, record: *mut EdgeRecord) {
    if bytes >= Gathered::MANY {
        flush(socket, record);
    }
    socket.bytes.received = socket.bytes.received.wrapping_add(bytes);
    if socket.bytes.is_due(socket.flushed_at, now) {
        flush_due(sk, now, socket, record);
    }
}

#[inline(never)]
fn flush_due(sk: Sock<impl Pointer>, now: u64, socket: &mut Socket, record: *mut EdgeRecord) {
    socket.flushed_at = stamp(now);
    flush(socket, record);
    // SAFETY: a field of a live map value; a torn gauge is impossible at 4 bytes.
    unsafe { (*record).srtt_us = sk.srtt_us() };
}

/// Adds to the edge the bytes gathered in both directions.
#[inline(always)]
pub(super) fn flush(socket: &mut Socket, record: *mut EdgeRecord) {
    let weight = weight(socket);
    let (sent, received) = (socket.bytes.unflushed_sent(), socket.bytes.unflushed_received());
    if sent != 0 {
        add_u32(&raw mut socket.bytes.sent_flushed, sent as u32);
        add_weighted!(record.bytes_sent, sent as u64, weight);
    }
    if received != 0 {
        add_u32(&raw mut socket.bytes.received_flushed, received as u32);
        add_weighted!(record.bytes_received, received as u64, weight);
    }
}

/// Adds the retransmissions that the kernel has counted since the last call.
#[inline(always)]
pub(crate) fn sync_retransmits(tcp: Tcp<impl Pointer>, socket: &mut Socket, record: *mut EdgeRecord) {
    let total = tcp.total_retrans();
    // A disconnect resets the kernel's count.
    let new = if total < socket.total_retrans { total } else { total - socket.total_retrans };
    if total != socket.total_retrans {
        socket.total_retrans = total;
        // SAFETY: a field of a live map value.
        add(unsafe { &raw mut (*record).retransmitted_segments }, u64::from(new));
    }
}
