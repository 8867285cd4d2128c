//! How long a service takes to answer, against what is normal for it: whether somebody is hurt by what its processes lack.

use crate::{
    incident::alarm::State,
    learn::{
        baseline::{Baseline, Learning},
        proportion::MIN_EVENTS,
        subjects::Subjects,
    },
    subject::Subject,
    trust::Trust,
    window::Window,
};
use weir_engine::Service;

/// Services remembered, 300 bytes each; of more the first ones.
const MAX_SERVICES: usize = 2048;
/// Windows that normal is made of.
const DEPTH: usize = 60;
/// What takes no time has no logarithm.
const LEAST_S: f64 = 1e-6;
/// Callers feel it.
const FELT: f64 = 1.5;

#[derive(Debug)]
struct Known {
    sum_s: f64,
    rounds: u64,
    normal: Baseline,
}

impl Default for Known {
    fn default() -> Self {
        Self { sum_s: 0.0, rounds: 0, normal: Baseline::over(DEPTH) }
    }
}

/// Answers of all services of this host.
#[derive(Debug)]
pub(crate) struct Answers {
    learning: Learning,
    services: Subjects<Known>,
    now_ns: u64,
}

impl Answers {
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, services: Subjects::up_to(MAX_SERVICES), now_ns: 0 }
    }

    pub(crate) fn over_limit(&self) -> u64 {
        self.services.over_limit()
    }

    /// Adds up what servers did in the window.
    pub(crate) fn gather(&mut self, window: &Window<'_>) {
        self.now_ns = window.at.monotonic_ns;
        self.services.begin(self.now_ns);
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Ok(view) = &edge.server_view else { continue };
            if view.rounds == 0 || Trust::of(view, window.snapshot.window_ns) == Trust::Low {
                continue;
            }
            let unit = Subject::server(Service::of(&edge.server.identity), None);
            let anew = |known: &mut Known| (known.sum_s, known.rounds) = (0.0, 0);
            let Some(known) = self.services.entry(unit, anew) else { continue };
            let sum_ns = view.latency.sum_ns.saturating_add(view.receive_queue_wait.sum_ns);
            known.sum_s += sum_ns as f64 / 1e9;
            known.rounds = known.rounds.saturating_add(view.rounds);
        }
    }

    /// How many times as long as normal a service takes; none where that is not known.
    pub(crate) fn times(&mut self, service: &Service) -> Option<f64> {
        let (now_ns, learning) = (self.now_ns, self.learning);
        let wanted = Subject::server(service.clone(), None);
        let (_, known) =
            self.services.seen_in_window().find(|(unit, known)| **unit == wanted && known.rounds >= MIN_EVENTS)?;
        Some(known.normal.normal(now_ns, learning)?.times(known.sum_s / known.rounds as f64))
    }

    /// Whether its callers feel it.
    pub(crate) fn felt(&mut self, service: &Service) -> bool {
        self.times(service).is_some_and(|times| times >= FELT)
    }

    /// Whether those of some service do.
    pub(crate) fn felt_by_some(&mut self) -> bool {
        let (now_ns, learning) = (self.now_ns, self.learning);
        self.services.seen_in_window().any(|(_, known)| {
            let mean_s = known.sum_s / known.rounds.max(1) as f64;
            let normal = known.normal.normal(now_ns, learning);
            known.rounds >= MIN_EVENTS && normal.is_some_and(|normal| normal.times(mean_s) >= FELT)
        })
    }

    /// Learns what is normal, but not of services of which an alarm says that they are not.
    pub(crate) fn learn(&mut self, states: &[(Service, State)]) {
        let now_ns = self.now_ns;
        for (unit, known) in self.services.seen_in_window() {
            let [service, _] = unit.services();
            let frozen = states.iter().any(|(of, state)| Some(of) == service && !state.is_normal());
            if known.rounds > 0 {
                let mean_s = known.sum_s / known.rounds as f64;
                known.normal.take(now_ns, mean_s.max(LEAST_S), known.rounds, frozen);
            }
        }
    }
}
