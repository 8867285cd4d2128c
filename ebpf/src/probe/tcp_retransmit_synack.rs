//! `void tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`, since 4.16.
//!
//! There is no connection yet. A child that completes carries the number into its edge (`total_retrans` starts at the
//! request's count); this counter also has those that never complete.

use weir_abi::Counter;

use crate::counters::count;

#[inline(always)]
pub(crate) fn run() {
    count(Counter::SynackRetransmits);
}
