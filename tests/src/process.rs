//! Processes that end with the test, and lines that come in time or not at all.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::machine::patient;

const POLL: Duration = Duration::from_millis(2);
/// How long a process may take to end on request.
const GRACE: Duration = Duration::from_secs(5);

/// A size of a process's memory (`VmRSS`, `VmHWM`) in bytes; none when it is gone.
pub fn memory_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib << 10)
}

/// Sets a process's peak (`VmHWM`) back to what is resident now.
///
/// # Panics
/// If it is gone.
pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("set the peak back");
}

/// A child process, ended on drop: on request, and by force where that does not help.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`. It is asked to end when the calling thread does.
    ///
    /// # Panics
    /// If the program is not there, naming what brings it.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        // SAFETY: prctl is async-signal-safe.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        match command.spawn() {
            Ok(child) => Self { child, name },
            Err(error) => panic!("cannot start {name}: {error} (`cargo xtask setup --tests` brings the servers)"),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pipes.
    pub fn pipes(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: no pointers; the child has not been waited for, so the id is still its own.
        let result = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(result, 0, "signal {signal} to {}: {}", self.name, std::io::Error::last_os_error());
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("wait for a child").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it takes longer than `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        match self.ended_within(deadline) {
            Some(status) => status,
            None => panic!("{} (pid {}) still runs after {deadline:?}", self.name, self.pid()),
        }
    }

    fn ended_within(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let deadline = patient(deadline);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for a child") {
                return Some(status);
            }
            if start.elapsed() > deadline {
                return None;
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.runs() {
            return;
        }
        self.signal(libc::SIGTERM);
        if self.ended_within(GRACE).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The lines of a stream, read aside as they come.
pub struct Lines {
    receiver: mpsc::Receiver<String>,
    seen: String,
}

impl Lines {
    /// Reads `stream` to its end in a thread.
    pub fn of(stream: impl Read + Send + 'static) -> Self {
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

    /// The first line from here on that begins with `start`; an error with all that was seen if it does not come.
    pub fn wait_for(&mut self, start: &str, deadline: Duration) -> Result<String, String> {
        let until = Instant::now() + patient(deadline);
        loop {
            match self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if line.starts_with(start) {
                        return Ok(line);
                    }
                }
                Err(why) => return Err(format!("no line {start:?} within {deadline:?} ({why}); seen:\n{}", self.seen)),
            }
        }
    }

    /// Everything up to the end of the stream, once it has come.
    pub fn all(mut self) -> String {
        while let Ok(line) = self.receiver.recv_timeout(patient(GRACE)) {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        self.seen
    }
}

/// Runs a program to its end and returns all of its output.
///
/// # Panics
/// If it takes longer than `deadline`.
pub fn output(command: &mut Command, deadline: Duration) -> Output {
    output_from(command.stdin(Stdio::null()), deadline)
}

fn output_from(command: &mut Command, deadline: Duration) -> Output {
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let stdout = drain(process.pipes().stdout.take().expect("a pipe"));
    let stderr = drain(process.pipes().stderr.take().expect("a pipe"));
    let status = process.wait(deadline);
    let text = |thread: thread::JoinHandle<Vec<u8>>| thread.join().expect("a reading thread");
    Output { status, stdout: text(stdout), stderr: text(stderr) }
}

/// Reads a stream to its end in a thread.
pub(crate) fn drain(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until an error is what the test sees.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

/// Runs a tool that must succeed and returns what it printed.
///
/// # Panics
/// If it fails, or takes longer than a minute.
pub fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    succeed(Command::new(program).args(arguments))
}

/// Runs a command that must succeed and returns what it printed.
///
/// # Panics
/// If it fails, or takes longer than a minute.
pub fn succeed(command: &mut Command) -> String {
    text_of(command.stdin(Stdio::null()))
}

/// The same for a tool that reads these few lines.
///
/// # Panics
/// If it fails, or takes longer than a minute.
pub fn feed(command: &mut Command, lines: &[String]) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // All of it fits into the pipe's buffer (64 KiB).
    writer.write_all((lines.join("\n") + "\n").as_bytes()).expect("fill a pipe");
    drop(writer);
    text_of(command.stdin(reader));
}

fn text_of(command: &mut Command) -> String {
    let output = output_from(command, Duration::from_secs(60));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}\n{errors}", output.status);
    text
}
