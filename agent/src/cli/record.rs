//! `weir record`

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use weir_export::Format;
use weir_signals::Wanted;

use super::value::{ObserverArgs, ViewArgs, choice, duration, format_for_stdout};
use crate::{
    run::{Observation, Plan, Source, Until},
    sink::EdgeOutput,
};

/// Observe, and record the input stream in a file.
///
/// The file is JSON lines in an LZ4 frame (`lz4 -dc FILE | jq`). `weir replay FILE` prints the same edges again, byte
/// for byte, on any machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write; replaced if it exists
    file: PathBuf,
    /// Record this long [default: until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    span: Option<Duration>,
    /// Shape of the edges printed at the end [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT", value_parser = choice(Format::ALL))]
    output: Option<Format>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    observer: ObserverArgs,
    /// Record while this command runs
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "span")]
    command: Vec<String>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let format = args.output.unwrap_or_else(format_for_stdout);
    let observation = args.observer.observation(Until::asked(args.span, args.command));
    // A recording can be judged: `weir signals --replay`.
    let observation = Observation { polls: true, ..observation };
    let plan = Plan {
        source: Source::Kernel(Box::new(observation)),
        wanted: Wanted { total: true, ..Wanted::default() },
        record: Some(args.file.clone()),
        sinks: vec![Box::new(EdgeOutput { format, view: args.view.view(), redraws: false })],
    };
    let exit = plan.run()?;
    let bytes = std::fs::metadata(&args.file).with_context(|| args.file.display().to_string())?.len();
    eprintln!("weir: wrote {} ({bytes} bytes)", args.file.display());
    Ok(exit)
}
