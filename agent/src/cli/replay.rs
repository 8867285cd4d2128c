//! `weir replay`

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use weir_engine::{Engine, Window};
use weir_export::Format;

use super::value::{ViewArgs, choice, format_for_stdout};
use crate::output::Output;

/// Show the edges of a recorded file, exactly as they were.
///
/// Needs no privileges and no BPF: the engine is told again what it was told then.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file written by `weir record`
    file: PathBuf,
    /// Shape of the output [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT", value_parser = choice(Format::ALL))]
    output: Option<Format>,
    #[command(flatten)]
    view: ViewArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut engine = Engine::new(Window::Whole);
    weir_recording::play(&args.file, &mut |input| engine.take(input))?;
    let view = args.view.clone().view();
    Output::new(args.output.unwrap_or_else(format_for_stdout), view, false).write(engine.snapshot())?;
    Ok(ExitCode::SUCCESS)
}
