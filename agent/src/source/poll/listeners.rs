//! Counters and listening sockets of a network namespace: how full their queues are, and which processes hold them.

use std::time::Instant;

use weir_engine::{Listener, NamespacePoll, NetCounters, UnixListener};

use super::{
    half_open::HalfOpens,
    misses::{Miss, Misses},
    namespace::Namespace,
    owner::Owners,
    sock_diag::{LISTENING, SockDiag, UnixSocket},
    table,
};

/// TCP listeners reported, those with the longest queues first: some 40 bytes each in a recording. A choice.
const MAX_LISTENERS: usize = 256;
/// UNIX listeners reported, those with the longest queues. A choice.
const MAX_UNIX: usize = 64;

/// Counters and listening sockets of the namespace that this thread is in; none where its counters cannot be read.
pub(super) fn poll(
    namespace: &Namespace,
    until: Instant,
    owners: &mut Owners,
    half_opens: &mut HalfOpens,
    misses: &mut Misses,
) -> Option<NamespacePoll> {
    let mut counters = NetCounters::default();
    for name in ["netstat", "snmp"] {
        table::counters(&misses.or_count(namespace.net(name))?, &mut counters);
    }
    if counters.request_queue_cookies > 0
        && namespace.sysctl("ipv4/tcp_syncookies").is_ok_and(|value| value.trim() == "2")
    {
        // Every SYN is answered by a cookie and counted here, however empty the request queue is.
        counters.request_queue_cookies = 0;
    }
    // A kernel without IPv6 does not have `sockstat6`.
    let v4 = misses.or_count(namespace.net("sockstat"))?;
    let (in_use, time_wait) = table::sockets(&v4, &namespace.net("sockstat6").unwrap_or_default());
    let mut listeners = misses.or_count(tcp_listeners(until)).unwrap_or_default();
    half_opens.look(namespace, &counters, &mut listeners, until, misses);
    for listener in listeners.iter_mut().filter(|listener| is_filling(listener)) {
        listener.owner = owners.of(namespace.inode, listener.inode, until);
    }
    if let Some(over) = listeners.len().checked_sub(MAX_LISTENERS + 1) {
        misses.add(Miss::ListenersOverLimit, over as u64 + 1);
        let half_open = |listener: &Listener| listener.half_open.map_or(0, |queue| queue.count);
        listeners.sort_by_key(|listener| std::cmp::Reverse(listener.backlog.max(half_open(listener))));
        listeners.truncate(MAX_LISTENERS);
    }
    listeners.sort_by_key(|listener| (listener.address, listener.inode));
    let unix = unix_listeners(namespace, until, owners, misses);
    Some(NamespacePoll { netns: namespace.inode, counters, in_use, time_wait, listeners, unix })
}

/// UNIX listeners with connections in their queues: few have any.
fn unix_listeners(
    namespace: &Namespace,
    until: Instant,
    owners: &mut Owners,
    misses: &mut Misses,
) -> Vec<UnixListener> {
    let mut waiting: Vec<UnixSocket> = Vec::new();
    let asked = SockDiag::open().and_then(|mut diag| diag.unix_queues(until, &mut |socket| waiting.push(socket)));
    match asked {
        // A kernel without `CONFIG_UNIX_DIAG`.
        Ok(()) | Err(Miss::NotThere) => {}
        Err(miss) => misses.add(miss, 1),
    }
    waiting.sort_by_key(|socket| (std::cmp::Reverse(socket.backlog), socket.inode));
    misses.add(Miss::ListenersOverLimit, waiting.len().saturating_sub(MAX_UNIX) as u64);
    let longest = waiting.into_iter().take(MAX_UNIX).map(|UnixSocket { name, inode, backlog, max }| {
        let owner = if backlog > max { owners.of(namespace.inode, inode, until) } else { None };
        UnixListener { name, inode, backlog, max, owner }
    });
    longest.collect()
}

/// Whether half of one of its queues is full: then its owner is worth a search.
fn is_filling(listener: &Listener) -> bool {
    let half = |waiting: u32, most: u32| waiting > 0 && waiting.saturating_mul(2) >= most;
    half(listener.backlog, listener.max) || listener.half_open.is_some_and(|queue| half(queue.count, queue.limit))
}

fn tcp_listeners(until: Instant) -> Result<Vec<Listener>, Miss> {
    let mut found = Vec::new();
    SockDiag::open()?.each(LISTENING, until, &mut |socket| {
        let (address, inode, backlog, max) = (socket.local, socket.inode, socket.receive_queue, socket.send_queue);
        found.push(Listener { address, inode, backlog, max, owner: None, half_open: None });
        true
    })?;
    Ok(found)
}
