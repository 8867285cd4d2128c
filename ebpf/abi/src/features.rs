//! The running kernel's features by which the programs differ: determined by user space before they load.

/// Frozen into the object's `.rodata` like the offsets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Offset of a system call's registers from the beginning of the task's stack; 0 where `bpf_task_pt_regs` (since 5.15)
    /// exists.
    pub registers_in_stack: u32,
    /// Not 0 where sockets that find no slot in the table get their record from a map, because a tracing program may not use
    /// `sk_storage` (before 5.11), or one of the programs has no typed sockets.
    pub spill_in_map: u32,
    /// Offset in `css_set` of the pointer to the process's cgroup in the version 1 hierarchy that is read when version 2's has
    /// only its root; 0 where there is none.
    pub cgroup_v1_css: u32,
    /// The id of that hierarchy; 0, which is version 2's, where there is none.
    pub cgroup_v1_hierarchy: u32,
    /// Offset of the first slot in the table of socket records, so that slots begin pairs of cache lines.
    pub table_pad: u32,
    /// Not 0 where the queues of listening ports are observed.
    pub accept_queues: u32,
}
