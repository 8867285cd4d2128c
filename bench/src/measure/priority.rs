//! Scheduling priority. Others may use the machine meanwhile; what is measured should not wait for them.

use std::{fs, io::Error, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::process;

/// Below the kernel's own real-time threads.
const FIFO_PRIORITY: i32 = 10;
const FIRST: i32 = -20;

/// Raises this process and all its children above all others. With autogroup, nice counts only within a session: the session
/// itself must be raised, so the bench creates its own.
pub(crate) fn raise_self() {
    // SAFETY: no arguments. It fails if the process leads a group: then its session is raised as it is.
    unsafe { libc::setsid() };
    raise(std::process::id());
}

/// The same for a process and its descendants, which may have made sessions of their own, as PostgreSQL's do.
pub(crate) fn raise_tree(pid: u32) {
    process::tree(pid).into_iter().for_each(raise);
}

fn raise(pid: u32) {
    // Without the priority the spread is wider, and the numbers are still right.
    let _ = fs::write(format!("/proc/{pid}/autogroup"), FIRST.to_string());
    // SAFETY: no pointers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, FIRST) };
}

/// One of two processors, so that the same processes share a processor in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first processor.
    Servers,
    /// The second.
    Generators,
}

impl Side {
    /// Has `command` start on its side. On a machine with one processor they share it.
    pub(crate) fn pin(self, command: &mut Command) -> &mut Command {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = if self == Self::Generators && processors > 1 { 1 } else { 0 };
        // SAFETY: a system call on a value of the closure's own.
        unsafe { command.pre_exec(move || set_affinity(&only(cpu)).map_err(|_| Error::last_os_error())) }
    }
}

fn only(cpu: usize) -> libc::cpu_set_t {
    // SAFETY: a plain C structure, for which all zeroes is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: within the set's size.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    set
}

/// This thread on one processor, from now until dropped.
pub(crate) struct Alone {
    before: libc::cpu_set_t,
}

impl Alone {
    /// In real time, on the last processor the bench may use: the first serves more interrupts.
    pub(crate) fn take() -> Result<Self> {
        let alone = Self::pin()?;
        // If it is refused, the spread is wider.
        schedule(libc::SCHED_FIFO, FIFO_PRIORITY);
        Ok(alone)
    }

    /// Pinned only, for long runs: the kernel takes a twentieth of each second from real-time threads where others wait for the
    /// processor, which is a gap of 50 ms.
    pub(crate) fn pin() -> Result<Self> {
        // SAFETY: a plain C structure, for which all zeroes is a value.
        let mut before: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: `before` is valid for the call.
        let failed = unsafe { libc::sched_getaffinity(0, size_of_val(&before), &raw mut before) };
        ensure!(failed == 0, "sched_getaffinity: {}", Error::last_os_error());
        // SAFETY: within the set's size.
        let last = (0..libc::CPU_SETSIZE as usize).rev().find(|cpu| unsafe { libc::CPU_ISSET(*cpu, &before) });
        set_affinity(&only(last.context("no processor to run on")?))?;
        Ok(Self { before })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        schedule(libc::SCHED_OTHER, 0);
        let _ = set_affinity(&self.before);
    }
}

fn set_affinity(set: &libc::cpu_set_t) -> Result<()> {
    // SAFETY: `set` is valid for the call.
    let failed = unsafe { libc::sched_setaffinity(0, size_of_val(set), set) };
    ensure!(failed == 0, "sched_setaffinity: {}", Error::last_os_error());
    Ok(())
}

fn schedule(policy: i32, priority: i32) {
    let parameter = libc::sched_param { sched_priority: priority };
    // SAFETY: `parameter` is valid for the call.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) };
}
