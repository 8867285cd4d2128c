//! `void tcp_cong_state_set(struct sock *sk, const u8 ca_state)`, since 5.19.
//!
//! A retransmission timer that expires sets `TCP_CA_Loss`, before it retransmits: what was retransmitted until then is counted, also
//! where `tcp_retransmit_skb` is not served.

use crate::{connection::bytes, edge, kernel::Sock, socket_table};

/// `enum tcp_ca_state`
const TCP_CA_LOSS: u32 = 4;

#[inline(always)]
pub(crate) fn run(sk: Sock, state: u32) {
    if state != TCP_CA_LOSS {
        return;
    }
    let Some(socket) = socket_table::get(sk) else { return };
    if !socket.is_resolved() {
        return;
    }
    if let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) {
        bytes::sync_retransmits(tcp, socket, record);
    }
}
