//! What a window says of a caller's sockets.

use super::Normal;
use crate::{facts::waits::Waits, signal::prelude::*};
use weir_engine::{Distribution, View};

/// Shorter waits are no fault: a thread of a busy process is often no sooner on a processor. A choice: a few time slices.
const LEAST_WAIT_S: f64 = 0.020;
/// Times what is normal: to raise, to be over. Choices.
const RAISE: f64 = 5.0;
const CLEAR: f64 = 2.0;
/// The part of the time to the first byte that is wait. A choice: most of it. A client at full speed waits so for 46% of it
/// (redis-benchmark: 116 of 250 us).
const MOST_OF_IT: f64 = 0.5;
/// So many answers waited so long, and with 95% confidence so large a part: two of twenty may be one pause. The
/// share is what the 95th percentile says; the number is a choice.
const MIN_SLOW: u64 = 5;
const SLOW_SHARE: f64 = 0.05;
/// What takes so long until it is answered is a poll: beside it no wait is a part worth naming. A choice.
const POLL_S: f64 = 1.0;
/// Answers so many times later than normal are the dependency's fault too. A choice, as `ServiceLatency` has it.
const LATER: f64 = 1.5;
/// So many times the calls of normal are more load. A choice.
const MORE: f64 = 1.2;

/// Whether an edge's answers take so long to arrive that it polls.
pub(super) fn is_poll(view: &View) -> bool {
    away_s(&view.receive_queue_wait, &view.latency) >= POLL_S
}

/// Mean time until an answer arrives: what is left of the time to its first byte without the wait, seconds.
fn away_s(wait: &Distribution, latency: &Distribution) -> f64 {
    latency.sum_ns.saturating_sub(wait.sum_ns) as f64 / latency.count.max(1) as f64 / 1e9
}

/// The same in numbers: seconds, and calls a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(super) rounds: u64,
    pub(super) wait_p95: f64,
    pub(super) wait: f64,
    /// To the first byte read, of which the wait is a part.
    pub(super) latency: f64,
    pub(super) rate: f64,
    pub(super) retransmitted: u64,
    /// Mean time until an answer arrives.
    pub(super) away: f64,
    /// Those that waited far longer than normal.
    pub(super) slow: Proportion,
    pub(super) normal: Option<Normal>,
    /// Of the edge whose answers waited most.
    pub(super) ends: Ends<'a>,
    /// How many times as long as normal the caller takes to answer its own callers, if they notice.
    pub(super) slower: Option<f64>,
}

classes! {
    /// Why answers wait.
    pub(super) enum Class {
        /// The caller makes more calls than normal.
        MoreLoad = "more load",
        /// It makes no more: it is paused, blocked, or gets no processor.
        Stalled = "stalled",
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
            latency: times.latency.mean_s()?,
            rate: times.latency.count as f64 / seconds,
            retransmitted: times.retransmitted,
            away: away_s(&times.wait, &times.latency),
            slow: times.from(line),
            normal,
            ends: Ends::default(),
            slower: None,
        })
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
    fn stalls(&self) -> bool {
        let is_slow = self.slow.hits >= MIN_SLOW && self.slow.low() >= SLOW_SHARE;
        let far_above = self.wait_p95 >= LEAST_WAIT_S && self.times().is_some_and(|times| times >= RAISE);
        is_slow && far_above && self.share() >= MOST_OF_IT
    }

    pub(super) fn finding(&self) -> Finding {
        let Some(times) = self.times() else { return Finding::NoData };
        if self.stalls() {
            let effect = self.slower.map(|_| Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Queue), effect));
        }
        let is_over = times < CLEAR || self.wait_p95 < LEAST_WAIT_S / 2.0;
        if is_over { Finding::Clear } else { Finding::Between }
    }

    pub(super) fn class(&self, normal: &Normal) -> Class {
        if self.rate >= MORE * normal.rate { Class::MoreLoad } else { Class::Stalled }
    }
}
