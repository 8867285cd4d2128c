//! Builds and guests that run while something else does: the end of a build keeps one processor, most tests keep none.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use anyhow::{Result, bail};

use super::kept::{self, Ended};
use super::table::Row;
use crate::command::describe;

/// What is made, and how: one command after the other.
pub(super) struct Build {
    pub(super) name: &'static str,
    pub(super) commands: Vec<Command>,
}

/// Builds one after the other in a thread of their own. Ends with this value.
pub(super) struct Background {
    names: Vec<&'static str>,
    done: Receiver<(&'static str, Result<Ended>)>,
    rows: Vec<Row>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(super) fn start(builds: Vec<Build>) -> Self {
        let names = builds.iter().map(|build| build.name).collect();
        let (sender, done) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for build in builds {
                let name = build.name;
                let ended = build.run(&stopped);
                let failed = ended.as_ref().map_or(true, |ended| !ended.passed);
                if sender.send((name, ended)).is_err() || failed {
                    return;
                }
            }
        });
        Self { names, done, rows: Vec::new(), stop, thread: Some(thread) }
    }

    /// Whether this is one of them.
    pub(super) fn runs(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// Waits until this one is done.
    pub(super) fn wait_for(&mut self, name: &str) -> Result<()> {
        while !self.rows.iter().any(|row| row.name == name) {
            let Ok((done, ended)) = self.done.recv() else { bail!("{name} was not begun") };
            let ended = ended?;
            self.rows.push(Row { name: done.into(), time: ended.time, passed: ended.passed });
            if !ended.passed {
                bail!("{done} failed: see above");
            }
        }
        Ok(())
    }

    /// How long they took.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Build {
    /// What to type for it.
    pub(super) fn describe(&self) -> String {
        self.commands.iter().map(describe).collect::<Vec<_>>().join(" && ")
    }

    fn run(self, stop: &AtomicBool) -> Result<Ended> {
        let mut all = Ended { passed: true, output: String::new(), time: std::time::Duration::ZERO };
        for mut command in self.commands {
            let repeat = describe(&command);
            let ended = kept::run(&mut command, self.name, None, stop)?;
            all.time += ended.time;
            all.passed = ended.passed;
            if !stop.load(Ordering::Relaxed) {
                kept::show(self.name, &ended, &repeat);
            }
            if !ended.passed {
                break;
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::command::command;

    fn build(name: &'static str, script: &str) -> Build {
        let mut sh = command("sh");
        sh.args(["-c", script]);
        Build { name, commands: vec![sh] }
    }

    #[test]
    fn each_can_be_waited_for_and_a_failure_ends_them() {
        let mut background =
            Background::start(vec![build("first", "true"), build("second", "exit 1"), build("third", "true")]);
        background.wait_for("first").expect("true");
        assert!(background.wait_for("second").is_err());
        assert!(background.wait_for("third").is_err());
        let passed: Vec<(&str, bool)> = background.rows().iter().map(|row| (row.name.as_str(), row.passed)).collect();
        assert_eq!(passed, [("first", true), ("second", false)]);
    }

    #[test]
    fn they_end_with_their_owner() {
        let began = Instant::now();
        drop(Background::start(vec![build("long", "exec sleep 60")]));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
