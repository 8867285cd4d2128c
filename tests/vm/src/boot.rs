//! From a kernel with a bare root to a machine that the tests can run on.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    fs::symlink,
    io::Errno,
    mount::{MountFlags, mount},
    process::{Resource, Rlimit, setrlimit},
    system::{RebootCommand, finit_module, reboot},
};

/// Kind, place, options.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("tmpfs", "/run", "mode=755"),
    ("tmpfs", "/tmp", "mode=1777"),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("bpf", "/sys/fs/bpf", ""),
    ("cgroup2", "/sys/fs/cgroup", ""),
];

/// As a login has it, more or less.
const OPEN_FILES: u64 = 65_536;

/// Mounts what programs expect. Whoever lacks one of these says so better than we can: only /proc, /sys and /dev must be.
pub(crate) fn mounts() -> Result<()> {
    for (kind, at, options) in MOUNTS {
        let _ = fs::create_dir_all(at);
        let options = std::ffi::CString::new(*options).context("mount options")?;
        let result = mount(*kind, *at, *kind, MountFlags::empty(), Some(options.as_c_str()));
        match result {
            // The kernel may have mounted it before us.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) if ["/proc", "/sys", "/dev"].contains(at) => {
                return Err(error).with_context(|| format!("mount {kind} at {at}"));
            }
            Err(error) => eprintln!("weir-vm-init: mount {kind} at {at}: {error}"),
        }
    }
    for (target, link) in [("/proc/self/fd", "/dev/fd"), ("/proc/self/fd/1", "/dev/stdout")] {
        let _ = symlink(target, link);
    }
    // Connections by the thousand. Other limits stay as they are: weir must raise itself what it needs.
    let files = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
    setrlimit(Resource::Nofile, files).context("raise the limit of open files")
}

/// Loads modules in this order; returns what went wrong.
pub(crate) fn modules(paths: &[String]) -> Vec<String> {
    let load = |path: &String| {
        let result = fs::File::open(path)
            .map_err(anyhow::Error::from)
            .and_then(|file| finit_module(&file, c"", 0).map_err(Into::into));
        match result {
            Ok(()) => None,
            Err(error) if error.downcast_ref() == Some(&Errno::EXIST) => None,
            Err(error) => Some(format!("module {path}: {error:#}")),
        }
    };
    paths.iter().filter_map(load).collect()
}

/// Brings the loopback up.
pub(crate) fn network() -> Result<()> {
    let output = Command::new("ip").args(["link", "set", "lo", "up"]).output().context("run ip")?;
    ensure!(output.status.success(), "ip link set lo up: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Turns the machine off.
pub(crate) fn power_off() -> ! {
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    // Not to return is the least: a kernel whose first process ends panics, which also ends the guest.
    std::process::exit(1);
}
