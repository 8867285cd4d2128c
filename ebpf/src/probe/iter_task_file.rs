//! `int bpf_iter__task_file(struct bpf_iter_meta *meta, struct task_struct *task, u32 fd, struct file *file)`, since
//! 5.8 (`bpf_sock_from_file` since 5.11).
//!
//! The socket scan: every open file of every process, so sockets of all network namespaces, each with its true owner.
//! Run by user space, never on a hot path.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_sock_from_file;
use weir_abi::{Counter, ROLE_CLIENT};
use weir_ebpf::socket::UNRESOLVED;

use crate::{
    edge::{self, OwnedBy, Owner, count},
    kernel::{self, Sock, TCP_LISTEN, Task, sock_of_socket},
    maps::{LISTENERS, Listener, SCAN_PHASE},
    resolve, sockets, track,
};

/// Remember the listening ports: they tell servers from clients.
const LISTENING: u32 = 0;
/// Take up client sockets: they leave their handshakes for the accepting ends.
const CLIENTS: u32 = 1;
/// Take up the rest, and count those there is no room for.
const REST: u32 = 2;
/// Settle rounds and bytes of all.
const SETTLE: u32 = 3;

/// The iterator's context.
#[repr(C)]
pub(crate) struct Context {
    meta: *const c_void,
    task: *const c_void,
    fd: u64,
    file: *const c_void,
}

#[inline(always)]
pub(crate) fn run(ctx: *const Context) {
    // SAFETY: the kernel passes a context of this layout; volatile keeps each load at its own offset.
    let (task, file) =
        unsafe { (core::ptr::read_volatile(&raw const (*ctx).task), core::ptr::read_volatile(&raw const (*ctx).file)) };
    if task.is_null() || file.is_null() {
        return;
    }
    // SAFETY: a BTF-typed file of the iterator; null for what is no socket.
    let socket = unsafe { bpf_sock_from_file(file.cast_mut().cast()) };
    if socket.is_null() {
        return;
    }
    let sk = sock_of_socket(socket.cast());
    if sk.0.is_null() || !sk.is_tcp() {
        return;
    }
    // SAFETY: an aligned map value.
    let phase = SCAN_PHASE.get_ptr(0).map_or(0, |phase| unsafe { core::ptr::read_volatile(phase) });
    let task = Task(task);
    if phase == LISTENING {
        remember_listener(sk, task);
    } else {
        visit(sk, task, phase);
    }
}

#[inline(always)]
fn remember_listener(sk: Sock, task: Task) {
    if sk.state() != TCP_LISTEN {
        return;
    }
    let listener = Listener { netns: sk.netns(), port: u32::from(sk.local_port()) };
    // SAFETY: only the presence is used: the first process found (the lowest pid) opened the port.
    if unsafe { LISTENERS.get(listener) }.is_some() {
        return;
    }
    // Several processes show the same socket and several sockets the same port: how many there are is not known, so
    // such a port is kept for good.
    let owner = Owner { listening: u32::MAX, ..Owner::of(task) };
    if LISTENERS.insert(listener, owner, 0).is_err() {
        count(Counter::ListenersOverLimit);
    }
}

#[inline(always)]
fn visit(sk: Sock, task: Task, phase: u32) {
    let Some(socket) = sockets::get(sk).or_else(|| track::adopt(sk)) else {
        if phase == REST && track::is_connection(sk) {
            count(Counter::SocketsOverLimit);
        }
        return;
    };
    if phase == CLIENTS && socket.role != ROLE_CLIENT {
        return;
    }
    if socket.resolution == UNRESOLVED {
        resolve::resolve(sk, socket, OwnedBy::Task(task));
    }
    if phase == SETTLE
        && let Some(record) = edge::record(socket.edge)
    {
        track::settle(Some(kernel::now()), socket, record);
    }
}
