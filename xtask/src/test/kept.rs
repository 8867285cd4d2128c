//! Commands whose output is kept, and shown in one piece when they have come to their end: several run at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::run::target_dir;

/// How a command ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) passed: bool,
    pub(super) output: String,
    pub(super) time: Duration,
}

/// Runs `command` to its end, for so long at most, or until `stop` is set. Its output goes into a file of this name on the way:
/// a pipe would be held open by what the command leaves behind, and a file can be watched.
pub(super) fn run(command: &mut Command, name: &str, limit: Option<Duration>, stop: &AtomicBool) -> Result<Ended> {
    let path = log(name)?;
    let output = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let errors = output.try_clone().context("a file for the output")?;
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let ended = wait(&mut child, start, limit, stop);
    let mut output = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
    let passed = match ended? {
        Some(status) if status.success() => true,
        Some(status) => {
            output.push_str(&format!("\n{status}\n"));
            false
        }
        None => {
            output.push_str(&format!("\nstopped after {:.0} s\n", start.elapsed().as_secs_f64()));
            false
        }
    };
    Ok(Ended { passed, output, time: start.elapsed() })
}

fn wait(child: &mut Child, start: Instant, limit: Option<Duration>, stop: &AtomicBool) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait().context("wait for a command")? {
            return Ok(Some(status));
        }
        if limit.is_some_and(|limit| start.elapsed() > limit) || stop.load(Ordering::Relaxed) {
            // To be passed on by sudo, which SIGKILL would not be.
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
            child.wait().context("wait for a command")?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn log(name: &str) -> Result<PathBuf> {
    let directory = target_dir().join("test-output");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    Ok(directory.join(Path::new(&name.chars().map(plain).collect::<String>()).with_extension("log")))
}

/// Shows what `title` has printed, in one piece, and what repeats it if it failed.
pub(super) fn show(title: &str, ended: &Ended, repeat: &str) {
    static TERMINAL: Mutex<()> = Mutex::new(());
    let _one = TERMINAL.lock();
    eprintln!("     Running {title}: {:.1} s", ended.time.as_secs_f64());
    eprintln!("{}", ended.output.trim());
    if !ended.passed {
        eprintln!("FAILED: {title}; repeat it with: {repeat}");
    }
    eprintln!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::command;

    #[test]
    fn output_of_both_kinds_is_kept_with_the_status() {
        let go_on = AtomicBool::new(false);
        let mut both = command("sh");
        let ended = run(both.args(["-c", "echo one; echo two >&2; exit 3"]), "kept tests", None, &go_on).expect("sh");
        assert_eq!((ended.passed, ended.output.as_str()), (false, "one\ntwo\n\nexit status: 3\n"));
        assert!(run(&mut command("true"), "kept tests of success", None, &go_on).expect("true").passed);
    }

    #[test]
    fn it_stops_on_request() {
        let ended =
            run(command("sleep").arg("60"), "kept tests of stopping", None, &AtomicBool::new(true)).expect("sleep");
        assert!(!ended.passed && ended.time < Duration::from_secs(30));
        assert!(ended.output.contains("stopped after"), "{}", ended.output);
    }
}
