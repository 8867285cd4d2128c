//! How a signal plugs in: an evaluator looks at a window and says of each unit what it finds.

use crate::{
    finding::Finding,
    incident::{alarm::State, incidents::Incidents},
    report::{Report, contract::Defect},
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};

/// One signal's evaluator. It remembers what it needs of each unit, within a bound of its own.
pub trait Evaluator: std::fmt::Debug {
    /// Which signal.
    fn signal(&self) -> &'static Signal;

    /// Judges every unit that the window says something of. A unit that is not spoken of had no data.
    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>);

    /// Subjects, and names, that found no room in what it remembers; each time that they were heard of.
    fn over_limit(&self) -> u64;
}

/// Where an evaluator says what it finds.
#[derive(Debug)]
pub struct Judge<'a> {
    incidents: &'a mut Incidents,
    signal: &'static Signal,
}

impl<'a> Judge<'a> {
    /// For one signal.
    pub fn new(incidents: &'a mut Incidents, signal: &'static Signal) -> Self {
        Self { incidents, signal }
    }

    /// Says what the window says of a unit, and how far it can be believed. `report` is asked for only where it will be
    /// read. Returns how the alarm stands: what is normal must be learned only while `State::is_normal`.
    pub fn judge(
        &mut self,
        unit: &Subject,
        finding: Finding,
        trust: Trust,
        report: impl FnOnce() -> Result<Report, Defect>,
    ) -> State {
        self.incidents.judge(self.signal, unit, finding, trust, report)
    }
}
