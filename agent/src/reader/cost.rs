//! What weir itself uses: its programs, its maps, its process.
//!
//! Read on every tick, so its own cost counts: files stay open, and what cannot change is read once.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _},
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use weir_engine::{AgentCost, Input, ProgramCost};

/// Reads the cost of a loaded kernel half and of this process.
pub(crate) struct CostReader {
    programs: Vec<(String, InfoFile)>,
    memory: InfoFile,
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
                programs.push((name.to_owned(), InfoFile::open(&path)?));
            }
        }
        let memory = InfoFile::open("/proc/self/statm")?;
        Ok(Self { programs, memory, map_bytes: map_bytes()?, counts_runs })
    }

    /// Tells it all.
    pub(crate) fn read(&mut self, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        let counted = self.counts_runs || stats_enabled();
        for (name, info) in &mut self.programs {
            info.refresh()?;
            let runs = counted.then(|| (info.number("run_cnt"), info.number("run_time_ns")));
            let recursion_misses = info.number("recursion_misses");
            sink(Input::Program(ProgramCost { name: name.clone(), runs, recursion_misses }));
        }
        self.memory.refresh()?;
        let pages: u64 = self.memory.text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        let rss_bytes = pages * rustix::param::page_size() as u64;
        sink(Input::Agent(AgentCost { cpu_ns: cpu_ns(), rss_bytes, map_bytes: self.map_bytes }));
        Ok(())
    }
}

/// Whether the kernel counts program runs for everybody.
pub(crate) fn stats_enabled() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() != "0")
}

/// A file of procfs, read again and again. `fdinfo` tells more of BPF objects than the system call does on old kernels,
/// and needs no capability.
struct InfoFile {
    file: File,
    text: String,
}

impl InfoFile {
    fn open(path: &str) -> Result<Self> {
        Ok(Self { file: File::open(path).with_context(|| path.to_owned())?, text: String::new() })
    }

    fn refresh(&mut self) -> Result<()> {
        self.text.clear();
        self.file.rewind().context("rewind a file of procfs")?;
        self.file.read_to_string(&mut self.text).context("read a file of procfs")?;
        Ok(())
    }

    fn number(&self, name: &str) -> u64 {
        let value = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
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
        if let (true, Some(fd)) = (is_map, entry.file_name().to_str()) {
            let mut info = InfoFile::open(&format!("/proc/self/fdinfo/{fd}"))?;
            info.refresh()?;
            bytes_of.insert(info.number("map_id"), info.number("memlock"));
        }
    }
    Ok(bytes_of.values().sum())
}

fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
