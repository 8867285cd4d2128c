//! What the tests know of weir's probes. A test of the agent, which has the table itself, holds this list against it
//! (`agent/tests/probe_list.rs`): this package runs the binary and does not link the agent.

use crate::machine::absent_probes;

/// One probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    /// Its name.
    pub name: &'static str,
    /// Whether weir cannot run without it.
    pub required: bool,
    /// Whether every command has it; else only those that follow accept queues.
    pub always: bool,
    /// The fields of an edge that are unknown without it.
    pub unknown: &'static [&'static str],
}

/// A required one has no fields of its own: there is no document without it.
const fn required(name: &'static str) -> Probe {
    Probe { name, required: true, always: true, unknown: &[] }
}

const fn optional(name: &'static str, unknown: &'static [&'static str]) -> Probe {
    Probe { name, required: false, always: true, unknown }
}

/// All of them.
pub const PROBES: &[Probe] = &[
    required("tcp_destroy_sock"),
    required("inet_sock_set_state"),
    optional("sys_exit_connect", &[]),
    Probe { always: false, ..optional("sys_exit_accept", &[]) },
    optional("tcp_retransmit_skb", &[]),
    optional("tcp_retransmit_synack", &[]),
    optional("tcp_receive_reset", &["resets"]),
    optional("tcp_send_reset", &["resets"]),
    optional("inet_sk_error_report", &[]),
    optional("cgroup_mkdir", &[]),
    optional("iter_task_file", &[]),
    optional("sk_data_ready", &["receive_queue_wait_s"]),
    optional("sock_recv_length", &["rounds", "latency_s", "service_s", "receive_queue_wait_s", "bytes_received"]),
    optional("sock_send_length", &["rounds", "latency_s", "service_s", "bytes_sent"]),
];

/// How many `weir edges` has on this kernel: at least as many programs.
pub fn served() -> usize {
    let absent = absent_probes();
    PROBES.iter().filter(|probe| probe.always && !absent.iter().any(|name| name == probe.name)).count()
}
