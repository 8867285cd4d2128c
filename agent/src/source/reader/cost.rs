//! weir's own cost: its programs, its maps, its process.
//!
//! Read on every tick, so the reading itself must be cheap: files stay open, and constants are read once.

use std::{
    collections::BTreeMap,
    fs::File,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::FileExt as _,
    },
    sync::Arc,
};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use weir_engine::{AgentCost, Input, ProgramCost};

/// What weir has used so far, for its budget.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Processor time of this process.
    pub cpu_ns: u64,
    /// Run time of the programs while it was counted. Without the socket scan's, which is part of this process's time.
    pub programs_ns: u64,
    /// Whether the kernel counts run times whether weir asks for it or not.
    pub always_counted: bool,
    /// Resident memory of this process, and kernel memory of the maps.
    pub memory_bytes: u64,
}

/// Reads the cost of a loaded kernel half and of this process.
pub(crate) struct CostReader {
    programs: Vec<(Arc<str>, InfoFile)>,
    memory: InfoFile,
    sysctl: Option<InfoFile>,
    /// All maps are allocated at load.
    map_bytes: u64,
    /// weir has the kernel count runs (`--stats`), whatever the sysctl says.
    counts_runs: bool,
}

impl CostReader {
    /// Over all programs that loaded.
    pub(crate) fn new(ebpf: &Ebpf, counts_runs: bool) -> Result<Self> {
        let mut programs = Vec::new();
        for (name, program) in ebpf.programs() {
            if let Ok(fd) = program.fd() {
                let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
                programs.push((name.into(), InfoFile::open(&path)?));
            }
        }
        let memory = InfoFile::open("/proc/self/statm")?;
        let sysctl = InfoFile::open(STATS_ENABLED).ok();
        Ok(Self { programs, memory, sysctl, map_bytes: map_bytes()?, counts_runs })
    }

    /// Emits all of it, and returns the sums.
    pub(crate) fn read(&self, sink: &mut dyn FnMut(Input<'_>)) -> Result<Spent> {
        let mut page = [0; PAGE];
        let enabled = match &self.sysctl {
            Some(file) => file.read(&mut page)?.trim() != "0",
            None => false,
        };
        let counted = self.counts_runs || enabled;
        let mut programs_ns = 0u64;
        for (name, file) in &self.programs {
            let info = file.read(&mut page)?;
            let run_time_ns = number(info, "run_time_ns");
            let runs = counted.then(|| (number(info, "run_cnt"), run_time_ns));
            if !name.starts_with("iter_") {
                programs_ns = programs_ns.wrapping_add(run_time_ns);
            }
            let recursion_misses = number(info, "recursion_misses");
            sink(Input::Program(ProgramCost { name: name.clone(), runs, recursion_misses }));
        }
        let pages: u64 = self.memory.read(&mut page)?.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        let rss_bytes = pages * rustix::param::page_size() as u64;
        let cpu_ns = cpu_ns();
        sink(Input::Agent(AgentCost { cpu_ns, rss_bytes, map_bytes: self.map_bytes }));
        Ok(Spent { cpu_ns, programs_ns, always_counted: counted, memory_bytes: rss_bytes + self.map_bytes })
    }
}

const STATS_ENABLED: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Whether the kernel counts the runs of all programs.
pub(crate) fn stats_enabled() -> bool {
    std::fs::read_to_string(STATS_ENABLED).is_ok_and(|text| text.trim() != "0")
}

/// No file read here is longer.
const PAGE: usize = 4096;

/// A file of procfs that stays open. On old kernels `fdinfo` has more about BPF objects than the system call returns, and it
/// needs no capability.
struct InfoFile(File);

impl InfoFile {
    fn open(path: &str) -> Result<Self> {
        Ok(Self(File::open(path).with_context(|| path.to_owned())?))
    }

    /// The whole file, in one system call, into the caller's memory: a tick allocates nothing.
    fn read<'a>(&self, page: &'a mut [u8; PAGE]) -> Result<&'a str> {
        let length = self.0.read_at(page, 0).context("read a file of procfs")?;
        std::str::from_utf8(&page[..length]).context("a file of procfs is no text")
    }
}

/// The number after `name:` in an fdinfo; 0 where the kernel does not have it.
fn number(info: &str, name: &str) -> u64 {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Kernel memory of all maps that this process holds: found by their descriptors, so that none is missed, and counted by id,
/// as one map may have several descriptors.
fn map_bytes() -> Result<u64> {
    let mut bytes_of = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").context("/proc/self/fd")? {
        let Ok(entry) = entry else { continue };
        let is_map = std::fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:bpf-map");
        if let (true, Some(fd)) = (is_map, entry.file_name().to_str()) {
            let mut page = [0; PAGE];
            let info = InfoFile::open(&format!("/proc/self/fdinfo/{fd}"))?.read(&mut page)?;
            bytes_of.insert(number(info, "map_id"), number(info, "memlock"));
        }
    }
    Ok(bytes_of.values().sum())
}

fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
