//! Program entries on functions of the kernel, for kernels that lack a tracepoint: the same bodies with the same arguments.
//!
//! By trampoline (fentry, fexit) where the processor's port of the kernel has them (x86_64 since 5.5, arm64 since 6.4),
//! else by kprobe, whose arguments have no types to the verifier.

#![expect(clippy::needless_pass_by_value, reason = "aya's macros call an entry with its context by value")]

use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use super::sock;
use crate::{
    kernel::{
        Sock,
        pointer::{Typed, Untyped},
    },
    probe,
};

/// `int tcp_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)`.
#[fexit]
fn tcp_sendmsg_exit(ctx: FExitContext) -> i32 {
    probe::sock_send_length::run(sock!(ctx, 0), ctx.arg(3));
    0
}

/// `int tcp_sendpage(struct sock *sk, struct page *page, int offset, size_t size, int flags)`, up to 6.4: sendfile and
/// splice.
#[fexit]
fn tcp_sendpage_exit(ctx: FExitContext) -> i32 {
    probe::sock_send_length::run(sock!(ctx, 0), ctx.arg(5));
    0
}

/// Either of the two.
#[kprobe]
fn tcp_send_enter(ctx: ProbeContext) -> u32 {
    if let Some(sk) = ctx.arg(0) {
        probe::sock_send_length::enter(Sock(Untyped(sk)));
    }
    0
}

#[kretprobe]
fn tcp_send_return(ctx: RetProbeContext) -> u32 {
    probe::sock_send_length::leave(ctx.ret());
    0
}

/// `void sock_def_readable(struct sock *sk)`.
#[fentry]
fn sock_readable(ctx: FEntryContext) -> i32 {
    probe::sk_data_ready::run_but_for_fin(sock!(ctx, 0));
    0
}

#[kprobe]
fn sock_readable_k(ctx: ProbeContext) -> u32 {
    if let Some(sk) = ctx.arg(0) {
        probe::sk_data_ready::run_but_for_fin(Sock(Untyped(sk)));
    }
    0
}

/// `void sock_def_error_report(struct sock *sk)`.
#[fentry]
fn sock_error(ctx: FEntryContext) -> i32 {
    probe::inet_sk_error_report::run(sock!(ctx, 0));
    0
}

#[kprobe]
fn sock_error_k(ctx: ProbeContext) -> u32 {
    if let Some(sk) = ctx.arg(0) {
        probe::inet_sk_error_report::run(Sock(Untyped(sk)));
    }
    0
}
