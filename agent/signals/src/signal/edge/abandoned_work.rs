//! E3: a server goes on working for callers that have left.
//!
//! A caller that gives up closes its connection, and the server, which reads nothing while it works, does not know. Its work
//! is for nobody, and those who still wait have to wait for it: the more callers give up, the less is left for the others.
//!
//! What the server's end counts (`ebpf/src/connection/close.rs`): a round is **broken** when the connection ends with it open and the
//! caller was the first to close: at once by a reset; after a FIN only when the server closes without an answer. If the
//! server answers after the FIN, the kernel takes the answer, and the round counts as answered; the caller's host meets it
//! with a **reset**, as the socket is gone. A caller that has shut down its sending side alone takes the answer and
//! resets nothing: it has not left.
//!
//! So those who left are the broken rounds, and the answers that met a reset. Neither is proof: a good-bye (PostgreSQL's
//! Terminate, TLS's close_notify) is a round without an answer too, and idle connections are reset. `tally.rs` tells them
//! apart by how long they took, and where the caller is on this host, by what it gave up itself.
//!
//! It warns when at least 5% of 20 rounds or more that came to an end were for nobody, with 95% confidence and five of
//! them or more, and twice as many as normal for this server; it is over below half of that. It never pages: that callers
//! give up is `edge_errors`.
//!
//! Where it is blind: before it is known what is normal; requests that overlap on a connection (HTTP/2); callers on other
//! hosts that give up on answers which are no later than normal, or of which a proxy between reads the answer; what a server
//! does after a reset, which cannot be seen; work that goes on behind the server.

use std::net::SocketAddr;

use self::tally::{Reading, Tally};
use crate::{
    evaluate::{Evaluator, Judge},
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

mod say;
mod tally;

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "abandoned_work",
    says: "a server goes on working for callers that have left",
    rule: Rule::USUAL,
    // Of a server that is cold callers leave too.
    minds_changes: false,
};

/// Servers remembered, some 600 bytes each; of more the first ones.
const MAX_SERVERS: usize = 4096;
/// Windows that normal is made of.
const DEPTH: usize = 60;
/// Shares have no logarithm at nothing: one is learned with a hundredth more.
const HUNDREDTH: f64 = 0.01;
/// What takes no time has none either.
const LEAST_S: f64 = 1e-6;

/// What is normal for a server: the share of its rounds whose caller leaves, and the time that an answer takes, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normal {
    share: f64,
    work: f64,
}

#[derive(Debug)]
struct Server {
    tally: Tally,
    /// Of the edge that most callers left in this window, and how many.
    address: Option<SocketAddr>,
    process: Option<Place>,
    caller: Option<Service>,
    most: u64,
    share: Baseline,
    work: Baseline,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct AbandonedWork {
    learning: Learning,
    servers: Subjects<Server>,
}

impl AbandonedWork {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, servers: Subjects::up_to(MAX_SERVERS) }
    }

    /// Adds up what became of all rounds of a server.
    fn gather(&mut self, window: &Window<'_>) {
        self.servers.begin(window.at.monotonic_ns);
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Ok(view) = &edge.server_view else { continue };
            if view.overlaps() || Trust::of(view, window.snapshot.window_ns) == Trust::Low {
                continue;
            }
            let unit = Subject::server(Service::of(&edge.server.identity), edge.server.port);
            let anew = |server: &mut Server| (server.tally, server.most) = (Tally::default(), 0);
            let Some(server) = self.servers.entry(unit, anew) else { continue };
            let left = server.tally.add(view, edge.client_view.as_ref().ok());
            server.where_to_look(edge, left);
        }
    }
}

impl Evaluator for AbandonedWork {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.servers.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        // Rounds of a sample of sockets, and resets of all.
        if window.snapshot.degradation.estimated() {
            return;
        }
        self.gather(window);
        let (now_ns, seconds) = (window.at.monotonic_ns, window.seconds());
        for (unit, server) in self.servers.seen_in_window() {
            let reading = Reading::new(&server.tally, server.normal(now_ns, self.learning), seconds);
            let ends = say::Ends {
                unit,
                process: server.process.as_ref(),
                address: server.address,
                caller: server.caller.as_ref(),
            };
            // What cannot be believed was left out of the tally.
            let state = judge.judge(unit, reading.finding(), Trust::Checked, || {
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
            tally: Tally::default(),
            address: None,
            process: None,
            caller: None,
            most: 0,
            share: baseline(),
            work: baseline(),
        }
    }
}

impl Server {
    /// At whom most callers left.
    fn where_to_look(&mut self, edge: &Edge, left: u64) {
        if left < self.most {
            return;
        }
        self.most = left;
        self.address = edge.server.socket_address().or(self.address);
        self.caller = (left > 0).then(|| Service::of(&edge.client.identity));
        if let Some(busiest) = edge.server_processes.iter().max_by_key(|share| share.rounds) {
            self.process = Some(Place::of(&busiest.process));
        }
    }

    fn normal(&self, now_ns: u64, learning: Learning) -> Option<Normal> {
        let of = |baseline: &Baseline| Some(baseline.normal(now_ns, learning)?.value);
        // What a logarithm in steps leaves of nothing is nothing.
        let share = of(&self.share)? - HUNDREDTH;
        let share = if share < HUNDREDTH / 10.0 { 0.0 } else { share };
        Some(Normal { share, work: of(&self.work)? })
    }

    fn learn(&mut self, now_ns: u64, reading: &Reading, frozen: bool) {
        let Some(ended) = reading.closed_on.gated().map(|closed_on| closed_on.events) else { return };
        self.share.take(now_ns, reading.closed_on.share() + HUNDREDTH, ended, frozen);
        if let Some(work) = reading.work {
            self.work.take(now_ns, work.max(LEAST_S), ended, frozen);
        }
    }
}

#[cfg(test)]
mod tests;
