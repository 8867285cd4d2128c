//! Reads a process of this host from /proc, and never another one that has reused its id.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{self, Mode, OFlags};

use super::{
    declared::Declared,
    files::read_at,
    script,
    text::{clean, clean_bytes},
};

/// Bytes of the arguments. Java's class path may take most of them and hide the main class; then the executable names it.
const MAX_CMDLINE: usize = 16 << 10;
/// Bytes of the environment: `ARG_MAX` as execve guarantees it; variables beyond are not read.
const MAX_ENVIRON: usize = 128 << 10;
/// A line of `/proc/PID/stat`: 52 numbers and a name.
const MAX_STAT: usize = 2048;
/// Bytes of `/proc/PID/cgroup`: 14 hierarchies, whose paths are rarely longer than 300 bytes.
pub(super) const MAX_CGROUP: usize = 16 << 10;
/// Arguments read.
const MAX_ARGUMENTS: usize = 256;
/// procfs has times in hundredths of a second (`USER_HZ`), whatever the rate of the kernel's own ticks.
const NS_PER_TICK: u64 = 10_000_000;

/// What was read of a process.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// `/proc/PID/cgroup`.
    pub(super) cgroup: Vec<u8>,
    /// The names it declares; none if it has executed another program meanwhile.
    pub(super) declared: Declared,
    /// File name of the executable, not cut like the kernel half's; likewise.
    pub(super) exe: Option<String>,
    /// What an interpreter runs; likewise.
    pub(super) script: Option<String>,
    /// The environment was longer than the bytes read.
    pub(super) environ_cut: bool,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unseen {
    /// It has ended.
    Gone,
    /// It has ended, and another process has its id.
    Reused,
}

/// procfs.
pub(super) struct Processes {
    proc: PathBuf,
}

impl Processes {
    pub(super) fn at(proc: &Path) -> Self {
        Self { proc: proc.to_owned() }
    }

    /// Reads the process `pid` that began at `start_ns` (nanoseconds since boot; 0 if unknown) and ran `exe`, the file name as
    /// the kernel half has it.
    ///
    /// The directory is opened first and its files through it: if the process ends, reads fail, and never return the files of
    /// the next process with its id. So one comparison of the start time suffices, after the open.
    pub(super) fn see(&self, pid: u32, start_ns: u64, exe: &[u8]) -> Result<Seen, Unseen> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::open(self.proc.join(pid.to_string()), flags, Mode::empty()).map_err(|_| Unseen::Gone)?;
        let (stat, _) = read_at(&directory, "stat", MAX_STAT).map_err(|_| Unseen::Gone)?;
        let start = start_ticks(&stat).ok_or(Unseen::Gone)?;
        if start_ns != 0 && start != start_ns / NS_PER_TICK {
            return Err(Unseen::Reused);
        }
        // A zombie has only stat left.
        let (cgroup, _) = read_at(&directory, "cgroup", MAX_CGROUP).map_err(|_| Unseen::Gone)?;
        let mut seen = Seen { cgroup, ..Seen::default() };
        // Same process, other program: its arguments and environment are not those of the program that made the edge.
        if let Ok(now) = executable(&directory)
            && is_same(exe, now.as_bytes())
        {
            self.read_program(&directory, now, &mut seen);
        }
        Ok(seen)
    }

    fn read_program(&self, directory: &OwnedFd, exe: String, seen: &mut Seen) {
        if let Ok((environ, whole)) = read_at(directory, "environ", MAX_ENVIRON) {
            seen.declared = Declared::by_environment(&environ);
            seen.environ_cut = !whole;
        }
        if let Ok((cmdline, _)) = read_at(directory, "cmdline", MAX_CMDLINE) {
            let text = String::from_utf8_lossy(&cmdline);
            // Programs that overwrite their arguments with a title fill the rest with NULs.
            let arguments = text.trim_end_matches('\0').split('\0').take(MAX_ARGUMENTS).collect::<Vec<_>>();
            seen.script = script::of(&exe, &arguments).map(|script| clean(&script)).filter(|script| !script.is_empty());
        }
        seen.exe = Some(exe);
    }
}

/// File name of the executable.
fn executable(directory: &OwnedFd) -> io::Result<String> {
    let link = fs::readlinkat(directory, "exe", Vec::new())?;
    let path = link.as_bytes();
    // The file was replaced or removed, as by an upgrade: the name is still right.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    Ok(clean_bytes(name))
}

/// Whether the kernel half's name, cut to its length, is this one's. An empty one could not be read, and matches any.
fn is_same(kernel: &[u8], name: &[u8]) -> bool {
    let end = kernel.iter().position(|byte| *byte == 0).unwrap_or(kernel.len());
    let (kernel, cut) = (&kernel[..end], weir_abi::EXE_LEN - 1);
    kernel.is_empty()
        || kernel == name
        || (kernel.len() >= cut && clean_bytes(name).as_bytes().starts_with(kernel))
        || clean_bytes(kernel).as_bytes() == name
}

/// When a process began, in ticks since boot: the 22nd field of its stat. The second is a name in brackets, which may contain
/// spaces and brackets.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let fields = (3..=52).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        for name in ["sh", "a) 1 (b", "(sd-pam)", ") ) )", ""] {
            assert_eq!(start_ticks(format!("7 ({name}) {fields}\n").as_bytes()), Some(22), "{name}");
        }
        assert_eq!(start_ticks(b""), None);
        assert_eq!(start_ticks(b"7 (sh) S 1"), None);
    }

    #[test]
    fn a_cut_name_is_the_same() {
        let long = b"a-program-with-a-name-of-more-than-31-bytes";
        assert!(is_same(&long[..31], long));
        assert!(is_same(b"nginx\0\0\0", b"nginx"));
        assert!(is_same(b"", b"nginx"));
        assert!(!is_same(b"bash", b"nginx"));
        assert!(!is_same(b"ngin", b"nginx"));
    }
}
