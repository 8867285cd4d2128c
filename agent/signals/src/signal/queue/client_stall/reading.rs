//! What a window says of a caller's sockets.

use super::Normal;
use crate::{
    facts::waits::Waits,
    finding::Finding,
    incident::severity::{Effect, Level, Resource, Severity},
    learn::proportion::{MIN_EVENTS, Proportion},
};
use weir_engine::{Distribution, View};

/// Shorter waits hurt nobody: a thread of a busy process is often no sooner on a processor.
const LEAST_WAIT_S: f64 = 0.020;
/// Times what is normal: to raise, to be over.
const RAISE: f64 = 5.0;
const CLEAR: f64 = 2.0;
/// The part of the time to the first byte that is wait.
const MOST_OF_IT: f64 = 0.5;
/// So many answers waited so long, and with 95% confidence so large a part: two of twenty may be one pause.
const MIN_SLOW: u64 = 5;
const SLOW_SHARE: f64 = 0.05;
/// What takes so long until it is answered is a poll: beside it no wait is a part worth naming.
const POLL_S: f64 = 1.0;
/// Answers so many times later than normal are the dependency's fault too.
const LATER: f64 = 1.5;
/// So many times the calls of normal are more load.
const MORE: f64 = 1.2;

/// Adds what an edge's sockets saw, unless requests overlap on them, their times contradict each other, or they are polls;
/// whether it did.
pub(super) fn add(times: &mut Waits, view: &View, window_ns: u64) -> bool {
    let is_poll = away_s(&view.receive_queue_wait, &view.latency) >= POLL_S;
    let believed = !is_poll && !Waits::mislead(view, window_ns);
    if believed {
        times.add(view);
    }
    believed
}

/// Mean time until an answer arrives: what is left of the time to its first byte without the wait, seconds.
fn away_s(wait: &Distribution, latency: &Distribution) -> f64 {
    latency.sum_ns.saturating_sub(wait.sum_ns) as f64 / latency.count.max(1) as f64 / 1e9
}

/// The same in numbers: seconds, and calls a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) rounds: u64,
    pub(super) wait_p95: f64,
    pub(super) wait: f64,
    /// To the first byte read, of which the wait is a part.
    pub(super) latency: f64,
    pub(super) rate: f64,
    pub(super) retransmitted: u64,
    away: f64,
    /// Those that waited far longer than normal.
    slow: Proportion,
    pub(super) normal: Option<Normal>,
}

/// Why answers wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The caller makes more calls than normal.
    MoreLoad,
    /// It makes no more: it is paused, blocked, or gets no processor.
    Stalled,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MoreLoad => "more load",
            Self::Stalled => "stalled",
        }
    }
}

impl Reading {
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
            latency: times.latency.mean_s()?,
            rate: times.latency.count as f64 / seconds,
            retransmitted: times.retransmitted,
            away: away_s(&times.wait, &times.latency),
            slow: times.from(line),
            normal,
        })
    }

    /// Mean time until an answer arrives.
    pub(super) fn away(&self) -> f64 {
        self.away
    }

    /// The part of the time to the first byte that answers wait.
    pub(super) fn share(&self) -> f64 {
        if self.latency > 0.0 { (self.wait / self.latency).min(1.0) } else { 0.0 }
    }

    /// How many times later than normal answers arrive.
    pub(super) fn later(&self) -> Option<f64> {
        Some(self.away / self.normal?.away)
    }

    /// The dependency answers as it always does.
    pub(super) fn arrives_in_time(&self) -> bool {
        self.later().is_some_and(|times| times < LATER)
    }

    fn times(&self) -> Option<f64> {
        Some(self.wait_p95 / self.normal?.wait_p95)
    }

    /// Above the raise line.
    pub(super) fn stalls(&self) -> bool {
        let is_slow = self.slow.hits >= MIN_SLOW && self.slow.low() >= SLOW_SHARE;
        let far_above = self.wait_p95 >= LEAST_WAIT_S && self.times().is_some_and(|times| times >= RAISE);
        is_slow && far_above && self.share() >= MOST_OF_IT
    }

    /// `felt`: the caller's own callers wait longer than normal.
    pub(super) fn finding(&self, felt: bool) -> Finding {
        let Some(times) = self.times() else { return Finding::NoData };
        if self.stalls() {
            let effect = felt.then_some(Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Queue), effect));
        }
        let is_over = times < CLEAR || self.wait_p95 < LEAST_WAIT_S / 2.0;
        if is_over { Finding::Clear } else { Finding::Between }
    }

    pub(super) fn class(&self, normal: &Normal) -> Class {
        if self.rate >= MORE * normal.rate { Class::MoreLoad } else { Class::Stalled }
    }
}
