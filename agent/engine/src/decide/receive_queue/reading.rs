//! What a window says of a server's receive queues.

use super::Normal;
use crate::{
    decide::{
        proportion::MIN_EVENTS,
        severity::{Effect, Level, Resource, Severity},
        signal::Finding,
        trust::Trust,
    },
    delta::View,
    distribution::Distribution,
};

/// Shorter waits hurt nobody.
const LEAST_WAIT_S: f64 = 0.010;
/// Times what is normal: to raise, to be over.
const RAISE: f64 = 5.0;
const CLEAR: f64 = 2.0;
/// The part of the server's time that is wait.
const MOST_OF_IT: f64 = 0.5;
/// Callers feel it.
const FELT: f64 = 2.0;

/// Times of all sockets of a server.
#[derive(Clone, Debug)]
pub(super) struct Times {
    wait: Distribution,
    work: Distribution,
    retransmitted: u64,
    /// Some of it is not timed request by request.
    overlapping: bool,
    pub(super) trust: Trust,
}

impl Default for Times {
    fn default() -> Self {
        let View { receive_queue_wait: wait, latency: work, .. } = View::nothing();
        Self { wait, work, retransmitted: 0, overlapping: false, trust: Trust::Checked }
    }
}

impl Times {
    pub(super) fn add(&mut self, view: &View, window_ns: u64) {
        self.overlapping |= view.multiplexed || view.push || view.pipelined.1 > 0;
        self.wait.merge(&view.receive_queue_wait);
        self.work.merge(&view.latency);
        self.retransmitted = self.retransmitted.wrapping_add(view.retransmitted_segments);
        self.trust = self.trust.and(Trust::of(view, window_ns));
    }
}

/// The same in numbers: seconds, and rounds a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) rounds: u64,
    pub(super) wait_p95: f64,
    pub(super) wait: f64,
    pub(super) work: f64,
    pub(super) rate: f64,
    pub(super) retransmitted: u64,
    pub(super) normal: Option<Normal>,
}

/// Why requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// More of them than normal.
    MoreLoad,
    /// Each takes longer than normal.
    SlowWork,
    /// Neither: who reads them is blocked, or gets no processor.
    Starved,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MoreLoad => "more load",
            Self::SlowWork => "slow work",
            Self::Starved => "starved",
        }
    }
}

impl Reading {
    /// None where too few were timed, or not one by one.
    pub(super) fn new(times: &Times, normal: Option<Normal>, seconds: f64) -> Option<Self> {
        let rounds = times.wait.count.min(times.work.count);
        if times.overlapping || rounds < MIN_EVENTS {
            return None;
        }
        Some(Self {
            rounds,
            wait_p95: times.wait.quantile_s(0.95)?,
            wait: times.wait.mean_s()?,
            work: times.work.mean_s()?,
            rate: times.work.count as f64 / seconds,
            retransmitted: times.retransmitted,
            normal,
        })
    }

    /// The part of the server's time that requests wait.
    pub(super) fn share(&self) -> f64 {
        let total = self.wait + self.work;
        if total > 0.0 { self.wait / total } else { 0.0 }
    }

    pub(super) fn finding(&self) -> Finding {
        let Some(normal) = self.normal else { return Finding::NoData };
        let times = self.wait_p95 / normal.wait_p95;
        if self.wait_p95 >= LEAST_WAIT_S && times >= RAISE && self.share() >= MOST_OF_IT {
            let felt = self.wait + self.work >= FELT * normal.total;
            let effect = felt.then_some(Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Queue), effect));
        }
        let is_over = times < CLEAR || self.wait_p95 < LEAST_WAIT_S / 2.0;
        if is_over { Finding::Clear } else { Finding::Between }
    }

    pub(super) fn class(&self, normal: &Normal) -> Class {
        if self.work >= 1.5 * normal.work {
            Class::SlowWork
        } else if self.rate >= 1.2 * normal.rate {
            Class::MoreLoad
        } else {
            Class::Starved
        }
    }
}
