//! `weir edges`

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use weir_engine::Schedule;
use weir_export::Format;
use weir_signals::{Live, Wanted};

use super::value::{ObserverArgs, ViewArgs, choice, duration, format_for_stdout};
use crate::{
    run::{Observation, Plan, Source, Until},
    sink::EdgeOutput,
};

/// A live table covers at least so much, and up to twice as much: less would flicker. A choice.
const LIVE_SPAN_NS: u64 = 5_000_000_000;

/// Show which service calls which on this machine, how fast, and how often it fails.
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
    /// Also record the input stream in this file, for `weir replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
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
    let format = args.output.unwrap_or_else(format_for_stdout);
    let once = args.span.is_some() || !args.command.is_empty();
    let redraws = std::io::stdout().is_terminal() && format == Format::Table && !once;
    let every = args.every.unwrap_or(Duration::from_secs(if redraws { 1 } else { 10 }));
    let every_ns = every.as_nanos() as u64;
    let schedule = if redraws {
        Schedule::Sliding { span_ns: every_ns.max(LIVE_SPAN_NS) }
    } else {
        Schedule::Tumbling { span_ns: every_ns }
    };
    let wanted = if once {
        Wanted { total: true, ..Wanted::default() }
    } else {
        Wanted { live: Some(Live { schedule, every_ns }), ..Wanted::default() }
    };
    let observation = args.observer.observation(Until::asked(args.span, args.command));
    let observation = Observation { stats: args.stats, ..observation };
    Plan {
        source: Source::Kernel(Box::new(observation)),
        wanted,
        record: args.record,
        sinks: vec![Box::new(EdgeOutput { format, view: args.view.view(), redraws })],
    }
    .run()
}
