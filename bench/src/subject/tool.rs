//! Other tools, where they are installed: Debian's libbpf-tools and bpftrace.

use std::{
    ffi::CStr,
    io::Error,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::foreign::observers;
use crate::measure::process::{Lines, Process, cpu_ns};

const READY_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A tool whose programs are loaded and that has used no time for so many looks waits for their events.
const QUIET_LOOKS: u32 = 5;

/// A tool to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// libbpf-tools: a line for each connection that ended.
    Tcplife,
    /// libbpf-tools: a line for each change of a connection's state.
    Tcpstates,
    /// A count by name on the tracepoints that move weir's rounds and states.
    Bpftrace,
}

/// weir's main hooks, as bpftrace reaches them.
const COUNTING: &str = "tracepoint:sock:sock_send_length { @ = count(); } \
     tracepoint:sock:sock_recv_length { @ = count(); } \
     tracepoint:sock:sk_data_ready { @ = count(); } \
     tracepoint:sock:inet_sock_set_state { @ = count(); } \
     tracepoint:tcp:tcp_destroy_sock { @ = count(); }";

impl Tool {
    /// As the program is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcplife => "tcplife",
            Self::Tcpstates => "tcpstates",
            Self::Bpftrace => "bpftrace",
        }
    }

    fn command(self) -> Result<Command> {
        let path = find(self.name()).with_context(|| format!("{} is not installed", self.name()))?;
        let mut command = Command::new(path);
        if self == Self::Bpftrace {
            command.args(["-e", COUNTING]);
        }
        Ok(command)
    }
}

/// Where a program is. Also looks in /usr/sbin, which is not in every user's PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// A tool that observes.
pub(crate) struct ToolRun {
    process: Process,
}

impl ToolRun {
    /// Starts it; returns when its programs are loaded and it waits for what they see.
    pub(crate) fn start(tool: Tool) -> Result<Self> {
        let mut command = tool.command()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // SAFETY: system calls only.
        unsafe { command.pre_exec(own_tracefs) };
        let mut process = Process::start(&mut command)?;
        let mut stderr = process.pipes().stderr.take().map(Lines::of);
        let start = Instant::now();
        let (mut used, mut quiet) = (0, 0);
        while quiet < QUIET_LOOKS {
            thread::sleep(LOOK_EVERY);
            if !process.runs() || start.elapsed() > READY_WITHIN {
                drop(process);
                let said = stderr.take().map(Lines::all).unwrap_or_default();
                bail!(
                    "{} does not run here: {}",
                    tool.name(),
                    said.trim().lines().next_back().unwrap_or("it is silent")
                );
            }
            let now = cpu_ns(process.pid()).unwrap_or(0);
            quiet = if now == used && !observers().is_empty() { quiet + 1 } else { 0 };
            used = now;
        }
        Ok(Self { process })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn stop(mut self) {
        let _ = self.process.end(libc::SIGINT);
    }
}

/// These tools need tracefs mounted, which many hosts do not have: they get one in a mount namespace of their own.
fn own_tracefs() -> std::io::Result<()> {
    const ROOT: &CStr = c"/";
    const TRACEFS: &CStr = c"tracefs";
    const AT: &CStr = c"/sys/kernel/tracing";
    let nothing = std::ptr::null();
    // SAFETY: the strings are valid for the calls.
    let failed = unsafe {
        libc::unshare(libc::CLONE_NEWNS) != 0
            || libc::mount(nothing, ROOT.as_ptr(), nothing, libc::MS_REC | libc::MS_PRIVATE, nothing.cast()) != 0
            || libc::mount(TRACEFS.as_ptr(), AT.as_ptr(), TRACEFS.as_ptr(), 0, nothing.cast()) != 0
    };
    let error = Error::last_os_error();
    // Busy: it is mounted there already.
    if failed && error.raw_os_error() != Some(libc::EBUSY) { Err(error) } else { Ok(()) }
}
