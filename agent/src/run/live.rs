//! This machine as the source: probes in, a reading on every tick, updates out, nothing left behind.

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use weir_engine::{Input, Schedule};
use weir_names::kubernetes;
use weir_recording::{Tap, WhenFull};
use weir_signals::{Pipeline, WINDOW_NS, Wanted};

use super::until::{Ending, Until};
use crate::{
    doctor::{Obstacle, find_obstacle},
    guard::Guard,
    memory::{release_start, share_heap},
    probe::{
        load::Limits,
        serve::{Probes, Trial},
    },
    sink::{Delivery, Sink, Sinks},
    source::{
        clock::monotonic_ns,
        reader::{Reader, Reading},
        timer::Timer,
        waker::RingWaker,
    },
};

/// The grain of live tables and recordings.
const FINE_TICK: Duration = Duration::from_secs(1);
/// Where only the end counts, the maps are read for the ring's sake: it holds the failures of 120 edges for this long.
/// A process that has slept pays 1 to 9 ms of cold memory for each time it wakes, so it should not wake for nothing.
const COARSE_TICK: Duration = Duration::from_secs(30);
/// Where memory is limited it is looked at this often.
const MEMORY_TICK: Duration = Duration::from_secs(5);
/// A live table settles idle rounds once in so many ticks: the scan visits every open file of the host.
const SETTLE_TICKS: u32 = 10;
/// The tick's own time is read after this was asked: a window that ends within it is settled too.
const SOON_NS: u64 = 5_000_000;
/// After Ctrl-C, outputs that are not taken are given up after this long.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether they have been.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How to observe this machine.
pub(crate) struct Observation {
    /// Sizes of the kernel half's state.
    pub(crate) limits: Limits,
    /// Probes and entries to do without: for tests.
    pub(crate) refuse: Vec<String>,
    /// When to stop.
    pub(crate) until: Until,
    /// Have the kernel count and time program runs meanwhile.
    pub(crate) stats: bool,
    /// The cluster whose names are used, if any.
    pub(crate) cluster: kubernetes::Config,
    /// Also ask for what the kernel does not tell by itself.
    pub(crate) polls: bool,
    /// What weir itself may use.
    pub(crate) budget: weir_engine::Limits,
}

/// A failure that the machine, not the run, is to blame for: exit code 2.
#[derive(Debug)]
pub(crate) struct CannotRun {
    error: anyhow::Error,
    /// What stands in the way, where that is known.
    obstacle: Option<Obstacle>,
}

impl CannotRun {
    /// Looks for what stands in the way.
    fn because(error: anyhow::Error) -> Self {
        Self { error, obstacle: find_obstacle() }
    }
}

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.obstacle {
            Some(obstacle) => write!(f, "cannot run here: {obstacle}")?,
            None => write!(f, "cannot run here: {:#}", self.error)?,
        }
        write!(f, "\n`weir doctor` names every cause and its fix")
    }
}

impl std::error::Error for CannotRun {}

/// Observes until the end. The exit code is the command's where there was one.
pub(super) fn run(
    observation: Observation,
    wanted: Wanted,
    record: Option<&Path>,
    sinks: Vec<Box<dyn Sink>>,
) -> Result<ExitCode> {
    let Observation { limits, refuse, until, stats, cluster, polls, budget } = observation;
    // Before there is a thread: see there.
    share_heap();
    let tap = record.map(|path| Tap::create(path, when_full(&until))).transpose()?;
    let _stats = stats.then(|| aya::sys::enable_stats(aya::sys::Stats::RunTime)).transpose().context("--stats")?;
    let limits = Limits { samples: budget.cpu_share.is_some(), accept_queues: polls, ..limits };
    let pace = Pace::of(&wanted, budget, tap.is_some(), polls);
    let start = || -> Result<Reader> {
        let probes = Probes::start(limits, Trial { refuse: &refuse, measure: false })?;
        let mut reader = Reader::new(probes, limits, pace.silence, stats, &cluster)?;
        if polls {
            reader.start_polls();
        }
        Ok(reader)
    };
    let reader = start().map_err(CannotRun::because)?;
    release_start();
    let mut session = Session {
        reader,
        pipeline: Pipeline::new(wanted),
        tap,
        sinks: Sinks::start(sinks, Delivery::Newest)?,
        guard: None,
        pace,
        ticks: 0,
    };
    let first = session.begin()?;
    if budget != weir_engine::Limits::default() {
        session.guard = Some(Guard::new(limits, pace.silence, budget, first));
        session.emit_degraded()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("tokio runtime")?;
    runtime.block_on(session.run(until))
}

/// A recording that ends is whole; one without an end must not hold up the ring.
fn when_full(until: &Until) -> WhenFull {
    match until {
        Until::Elapsed(_) | Until::Exited(_) => WhenFull::Wait,
        Until::Interrupted => WhenFull::Skip,
    }
}

/// How often things are done.
#[derive(Clone, Copy, Debug)]
struct Pace {
    tick: Duration,
    /// How long a silent edge is kept: it must outlive the windows that show it.
    silence: Duration,
    /// Settle idle rounds at every so many ticks; at the end of windows in any case.
    settle_ticks: Option<u32>,
}

impl Pace {
    fn of(wanted: &Wanted, budget: weir_engine::Limits, records: bool, polls: bool) -> Self {
        let most = match budget {
            _ if records || polls => FINE_TICK,
            weir_engine::Limits { cpu_share: Some(_), .. } => FINE_TICK,
            weir_engine::Limits { memory_bytes: Some(_), .. } => MEMORY_TICK,
            _ => COARSE_TICK,
        };
        let spans =
            [wanted.live.map(|live| live.every_ns), wanted.decisions.map(|_| WINDOW_NS), wanted.export_every_ns];
        let every = spans.into_iter().flatten().min().map(Duration::from_nanos);
        let longest = spans.into_iter().flatten().max().map(Duration::from_nanos);
        let slides = wanted.live.is_some_and(|live| matches!(live.schedule, Schedule::Sliding { .. }));
        Self {
            // A whole number of times a window.
            tick: every.map_or(most, |every| every / every.as_nanos().div_ceil(most.as_nanos()).max(1) as u32),
            // With one window for all, no edge is ever retired, and what finds no slot is counted in `other`.
            silence: longest.map_or(Duration::MAX, |longest| Duration::from_secs(60).max(longest * 3)),
            settle_ticks: slides.then_some(SETTLE_TICKS),
        }
    }
}

struct Session {
    reader: Reader,
    pipeline: Pipeline,
    /// Takes the same inputs.
    tap: Option<Tap>,
    sinks: Sinks,
    /// Where weir has limits to keep.
    guard: Option<Guard>,
    pace: Pace,
    ticks: u32,
}

impl Session {
    async fn run(mut self, until: Until) -> Result<ExitCode> {
        let mut signals = Signals::listen()?;
        eprintln!("weir: observing{}", until.describe());
        let mut ending = Ending::begin(until)?;
        let ticks = Timer::every(self.pace.tick)?;
        let mut waker = RingWaker::new(self.reader.ring_descriptor()?)?;
        let failed = self.sinks.failed();
        let (mut code, mut is_interrupted) = (ExitCode::SUCCESS, false);
        loop {
            tokio::select! {
                () = signals.any() => {
                    is_interrupted = true;
                    break;
                }
                reached = ending.reached() => {
                    code = reached?;
                    break;
                }
                () = failed.notified() => break,
                ready = waker.ready() => {
                    ready?;
                    waker.rearm(self.read_ring()?)?;
                }
                fired = ticks.fired() => {
                    fired?;
                    let reading = self.read(false)?;
                    if let Some(period) = self.keep_within(reading)? {
                        ticks.change(period)?;
                    }
                }
            }
        }
        drop(ending);
        self.read(true)?;
        let last = self.pipeline.finish();
        self.sinks.deliver(last);
        if let Some(tap) = &mut self.tap {
            tap.close()?;
        }
        self.wait(&mut signals, is_interrupted).await?;
        Ok(code)
    }

    /// Waits until all is written, or until Ctrl-C and two seconds more.
    async fn wait(self, signals: &mut Signals, mut is_interrupted: bool) -> Result<()> {
        let looks = Timer::every(LOOK_EVERY)?;
        let mut recorded = self.tap.is_none();
        let mut patience = PATIENCE;
        loop {
            if !recorded && let Some(outcome) = self.tap.as_ref().and_then(Tap::finished) {
                outcome?;
                recorded = true;
            }
            if recorded && self.sinks.are_done() {
                return self.sinks.wait();
            }
            if is_interrupted && patience.is_zero() {
                let recording = (!recorded).then_some("the recording's end");
                let outputs = self.sinks.not_written();
                let lost: Vec<String> = recording.map(str::to_owned).into_iter().chain(outputs).collect();
                anyhow::bail!("stopped before all was written; not written: {}", lost.join(", "));
            }
            tokio::select! {
                () = signals.any() => is_interrupted = true,
                fired = looks.fired() => {
                    fired?;
                    patience = if is_interrupted { patience.saturating_sub(LOOK_EVERY) } else { PATIENCE };
                }
            }
        }
    }

    fn begin(&mut self) -> Result<Reading> {
        let Self { reader, pipeline, tap, sinks, .. } = self;
        let mut consumers = Consumers { pipeline, tap, sinks, outcome: Ok(()) };
        let first = reader.begin(&mut |input| consumers.take(input))?;
        consumers.outcome.map(|()| first)
    }

    /// Steps back or forth where weir has limits to keep; the period of its ticks, where that changes.
    fn keep_within(&mut self, reading: Reading) -> Result<Option<Duration>> {
        let Some(guard) = &mut self.guard else { return Ok(None) };
        let before = guard.period(self.pace.tick);
        guard.weigh(reading, &mut self.reader)?;
        let period = guard.period(self.pace.tick);
        self.emit_degraded()?;
        Ok((period != before).then_some(period))
    }

    fn emit_degraded(&mut self) -> Result<()> {
        let Self { pipeline, tap, sinks, guard, .. } = self;
        let mut consumers = Consumers { pipeline, tap, sinks, outcome: Ok(()) };
        if let Some(guard) = guard {
            consumers.take(Input::Degraded(guard.degraded()));
        }
        consumers.outcome
    }

    /// Between ticks. Returns when to read the ring again, should it not wake its reader before.
    fn read_ring(&mut self) -> Result<Option<Duration>> {
        let Self { reader, pipeline, tap, sinks, .. } = self;
        let mut consumers = Consumers { pipeline, tap, sinks, outcome: Ok(()) };
        let again = reader.read_ring(&mut |input| consumers.take(input))?;
        consumers.outcome?;
        if self.reader.is_crowded() {
            self.read(false)?;
        }
        Ok(again)
    }

    /// One tick. Where a window ends with it, what is idle or gathered in the kernel half comes out.
    fn read(&mut self, is_last: bool) -> Result<Reading> {
        self.ticks += 1;
        let ends = || self.pipeline.would_end(monotonic_ns() + SOON_NS);
        let settle = is_last || ends() || self.pace.settle_ticks.is_some_and(|n| self.ticks.is_multiple_of(n));
        let Self { reader, pipeline, tap, sinks, .. } = self;
        if let Some(tap) = tap.as_mut().filter(|tap| tap.can_resume()) {
            reader.repeat();
            tap.resume()?;
        }
        let mut consumers = Consumers { pipeline, tap, sinks, outcome: Ok(()) };
        let reading = reader.read(settle, &mut |input| consumers.take(input))?;
        consumers.outcome.map(|()| reading)
    }
}

/// Consumers of the one input stream: the recording before the pipeline.
struct Consumers<'s> {
    pipeline: &'s mut Pipeline,
    tap: &'s mut Option<Tap>,
    sinks: &'s mut Sinks,
    outcome: Result<()>,
}

impl Consumers<'_> {
    fn take(&mut self, input: Input<'_>) {
        if let Some(tap) = self.tap
            && let Err(error) = tap.take(&input)
            && self.outcome.is_ok()
        {
            self.outcome = Err(error);
        }
        if let Some(update) = self.pipeline.take(input) {
            self.sinks.deliver(update);
        }
    }
}

/// What ends an observation from outside.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
