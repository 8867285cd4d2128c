//! P1: callers wait for a connection of a pool, because all are taken.
//!
//! The wait is inside the process, where no probe looks. It shows in how connections are used (`reading.rs`): by **H**, the
//! share of requests that another thread sends at once after the answer to the one before, and by **Q**, the requests that the
//! process has under work beyond its connections. "All connections are busy" is neither: as many threads as connections are
//! busy without anybody waiting, and a connection that is held while its thread does something else is idle.
//!
//! It raises when H is at least 30% with 95% confidence, or Q at least a quarter of the connections (and one) while the
//! process's callers wait 1.3 times longer than normal; only of a pool that does not grow and whose connections are kept. It
//! is over when H is below 5% and Q below half a caller. It pages when the wait is 50 ms or more and longer than an answer,
//! when callers give up, or when nothing comes back to the pool.
//!
//! Where it is blind: waiters of a process with one thread and no callers (cron, batch); work that hops between threads (Go,
//! Tokio, virtual threads) in a process without callers, which looks like hand-offs; requests that overlap on a connection
//! (HTTP/2); a request that uses several pools in turn counts in Q of each.

use super::{
    pooled::{self, Pooled},
    reading::{Before, Known, Normal, Reading},
    say,
};
use crate::{
    evaluate::{Evaluator, Judge},
    incident::alarm::Rule,
    learn::{
        baseline::{Baseline, Learning},
        proportion::MIN_EVENTS,
        subjects::Subjects,
    },
    table::Signal,
    trust::Trust,
    window::Window,
};

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "pool_exhausted",
    says: "all connections of a pool are taken, and callers wait for one",
    rule: Rule::USUAL,
    minds_changes: false,
};

/// Pools remembered, some 700 bytes each; of more the first ones.
const MAX_POOLS: usize = 8192;
/// Windows that normal is made of.
const DEPTH: usize = 60;
/// What one window alone makes of `hopped` is no proof.
const HOPS: u16 = 12;
/// What takes no time, and what is nobody, has no logarithm.
const LEAST: f64 = 1e-6;

#[derive(Debug)]
struct Pool {
    connections: Option<u64>,
    rounds: u64,
    /// Windows for which its threads are still held to say nothing.
    hopped: u16,
    answer: Baseline,
    inbound: Baseline,
    concurrency: Baseline,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct PoolExhausted {
    learning: Learning,
    pools: Subjects<Pooled<Pool>>,
}

impl PoolExhausted {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, pools: Subjects::up_to(MAX_POOLS) }
    }
}

impl Evaluator for PoolExhausted {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.pools.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let around = pooled::gather(&mut self.pools, window, |view| view.open_connections > 0);
        // A sample of connections is no pool.
        if window.snapshot.degradation.estimated() {
            return;
        }
        let (now_ns, window_ns) = (window.at.monotonic_ns, window.snapshot.window_ns);
        for (unit, pool) in self.pools.seen_in_window() {
            let Some(usage) = pool.usage.take() else { continue };
            let callers = pool.callers(&usage, &around);
            let before = pool.of.before(now_ns, self.learning);
            let reading = Reading::new(&usage, callers, before, window_ns, window.rules);
            pool.of.seen_to_hop(reading.threads_hop());
            let ends = say::Ends { unit, process: pool.process.as_ref(), address: pool.address };
            let state = judge.judge(unit, reading.finding(), Trust::Checked, || say::report(&ends, &reading));
            pool.of.learn(now_ns, &reading, !state.is_normal());
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        let baseline = || Baseline::over(DEPTH);
        Self {
            connections: None,
            rounds: 0,
            hopped: 0,
            answer: baseline(),
            inbound: baseline(),
            concurrency: baseline(),
        }
    }
}

impl Pool {
    /// A minute for each window that showed it, an hour at most: a service that hops does so whenever it has little to do, and
    /// one caller alone may look like it for a while.
    fn seen_to_hop(&mut self, now: bool) {
        const REMEMBERED: u16 = 12;
        const LONGEST: u16 = 720;
        self.hopped = if now { (self.hopped + REMEMBERED).min(LONGEST) } else { self.hopped.saturating_sub(1) };
    }

    fn before(&self, now_ns: u64, learning: Learning) -> Before {
        let of = |baseline: &Baseline| Some(baseline.normal(now_ns, learning)?.value);
        let normal =
            Normal { answer: of(&self.answer), inbound: of(&self.inbound), concurrency: of(&self.concurrency) };
        let used = self.rounds >= MIN_EVENTS;
        Before { connections: self.connections, used, threads_hop: self.hopped > HOPS, normal }
    }

    fn learn(&mut self, now_ns: u64, reading: &Reading, frozen: bool) {
        self.connections = Some(reading.connections);
        self.rounds = self.rounds.saturating_add(reading.rounds);
        if let Some(answer) = reading.answer {
            self.answer.take(now_ns, answer.max(LEAST), reading.rounds, frozen);
        }
        let Known::Counted(callers) = reading.callers else { return };
        self.concurrency.take(now_ns, callers.concurrency.max(LEAST), callers.rounds, frozen);
        if let Some(usual) = callers.usual {
            self.inbound.take(now_ns, usual.max(LEAST), callers.rounds, frozen);
        }
    }
}
