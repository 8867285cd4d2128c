//! `void cgroup_mkdir(struct cgroup *cgrp, const char *path)`, since 4.19 (the path; the tracepoint is older).
//!
//! A container's cgroup is made before its first process runs. It is emitted at once, with its path: at the end of the first
//! connection, process, cgroup and the runtime's files may all be gone (podman starts, runs and removes one in 100 ms).

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use weir_abi::{CGROUP_PATH_LEN, CgroupMade, EventKind};

use crate::{
    event::{self, Wake},
    kernel::Cgroup,
};

#[inline(always)]
pub(crate) fn run(cgroup: Cgroup, path: *const u8) {
    let Some(cgroup_id) = cgroup.marked_id() else { return };
    // SAFETY: reserved memory of this type; the helper writes at most the path's length and checks its source.
    event::emit(EventKind::CgroupMade, Wake::AtOnce, |event: *mut CgroupMade| unsafe {
        (&raw mut (*event).cgroup_id).write(cgroup_id);
        let into = (&raw mut (*event).path).cast();
        let written = bpf_probe_read_kernel_str(into, CGROUP_PATH_LEN as u32, path.cast());
        // The NUL is counted; an error is negative.
        (&raw mut (*event).length).write(if written > 0 { written as u32 - 1 } else { 0 });
        (&raw mut (*event)._pad).write(0);
    });
}
