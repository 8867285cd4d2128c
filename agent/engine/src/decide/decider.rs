//! The decision engine: windows in, incidents out.

use super::{
    baseline::Learning,
    changes::{Change, ChangeKind},
    cpu_throttled::CpuThrottled,
    cpu_wait::CpuWait,
    decisions::Decisions,
    edge_errors::EdgeErrors,
    evaluate::{Evaluator, Judge},
    fds_exhausted::FdsExhausted,
    host_limits::HostLimit,
    incidents::Incidents,
    listen_overflow::ListenOverflow,
    ports_exhausted::PortsExhausted,
    pressure::PressureStall,
    receive_queue::ReceiveQueue,
    signal::{Moment, Window},
    unit::Service,
};
use crate::snapshot::{End, Snapshot};

/// All signals, and what they have come to. Adding one is a field, and its place in `evaluators`.
#[derive(Debug, Default)]
pub struct Decider {
    incidents: Incidents,
    edge_errors: EdgeErrors,
    receive_queue: ReceiveQueue,
    ports_exhausted: PortsExhausted,
    listen_overflow: ListenOverflow,
    host: HostSignals,
}

/// Those that rest on what was polled of processes, cgroups and the host.
#[derive(Debug)]
struct HostSignals {
    cpu_throttled: CpuThrottled,
    cpu_wait: CpuWait,
    pressure: PressureStall,
    fds_exhausted: FdsExhausted,
    limits: [HostLimit; 4],
}

impl HostSignals {
    fn new(learning: Learning) -> Self {
        Self {
            cpu_throttled: CpuThrottled::new(learning),
            cpu_wait: CpuWait::new(learning),
            pressure: PressureStall::new(learning),
            fds_exhausted: FdsExhausted::default(),
            limits: [HostLimit::conntrack(), HostLimit::time_wait(), HostLimit::tcp_memory(), HostLimit::udp_queue()],
        }
    }

    fn over_limit(&self) -> u64 {
        let Self { cpu_throttled, cpu_wait, pressure, fds_exhausted, limits: _ } = self;
        cpu_throttled.over_limit() + cpu_wait.over_limit() + pressure.over_limit() + fds_exhausted.over_limit()
    }
}

impl Default for HostSignals {
    fn default() -> Self {
        Self::new(Learning::USUAL)
    }
}

impl Decider {
    /// One that knows nothing. `learning`: what it takes to know what is normal (`--learn`).
    pub fn new(learning: Learning) -> Self {
        let (edge_errors, receive_queue) = (EdgeErrors::new(learning), ReceiveQueue::new(learning));
        Self { edge_errors, receive_queue, host: HostSignals::new(learning), ..Self::default() }
    }

    fn evaluators(&mut self) -> (&mut Incidents, [&mut dyn Evaluator; 12]) {
        let Self { incidents, edge_errors, receive_queue, ports_exhausted, listen_overflow, host } = self;
        let HostSignals { cpu_throttled, cpu_wait, pressure, fds_exhausted, limits: [a, b, c, d] } = host;
        (
            incidents,
            [
                edge_errors,
                receive_queue,
                ports_exhausted,
                listen_overflow,
                cpu_throttled,
                cpu_wait,
                pressure,
                fds_exhausted,
                a,
                b,
                c,
                d,
            ],
        )
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
        let window = Window { at, snapshot };
        let (incidents, evaluators) = self.evaluators();
        incidents.begin(at);
        // In no time, as by a clock that went back, nothing can be said to have happened.
        for evaluator in evaluators.into_iter().filter(|_| snapshot.window_ns > 0) {
            evaluator.evaluate(&window, &mut Judge::new(incidents, evaluator.signal()));
        }
        incidents.finish()
    }

    /// The alarms and incidents.
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// Edges and names that the signals found no room for.
    pub fn units_over_limit(&self) -> u64 {
        let Self { edge_errors, receive_queue, ports_exhausted, listen_overflow, host, incidents: _ } = self;
        edge_errors.over_limit()
            + receive_queue.over_limit()
            + ports_exhausted.over_limit()
            + listen_overflow.over_limit()
            + host.over_limit()
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
