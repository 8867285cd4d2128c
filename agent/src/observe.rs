//! One observation: probes in, a reading on every tick, snapshots out, nothing left behind.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};
use weir_engine::{Engine, Input, Snapshot, Window};
use weir_names::kubernetes;
use weir_recording::Recorder;

use crate::{
    cli::CannotRun,
    guard::Guard,
    memory::{release_start, share_heap},
    probe::{
        load::Limits,
        serve::{Probes, Trial},
    },
    source::{
        reader::{Reader, Reading},
        timer::Timer,
        waker::RingWaker,
    },
};

/// The grain of live tables and recordings.
const FINE_TICK: Duration = Duration::from_secs(1);
/// A tick comes a little early or late: one within this of a window's end is its end.
pub(crate) const EARLY: Duration = FINE_TICK.checked_div(4).expect("four");
/// Where only the end counts, the maps are read for the ring's sake: it holds the failures of 120 edges for this long.
/// A process that has slept pays 1 to 9 ms of cold memory for each time it wakes, so it should not wake for nothing.
const COARSE_TICK: Duration = Duration::from_secs(30);
/// Where memory is limited it is looked at this often.
const MEMORY_TICK: Duration = Duration::from_secs(5);
/// A live table settles idle rounds once in so many ticks.
const SETTLE_TICKS: u32 = 10;

/// What to observe.
pub(crate) struct Plan {
    /// Sizes of the kernel half's state.
    pub(crate) limits: Limits,
    /// Probes and entries to do without: for tests.
    pub(crate) refuse: Vec<String>,
    /// When to stop.
    pub(crate) until: Until,
    /// How often to hand out a snapshot before the end; none: only then.
    pub(crate) every: Option<Duration>,
    /// What snapshots cover.
    pub(crate) window: Window,
    /// Have the kernel count and time program runs meanwhile.
    pub(crate) stats: bool,
    /// The cluster whose names are used, if any.
    pub(crate) cluster: kubernetes::Config,
    /// Also ask for what the kernel does not tell by itself.
    pub(crate) polls: bool,
    /// What weir itself may use.
    pub(crate) budget: weir_engine::Limits,
}

/// When an observation ends. Ctrl-C always ends it.
pub(crate) enum Until {
    /// After this long.
    Elapsed(Duration),
    /// When this command has exited.
    Exited(Vec<String>),
    /// Not by itself.
    Interrupted,
}

impl Until {
    /// From what was typed: a span, else a command, else neither.
    pub(crate) fn asked(span: Option<Duration>, command: Vec<String>) -> Self {
        match span {
            Some(span) => Self::Elapsed(span),
            None if !command.is_empty() => Self::Exited(command),
            None => Self::Interrupted,
        }
    }
}

/// Who is told the same as the engine whose windows are shown.
#[derive(Default)]
pub(crate) struct Also<'w> {
    /// A file.
    pub(crate) recorder: Option<Recorder>,
    /// An engine whose windows do not end with those that are shown.
    pub(crate) whole: Option<&'w mut Engine>,
}

/// Runs the plan. The exit code is the command's where there was one.
pub(crate) fn observe(
    plan: Plan,
    recorder: Option<Recorder>,
    show: &mut dyn FnMut(Snapshot) -> Result<()>,
) -> Result<ExitCode> {
    observe_and_tell(plan, Also { recorder, whole: None }, show)
}

/// The same, told to others too.
pub(crate) fn observe_and_tell(
    plan: Plan,
    also: Also<'_>,
    show: &mut dyn FnMut(Snapshot) -> Result<()>,
) -> Result<ExitCode> {
    let _stats = plan.stats.then(|| aya::sys::enable_stats(aya::sys::Stats::RunTime)).transpose().context("--stats")?;
    let silence = silence(&plan);
    let limits = Limits { samples: plan.budget.cpu_share.is_some(), accept_queues: plan.polls, ..plan.limits };
    let reader = start(limits, &plan, silence).map_err(CannotRun)?;
    let tick = tick(&plan, also.recorder.is_some());
    let engine = Engine::new(plan.window);
    let mut session = Session { reader, engine, also, guard: None, tick, ticks: 0 };
    let first = session.begin()?;
    if plan.budget != weir_engine::Limits::default() {
        session.guard = Some(Guard::new(limits, silence, plan.budget, first));
        session.tell_degraded()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("tokio runtime")?;
    runtime.block_on(session.run(plan.until, plan.every, show))
}

/// How often to read: a whole number of times a window.
fn tick(plan: &Plan, records: bool) -> Duration {
    let most = match plan.budget {
        _ if records || plan.polls => FINE_TICK,
        weir_engine::Limits { cpu_share: Some(_), .. } => FINE_TICK,
        weir_engine::Limits { memory_bytes: Some(_), .. } => MEMORY_TICK,
        _ => COARSE_TICK,
    };
    plan.every.map_or(most, |every| every / every.as_nanos().div_ceil(most.as_nanos()).max(1) as u32)
}

/// An edge must outlive the windows that show it: with one window for all, none is ever retired, and what finds no slot is
/// counted in `other`.
fn silence(plan: &Plan) -> Duration {
    plan.every.map_or(Duration::MAX, |every| Duration::from_secs(60).max(every * 3))
}

fn start(limits: Limits, plan: &Plan, silence: Duration) -> Result<Reader> {
    share_heap();
    let probes = Probes::start(limits, Trial { refuse: &plan.refuse, measure: false })?;
    let mut reader = Reader::new(probes, limits, silence, plan.stats, &plan.cluster)?;
    if plan.polls {
        reader.start_polls();
    }
    release_start();
    Ok(reader)
}

struct Session<'w> {
    reader: Reader,
    engine: Engine,
    also: Also<'w>,
    /// Where weir has limits to keep.
    guard: Option<Guard>,
    tick: Duration,
    ticks: u32,
}

impl Session<'_> {
    async fn run(
        mut self,
        until: Until,
        every: Option<Duration>,
        show: &mut dyn FnMut(Snapshot) -> Result<()>,
    ) -> Result<ExitCode> {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let mut hangups = signal(SignalKind::hangup())?;
        let began = Instant::now();
        eprintln!("weir: observing{}", describe(&until));
        let mut child = None;
        let mut deadline = None;
        match until {
            Until::Elapsed(span) => deadline = Some(Timer::after(span)?),
            Until::Exited(command) => child = Some(spawn(&command)?),
            Until::Interrupted => {}
        }
        let ticks = Timer::every(self.tick)?;
        let mut bell = RingWaker::new(self.reader.ring_descriptor()?)?;
        let mut next_shown = every.map(|every| began + every);
        let mut code = ExitCode::SUCCESS;
        loop {
            let before = self.ticks;
            tokio::select! {
                _ = interrupts.recv() => break,
                _ = terminations.recv() => break,
                _ = hangups.recv() => break,
                ended = at(deadline.as_ref()) => {
                    ended?;
                    break;
                }
                exited = exit_of(&mut child) => {
                    code = exited?;
                    break;
                }
                rung = bell.ready() => {
                    rung?;
                    bell.rearm(self.hear(is_due(next_shown))?)?;
                }
                fired = ticks.fired() => {
                    fired?;
                    let reading = self.read(is_due(next_shown))?;
                    if let Some(period) = self.keep_within(reading)? {
                        ticks.change(period)?;
                    }
                }
            }
            // A window ends with a reading, and not with what was heard between two.
            let has_read = self.ticks != before;
            if let (true, Some(due), Some(every)) = (has_read && is_due(next_shown), next_shown, every) {
                self.show(show)?;
                next_shown = Some(next_due(due, every));
            }
        }
        drop(child);
        self.read(true)?;
        if let Some(recorder) = self.also.recorder.take() {
            recorder.finish()?;
        }
        self.show(show)?;
        Ok(code)
    }

    /// Hands out the window, which is then over unless it slides.
    fn show(&mut self, show: &mut dyn FnMut(Snapshot) -> Result<()>) -> Result<()> {
        show(self.engine.snapshot())?;
        if self.engine.window() == Window::Whole {
            self.engine.close_window();
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Reading> {
        let Self { reader, engine, also, .. } = self;
        let mut outcome = Ok(());
        let first = reader.begin(&mut |input| pass(input, engine, also, &mut outcome))?;
        outcome.map(|()| first)
    }

    /// Steps back or forth where weir has limits to keep; the period of its ticks, where that changes.
    fn keep_within(&mut self, reading: Reading) -> Result<Option<Duration>> {
        let Some(guard) = &mut self.guard else { return Ok(None) };
        let before = guard.period(self.tick);
        guard.weigh(reading, &mut self.reader)?;
        let period = guard.period(self.tick);
        self.tell_degraded()?;
        Ok((period != before).then_some(period))
    }

    fn tell_degraded(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        if let Some(guard) = &self.guard {
            pass(Input::Degraded(guard.degraded()), &mut self.engine, &mut self.also, &mut outcome);
        }
        outcome
    }

    /// Between ticks. Returns when to listen again, should the bell not ring before.
    fn hear(&mut self, shown: bool) -> Result<Option<Duration>> {
        let Self { reader, engine, also, .. } = self;
        let mut outcome = Ok(());
        let again = reader.read_ring(&mut |input| pass(input, engine, also, &mut outcome))?;
        outcome?;
        if self.reader.is_crowded() {
            self.read(shown)?;
        }
        Ok(again)
    }

    /// One tick. `shown`: a window ends with it, so what is idle or gathered must come out.
    fn read(&mut self, shown: bool) -> Result<Reading> {
        self.ticks += 1;
        let settle = match self.engine.window() {
            Window::Whole => shown,
            // A live table shows every tick; the scan visits every open file of the host.
            Window::Sliding { .. } => self.ticks.is_multiple_of(SETTLE_TICKS),
        };
        let Self { reader, engine, also, .. } = self;
        let mut outcome = Ok(());
        let reading = reader.read(settle, &mut |input| pass(input, engine, also, &mut outcome))?;
        outcome.map(|()| reading)
    }
}

/// The engine is told exactly what the recorder wrote.
fn pass(input: Input<'_>, engine: &mut Engine, also: &mut Also<'_>, outcome: &mut Result<()>) {
    if let Some(recorder) = &mut also.recorder
        && let Err(error) = recorder.write(&input)
        && outcome.is_ok()
    {
        *outcome = Err(error);
    }
    if let Some(whole) = &mut also.whole {
        whole.take(input.clone());
    }
    engine.take(input);
}

fn describe(until: &Until) -> String {
    match until {
        Until::Elapsed(span) => format!(" for {}s (Ctrl-C ends it early)", span.as_secs_f64()),
        Until::Exited(command) => format!(" while {} runs", command.first().map_or("the command", |c| c)),
        Until::Interrupted => " until Ctrl-C".to_owned(),
    }
}

/// Starts the command with our stdout kept for the edges: its own output goes to stderr.
fn spawn(command: &[String]) -> Result<Child> {
    let (program, arguments) = command.split_first().context("no command given")?;
    let stderr = rustix::io::dup(rustix::stdio::stderr()).context("duplicate stderr")?;
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::from(stderr))
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

async fn exit_of(child: &mut Option<Child>) -> Result<ExitCode> {
    let Some(child) = child else { return std::future::pending().await };
    let status = child.wait().await.context("wait for the command")?;
    // As shells report it: the exit code, or 128 and the signal.
    let code = status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(1);
    ensure!((0..=255).contains(&code), "the command exited with {code}");
    Ok(ExitCode::from(code as u8))
}

/// Whether a snapshot is due.
fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|due| Instant::now() + EARLY >= due)
}

/// The snapshot after the one that was due then. Where ticks are further apart than snapshots, some are left out.
fn next_due(due: Instant, every: Duration) -> Instant {
    let mut next = due + every;
    let now = Instant::now();
    while next <= now {
        next += every;
    }
    next
}

async fn at(deadline: Option<&Timer>) -> Result<()> {
    match deadline {
        Some(deadline) => deadline.fired().await,
        None => std::future::pending().await,
    }
}
