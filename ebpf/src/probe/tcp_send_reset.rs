//! `void tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, ...)`, since 4.15 (a reason came in 6.10).
//!
//! The socket is null for segments that belong to none (a refused SYN: the client's edge has that).

use crate::{atomic::bump, edge, kernel::Sock, socket_table};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    if sk.address() == 0 {
        return;
    }
    let Some(socket) = socket_table::get(sk) else { return };
    if !socket.is_resolved() {
        return;
    }
    if let Some(record) = edge::record(socket.edge) {
        bump!(record.resets_sent);
    }
}
