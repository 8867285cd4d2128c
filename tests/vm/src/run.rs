//! Runs doctor, then the tests, each in a process of its own with a time limit.

use std::{
    fs::File,
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use weir_vm_init::{
    Outcome, Plan, Report,
    age::{Missing, missing},
};

use crate::Reporter;

const OUTPUT: &str = "/run/output";
/// How many failed tests may have another try in an emulator, whose processor stalls whenever the host's is busy: then
/// measured times are late, and a program that is interrupted skips runs, which weir counts as lost. The table names them.
const RETRIES: u32 = 8;
/// The end of a failed test's output that is reported, bytes: enough for a panic with a document in it.
const REPORTED: usize = 6_000;

pub(crate) fn run(plan: &Plan, release: &str, reporter: &mut Reporter) -> Result<()> {
    let missing = doctor(plan, release, reporter)?;
    // The tests take for granted that nothing is missing, but what this kernel is too old for.
    let excused: Vec<&str> = missing.iter().filter(|m| m.not_before.is_some()).map(|m| m.probe.as_str()).collect();
    let mut environment = plan.environment.clone();
    environment.push(("WEIR_TEST_ABSENT".into(), excused.join(",")));

    let mut retries = if plan.emulated { RETRIES } else { 0 };
    for program in &plan.programs {
        let listing = Command::new(&program.path).args(["--list", "--format", "terse"]).output();
        let listing = listing.with_context(|| format!("run {}", program.path))?;
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        for name in listing.lines().filter_map(|line| line.strip_suffix(": test")) {
            let test = format!("{}::{name}", program.file);
            if !plan.filters.is_empty() && !plan.filters.iter().any(|filter| test.contains(filter.as_str())) {
                continue;
            }
            if let Some((outcome, why)) = not_run(plan, &missing, &program.file, &test) {
                reporter.say(&Report::Test { test, outcome, why, seconds: 0.0, attempts: 0 })?;
                continue;
            }
            reporter.say(&Report::Began { test: test.clone() })?;
            let mut command = Command::new(&program.path);
            command.args(["--exact", name, "--nocapture"]).envs(environment.iter().map(|(k, v)| (k, v)));
            let start = Instant::now();
            let limit = Duration::from_secs(plan.limit_s);
            let mut why = fails(&mut command, limit)?;
            // Also reported of a test that passes at another try.
            let first = why.clone().unwrap_or_default();
            let mut attempts = 1;
            while why.is_some() && attempts < 3 && retries > 0 {
                retries -= 1;
                attempts += 1;
                why = fails(&mut command, limit)?;
            }
            let seconds = start.elapsed().as_secs_f64();
            let outcome = if why.is_none() { Outcome::Passed } else { Outcome::Failed };
            reporter.say(&Report::Test { test, outcome, why: why.unwrap_or(first), seconds, attempts })?;
            reap();
        }
    }
    Ok(())
}

/// Asks doctor what this kernel has; the probes that are missing.
fn doctor(plan: &Plan, release: &str, reporter: &mut Reporter) -> Result<Vec<Missing>> {
    let output = Command::new(&plan.weir).args(["doctor", "-o", "json"]).output();
    let output = output.with_context(|| format!("run {}", plan.weir))?;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let missing = missing(&document, release);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    reporter.say(&Report::Doctor { document, status: output.status.code(), errors })?;
    Ok(missing)
}

/// Why a test is not run, if it is not.
fn not_run(plan: &Plan, missing: &[Missing], file: &str, test: &str) -> Option<(Outcome, String)> {
    if let Some((_, why)) = plan.left_out.iter().find(|(part, _)| test.contains(part.as_str())) {
        return Some((Outcome::LeftOut, why.clone()));
    }
    // A probe's tests are in the file of its name.
    let missing = missing.iter().find(|missing| missing.probe == file)?;
    let since = missing.not_before.as_ref()?;
    Some((Outcome::Skipped, format!("{file} is not in kernels before {since}")))
}

/// Runs a test; the end of its output if it fails.
fn fails(command: &mut Command, limit: Duration) -> Result<Option<String>> {
    // Into a file: a pipe would be held open by whatever the test leaves behind.
    let output = File::create(OUTPUT).context("a file for the output")?;
    let errors = output.try_clone().context("a file for the output")?;
    let mut child = command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0).spawn()?;
    let status = ended(&mut child, limit)?;
    // With a test that hangs go its servers.
    // SAFETY: no pointers; the group is the child's own.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
    let what = match status {
        Some(status) if status.success() => return Ok(None),
        Some(status) => status.to_string(),
        None => {
            child.wait()?;
            format!("still running after {limit:?}")
        }
    };
    let mut text = Vec::new();
    File::open(OUTPUT).and_then(|mut file| file.read_to_end(&mut text)).context("read the output")?;
    let text = String::from_utf8_lossy(&text);
    let start = text.ceil_char_boundary(text.len().saturating_sub(REPORTED));
    Ok(Some(format!("{what}\n{}", text[start..].trim())))
}

fn ended(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("wait for a test")? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            return Ok(None);
        }
        sleep(Duration::from_millis(10));
    }
}

/// Orphans of the tests are children of the first process.
fn reap() {
    use rustix::process::{WaitOptions, wait};
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
