//! `void sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3.
//!
//! Every send path of the socket layer, in the caller's context: write, sendmsg, writev, sendfile, splice to a socket,
//! MSG_ZEROCOPY, io_uring.
//!
//! Before 6.3: `tcp_sendmsg` and, up to 6.4, `tcp_sendpage`.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use weir_abi::Counter;

use crate::{
    edge, follow,
    kernel::{
        Sock,
        pointer::{Pointer, Untyped},
    },
    maps::SENDING,
    sockets,
    track::{self, Books},
};

#[inline(always)]
pub(crate) fn run(sk: Sock<impl Pointer>, result: i32) {
    let Some(sampling) = follow::sampled(sk) else { return };
    let Some(socket) = sockets::get(sk).or_else(|| track::adopt(sk)) else { return };
    follow::renew(sampling, socket);
    if !socket.is_ready() && !track::prepare(sk, socket, 0) {
        return;
    }
    if result <= 0 {
        return;
    }
    let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) else { return };
    track::notice_unseen_read(sk, tcp, socket, record);
    let at = track::send_time(tcp, socket);
    let bytes = result as u32;
    track::add_sent(sk, bytes, at, socket, record);
    let weight = follow::weight(socket);
    let thread = Some(&mut socket.peer_or_thread);
    let mut books = Books { record, flags: &mut socket.flags, weight, wait_ns: 0, bytes, thread };
    track::sent(sk, at, socket.role, &mut socket.round, &mut books);
}

/// A thread enters a send, where only its beginning knows the socket and only its return the result.
#[inline(always)]
pub(crate) fn enter(sk: Sock<Untyped>) {
    // SAFETY: no arguments.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    // SAFETY: only the presence is used: the kernel had no room to catch the return of this thread's last send.
    if unsafe { SENDING.get(thread) }.is_some() {
        edge::count(Counter::SendsMissed);
    }
    if SENDING.insert(thread, sk.address(), 0).is_err() {
        edge::count(Counter::SendsMissed);
    }
}

/// And returns from it.
#[inline(always)]
pub(crate) fn leave(result: i32) {
    // SAFETY: no arguments.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    // SAFETY: a plain integer that only this thread writes.
    let Some(sk) = (unsafe { SENDING.get(thread) }).copied() else { return };
    let _ = SENDING.remove(thread);
    run(Sock(Untyped(sk as *const _)), result);
}
