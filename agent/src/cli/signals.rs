//! `weir signals`

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use weir_export::signals::Form;
use weir_signals::{Deciding, Rules, Wanted};

use super::value::{ObserverArgs, choice, duration, learning};
use crate::{
    run::{Observation, Plan, Source, Until},
    sink::IncidentOutput,
};

/// Say what is wrong on this machine, where to look and what it costs, as it begins and ends
///
/// Silent while all is well. Every five seconds each edge is judged; an incident takes several bad windows (mostly two of
/// three), so that one bad moment is none. Some signals know from the first window what is wrong (nothing listens at an
/// address); others first learn what is normal, for ten minutes or what `--learn` says. Nothing is installed, and nothing
/// stays in the kernel after weir ends.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Watch this long, then exit [default: until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    span: Option<Duration>,
    /// How long to watch an edge until what is normal for it is known
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    learn: Duration,
    /// Shape of the output
    #[arg(short, long, value_name = "FORMAT", value_parser = choice(Form::ALL), default_value = "text")]
    output: Form,
    /// Also record the input stream in this file, for `--replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Judge a file written by `--record` or `weir record` instead of this machine: needs no privileges and no BPF
    #[arg(long, value_name = "FILE", conflicts_with_all = ["span", "record"])]
    replay: Option<PathBuf>,
    /// Judge without one of the rules: for the fault lab, which shows what each is for
    #[arg(long, value_name = "NAME", value_parser = rules, hide = true, requires = "replay")]
    ablate: Option<Rules>,
    #[command(flatten)]
    observer: ObserverArgs,
}

const EXAMPLES: &str = "\
Examples:
  weir signals                                  watch until Ctrl-C
  weir signals --for 5m --learn 30s             five minutes, normal is known after 30 seconds
  weir signals -o jsonl | tee incidents.jsonl   a JSON line for each change of an incident
  weir signals --replay outage.weir             what a recording comes to";

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let source = match args.replay {
        Some(file) => Source::Recording(file),
        None => {
            let observation = args.observer.observation(Until::asked(args.span, Vec::new()));
            Source::Kernel(Box::new(Observation { polls: true, ..observation }))
        }
    };
    let rules = args.ablate.unwrap_or_default();
    Plan {
        source,
        wanted: Wanted { decisions: Some(Deciding { rules, learning: learning(args.learn) }), ..Wanted::default() },
        record: args.record,
        sinks: vec![Box::new(IncidentOutput::new(args.output))],
    }
    .run()
}

fn rules(name: &str) -> Result<Rules, String> {
    Rules::without(name).ok_or_else(|| {
        let known: Vec<&str> = Rules::ABLATIONS.iter().map(|(name, _)| *name).collect();
        format!("there are {}", known.join(", "))
    })
}
