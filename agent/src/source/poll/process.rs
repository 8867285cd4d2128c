//! Polls a process: its descriptors, threads and cgroup.

use std::{fs, path::Path};

use weir_engine::ProcessPoll;

use super::{cgroup::Cgroups, file::read, misses::Miss, table, threads::Threads};

pub(super) fn poll(
    proc: &Path,
    pid: u32,
    netns: u32,
    cgroups: &mut Cgroups,
    threads: &mut Threads,
) -> Result<ProcessPoll, Miss> {
    let process = proc.join(pid.to_string());
    let fds_limit = table::open_files(&read(&process.join("limits"))?);
    let cgroup = cgroups.of(&read(&process.join("cgroup"))?);
    let (times, threads) = threads.of(proc, pid)?;
    Ok(ProcessPoll {
        pid,
        netns,
        fds: open_descriptors(&process.join("fd")),
        fds_limit,
        threads,
        run_delay_ns: times.run_delay_ns,
        on_cpu_ns: times.on_cpu_ns,
        cgroup,
    })
}

/// The number of descriptors is the directory's size since Linux 6.2. Before, the size is 0 and they are counted.
fn open_descriptors(directory: &Path) -> Option<u64> {
    match fs::metadata(directory).ok()?.len() {
        0 => Some(fs::read_dir(directory).ok()?.count() as u64),
        size => Some(size),
    }
}
