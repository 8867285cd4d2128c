//! Callers wait for a connection of a pool, because all are taken.
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

use std::borrow::Cow;

use super::{
    reading::{Before, Class, Normal, Reading, Upstream},
    report,
};
use crate::{facts::pools::Pool, signal::prelude::*};

/// What one window alone makes of `hopped` is no proof.
const HOPS: u16 = REMEMBERED;
/// Windows for which one that shows hops is remembered, and the most: a minute and an hour. A choice: a service that hops
/// does so whenever it has little to do, and one caller alone may look like it for a while.
const REMEMBERED: u16 = 12;
const LONGEST: u16 = 720;

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct PoolExhausted;

/// What is remembered of a pool.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    connections: Option<u64>,
    rounds: u64,
    /// Windows for which its threads are still held to say nothing.
    hopped: u16,
    /// How long answers take, how long its process's callers wait, and how many of their requests are under work.
    normal: Baselines<3>,
}

impl Detector for PoolExhausted {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Pools, some 700 bytes each.
    const LIMIT: usize = 8192;

    type Memory = Memory;
    type Input<'f> = &'f Pool<'f>;
    type Reading<'f> = (&'f Pool<'f>, Reading);

    /// A sample of connections is no pool.
    fn can_judge(facts: &Facts<'_>) -> bool {
        !facts.snapshot.degradation.estimated()
    }

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Memory>) -> Inputs<'f, &'f Pool<'f>> {
        facts.pools.pools.iter().map(|(subject, pool)| (Cow::Borrowed(subject), pool)).collect()
    }

    fn is_notable(pool: &&Pool<'_>) -> bool {
        pool.is_open()
    }

    fn read<'f>(
        &self,
        pool: &'f Pool<'f>,
        memory: &mut Memory,
        facts: &'f Facts<'f>,
    ) -> Option<(&'f Pool<'f>, Reading)> {
        let [answer, inbound, concurrency] = memory.normal.each(facts.now_ns(), facts.learning);
        let before = Before {
            connections: memory.connections,
            used: memory.rounds >= MIN_EVENTS,
            threads_hop: memory.hopped > HOPS,
            normal: Normal { answer, inbound, concurrency },
        };
        let reading = Reading::new(pool, before, facts);
        memory.seen_to_hop(reading.threads_hop());
        Some((pool, reading))
    }

    fn verdict(&self, (_, reading): &(&Pool<'_>, Reading), _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, (pool, reading): &(&Pool<'_>, Reading), _: u64) -> Result<Report, Defect> {
        report::report(subject, pool, reading)
    }

    fn learn(&self, memory: &mut Memory, (_, reading): &(&Pool<'_>, Reading), learn: Learn) {
        memory.connections = Some(reading.connections);
        memory.rounds = memory.rounds.saturating_add(reading.rounds);
        let answer = reading.answer.map(|answer| (answer, reading.rounds));
        let callers = match reading.upstream {
            Upstream::Counted(callers) => Some(callers),
            Upstream::None | Upstream::Uncounted => None,
        };
        let inbound = callers.and_then(|callers| Some((callers.usual?, callers.rounds)));
        let concurrency = callers.map(|callers| (callers.concurrency, callers.rounds));
        memory.normal.learn(learn, [answer, inbound, concurrency]);
    }
}

impl Memory {
    fn seen_to_hop(&mut self, now: bool) {
        self.hopped = if now { (self.hopped + REMEMBERED).min(LONGEST) } else { self.hopped.saturating_sub(1) };
    }
}
