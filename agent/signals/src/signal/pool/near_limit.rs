//! P2: a pool has hardly a connection to spare, and nobody waits yet.
//!
//! How many connections are needed is what is asked of them: calls a second, times how long each takes (Erlang's offered
//! load, by Little's law the mean number in use). Against as many as the pool has when it does not grow any more, that is
//! how near it is to its limit. From 80% on it is said, and nobody is notified; where the trend reaches the limit within an
//! hour (`forecast.rs`), it is a warning. It never pages: `pool_exhausted` does, once callers wait, and then this is over.
//!
//! All connections in use are no sign by themselves. Where no more can ask than there are connections nobody will wait: as
//! many threads as connections, each of them asking again at once, use all of them and need no more. So it is silent unless
//! more could ask: more threads than connections, or more of them in use than there are threads (an event loop); and
//! where the process's own callers are known, more connections from them.
//!
//! Where it is blind: connections that are held and not used; a pool whose ceiling was not held for half a minute; a process
//! of one thread without callers; requests that overlap on a connection (HTTP/2).

use std::collections::VecDeque;

use super::{
    pooled::{self, Pooled},
    reading::{Before, Known, Reading},
    say_near,
    usage::Usage,
};
use crate::{
    evaluate::{Evaluator, Judge},
    finding::Finding,
    incident::{alarm::Rule, severity::Severity},
    learn::{
        forecast::{Exhaustion, Forecast},
        proportion::MIN_EVENTS,
        subjects::Subjects,
    },
    table::Signal,
    trust::Trust,
    window::{WINDOW_NS, Window},
};

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "pool_near_limit",
    says: "a pool has hardly a connection to spare, or soon will not have",
    // A forecast has time.
    rule: Rule { raise: (4, 6), clear: 3 },
    minds_changes: false,
};

/// Pools remembered, some 400 bytes each; of more the first ones.
const MAX_POOLS: usize = 8192;
/// Parts of the connections in use: to be said, to be over.
pub(super) const NEAR: f64 = 0.80;
const CLEAR: f64 = 0.70;
/// Of which less is in use is far from its limit, and takes no memory.
const WORTH: f64 = 0.30;
/// Windows without growth after which a pool is held to be as large as it gets.
const STEADY: u8 = 6;
/// Windows that make half a minute, in each of which it must have grown by a part of what the trend says.
const HALF: usize = 6;
const GROWN: f64 = 0.25;

/// What is remembered of a pool.
#[derive(Debug, Default)]
struct Limit {
    /// At the end of the last window.
    connections: Option<u64>,
    /// The most connections that it had, and for how many windows it has not had more.
    ceiling: u64,
    steady: u8,
    forecast: Forecast,
    /// In use in the last windows, oldest first.
    recent: VecDeque<f32>,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct PoolNearLimit {
    pools: Subjects<Pooled<Limit>>,
}

impl Default for PoolNearLimit {
    fn default() -> Self {
        Self { pools: Subjects::up_to(MAX_POOLS) }
    }
}

impl Evaluator for PoolNearLimit {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.pools.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let span_ns = window.snapshot.window_ns as f64;
        let around = pooled::gather(&mut self.pools, window, |view| {
            view.open_connections > 0 && view.in_flight_ns as f64 >= WORTH * view.open_connections as f64 * span_ns
        });
        // A sample of connections is no pool.
        if window.snapshot.degradation.estimated() {
            return;
        }
        let (now_ns, window_ns) = (window.at.monotonic_ns, window.snapshot.window_ns);
        for (unit, pool) in self.pools.seen_in_window() {
            let Some(usage) = pool.usage.take() else { continue };
            let before = Before { connections: pool.of.connections, ..Before::default() };
            let reading = Reading::new(&usage, pool.callers(&usage, &around), before, window_ns, window.rules);
            let Some(near) = pool.of.near(now_ns, &usage, reading) else { continue };
            let ends = say_near::Ends { unit, process: pool.process.as_ref(), address: pool.address };
            judge.judge(unit, near.finding(), Trust::Checked, || say_near::report(&ends, &near));
        }
    }
}

impl Limit {
    /// Takes what a window says; none where it says too little.
    fn near(&mut self, now_ns: u64, usage: &Usage, reading: Reading) -> Option<Near> {
        self.connections = Some(usage.connections);
        if usage.connections > self.ceiling {
            (self.ceiling, self.steady) = (usage.connections, 0);
        } else {
            self.steady = self.steady.saturating_add(1);
        }
        if usage.untold || usage.connections == 0 || usage.rounds < MIN_EVENTS {
            self.recent.clear();
            return None;
        }
        let in_use = usage.concurrency(reading.window_ns);
        let ahead = self.forecast.take(now_ns, in_use, self.ceiling as f64);
        if self.recent.len() > 2 * HALF {
            self.recent.pop_front();
        }
        self.recent.push_back(in_use as f32);
        let ahead = ahead.filter(|ahead| ahead.is_due && self.grows(ahead));
        let at_ceiling = reading.at_ceiling && self.steady >= STEADY;
        Some(Near { reading, in_use, ceiling: self.ceiling, at_ceiling, ahead })
    }

    /// Load that has gone up at once and stays there is no trend, though the smoothed one takes minutes to forget it.
    fn grows(&self, ahead: &Exhaustion) -> bool {
        let at = |window| self.recent.get(window).copied().map(f64::from);
        let (Some(first), Some(middle), Some(last)) = (at(0), at(HALF), at(2 * HALF)) else { return false };
        let left = self.ceiling as f64 - last;
        let half_s = HALF as f64 * WINDOW_NS as f64 / 1e9;
        let least = GROWN * left / ahead.in_s.max(half_s) * half_s;
        [middle - first, last - middle].into_iter().all(|grown| grown > least)
    }
}

/// How near a pool is to its limit.
#[derive(Debug)]
pub(super) struct Near {
    pub(super) reading: Reading,
    /// Connections in use, mean.
    pub(super) in_use: f64,
    /// As many as it has when it does not grow any more.
    pub(super) ceiling: u64,
    at_ceiling: bool,
    /// When all will be in use, where that is soon.
    pub(super) ahead: Option<Exhaustion>,
}

impl Near {
    pub(super) fn share(&self) -> f64 {
        (self.in_use / self.ceiling.max(1) as f64).min(1.0)
    }

    fn finding(&self) -> Finding {
        // Where it is exhausted it is no longer near, and there is another signal for that.
        let is_exhausted = self.reading.finding().raised().is_some();
        if is_exhausted || !self.at_ceiling || self.ceiling < 2 || !self.more_could_ask() {
            return Finding::Clear;
        }
        if self.ahead.is_some() {
            return Finding::Raise(Severity::Warn);
        }
        match self.share() {
            share if share >= NEAR => Finding::Raise(Severity::Info),
            share if share < CLEAR => Finding::Clear,
            _ => Finding::Between,
        }
    }

    /// More than there are connections.
    fn more_could_ask(&self) -> bool {
        let more_threads = self.reading.has_more_threads();
        match self.reading.callers {
            Known::Counted(callers) => {
                // More in use than threads: these do not wait for answers, but go on with something else.
                let by_loop = self.in_use > f64::from(self.reading.threads);
                callers.connections > self.ceiling && (more_threads || by_loop)
            }
            Known::Nobody | Known::Uncounted => more_threads,
        }
    }
}
