//! From a kernel with a bare root to a machine that the tests can run on.

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::Command,
};

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
    ("tracefs", "/sys/kernel/tracing", ""),
    ("bpf", "/sys/fs/bpf", ""),
    ("cgroup2", "/sys/fs/cgroup", ""),
];

/// As a login has it, more or less.
const OPEN_FILES: u64 = 65_536;

/// Mounts what programs expect. A program that lacks one of these reports it better than we can: only /proc, /sys and /dev
/// must be.
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
    // Not a mount: all of the image is memory, and a checkout below /tmp has the tests' helpers there.
    fs::create_dir_all("/tmp").context("/tmp")?;
    fs::set_permissions("/tmp", Permissions::from_mode(0o1777)).context("/tmp")?;
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

/// Lets no task take the processor from another but at long intervals.
///
/// Kernels of 7 may take it from a task inside a BPF program, and skip the program's runs in other tasks until it is back:
/// weir counts them as lost (`recursion_misses`). A run of a microsecond is hardly ever hit. But an emulator translates a
/// program when it first runs, which takes longer than the kernel's slice of 3 ms.
pub(crate) fn calm_scheduler() -> Result<()> {
    if let Err(error) = mount("debugfs", "/sys/kernel/debug", "debugfs", MountFlags::empty(), None) {
        ensure!(error == Errno::BUSY, "mount debugfs: {error}");
    }
    for (file, value) in [("base_slice_ns", "100000000"), ("features", "NO_WAKEUP_PREEMPTION")] {
        let path = format!("/sys/kernel/debug/sched/{file}");
        // Not fs::write, which would ask to create the file where it is not.
        let file = fs::OpenOptions::new().write(true).open(&path);
        match file.and_then(|mut file| file.write_all(value.as_bytes())) {
            // Older kernels have other names, and no need of it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => result.with_context(|| format!("write {value} to {path}"))?,
        }
    }
    Ok(())
}

/// Turns the machine off.
pub(crate) fn power_off() -> ! {
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    // Not to return is the least: a kernel whose first process ends panics, which also ends the guest.
    std::process::exit(1);
}
