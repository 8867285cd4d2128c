//! Processor time from outside, for all processes of a workload.
//!
//! A control group of the bench's own holds the servers and load generators; the kernel adds up its time in
//! nanoseconds, including processes that have ended and interrupts that run in their names. Program run times
//! (`run_time_ns`) would leave out the dispatch, and the time of the whole machine would include everyone else's.

use std::{fs, os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use super::process;

/// The group; removed when dropped, after its processes.
pub(crate) struct Group {
    path: PathBuf,
    clock: Clock,
    /// Softirqs that the kernel has put off run in threads of its own.
    softirq_threads: Vec<u32>,
}

#[derive(Clone, Copy)]
enum Clock {
    /// `cpuacct.usage`, ns.
    Cpuacct,
    /// `cpu.stat`, `usage_usec`.
    Unified,
}

impl Group {
    /// Makes the group where the kernel accounts for one: version 1's cpuacct, else version 2.
    pub(crate) fn new() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("/proc/mounts")?;
        let (at, clock) = place(&mounts).context("no control groups are mounted: processor time cannot be taken")?;
        let path = PathBuf::from(at).join(format!("weir-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, clock, softirq_threads: softirq_threads() })
    }

    /// Has `command` start within the group.
    pub(crate) fn enter<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let procs = self.path.join("cgroup.procs");
        let join = move || fs::write(&procs, "0");
        // SAFETY: a write to a file; the child is single-threaded and its allocator is not shared.
        unsafe { command.pre_exec(join) }
    }

    /// Processor time so far, ns.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        let read = |name: &str| {
            fs::read_to_string(self.path.join(name)).with_context(|| format!("{}/{name}", self.path.display()))
        };
        let own = match self.clock {
            Clock::Cpuacct => read("cpuacct.usage")?.trim().parse().context("cpuacct.usage")?,
            Clock::Unified => usage_ns(&read("cpu.stat")?).context("cpu.stat has no usage_usec")?,
        };
        Ok(self.softirq_threads.iter().filter_map(|pid| process::cpu_ns(*pid)).fold(own, |sum, ns| sum + ns))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It fails while a process is in it, and leaves an empty directory.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Where groups with a clock are mounted.
fn place(mounts: &str) -> Option<(&str, Clock)> {
    let lines = || {
        mounts.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?, words.next()?))
        })
    };
    let cpuacct = lines().find(|(_, kind, options)| *kind == "cgroup" && options.split(',').any(|o| o == "cpuacct"));
    let unified = || lines().find(|(_, kind, _)| *kind == "cgroup2");
    cpuacct.map(|(at, ..)| (at, Clock::Cpuacct)).or_else(|| unified().map(|(at, ..)| (at, Clock::Unified)))
}

fn usage_ns(stat: &str) -> Option<u64> {
    let usage: u64 = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()?;
    Some(usage * 1000)
}

fn softirq_threads() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("ksoftirqd/"))
    })
    .collect()
}

/// Removes the groups of benches that were killed.
pub(crate) fn sweep() -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").context("/proc/mounts")?;
    let Some((at, _)) = place(&mounts) else { bail!("no control groups are mounted") };
    for entry in fs::read_dir(at)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("weir-bench-") {
            // Fails for one in use.
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_preferred_because_it_counts_nanoseconds() {
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let v1 = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n";
        assert!(matches!(place(v2), Some(("/sys/fs/cgroup", Clock::Unified))));
        assert!(matches!(place(&[v2, v1].concat()), Some(("/sys/fs/cgroup/cpu,cpuacct", Clock::Cpuacct))));
        assert!(place("proc /proc proc rw 0 0\n").is_none());
    }

    #[test]
    fn usage_is_in_microseconds() {
        assert_eq!(usage_ns("usage_usec 12\nuser_usec 5\n"), Some(12_000));
        assert_eq!(usage_ns("user_usec 5\n"), None);
    }
}
