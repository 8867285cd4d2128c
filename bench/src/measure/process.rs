//! Child processes that end with the bench, and what a process has used, by the kernel's clocks from outside.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

const POLL: Duration = Duration::from_millis(2);
/// How long a process may take to end on request.
const GRACE: Duration = Duration::from_secs(10);

/// A child process, ended on drop: on request, and by force where that does not help.
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`; it is asked to end if the bench dies.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        // SAFETY: prctl is async-signal-safe.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pipes.
    pub(crate) fn pipes(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: no pointers; the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().with_context(|| format!("wait for {}", self.name))? {
                return Ok(status);
            }
            ensure!(start.elapsed() < deadline, "{} still runs after {deadline:?}", self.name);
            thread::sleep(POLL);
        }
    }

    /// Asks it to end, and insists.
    pub(crate) fn end(&mut self, signal: i32) -> Result<ExitStatus> {
        self.signal(signal);
        let status = self.wait(GRACE);
        if status.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.runs() {
            let _ = self.end(libc::SIGTERM);
        }
    }
}

/// The lines of a stream, read by a thread as they come.
pub(crate) struct Lines {
    receiver: mpsc::Receiver<String>,
    seen: String,
}

impl Lines {
    /// Reads `stream` to its end in a thread.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { receiver, seen: String::new() }
    }

    /// Waits for a line that begins with `start`; else the error contains what came instead.
    pub(crate) fn wait_for(&mut self, start: &str, deadline: Duration) -> Result<()> {
        let until = Instant::now() + deadline;
        loop {
            match self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(start) => return Ok(()),
                Ok(line) => self.seen.push_str(&(line + "\n")),
                Err(_) => bail!("no line {start:?} within {deadline:?}; its output: {}", self.seen.trim()),
            }
        }
    }

    /// What has come so far, to the end of the stream if that is near.
    pub(crate) fn all(mut self) -> String {
        while let Ok(line) = self.receiver.recv_timeout(Duration::from_millis(200)) {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        self.seen
    }
}

/// Runs a tool to its end and returns what it printed on stdout.
pub(crate) fn output(command: &mut Command, deadline: Duration) -> Result<String> {
    let mut process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let stdout = drain(process.pipes().stdout.take());
    let stderr = drain(process.pipes().stderr.take());
    let status = process.wait(deadline)?;
    let (stdout, stderr) = (text(stdout), text(stderr));
    ensure!(status.success(), "{} failed ({status}): {}", process.name, stderr.trim());
    Ok(stdout)
}

/// Reads a pipe to its end in a thread.
pub(crate) fn drain(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read until an error is what the caller sees.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What a draining thread has read.
pub(crate) fn text(thread: thread::JoinHandle<String>) -> String {
    thread.join().unwrap_or_default()
}

/// Processor time of a process with all its threads, ns, if it is there: its CPU clock, exact where `/proc/<pid>/stat`
/// has hundredths of a second.
pub(crate) fn cpu_ns(pid: u32) -> Option<u64> {
    const CPUCLOCK_SCHED: i32 = 2;
    let clock = (!(pid as i32) << 3) | CPUCLOCK_SCHED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    (!failed).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Resident memory of a process, bytes.
pub(crate) fn rss_bytes(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The processes that descend from `pid`, itself included.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let below = children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(tree);
    std::iter::once(pid).chain(below).collect()
}
