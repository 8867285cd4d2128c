//! The newest update.

use std::sync::{Mutex, PoisonError};

use weir_signals::Update;

use crate::source::clock::monotonic_ns;

/// Readings come every second, updates every five: after this long none comes any more. A choice: three scrapes of 10 s.
const STALE_S: u64 = 30;

/// What is served.
#[derive(Debug)]
pub(crate) struct Latest {
    update: Mutex<Option<Update>>,
    /// Until the first update the start counts.
    started_ns: u64,
}

impl Default for Latest {
    fn default() -> Self {
        Self { update: Mutex::default(), started_ns: monotonic_ns() }
    }
}

impl Latest {
    /// Takes an update. One without the window since the start (a final one) replaces nothing.
    pub(crate) fn put(&self, update: Update) {
        if update.live.is_some() {
            *self.update.lock().unwrap_or_else(PoisonError::into_inner) = Some(update);
        }
    }

    /// A copy: what it holds is shared.
    pub(crate) fn get(&self) -> Option<Update> {
        self.update.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For how many seconds there has been no update, where that is too long.
    pub(crate) fn stale_s(&self) -> Option<u64> {
        let last = self.get().map_or(self.started_ns, |update| update.at.monotonic_ns);
        let seconds = monotonic_ns().saturating_sub(last) / 1_000_000_000;
        (seconds > STALE_S).then_some(seconds)
    }
}
