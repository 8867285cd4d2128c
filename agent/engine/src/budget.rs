//! Keeping weir's own cost within limits: when to do less, and when to do all of it again.
//!
//! A state machine over readings of what weir uses; it decides, the agent acts. There is one ladder of steps for the
//! processor and one for memory (`degraded.rs` says what each step gives up).
//!
//! Up: two of the last three spans over the limit, or one at twice the limit. Down: the cost that the step below would
//! have, by a bound that errs on the high side, stays well under the limit (70%; of memory, 90%) for a while. Who has to step up again soon
//! after coming back waits twice as long before the next time.

use crate::degraded::{CPU_STEPS, Degraded, MEMORY_STEPS};

/// Shorter spans would judge single outputs and scans.
pub const SPAN_NS: u64 = 5_000_000_000;
/// The readings' grain at step 0 of the processor's ladder, and above.
pub const TICK_NS: (u64, u64) = (1_000_000_000, SPAN_NS);
/// Of the limit: what the step below may cost for coming back. Memory does not vary as processor time does.
const LOW_CPU: f64 = 0.7;
const LOW_MEMORY: f64 = 0.9;
/// Of the limit: one such span is enough to step up.
const FAR_OVER: f64 = 2.0;
/// How long the cost must stay low before coming back, at first and at most.
const HOLD_NS: (u64, u64) = (10_000_000_000, 640_000_000_000);
/// Stepping up this long after coming back (or later) is no flapping.
const CALM_NS: u64 = 600_000_000_000;
/// Programs are timed in one tick of ten while nothing is to be decided, and while degraded every 20 seconds: timing a
/// run costs as much as a fifth of it.
const UNTIMED_NS: (u64, u64) = (9_000_000_000, 20_000_000_000);

/// What weir may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Of one processor: 0.01 is 1%.
    pub cpu_share: Option<f64>,
    /// The agent's resident memory, the maps and the sockets' records together.
    pub memory_bytes: Option<u64>,
}

/// What weir used since the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Monotonic clock, nanoseconds.
    pub now_ns: u64,
    /// Time since the last reading.
    pub span_ns: u64,
    /// Processor time of the agent in it.
    pub agent_cpu_ns: u64,
    /// Run time of the programs in it; none when they were not timed.
    pub programs_ns: Option<u64>,
    /// Memory now, as `Limits` counts it.
    pub memory_bytes: u64,
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    cpu: Ladder,
    memory: Ladder,
    /// The span being gathered.
    span: Usage,
    /// Time in the span during which programs were timed.
    timed_ns: u64,
    /// Programs' share of one processor as last timed; none before the first time.
    programs_share: Option<f64>,
    cpu_share: Option<f64>,
    memory_bytes: u64,
    timed_at_ns: Option<u64>,
    /// The next decision needs the programs' cost.
    undecided: bool,
}

impl Budget {
    /// At step 0.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            cpu: Ladder::new(CPU_STEPS.len()),
            memory: Ladder::new(MEMORY_STEPS.len()),
            span: Usage::default(),
            timed_ns: 0,
            programs_share: None,
            cpu_share: None,
            memory_bytes: 0,
            timed_at_ns: None,
            undecided: true,
        }
    }

    /// Takes a reading and says how far to step back from now on.
    pub fn weigh(&mut self, usage: &Usage) -> Degraded {
        self.span.span_ns = self.span.span_ns.saturating_add(usage.span_ns);
        self.span.agent_cpu_ns = self.span.agent_cpu_ns.saturating_add(usage.agent_cpu_ns);
        if let Some(ns) = usage.programs_ns {
            self.timed_ns = self.timed_ns.saturating_add(usage.span_ns);
            self.span.programs_ns = Some(self.span.programs_ns.unwrap_or(0).saturating_add(ns));
            self.timed_at_ns = Some(usage.now_ns);
        }
        self.memory_bytes = usage.memory_bytes;
        // A tick comes a little early or late.
        if self.span.span_ns >= SPAN_NS - SPAN_NS / 20 {
            self.judge(usage.now_ns);
            self.span = Usage::default();
            self.timed_ns = 0;
        }
        self.degraded()
    }

    /// Whether to time the programs until the next reading.
    pub fn times_next(&self, now_ns: u64) -> bool {
        let Some(timed_at_ns) = self.timed_at_ns else { return true };
        let rest = if self.cpu.step == 0 { UNTIMED_NS.0 } else { UNTIMED_NS.1 };
        // A twentieth for ticks that come early.
        (self.undecided && self.timed_ns == 0) || now_ns.saturating_sub(timed_at_ns) >= rest - rest / 20
    }

    /// The steps now, and what they were decided by.
    pub fn degraded(&self) -> Degraded {
        Degraded {
            cpu_step: self.cpu.step as u8,
            memory_step: self.memory.step as u8,
            cpu_budget_ppm: self.limits.cpu_share.map(ppm),
            cpu_ppm: self.cpu_share.map(ppm),
            programs_timed: self.programs_share.is_some(),
            memory_limit_bytes: self.limits.memory_bytes,
            memory_bytes: self.memory_bytes,
        }
    }

    fn judge(&mut self, now_ns: u64) {
        let agent = share(self.span.agent_cpu_ns, self.span.span_ns);
        let timed = self.span.programs_ns.map(|ns| share(ns, self.timed_ns));
        self.programs_share = timed.or(self.programs_share);
        let programs = self.programs_share.unwrap_or(0.0);
        let share = agent + programs;
        self.cpu_share = Some(share);
        if let Some(limit) = self.limits.cpu_share {
            // What was not timed in this span decides nothing, unless the agent alone is over or nothing is ever timed.
            if timed.is_some() || self.programs_share.is_none() || agent > limit {
                let below = cost_below(self.cpu.step, agent, programs);
                let pressure = Pressure::of(share / limit, below / limit < LOW_CPU);
                let moved = self.cpu.judge(now_ns, pressure);
                let at_an_end = match pressure {
                    Pressure::Over | Pressure::FarOver => self.cpu.step == self.cpu.top,
                    Pressure::Within => true,
                    Pressure::Low => self.cpu.step == 0,
                };
                self.undecided = moved || !at_an_end;
            }
        }
        if let Some(limit) = self.limits.memory_bytes {
            let part = self.memory_bytes as f64 / limit.max(1) as f64;
            // Memory that a step has freed is not taken again at once: what is used now is the best bound there is.
            self.memory.judge(now_ns, Pressure::of(part, part < LOW_MEMORY));
        }
    }
}

/// The cost that the step below would have, at most.
fn cost_below(step: usize, agent: f64, programs: f64) -> f64 {
    match step {
        0 => agent + programs,
        // Five readings for one.
        1 => agent * (TICK_NS.1 / TICK_NS.0) as f64 + programs,
        // `sk_data_ready` is a fifth to a quarter of the programs' time.
        2 => agent + programs * 1.5,
        // Four times as many sockets.
        _ => agent + programs * 4.0,
    }
}

fn share(ns: u64, span_ns: u64) -> f64 {
    ns as f64 / span_ns.max(1) as f64
}

fn ppm(share: f64) -> u32 {
    (share * 1e6).round() as u32
}

/// A span, as the ladder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    FarOver,
    Over,
    Within,
    Low,
}

impl Pressure {
    fn of(cost: f64, low: bool) -> Self {
        match () {
            () if cost > FAR_OVER => Self::FarOver,
            () if cost > 1.0 => Self::Over,
            () if low => Self::Low,
            () => Self::Within,
        }
    }
}

/// Steps from 0 (everything) to the top.
#[derive(Clone, Debug)]
struct Ladder {
    step: usize,
    top: usize,
    /// Which of the last three spans were over.
    over: [bool; 3],
    low_since_ns: Option<u64>,
    came_back_ns: Option<u64>,
    hold_ns: u64,
}

impl Ladder {
    fn new(steps: usize) -> Self {
        Self { step: 0, top: steps - 1, over: [false; 3], low_since_ns: None, came_back_ns: None, hold_ns: HOLD_NS.0 }
    }

    /// Whether it moved.
    fn judge(&mut self, now_ns: u64, pressure: Pressure) -> bool {
        self.over = [self.over[1], self.over[2], matches!(pressure, Pressure::Over | Pressure::FarOver)];
        if pressure != Pressure::Low {
            self.low_since_ns = None;
        }
        let twice = self.over.iter().filter(|over| **over).count() >= 2 && self.over[2];
        if (twice || pressure == Pressure::FarOver) && self.step < self.top {
            self.climb(now_ns);
            return true;
        }
        if pressure == Pressure::Low && self.step > 0 {
            let since = *self.low_since_ns.get_or_insert(now_ns);
            if now_ns.saturating_sub(since) >= self.hold_ns - self.hold_ns / 20 {
                self.move_to(self.step - 1);
                self.came_back_ns = Some(now_ns);
                return true;
            }
        }
        false
    }

    fn climb(&mut self, now_ns: u64) {
        match self.came_back_ns.take() {
            Some(at) if now_ns.saturating_sub(at) < CALM_NS.max(self.hold_ns) => {
                self.hold_ns = (self.hold_ns * 2).min(HOLD_NS.1);
            }
            Some(_) => self.hold_ns = HOLD_NS.0,
            None => {}
        }
        self.move_to(self.step + 1);
    }

    /// What was seen at another step says nothing of this one.
    fn move_to(&mut self, step: usize) {
        self.step = step;
        self.over = [false; 3];
        self.low_since_ns = None;
    }
}

#[cfg(test)]
mod tests;
