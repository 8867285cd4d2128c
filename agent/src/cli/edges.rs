//! `weir edges`

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use anyhow::Result;
use weir_engine::Window;
use weir_export::Format;

use super::value::{ObserverArgs, ViewArgs, choice, duration, format_for_stdout};
use crate::{
    observe::{self, Plan, Until},
    output::Output,
};

/// Show who talks to whom on this machine, how fast, and how often it fails.
///
/// On a terminal the table refreshes until Ctrl-C and covers the last 5 to 10 seconds; elsewhere a JSON line is written
/// for every span of `--every`. With `--for` or a command, one window is observed, printed, and weir exits: Ctrl-C ends
/// it early and still prints. Nothing is installed, and nothing stays in the kernel after weir ends.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Observe this long, print once, exit
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    span: Option<Duration>,
    /// Refresh a live table, or write a JSON line, this often [default: 1s for a table, 10s for lines]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "span")]
    every: Option<Duration>,
    /// Shape of the output [default: table on a terminal, jsonl elsewhere]
    #[arg(short, long, value_name = "FORMAT", value_parser = choice(Format::ALL))]
    output: Option<Format>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    observer: ObserverArgs,
    /// Count and time weir's own programs while it runs (`kernel.bpf_stats_enabled`): costs some 20 ns a run
    #[arg(long)]
    stats: bool,
    /// Observe while this command runs
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["span", "every"])]
    command: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  weir edges                                    live table
  weir edges --for 10s -o json | jq .edges      ten seconds, as JSON
  weir edges --filter server=postgres --sort p99
  weir edges -o dot --for 30s | dot -Tsvg > edges.svg
  weir edges -- curl -s http://localhost/       just while curl runs";

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let terminal = std::io::stdout().is_terminal();
    let format = args.output.unwrap_or_else(format_for_stdout);
    let view = args.view.view();
    let once = args.span.is_some() || !args.command.is_empty();
    let until = Until::asked(args.span, args.command);
    let live_table = terminal && format == Format::Table && !once;
    let every = args.every.unwrap_or(Duration::from_secs(if live_table { 1 } else { 10 }));
    let window = if live_table {
        Window::Sliding { span_ns: Duration::from_secs(5).max(every).as_nanos() as u64 }
    } else {
        Window::Whole
    };
    let plan = Plan { stats: args.stats, ..args.observer.plan(until, (!once).then_some(every), window) };
    let output = Output::new(format, view, live_table);
    let exit = observe::observe(plan, None, &mut |snapshot| output.write(snapshot))?;
    Ok(exit)
}
