//! What a signal finds of a subject in one window.

use crate::{
    incident::{alarm::Verdict, severity::Severity},
    rules::Rules,
};

/// What a window says of a subject.
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
