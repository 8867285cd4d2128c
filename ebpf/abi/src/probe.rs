//! Names of the probes: one for each file in the kernel half's `probe/`, whichever of its entries the running kernel takes.

use core::fmt;

macro_rules! probes {
    ($($(#[$attribute:meta])* $variant:ident = $name:literal,)*) => {
        /// A probe.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ProbeName {
            $($(#[$attribute])* $variant,)*
        }

        impl ProbeName {
            /// Every probe, in the order in which they are attached.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in output, documents and recordings, and of the probe's file.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The probe of that name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

probes! {
    /// The end of sockets.
    TcpDestroySock = "tcp_destroy_sock",
    /// Connects, accepts and closes.
    InetSockSetState = "inet_sock_set_state",
    /// Connects that fail before a SYN is sent.
    SysExitConnect = "sys_exit_connect",
    /// Connections taken out of accept queues.
    SysExitAccept = "sys_exit_accept",
    /// Retransmitted segments of open connections.
    TcpRetransmitSkb = "tcp_retransmit_skb",
    /// Retransmitted SYN-ACKs.
    TcpRetransmitSynack = "tcp_retransmit_synack",
    /// Resets received.
    TcpReceiveReset = "tcp_receive_reset",
    /// Resets sent.
    TcpSendReset = "tcp_send_reset",
    /// Errors of established connections.
    InetSkErrorReport = "inet_sk_error_report",
    /// New cgroups.
    CgroupMkdir = "cgroup_mkdir",
    /// The scan of sockets that are older than weir.
    IterTaskFile = "iter_task_file",
    /// Data's arrival at sockets.
    SkDataReady = "sk_data_ready",
    /// Receives.
    SockRecvLength = "sock_recv_length",
    /// Sends.
    SockSendLength = "sock_send_length",
}

impl fmt::Display for ProbeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_finds_its_probe() {
        assert!(ProbeName::ALL.iter().all(|&probe| ProbeName::named(probe.as_str()) == Some(probe)));
        assert_eq!(ProbeName::named("tcp_sendmsg"), None);
    }
}
