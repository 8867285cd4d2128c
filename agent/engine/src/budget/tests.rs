use proptest::prelude::*;

use super::*;

const S: u64 = 1_000_000_000;

/// A host whose programs cost this share of one processor at each step, and an agent whose readings cost so much each.
struct Host {
    budget: Budget,
    now_ns: u64,
    programs: [f64; 6],
    reading_ns: u64,
    memory_bytes: u64,
    timed_ns: u64,
    moves: Vec<(u64, u8, u8)>,
}

impl Host {
    fn new(cpu_share: f64, programs: [f64; 6]) -> Self {
        let limits = Limits { cpu_share: Some(cpu_share), memory_bytes: Some(64 << 20) };
        let budget = Budget::new(limits);
        Self { budget, now_ns: 0, programs, reading_ns: 1_000_000, memory_bytes: 0, timed_ns: 0, moves: Vec::new() }
    }

    /// Lets it run; ticks are as long as the step asks for.
    fn run(&mut self, seconds: u64) -> u8 {
        let until = self.now_ns + seconds * S;
        while self.now_ns < until {
            let before = self.budget.degraded();
            let step = before.cpu_step;
            let span_ns = if step == 0 { TICK_NS.0 } else { TICK_NS.1 };
            let timed = self.budget.times_next(self.now_ns);
            self.now_ns += span_ns;
            self.timed_ns += if timed { span_ns } else { 0 };
            let usage = Usage {
                now_ns: self.now_ns,
                span_ns,
                agent_cpu_ns: self.reading_ns,
                programs_ns: timed.then(|| (self.programs[usize::from(step)] * span_ns as f64) as u64),
                memory_bytes: self.memory_bytes,
            };
            let after = self.budget.weigh(&usage);
            if (after.cpu_step, after.memory_step) != (before.cpu_step, before.memory_step) {
                self.moves.push((self.now_ns / S, after.cpu_step, after.memory_step));
            }
        }
        self.budget.degraded().cpu_step
    }
}

/// A load that costs this much at step 0, and what is left of it at each step.
fn load(share: f64) -> [f64; 6] {
    [1.0, 1.0, 0.75, 0.75 / 3.5, 0.75 / 10.0, 0.75 / 20.0].map(|part| share * part)
}

#[test]
fn within_the_budget_nothing_happens() {
    let mut host = Host::new(0.01, load(0.005));
    assert_eq!((host.run(3600), host.moves.len()), (0, 0));
    // One tick in ten is timed.
    let timed = host.timed_ns as f64 / host.now_ns as f64;
    assert!((0.09..0.12).contains(&timed), "timed {timed} of the time");
}

#[test]
fn it_steps_up_as_far_as_is_needed_and_stays_there() {
    let mut host = Host::new(0.01, load(0.03));
    assert_eq!(host.run(60), 3);
    let moves = host.moves.len();
    assert_eq!((host.run(3600), host.moves.len()), (3, moves), "{:?}", host.moves);
    assert_eq!(host.moves.iter().map(|(_, step, _)| *step).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn it_comes_back_when_the_load_is_gone() {
    let mut host = Host::new(0.01, load(1.0));
    assert_eq!(host.run(40), 5, "{:?}", host.moves);
    host.programs = load(0.0);
    assert_eq!(host.run(90), 0, "{:?}", host.moves);
}

#[test]
fn one_long_output_is_no_reason() {
    let mut host = Host::new(0.01, load(0.0));
    for _ in 0..20 {
        host.run(59);
        // 70 ms in one second are 7% of it, but 1.4% of the span: over, though not twice.
        host.reading_ns = 70_000_000;
        host.run(1);
        host.reading_ns = 1_000_000;
    }
    assert_eq!(host.moves, []);
}

/// Waits double up to the longest, less a twentieth for ticks that come early.
fn most_returns(seconds: u64) -> u64 {
    let doublings = (HOLD_NS.1 / HOLD_NS.0).ilog2();
    seconds * S / (HOLD_NS.1 - HOLD_NS.1 / 20) + 1 + u64::from(doublings)
}

#[test]
fn a_load_that_returns_each_time_is_met_by_longer_waits() {
    let mut host = Host::new(0.01, load(0.03));
    // Whatever the step, the load goes when weir has stepped up and is back when it has come back.
    for _ in 0..2000 {
        let step = host.run(5);
        host.programs = if step > 0 { load(0.0) } else { load(0.03) };
    }
    let ups = host.moves.windows(2).filter(|pair| pair[0].1 == 0 && pair[1].1 == 1).count();
    assert!(ups as u64 <= most_returns(10_000), "{ups} times: {:?}", host.moves);
}

#[test]
fn what_is_never_timed_is_not_waited_for() {
    let mut budget = Budget::new(Limits { cpu_share: Some(0.01), memory_bytes: None });
    let reading = |now: u64, agent_cpu_ns| Usage { now_ns: now * S, span_ns: S, agent_cpu_ns, ..Usage::default() };
    let steps: Vec<u8> = (1..=5).map(|now| budget.weigh(&reading(now, 50_000_000)).cpu_step).collect();
    assert_eq!(steps, [0, 0, 0, 0, 1]);
    assert!(!budget.degraded().programs_timed);
}

#[test]
fn memory_has_a_ladder_of_its_own() {
    let mut host = Host::new(1.0, load(0.0));
    host.memory_bytes = 70 << 20;
    host.run(60);
    assert_eq!(host.moves.iter().map(|(_, cpu, memory)| (*cpu, *memory)).collect::<Vec<_>>(), [(0, 1), (0, 2), (0, 3)]);
    host.memory_bytes = 60 << 20;
    host.run(300);
    assert_eq!(host.budget.degraded().memory_step, 3, "close below the limit is no time to come back");
    host.memory_bytes = 30 << 20;
    host.run(120);
    assert_eq!(host.budget.degraded().memory_step, 0);
}

proptest! {
    /// Whatever a step costs, if only a higher one never costs more: a steady load is left in peace after a while.
    #[test]
    fn a_steady_load_does_not_flap(mut programs in prop::array::uniform6(0.0f64..0.1), reading_ns in 0u64..20_000_000) {
        programs.sort_by(|a, b| b.total_cmp(a));
        let mut host = Host::new(0.01, programs);
        host.reading_ns = reading_ns;
        host.run(3600);
        let moves = host.moves.len();
        host.run(36_000);
        // Each return is one step down and one up.
        prop_assert!((host.moves.len() - moves) as u64 <= 2 * most_returns(36_000), "{:?}", host.moves);
    }

    /// From any past, an idle host sees everything again within a bounded time, one step at a time.
    #[test]
    fn idle_is_step_0(loads in prop::collection::vec((0.0f64..0.5, 1u64..200), 0..20)) {
        let mut host = Host::new(0.01, load(0.0));
        for (share, seconds) in loads {
            host.programs = load(share);
            host.run(seconds);
        }
        host.programs = load(0.0);
        host.run(6 * 700);
        prop_assert_eq!(host.budget.degraded().cpu_step, 0);
        let steps: Vec<u8> = [0].into_iter().chain(host.moves.iter().map(|(_, step, _)| *step)).collect();
        prop_assert!(steps.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 1));
    }

    #[test]
    fn no_reading_breaks_it(readings in prop::collection::vec(any::<[u64; 4]>(), 0..50), timed: bool) {
        let mut budget = Budget::new(Limits { cpu_share: Some(0.001), memory_bytes: Some(0) });
        for [now_ns, span_ns, agent_cpu_ns, memory_bytes] in readings {
            let programs_ns = timed.then_some(agent_cpu_ns);
            let degraded = budget.weigh(&Usage { now_ns, span_ns, agent_cpu_ns, programs_ns, memory_bytes });
            prop_assert!(usize::from(degraded.cpu_step) < CPU_STEPS.len());
            let _ = budget.times_next(now_ns);
        }
    }
}
