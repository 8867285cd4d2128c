//! The skeleton of a signal, once: gather what a window holds of each subject, compare it with what is remembered, judge
//! it, and learn what is normal.
//!
//! ```text
//! Facts ─gather─▶ (Subject, Input) ─read─▶ Reading ─verdict─▶ Finding ─▶ Judge ─▶ State
//!                                    ▲        └──────report, if it will be read ──┘    │
//!                                  Memory ◀────────────────── learn, unless frozen ────┘
//! ```

use std::{borrow::Cow, fmt};

use crate::{
    driver::baselines::Learn,
    evaluate::{Evaluator, Judge},
    facts::{Facts, Inputs, edges},
    finding::Finding,
    learn::subjects::Subjects,
    report::{Report, defect::Defect},
    rules::Rules,
    subject::Subject,
};

pub(crate) mod baselines;

/// Items by subject, in the order of subjects; those of one subject in the order in which they came.
pub(crate) fn grouped<'f, T>(items: impl Iterator<Item = (Subject, T)>) -> Inputs<'f, Vec<T>> {
    edges::grouped(items).into_iter().map(|(subject, items)| (Cow::Owned(subject), items)).collect()
}

/// A signal: what it reads of a subject, how it judges that, how it reports it, and what it remembers. All but `gather` is
/// a function of its arguments.
pub(crate) trait Detector: fmt::Debug {
    /// The ids of the classes that its incidents can have; none where they have no class.
    const CLASSES: &'static [&'static str] = &[];
    /// Subjects remembered. When there are so many, others are not judged, and counted.
    const LIMIT: usize;
    /// A subject is forgotten once its alarm is over. Otherwise it is an hour after it had no more data.
    const ONLY_SUSPECTS: bool = false;

    /// What is remembered of a subject from window to window, as what is normal for it.
    type Memory: Default + fmt::Debug;
    /// What a window holds of a subject.
    type Input<'f>;
    /// The same in numbers, beside what they are compared with.
    type Reading<'f>;

    /// Whether anything can be said of this window. In one of which nothing can, nothing is learned and nothing forgotten.
    fn can_judge(_: &Facts<'_>) -> bool {
        true
    }

    /// What the window holds, by subject. `known`: the subjects that are remembered.
    fn gather<'f>(&mut self, facts: &'f Facts<'f>, known: &Subjects<Self::Memory>) -> Inputs<'f, Self::Input<'f>>;

    /// Whether it is a reason to remember a subject. One that is not known is left alone without: nearly all are well.
    fn is_notable(_: &Self::Input<'_>) -> bool {
        true
    }

    /// The numbers; none where there are too few to say anything.
    fn read<'f>(
        &self,
        input: Self::Input<'f>,
        memory: &mut Self::Memory,
        facts: &'f Facts<'f>,
    ) -> Option<Self::Reading<'f>>;

    /// How they are judged.
    fn verdict(&self, reading: &Self::Reading<'_>, rules: Rules) -> Finding;

    /// What is said of a window that raises.
    fn report(&self, subject: &Subject, reading: &Self::Reading<'_>, window_ns: u64) -> Result<Report, Defect>;

    /// Learns from the window.
    fn learn(&self, _memory: &mut Self::Memory, _reading: &Self::Reading<'_>, _learn: Learn) {}

    /// What was refused at a limit of its own.
    fn over_limit(&self) -> u64 {
        0
    }
}

/// Runs a detector.
#[derive(Debug)]
pub(crate) struct Driver<D: Detector> {
    detector: D,
    subjects: Subjects<D::Memory>,
}

impl<D: Detector> Driver<D> {
    pub(crate) fn new(detector: D) -> Self {
        Self { detector, subjects: Subjects::up_to(D::LIMIT) }
    }
}

impl<D: Detector> Evaluator for Driver<D> {
    fn over_limit(&self) -> u64 {
        self.subjects.over_limit().saturating_add(self.detector.over_limit())
    }

    fn evaluate(&mut self, facts: &Facts<'_>, judge: &mut Judge<'_>) {
        if !D::can_judge(facts) {
            return;
        }
        let Self { detector, subjects } = self;
        subjects.begin(facts.now_ns());
        for (subject, input) in detector.gather(facts, subjects) {
            if !D::is_notable(&input) && !subjects.contains(&subject) {
                continue;
            }
            let Some(memory) = subjects.entry(Subject::clone(&subject), |_| ()) else { continue };
            let Some(reading) = detector.read(input, memory, facts) else { continue };
            let finding = detector.verdict(&reading, facts.rules);
            let report = || detector.report(&subject, &reading, facts.window_ns());
            let state = judge.judge(&subject, finding, report);
            detector.learn(memory, &reading, Learn { now_ns: facts.now_ns(), frozen: !state.is_normal() });
            if D::ONLY_SUSPECTS && state.is_normal() {
                subjects.remove(&subject);
            }
        }
    }
}

/// The worst of several instances of a subject, which speaks for all; of two that are as bad, the first.
pub(crate) fn worst<T>(readings: impl Iterator<Item = T>, finding: impl Fn(&T) -> Finding) -> Option<T> {
    let ranked = readings.map(|reading| (finding(&reading).rank(), reading));
    ranked.reduce(|known, other| if other.0 > known.0 { other } else { known }).map(|(_, reading)| reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::severity::Severity;

    #[test]
    fn the_worst_speaks() {
        let findings = [Finding::Clear, Finding::Raise(Severity::Warn), Finding::NoData, Finding::Between];
        let raised = Some((1, Finding::Raise(Severity::Warn)));
        assert_eq!(worst((0..).zip(findings), |(_, finding)| *finding), raised);
        let both = [Finding::Raise(Severity::Warn); 2];
        assert_eq!(worst((1..).zip(both), |(_, finding)| *finding), raised, "the first of two");
    }
}
