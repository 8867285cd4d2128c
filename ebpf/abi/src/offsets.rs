//! Offsets of the running kernel's fields, read from its BTF by user space before the programs load.

macro_rules! offsets {
    ($($field:ident = $path:literal,)*) => {
        /// Byte offsets, frozen into the object's `.rodata` so that the verifier sees constants.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Offsets {
            $(#[doc = $path] pub $field: u32,)*
        }

        impl Offsets {
            /// Every field's BTF path, in layout order.
            pub const PATHS: &'static [&'static str] = &[$($path,)*];

            /// Builds the table with `resolve` giving each path's offset.
            ///
            /// # Errors
            /// The first error of `resolve`.
            pub fn resolve<E>(mut resolve: impl FnMut(&'static str) -> Result<u32, E>) -> Result<Self, E> {
                Ok(Self { $($field: resolve($path)?,)* })
            }
        }
    };
}

offsets! {
    skc_family = "sock_common.skc_family",
    skc_state = "sock_common.skc_state",
    skc_num = "sock_common.skc_num",
    skc_dport = "sock_common.skc_dport",
    skc_daddr = "sock_common.skc_daddr",
    skc_rcv_saddr = "sock_common.skc_rcv_saddr",
    skc_v6_daddr = "sock_common.skc_v6_daddr",
    skc_v6_rcv_saddr = "sock_common.skc_v6_rcv_saddr",
    skc_flags = "sock_common.skc_flags",
    skc_net = "sock_common.skc_net",
    net_inum = "net.ns.inum",
    sk_protocol = "sock.sk_protocol",
    sk_err = "sock.sk_err",
    sk_ack_backlog = "sock.sk_ack_backlog",
    sk_max_ack_backlog = "sock.sk_max_ack_backlog",
    sk_shutdown = "sock.sk_shutdown",
    sk_receive_queue_len = "sock.sk_receive_queue.qlen",
    sk_receive_queue_last = "sock.sk_receive_queue.prev",
    skb_head = "sk_buff.head",
    skb_transport_header = "sk_buff.transport_header",
    inet_sport = "inet_sock.inet_sport",
    srtt_us = "tcp_sock.srtt_us",
    total_retrans = "tcp_sock.total_retrans",
    segs_out = "tcp_sock.segs_out",
    copied_seq = "tcp_sock.copied_seq",
    rcv_nxt = "tcp_sock.rcv_nxt",
    snd_una = "tcp_sock.snd_una",
    bytes_acked = "tcp_sock.bytes_acked",
    bytes_received = "tcp_sock.bytes_received",
    bytes_sent = "tcp_sock.bytes_sent",
    bytes_retrans = "tcp_sock.bytes_retrans",
    tcp_clock_cache = "tcp_sock.tcp_clock_cache",
    group_leader = "task_struct.group_leader",
    task_tgid = "task_struct.tgid",
    task_comm = "task_struct.comm",
    task_start = "task_struct.start_boottime",
    task_stack = "task_struct.stack",
    task_mm = "task_struct.mm",
    task_files = "task_struct.files",
    task_cgroups = "task_struct.cgroups",
    css_set_dfl_cgrp = "css_set.dfl_cgrp",
    css_cgroup = "cgroup_subsys_state.cgroup",
    cgroup_kn = "cgroup.kn",
    cgroup_root = "cgroup.root",
    cgroup_root_hierarchy = "cgroup_root.hierarchy_id",
    kernfs_node_id = "kernfs_node.id",
    mm_exe_file = "mm_struct.exe_file",
    file_dentry = "file.f_path.dentry",
    file_inode = "file.f_inode",
    inode_mode = "inode.i_mode",
    file_private_data = "file.private_data",
    dentry_name = "dentry.d_name.name",
    files_fdt = "files_struct.fdt",
    fdt_fd = "fdtable.fd",
    fdt_max_fds = "fdtable.max_fds",
    socket_sk = "socket.sk",
}
