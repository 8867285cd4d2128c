//! The features of the running kernel, from its type information: fields, functions, tracepoints. Its version does not matter:
//! stable updates and vendors backport and remove features.

use std::{collections::HashMap, path::Path};

use anyhow::{Context as _, Result};
use aya::{Btf, Endianness};
use weir_abi::{Features, Offsets};
use weir_names::hierarchy::Hierarchy;

use super::{
    btf::{self, VMLINUX},
    table::{Hook, PROBES, Part},
};

/// `bpf_sk_storage_get` for tracing programs (since 5.11), by the name of its function in the kernel.
const STORAGE_IN_TRACING: &str = "bpf_sk_storage_get_tracing";
/// A helper that returns a system call's registers (since 5.15).
const TASK_PT_REGS: &str = "bpf_task_pt_regs";

/// `THREAD_SIZE`.
const STACK_SIZE: u32 = 16 << 10;

/// The running kernel.
pub(crate) struct Kernel {
    types: btf::Btf,
    /// Types of the attachment targets, in which aya looks their ids up.
    pub(crate) attach_types: Btf,
    /// The functions that entries and features depend on, as far as the kernel has them.
    functions: HashMap<String, btf::Function>,
}

impl Kernel {
    /// # Errors
    /// When the kernel has no BTF, or one that this weir cannot read.
    pub(crate) fn read() -> Result<Self> {
        let types = btf::Btf::of_kernel(Path::new(VMLINUX))?;
        let targets = |wanted: fn(Hook) -> bool| {
            let parts = PROBES.iter().flat_map(|probe| probe.entries).flat_map(|entry| entry.parts);
            parts.filter(move |part| wanted(part.hook)).map(|part| part.target)
        };
        // aya attaches an iterator by the name of its function.
        let iterators: Vec<_> =
            targets(|hook| hook == Hook::Iterator).map(|target| format!("bpf_iter_{target}")).collect();
        let wanted: Vec<&str> = targets(is_function)
            .chain(iterators.iter().map(String::as_str))
            .chain([STORAGE_IN_TRACING, TASK_PT_REGS])
            .collect();
        let functions = types.functions(&wanted)?;
        let tracepoints: Vec<&str> = targets(|hook| hook == Hook::TpBtf).collect();
        // For all types, aya would make 150,000 allocations, and search them for each program.
        let index = types.index(&functions, &tracepoints);
        let attach_types = Btf::parse(&index, Endianness::default()).context("cannot read the kernel's BTF")?;
        Ok(Self { types, attach_types, functions })
    }

    /// Every offset that the kernel half needs.
    ///
    /// # Errors
    /// Names the first field that this kernel does not have.
    pub(crate) fn offsets(&self) -> Result<Offsets> {
        Offsets::resolve(|path| self.types.offset(path))
    }

    /// The features by which the programs differ.
    pub(crate) fn features(&self) -> Features {
        // Without the file, the kernel has no hierarchies of version 1.
        let v1 = Hierarchy::of_version_1(&std::fs::read_to_string("/proc/cgroups").unwrap_or_default());
        let v1 = v1.and_then(|v1| Some((v1.id, self.css_of(v1)?)));
        Features {
            cgroup_v1_css: v1.map_or(0, |(_, css)| css),
            cgroup_v1_hierarchy: v1.map_or(0, |(id, _)| id),
            registers_in_stack: if self.functions.contains_key(TASK_PT_REGS) { 0 } else { self.registers_in_stack() },
            table_pad: self.table_pad(),
            accept_queues: 0, // set by the caller
            spill_in_map: u32::from(!self.functions.contains_key(STORAGE_IN_TRACING)),
        }
    }

    /// Bytes from the first byte of a static to the next pair of cache lines, which processors fetch together. The kernel places
    /// statics behind the header of an array map, which begins at a page.
    fn table_pad(&self) -> u32 {
        const PAIR: u32 = 128;
        let head = self.types.offset("bpf_array.value").unwrap_or(0);
        head.next_multiple_of(PAIR) - head
    }

    /// The offset of a controller's pointer in a `css_set`.
    fn css_of(&self, hierarchy: Hierarchy) -> Option<u32> {
        let controller = self.types.enumerator("cgroup_subsys_id", &format!("{}_cgrp_id", hierarchy.controller))?;
        let first = self.types.offset("css_set.subsys").ok()?;
        controller.checked_mul(size_of::<u64>() as u32)?.checked_add(first)
    }

    /// The offset of a system call's registers, which are at the end of the stack. The size of the stack is in no type, but has
    /// been the same since 4.x on both architectures, except in kernels with KASAN: there, weir reads nothing that looks like a
    /// system call.
    fn registers_in_stack(&self) -> u32 {
        let thread_size = STACK_SIZE.max(rustix::param::page_size() as u32);
        self.types.size_of("pt_regs").map_or(0, |size| thread_size.saturating_sub(size))
    }

    /// Whether the kernel has the part's function or tracepoint.
    pub(crate) fn has(&self, part: &Part) -> bool {
        matches!(part.hook, Hook::SyscallExit | Hook::Iterator) || self.parameters(part).is_some()
    }

    /// Whether the kernel has it with other arguments than the program was written for.
    pub(crate) fn differs(&self, part: &Part) -> bool {
        self.parameters(part).is_some_and(|parameters| !part.fits(parameters))
    }

    fn parameters(&self, part: &Part) -> Option<usize> {
        if is_function(part.hook) {
            self.functions.get(part.target).map(|function| function.parameters)
        } else if part.hook == Hook::TpBtf {
            self.types.tracepoint_parameters(part.target).ok().flatten()
        } else {
            None
        }
    }

    /// Why the part cannot be used, as far as types show it.
    pub(crate) fn obstacle(&self, part: &Part) -> Option<String> {
        match part.hook {
            Hook::TpBtf if !self.has(part) => Some("this kernel has no such tracepoint".into()),
            _ if !self.has(part) => Some("this kernel has no such function".into()),
            // The verifier checks a typed tracepoint's arguments. A function's result is read behind its last argument.
            hook if is_function(hook) && self.differs(part) => {
                Some(format!("its arguments are not {} in this kernel", part.prototype))
            }
            _ => None,
        }
    }
}

fn is_function(hook: Hook) -> bool {
    matches!(hook, Hook::Fentry | Hook::Fexit | Hook::Kprobe | Hook::Kretprobe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probes_best_entry_is_on_this_kernel_as_written() {
        let kernel = Kernel::read().expect("BTF");
        for probe in PROBES {
            for part in probe.entries[0].parts {
                assert!(kernel.has(part), "{}: {part}", probe.name);
                assert!(!kernel.differs(part), "{}: {part}: other parameters", probe.name);
            }
        }
    }

    #[test]
    fn functions_are_found_with_their_parameters() {
        let kernel = Kernel::read().expect("BTF");
        assert_eq!(kernel.functions["tcp_sendmsg"].parameters, 3);
        assert!(!kernel.functions.contains_key("weir_has_no_such_function"));
        assert_eq!(kernel.features().spill_in_map, 0);
        kernel.offsets().expect("offsets");
    }
}
