//! Keeps weir within `--cpu-budget` and `--memory-limit`: the engine's `Budget` decides, the guard acts.
//!
//! Every decision is an input of the engine, and so is in every output and recording.

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::Result;
use aya::sys::{Stats, enable_stats};
use weir_abi::ProbeName;
use weir_engine::{Budget, CPU_STEPS, Degraded, MEMORY_STEPS, TICK_NS, Usage};

use crate::{
    memory::release_heap,
    probe::load::Limits,
    source::reader::{Reader, Reading},
};

/// Kernel memory of a socket outside the table: a storage element (a slab object of 192 bytes) and the list of storages that a
/// socket gets with its first one (256). It is charged for each followed socket: up to 2 MiB count twice
/// (docs/self-protection.md).
const SOCKET_BYTES: u64 = 448;
/// How long a silent edge is kept at the first memory step: a choice.
const SHORT_SILENCE: Duration = Duration::from_secs(10);
/// The fewest sockets with a record, a choice: fewer would hardly free memory, and a limit below the size of the maps must not
/// stop observation.
const FEWEST_SOCKETS: u32 = 64;
/// Memory steps.
const DROP_SILENT: u8 = 1;
const NO_NEW_EDGES: u8 = 2;
const FEWER_SOCKETS: u8 = 3;

/// Controls weir's own cost.
pub(crate) struct Guard {
    budget: Budget,
    /// As configured: they hold at step 0.
    limits: Limits,
    silence: Duration,
    /// While it is open, the kernel times the programs.
    timing: Option<OwnedFd>,
    /// The kernel has refused to time them.
    timing_refused: bool,
    last: Reading,
    now: Degraded,
}

impl Guard {
    /// Starts at step 0. `limits` and `silence` are those that weir was started with, `first` is what it has used so far.
    pub(crate) fn new(limits: Limits, silence: Duration, budget: weir_engine::Limits, first: Reading) -> Self {
        let mut budget = Budget::new(budget);
        // No processor time to judge yet, only memory.
        let usage = Usage { now_ns: first.monotonic_ns, memory_bytes: memory(&first), ..Usage::default() };
        let now = budget.weigh(&usage);
        let mut guard = Self { budget, limits, silence, timing: None, timing_refused: false, last: first, now };
        let used = memory(&first);
        if let Some(limit) = now.memory_limit_bytes.filter(|limit| used > *limit) {
            eprintln!(
                "weir: the memory limit of {} KiB cannot be kept: {} KiB are in use before anything is observed (a lower \
                 --max-edges makes the maps smaller)",
                limit >> 10,
                used >> 10
            );
        }
        guard.time_programs(first.monotonic_ns);
        guard
    }

    /// The present steps.
    pub(crate) fn degraded(&self) -> Degraded {
        self.now
    }

    /// The interval of readings; `usual` is the interval without a budget.
    pub(crate) fn period(&self, usual: Duration) -> Duration {
        if self.now.cpu_step == 0 { usual } else { usual.max(Duration::from_nanos(TICK_NS.1)) }
    }

    /// Judges a reading, and changes the steps if necessary.
    pub(crate) fn weigh(&mut self, reading: Reading, reader: &mut Reader) -> Result<Degraded> {
        let timed = self.timing.is_some() || reading.spent.always_counted;
        let (spent, before) = (reading.spent, self.last.spent);
        let next = self.budget.weigh(&Usage {
            now_ns: reading.monotonic_ns,
            span_ns: reading.monotonic_ns.saturating_sub(self.last.monotonic_ns),
            agent_cpu_ns: spent.cpu_ns.saturating_sub(before.cpu_ns),
            programs_ns: timed.then(|| spent.programs_ns.saturating_sub(before.programs_ns)),
            memory_bytes: memory(&reading),
        });
        self.last = reading;
        self.time_programs(reading.monotonic_ns);
        let before = std::mem::replace(&mut self.now, next);
        if next.cpu_step != before.cpu_step {
            self.step_cpu(before, reader)?;
        }
        if next.memory_step != before.memory_step {
            self.step_memory(before.memory_step, reader)?;
        }
        Ok(next)
    }

    /// Turns the timing of programs on or off until the next reading.
    fn time_programs(&mut self, now_ns: u64) {
        if self.now.cpu_budget_ppm.is_none() || self.last.spent.always_counted || !self.budget.times_next(now_ns) {
            self.timing = None;
        } else if self.timing.is_none() && !self.timing_refused {
            match enable_stats(Stats::RunTime) {
                Ok(timing) => self.timing = Some(timing),
                Err(error) => {
                    self.timing_refused = true;
                    eprintln!("weir: the CPU budget counts the agent alone, not its programs: {error} (CAP_SYS_ADMIN)");
                }
            }
        }
    }

    fn step_cpu(&self, before: Degraded, reader: &mut Reader) -> Result<()> {
        let now = self.now;
        if now.times_queue_wait() != before.times_queue_wait() {
            reader.switch(ProbeName::SkDataReady, now.times_queue_wait())?;
        }
        reader.control().sample(now.sampling_shift())?;
        eprintln!(
            "weir: CPU step {} of {}: {} ({:.3}% of one core used, {:.3}% allowed)",
            now.cpu_step,
            CPU_STEPS.len() - 1,
            now.cpu().does,
            percent(now.cpu_ppm),
            percent(now.cpu_budget_ppm),
        );
        Ok(())
    }

    fn step_memory(&self, before: u8, reader: &mut Reader) -> Result<()> {
        let now = self.now;
        let at = |step| now.memory_step >= step;
        let silence = if at(DROP_SILENT) { self.silence.min(SHORT_SILENCE) } else { self.silence };
        reader.retirement().keep_for(silence);
        reader.retirement().allow_new_edges(!at(NO_NEW_EDGES))?;
        let half = u32::try_from(self.last.sockets / 2).unwrap_or(u32::MAX).max(FEWEST_SOCKETS);
        let sockets = if at(FEWER_SOCKETS) { half.min(self.limits.sockets) } else { self.limits.sockets };
        reader.control().limit_sockets(sockets)?;
        if now.memory_step > before {
            release_heap();
        }
        eprintln!(
            "weir: memory step {} of {}: {} ({} KiB used, {} KiB allowed)",
            now.memory_step,
            MEMORY_STEPS.len() - 1,
            now.memory().does,
            now.memory_bytes >> 10,
            now.memory_limit_bytes.unwrap_or(0) >> 10,
        );
        Ok(())
    }
}

fn percent(ppm: Option<u32>) -> f64 {
    f64::from(ppm.unwrap_or(0)) / 1e4
}

fn memory(reading: &Reading) -> u64 {
    reading.spent.memory_bytes.saturating_add(reading.sockets.saturating_mul(SOCKET_BYTES))
}
