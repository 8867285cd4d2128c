//! `struct task_struct` and `struct cgroup`: the identity of a process.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel_str};
use weir_abi::{CGROUP_ROOT, CGROUP_V1, COMM_LEN, EXE_LEN};

use super::{
    offsets::{frozen, offset, probe, probe_read},
    pointer::{Pointer as _, Typed},
    sock::{AF_INET, AF_INET6, IPPROTO_TCP},
};

/// A control group.
#[derive(Clone, Copy)]
pub(crate) struct Cgroup(pub(crate) *const c_void);

impl Cgroup {
    /// What user space sees as the inode number of its directory.
    #[inline(always)]
    pub(crate) fn id(self) -> Option<u64> {
        let node = probe!(self.0, cgroup_kn, *const c_void)?;
        probe!(node, kernfs_node_id, u64)
    }

    /// Its id as in an edge's record; none in a hierarchy that weir does not read.
    #[inline(always)]
    pub(crate) fn marked_id(self) -> Option<u64> {
        let root = probe!(self.0, cgroup_root, *const c_void)?;
        let hierarchy = probe!(root, cgroup_root_hierarchy, u32)?;
        let id = self.id()?;
        match hierarchy {
            0 => Some(id),
            _ if hierarchy == frozen!(cgroup_v1_hierarchy) => Some(id | CGROUP_V1),
            _ => None,
        }
    }
}

/// A process, by one of its threads.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    task: *const c_void,
    /// Thread group id in the initial pid namespace.
    tgid: u32,
}

impl Task {
    /// The running task. Its address is a number here: the helper for a typed one exists only since 5.11.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: no arguments.
        unsafe {
            Self { task: bpf_get_current_task() as *const c_void, tgid: (bpf_get_current_pid_tgid() >> 32) as u32 }
        }
    }

    /// A task that an iterator visits.
    #[inline(always)]
    pub(crate) fn visited(task: *const c_void) -> Self {
        Self { task, tgid: Typed(task).load(offset!(task_tgid)) }
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        self.tgid
    }

    /// Where its kernel stack begins.
    #[inline(always)]
    pub(crate) fn stack(self) -> Option<*const c_void> {
        probe!(self.task, task_stack, *const c_void)
    }

    #[inline(always)]
    fn leader(self) -> *const c_void {
        probe!(self.task, group_leader, *const c_void).unwrap_or(self.task)
    }

    /// Start of the process, nanoseconds since boot.
    #[inline(always)]
    pub(crate) fn start_ns(self) -> u64 {
        probe!(self.leader(), task_start, u64).unwrap_or(0)
    }

    /// The process's name: that of its first thread.
    #[inline(always)]
    pub(crate) fn comm(self, into: &mut [u8; COMM_LEN]) {
        let from = self.leader().cast::<u8>().wrapping_add(offset!(task_comm));
        // SAFETY: the destination has this length; the helper checks the source.
        unsafe { bpf_probe_read_kernel_str(into.as_mut_ptr().cast(), COMM_LEN as u32, from.cast()) };
    }

    /// File name of the executable; left empty for kernel threads.
    #[inline(always)]
    pub(crate) fn exe(self, into: &mut [u8; EXE_LEN]) -> Option<()> {
        let mm = probe!(self.task, task_mm, *const c_void)?;
        let file = probe!(mm, mm_exe_file, *const c_void)?;
        let dentry = probe!(file, file_dentry, *const c_void)?;
        let name = probe!(dentry, dentry_name, *const c_void)?;
        // SAFETY: the destination has this length; the helper checks the source.
        unsafe { bpf_probe_read_kernel_str(into.as_mut_ptr().cast(), EXE_LEN as u32, name) };
        Some(())
    }

    /// Id of the process's cgroup in version 2's hierarchy. Where that is the root, as for all processes of containers on hosts
    /// with version 1: the id in one of version 1's hierarchies, marked.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> Option<u64> {
        let set = probe!(self.task, task_cgroups, *const c_void)?;
        let id = Cgroup(probe!(set, css_set_dfl_cgrp, *const c_void)?).id()?;
        let v1 = frozen!(cgroup_v1_css);
        if id != CGROUP_ROOT || v1 == 0 {
            return Some(id);
        }
        let place = probe_read::<*const c_void>(set.cast::<u8>().wrapping_add(v1 as usize).cast());
        let marked = place.and_then(|css| Cgroup(probe!(css, css_cgroup, *const c_void)?).id());
        match marked {
            Some(marked) if marked != CGROUP_ROOT => Some(marked | CGROUP_V1),
            _ => Some(id),
        }
    }

    /// The socket behind a file descriptor, if it is a TCP one: its address and its network namespace.
    #[inline(always)]
    pub(crate) fn tcp_socket(self, fd: u32) -> Option<(u64, u32)> {
        let files = probe!(self.task, task_files, *const c_void)?;
        let table = probe!(files, files_fdt, *const c_void)?;
        if fd >= probe!(table, fdt_max_fds, u32)? {
            return None;
        }
        let array = probe!(table, fdt_fd, *const *const c_void)?;
        let file = probe_read::<*const c_void>(array.wrapping_add(fd as usize))?;
        let socket = probe!(file, file_private_data, *const c_void)?;
        let sk = probe!(socket, socket_sk, *const c_void)?;
        let family = probe!(sk, skc_family, u16)?;
        if (family != AF_INET && family != AF_INET6) || probe!(sk, sk_protocol, u16)? != IPPROTO_TCP {
            return None;
        }
        let net = probe!(sk, skc_net, *const c_void)?;
        Some((sk as u64, probe!(net, net_inum, u32)?))
    }
}
