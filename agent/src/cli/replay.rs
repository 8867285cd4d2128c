//! `weir replay`

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use weir_engine::{Engine, Window};

use super::value::{Format, ViewArgs};
use crate::{export::Output, recording};

/// Show the edges of a recorded file, exactly as they were.
///
/// Needs no privileges and no BPF: the engine is told again what it was told then.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file written by `weir record`
    file: PathBuf,
    /// Shape of the output [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    output: Option<Format>,
    #[command(flatten)]
    view: ViewArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut engine = Engine::new(Window::Whole);
    recording::play(&args.file, &mut |input| engine.take(input))?;
    let view = args.view.clone().view();
    Output::new(args.output.unwrap_or_else(Format::for_stdout), view, false).write(engine.snapshot())?;
    Ok(ExitCode::SUCCESS)
}
