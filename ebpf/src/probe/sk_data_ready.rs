//! `void sk_data_ready(const struct sock *sk)`, since 6.3.
//!
//! Data reached the socket, in softirq: the arrival that a read's queue wait is counted from. It fires for a FIN too;
//! the read that returns 0 takes that back.

use crate::{follow, kernel::Sock, sockets};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    if follow::sampled(sk).is_none() {
        return;
    }
    let Some(socket) = sockets::get(sk) else { return };
    if socket.arrived_ns == 0
        && let Some(tcp) = sk.tcp()
    {
        socket.arrived_ns = tcp.last_packet_ns();
    }
}
