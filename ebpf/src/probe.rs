//! One file per hook. Each cites the kernel's prototype and the first kernel that has it; `main.rs` holds the entries.

pub(crate) mod cgroup_mkdir;
pub(crate) mod inet_sk_error_report;
pub(crate) mod inet_sock_set_state;
pub(crate) mod iter_task_file;
pub(crate) mod sk_data_ready;
pub(crate) mod sock_recv_length;
pub(crate) mod sock_send_length;
pub(crate) mod sys_exit_accept;
pub(crate) mod sys_exit_connect;
pub(crate) mod tcp_destroy_sock;
pub(crate) mod tcp_receive_reset;
pub(crate) mod tcp_retransmit_skb;
pub(crate) mod tcp_retransmit_synack;
pub(crate) mod tcp_send_reset;
