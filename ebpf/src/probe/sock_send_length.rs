//! `void sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every send path of the socket layer, in the caller's context: write, sendmsg, writev, sendfile, splice to a socket,
//! MSG_ZEROCOPY, io_uring.
//!
//! Before 6.3: `tcp_sendmsg` and, up to 6.4, `tcp_sendpage`.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use weir_abi::Counter;

use crate::{
    connection::{adopt, transfer},
    counters::count,
    kernel::{
        Sock,
        pointer::{Pointer, Untyped},
    },
    maps::SENDING,
};

#[inline(always)]
pub(crate) fn run(sk: Sock<impl Pointer>, result: i32) {
    let Some((sampling, socket)) = adopt::find(sk) else { return };
    adopt::renew(sampling, socket);
    if adopt::prepare(sk, socket, 0) && result > 0 {
        transfer::sent(sk, socket, result as u32);
    }
}

/// A thread enters a send: only its entry has the socket, and only its return the result.
#[inline(always)]
pub(crate) fn enter(sk: Sock<Untyped>) {
    // SAFETY: no arguments.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    // SAFETY: only the presence is used: the kernel missed the return of this thread's last send, for lack of a kretprobe instance.
    if unsafe { SENDING.get(thread) }.is_some() {
        count(Counter::SendsMissed);
    }
    if SENDING.insert(thread, sk.address(), 0).is_err() {
        count(Counter::SendsMissed);
    }
}

/// The thread returns from it.
#[inline(always)]
pub(crate) fn leave(result: i32) {
    // SAFETY: no arguments.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    // SAFETY: a plain integer that only this thread writes.
    let Some(sk) = (unsafe { SENDING.get(thread) }).copied() else { return };
    let _ = SENDING.remove(thread);
    run(Sock(Untyped(sk as *const _)), result);
}
