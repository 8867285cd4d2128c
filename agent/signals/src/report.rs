//! The contents of an alert, as types that cannot be made without their parts.

pub(crate) mod alert;
pub(crate) mod contract;
pub(crate) mod defect;
pub(crate) mod evidence;
pub(crate) mod quantity;

use crate::report::{
    contract::{Confidence, Origin, RuledOut, What, Where, Why},
    defect::Defect,
    evidence::Evidence,
};

/// The report on a window that raises. It is made of all its parts at once:
///
/// ```compile_fail
/// use weir_signals::{Report, What};
/// let what: What = "Error rate increased".into(); // no number, no unit, no baseline
/// ```
///
/// ```compile_fail
/// use weir_signals::{Confidence, Defect, Evidence, Measure, Quantity, Report, What};
/// # fn main() -> Result<(), Defect> {
/// let share = Evidence::new("share", Quantity::new(0.5, Measure::Ratio)?, None, 5_000_000_000, 50)?;
/// // no place, no consequence, one piece of evidence, no origin, nothing ruled out
/// Report::new(None, What::new(&share, "of calls fail")?, [share], Confidence::new(0.9)?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub(crate) class: Option<&'static str>,
    pub(crate) what: What,
    pub(crate) place: Where,
    pub(crate) why: Why,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) origin: Origin,
    pub(crate) ruled_out: Vec<RuledOut>,
    pub(crate) confidence: Confidence,
}

impl Report {
    /// A report with three pieces of evidence and one cause ruled out; `with_evidence` and `without` add more.
    ///
    /// # Errors
    /// `SameEvidence` when two pieces have one name, `NoBaseline` when none has a baseline. A report that is not complete is
    /// a defect of the signal: return it to `Judge::judge`, which counts it.
    #[expect(clippy::too_many_arguments, reason = "so that none of them can be left out")]
    pub fn new(
        class: Option<&'static str>,
        what: What,
        place: Where,
        why: Why,
        evidence: [Evidence; 3],
        origin: Origin,
        ruled_out: RuledOut,
        confidence: Confidence,
    ) -> Result<Self, Defect> {
        let [a, b, c] = &evidence;
        if a.name() == b.name() || b.name() == c.name() || a.name() == c.name() {
            return Err(Defect::SameEvidence);
        }
        if evidence.iter().all(|evidence| evidence.baseline().is_none()) {
            return Err(Defect::NoBaseline);
        }
        let (evidence, ruled_out) = (evidence.into(), vec![ruled_out]);
        Ok(Self { class, what, place, why, evidence, origin, ruled_out, confidence })
    }

    /// Adds a piece of evidence; one with a name that is there already, or beyond eight, is left out.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        // A choice: more is not read, and the document stays small.
        const MAX: usize = 8;
        if self.evidence.len() < MAX && self.evidence.iter().all(|known| known.name() != evidence.name()) {
            self.evidence.push(evidence);
        }
        self
    }

    /// Adds a cause ruled out; one that is there already, or beyond eight, is left out.
    #[must_use]
    pub fn without(mut self, ruled_out: RuledOut) -> Self {
        const MAX: usize = 8;
        if self.ruled_out.len() < MAX && !self.ruled_out.contains(&ruled_out) {
            self.ruled_out.push(ruled_out);
        }
        self
    }
}
