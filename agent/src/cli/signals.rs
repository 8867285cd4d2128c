//! `weir signals`

use std::{
    io::stdout,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use weir_engine::{Engine, Input, Snapshot, Window};
use weir_export::signals::{Form, Watch};
use weir_recording::Recorder;
use weir_signals::{Rules, WINDOW_NS};

use super::value::{ObserverArgs, choice, duration};
use crate::observe::{self, EARLY, Plan, Until};

/// Say what is wrong on this machine, where to look and why it matters, as it begins and ends
///
/// Silent while all is well. Every five seconds each edge is judged; an incident takes two bad windows of three, so that one bad moment is none. Some
/// signals know from the first window what is wrong (nothing listens at an address); others first learn what is normal, for
/// ten minutes or what `--learn` says. Nothing is installed, and nothing stays in the kernel after weir ends.
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
    /// Also keep all that the engine is told in this file, for `--replay`
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
    let mut watch = Watch::following(args.ablate.unwrap_or_default(), args.output, args.learn);
    let exit = match &args.replay {
        Some(file) => replay(file, None, &mut |snapshot| watch.window_to(&mut stdout(), snapshot))?,
        None => observe(args, &mut watch)?,
    };
    watch.finish(&mut stdout())?;
    eprintln!("weir: {}", watch.summary());
    Ok(exit)
}

fn rules(name: &str) -> Result<Rules, String> {
    Rules::without(name).ok_or_else(|| {
        let known: Vec<&str> = Rules::ABLATIONS.iter().map(|(name, _)| *name).collect();
        format!("there are {}", known.join(", "))
    })
}

fn observe(args: Args, watch: &mut Watch) -> Result<ExitCode> {
    let every = Duration::from_nanos(WINDOW_NS);
    let plan = args.observer.plan(Until::asked(args.span, Vec::new()), Some(every), Window::Whole);
    let plan = Plan { polls: true, ..plan };
    let recorder = args.record.as_deref().map(Recorder::create).transpose()?;
    observe::observe(plan, recorder, &mut |snapshot| watch.window_to(&mut stdout(), &snapshot))
}

/// What `weir signals --replay FILE -o jsonl --learn TIME` prints.
///
/// # Errors
/// When the file is no whole recording.
pub fn judge(recording: &Path, learn: Duration) -> Result<String> {
    let mut watch = Watch::new(Form::Jsonl, learn);
    let mut lines = Vec::new();
    replay(recording, None, &mut |snapshot| watch.window_to(&mut lines, snapshot))?;
    Ok(String::from_utf8(lines)?)
}

/// The same windows as were judged then: they end at the same ticks. `whole` is told the same, and its windows do not end.
pub(super) fn replay(
    file: &Path,
    mut whole: Option<&mut Engine>,
    window: &mut dyn FnMut(&Snapshot) -> Result<()>,
) -> Result<ExitCode> {
    let mut engine = Engine::new(Window::Whole);
    let mut due_ns = u64::MAX;
    let mut outcome = Ok(());
    weir_recording::play(file, &mut |input| {
        let tick_ns = match &input {
            Input::Started(started) => {
                due_ns = started.monotonic_ns.saturating_add(WINDOW_NS);
                None
            }
            Input::Tick { monotonic_ns, .. } => Some(monotonic_ns.saturating_add(EARLY.as_nanos() as u64)),
            _ => None,
        };
        if let Some(whole) = &mut whole {
            whole.take(input.clone());
        }
        engine.take(input);
        if let Some(now_ns) = tick_ns.filter(|now_ns| *now_ns >= due_ns && outcome.is_ok()) {
            outcome = window(&engine.snapshot());
            engine.close_window();
            let late = (now_ns - due_ns) / WINDOW_NS;
            due_ns = due_ns.saturating_add(late * WINDOW_NS).saturating_add(WINDOW_NS);
        }
    })?;
    outcome?;
    window(&engine.snapshot())?;
    Ok(ExitCode::SUCCESS)
}
