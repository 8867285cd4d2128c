//! The layout of the kernel's structures: no other module knows it.
//!
//! Hot fields are loaded directly through BTF-typed pointers (no helper call); cold ones, and pointers of unknown type,
//! through `bpf_probe_read_kernel`.

mod memory;
pub(crate) mod offsets;
pub(crate) mod pointer;
pub(crate) mod registers;
mod sock;
mod task;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

pub(crate) use memory::{clear, clear_words, copy_address, map_v4};
pub(crate) use sock::{
    AF_INET, AF_INET6, SHUTDOWN_BOTH, SHUTDOWN_RECEIVE, Sock, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED,
    TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, Tcp, socket_of_file,
};
pub(crate) use task::{Cgroup, Task};

/// Monotonic nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_ns() }
}
