//! The machine, as far as it affects the numbers. No names and no paths.

use std::fs;

use serde::{Deserialize, Serialize};

/// A description that can be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// The processor's own name.
    pub(crate) processor: String,
    /// Processors online.
    pub(crate) processors: usize,
    /// Memory, MiB.
    pub(crate) memory_mib: u64,
    /// Whether a hypervisor runs below, and which if it reports its name.
    pub(crate) hypervisor: String,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let memory = read("/proc/meminfo");
        Self {
            kernel: release(&read("/proc/sys/kernel/osrelease")),
            processor: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: field(&memory, "MemTotal")
                .and_then(|value| value.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024),
            hypervisor: hypervisor(&cpuinfo).to_owned(),
        }
    }
}

/// The version alone: its suffix may name an organisation.
fn release(text: &str) -> String {
    text.trim().split(['-', '+']).next().unwrap_or_default().to_owned()
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.split_once(':')?.1.trim()))
}

#[cfg(target_arch = "x86_64")]
fn hypervisor(cpuinfo: &str) -> &'static str {
    if !field(cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")) {
        return "none";
    }
    // The CPUID leaf with the hypervisor's signature, in EBX, ECX, EDX.
    let leaf = std::arch::x86_64::__cpuid(0x4000_0000);
    let signature = [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes).concat();
    match signature.as_slice() {
        b"KVMKVMKVM\0\0\0" => "KVM",
        b"Microsoft Hv" => "Hyper-V",
        b"VMwareVMware" => "VMware",
        b"XenVMMXenVMM" => "Xen",
        _ => "unnamed",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn hypervisor(_cpuinfo: &str) -> &'static str {
    "unknown"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_its_version() {
        assert_eq!(release("6.18.44-house-7\n"), "6.18.44");
        assert_eq!(release("6.12.0+deb13\n"), "6.12.0");
    }

    #[test]
    fn fields_are_what_follows_the_colon() {
        assert_eq!(field("vendor\t: x\nmodel name\t: A CPU\n", "model name"), Some("A CPU"));
        assert_eq!(field("MemTotal:   100 kB\n", "MemTotal"), Some("100 kB"));
    }
}
