//! The decision engine: windows in, incidents out.

use std::collections::BTreeSet;

use crate::{
    evaluate::{Evaluator, Judge},
    facts::{Facts, edges::EdgeFacts, latency::ServiceLatency, observed::Observed},
    incident::{changes::Change, decisions::Decisions, incidents::Incidents},
    learn::baseline::Learning,
    row::Signal,
    rules::Rules,
    table::SIGNALS,
    window::Moment,
};
use weir_engine::Snapshot;

/// All signals, and what they have come to.
#[derive(Debug)]
pub struct Decider {
    incidents: Incidents,
    evaluators: Vec<(&'static Signal, Box<dyn Evaluator>)>,
    rules: Rules,
    learning: Learning,
    observed: Observed,
    latency: ServiceLatency,
}

impl Default for Decider {
    fn default() -> Self {
        Self::new(Learning::USUAL)
    }
}

impl Decider {
    /// One that knows nothing. `learning`: what it takes to know what is normal (`--learn`).
    pub fn new(learning: Learning) -> Self {
        Self::following(Rules::ALL, learning)
    }

    /// The same by other rules than weir's.
    pub fn following(rules: Rules, learning: Learning) -> Self {
        Self {
            incidents: Incidents::following(rules),
            evaluators: SIGNALS.iter().map(|row| (&**row, row.evaluator())).collect(),
            rules,
            learning: rules.learning(learning),
            observed: Observed::default(),
            latency: ServiceLatency::default(),
        }
    }

    /// Takes a change that no snapshot shows.
    pub fn changed(&mut self, change: Change) {
        self.incidents.changed(change);
    }

    /// Takes a window of some `WINDOW_NS` that ended at `monotonic_ns`.
    pub fn window(&mut self, monotonic_ns: u64, snapshot: &Snapshot) -> Decisions {
        let at = Moment { monotonic_ns, unix_ns: snapshot.end_unix_ns };
        let edges = EdgeFacts::of(snapshot);
        self.latency.gather(&edges, monotonic_ns, self.learning);
        let facts = Facts::of(at, snapshot, edges, &self.latency, (self.rules, self.learning));
        self.observed.changes(&facts).into_iter().for_each(|change| self.incidents.changed(change));
        self.incidents.begin(at);
        // In no time, as by a clock that went back, nothing can be said to have happened.
        if snapshot.window_ns > 0 {
            let mut not_normal = BTreeSet::new();
            for (signal, evaluator) in &mut self.evaluators {
                evaluator.evaluate(&facts, &mut Judge::new(&mut self.incidents, signal, &mut not_normal));
            }
            self.latency.learn(monotonic_ns, &not_normal);
        }
        self.incidents.finish()
    }

    /// The alarms and incidents.
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// Subjects and names that were refused because a limit was reached.
    pub fn subjects_over_limit(&self) -> u64 {
        let of_signals: u64 = self.evaluators.iter().map(|(_, evaluator)| evaluator.over_limit()).sum();
        of_signals + self.latency.over_limit()
    }
}

#[cfg(test)]
mod tests;
