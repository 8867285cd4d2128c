//! What the running kernel can do, as far as the programs differ by it: found out by user space before they load.

/// Frozen into the object's `.rodata` like the offsets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Where the registers of a system call lie from the beginning of the task's stack; 0 where `bpf_task_pt_regs`
    /// (since 5.15) tells.
    pub registers_in_stack: u32,
    /// Not 0 where sockets that find no room in the table get their record from a map, because a tracing program may not
    /// use `sk_storage` (before 5.11), or one of the programs has no typed sockets.
    pub spill_in_map: u32,
    /// Where a `css_set` points to the process's place in the hierarchy of version 1 that is asked when version 2's says
    /// only its root; 0 where there is none.
    pub cgroup_v1_css: u32,
    /// That hierarchy's number; 0, which is version 2's, where there is none.
    pub cgroup_v1_hierarchy: u32,
    /// How far into the table of socket records its first slot lies, so that slots begin pairs of cache lines.
    pub table_pad: u32,
    /// Not 0 where the queues of listening ports are wanted.
    pub accept_queues: u32,
}
