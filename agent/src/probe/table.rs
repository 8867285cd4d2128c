//! Every probe weir has, in attach order.

/// How a probe hooks into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A tracepoint by its BTF type: typed arguments, the cheapest dispatch.
    TpBtf,
    /// The exit tracepoint of a system call.
    SyscallExit,
    /// An iterator, run on demand.
    Iterator,
}

/// One probe.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Program, hook and test share this name.
    pub name: &'static str,
    /// How it attaches.
    pub hook: Hook,
    /// What it attaches to: a tracepoint, a system call, an iterator.
    pub target: &'static str,
    /// First kernel that has the hook.
    pub since: &'static str,
    /// The kernel's prototype; `weir doctor` and a test compare it with BTF. Empty where there is none.
    pub prototype: &'static str,
    /// What is unknown without it.
    pub provides: &'static str,
    /// Whether weir can run without it.
    pub required: bool,
}

impl Probe {
    /// Whether a kernel's prototype with this many parameters is the one the probe was written for. A prototype
    /// written without its closing parenthesis may have more: the probe does not use them.
    pub(crate) fn fits(&self, parameters: usize) -> bool {
        let written = self.prototype.split(',').count();
        if self.prototype.ends_with(')') { parameters == written } else { parameters >= written }
    }
}

/// The probes. Ends are attached before beginnings, so that no socket is taken up that would never be released, and
/// the scan runs before the data hooks, so that these find roles and peers settled. Receives come before sends: a
/// receive without its send is no round, a send without its receive would look like an unanswered one.
pub const PROBES: &[Probe] = &[
    Probe {
        name: "tcp_destroy_sock",
        hook: Hook::TpBtf,
        target: "tcp_destroy_sock",
        since: "4.16",
        prototype: "(void *, struct sock *)",
        provides: "the end of sockets",
        required: true,
    },
    Probe {
        name: "inet_sock_set_state",
        hook: Hook::TpBtf,
        target: "inet_sock_set_state",
        since: "4.16",
        prototype: "(void *, const struct sock *, const int, const int)",
        provides: "connects, accepts and closes",
        required: true,
    },
    Probe {
        name: "sys_exit_connect",
        hook: Hook::SyscallExit,
        target: "connect",
        since: "4.7",
        prototype: "",
        provides: "connects that fail before a SYN is sent, such as for lack of a route",
        required: false,
    },
    Probe {
        name: "tcp_retransmit_skb",
        hook: Hook::TpBtf,
        target: "tcp_retransmit_skb",
        since: "4.15",
        prototype: "(void *, const struct sock *, const struct sk_buff *",
        provides: "retransmitted segments of open connections, before they close",
        required: false,
    },
    Probe {
        name: "tcp_retransmit_synack",
        hook: Hook::TpBtf,
        target: "tcp_retransmit_synack",
        since: "4.16",
        prototype: "(void *, const struct sock *, const struct request_sock *)",
        provides: "SYN-ACKs sent again for handshakes that never complete",
        required: false,
    },
    Probe {
        name: "tcp_receive_reset",
        hook: Hook::TpBtf,
        target: "tcp_receive_reset",
        since: "4.16",
        prototype: "(void *, struct sock *)",
        provides: "resets received",
        required: false,
    },
    Probe {
        name: "tcp_send_reset",
        hook: Hook::TpBtf,
        target: "tcp_send_reset",
        since: "4.15",
        prototype: "(void *, const struct sock *, const struct sk_buff *",
        provides: "resets sent",
        required: false,
    },
    Probe {
        name: "inet_sk_error_report",
        hook: Hook::TpBtf,
        target: "inet_sk_error_report",
        since: "5.14",
        prototype: "(void *, const struct sock *)",
        provides: "errors of established connections",
        required: false,
    },
    Probe {
        name: "iter_task_file",
        hook: Hook::Iterator,
        target: "task_file",
        since: "5.11",
        prototype: "",
        provides: "connections that were there before weir, until they next move data",
        required: false,
    },
    Probe {
        name: "sk_data_ready",
        hook: Hook::TpBtf,
        target: "sk_data_ready",
        since: "6.3",
        prototype: "(void *, const struct sock *)",
        provides: "receive-queue wait",
        required: false,
    },
    Probe {
        name: "sock_recv_length",
        hook: Hook::TpBtf,
        target: "sock_recv_length",
        since: "6.3",
        prototype: "(void *, struct sock *, int, int)",
        provides: "rounds, latency and bytes received",
        required: false,
    },
    Probe {
        name: "sock_send_length",
        hook: Hook::TpBtf,
        target: "sock_send_length",
        since: "6.3",
        prototype: "(void *, struct sock *, int, int)",
        provides: "rounds, latency and bytes sent",
        required: false,
    },
];
