//! A window that is open: when it ends, and the state that it counts from.

use crate::{
    state::cumulative::Cumulative,
    window::{Cadence, Schedule},
};

/// A time, by both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) monotonic_ns: u64,
    pub(super) unix_ns: u64,
}

/// A window, and the state at its beginning.
#[derive(Debug)]
pub(super) struct OpenWindow {
    pub(super) schedule: Schedule,
    pub(super) cadence: Option<Cadence>,
    pub(super) from: (Mark, Cumulative),
    /// Of a sliding window: the mark that will be its next beginning.
    pub(super) next: Option<(Mark, Cumulative)>,
}

impl OpenWindow {
    pub(super) fn new(schedule: Schedule) -> Self {
        let next = matches!(schedule, Schedule::Sliding { .. }).then(Default::default);
        Self { schedule, cadence: schedule.cadence(), from: Default::default(), next }
    }

    pub(super) fn begin(&mut self, at: Mark) {
        self.from.0 = at;
        self.next.iter_mut().for_each(|next| next.0 = at);
        self.cadence.iter_mut().for_each(|cadence| cadence.start(at.monotonic_ns));
    }

    pub(super) fn close(&mut self, at: Mark, latest: &Cumulative) {
        if let Some(next) = &mut self.next {
            std::mem::swap(&mut self.from, next);
        }
        let (mark, state) = self.next.as_mut().unwrap_or(&mut self.from);
        *mark = at;
        state.assign_from(latest);
    }

    pub(super) fn marks(&mut self) -> impl Iterator<Item = &mut Cumulative> {
        let Self { from, next, .. } = self;
        [&mut from.1].into_iter().chain(next.iter_mut().map(|next| &mut next.1))
    }
}
