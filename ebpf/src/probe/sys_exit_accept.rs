//! `syscalls:sys_exit_accept` and `sys_exit_accept4`, classic tracepoints: `{ u64 hidden; i32 nr; i32 pad; i64 ret }`.
//!
//! A process takes a connection out of the accept queue. The kernel has no tracepoint there; the call's return is the
//! descriptor, which leads to the socket.

use aya_ebpf::programs::TracePointContext;

use crate::{
    accept_queue,
    kernel::{Sock, Task, pointer::Untyped, registers::field},
    socket_table,
};

const RETURN_AT: usize = 16;

#[inline(always)]
pub(crate) fn run(ctx: &TracePointContext) {
    let fd: i64 = field(ctx, RETURN_AT);
    if fd < 0 {
        return;
    }
    let task = Task::current();
    let Some((address, _)) = task.tcp_socket(fd as u32) else { return };
    let sk = Sock(Untyped(address as *const _));
    if let Some(socket) = socket_table::get(sk) {
        accept_queue::left(sk, socket, task.tgid());
    }
}
