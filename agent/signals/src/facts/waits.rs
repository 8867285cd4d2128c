//! How long data waited in sockets to be read, and how long rounds took: what servers and callers are judged by alike.

use crate::learn::proportion::Proportion;
use weir_engine::{Distribution, View, bounds_s};

/// Of all sockets of a service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    pub(crate) wait: Distribution,
    /// A server's work, a caller's time to first byte.
    pub(crate) latency: Distribution,
    pub(crate) retransmitted: u64,
}

impl Waits {
    /// Adds what an edge's sockets saw.
    pub(crate) fn add(&mut self, view: &View) {
        self.wait.merge(&view.receive_queue_wait);
        self.latency.merge(&view.latency);
        self.retransmitted = self.retransmitted.wrapping_add(view.retransmitted_segments);
    }

    /// Those that waited for so long at least.
    pub(crate) fn from(&self, line_s: f64) -> Proportion {
        let slow = self.wait.buckets().filter(|(bucket, _)| bounds_s(*bucket).0 >= line_s);
        Proportion::new(slow.fold(0u64, |sum, (_, n)| sum.saturating_add(n.into())), self.wait.count)
    }
}
