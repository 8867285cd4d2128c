//! Q3: requests lie in a server's sockets before anybody reads them.
//!
//! A server's time for a request is the wait in its receive queue, and the work after it. Where most of it is wait, and far
//! more than normal, whoever reads is the bottleneck, not the work: too few workers, an event loop that is blocked, a
//! processor that others have.
//!
//! It raises when the 95th percentile of the wait is at least 10 ms and five times what is normal, and half of the server's
//! time is wait; it is over below twice of normal. It pages where callers feel it: wait and work together have doubled.
//!
//! Where it is blind: before it is known what is normal; a server that was always so; requests that overlap on a connection
//! (HTTP/2, pipelines), of which only the first is timed; a server that reads at once and queues inside itself.

use std::net::SocketAddr;

use self::reading::Reading;
use crate::{
    evaluate::{Evaluator, Judge},
    facts::waits::Waits,
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
};
use weir_engine::{Edge, Service};

mod reading;
mod say;

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "receive_queue",
    says: "requests lie in a server's sockets before anybody reads them",
    rule: Rule::USUAL,
    // Callers of a server that is cold wait too, and should know why.
    minds_changes: false,
};

/// Servers remembered, some 900 bytes each; of more the first ones.
pub(crate) const MAX_SERVERS: usize = 4096;
/// Windows that normal is made of.
const DEPTH: usize = 60;
/// What takes no time has no logarithm.
const LEAST_S: f64 = 1e-6;

/// What is normal for a server, in seconds and rounds a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normal {
    wait_p95: f64,
    work: f64,
    total: f64,
    rate: f64,
}

#[derive(Debug)]
struct Server {
    times: Waits,
    /// Of the edge whose requests waited most in this window, and for how long.
    address: Option<SocketAddr>,
    process: Option<Place>,
    most_ns: u64,
    wait_p95: Baseline,
    work: Baseline,
    total: Baseline,
    rate: Baseline,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct ReceiveQueue {
    learning: Learning,
    servers: Subjects<Server>,
}

impl ReceiveQueue {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, servers: Subjects::up_to(MAX_SERVERS) }
    }

    /// Adds up what all of a server's sockets saw.
    fn gather(&mut self, window: &Window<'_>) {
        self.servers.begin(window.at.monotonic_ns);
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Ok(view) = &edge.server_view else { continue };
            let unit = Subject::server(Service::of(&edge.server.identity), edge.server.port);
            let anew = |server: &mut Server| (server.times, server.most_ns) = (Waits::default(), 0);
            let Some(server) = self.servers.entry(unit, anew) else { continue };
            if !Waits::mislead(view, window.snapshot.window_ns) {
                server.times.add(view);
            }
            server.where_to_look(edge, view.receive_queue_wait.sum_ns);
        }
    }
}

impl Evaluator for ReceiveQueue {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.servers.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        // Arrivals that were not timed all the window would mislead.
        if !window.snapshot.degradation.times_queue_wait() {
            return;
        }
        self.gather(window);
        let (now_ns, seconds) = (window.at.monotonic_ns, window.seconds());
        for (unit, server) in self.servers.seen_in_window() {
            let Some(reading) = Reading::new(&server.times, server.normal(now_ns, self.learning), seconds) else {
                continue;
            };
            let ends = say::Ends { unit, process: server.process.as_ref(), address: server.address };
            // What cannot be believed was left out of the times.
            let state = judge.judge(unit, reading.finding(window.rules), Trust::Checked, || {
                say::report(&ends, &reading, window.snapshot.window_ns)
            });
            server.learn(now_ns, &reading, !state.is_normal());
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        let baseline = || Baseline::over(DEPTH);
        Self {
            times: Waits::default(),
            address: None,
            process: None,
            most_ns: 0,
            wait_p95: baseline(),
            work: baseline(),
            total: baseline(),
            rate: baseline(),
        }
    }
}

impl Server {
    /// At whom most of the waiting was for.
    fn where_to_look(&mut self, edge: &Edge, waited_ns: u64) {
        if waited_ns < self.most_ns {
            return;
        }
        self.most_ns = waited_ns;
        self.address = edge.server.socket_address().or(self.address);
        if let Some(busiest) = edge.server_processes.iter().max_by_key(|share| share.rounds) {
            self.process = Some(Place::of(&busiest.process));
        }
    }

    fn normal(&self, now_ns: u64, learning: Learning) -> Option<Normal> {
        let of = |baseline: &Baseline| Some(baseline.normal(now_ns, learning)?.value);
        Some(Normal {
            wait_p95: of(&self.wait_p95)?,
            work: of(&self.work)?,
            total: of(&self.total)?,
            rate: of(&self.rate)?,
        })
    }

    fn learn(&mut self, now_ns: u64, reading: &Reading, frozen: bool) {
        let Reading { rounds, wait_p95, wait, work, rate, .. } = *reading;
        let values = [
            (&mut self.wait_p95, wait_p95),
            (&mut self.work, work),
            (&mut self.total, wait + work),
            (&mut self.rate, rate),
        ];
        for (baseline, value) in values {
            baseline.take(now_ns, value.max(LEAST_S), rounds, frozen);
        }
    }
}

#[cfg(test)]
mod tests;
