//! The queue of a listening port: when a connection comes into it, how full it is then, and when a process takes it out.
//!
//! The kernel has a tracepoint for the way in (`sk_data_ready` on the listening socket) and none for the way out: that is
//! `accept`'s return, or for a connection accepted by other means, its first use.

use weir_abi::{AcceptQueue, Counter, FILL_BUCKETS, ListeningPort};
use weir_ebpf::{
    fill,
    socket::{Socket, UNRESOLVED},
};

use crate::{
    atomic::{add, add_at, observe_in},
    counters::count,
    kernel::{self, Sock, TCP_LISTEN, offsets::frozen, pointer::Pointer},
    maps::ACCEPT_QUEUES,
    owner::Owner,
};

const BPF_NOEXIST: u64 = 1;

/// A queue's initial value: too large for the stack.
#[unsafe(no_mangle)]
static EMPTY_QUEUE: AcceptQueue = AcceptQueue::EMPTY;

/// Whether accept queues are observed. Where they are not, the verifier removes all of this from the programs.
#[inline(always)]
pub(crate) fn wanted() -> bool {
    frozen!(accept_queues) != 0
}

/// A process begins to listen on a port.
#[inline(always)]
pub(crate) fn opened(port: ListeningPort, owner: &Owner) {
    if !wanted() {
        return;
    }
    let empty: &AcceptQueue = &EMPTY_QUEUE;
    let _ = ACCEPT_QUEUES.insert(port, empty, BPF_NOEXIST);
    let Some(queue) = ACCEPT_QUEUES.get_ptr_mut(port) else {
        count(Counter::ListenersOverLimit);
        return;
    };
    // SAFETY: fields of a live map value.
    unsafe {
        (&raw mut (*queue).tgid).write_volatile(owner.tgid);
        let (from, into): (*const u64, *mut u64) = (owner.comm.as_ptr().cast(), (&raw mut (*queue).comm).cast());
        into.write_volatile(from.read_volatile());
        into.add(1).write_volatile(from.add(1).read_volatile());
    }
}

/// The last process stops listening on it.
#[inline(always)]
pub(crate) fn closed(port: ListeningPort) {
    if wanted() {
        let _ = ACCEPT_QUEUES.remove(port);
    }
}

/// A connection has entered the queue of this socket, if it is a listening one.
#[inline(always)]
pub(crate) fn arrived(sk: Sock<impl Pointer>) -> bool {
    if !wanted() || sk.state() != TCP_LISTEN || !sk.is_tcp() {
        return false;
    }
    let port = ListeningPort { netns: sk.netns(), port: u32::from(sk.local_port()) };
    if let Some(queue) = ACCEPT_QUEUES.get_ptr_mut(port) {
        let (depth, limit) = (sk.ack_backlog(), sk.max_ack_backlog());
        // SAFETY: fields of a live map value.
        unsafe {
            (&raw mut (*queue).limit).write_volatile(limit);
            (&raw mut (*queue).depth).write_volatile(depth);
            add(&raw mut (*queue).enqueued, 1);
            add(&raw mut (*queue).depth_sum, u64::from(depth));
            add_at::<FILL_BUCKETS>(&raw mut (*queue).fill, fill::bucket(depth, limit), 1);
        }
    }
    true
}

/// A connection is established on the server's side.
#[inline(always)]
pub(crate) fn established(socket: &mut Socket, at: u64) {
    if wanted() {
        socket.round.establish(at);
    }
}

/// A process has taken the connection out of the queue, at the latest now.
#[inline(always)]
pub(crate) fn left(sk: Sock<impl Pointer>, socket: &mut Socket, tgid: u32) {
    if !wanted() || !socket.is_accepted() {
        return;
    }
    let established_ns = socket.round.take_established(socket.resolution != UNRESOLVED);
    if established_ns == 0 {
        return;
    }
    let port = ListeningPort {
        netns: socket.accepted_netns().unwrap_or_else(|| sk.netns()),
        port: u32::from(sk.source_port()),
    };
    let Some(queue) = ACCEPT_QUEUES.get_ptr_mut(port) else { return };
    // SAFETY: fields of a live map value.
    unsafe {
        (&raw mut (*queue).tgid).write_volatile(tgid);
        observe_in(&raw mut (*queue).wait, kernel::now().saturating_sub(established_ns), 0);
    }
}
