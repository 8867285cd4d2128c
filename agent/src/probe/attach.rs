//! Attaching a program to a system call's exit tracepoint.
//!
//! The tracepoint's id is in tracefs, which many hosts do not mount. Then weir opens an instance of its own that is not mounted
//! anywhere, reads the id and closes it: the host's mounts never change.

use std::{
    io::Read as _,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, ensure};
use aya_obj::generated::{perf_event_attr, perf_type_id::PERF_TYPE_TRACEPOINT};
use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const FORMAT_LENGTH: usize = 32;

/// Where tracefs is mounted, if it is.
pub(crate) const MOUNT_POINTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A tracefs that only this descriptor refers to.
pub(crate) fn private_tracefs() -> Result<OwnedFd> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen(tracefs)")?;
    fsconfig_create(context.as_fd()).context("fsconfig(tracefs)")?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
        .context("fsmount(tracefs)")
}

/// Id of `syscalls:sys_exit_<call>`.
pub(crate) fn syscall_exit_id(call: &str) -> Result<u64> {
    let path = format!("events/syscalls/sys_exit_{call}/id");
    // A mounted tracefs can be read without CAP_SYS_ADMIN.
    if let Some(text) = MOUNT_POINTS.iter().find_map(|at| std::fs::read_to_string(format!("{at}/{path}")).ok()) {
        return parse_id(&path, &text);
    }
    let mut text = String::new();
    let tracefs = private_tracefs()?;
    let file = openat(&tracefs, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("tracefs has no {path}"))?;
    std::fs::File::from(file).take(FORMAT_LENGTH as u64).read_to_string(&mut text).with_context(|| path.clone())?;
    parse_id(&path, &text)
}

fn parse_id(path: &str, text: &str) -> Result<u64> {
    text.trim().parse().with_context(|| format!("{path} holds {text:?}, not a number"))
}

/// Runs `program` at every exit of the system call `call`, on every processor, until the returned descriptor is closed.
///
/// # Errors
/// If the kernel has no tracefs or no such system call, or the process lacks the capability.
pub fn attach_syscall_exit(program: impl AsFd, call: &str) -> Result<OwnedFd> {
    // SAFETY: a plain C structure, for which all zeroes is a valid value.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.type_ = PERF_TYPE_TRACEPOINT as u32;
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.config = syscall_exit_id(call)?;
    attr.__bindgen_anon_1.sample_period = 1;
    attr.__bindgen_anon_2.wakeup_events = 1;
    // A program on a tracepoint runs on every processor that reaches it; the processor given here is only the event's.
    // SAFETY: `attr` is valid for the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC) };
    ensure!(fd >= 0, "perf_event_open(sys_exit_{call}): {}", std::io::Error::last_os_error());
    // SAFETY: a descriptor that the kernel has just made for this process, owned by nothing else.
    let event = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    for (name, request, argument) in
        [("SET_BPF", PERF_EVENT_IOC_SET_BPF, program.as_fd().as_raw_fd()), ("ENABLE", PERF_EVENT_IOC_ENABLE, 0)]
    {
        // The type of requests is int in musl, unsigned long in glibc.
        let request = request as libc::Ioctl;
        // SAFETY: both requests take an integer.
        let failed = unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } != 0;
        ensure!(!failed, "ioctl({name}) on sys_exit_{call}: {}", std::io::Error::last_os_error());
    }
    Ok(event)
}
