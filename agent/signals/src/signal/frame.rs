//! What reports have in common.

use crate::{
    report::{
        Report,
        contract::{Confidence, Origin, RuledOut, What, Where, Why},
        defect::Defect,
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
};

/// What evidence is taken from: so long, and so many events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) window_ns: u64,
    pub(crate) n: u64,
}

impl Sample {
    /// A number that is compared with nothing.
    pub(crate) fn evidence(self, name: &'static str, value: f64, measure: Measure) -> Result<Evidence, Defect> {
        self.compared(name, value, measure, None)
    }

    /// One beside what is normal, where that is known.
    pub(crate) fn learned(
        self,
        name: &'static str,
        value: f64,
        measure: Measure,
        normal: impl Into<Option<f64>>,
    ) -> Result<Evidence, Defect> {
        self.compared(name, value, measure, normal.into().map(Compared::Learned))
    }

    /// One beside the line that it is judged by.
    pub(crate) fn at_most(
        self,
        name: &'static str,
        value: f64,
        measure: Measure,
        line: f64,
    ) -> Result<Evidence, Defect> {
        self.compared(name, value, measure, Some(Compared::AtMost(line)))
    }

    /// One beside what it is where nothing is wrong.
    pub(crate) fn expected(
        self,
        name: &'static str,
        value: f64,
        measure: Measure,
        expected: f64,
    ) -> Result<Evidence, Defect> {
        self.compared(name, value, measure, Some(Compared::Expected(expected)))
    }

    fn compared(
        self,
        name: &'static str,
        value: f64,
        measure: Measure,
        compared: Option<Compared>,
    ) -> Result<Evidence, Defect> {
        Evidence::new(name, Quantity::new(value, measure)?, compared, self.window_ns, self.n)
    }
}

/// So many of these.
pub(crate) fn count(n: impl Into<f64>, what: &'static str) -> Result<Quantity, Defect> {
    Quantity::new(n.into(), Measure::Count(what))
}

/// All that a report is made of, by name.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) class: Option<&'static str>,
    pub(crate) what: What,
    pub(crate) place: Where,
    pub(crate) why: Why,
    pub(crate) evidence: [Evidence; 3],
    pub(crate) more: Vec<Evidence>,
    pub(crate) origin: Origin,
    /// One at least.
    pub(crate) ruled_out: Vec<RuledOut>,
    pub(crate) confidence: f64,
}

impl Parts {
    /// # Errors
    /// When the report would not say all that it must.
    pub(crate) fn report(self) -> Result<Report, Defect> {
        let Self { class, what, place, why, evidence, more, origin, ruled_out, confidence } = self;
        let mut ruled_out = ruled_out.into_iter();
        let first = ruled_out.next().ok_or(Defect::NoWords)?;
        let confidence = Confidence::new(confidence)?;
        let report = Report::new(class, what, place, why, evidence, origin, first, confidence)?;
        let report = more.into_iter().fold(report, Report::with_evidence);
        Ok(ruled_out.fold(report, Report::without))
    }
}

/// Who is called, or who it is about, by name.
pub(crate) fn callee(subject: &Subject) -> String {
    subject.callee().unwrap_or_else(|| subject.to_string())
}

/// Who calls.
pub(crate) fn caller(subject: &Subject) -> String {
    subject.client().unwrap_or_else(|| subject.to_string())
}

/// The kinds of a signal's incidents: an enum whose variants have the ids that documents use. `NAMES` is the list of the
/// signal's row in the table.
macro_rules! classes {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $class:ident { $($(#[$variant_attribute:meta])* $variant:ident = $id:expr,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $visibility enum $class { $($(#[$variant_attribute])* $variant,)+ }

        impl $class {
            pub(crate) const NAMES: &'static [&'static str] = &[$($id),+];

            pub(crate) const fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }
    };
}
pub(crate) use classes;
