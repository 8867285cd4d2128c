//! `void tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb, ...)`, since 4.15 (a third parameter
//! came in 6.18).
//!
//! A trigger only: the number comes from the socket's own `total_retrans`, which counts segments as `RetransSegs` does,
//! so a missed run costs delay, never a count.

use weir_abi::ROLE_CLIENT;
use weir_ebpf::socket::PHASE_CONNECTING;

use crate::{connection::bytes, edge, kernel::Sock, socket_table};

#[inline(always)]
pub(crate) fn run(sk: Sock) {
    let Some(socket) = socket_table::get(sk) else { return };
    if !socket.is_resolved() {
        return;
    }
    if let (Some(tcp), Some(record)) = (sk.tcp(), edge::record(socket.edge)) {
        bytes::sync_retransmits(tcp, socket, record);
        if socket.phase == PHASE_CONNECTING && socket.role == ROLE_CLIENT {
            edge::note_port(record, sk);
        }
    }
}
