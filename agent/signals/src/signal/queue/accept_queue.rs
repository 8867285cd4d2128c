//! Q1: connections that the kernel has completed wait until the server accepts them.
//!
//! Every new caller pays that wait before its first byte is read, and when the queue is full the kernel drops who comes next
//! without a word. The kernel half times it from the handshake's end to `accept`'s return, and sees how full each arrival
//! leaves the queue; the polled listeners tell of a queue that nothing comes into any more.
//!
//! It raises when the 95th percentile of the wait is at least 20 ms and five times what is normal, or when at least 5% of the
//! arrivals leave the queue half full; it is over below twice of normal and a fifth of the queue. It pages when the
//! queue is nearly full (seven eighths) and callers feel it: they wait, or are dropped. Sockets that share a port
//! (`SO_REUSEPORT`) are one queue here, of which the fullest socket is named.
//!
//! Where it is blind: before it is known what is normal (but for how full it is); accepts by `io_uring`, which are timed to the
//! first use of the connection instead; `TCP_DEFER_ACCEPT`, which hides the wait for data.

use std::collections::BTreeMap;

use weir_abi::ListeningPort;

use self::reading::{Normal, Reading};
use crate::{
    evaluate::{Evaluator, Judge},
    facts::owners::Owners,
    incident::alarm::Rule,
    learn::{
        baseline::{Baseline, Learning},
        subjects::Subjects,
    },
    report::contract::Place,
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
    worst::Worst,
};
use weir_engine::{AcceptQueueView, HostView, Kind, ListenerView, Service};

mod reading;
mod say;
#[cfg(test)]
mod tests;

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "accept_queue",
    says: "connections wait until the server accepts them",
    rule: Rule::USUAL,
    // Callers of a server that starts wait too, and should know why.
    minds_changes: false,
};

/// Listening ports remembered, some 600 bytes each; of more the first ones.
const MAX_QUEUES: usize = 2048;
/// Windows that normal is made of.
const DEPTH: usize = 60;
/// What takes no time has no logarithm.
const LEAST: f64 = 1e-6;

#[derive(Debug)]
struct Queue {
    wait_p95: Baseline,
    arrivals: Baseline,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct AcceptQueueEvaluator {
    learning: Learning,
    queues: Subjects<Queue>,
}

impl AcceptQueueEvaluator {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, queues: Subjects::up_to(MAX_QUEUES) }
    }
}

/// What is known of a listening port in a window.
struct Known<'a> {
    queue: Option<&'a AcceptQueueView>,
    listeners: Vec<&'a ListenerView>,
}

impl Evaluator for AcceptQueueEvaluator {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.queues.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let (now_ns, seconds) = (window.at.monotonic_ns, window.seconds());
        self.queues.begin(now_ns);
        let snapshot = window.snapshot;
        // Replicas of a service listen on the same port, each in a namespace of its own.
        let mut worst = Worst::new();
        for (at, known) in ports(&snapshot.accept_queues, &snapshot.host) {
            // Nearly all listeners of a host are idle.
            let is_idle = known.queue.is_none_or(|queue| queue.arrivals == 0 && queue.wait.count == 0)
                && known.listeners.iter().all(|listener| listener.peak == 0);
            let (unit, place) = whose(at, &known, window.owners());
            if is_idle && !self.queues.contains(&unit) {
                continue;
            }
            let Some(queue) = self.queues.entry(unit.clone(), |_| ()) else { continue };
            let reading = Reading::new(known.queue, &known.listeners, queue.normal(now_ns, self.learning), seconds);
            worst.add(unit, reading.finding(), (at, place, reading));
        }
        for (unit, finding, (at, place, reading)) in worst.into_each() {
            let ends = say::Ends { unit: &unit, place: place.as_ref(), port: at.port };
            let state =
                judge.judge(&unit, finding, Trust::Checked, || say::report(&ends, &reading, snapshot.window_ns));
            if let Some(queue) = self.queues.entry(unit, |_| ()) {
                queue.learn(now_ns, &reading, !state.is_normal());
            }
        }
    }
}

/// Both sources by port.
fn ports<'a>(queues: &'a [AcceptQueueView], host: &'a HostView) -> BTreeMap<ListeningPort, Known<'a>> {
    let mut ports = BTreeMap::new();
    let nothing = || Known { queue: None, listeners: Vec::new() };
    for queue in queues {
        ports.entry(queue.at).or_insert_with(nothing).queue = Some(queue);
    }
    for namespace in &host.namespaces {
        for listener in &namespace.listeners {
            let at = ListeningPort { netns: namespace.netns, port: listener.last.address.port().into() };
            ports.entry(at).or_insert_with(nothing).listeners.push(listener);
        }
    }
    ports
}

/// The service that listens: who accepts knows best, then who opened the port.
fn whose(at: ListeningPort, known: &Known<'_>, owners: &Owners<'_>) -> (Subject, Option<Place>) {
    let of_queue = known.queue.map(AcceptQueueView::owner);
    let polled = known.listeners.iter().find_map(|listener| listener.last.owner.clone());
    let owner = match (of_queue, polled) {
        (Some(owner), _) if owners.get(owner.pid).is_some() => Some(owner),
        (of_queue, polled) => polled.or(of_queue),
    };
    let service = owner.as_ref().map_or_else(
        || Service { kind: Kind::Address, namespace: None, name: format!("port {}", at.port).into() },
        |owner| owners.service(owner),
    );
    let place = owner
        .map(|owner| owners.get(owner.pid).map_or_else(|| Place::from(&owner), crate::facts::owners::Known::place));
    (Subject::server(service, Some(at.port as u16)), place)
}

impl Default for Queue {
    fn default() -> Self {
        Self { wait_p95: Baseline::over(DEPTH), arrivals: Baseline::over(DEPTH) }
    }
}

impl Queue {
    fn normal(&self, now_ns: u64, learning: Learning) -> Normal {
        let of = |baseline: &Baseline| Some(baseline.normal(now_ns, learning)?.value);
        Normal { wait_p95: of(&self.wait_p95), arrivals_per_s: of(&self.arrivals) }
    }

    fn learn(&mut self, now_ns: u64, reading: &Reading, frozen: bool) {
        if let Some(wait) = reading.wait_p95 {
            self.wait_p95.take(now_ns, wait.max(LEAST), reading.accepted, frozen);
        }
        self.arrivals.take(now_ns, reading.arrivals_per_s.max(LEAST), reading.arrivals, frozen);
    }
}
