//! The decision engine: windows in, incidents out.

use super::{
    accept_queue::AcceptQueueEvaluator,
    baseline::Learning,
    changes::{Change, ChangeKind},
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
    pool::{PoolExhausted, PoolRefused},
    ports_exhausted::PortsExhausted,
    pressure::PressureStall,
    receive_queue::ReceiveQueue,
    signal::{Moment, Window},
    unit::Service,
};
use crate::snapshot::{End, Snapshot};

/// All signals, and what they have come to.
#[derive(Debug)]
pub struct Decider {
    incidents: Incidents,
    evaluators: Vec<Box<dyn Evaluator>>,
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
        Box::new(PoolRefused::new(learning)),
        Box::new(EdgeErrors::new(learning)),
        Box::new(HungRequest::new(learning)),
        Box::new(AcceptQueueEvaluator::new(learning)),
        Box::new(ReceiveQueue::new(learning)),
        Box::new(ListenOverflow::default()),
        Box::new(PortsExhausted::default()),
        Box::new(CpuThrottled::new(learning)),
        Box::new(CpuWait::new(learning)),
        Box::new(PressureStall::new(learning)),
        Box::new(FdsExhausted::default()),
        Box::new(HostLimit::conntrack()),
        Box::new(HostLimit::time_wait()),
        Box::new(HostLimit::tcp_memory()),
        Box::new(HostLimit::udp_queue()),
    ]
}

impl Decider {
    /// One that knows nothing. `learning`: what it takes to know what is normal (`--learn`).
    pub fn new(learning: Learning) -> Self {
        Self { incidents: Incidents::default(), evaluators: evaluators(learning) }
    }

    /// Takes a change that no snapshot shows.
    pub fn changed(&mut self, change: Change) {
        self.incidents.changed(change);
    }

    /// Takes a window of some `WINDOW_NS` that ended at `monotonic_ns`.
    pub fn window(&mut self, monotonic_ns: u64, snapshot: &Snapshot) -> Decisions {
        let at = Moment { monotonic_ns, unix_ns: snapshot.end_unix_ns };
        for end in snapshot.edges.iter().flat_map(|edge| [&edge.client, &edge.server]) {
            if let Some(change) = started(end, monotonic_ns, snapshot.window_ns) {
                self.incidents.changed(change);
            }
        }
        let window = Window::new(at, snapshot);
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

/// A process that began in this window. Its start is told since boot and the window's end by the monotonic clock, which
/// stands still while the host is suspended: after that no start is seen here, rather than one in each window.
fn started(end: &End, now_ns: u64, window_ns: u64) -> Option<Change> {
    let process = end.process.as_ref().ok()?;
    let age_ns = now_ns.checked_sub(process.start_ns)?;
    let is_new = process.start_ns > 0 && age_ns < window_ns;
    let at_ns = process.start_ns;
    is_new.then(|| Change { at_ns, kind: ChangeKind::ProcessStarted, service: Service::of(&end.identity) })
}

#[cfg(test)]
mod tests;
