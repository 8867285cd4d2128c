//! `weir explain`

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use weir_export::explain::{Asked, Shape};
use weir_signals::{Deciding, Rules, Wanted};

use super::value::{ObserverArgs, choice, duration, learning};
use crate::{
    run::{Observation, Plan, Source, Until},
    sink::ExplainOutput,
};

/// The whole picture of one service, or of one edge: its callers, its callees, where the time goes, what is wrong
///
/// The numbers cover all of `--for`. Incidents are judged as `weir signals` does, by windows of five seconds in the same
/// time, and take two bad ones: give it ten seconds or more. What shows only against what is normal takes a `--learn` that is
/// shorter than `--for`. Nothing is installed, and nothing stays in the kernel after weir ends.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A service as `weir edges` calls it (`redis`, `shop/checkout`, `nginx:8081`), the server of a port (`:5432`), a pid
    /// (`812`), or an edge between two of these (`'checkout->:5432'`)
    #[arg(value_name = "SERVICE|CLIENT->SERVER")]
    asked: Asked,
    /// Observe this long: Ctrl-C ends it early and still prints
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "15s")]
    span: Duration,
    /// How long to watch an edge until what is normal for it is known
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    learn: Duration,
    /// Shape of the output
    #[arg(short, long, value_name = "FORMAT", value_parser = choice(Shape::ALL), default_value = "text")]
    output: Shape,
    /// Explain what `weir record` or `weir signals --record` kept in this file, instead of this machine: needs no privileges and
    /// no BPF
    #[arg(long, value_name = "FILE", conflicts_with = "span")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    observer: ObserverArgs,
}

const EXAMPLES: &str = "\
Examples:
  weir explain checkout                         one service, fifteen seconds
  weir explain :5432 --for 30s                  the server of port 5432
  weir explain 812                              the process with this pid
  weir explain 'checkout->redis'                one edge (quote the >)
  weir explain checkout --for 3m --learn 1m     also what became worse in the last two minutes
  weir explain redis -o json | jq '.callers[].time_s'
  weir explain redis --replay outage.weir       what a recording says of it";

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let Args { asked, span, learn, output, replay, observer } = args;
    let source = match replay {
        Some(file) => Source::Recording(file),
        None => {
            let observation = observer.observation(Until::asked(Some(span), Vec::new()));
            Source::Kernel(Box::new(Observation { polls: true, ..observation }))
        }
    };
    Plan {
        source,
        wanted: Wanted {
            decisions: Some(Deciding { rules: Rules::ALL, learning: learning(learn) }),
            total: true,
            ..Wanted::default()
        },
        record: None,
        sinks: vec![Box::new(ExplainOutput { asked, shape: output, learn })],
    }
    .run()
}
