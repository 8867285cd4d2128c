//! The decision engine: windows in, incidents out.

use crate::{
    evaluate::{Evaluator, Judge},
    facts::observed::Observed,
    incident::{changes::Change, decisions::Decisions, incidents::Incidents},
    learn::baseline::Learning,
    rules::Rules,
    table::evaluators,
    window::{Moment, Window},
};
use weir_engine::Snapshot;

/// All signals, and what they have come to.
#[derive(Debug)]
pub struct Decider {
    incidents: Incidents,
    evaluators: Vec<Box<dyn Evaluator>>,
    rules: Rules,
    observed: Observed,
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
            evaluators: evaluators(rules.learning(learning)),
            rules,
            observed: Observed::default(),
        }
    }

    /// Takes a change that no snapshot shows.
    pub fn changed(&mut self, change: Change) {
        self.incidents.changed(change);
    }

    /// Takes a window of some `WINDOW_NS` that ended at `monotonic_ns`.
    pub fn window(&mut self, monotonic_ns: u64, snapshot: &Snapshot) -> Decisions {
        let at = Moment { monotonic_ns, unix_ns: snapshot.end_unix_ns };
        let window = Window::new(at, snapshot, self.rules);
        self.observed.changes(&window).into_iter().for_each(|change| self.incidents.changed(change));
        self.incidents.begin(at);
        // In no time, as by a clock that went back, nothing can be said to have happened.
        for evaluator in self.evaluators.iter_mut().filter(|_| snapshot.window_ns > 0) {
            let mut judge = Judge::new(&mut self.incidents, evaluator.signal());
            evaluator.evaluate(&window, &mut judge);
        }
        self.incidents.finish()
    }

    /// The alarms and incidents.
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// Edges and names that the signals found no room for.
    pub fn subjects_over_limit(&self) -> u64 {
        self.evaluators.iter().map(|evaluator| evaluator.over_limit()).sum()
    }
}

#[cfg(test)]
mod tests;
