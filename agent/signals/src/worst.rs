//! Several instances of one unit in a window, of which the worst speaks for all: an alarm takes one verdict a window.

use std::collections::BTreeMap;

use crate::{finding::Finding, subject::Subject};

/// By unit, the worst finding and what it was made of.
#[derive(Debug)]
pub(crate) struct Worst<T>(BTreeMap<Subject, (Finding, T)>);

impl<T> Worst<T> {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Of two that are as bad the first stays.
    pub(crate) fn add(&mut self, unit: Subject, finding: Finding, of: T) {
        let worse = self.0.get(&unit).is_none_or(|(known, _)| finding.rank() > known.rank());
        if worse {
            self.0.insert(unit, (finding, of));
        }
    }

    pub(crate) fn into_each(self) -> impl Iterator<Item = (Subject, Finding, T)> {
        self.0.into_iter().map(|(unit, (finding, of))| (unit, finding, of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::severity::Severity;

    #[test]
    fn the_worst_speaks() {
        let mut worst = Worst::new();
        let findings = [Finding::Clear, Finding::Raise(Severity::Warn), Finding::NoData, Finding::Between];
        for (n, finding) in findings.into_iter().enumerate() {
            worst.add(Subject::host(), finding, n);
        }
        let each: Vec<_> = worst.into_each().collect();
        assert_eq!(each, [(Subject::host(), Finding::Raise(Severity::Warn), 1)]);
    }
}
