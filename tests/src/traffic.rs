//! Driving a `weir-traffic` process.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    time::Duration,
};

use crate::{
    Netns,
    process::{Lines, Process},
    tally::wait_until,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// A server or client of our own, in a process of its own.
pub struct Traffic {
    // Dropped first: a helper ends with its standard input.
    stdin: Option<ChildStdin>,
    lines: Lines,
    process: Process,
    port: u16,
}

impl Traffic {
    pub(crate) fn start(helper: &Path, netns: Option<&Netns>, arguments: &[&str]) -> Self {
        let mut command = Command::new(helper);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(netns) = netns {
            netns.enter(&mut command);
        }
        Self::of(&mut command)
    }

    /// Any process that speaks the helper's language: `ready [PORT]` first, then an answer for each line.
    ///
    /// # Panics
    /// If it does not.
    pub fn of(command: &mut Command) -> Self {
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdin = process.pipes().stdin.take();
        let mut lines = Lines::of(process.pipes().stdout.take().expect("a pipe"));
        let ready = lines.wait_for("ready", DEADLINE).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let port = ready.split(' ').nth(1).map_or(0, |port| port.parse().expect("a port"));
        Self { stdin, lines, process, port }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The port it serves.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives a command without waiting for the answer.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn tell(&mut self, command: &str) {
        let stdin = self.stdin.as_mut().expect("a process that takes commands");
        writeln!(stdin, "{command}").expect("give a command");
    }

    /// Waits for the answer to the command given before.
    ///
    /// # Panics
    /// If there is none within a minute.
    pub fn answer(&mut self) -> String {
        self.lines.wait_for("", DEADLINE).unwrap_or_else(|error| panic!("weir-traffic: {error}"))
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Panics
    /// If there is none within a minute.
    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// Gives a command whose answer must be `expected`.
    ///
    /// # Panics
    /// If it is another.
    pub fn must(&mut self, command: &str, expected: &str) {
        let answer = self.ask(command);
        assert_eq!(answer, expected, "the answer to {command:?}");
    }

    /// Waits until it has closed every connection that it accepted: the end of a connection reaches its two ends one
    /// after the other. One thread of a server accepts, one waits for the test, each other one serves.
    ///
    /// # Panics
    /// If it has not within ten seconds.
    pub fn wait_idle(&self) {
        let tasks = format!("/proc/{}/task", self.pid());
        wait_until(Duration::from_secs(10), "a server to close its connections", || {
            fs::read_dir(&tasks).expect("the threads of a live server").count() <= 2
        });
    }

    /// Sends it a signal: SIGSTOP, and SIGCONT after that.
    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// Ends it by SIGKILL and waits for its end: the kernel closes its sockets.
    pub fn kill(mut self) {
        self.process.signal(libc::SIGKILL);
        self.process.wait(DEADLINE);
    }
}
