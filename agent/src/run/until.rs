//! When an observation ends.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};

use crate::source::timer::Timer;

/// When an observation ends. Ctrl-C always ends it.
pub(crate) enum Until {
    /// After this long.
    Elapsed(Duration),
    /// When this command has exited.
    Exited(Vec<String>),
    /// Not by itself.
    Interrupted,
}

impl Until {
    /// From what was typed: a span, else a command, else neither.
    pub(crate) fn asked(span: Option<Duration>, command: Vec<String>) -> Self {
        match span {
            Some(span) => Self::Elapsed(span),
            None if !command.is_empty() => Self::Exited(command),
            None => Self::Interrupted,
        }
    }

    /// For the line on stderr with which it begins.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Elapsed(span) => format!(" for {}s (Ctrl-C ends it early)", span.as_secs_f64()),
            Self::Exited(command) => format!(" while {} runs", command.first().map_or("the command", |c| c)),
            Self::Interrupted => " until Ctrl-C".to_owned(),
        }
    }
}

/// Waits for the end.
pub(super) enum Ending {
    At(Timer),
    Of(Box<Child>),
    Never,
}

impl Ending {
    /// Starts what it waits for.
    pub(super) fn begin(until: Until) -> Result<Self> {
        Ok(match until {
            Until::Elapsed(span) => Self::At(Timer::after(span)?),
            Until::Exited(command) => Self::Of(Box::new(spawn(&command)?)),
            Until::Interrupted => Self::Never,
        })
    }

    /// Returns at the end, with the exit code.
    pub(super) async fn reached(&mut self) -> Result<ExitCode> {
        match self {
            Self::At(timer) => timer.fired().await.map(|()| ExitCode::SUCCESS),
            Self::Of(child) => exit_of(child).await,
            Self::Never => std::future::pending().await,
        }
    }
}

/// Starts the command with our stdout kept for the edges: its own output goes to stderr.
fn spawn(command: &[String]) -> Result<Child> {
    let (program, arguments) = command.split_first().context("no command given")?;
    let stderr = rustix::io::dup(rustix::stdio::stderr()).context("duplicate stderr")?;
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::from(stderr))
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

async fn exit_of(child: &mut Child) -> Result<ExitCode> {
    let status = child.wait().await.context("wait for the command")?;
    // As shells report it: the exit code, or 128 and the signal.
    let code = status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(1);
    ensure!((0..=255).contains(&code), "the command exited with {code}");
    Ok(ExitCode::from(code as u8))
}
