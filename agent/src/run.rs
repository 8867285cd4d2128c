//! What a command comes to: a plan of where inputs come from, which windows are kept, and where updates go.

mod live;
mod replay;
mod until;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use weir_signals::Wanted;

pub(crate) use live::{CannotRun, Observation};
pub(crate) use until::Until;

use crate::sink::Sink;

/// All that a command does.
pub(crate) struct Plan {
    pub(crate) source: Source,
    pub(crate) wanted: Wanted,
    /// A file that takes the same inputs as the pipeline.
    pub(crate) record: Option<PathBuf>,
    pub(crate) sinks: Vec<Box<dyn Sink>>,
}

/// Where inputs come from.
pub(crate) enum Source {
    /// This machine's kernel.
    Kernel(Box<Observation>),
    /// A file.
    Recording(PathBuf),
}

impl Plan {
    /// Runs it. The exit code is that of the observed command, where there was one.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, wanted, record, sinks } = self;
        match source {
            Source::Kernel(observation) => live::run(*observation, wanted, record.as_deref(), sinks),
            Source::Recording(file) => replay::run(&file, wanted, sinks),
        }
    }
}
