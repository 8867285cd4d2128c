//! The queue of a listening port: when a connection comes into it, how full it is then, and when a process takes it out.
//!
//! The kernel tells of the way in (`sk_data_ready` on the listening socket), not of the way out: that is `accept`'s return, or
//! where a connection is accepted by other means, its first use.

use weir_abi::{AcceptQueue, Counter, FILL_BUCKETS, ListeningPort, ROLE_SERVER};
use weir_ebpf::{
    fill,
    socket::{PARTIAL, Socket, UNRESOLVED},
};

use crate::{
    edge::{Owner, add, count, count_in, observe_in},
    kernel::{self, Sock, TCP_LISTEN, offsets::frozen, pointer::Pointer},
    maps::ACCEPT_QUEUES,
    resolve,
};

const BPF_NOEXIST: u64 = 1;

/// What a queue begins as: too large for the stack beside everything else.
#[unsafe(no_mangle)]
static EMPTY_QUEUE: AcceptQueue = AcceptQueue::EMPTY;

/// Whether anybody wants to know: where not, the verifier takes all of this out of the programs.
#[inline(always)]
pub(crate) fn wanted() -> bool {
    frozen!(accept_queues) != 0
}

/// A port is listened on.
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

/// And no more.
#[inline(always)]
pub(crate) fn closed(port: ListeningPort) {
    if wanted() {
        let _ = ACCEPT_QUEUES.remove(port);
    }
}

/// A connection has come into the queue of this listening socket, if it is one.
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
            count_in::<FILL_BUCKETS>(&raw mut (*queue).fill, fill::bucket(depth, limit), 1);
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

/// A process has it, at the latest now.
#[inline(always)]
pub(crate) fn left(sk: Sock<impl Pointer>, socket: &mut Socket, tgid: u32) {
    if !wanted() || socket.role != ROLE_SERVER || socket.flags & PARTIAL != 0 {
        return;
    }
    let established_ns = socket.round.take_established(socket.resolution != UNRESOLVED);
    if established_ns == 0 {
        return;
    }
    let port = ListeningPort { netns: resolve::netns(sk, socket), port: u32::from(sk.source_port()) };
    let Some(queue) = ACCEPT_QUEUES.get_ptr_mut(port) else { return };
    // SAFETY: fields of a live map value.
    unsafe {
        (&raw mut (*queue).tgid).write_volatile(tgid);
        observe_in(&raw mut (*queue).wait, kernel::now().saturating_sub(established_ns), 0);
    }
}
