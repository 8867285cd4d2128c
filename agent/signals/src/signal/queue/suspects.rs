//! Subjects that are spoken of only while something is wrong with them: remembered, so that they can be said to be well again.

use std::collections::{BTreeMap, BTreeSet};

use crate::subject::Subject;

/// So many are remembered; of more the first ones.
const MAX_SUSPECTS: usize = 1024;

/// Those that are not plainly well, and what is needed to speak of them once more.
#[derive(Debug)]
pub(crate) struct Suspects<T> {
    known: BTreeMap<Subject, T>,
    over_limit: u64,
}

impl<T> Default for Suspects<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), over_limit: 0 }
    }
}

impl<T> Suspects<T> {
    /// One that is not plainly well.
    pub(crate) fn suspect(&mut self, unit: Subject, seen: T) {
        if self.known.len() < MAX_SUSPECTS || self.known.contains_key(&unit) {
            self.known.insert(unit, seen);
        } else {
            self.over_limit += 1;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Subject, &T)> {
        self.known.iter()
    }

    /// Forgets those that are well, of those that were not spoken of in this window.
    pub(crate) fn forget(&mut self, spoken_of: &BTreeSet<Subject>, mut is_well: impl FnMut(&Subject, &T) -> bool) {
        self.known.retain(|unit, seen| spoken_of.contains(unit) || !is_well(unit, seen));
    }

    pub(crate) fn over_limit(&self) -> u64 {
        self.over_limit
    }
}
