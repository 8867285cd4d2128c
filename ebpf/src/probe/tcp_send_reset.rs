//! `void tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, ...)`, since 4.15 (a reason came in 6.10).
//!
//! The socket is null for segments that belong to none (a refused SYN: the client's edge has that).

use weir_ebpf::socket::RESOLVED;

use crate::{
    edge::{self, bump},
    kernel::Sock,
    track,
};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    if sk.0.is_null() {
        return;
    }
    let Some(socket) = track::get(sk) else { return };
    if socket.resolution != RESOLVED {
        return;
    }
    if let Some(record) = edge::record(socket.edge) {
        bump!(record.resets_sent);
    }
}
