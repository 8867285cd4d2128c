//! Several instances of one unit in a window, of which the worst speaks for all: an alarm takes one verdict a window.

use std::collections::BTreeMap;

use super::{signal::Finding, unit::Unit};

/// By unit, the worst finding and what it was made of.
#[derive(Debug)]
pub(super) struct Worst<T>(BTreeMap<Unit, (Finding, T)>);

impl<T> Worst<T> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Of two that are as bad the first stays.
    pub(super) fn add(&mut self, unit: Unit, finding: Finding, of: T) {
        let worse = self.0.get(&unit).is_none_or(|(known, _)| finding.rank() > known.rank());
        if worse {
            self.0.insert(unit, (finding, of));
        }
    }

    pub(super) fn into_each(self) -> impl Iterator<Item = (Unit, Finding, T)> {
        self.0.into_iter().map(|(unit, (finding, of))| (unit, finding, of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::severity::Severity;

    #[test]
    fn the_worst_speaks() {
        let mut worst = Worst::new();
        let findings = [Finding::Clear, Finding::Raise(Severity::Warn), Finding::NoData, Finding::Between];
        for (n, finding) in findings.into_iter().enumerate() {
            worst.add(Unit::host(), finding, n);
        }
        let each: Vec<_> = worst.into_each().collect();
        assert_eq!(each, [(Unit::host(), Finding::Raise(Severity::Warn), 1)]);
    }
}
