//! How far weir has stepped back to keep its own limits, and what each step gives up.

/// A step of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What weir does.
    pub does: &'static str,
    /// What is not known, or known less well, meanwhile.
    pub costs: &'static str,
}

/// The processor's ladder. A step includes those before it.
pub const CPU_STEPS: [Step; 6] = [
    Step { does: "everything", costs: "nothing" },
    Step {
        does: "reads every 5 s",
        costs: "outputs come every 5 s at most, and of failed connects there are fewer examples",
    },
    Step { does: "sk_data_ready is detached", costs: "receive-queue wait is unknown" },
    Step { does: "follows 1 socket in 4", costs: ESTIMATES },
    Step { does: "follows 1 socket in 16", costs: ESTIMATES },
    Step { does: "follows 1 socket in 64", costs: ESTIMATES },
];

const ESTIMATES: &str = "rounds, latencies and bytes are estimates from a sample of sockets";

/// The memory's ladder. A step includes those before it.
pub const MEMORY_STEPS: [Step; 4] = [
    Step { does: "everything", costs: "nothing" },
    Step {
        does: "drops edges after 10 s of silence",
        costs: "edges that fell silent are gone, with what they counted",
    },
    Step { does: "makes no new edges", costs: "new edges are counted in `other`" },
    Step {
        does: "makes records for half as many sockets",
        costs: "connections beyond are counted in `other`, without timing",
    },
];

/// The first step of the processor's ladder without `sk_data_ready`.
const WITHOUT_QUEUE_WAIT: u8 = 2;

/// The steps, and what they were decided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degraded {
    /// Index into `CPU_STEPS`.
    pub cpu_step: u8,
    /// Index into `MEMORY_STEPS`.
    pub memory_step: u8,
    /// The processor time that weir may use, millionths of one processor.
    pub cpu_budget_ppm: Option<u32>,
    /// What it uses, its programs' run time included; none before the first five seconds are over.
    pub cpu_ppm: Option<u32>,
    /// Whether the programs' run time is in it: the kernel may not let weir have it.
    pub programs_timed: bool,
    /// The memory that weir may use.
    pub memory_limit_bytes: Option<u64>,
    /// What it uses: the agent, the maps and the sockets' records.
    pub memory_bytes: u64,
}

impl Degraded {
    /// The step of the processor's ladder.
    pub fn cpu(&self) -> &'static Step {
        &CPU_STEPS[usize::from(self.cpu_step).min(CPU_STEPS.len() - 1)]
    }

    /// The step of the memory's ladder.
    pub fn memory(&self) -> &'static Step {
        &MEMORY_STEPS[usize::from(self.memory_step).min(MEMORY_STEPS.len() - 1)]
    }

    /// One socket in `1 << shift` is followed.
    pub fn sampling_shift(&self) -> u32 {
        2 * u32::from(self.cpu_step.min(CPU_STEPS.len() as u8 - 1).saturating_sub(WITHOUT_QUEUE_WAIT))
    }

    /// Whether the receive-queue wait is measured.
    pub fn times_queue_wait(&self) -> bool {
        self.cpu_step < WITHOUT_QUEUE_WAIT
    }
}

/// The steps of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degradation {
    /// At the window's end.
    pub now: Degraded,
    /// The highest step of the processor's ladder in the window.
    pub worst_cpu_step: u8,
    /// The highest step of the memory's ladder in the window.
    pub worst_memory_step: u8,
}

impl Degradation {
    /// Whether anything in the window is less than it would be at step 0 of both ladders; longer ticks alone lose nothing.
    pub fn lossless(&self) -> bool {
        self.worst_cpu_step < WITHOUT_QUEUE_WAIT && self.worst_memory_step == 0
    }

    /// Whether a sample of sockets was followed at some time of the window.
    pub fn estimated(&self) -> bool {
        self.worst().sampling_shift() > 0
    }

    /// Whether the receive-queue wait was measured all the time.
    pub fn times_queue_wait(&self) -> bool {
        self.worst().times_queue_wait()
    }

    /// A text of every step that was taken in the window, the lowest first, each text once in a row.
    pub fn texts(&self, text: fn(&Step) -> &'static str) -> Vec<&'static str> {
        let taken = |steps: &'static [Step], worst: u8| steps.iter().skip(1).take(worst.into());
        let steps = taken(&CPU_STEPS, self.worst_cpu_step).chain(taken(&MEMORY_STEPS, self.worst_memory_step));
        let mut texts: Vec<&str> = steps.map(text).collect();
        texts.dedup();
        texts
    }

    /// The worst of the window as if it were now.
    pub fn worst(&self) -> Degraded {
        Degraded { cpu_step: self.worst_cpu_step, memory_step: self.worst_memory_step, ..self.now }
    }
}

/// Remembers the steps as far back as a window may begin.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// When each began; the last is now.
    steps: Vec<(u64, Degraded)>,
}

impl History {
    pub(crate) fn add(&mut self, at_ns: u64, degraded: Degraded) {
        match self.steps.last_mut() {
            Some((_, last)) if (last.cpu_step, last.memory_step) == (degraded.cpu_step, degraded.memory_step) => {
                *last = degraded;
            }
            _ => self.steps.push((at_ns, degraded)),
        }
    }

    /// Forgets what ended before.
    pub(crate) fn forget(&mut self, before_ns: u64) {
        let keep = self.steps.iter().rposition(|(at_ns, _)| *at_ns <= before_ns).unwrap_or(0);
        self.steps.drain(..keep);
    }

    pub(crate) fn since(&self, from_ns: u64) -> Degradation {
        let first = self.steps.iter().rposition(|(at_ns, _)| *at_ns <= from_ns).unwrap_or(0);
        let steps = &self.steps[first..];
        let worst = |step: fn(&Degraded) -> u8| steps.iter().map(|(_, degraded)| step(degraded)).max().unwrap_or(0);
        Degradation {
            now: self.steps.last().map(|(_, degraded)| *degraded).unwrap_or_default(),
            worst_cpu_step: worst(|d| d.cpu_step),
            worst_memory_step: worst(|d| d.memory_step),
        }
    }
}
