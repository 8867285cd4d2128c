//! What a window says of a server's receive queues.

use super::Normal;
use crate::{facts::waits::Waits, signal::prelude::*};

/// Shorter waits are no fault. A choice: Redis at saturation has 92 us.
const LEAST_WAIT_S: f64 = 0.010;
/// Times what is normal: to raise, to be over. Choices.
const RAISE: f64 = 5.0;
const CLEAR: f64 = 2.0;
/// The part of the server's time that is wait. A choice: most of it. At saturation Redis has 68%.
const MOST_OF_IT: f64 = 0.5;
/// So many requests waited so long, and with 95% confidence so large a part: two of twenty may be one pause. The
/// share is what the 95th percentile says; the number is a choice.
const MIN_SLOW: u64 = 5;
const SLOW_SHARE: f64 = 0.05;
/// So many times the normal work for a request, and the normal rate, say why. Choices, as elsewhere.
const SLOWER: f64 = 1.5;
const MORE_LOAD: f64 = 1.2;
/// Wait and work together have grown so much that callers notice. A choice: higher than `ServiceLatency` has it, as the wait
/// itself is part of both.
const NOTICED: f64 = 2.0;

/// The same in numbers: seconds, and rounds a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(super) rounds: u64,
    pub(super) wait_p95: f64,
    pub(super) wait: f64,
    pub(super) work: f64,
    pub(super) rate: f64,
    pub(super) retransmitted: u64,
    /// Those that waited far longer than normal.
    pub(super) slow: Proportion,
    pub(super) normal: Option<Normal>,
    /// Of the edge whose requests waited most.
    pub(super) ends: Ends<'a>,
}

classes! {
    /// Why requests wait.
    pub(super) enum Class {
        /// More of them than normal.
        MoreLoad = "more load",
        /// Each takes longer than normal.
        SlowWork = "slow work",
        /// Neither: the reader is blocked, or gets no processor.
        Starved = "starved",
    }
}

impl Reading<'_> {
    /// None where too few were timed.
    pub(super) fn new(times: &Waits, normal: Option<Normal>, seconds: f64) -> Option<Self> {
        let rounds = times.wait.count.min(times.latency.count);
        if rounds < MIN_EVENTS {
            return None;
        }
        let line = normal.map_or(f64::INFINITY, |normal| LEAST_WAIT_S.max(RAISE * normal.wait_p95));
        Some(Self {
            rounds,
            wait_p95: times.wait.quantile_s(0.95)?,
            wait: times.wait.mean_s()?,
            work: times.latency.mean_s()?,
            rate: times.latency.count as f64 / seconds,
            retransmitted: times.retransmitted,
            slow: times.from(line),
            normal,
            ends: Ends::default(),
        })
    }

    /// The part of the server's time that requests wait.
    pub(super) fn share(&self) -> f64 {
        let total = self.wait + self.work;
        if total > 0.0 { self.wait / total } else { 0.0 }
    }

    pub(super) fn finding(&self, rules: Rules) -> Finding {
        let Some(normal) = self.normal else { return Finding::NoData };
        let times = self.wait_p95 / normal.wait_p95;
        let is_slow = self.slow.hits >= MIN_SLOW && rules.least(self.slow) >= SLOW_SHARE;
        if is_slow && self.wait_p95 >= LEAST_WAIT_S && times >= RAISE && self.share() >= MOST_OF_IT {
            let noticed = self.wait + self.work >= NOTICED * normal.total;
            let effect = noticed.then_some(Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Queue), effect));
        }
        let is_over = times < CLEAR || self.wait_p95 < LEAST_WAIT_S / 2.0;
        if is_over { Finding::Clear } else { Finding::Between }
    }

    pub(super) fn class(&self, normal: &Normal) -> Class {
        if self.work >= SLOWER * normal.work {
            Class::SlowWork
        } else if self.rate >= MORE_LOAD * normal.rate {
            Class::MoreLoad
        } else {
            Class::Starved
        }
    }
}
