//! `int bpf_iter__task_file(struct bpf_iter_meta *meta, struct task_struct *task, u32 fd, struct file *file)`, since
//! 5.8.
//!
//! The socket scan: every open file of every process, so sockets of all network namespaces, each with its true owner.
//! Run by user space, never on a hot path.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_sock_from_file;
use weir_abi::{Counter, ListeningPort, ROLE_CLIENT};
use weir_ebpf::socket::UNRESOLVED;

use crate::{
    accept_queue,
    connection::{adopt, rounds},
    counters::count,
    edge,
    kernel::{
        self, Sock, TCP_LISTEN, Task,
        pointer::{Pointer, Typed},
    },
    maps::{LISTENERS, SCAN_PHASE},
    owner::{OwnedBy, Owner},
    resolve, socket_table,
};

/// Remember the listening ports: they tell servers from clients.
const LISTENING: u32 = 0;
/// Adopt client sockets: they announce their slots to the accepting ends.
const CLIENTS: u32 = 1;
/// Adopt the rest, and count those beyond the limit.
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
    let Some((task, file)) = visited(ctx) else { return };
    // SAFETY: a BTF-typed file of the iterator; null for what is not a socket.
    let socket = unsafe { bpf_sock_from_file(file.cast_mut().cast()) };
    if !socket.is_null() {
        visit_socket(Sock::of_socket(Typed(socket.cast())), Task::visited(task));
    }
}

/// The same before 5.11, which has no helper that gives a file's socket a type.
#[inline(always)]
pub(crate) fn run_untyped(ctx: *const Context) {
    let Some((task, file)) = visited(ctx) else { return };
    if let Some(socket) = kernel::socket_of_file(file) {
        visit_socket(Sock::of_socket(socket), Task::visited(task));
    }
}

#[inline(always)]
fn visited(ctx: *const Context) -> Option<(*const c_void, *const c_void)> {
    // SAFETY: the kernel passes a context of this layout; volatile keeps each load at its own offset.
    let (task, file) =
        unsafe { (core::ptr::read_volatile(&raw const (*ctx).task), core::ptr::read_volatile(&raw const (*ctx).file)) };
    if task.is_null() || file.is_null() { None } else { Some((task, file)) }
}

#[inline(always)]
fn visit_socket(sk: Sock<impl Pointer>, task: Task) {
    if sk.address() == 0 || !sk.is_tcp() {
        return;
    }
    // SAFETY: an aligned map value.
    let phase = SCAN_PHASE.get_ptr(0).map_or(0, |phase| unsafe { core::ptr::read_volatile(phase) });
    if phase == LISTENING {
        remember_listener(sk, task);
    } else {
        visit(sk, task, phase);
    }
}

#[inline(always)]
fn remember_listener(sk: Sock<impl Pointer>, task: Task) {
    if sk.state() != TCP_LISTEN {
        return;
    }
    let listener = ListeningPort { netns: sk.netns(), port: u32::from(sk.local_port()) };
    // SAFETY: only the presence is used: the first process found (the lowest pid) opened the port.
    if unsafe { LISTENERS.get(listener) }.is_some() {
        return;
    }
    // Several processes hold the same socket, and several sockets the same port: their number is unknown, so such a port is
    // never removed.
    let owner = Owner { listening: u32::MAX, ..Owner::of(task) };
    accept_queue::opened(listener, &owner);
    if LISTENERS.insert(listener, owner, 0).is_err() {
        count(Counter::ListenersOverLimit);
    }
}

#[inline(always)]
fn visit(sk: Sock<impl Pointer>, task: Task, phase: u32) {
    let Some(socket) = socket_table::get(sk).or_else(|| adopt::adopt(sk)) else {
        if phase == REST && adopt::is_connection(sk) {
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
        rounds::settle(Some(kernel::now()), socket, record);
    }
}
