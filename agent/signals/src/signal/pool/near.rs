//! How near a pool is to its limit, and how that is judged.

use super::reading::{Reading, Upstream};
use crate::{facts::pools::Pool, learn::forecast::Exhaustion, signal::prelude::*};

/// Parts of the connections in use: to be said, to be over. Choices.
pub(super) const NEAR: f64 = 0.80;
const CLEAR: f64 = 0.70;
classes! {
    /// How near.
    pub(super) enum Class {
        /// Few connections are left.
        Near = "near",
        /// None will be, before long.
        Growing = "growing",
    }
}

/// How near a pool is to its limit.
#[derive(Debug)]
pub(crate) struct Near<'f> {
    pub(super) pool: &'f Pool<'f>,
    pub(super) reading: Reading,
    /// Connections in use, mean.
    pub(super) in_use: f64,
    /// As many as it has when it does not grow any more.
    pub(super) ceiling: u64,
    pub(super) at_ceiling: bool,
    /// When all will be in use, where that is soon.
    pub(super) ahead: Option<Exhaustion>,
}

impl Near<'_> {
    pub(super) fn share(&self) -> f64 {
        (self.in_use / self.ceiling.max(1) as f64).min(1.0)
    }

    pub(super) fn finding(&self) -> Finding {
        // Where it is exhausted it is no longer near, and there is another signal for that.
        let is_exhausted = self.reading.finding().raised().is_some();
        if is_exhausted || !self.at_ceiling || self.ceiling < 2 || !self.more_could_ask() {
            return Finding::Clear;
        }
        if self.ahead.is_some() {
            return Finding::Raise(Severity::Warn);
        }
        match self.share() {
            share if share >= NEAR => Finding::Raise(Severity::Info),
            share if share < CLEAR => Finding::Clear,
            _ => Finding::Between,
        }
    }

    /// More than there are connections.
    fn more_could_ask(&self) -> bool {
        let more_threads = self.reading.has_more_threads();
        match self.reading.upstream {
            Upstream::Counted(callers) => {
                // More in use than threads: these do not wait for answers, but go on with something else.
                let by_loop = self.in_use > f64::from(self.reading.threads);
                callers.connections > self.ceiling && (more_threads || by_loop)
            }
            Upstream::None | Upstream::Uncounted => more_threads,
        }
    }
}
