//! The command line: what was typed, turned into what to do.

mod agent;
mod doctor;
mod edges;
mod explain;
mod record;
mod replay;
mod signals;
mod value;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::run::CannotRun;

/// What each service on this host calls, how fast, and what waits and why: from the kernel, no code changes.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 110, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed while running, 2 cannot run here or bad usage.
Start with `weir doctor` when something does not work.";

/// What each of them does is said with its arguments: a comment here would hide all of that from its `--help`.
#[derive(Debug, Subcommand)]
enum Command {
    Edges(edges::Args),
    Signals(signals::Args),
    Explain(explain::Args),
    Record(record::Args),
    Replay(replay::Args),
    Agent(agent::Args),
    Doctor(doctor::Args),
}

/// Parses the command line and does it.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Edges(args) => edges::run(args),
        Command::Signals(args) => signals::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Record(args) => record::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Agent(args) => agent::run(args),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_says_more_in_its_own_help() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            let [short, long] = [command.get_about(), command.get_long_about()]
                .map(|text| text.map(ToString::to_string).unwrap_or_default());
            assert!(!short.is_empty() && long.len() > short.len() + 50, "{}: {long}", command.get_name());
        }
    }
}
