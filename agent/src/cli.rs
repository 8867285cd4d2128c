//! The command line: what was typed, turned into what to do.

mod doctor;
mod edges;
mod explain;
mod record;
mod replay;
mod signals;
mod value;

pub use signals::judge;

pub(crate) use value::Format;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Live service-dependency edges of this machine, from the kernel, with no code changes.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 110, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed while running, 2 cannot run here or bad usage.
Start with `weir doctor` when something does not work.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show who talks to whom on this machine, how fast, and how often it fails
    Edges(edges::Args),
    /// Say what is wrong on this machine, where to look and why it matters, as it begins and ends
    Signals(signals::Args),
    /// The whole picture of one service, or of one edge: who calls it, whom it calls, where the time goes, what is wrong
    ///
    /// The numbers cover all of `--for`. Incidents are judged as `weir signals` does, by windows of five seconds in the same
    /// time, and take two bad ones: give it ten seconds or more. What shows only against what is normal takes a `--learn` that is
    /// shorter than `--for`. Nothing is installed, and nothing stays in the kernel after weir ends.
    Explain(explain::Args),
    /// Observe, and keep all that the engine was told in a file
    Record(record::Args),
    /// Show the edges of a recorded file, exactly as they were
    Replay(replay::Args),
    /// Check whether this machine can run weir, what is missing, and how to fix it
    Doctor(doctor::Args),
}

/// A failure that the machine, not the run, is to blame for: exit code 2.
#[derive(Debug)]
pub(crate) struct CannotRun(pub(crate) anyhow::Error);

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match crate::doctor::obstacle() {
            Some((cause, fix)) => write!(f, "cannot run here: {cause}\nfix: {fix}")?,
            None => write!(f, "cannot run here: {:#}", self.0)?,
        }
        write!(f, "\n`weir doctor` names every cause and its fix")
    }
}

impl std::error::Error for CannotRun {}

/// Parses the command line and does it.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Edges(args) => edges::run(args),
        Command::Signals(args) => signals::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Record(args) => record::run(args),
        Command::Replay(args) => replay::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::from(if error.is::<CannotRun>() { 2 } else { 1 })
        }
    }
}

/// The reader of our output has seen enough (`weir edges | head`).
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
