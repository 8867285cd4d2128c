//! How a process used its connections to a service in a window.

use weir_abi::IDLE_BUCKETS;

use crate::facts::edges::EdgeFacts;
use weir_engine::Distribution;

/// What all connections of a pool did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Established, at the end of the window.
    pub(crate) connections: u64,
    /// Opened and closed in it.
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) rounds: u64,
    /// Waiting for an answer, now.
    pub(crate) in_flight: u64,
    pub(crate) retransmitted: u64,
    /// Threads that used them.
    pub(crate) threads: u32,
    /// To the first byte of the answer.
    pub(crate) latency: Distribution,
    in_flight_ns: u64,
    answering_ns: u64,
    same_thread: [u64; IDLE_BUCKETS],
    other_thread: [u64; IDLE_BUCKETS],
    /// Requests overlap, or times contradict counts: nothing of this can be believed.
    pub(crate) misleads: bool,
}

impl Usage {
    /// Adds the connections to one of the service's addresses.
    pub(super) fn add(&mut self, facts: &EdgeFacts<'_>, window_ns: u64) {
        let Some(view) = facts.client() else { return };
        self.connections = self.connections.saturating_add(view.open_connections);
        self.opened = self.opened.saturating_add(view.connects.ok());
        self.closed = self.closed.saturating_add(view.closed);
        self.rounds = self.rounds.saturating_add(view.rounds);
        self.in_flight = self.in_flight.saturating_add(view.in_flight);
        self.retransmitted = self.retransmitted.saturating_add(view.retransmitted_segments);
        // Those that use one address use the others: the most of one is what is known.
        self.threads = self.threads.max(view.threads);
        self.latency.merge(&view.latency);
        self.in_flight_ns = self.in_flight_ns.saturating_add(view.in_flight_ns);
        self.answering_ns = self.answering_ns.saturating_add(view.answering_ns(window_ns));
        for (sums, counts) in
            [(&mut self.same_thread, view.reused_by_same_thread), (&mut self.other_thread, view.reused_by_other_thread)]
        {
            sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum = sum.saturating_add(n.into()));
        }
        self.misleads |= facts.client_requests().is_none();
    }

    /// The time integral of requests on them whose answer had not begun.
    pub(crate) fn in_flight_ns(&self) -> u64 {
        self.in_flight_ns
    }

    /// Mean number of connections that waited for an answer, or for the rest of one.
    pub(crate) fn concurrency(&self, window_ns: u64) -> f64 {
        self.in_flight_ns.saturating_add(self.answering_ns) as f64 / window_ns.max(1) as f64
    }

    /// Of these, those whose answer had begun.
    pub(crate) fn answering(&self, window_ns: u64) -> f64 {
        self.answering_ns as f64 / window_ns.max(1) as f64
    }

    /// Requests on a connection that another thread had used before, those of them that came within the first `buckets` of
    /// idle time, and the same of all requests on used connections.
    pub(crate) fn reused(&self, buckets: usize) -> Reused {
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        let (same, other) = (&self.same_thread, &self.other_thread);
        Reused {
            taken: sum(other),
            taken_at_once: sum(&other[..buckets.min(IDLE_BUCKETS)]),
            all: sum(other) + sum(same),
            all_at_once: sum(&other[..buckets.min(IDLE_BUCKETS)]) + sum(&same[..buckets.min(IDLE_BUCKETS)]),
        }
    }
}

/// Counts of `Usage::reused`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reused {
    pub(crate) taken: u64,
    pub(crate) taken_at_once: u64,
    pub(crate) all: u64,
    pub(crate) all_at_once: u64,
}
