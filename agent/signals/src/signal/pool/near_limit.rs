//! A pool has hardly a connection to spare, and no caller waits yet.
//!
//! How many connections are needed is what is asked of them: calls a second, times how long each takes (Erlang's offered
//! load, by Little's law the mean number in use). Against as many as the pool has when it does not grow any more, that is
//! how near it is to its limit. From 80% on it is `info`, which notifies no one; where the trend reaches the limit within an
//! hour (`forecast.rs`), it is a warning. It never pages: `pool_exhausted` does, once callers wait, and then this is over.
//!
//! All connections in use are no sign by themselves. Where no more can ask than there are connections no caller will wait: as
//! many threads as connections, each of them asking again at once, use all of them and need no more. So it is silent unless
//! more could ask: more threads than connections, or more of them in use than there are threads (an event loop); and
//! where the process's own callers are known, more connections from them.
//!
//! Where it is blind: connections that are held and not used; a pool whose ceiling was not held for half a minute; a process
//! of one thread without callers; requests that overlap on a connection (HTTP/2).

use std::{borrow::Cow, collections::VecDeque};

use super::{
    near::{Class, Near},
    reading::{Before, Reading},
    report_near,
};
use crate::{
    facts::pools::Pool,
    learn::forecast::{Exhaustion, Forecast},
    signal::prelude::*,
    window::WINDOW_NS,
};

/// Of which less is in use is far from its limit, and takes no memory. A choice: half of what a forecast looks at.
const WORTH: f64 = 0.30;
/// Windows without growth after which a pool is held to be as large as it gets: half a minute. A choice.
const STEADY: u8 = 6;
/// Windows that make half a minute, in each of which it must have grown by a part of what the trend says. Choices.
const HALF: usize = 6;
const GROWN: f64 = 0.25;

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct PoolNearLimit;

/// What is remembered of a pool.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    /// At the end of the last window.
    connections: Option<u64>,
    /// The most connections that it had, and for how many windows it has not had more.
    ceiling: u64,
    steady: u8,
    forecast: Forecast,
    /// In use in the last windows, oldest first.
    recent: VecDeque<f32>,
}

impl Detector for PoolNearLimit {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Pools, some 400 bytes each.
    const LIMIT: usize = 8192;

    type Memory = Limit;
    type Input<'f> = &'f Pool<'f>;
    type Reading<'f> = Near<'f>;

    /// A sample of connections is no pool.
    fn can_judge(facts: &Facts<'_>) -> bool {
        !facts.snapshot.degradation.estimated()
    }

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Limit>) -> Inputs<'f, &'f Pool<'f>> {
        facts.pools.pools.iter().map(|(subject, pool)| (Cow::Borrowed(subject), pool)).collect()
    }

    fn is_notable(pool: &&Pool<'_>) -> bool {
        pool.is_open() && pool.busiest_share() >= WORTH
    }

    fn read<'f>(&self, pool: &'f Pool<'f>, limit: &mut Limit, facts: &'f Facts<'f>) -> Option<Near<'f>> {
        let before = Before { connections: limit.connections, ..Before::default() };
        limit.near(facts.now_ns(), pool, Reading::new(pool, before, facts))
    }

    fn verdict(&self, near: &Near<'_>, _: Rules) -> Finding {
        near.finding()
    }

    fn report(&self, subject: &Subject, near: &Near<'_>, _: u64) -> Result<Report, Defect> {
        report_near::report(subject, near)
    }
}

impl Limit {
    /// Takes what a window says; none where it says too little.
    fn near<'f>(&mut self, now_ns: u64, pool: &'f Pool<'f>, reading: Reading) -> Option<Near<'f>> {
        let usage = pool.usage();
        self.connections = Some(usage.connections);
        if usage.connections > self.ceiling {
            (self.ceiling, self.steady) = (usage.connections, 0);
        } else {
            self.steady = self.steady.saturating_add(1);
        }
        if usage.misleads || usage.connections == 0 || usage.rounds < MIN_EVENTS {
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
        Some(Near { pool, reading, in_use, ceiling: self.ceiling, at_ceiling, ahead })
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
