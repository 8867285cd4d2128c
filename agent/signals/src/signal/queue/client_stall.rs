//! Q9: answers lie in a caller's sockets before it reads them.
//!
//! What a caller measures of a call is the time until the answer arrives, and the wait until the caller has read it. Where
//! most of it is wait, and far more than normal, the call is slow because of who makes it: a garbage collector, an event
//! loop that is blocked, no processor. Whoever looks at the caller's own times blames the dependency.
//!
//! It raises when the 95th percentile of the wait is at least 20 ms and five times what is normal, and half of the time to
//! the first byte is wait, over all that the service calls; it is over below twice of normal. It pages where the caller's own
//! callers feel it: it takes half as long again to answer them.
//!
//! Where it is blind: before it is known what is normal; a caller that always reads late (it sends, does something else, and
//! reads); requests that overlap on a connection (HTTP/2, pipelines); polls that are answered after a second or more; a
//! caller that reads at once and lets the answer lie inside itself.

use self::reading::Reading;
use crate::{
    evaluate::{Evaluator, Judge},
    facts::{answers::Answers, waits::Waits},
    incident::alarm::Rule,
    learn::{
        baseline::{Baseline, Learning},
        subjects::Subjects,
    },
    report::contract::Place,
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};
use weir_engine::{Edge, Service, View};

mod reading;
mod say;

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "client_stall",
    says: "answers lie in a caller's sockets before it reads them",
    rule: Rule::USUAL,
    // What has just started compiles, loads and collects.
    minds_changes: true,
};

/// Callers remembered, some 800 bytes each; of more the first ones.
const MAX_CALLERS: usize = 4096;
/// Windows that normal is made of.
const DEPTH: usize = 60;
/// What takes no time has no logarithm.
const LEAST_S: f64 = 1e-6;

/// What is normal for a caller, in seconds and calls a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normal {
    wait_p95: f64,
    away: f64,
    rate: f64,
}

/// A service that calls others: one that stalls does so whomever it calls.
#[derive(Debug)]
struct Caller {
    times: Waits,
    /// Of the edge whose answers waited most in this window, and for how long.
    process: Option<Place>,
    most_ns: u64,
    wait_p95: Baseline,
    away: Baseline,
    rate: Baseline,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct ClientStall {
    learning: Learning,
    callers: Subjects<Caller>,
    answers: Answers,
}

impl ClientStall {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, callers: Subjects::up_to(MAX_CALLERS), answers: Answers::new(learning) }
    }

    /// Adds up what all of a service's sockets saw.
    fn gather(&mut self, window: &Window<'_>) {
        self.callers.begin(window.at.monotonic_ns);
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Ok(view) = &edge.client_view else { continue };
            let unit = Subject::server(Service::of(&edge.client.identity), None);
            let anew = |caller: &mut Caller| (caller.times, caller.most_ns) = (Waits::default(), 0);
            let Some(caller) = self.callers.entry(unit, anew) else { continue };
            if reading::add(&mut caller.times, view, window.snapshot.window_ns) {
                caller.where_to_look(edge, view);
            }
        }
    }
}

impl Evaluator for ClientStall {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.callers.over_limit() + self.answers.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        // Arrivals that were not timed all the window would mislead.
        if !window.snapshot.degradation.times_queue_wait() {
            return;
        }
        self.gather(window);
        self.answers.gather(window);
        let (now_ns, seconds) = (window.at.monotonic_ns, window.seconds());
        let mut states = Vec::new();
        for (unit, caller) in self.callers.seen_in_window() {
            let Some(reading) = Reading::new(&caller.times, caller.normal(now_ns, self.learning), seconds) else {
                continue;
            };
            let [Some(service), _] = unit.services() else { continue };
            // Whether it pages is asked only of what raises.
            let felt = reading.stalls() && self.answers.felt(service);
            let slower = if felt { self.answers.times(service) } else { None };
            let place = caller.process.as_ref();
            // What cannot be believed was left out of the times.
            let state = judge.judge(unit, reading.finding(felt), Trust::Checked, || {
                say::report(unit, place, &reading, slower, window.snapshot.window_ns)
            });
            caller.learn(now_ns, &reading, !state.is_normal());
            states.push((service.clone(), state));
        }
        self.answers.learn(&states);
    }
}

impl Default for Caller {
    fn default() -> Self {
        let baseline = || Baseline::over(DEPTH);
        Self {
            times: Waits::default(),
            process: None,
            most_ns: 0,
            wait_p95: baseline(),
            away: baseline(),
            rate: baseline(),
        }
    }
}

impl Caller {
    /// At whose answers waited most.
    fn where_to_look(&mut self, edge: &Edge, view: &View) {
        let waited_ns = view.receive_queue_wait.sum_ns;
        if waited_ns < self.most_ns {
            return;
        }
        self.most_ns = waited_ns;
        if let Ok(process) = &edge.client.process {
            self.process = Some(Place::of(process));
        }
    }

    fn normal(&self, now_ns: u64, learning: Learning) -> Option<Normal> {
        let of = |baseline: &Baseline| Some(baseline.normal(now_ns, learning)?.value);
        Some(Normal { wait_p95: of(&self.wait_p95)?, away: of(&self.away)?, rate: of(&self.rate)? })
    }

    fn learn(&mut self, now_ns: u64, reading: &Reading, frozen: bool) {
        let values =
            [(&mut self.wait_p95, reading.wait_p95), (&mut self.away, reading.away()), (&mut self.rate, reading.rate)];
        for (baseline, value) in values {
            baseline.take(now_ns, value.max(LEAST_S), reading.rounds, frozen);
        }
    }
}

#[cfg(test)]
mod tests;
