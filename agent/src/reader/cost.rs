//! What weir itself uses: its programs, its maps, its process.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use weir_engine::{AgentCost, Input, ProgramCost};

/// Tells the cost of every loaded program, and of this process. `counted`: weir has the kernel count runs (`--stats`).
pub(crate) fn read(ebpf: &Ebpf, counted: bool, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
    let counted = counted || stats_enabled();
    for (name, program) in ebpf.programs() {
        let Ok(fd) = program.fd() else { continue };
        let info = FdInfo::of(fd.as_fd().as_raw_fd())?;
        let runs = counted.then(|| (info.number("run_cnt"), info.number("run_time_ns")));
        let recursion_misses = info.number("recursion_misses");
        sink(Input::Program(ProgramCost { name: name.to_owned(), runs, recursion_misses }));
    }
    sink(Input::Agent(AgentCost { cpu_ns: cpu_ns(), rss_bytes: rss_bytes()?, map_bytes: map_bytes()? }));
    Ok(())
}

/// Whether the kernel counts program runs.
pub(crate) fn stats_enabled() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() != "0")
}

/// `/proc/self/fdinfo/<fd>`: for BPF objects it holds more than the system call gives on old kernels, and needs no
/// capability.
struct FdInfo(String);

impl FdInfo {
    fn of(fd: RawFd) -> Result<Self> {
        let path = format!("/proc/self/fdinfo/{fd}");
        Ok(Self(std::fs::read_to_string(&path).with_context(|| path)?))
    }

    fn number(&self, name: &str) -> u64 {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }
}

/// Kernel memory of all maps this process holds: found by their descriptors, so that none is forgotten, and counted
/// by their id, as one map may have several.
fn map_bytes() -> Result<u64> {
    let mut bytes_of = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").context("/proc/self/fd")? {
        let Ok(entry) = entry else { continue };
        let is_map = std::fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:bpf-map");
        if let (true, Some(fd)) = (is_map, entry.file_name().to_str().and_then(|name| name.parse().ok())) {
            let info = FdInfo::of(fd)?;
            bytes_of.insert(info.number("map_id"), info.number("memlock"));
        }
    }
    Ok(bytes_of.values().sum())
}

fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn rss_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").context("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok(pages * rustix::param::page_size() as u64)
}
