//! What a signal finds of a subject in one window.

use crate::{
    incident::{alarm::Verdict, severity::Severity},
    rules::Rules,
    trust::Trust,
};

/// What a window says of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Above the raise line.
    Raise(Severity),
    /// So far above it that one window is proof enough: it counts for as many as it takes.
    Proven(Severity),
    /// Between the lines.
    Between,
    /// Below the clear line.
    Clear,
    /// Too little to tell.
    NoData,
}

impl Finding {
    /// As far as the window can be believed: one that cannot raises nothing, and is no proof that all is well.
    #[must_use]
    pub fn trusted(self, trust: Trust) -> Self {
        match (trust, self) {
            (Trust::Low, Self::Raise(_) | Self::Proven(_)) => Self::Between,
            (Trust::Low, Self::Clear) => Self::NoData,
            (_, finding) => finding,
        }
    }

    /// As bad as the rules say.
    #[must_use]
    pub(crate) fn of(self, rules: Rules) -> Self {
        match self {
            Self::Raise(severity) => Self::Raise(rules.severity(severity)),
            Self::Proven(severity) => Self::Proven(rules.severity(severity)),
            finding => finding,
        }
    }

    /// How bad, where it raises.
    pub(crate) fn raised(self) -> Option<Severity> {
        match self {
            Self::Raise(severity) | Self::Proven(severity) => Some(severity),
            Self::Between | Self::Clear | Self::NoData => None,
        }
    }

    /// How bad, in order.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::NoData => 0,
            Self::Clear => 1,
            Self::Between => 2,
            Self::Raise(severity) => 3 + severity.level() as u8,
            Self::Proven(severity) => 6 + severity.level() as u8,
        }
    }

    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::Raise(severity) => Verdict::Raise(severity.level()),
            Self::Proven(severity) => Verdict::Proven(severity.level()),
            Self::Between => Verdict::Between,
            Self::Clear => Verdict::Clear,
            Self::NoData => Verdict::NoData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_believed_raises_nothing_and_clears_nothing() {
        let raise = Finding::Raise(Severity::Warn);
        assert_eq!(raise.trusted(Trust::Low), Finding::Between);
        assert_eq!(Finding::Clear.trusted(Trust::Low), Finding::NoData);
        for trust in [Trust::Checked, Trust::Unchecked] {
            assert_eq!((raise.trusted(trust), Finding::Clear.trusted(trust)), (raise, Finding::Clear));
        }
    }
}
