//! A control group with a limit of processor time, or a weight.

use std::{fs, io::Write as _, os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

const PREFIX: &str = "weir-lab-";
const PERIOD_US: u64 = 100_000;

/// The group; removed when dropped, so after its processes.
pub(crate) struct Group {
    path: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Group {
    /// Creates one where this machine limits processor time: version 1's cpu controller, else version 2.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("/proc/mounts")?;
        let (at, version) = place(&mounts).context("no control group here limits processor time")?;
        let path = PathBuf::from(at).join(format!("{PREFIX}{}-{name}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, version })
    }

    /// Makes `command` run in it.
    pub(crate) fn enter(&self, command: &mut Command) -> Result<()> {
        let path = self.path.join("cgroup.procs");
        let procs = fs::File::options().write(true).open(&path).with_context(|| format!("open {}", path.display()))?;
        // SAFETY: one write, which is async-signal-safe; 0 is the process that writes.
        unsafe { command.pre_exec(move || (&procs).write_all(b"0")) };
        Ok(())
    }

    /// Limits it to this share of one processor, in percent; `None` lifts the limit.
    pub(crate) fn limit(&self, percent: Option<u64>) -> Result<()> {
        let quota = percent.map(|percent| PERIOD_US * percent / 100);
        let (file, text) = match self.version {
            Version::One => ("cpu.cfs_quota_us", quota.map_or("-1".to_owned(), |quota| quota.to_string())),
            Version::Two => {
                ("cpu.max", quota.map_or("max".to_owned(), |quota| quota.to_string()) + &format!(" {PERIOD_US}"))
            }
        };
        self.write(file, &text)
    }

    /// Its share beside other busy groups, relative to their default weight of 1.
    pub(crate) fn weigh(&self, weight: f64) -> Result<()> {
        match self.version {
            Version::One => self.write("cpu.shares", &format!("{:.0}", weight * 1024.0)),
            Version::Two => self.write("cpu.weight", &format!("{:.0}", weight * 100.0)),
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).with_context(|| format!("write {text:?} to {}", path.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel needs a moment to remove processes that have ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Removes the groups of a lab that was killed.
pub(crate) fn sweep() {
    let Ok(mounts) = fs::read_to_string("/proc/mounts") else { return };
    let Some((at, _)) = place(&mounts) else { return };
    let Ok(entries) = fs::read_dir(at) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // Only empty groups can be removed.
        let _ = fs::remove_dir(entry.path());
    }
}

/// The directory for groups with a limit. Version 2 has the controller only where it is delegated, here from its root.
fn place(mounts: &str) -> Option<(&str, Version)> {
    let fields = || mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|fields| fields.len() >= 4);
    let one = fields().find(|f| f[2] == "cgroup" && f[3].split(',').any(|option| option == "cpu"));
    if let Some(fields) = one {
        return Some((fields[1], Version::One));
    }
    let two = fields().find(|f| f[2] == "cgroup2")?;
    let delegated = fs::read_to_string(PathBuf::from(two[1]).join("cgroup.subtree_control")).unwrap_or_default();
    delegated.split_whitespace().any(|name| name == "cpu").then_some((two[1], Version::Two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_preferred_where_it_has_the_controller() {
        let mounts = "cgroup /c/cpuacct cgroup rw,cpuacct 0 0\ncgroup /c/cpu cgroup rw,relatime,cpu 0 0\n";
        assert_eq!(place(mounts), Some(("/c/cpu", Version::One)));
        assert_eq!(place("cgroup2 /nowhere cgroup2 rw 0 0\n"), None, "a controller that is not delegated");
        assert_eq!(place("nonsense\n"), None);
    }
}
