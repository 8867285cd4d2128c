//! The process that owns a socket.

use weir_abi::{COMM_LEN, EXE_LEN};

use crate::kernel::Task;

/// A process, as written into the edges it owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) start_ns: u64,
    pub(crate) cgroup_id: u64,
    pub(crate) comm: [u8; COMM_LEN],
    pub(crate) exe: [u8; EXE_LEN],
    pub(crate) tgid: u32,
    /// Sockets that listen on the port (SO_REUSEPORT).
    pub(crate) listening: u32,
}

impl Owner {
    #[inline(always)]
    pub(crate) fn of(task: Task) -> Self {
        let mut owner = Self {
            start_ns: task.start_ns(),
            cgroup_id: task.cgroup_id().unwrap_or(0),
            comm: [0; COMM_LEN],
            exe: [0; EXE_LEN],
            tgid: task.tgid(),
            listening: 1,
        };
        task.comm(&mut owner.comm);
        task.exe(&mut owner.exe);
        owner
    }
}

/// The owner of the socket being resolved.
#[derive(Clone, Copy)]
pub(crate) enum OwnedBy<'a> {
    /// This task.
    Task(Task),
    /// A process remembered earlier.
    Known(&'a Owner),
}
