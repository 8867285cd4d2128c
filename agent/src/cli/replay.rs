//! `weir replay`

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use weir_export::Format;
use weir_signals::Wanted;

use super::value::{ViewArgs, choice, format_for_stdout};
use crate::{
    run::{Plan, Source},
    sink::EdgeOutput,
};

/// Show the edges of a recorded file, exactly as they were.
///
/// Needs no privileges and no BPF: the engine takes the same inputs as then.
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

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let format = args.output.unwrap_or_else(format_for_stdout);
    Plan {
        source: Source::Recording(args.file),
        wanted: Wanted { total: true, ..Wanted::default() },
        record: None,
        sinks: vec![Box::new(EdgeOutput { format, view: args.view.view(), redraws: false })],
    }
    .run()
}
