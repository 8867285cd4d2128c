//! The decision engine: windows in, incidents out.

use super::{
    abandoned_work::AbandonedWork,
    accept_queue::AcceptQueueEvaluator,
    baseline::Learning,
    changes::Change,
    client_stall::ClientStall,
    cpu_throttled::CpuThrottled,
    cpu_wait::CpuWait,
    decisions::Decisions,
    edge_errors::EdgeErrors,
    evaluate::{Evaluator, Judge},
    fds_exhausted::FdsExhausted,
    host_limits::HostLimit,
    hung_request::HungRequest,
    incidents::Incidents,
    listen_overflow::ListenOverflow,
    observed::Observed,
    peer_not_reading::PeerNotReading,
    pool::{PoolExhausted, PoolNearLimit, PoolRefused},
    ports_exhausted::PortsExhausted,
    pressure::PressureStall,
    receive_queue::ReceiveQueue,
    rules::Rules,
    send_limited::SendLimited,
    signal::{Moment, Window},
    unix_queue::UnixQueue,
};
use crate::snapshot::Snapshot;

/// All signals, and what they have come to.
#[derive(Debug)]
pub struct Decider {
    incidents: Incidents,
    evaluators: Vec<Box<dyn Evaluator>>,
    rules: Rules,
    observed: Observed,
}

impl Default for Decider {
    fn default() -> Self {
        Self::new(Learning::USUAL)
    }
}

/// One for each row of `SIGNALS`, in its order.
fn evaluators(learning: Learning) -> Vec<Box<dyn Evaluator>> {
    vec![
        Box::new(PoolExhausted::new(learning)),
        Box::new(PoolNearLimit::default()),
        Box::new(PoolRefused::new(learning)),
        Box::new(EdgeErrors::new(learning)),
        Box::new(AbandonedWork::new(learning)),
        Box::new(HungRequest::new(learning)),
        Box::new(AcceptQueueEvaluator::new(learning)),
        Box::new(ReceiveQueue::new(learning)),
        Box::new(ClientStall::new(learning)),
        Box::new(ListenOverflow::default()),
        Box::new(PeerNotReading::new(learning)),
        Box::new(SendLimited),
        Box::new(PortsExhausted::default()),
        Box::new(CpuThrottled::new(learning)),
        Box::new(CpuWait::new(learning)),
        Box::new(PressureStall::new(learning)),
        Box::new(FdsExhausted::default()),
        Box::new(HostLimit::conntrack()),
        Box::new(HostLimit::time_wait()),
        Box::new(HostLimit::tcp_memory()),
        Box::new(HostLimit::udp_queue()),
        Box::new(UnixQueue::default()),
    ]
}

impl Decider {
    /// One that knows nothing. `learning`: what it takes to know what is normal (`--learn`).
    pub fn new(learning: Learning) -> Self {
        Self::following(Rules::ALL, learning)
    }

    /// The same by other rules than weir's.
    pub fn following(rules: Rules, learning: Learning) -> Self {
        Self {
            incidents: Incidents::following(rules),
            evaluators: evaluators(rules.learning(learning)),
            rules,
            observed: Observed::default(),
        }
    }

    /// Takes a change that no snapshot shows.
    pub fn changed(&mut self, change: Change) {
        self.incidents.changed(change);
    }

    /// Takes a window of some `WINDOW_NS` that ended at `monotonic_ns`.
    pub fn window(&mut self, monotonic_ns: u64, snapshot: &Snapshot) -> Decisions {
        let at = Moment { monotonic_ns, unix_ns: snapshot.end_unix_ns };
        let window = Window::new(at, snapshot, self.rules);
        self.observed.changes(&window).into_iter().for_each(|change| self.incidents.changed(change));
        self.incidents.begin(at);
        // In no time, as by a clock that went back, nothing can be said to have happened.
        for evaluator in self.evaluators.iter_mut().filter(|_| snapshot.window_ns > 0) {
            let mut judge = Judge::new(&mut self.incidents, evaluator.signal());
            evaluator.evaluate(&window, &mut judge);
        }
        self.incidents.finish()
    }

    /// The alarms and incidents.
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// Edges and names that the signals found no room for.
    pub fn units_over_limit(&self) -> u64 {
        self.evaluators.iter().map(|evaluator| evaluator.over_limit()).sum()
    }
}

#[cfg(test)]
mod tests;
