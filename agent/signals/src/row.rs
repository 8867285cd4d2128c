//! What is known of a signal without its code.

use std::fmt;

use crate::incident::alarm::Rule;

/// A signal, as its row in the table of them all (`SIGNALS`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Its readable name, in documents and on the command line.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub summary: &'static str,
    /// The ids of the classes that its incidents can have; none where they have no class.
    pub classes: &'static [&'static str],
    /// How many windows it takes.
    pub rule: Rule,
    /// Restarts and the like explain it: it stays pending for a minute after one.
    pub held_during_changes: bool,
    /// How bad it is depends on how long the service takes to answer, which is not learned while it is pending or fires.
    pub reads_latency: bool,
}

/// Signals that other parts of the crate refer to.
pub(crate) mod name {
    pub(crate) const ACCEPT_QUEUE: &str = "accept_queue";
    pub(crate) const FDS_EXHAUSTED: &str = "fds_exhausted";
    pub(crate) const HUNG_REQUEST: &str = "hung_request";
    pub(crate) const LISTEN_OVERFLOW: &str = "listen_overflow";
}

/// Classes that other parts of the crate refer to. A class is compared by its constant and spelled out nowhere else.
pub(crate) mod class {
    /// `fds_exhausted`: 99% of the descriptors are open, so that `accept`, `socket` and `open` fail.
    pub(crate) const FDS_NONE_LEFT: &str = "none left";
}

impl Signal {
    /// A row for tests of what comes after evaluators.
    #[cfg(test)]
    pub(crate) const fn named(name: &'static str) -> Self {
        let (rule, held_during_changes, reads_latency) = (Rule::USUAL, false, false);
        Self { name, summary: "", classes: &[], rule, held_during_changes, reads_latency }
    }

    /// The same, held back around restarts.
    #[cfg(test)]
    pub(crate) const fn held_during_changes(self) -> Self {
        Self { held_during_changes: true, ..self }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
