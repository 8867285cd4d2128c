//! `void sk_data_ready(const struct sock *sk)`, since 6.3.
//!
//! Data reached the socket, in softirq: the arrival that a read's queue wait is counted from. It fires for a FIN too;
//! the read that returns 0 takes that back.
//!
//! On a listening socket it means a connection that waits to be accepted.
//!
//! Of UDP sockets, which have no record, only those that receive a name server's datagram are noted.
//!
//! Before 6.3: `sock_def_readable`, which it calls.

use crate::{
    accept_queue, dns,
    kernel::{Sock, pointer::Pointer},
    socket_sampling, socket_table,
};

#[inline(always)]
pub(crate) fn run(sk: Sock<impl Pointer>) {
    let socket = if socket_sampling::sampled(sk).is_some() { socket_table::get(sk) } else { None };
    let Some(socket) = socket else {
        if !accept_queue::arrived(sk) {
            dns::arrived(sk);
        }
        return;
    };
    if socket.arrived_ns == 0
        && let Some(tcp) = sk.tcp()
    {
        socket.arrived_ns = tcp.last_packet_ns();
    }
}

/// The same where no hook sees a read that returns 0: a FIN is no arrival there.
#[inline(always)]
pub(crate) fn run_but_for_fin(sk: Sock<impl Pointer>) {
    let only_fin = sk.is_tcp() && sk.fin_received() && sk.tcp().is_none_or(|tcp| tcp.unread() <= 1);
    if !only_fin {
        run(sk);
    }
}
