//! The checks of `weir doctor`: each tries the thing itself, and returns state, cause and fix.

use std::{io, path::Path};

use aya::{
    maps::{Array, MapData},
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use serde::Serialize;

use crate::{
    probe::{
        attach, btf,
        kernel::Kernel,
        load::Limits,
        serve::{Probes, Served, Trial},
        size::ProgramSize,
        table::{PROBES, Probe},
    },
    source::reader::stats_enabled,
};

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// No problem.
    Ok,
    /// weir runs with reduced function.
    Warn,
    /// weir cannot run.
    Fail,
}

/// One check and its outcome.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) state: State,
    /// What was found.
    pub(crate) cause: String,
    /// What to do about it; none if nothing is needed.
    pub(crate) fix: Option<String>,
    /// The size of a probe's program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<ProgramSize>,
    /// The hook that serves a probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entry: Option<String>,
    /// Better hooks that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) passed_over: Vec<PassedOver>,
}

/// An entry of a probe that this kernel did not accept.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PassedOver {
    pub(crate) entry: String,
    pub(crate) why: String,
}

impl Check {
    fn new(name: &str, state: State, cause: String, fix: Option<String>) -> Self {
        Self { name: name.into(), state, cause, fix, program: None, entry: None, passed_over: Vec::new() }
    }

    fn ok(name: &str, cause: impl Into<String>) -> Self {
        Self::new(name, State::Ok, cause.into(), None)
    }

    fn warn(name: &str, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(name, State::Warn, cause.into(), Some(fix.into()))
    }

    fn fail(name: &str, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(name, State::Fail, cause.into(), Some(fix.into()))
    }
}

/// Every check, in the order in which to look for a cause.
pub(crate) fn examine(refuse: &[String]) -> Vec<Check> {
    let mut checks = vec![kernel(), kernel_types(), bpf_call(), tracepoints(), jit(), cgroups(), run_stats()];
    checks.extend(probes(refuse));
    checks
}

fn kernel() -> Check {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    // The version is reported, not judged: features decide, and stable updates and vendors backport them.
    Check::ok("kernel", format!("{release} on {}", uname.machine().to_string_lossy()))
}

fn kernel_types() -> Check {
    if !Path::new(btf::VMLINUX).exists() {
        return Check::fail(
            "btf",
            format!("{} does not exist", btf::VMLINUX),
            "run a kernel built with CONFIG_DEBUG_INFO_BTF=y (every major distribution's since 2021)",
        );
    }
    match Kernel::read().and_then(|kernel| kernel.offsets()) {
        Ok(_) => Check::ok("btf", format!("all fields that weir reads are in {}", btf::VMLINUX)),
        Err(error) => Check::fail(
            "btf",
            format!("{error:#}"),
            "this kernel's structures differ from every one weir knows: report it with the output of this command",
        ),
    }
}

/// Creating a map is the simplest use of bpf().
fn bpf_call() -> Check {
    let name = "bpf";
    match Array::<MapData, u32>::create(1, 0) {
        Ok(_) if reads_kernel_memory() => Check::ok(name, "bpf() creates maps, and programs may read kernel memory"),
        Ok(_) => Check::fail(
            name,
            "bpf() works, but programs may not read kernel memory: the kernel is locked down (confidentiality)",
            "boot without lockdown=confidentiality; lockdown=integrity, which Secure Boot asks for, is no obstacle",
        ),
        Err(error) => match os_error(&error) {
            Some(libc::EPERM | libc::EACCES) => Check::fail(name, privileges("bpf() is not permitted"), PRIVILEGES_FIX),
            Some(libc::ENOSYS) => Check::fail(
                name,
                "the kernel has no bpf() system call, or a sandbox hides it",
                "run a kernel with CONFIG_BPF_SYSCALL=y, outside of seccomp or gVisor",
            ),
            _ => Check::fail(name, format!("bpf() fails: {error}"), "see the cause"),
        },
    }
}

/// Every supported kernel has the helper, unless it is locked down. If that cannot be found out, loading the probes will fail.
fn reads_kernel_memory() -> bool {
    is_helper_supported(ProgramType::TracePoint, BpfHelper::BPF_FUNC_probe_read_kernel).unwrap_or(true)
}

/// Why weir cannot run on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    pub(crate) cause: String,
    pub(crate) fix: String,
}

/// The first obstacle that the quick checks find. Makes BPF system calls: to be called once, where the error is made, and not
/// where it is shown.
pub(crate) fn find_obstacle() -> Option<Obstacle> {
    let checks = [bpf_call, kernel_types].into_iter().map(|check| check());
    checks
        .filter(|check| check.state == State::Fail)
        .find_map(|check| Some(Obstacle { cause: check.cause, fix: check.fix? }))
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cause, fix } = self;
        write!(f, "{cause}\nfix: {fix}")
    }
}

const PRIVILEGES_FIX: &str = "run as root, or grant CAP_BPF and CAP_PERFMON (setcap cap_bpf,cap_perfmon+ep weir; in Kubernetes: \
     securityContext.capabilities.add with runAsUser: 0)";

/// Why a privileged call failed: capabilities that this process lacks, or a kernel that is locked down.
fn privileges(what: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |bit: u32| effective & (1 << bit) != 0;
    // CAP_SYS_ADMIN (21) implies both on kernels that know them.
    let missing: Vec<&str> = [(39, "CAP_BPF"), (38, "CAP_PERFMON")]
        .iter()
        .filter(|(bit, _)| !has(*bit) && !has(21))
        .map(|(_, n)| *n)
        .collect();
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    match (missing.is_empty(), lockdown.contains("[confidentiality]")) {
        (false, _) => {
            format!("{what}: this process (uid {}) lacks {}", rustix::process::geteuid(), missing.join(" and "))
        }
        (true, true) => format!("{what}: the kernel is locked down (confidentiality)"),
        (true, false) => {
            format!("{what}, although the process has the capabilities: seccomp or a security module forbids it")
        }
    }
}

fn tracepoints() -> Check {
    let name = "system-call tracepoints";
    let mounted = attach::MOUNT_POINTS.iter().find(|at| Path::new(at).join("events").exists());
    let tracefs = mounted
        .map_or("tracefs is not mounted: weir opens an instance of its own, which is not mounted".into(), |at| {
            format!("tracefs at {at}")
        });
    match attach::syscall_exit_id("connect") {
        Ok(id) => Check::ok(name, format!("{tracefs}; sys_exit_connect has id {id}")),
        Err(error) => Check::warn(
            name,
            format!("{tracefs}; {error:#}"),
            "mount it (mount -t tracefs tracefs /sys/kernel/tracing) or grant CAP_SYS_ADMIN; without it, connects that \
             fail before a SYN is sent are not seen",
        ),
    }
}

fn jit() -> Check {
    match std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").as_deref().map(str::trim) {
        Ok("0") => Check::warn(
            "jit",
            "BPF programs are interpreted: each costs several times more",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Ok(_) => Check::ok("jit", "BPF programs are compiled to machine code"),
        Err(error) => Check::ok("jit", format!("not known ({error})")),
    }
}

fn cgroups() -> Check {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of_type =
        |kind: &str| mounts.lines().find(|line| line.split(' ').nth(2) == Some(kind)).and_then(|l| l.split(' ').nth(1));
    match (of_type("cgroup"), of_type("cgroup2")) {
        (None, Some(at)) => Check::ok("cgroups", format!("v2 at {at}")),
        (Some(_), Some(at)) => Check::ok("cgroups", format!("hybrid: v1 controllers, v2 at {at}")),
        (Some(at), None) => {
            Check::warn("cgroups", format!("v1 only ({at})"), "edges carry no cgroup id; mount cgroup2 for it")
        }
        (None, None) => Check::warn("cgroups", "none mounted", "edges carry no usable cgroup id; mount cgroup2 for it"),
    }
}

fn run_stats() -> Check {
    if stats_enabled() {
        Check::ok(
            "program statistics",
            "kernel.bpf_stats_enabled is on: outputs carry each program's runs and run time",
        )
    } else {
        Check::ok(
            "program statistics",
            "off; `weir edges --stats` or `sysctl -w kernel.bpf_stats_enabled=1` shows each program's cost",
        )
    }
}

/// Loads and attaches each probe, with maps of minimal size.
fn probes(refuse: &[String]) -> Vec<Check> {
    let limits = Limits { edges: 1, sockets: 1, kernel_log: false, samples: true, accept_queues: true };
    let probes = match Probes::try_all(limits, Trial { refuse, measure: true }) {
        Ok(probes) => probes,
        Err(error) => {
            let denied = error
                .chain()
                .any(|c| c.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied));
            let cause = if denied { privileges("probes cannot be loaded") } else { format!("{error:#}") };
            return vec![Check::fail("probes", cause, PRIVILEGES_FIX)];
        }
    };
    let kernel = Kernel::read().ok();
    PROBES.iter().zip(&probes.served).map(|(probe, served)| probe_check(probe, served, kernel.as_ref())).collect()
}

fn probe_check(probe: &Probe, served: &Served, kernel: Option<&Kernel>) -> Check {
    let name = format!("probe {}", probe.name);
    let check = match (served.entry, &served.state.missing) {
        (Some(entry), _) => {
            let passed_over: Vec<String> =
                served.passed_over.iter().map(|(better, reason)| format!("not {better}: {reason}")).collect();
            let provides = [&[probe.provides.to_owned()], passed_over.as_slice()].concat().join("; ");
            let cause = format!("tier {}, {entry}: {provides}", probe.tier(entry));
            match entry.parts.iter().find(|part| kernel.is_some_and(|kernel| kernel.differs(part))) {
                None => Check::ok(&name, cause),
                Some(part) => Check::warn(
                    &name,
                    format!("{cause}; this kernel's arguments are not {}", part.prototype),
                    format!("what depends on it may be wrong: {}; report it with the kernel's release", probe.provides),
                ),
            }
        }
        (None, missing) => {
            let cause = missing.clone().unwrap_or_default();
            let since = probe.entries.iter().map(|entry| format!("{entry} (since {})", entry.since));
            let fix = format!(
                "run a kernel with one of these hooks: {}; unknown without it: {}",
                since.collect::<Vec<_>>().join(", "),
                probe.provides
            );
            if probe.required { Check::fail(&name, cause, fix) } else { Check::warn(&name, cause, fix) }
        }
    };
    let passed_over = served.passed_over.iter();
    Check {
        program: served.size.clone(),
        entry: served.entry.map(ToString::to_string),
        passed_over: passed_over
            .map(|(entry, why)| PassedOver { entry: entry.to_string(), why: why.clone() })
            .collect(),
        ..check
    }
}

/// The error number at the root of an aya error.
fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        next = error.source();
    }
    None
}
