//! What a window says of an accept queue.

use weir_abi::ListeningPort;

use super::Port;
use crate::signal::prelude::*;
use weir_engine::{Distribution, bounds_s};

/// Shorter waits are no fault. A choice: of a server with 20 ms of work, used to half of its capacity, connections wait
/// 9 ms on average (`tests/tests/sys_exit_accept.rs`).
const LEAST_WAIT_S: f64 = 0.020;
/// Times what is normal: to raise, to be over. Choices; from 50% to 80% of the capacity that wait grows to 68 ms, seven times.
const RAISE: f64 = 5.0;
const CLEAR: f64 = 2.0;
/// So many connections can be judged, and so many of them must have waited: one burst is none. Choices.
const MIN_ACCEPTED: u64 = 10;
const MIN_SLOW: u64 = 3;
const SLOW_SHARE: f64 = 0.05;
/// Eighths of the queue, in which the kernel half counts: half full, nearly full; parts of it: half, nearly full, hardly used.
/// Choices.
const HALF: usize = 4;
const NEARLY: usize = 7;
const HALF_FULL: f64 = 0.5;
const NEARLY_FULL: f64 = 0.875;
const HARDLY_USED: f64 = 0.2;
/// Eighths that are more than hardly used.
const USED: usize = 2;
/// How full arrivals leave a queue says something from this limit on: with 8 places (`backlog` and one) each is an eighth.
const LEAST_LIMIT: u32 = 7;
/// Callers come so many times more often than normal. A choice.
const MORE_LOAD: f64 = 1.2;

/// What is normal for a listening port.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Normal {
    /// Seconds.
    pub(super) wait_p95: Option<f64>,
    pub(super) arrivals_per_s: Option<f64>,
}

classes! {
    /// Why connections wait.
    pub(super) enum Class {
        /// None is accepted at all.
        NotAccepting = "not accepting",
        /// More come than normal.
        MoreLoad = "more load",
        /// As many as ever come, and are accepted too late.
        SlowAccept = "slow accept",
    }
}

/// An accept queue in numbers.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(super) at: ListeningPort,
    pub(super) process: Option<Place>,
    pub(super) arrivals: u64,
    pub(super) arrivals_per_s: f64,
    pub(super) accepted: u64,
    /// Seconds.
    pub(super) wait_p95: Option<f64>,
    pub(super) wait: Option<f64>,
    /// Those that waited far longer than normal.
    slow: Proportion,
    /// Arrivals that left it half full, nearly full, and more than hardly used.
    half: Proportion,
    nearly: Proportion,
    used: Proportion,
    /// The most that was seen in it, and its limit.
    pub(super) depth: u32,
    pub(super) limit: u32,
    /// It was so full at every poll of the window.
    stays: Option<f64>,
    /// Sockets that share the port.
    pub(super) sockets: usize,
    pub(super) normal: Normal,
}

impl Reading {
    pub(super) fn new(port: Port<'_>, normal: Normal, seconds: f64) -> Self {
        let Port { at, queue, listeners, process } = port;
        let arrivals = queue.map_or(0, |queue| queue.arrivals);
        // The arrival itself is half of a queue of one: of such only the polls tell.
        let is_small = queue.is_some_and(|queue| queue.limit < LEAST_LIMIT);
        let at_least = |eighths| {
            let hits = queue.filter(|_| !is_small).map_or(0, |queue| queue.at_least(eighths));
            Proportion::new(hits, arrivals)
        };
        let wait = queue.map(|queue| &queue.wait);
        let line = normal.wait_p95.map_or(f64::INFINITY, |normal| LEAST_WAIT_S.max(RAISE * normal));
        let slow = wait.into_iter().flat_map(Distribution::buckets);
        let slow = slow.filter(|(bucket, _)| bounds_s(*bucket).0 >= line);
        let accepted = wait.map_or(0, |wait| wait.count);
        // The fullest socket speaks for all that share the port: a worker that is stuck shows only there.
        let stays = listeners.iter().map(|l| f64::from(l.least) / (f64::from(l.last.max) + 1.0)).reduce(f64::max);
        let peak = listeners.iter().max_by_key(|l| l.peak).map(|l| (l.peak, l.last.max));
        let (depth, limit) = peak.max(queue.map(|queue| (queue.depth, queue.limit))).unwrap_or((0, 0));
        Self {
            at,
            process,
            arrivals,
            arrivals_per_s: arrivals as f64 / seconds,
            accepted,
            wait_p95: wait.and_then(|wait| wait.quantile_s(0.95)),
            wait: wait.and_then(Distribution::mean_s),
            slow: Proportion::new(slow.fold(0u64, |sum, (_, n)| sum.saturating_add(n.into())), accepted),
            half: at_least(HALF),
            nearly: at_least(NEARLY),
            used: at_least(USED),
            depth,
            limit,
            stays,
            sockets: listeners.len(),
            normal,
        }
    }

    fn waits(&self) -> bool {
        self.accepted >= MIN_ACCEPTED && self.slow.hits >= MIN_SLOW && self.slow.share() >= SLOW_SHARE
    }

    fn stays_above(&self, part: f64) -> bool {
        self.stays.is_some_and(|stays| stays >= part)
    }

    /// Part of the arrivals, but for a few that one burst would explain; or all the time.
    fn is(&self, fuller: Proportion, part: f64) -> bool {
        (fuller.hits >= MIN_SLOW && fuller.share() >= SLOW_SHARE) || self.stays_above(part)
    }

    pub(super) fn finding(&self) -> Finding {
        let (half, nearly) = (self.is(self.half, HALF_FULL), self.is(self.nearly, NEARLY_FULL));
        if half || self.waits() {
            let effect = if self.waits() {
                Some(Effect::LatencyUp)
            } else {
                (self.depth > self.limit && half).then_some(Effect::Refused)
            };
            let wanted = if nearly { Level::Critical } else { Level::Warn };
            return Finding::Raise(Severity::of(wanted, Some(Resource::Queue), effect));
        }
        // A wait of which it is not known whether it is normal counts neither way.
        let short = match (self.wait_p95, self.normal.wait_p95) {
            (Some(wait), Some(normal)) => wait < LEAST_WAIT_S / 2.0 || wait < CLEAR * normal,
            _ => true,
        };
        let hardly_used = self.used.share() < SLOW_SHARE && !self.stays_above(HARDLY_USED);
        match short && hardly_used {
            true if self.arrivals > 0 || self.stays.is_some() => Finding::Clear,
            true => Finding::NoData,
            false => Finding::Between,
        }
    }

    pub(super) fn class(&self) -> Class {
        let more = self.normal.arrivals_per_s.is_some_and(|normal| self.arrivals_per_s >= MORE_LOAD * normal);
        match self.accepted {
            0 => Class::NotAccepting,
            _ if more => Class::MoreLoad,
            _ => Class::SlowAccept,
        }
    }

    /// How full it was, as a part.
    pub(super) fn fill(&self) -> f64 {
        f64::from(self.depth) / (f64::from(self.limit) + 1.0)
    }
}
