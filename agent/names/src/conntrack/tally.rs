//! What the lookups have come to, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::obstacle::Obstacle;

/// Outcomes of all questions so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions accepted.
    pub asked: u64,
    /// Questions dropped because too many were waiting.
    pub dropped: u64,
    /// Answered with a backend.
    pub translated: u64,
    /// Tracked, and not translated.
    pub untranslated: u64,
    /// Not tracked in any of the namespaces: never, not yet, or no longer.
    pub untracked: u64,
    /// Not answered: see the `obstacle`.
    pub unanswered: u64,
    /// Of all questions: those whose client's namespace could not be entered, as its processes had ended.
    pub namespaces_gone: u64,
}

/// Counters that the thread shares.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) translated: AtomicU64,
    pub(super) untranslated: AtomicU64,
    pub(super) untracked: AtomicU64,
    pub(super) unanswered: AtomicU64,
    pub(super) namespaces_gone: AtomicU64,
    /// Questions that are done, whatever their outcome.
    pub(super) answered: AtomicU64,
    /// The latest `Obstacle`, encoded; 0 where there is none.
    pub(super) obstacle: AtomicU64,
}

impl Tally {
    /// Keeps the obstacle that the latest lookup met, or that it met none.
    pub(super) fn set_obstacle(&self, obstacle: Option<Obstacle>) {
        self.obstacle.store(obstacle.map_or(0, Obstacle::encode), Ordering::Relaxed);
    }
}
