//! The weir that is judged: it records a run, and judges a recording.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use weir_tests::process::{Lines, Process};

/// Loading, attaching and the first scan.
const READY_WITHIN: Duration = Duration::from_secs(20);
const DONE_WITHIN: Duration = Duration::from_secs(20);

/// `WEIR_BIN`, else the release build, as for the tests.
pub(crate) fn binary() -> Result<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/weir");
    let path = std::env::var_os("WEIR_BIN").map_or(built, PathBuf::from);
    ensure!(path.is_file(), "{} is not there: run `cargo xtask lab`, which builds it", path.display());
    Ok(path)
}

/// A weir that watches and records. Its output goes to a file that is not read before the truth is written.
pub(crate) struct Watching {
    process: Process,
    stderr: Lines,
}

impl Watching {
    /// Returns when it observes.
    pub(crate) fn start(learn: Duration, recording: &Path, said: &Path) -> Result<Self> {
        let said = File::create(said).with_context(|| format!("create {}", said.display()))?;
        let mut command = Command::new(binary()?);
        command
            .args(["signals", "-o", "jsonl", "--learn", &format!("{}s", learn.as_secs()), "--record"])
            .arg(recording);
        command.stdin(Stdio::null()).stdout(said).stderr(Stdio::piped()).process_group(0);
        let mut process = Process::start(&mut command);
        let mut stderr = Lines::of(process.pipes().stderr.take().context("weir's stderr")?);
        if let Err(error) = stderr.wait_for("weir: observing", READY_WITHIN) {
            bail!("weir does not observe: {error}");
        }
        Ok(Self { process, stderr })
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.process.signal(libc::SIGINT);
        let status = self.process.wait(DONE_WITHIN);
        let stderr = self.stderr.all();
        ensure!(status.success(), "weir: {status}\n{stderr}");
        Ok(())
    }
}

/// The incidents of a recording as JSON lines, by all rules or without one of them. Needs no privileges.
pub(crate) fn replay(recording: &Path, learn_s: u64, without: Option<&str>) -> Result<String> {
    judged(recording, learn_s, "jsonl", without)
}

/// The signals of this weir: its document of any recording lists them.
pub(crate) fn signals(recording: &Path) -> Result<Vec<String>> {
    let document: Value = serde_json::from_str(&judged(recording, 30, "json", None)?).context("weir's document")?;
    let rows = document["signals"].as_array().context("weir's document lists no signals")?;
    Ok(rows.iter().filter_map(|row| Some(row["name"].as_str()?.to_owned())).collect())
}

fn judged(recording: &Path, learn_s: u64, form: &str, without: Option<&str>) -> Result<String> {
    let mut command = Command::new(binary()?);
    command.args(["signals", "-o", form, "--learn", &format!("{learn_s}s"), "--replay"]).arg(recording);
    command.args(without.iter().flat_map(|rule| ["--ablate", rule]));
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "weir cannot judge {}: {}", recording.display(), stderr.trim());
    String::from_utf8(output.stdout).context("weir prints no UTF-8")
}
