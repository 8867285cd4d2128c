//! How long each service takes to answer, against what is normal for it: whether callers notice what its processes lack.
//!
//! Gathered and learned once a window, read by every signal whose severity depends on it (`Signal::reads_latency`). A
//! service is not learned in a window after which one of these signals has an alarm about it that is pending or fires: what
//! slows it down must not become its normal, whichever of them noticed first.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    driver::baselines::{Baselines, Learn},
    facts::edges::EdgeFacts,
    learn::{baseline::Learning, proportion::MIN_EVENTS, subjects::Subjects},
    subject::Subject,
};
use weir_engine::Service;

/// Services remembered, 300 bytes each; of more the first ones.
const MAX_SERVICES: usize = 2048;
/// From so many times the normal time on callers notice. A choice: half as much again is beyond what the mean of twenty
/// requests or more strays by from window to window.
const DEGRADED: f64 = 1.5;

#[derive(Debug, Default)]
struct Latency {
    sum_s: f64,
    rounds: u64,
    normal: Baselines<1>,
}

/// Answers of all services of this host.
#[derive(Debug)]
pub(crate) struct ServiceLatency {
    services: Subjects<Latency>,
    /// Of this window, how many times as long as normal; only where there is enough to tell.
    times: BTreeMap<Service, f64>,
}

impl Default for ServiceLatency {
    fn default() -> Self {
        Self { services: Subjects::up_to(MAX_SERVICES), times: BTreeMap::new() }
    }
}

impl ServiceLatency {
    /// Adds up what servers did in the window that ended at `now_ns`.
    pub(crate) fn gather(&mut self, edges: &[EdgeFacts<'_>], now_ns: u64, learning: Learning) {
        self.services.begin(now_ns);
        for facts in edges {
            let Some(view) = facts.server_timed().filter(|view| view.rounds > 0) else { continue };
            let subject = Subject::server(Service::of(&facts.edge.server.identity), None);
            let reset = |latency: &mut Latency| (latency.sum_s, latency.rounds) = (0.0, 0);
            let Some(latency) = self.services.entry(subject, reset) else { continue };
            let sum_ns = view.latency.sum_ns.saturating_add(view.receive_queue_wait.sum_ns);
            latency.sum_s += sum_ns as f64 / 1e9;
            latency.rounds = latency.rounds.saturating_add(view.rounds);
        }
        let judged = self.services.seen_in_window().filter(|(_, latency)| latency.rounds >= MIN_EVENTS);
        let times = judged.filter_map(|(subject, latency)| {
            let [normal] = latency.normal.all(now_ns, learning)?;
            Some((subject.about()?.clone(), latency.mean_s() / normal))
        });
        self.times = times.collect();
    }

    /// How many times as long as normal a service takes, if that is so much that its callers notice.
    pub(crate) fn degraded(&self, service: &Service) -> Option<f64> {
        self.times.get(service).copied().filter(|times| *times >= DEGRADED)
    }

    /// Whether it is.
    pub(crate) fn is_degraded(&self, service: &Service) -> bool {
        self.degraded(service).is_some()
    }

    /// Whether that of some service is.
    pub(crate) fn any_is_degraded(&self) -> bool {
        self.times.values().any(|times| *times >= DEGRADED)
    }

    /// Learns what is normal, but not of services of which an alarm says that they are not.
    pub(crate) fn learn(&mut self, now_ns: u64, not_normal: &BTreeSet<Service>) {
        for (subject, latency) in self.services.seen_in_window() {
            let frozen = subject.about().is_some_and(|service| not_normal.contains(service));
            let mean_s = latency.mean_s();
            latency.normal.learn(Learn { now_ns, frozen }, [Some((mean_s, latency.rounds))]);
        }
    }

    pub(crate) fn over_limit(&self) -> u64 {
        self.services.over_limit()
    }
}

impl Latency {
    fn mean_s(&self) -> f64 {
        self.sum_s / self.rounds.max(1) as f64
    }
}
