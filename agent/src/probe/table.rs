//! Every probe, in the order of attachment, and for each the hooks that can serve it, the best first.

use weir_abi::ProbeName;

/// How a program hooks into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A tracepoint by its BTF type: typed arguments, the cheapest dispatch.
    TpBtf,
    /// The beginning of a kernel function, by trampoline.
    Fentry,
    /// Its end, likewise.
    Fexit,
    /// The beginning of a kernel function, by breakpoint.
    Kprobe,
    /// Its return, likewise: missed while too many threads are inside.
    Kretprobe,
    /// The exit tracepoint of a system call.
    SyscallExit,
    /// An iterator, run on demand.
    Iterator,
}

/// A program of the kernel half on one hook.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name in the object.
    pub program: &'static str,
    /// How it attaches.
    pub hook: Hook,
    /// What it attaches to: a tracepoint, a function, a system call, an iterator.
    pub target: &'static str,
    /// The kernel's prototype; compared with BTF. Empty where there is none.
    pub prototype: &'static str,
    /// Skipped on a kernel without this function: some kernels do not have it.
    pub where_present: bool,
}

/// One way to serve a probe: all its parts or none.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// First kernel that has it.
    pub since: &'static str,
    /// The first is the one that is named in outputs.
    pub parts: &'static [Part],
}

/// One probe.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Also the name of its kernel file and of its test.
    pub name: ProbeName,
    /// Ways to serve it, the best first.
    pub entries: &'static [Entry],
    /// What it measures: unknown without it.
    pub provides: &'static str,
    /// Whether weir cannot run without it.
    pub required: bool,
    /// Whether it is always attached; else only where accept queues are watched.
    pub always: bool,
}

impl Probe {
    /// T0 is the best entry, which the newest kernels have; T1 is any other.
    pub(crate) fn tier(&self, entry: &Entry) -> &'static str {
        if std::ptr::eq(entry, &raw const self.entries[0]) { "T0" } else { "T1" }
    }
}

impl Entry {
    /// Whether its programs get sockets without a type for the verifier.
    pub(crate) fn is_untyped(&self) -> bool {
        let untyped = |part: &Part| {
            matches!(part.hook, Hook::Kprobe | Hook::Kretprobe) || part.program == "iter_task_file_untyped"
        };
        self.parts.iter().any(untyped)
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts[0].fmt(f)
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hook = match self.hook {
            Hook::TpBtf => "tp_btf",
            Hook::Fentry => "fentry",
            Hook::Fexit => "fexit",
            Hook::Kprobe => "kprobe",
            Hook::Kretprobe => "kretprobe",
            Hook::SyscallExit => "system-call exit",
            Hook::Iterator => "iterator",
        };
        write!(f, "{hook} {}", self.target)
    }
}

impl Part {
    /// Whether a kernel's prototype with this many parameters is the one the program was written for. A prototype
    /// written without its closing parenthesis may have more: the program does not use them.
    pub(crate) fn fits(&self, parameters: usize) -> bool {
        let written = self.prototype.split(',').count();
        if self.prototype.ends_with(')') { parameters == written } else { parameters >= written }
    }
}

/// A tracepoint; its program has the same name.
const fn tp_btf(target: &'static str, prototype: &'static str) -> Part {
    Part { program: target, hook: Hook::TpBtf, target, prototype, where_present: false }
}

const fn on(hook: Hook, target: &'static str, program: &'static str, prototype: &'static str) -> Part {
    Part { program, hook, target, prototype, where_present: false }
}

/// `tcp_sendpage` is in kernels up to 6.4.
const fn sendpage(hook: Hook, program: &'static str) -> Part {
    Part { program, hook, target: "tcp_sendpage", prototype: SENDPAGE, where_present: true }
}

const SENDMSG: &str = "(struct sock *, struct msghdr *, size_t)";
const SENDPAGE: &str = "(struct sock *, struct page *, int, size_t, int)";
const SOCK: &str = "(struct sock *)";

/// The probes. Ends are attached before beginnings, so that no socket gets a record that would never be released. The scan runs
/// before the data hooks, so that roles and peers are known to these. Receives come before sends: a receive without its send is
/// no round, but a send without its receive would look like an unanswered request. For the same reason a function's return is
/// attached before its entry.
pub static PROBES: &[Probe] = &[
    Probe {
        name: ProbeName::TcpDestroySock,
        entries: &[Entry { since: "4.16", parts: &[tp_btf("tcp_destroy_sock", "(void *, struct sock *)")] }],
        provides: "the end of sockets",
        required: true,
        always: true,
    },
    Probe {
        name: ProbeName::InetSockSetState,
        entries: &[Entry {
            since: "4.16",
            parts: &[tp_btf("inet_sock_set_state", "(void *, const struct sock *, const int, const int)")],
        }],
        provides: "connects, accepts and closes",
        required: true,
        always: true,
    },
    Probe {
        name: ProbeName::SysExitConnect,
        entries: &[Entry { since: "4.7", parts: &[on(Hook::SyscallExit, "connect", "sys_exit_connect", "")] }],
        provides: "connects that fail before a SYN is sent, such as for lack of a route",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::SysExitAccept,
        entries: &[Entry {
            since: "4.7",
            parts: &[
                on(Hook::SyscallExit, "accept4", "sys_exit_accept", ""),
                on(Hook::SyscallExit, "accept", "sys_exit_accept", ""),
            ],
        }],
        provides: "when connections are accepted, but for their first use",
        required: false,
        always: false,
    },
    Probe {
        name: ProbeName::TcpRetransmitSkb,
        entries: &[Entry {
            since: "4.15",
            parts: &[tp_btf("tcp_retransmit_skb", "(void *, const struct sock *, const struct sk_buff *")],
        }],
        provides: "retransmitted segments of open connections, before they close",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::TcpRetransmitSynack,
        entries: &[Entry {
            since: "4.16",
            parts: &[tp_btf("tcp_retransmit_synack", "(void *, const struct sock *, const struct request_sock *)")],
        }],
        provides: "SYN-ACKs retransmitted for handshakes that never complete",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::TcpReceiveReset,
        entries: &[Entry { since: "4.16", parts: &[tp_btf("tcp_receive_reset", "(void *, struct sock *)")] }],
        provides: "resets received",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::TcpSendReset,
        entries: &[Entry {
            since: "4.15",
            parts: &[tp_btf("tcp_send_reset", "(void *, const struct sock *, const struct sk_buff *")],
        }],
        provides: "resets sent",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::InetSkErrorReport,
        entries: &[
            Entry { since: "5.14", parts: &[tp_btf("inet_sk_error_report", "(void *, const struct sock *)")] },
            Entry { since: "5.5", parts: &[on(Hook::Fentry, "sock_def_error_report", "sock_error", SOCK)] },
            Entry { since: "4.7", parts: &[on(Hook::Kprobe, "sock_def_error_report", "sock_error_k", SOCK)] },
        ],
        provides: "errors of established connections",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::CgroupMkdir,
        entries: &[Entry {
            since: "4.19",
            parts: &[tp_btf("cgroup_mkdir", "(void *, struct cgroup *, const char *)")],
        }],
        provides: "names of containers that end before they are looked up",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::IterTaskFile,
        entries: &[
            Entry { since: "5.11", parts: &[on(Hook::Iterator, "task_file", "iter_task_file", "")] },
            // For kernels without bpf_sock_from_file.
            Entry { since: "5.8", parts: &[on(Hook::Iterator, "task_file", "iter_task_file_untyped", "")] },
        ],
        provides: "connections that were there before weir, until they next move data",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::SkDataReady,
        entries: &[
            Entry { since: "6.3", parts: &[tp_btf("sk_data_ready", "(void *, const struct sock *)")] },
            Entry { since: "5.5", parts: &[on(Hook::Fentry, "sock_def_readable", "sock_readable", SOCK)] },
            Entry { since: "4.7", parts: &[on(Hook::Kprobe, "sock_def_readable", "sock_readable_k", SOCK)] },
        ],
        provides: "receive-queue wait",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::SockRecvLength,
        entries: &[
            Entry { since: "6.3", parts: &[tp_btf("sock_recv_length", "(void *, struct sock *, int, int)")] },
            // Not tcp_recvmsg: the return of a thread that waits inside when weir starts would be missed.
            Entry { since: "4.16", parts: &[tp_btf("tcp_rcv_space_adjust", "(void *, struct sock *)")] },
        ],
        provides: "rounds, latency and bytes received",
        required: false,
        always: true,
    },
    Probe {
        name: ProbeName::SockSendLength,
        entries: &[
            Entry { since: "6.3", parts: &[tp_btf("sock_send_length", "(void *, struct sock *, int, int)")] },
            Entry {
                since: "5.5",
                parts: &[
                    on(Hook::Fexit, "tcp_sendmsg", "tcp_sendmsg_exit", SENDMSG),
                    sendpage(Hook::Fexit, "tcp_sendpage_exit"),
                ],
            },
            Entry {
                since: "4.7",
                parts: &[
                    on(Hook::Kretprobe, "tcp_sendmsg", "tcp_send_return", SENDMSG),
                    sendpage(Hook::Kretprobe, "tcp_send_return"),
                    on(Hook::Kprobe, "tcp_sendmsg", "tcp_send_enter", SENDMSG),
                    sendpage(Hook::Kprobe, "tcp_send_enter"),
                ],
            },
        ],
        provides: "rounds, latency and bytes sent",
        required: false,
        always: true,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_of_the_abi_has_one_row_in_order() {
        assert_eq!(PROBES.iter().map(|probe| probe.name).collect::<Vec<_>>(), ProbeName::ALL);
    }

    #[test]
    fn the_best_entry_of_a_tracepoint_is_the_tracepoint_of_its_name() {
        for probe in PROBES {
            let part = &probe.entries[0].parts[0];
            assert!(part.hook != Hook::TpBtf || part.target == probe.name.as_str(), "{}: {part}", probe.name);
        }
    }
}
