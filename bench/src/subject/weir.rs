//! weir as its users run it.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::measure::process::{Lines, Process, drain, text};

/// Loading, attaching and the first scan.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What it is asked to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One document at the end: exact counts for a run.
    Once,
    /// The same, with the kernel timing every program run: not for throughput.
    Timed,
    /// A line every second: the agent at its busiest.
    EverySecond,
    /// A reading every second of more edges and sockets than by default, timed, printing none of them.
    Scaling,
}

const SCALING: [&str; 11] = [
    "--every",
    "1s",
    "-o",
    "jsonl",
    "--stats",
    "--max-edges",
    "16384",
    "--max-sockets",
    "262144",
    "--filter",
    "client=none",
];

/// weir, observing.
pub(crate) struct WeirRun {
    process: Process,
    stdout: JoinHandle<String>,
    stderr: Lines,
}

impl WeirRun {
    /// Starts `weir edges`; returns when all probes are attached and the sockets that are there are known.
    pub(crate) fn start(mode: Mode) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.arg("edges").args(match mode {
            Mode::Once => &["--for", "3600s", "-o", "json"][..],
            Mode::Timed => &["--for", "3600s", "-o", "json", "--stats"],
            Mode::EverySecond => &["--every", "1s", "-o", "jsonl"],
            Mode::Scaling => &SCALING,
        });
        let mut process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let stdout = drain(process.pipes().stdout.take());
        let mut stderr = Lines::of(process.pipes().stderr.take().context("a pipe")?);
        stderr.wait_for("weir: observing", READY_WITHIN).context("weir edges")?;
        Ok(Self { process, stdout, stderr })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends the observation as Ctrl-C does, and returns what it printed.
    pub(crate) fn stop(mut self) -> Result<Vec<Value>> {
        let status = self.process.end(libc::SIGINT)?;
        let stdout = text(self.stdout);
        ensure!(status.success(), "weir edges failed ({status}): {}", self.stderr.all().trim());
        let documents = serde_json::Deserializer::from_str(&stdout).into_iter().collect::<Result<Vec<_>, _>>();
        documents.context("what weir printed")
    }
}

/// `WEIR_BIN`, else the `weir` that was built with this bench.
pub(crate) fn binary() -> Result<PathBuf> {
    let beside = std::env::current_exe().context("where this bench is")?.with_file_name("weir");
    let path = std::env::var_os("WEIR_BIN").map_or(beside, PathBuf::from);
    ensure!(path.exists(), "{} is not there: `cargo xtask bench` builds it first", path.display());
    Ok(path)
}
