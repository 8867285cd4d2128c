//! Program entries on tracepoints, in the order of a connection's life. Where a kernel lacks one, an entry of `function`
//! replaces it.

#![expect(clippy::needless_pass_by_value, reason = "aya's macros call an entry with its context by value")]

use aya_ebpf::{
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};

use crate::{
    kernel::{Cgroup, Sock, pointer::Typed},
    probe,
};

mod function;

/// A socket among the arguments.
macro_rules! sock {
    ($ctx:ident, $n:literal) => {
        Sock(Typed($ctx.arg($n)))
    };
}
use sock;

#[btf_tracepoint]
fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    probe::inet_sock_set_state::run(sock!(ctx, 0), ctx.arg(1), ctx.arg(2));
    0
}

#[tracepoint]
fn sys_exit_connect(ctx: TracePointContext) -> u32 {
    probe::sys_exit_connect::run(&ctx);
    0
}

#[tracepoint]
fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    probe::sys_exit_accept::run(&ctx);
    0
}

#[btf_tracepoint]
fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    probe::sock_send_length::run(sock!(ctx, 0), ctx.arg(1));
    0
}

#[btf_tracepoint]
fn sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    probe::sk_data_ready::run(sock!(ctx, 0));
    0
}

#[btf_tracepoint]
fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    probe::sock_recv_length::run(sock!(ctx, 0), ctx.arg(1), ctx.arg(2));
    0
}

#[btf_tracepoint]
fn tcp_rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    probe::sock_recv_length::run_by_position(sock!(ctx, 0));
    0
}

#[btf_tracepoint]
fn tcp_retransmit_skb(ctx: BtfTracePointContext) -> i32 {
    probe::tcp_retransmit_skb::run(sock!(ctx, 0));
    0
}

#[btf_tracepoint]
fn tcp_retransmit_synack(_ctx: BtfTracePointContext) -> i32 {
    probe::tcp_retransmit_synack::run();
    0
}

#[btf_tracepoint]
fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    probe::tcp_receive_reset::run(sock!(ctx, 0));
    0
}

#[btf_tracepoint]
fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
    probe::tcp_send_reset::run(sock!(ctx, 0));
    0
}

#[btf_tracepoint]
fn inet_sk_error_report(ctx: BtfTracePointContext) -> i32 {
    probe::inet_sk_error_report::run(sock!(ctx, 0));
    0
}

#[btf_tracepoint]
fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    probe::tcp_destroy_sock::run(sock!(ctx, 0));
    0
}

#[btf_tracepoint]
fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    probe::cgroup_mkdir::run(Cgroup(ctx.arg(0)), ctx.arg(1));
    0
}

/// aya-ebpf has no macro for iterators.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn iter_task_file(ctx: *const probe::iter_task_file::Context) -> i32 {
    probe::iter_task_file::run(ctx);
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn iter_task_file_untyped(ctx: *const probe::iter_task_file::Context) -> i32 {
    probe::iter_task_file::run_untyped(ctx);
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
