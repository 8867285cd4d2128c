//! What a signal is, and what its evaluator says of a window.

use std::cell::OnceCell;

use super::{
    alarm::{Rule, Verdict},
    owners::Owners,
    rules::Rules,
    senders::{self, Flow},
    severity::Severity,
    trust::Trust,
};
use crate::snapshot::Snapshot;

/// Decisions are made on windows of this length.
pub const WINDOW_NS: u64 = 5_000_000_000;

/// A signal, as its row in the table of them all (`SIGNALS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its readable name, in documents and on the command line.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// How many windows it takes.
    pub rule: Rule,
    /// Restarts and the like explain it: it stays pending for a minute after one.
    pub minds_changes: bool,
}

/// A time, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic nanoseconds: the only one that is reckoned with.
    pub monotonic_ns: u64,
    /// Nanoseconds since 1970: only shown.
    pub unix_ns: u64,
}

/// What evaluators look at. Signals that need more than edges add what they read here.
#[derive(Debug)]
pub struct Window<'a> {
    /// Its end.
    pub at: Moment,
    /// The edges in it, by process and address.
    pub snapshot: &'a Snapshot,
    /// By which they are judged.
    pub rules: Rules,
    owners: OnceCell<Owners<'a>>,
    flows: OnceCell<Vec<Flow<'a>>>,
}

impl<'a> Window<'a> {
    /// One that ended then.
    pub fn new(at: Moment, snapshot: &'a Snapshot, rules: Rules) -> Self {
        Self { at, snapshot, rules, owners: OnceCell::new(), flows: OnceCell::new() }
    }

    /// Which service a process is: looked for when somebody asks first.
    pub(super) fn owners(&self) -> &Owners<'a> {
        self.owners.get_or_init(|| Owners::of(self.snapshot))
    }

    /// Connections that had more to send than they may, each with its edge: looked for likewise.
    pub(super) fn flows(&self) -> &[Flow<'a>] {
        self.flows.get_or_init(|| senders::flows(self.snapshot))
    }

    /// Its length in seconds; never nothing.
    pub fn seconds(&self) -> f64 {
        self.snapshot.window_ns.max(1) as f64 / 1e9
    }
}

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
    pub(super) fn of(self, rules: Rules) -> Self {
        match self {
            Self::Raise(severity) => Self::Raise(rules.severity(severity)),
            Self::Proven(severity) => Self::Proven(rules.severity(severity)),
            finding => finding,
        }
    }

    /// How bad, where it raises.
    pub(super) fn raised(self) -> Option<Severity> {
        match self {
            Self::Raise(severity) | Self::Proven(severity) => Some(severity),
            Self::Between | Self::Clear | Self::NoData => None,
        }
    }

    /// How bad, in order.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::NoData => 0,
            Self::Clear => 1,
            Self::Between => 2,
            Self::Raise(severity) => 3 + severity.level() as u8,
            Self::Proven(severity) => 6 + severity.level() as u8,
        }
    }

    pub(super) fn verdict(self) -> Verdict {
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
