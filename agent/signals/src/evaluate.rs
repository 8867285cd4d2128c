//! What the decider runs: evaluators, each of one signal, which judge the subjects of a window.

use std::{collections::BTreeSet, fmt};

use crate::{
    facts::Facts,
    finding::Finding,
    incident::{alarm::State, incidents::Incidents},
    report::{Report, defect::Defect},
    row::Signal,
    subject::Subject,
};
use weir_engine::Service;

/// One signal's evaluator. It remembers what it needs of each subject, within a bound of its own.
pub(crate) trait Evaluator: fmt::Debug {
    /// Judges every subject that the window has data of. One that is not judged had none.
    fn evaluate(&mut self, facts: &Facts<'_>, judge: &mut Judge<'_>);

    /// Subjects, and names, that were refused because a limit was reached; one for each window in which they had data.
    fn over_limit(&self) -> u64;
}

/// Takes the findings of one signal.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    incidents: &'a mut Incidents,
    signal: &'static Signal,
    not_normal: &'a mut BTreeSet<Service>,
}

impl<'a> Judge<'a> {
    /// For one signal. `not_normal` takes the services that it has an alarm about, if it reads their latency.
    pub(crate) fn new(
        incidents: &'a mut Incidents,
        signal: &'static Signal,
        not_normal: &'a mut BTreeSet<Service>,
    ) -> Self {
        Self { incidents, signal, not_normal }
    }

    /// Takes what a window says of a subject. `report` is called only if it will be read. Returns the state of the alarm:
    /// what is normal must be learned only while `State::is_normal`.
    pub(crate) fn judge(
        &mut self,
        subject: &Subject,
        finding: Finding,
        report: impl FnOnce() -> Result<Report, Defect>,
    ) -> State {
        let state = self.incidents.judge(self.signal, subject, finding, report);
        if self.signal.reads_latency && !state.is_normal() {
            self.not_normal.extend(subject.about().cloned());
        }
        state
    }
}
