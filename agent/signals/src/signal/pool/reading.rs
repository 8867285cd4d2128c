//! What a window says of a pool.
//!
//! **H**, the share of hand-offs: of the requests that another thread sends on a connection than the one before, those that
//! come at once. A connection is given back and at once taken by another thread only where one waited for it: H estimates
//! the share of callers who waited. What chance does is taken off: a connection that is used `r` times a second is taken
//! within `e` by chance in `1 - exp(-r e)` of all cases. "At once" is as long as that allows, up to 2 ms: a waiter still
//! has to be woken, and to get a processor.
//!
//! **Q**, the queue: requests that the process has under work, less its connections. It needs no threads (event loops), and
//! is right where each request uses one connection of this pool once. A request whose answer has begun is not waiting, though a
//! proxy that passes answers on in pieces still holds a connection for it: so many connections hold back no other request.

use weir_abi::IDLE_MIN_EXPONENT;

use crate::{
    facts::pools::{Inbound, Pool, Usage},
    signal::prelude::*,
};

/// So large a share of callers waits, with 95% confidence, to raise; below this, to be over. A choice between what was measured:
/// where 21% of the callers waited, for 3 ms on average, nothing was wrong; of an exhausted pool H is 0.96 to 1.
const WAITED: f64 = 0.30;
const NONE_WAITS: f64 = 0.05;
/// As many wait as a quarter of the connections, and one at least; below half a caller, none does. Choices:
/// without waiters Q was 0 or less, with twelve 11.9.
const QUEUE_PART: f64 = 0.25;
const NO_QUEUE: f64 = 0.5;
/// The process's own callers wait so many times longer than normal. A choice.
const SLOWER: f64 = 1.3;
/// Busy connections, as a part: enough to speak of a queue, nearly all, and so few that they are held and not used. Choices:
/// exhausted pools had 0.94 and more, held ones 0.06 and 0.13.
const BUSY: f64 = 0.5;
const ALL_BUSY: f64 = 0.8;
const HARDLY_BUSY: f64 = 0.4;
/// The part of requests whose connection was used at once after the one before. A choice: 0.71 and more in exhausted pools.
const AT_ONCE: f64 = 0.6;
/// So near each other, answers read and answers passed on are the same. A choice.
const SAME_ANSWERS: f64 = 0.25;
/// Answers so many times slower than normal are the dependency's fault. A choice, as `ServiceLatency` has it.
const SLOW_DEPENDENCY: f64 = 1.5;
/// Threads are distinguished by six bits: from so many on, there may be any number (63 threads
/// take 40 of 64 values on average).
const MANY_THREADS: u32 = 40;
/// A wait worth a page, unless an answer takes longer. A choice: people notice a tenth of a second.
const LONG_WAIT_S: f64 = 0.050;

/// What is normal for a pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Normal {
    /// Usual answer time, seconds.
    pub(super) answer: Option<f64>,
    /// Usual time that the process's callers wait.
    pub(super) inbound: Option<f64>,
    /// Requests that the process has under work.
    pub(super) concurrency: Option<f64>,
}

classes! {
    /// Why a pool is exhausted.
    pub(super) enum Class {
        /// The answers take longer than normal.
        SlowDependency = "slow dependency",
        /// There is more to do than the pool is made for.
        TooSmall = "too small",
        /// Connections are taken and not used.
        Held = "held while not in use",
        /// None is used, and no caller gets one.
        Leak = "leak or deadlock",
    }
}

/// A pool in numbers.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(super) window_ns: u64,
    pub(super) connections: u64,
    pub(super) opened: u64,
    pub(super) rounds: u64,
    pub(super) retransmitted: u64,
    /// That sent requests.
    pub(super) threads: u32,
    /// Hand-offs among the requests by another thread; none where there are too few to tell, or threads mean nothing.
    pub(super) handed_off: Option<Proportion>,
    /// Of those: what chance makes of them.
    by_chance: f64,
    /// The same where the connection given back last is taken first, as stacks do.
    by_chance_in_a_stack: f64,
    /// Part of the connections that waited for an answer, or for the rest of one.
    pub(super) busy: f64,
    /// Part of the requests that came at once after the one before.
    at_once: f64,
    /// Connections whose answer had begun, mean.
    answering: f64,
    /// Usual time to the first byte of an answer, seconds: how fast the rest goes is up to who reads it, too.
    pub(super) answer: Option<f64>,
    /// Checkouts a second, at least.
    pub(super) taken_per_s: f64,
    pub(super) upstream: Upstream,
    pub(super) normal: Normal,
    /// It did not grow, and its connections are used again.
    pub(super) at_ceiling: bool,
    misleads: bool,
    /// It has been used before.
    used_before: bool,
    in_flight: u64,
    rules: Rules,
}

/// What is known of the process's own callers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Upstream {
    /// It has none on any socket.
    None,
    /// It has some, whose requests overlap: how many it has under work is not known.
    Uncounted,
    /// So many.
    Counted(Callers),
}

/// The process's own callers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callers {
    /// Requests under work whose answer has not begun: mean, and now.
    pub(super) concurrency: f64,
    /// And those whose answer has begun.
    answering: f64,
    /// Calls that the process waits for on other edges, on average.
    elsewhere: f64,
    pub(super) in_flight: u64,
    pub(super) rounds: u64,
    /// Connections that requests come on: no more can be under work.
    pub(super) connections: u64,
    pub(super) abandoned: u64,
    pub(super) per_s: f64,
    pub(super) usual: Option<f64>,
}

impl Upstream {
    fn of(pool: &Pool<'_>, facts: &Facts<'_>) -> Self {
        match facts.pools.inbound(pool) {
            None => Self::None,
            Some(None) => Self::Uncounted,
            Some(Some(inbound)) => {
                Self::Counted(Callers::of(inbound, facts.pools.elsewhere_ns(pool), facts.window_ns()))
            }
        }
    }
}

impl Callers {
    fn of(inbound: &Inbound, elsewhere_ns: u64, window_ns: u64) -> Self {
        Self {
            concurrency: inbound.concurrency(window_ns),
            answering: inbound.answering(window_ns),
            elsewhere: elsewhere_ns as f64 / window_ns.max(1) as f64,
            in_flight: inbound.in_flight,
            rounds: inbound.rounds,
            connections: inbound.connections,
            abandoned: inbound.abandoned,
            per_s: inbound.rounds as f64 * 1e9 / window_ns.max(1) as f64,
            usual: inbound.usual_s(),
        }
    }

    /// Requests that may wait for this pool: not those that wait for others.
    fn here(&self) -> f64 {
        (self.concurrency - self.elsewhere).max(0.0)
    }
}

/// What is known of a pool from the windows before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    /// Connections at the end of the last window.
    pub(super) connections: Option<u64>,
    pub(super) used: bool,
    /// Its threads say nothing: work hops between them.
    pub(super) threads_hop: bool,
    pub(super) normal: Normal,
}

impl Reading {
    pub(super) fn new(pool: &Pool<'_>, before: Before, facts: &Facts<'_>) -> Self {
        let (usage, window_ns) = (pool.usage(), facts.window_ns());
        let connections = usage.connections.max(1) as f64;
        let seconds = window_ns.max(1) as f64 / 1e9;
        let answer = usage.latency.usual_s();
        let taken = usage.reused(0).taken;
        let buckets = at_once_buckets(connections * seconds / taken.max(1) as f64);
        let at_once_s = (1u64 << (IDLE_MIN_EXPONENT as usize + buckets - 1)) as f64 / 1e9;
        let taken_per_s = taken as f64 / seconds;
        let reused = usage.reused(buckets);
        let handed_off = Proportion::new(reused.taken_at_once, reused.taken).gated().filter(|_| !before.threads_hop);
        let chance = |per_s: f64| 1.0 - (-per_s * at_once_s).exp();
        Self {
            window_ns,
            connections: usage.connections,
            opened: usage.opened,
            rounds: usage.rounds,
            retransmitted: usage.retransmitted,
            threads: usage.threads,
            handed_off,
            by_chance: chance(taken_per_s / connections),
            by_chance_in_a_stack: chance(taken_per_s),
            busy: (usage.concurrency(window_ns) / connections).min(1.0),
            answering: usage.answering(window_ns),
            at_once: reused.all_at_once as f64 / reused.all.max(1) as f64,
            answer,
            taken_per_s,
            upstream: Upstream::of(pool, facts),
            normal: before.normal,
            at_ceiling: before.connections.is_some_and(|n| usage.connections <= n) && is_reused(usage),
            misleads: usage.misleads,
            used_before: before.used,
            in_flight: usage.in_flight,
            rules: facts.rules,
        }
    }

    /// H, without what chance makes of it.
    pub(super) fn waited(&self) -> Option<f64> {
        self.handed_off.map(|handed_off| beyond(handed_off.share(), self.by_chance))
    }

    pub(super) fn counted(&self) -> Option<Callers> {
        match self.upstream {
            Upstream::Counted(callers) => Some(callers),
            Upstream::None | Upstream::Uncounted => None,
        }
    }

    /// Q: callers that wait for a connection. One that makes other calls while it holds a connection is not waiting, and one that
    /// makes them without is not either; which of the two it is, hand-offs tell.
    pub(super) fn queue(&self) -> Option<f64> {
        let callers = self.counted()?;
        let wait = if self.threads_waited() { callers.concurrency } else { callers.here() };
        Some((wait - (self.connections as f64 - self.passed_on(&callers))).max(0.0))
    }

    /// Connections that carry an answer whose beginning the caller has: where as many answers are read as are passed on, they
    /// are the same ones.
    fn passed_on(&self, callers: &Callers) -> f64 {
        let (read, passed) = (self.answering, callers.answering);
        if (read - passed).abs() <= SAME_ANSWERS * read.max(passed) {
            read.min(passed).min(self.connections as f64)
        } else {
            0.0
        }
    }

    /// Wait for a connection, seconds: the queue by how many leave it each second (Little's law).
    pub(super) fn wait_s(&self) -> Option<f64> {
        let (queue, callers) = (self.queue()?, self.counted()?);
        let leave_per_s = self.taken_per_s.max(callers.per_s);
        (leave_per_s > 0.0).then(|| queue / leave_per_s)
    }

    pub(super) fn finding(&self) -> Finding {
        if self.misleads || self.connections == 0 {
            return Finding::NoData;
        }
        if !self.at_ceiling {
            // A pool that still grows, or makes a connection for each request, is not exhausted.
            return Finding::Between;
        }
        if self.is_exhausted() {
            return Finding::Raise(self.severity());
        }
        let none_waited = self.waited().is_none_or(|waited| waited < NONE_WAITS);
        let nobody_queues = self.queue().is_none_or(|queue| queue < NO_QUEUE);
        match (none_waited && nobody_queues, self.handed_off.is_some() || self.counted().is_some() || self.rounds > 0) {
            (true, true) => Finding::Clear,
            (true, false) => Finding::NoData,
            (false, _) => Finding::Between,
        }
    }

    fn is_exhausted(&self) -> bool {
        if !self.rules.waiting {
            return self.busy >= ALL_BUSY;
        }
        self.threads_waited() || self.callers_queue() || self.nothing_comes_back()
    }

    /// By H. A stack of connections is refuted by all of them being busy. No caller waits where there are no more threads than
    /// connections (they only change places), nor where callers are too few for so many to wait.
    pub(super) fn threads_waited(&self) -> bool {
        let Some(handed_off) = self.handed_off else { return false };
        let low = self.rules.least(handed_off);
        let not_a_stack = self.busy >= ALL_BUSY || beyond(low, self.by_chance_in_a_stack) >= WAITED;
        // Work that hops between threads looks the same, and here it is not known how many callers it is for.
        let can_tell = self.busy >= ALL_BUSY || !matches!(self.upstream, Upstream::Uncounted);
        let waited = beyond(low, self.by_chance);
        waited >= WAITED
            && not_a_stack
            && self.has_more_threads()
            && can_tell
            && !self.callers_are_few(least_callers(waited))
    }

    pub(super) fn has_more_threads(&self) -> bool {
        self.threads >= MANY_THREADS || u64::from(self.threads) > self.connections
    }

    /// By Q: where callers wait longer than normal, and connections are busy, or used again at once.
    fn callers_queue(&self) -> bool {
        let Some(callers) = self.counted().filter(|callers| callers.rounds >= MIN_EVENTS) else { return false };
        let queue = self.queue().unwrap_or(0.0);
        let taken = self.busy >= BUSY || self.at_once >= AT_ONCE;
        let slower = callers.usual.zip(self.normal.inbound).is_some_and(|(now, normal)| now >= SLOWER * normal);
        self.connections >= 2 && taken && slower && queue >= (QUEUE_PART * self.connections as f64).max(1.0)
    }

    /// A pool that was used is not, while more requests than it has connections are under work, more than normal, and hardly
    /// any is answered.
    fn nothing_comes_back(&self) -> bool {
        let Some(callers) = self.counted() else { return false };
        let Some(normal) = self.normal.concurrency else { return false };
        let stuck_here = callers.here() >= self.connections.max(2) as f64;
        let crowded = stuck_here
            && callers.in_flight >= self.connections.max(2)
            && callers.concurrency >= SLOW_DEPENDENCY * normal;
        self.used_before && self.rounds == 0 && self.in_flight == 0 && crowded && callers.rounds < callers.in_flight
    }

    fn callers_are_few(&self, part: f64) -> bool {
        /// Callers explain the work on a pool with so many requests on it for each of theirs; a scraper of metrics does not. A choice:
        /// pages with more queries than that are rare.
        const REQUESTS_EACH: f64 = 20.0;
        self.counted().is_some_and(|callers| {
            let explain = callers.rounds >= MIN_EVENTS && callers.per_s * REQUESTS_EACH >= self.taken_per_s;
            explain && callers.here() < part * self.connections as f64
        })
    }

    /// Connections change threads at once though there are far fewer callers than connections: it is the work that hops
    /// between threads (goroutines, tasks), and threads tell nothing of this pool.
    pub(super) fn threads_hop(&self) -> bool {
        self.at_ceiling
            && self.busy < BUSY
            && self.callers_are_few(0.5)
            && self
                .handed_off
                .is_some_and(|handed_off| beyond(self.rules.least(handed_off), self.by_chance_in_a_stack) >= WAITED)
    }

    fn severity(&self) -> Severity {
        let long = LONG_WAIT_S.max(self.answer.unwrap_or(0.0));
        let effect = if self.counted().is_some_and(|callers| callers.abandoned > 0) {
            Some(Effect::Abandoned)
        } else if self.class() == Class::Leak {
            Some(Effect::GoodputDown)
        } else {
            self.wait_s().filter(|wait| *wait >= long).map(|_| Effect::LatencyUp)
        };
        Severity::of(Level::Critical, Some(Resource::Pool), effect)
    }

    /// How many times slower than normal the answers are.
    pub(super) fn slower(&self) -> Option<f64> {
        Some(self.answer? / self.normal.answer?)
    }

    pub(super) fn class(&self) -> Class {
        let slow = self.slower().is_some_and(|times| times >= SLOW_DEPENDENCY);
        match self.busy {
            _ if self.rounds == 0 => Class::Leak,
            busy if busy >= HARDLY_BUSY && slow => Class::SlowDependency,
            busy if busy < HARDLY_BUSY => Class::Held,
            _ => Class::TooSmall,
        }
    }
}

/// Connections are kept: few are new beside what is asked on them. One for one may be replaced.
fn is_reused(usage: &Usage) -> bool {
    usage.opened <= (usage.connections / 2).max(1) || usage.opened.saturating_mul(10) <= usage.rounds
}

/// Buckets of idle time that are a hand-off: a tenth of the mean time in which a connection changes hands, within 0.5 and
/// 2 ms. How long a hand-off takes depends on who is woken and not on what is asked, so it is given what time there is in
/// which chance does little.
fn at_once_buckets(between_s: f64) -> usize {
    match between_s * 0.1 {
        s if s < 0.75e-3 => 1,
        s if s < 1.5e-3 => 2,
        _ => 3,
    }
}

/// Callers to each connection, without which so large a share cannot have waited: with random arrivals three of ten wait when
/// three of four connections are busy, and most only where there are more callers than connections.
fn least_callers(waited: f64) -> f64 {
    0.75 + 0.25 * ((waited - WAITED) / 0.2).clamp(0.0, 1.0)
}

/// A share without what would be there by chance.
fn beyond(share: f64, by_chance: f64) -> f64 {
    if by_chance >= 1.0 { 0.0 } else { ((share - by_chance) / (1.0 - by_chance)).max(0.0) }
}
