//! Q4: somebody does not read what is sent to it, and whoever sends cannot go on.
//!
//! A receiver that reads too slowly leaves no room in its window. The sender's kernel counts how long that held it up
//! (`tcpi_rwnd_limited`), and what it could not send yet waits in its buffer. A window that is merely too small for a fast
//! transfer holds up too: so what waits must need a second or more at the pace at which it goes.
//!
//! It raises when such connections are half a connection more than normal, on average over the window, and half as many
//! again. It is a `warn` when they are a fifth of the edge's connections; one of many is for who looks.
//!
//! Where it is blind: edges of which it is not known what is normal (streams without requests among them: a video, a log
//! that is followed); a receiver on this host whose sender is elsewhere; who it is, where several services share the
//! receiver's address.

use self::reading::Reading;
use crate::{
    evaluate::{Evaluator, Judge},
    facts::senders::Receiver,
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
mod reading;
mod say;

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "peer_not_reading",
    says: "somebody does not read what is sent to it, and the sender cannot go on",
    rule: Rule::USUAL,
    minds_changes: false,
};

/// Edges remembered, some 400 bytes each; of more the first ones.
const MAX_EDGES: usize = 8192;
/// Windows that normal is made of.
const DEPTH: usize = 60;
/// None is normal, and has no logarithm: normal is learned with a hundredth more.
const HUNDREDTH: f64 = 0.01;

/// An edge between services.
#[derive(Debug)]
struct Known {
    /// In this window.
    held: Held,
    rounds: u64,
    connections: u64,
    normal: Baseline,
}

/// What is held up on an edge, of all its connections.
#[derive(Clone, Debug, Default)]
struct Held {
    /// On average over the window.
    connections: f64,
    /// Microseconds with something to send, and of them held up by the receiver.
    busy_us: u64,
    limited_us: u64,
    queued_bytes: u64,
    acked_bytes_per_s: f64,
    segments: u64,
    retransmitted: u64,
    /// Connections that were held up.
    seen: u64,
    /// The one in which most waits.
    worst: Option<Worst>,
}

#[derive(Clone, Debug)]
struct Worst {
    queued_bytes: u32,
    /// Who does not read.
    reader: Place,
    receiver: Receiver,
    server_port: Option<u16>,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct PeerNotReading {
    learning: Learning,
    edges: Subjects<Known>,
}

impl PeerNotReading {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, edges: Subjects::up_to(MAX_EDGES) }
    }

    fn gather(&mut self, window: &Window<'_>) {
        self.edges.begin(window.at.monotonic_ns);
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Some(known) = self.edges.entry(Subject::of_edge(edge), Known::begin) else { continue };
            let views = [edge.client_view.as_ref().ok(), edge.server_view.as_ref().ok()];
            let most = |of: fn(&weir_engine::View) -> u64| views.into_iter().flatten().map(of).max().unwrap_or(0);
            known.rounds = known.rounds.saturating_add(most(|view| view.rounds));
            known.connections = known.connections.saturating_add(most(|view| view.open_connections));
        }
        for flow in window.flows() {
            if let Some(known) = self.edges.entry(Subject::of_edge(flow.edge), Known::begin) {
                known.held.add(flow);
            }
        }
    }
}

impl Evaluator for PeerNotReading {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.edges.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        // Where nothing was polled nobody is known to be well.
        if window.snapshot.host.namespaces.is_empty() {
            return;
        }
        self.gather(window);
        let (now_ns, window_ns) = (window.at.monotonic_ns, window.snapshot.window_ns);
        for (unit, known) in self.edges.seen_in_window() {
            let normal = known.normal.normal(now_ns, self.learning);
            // What is stored is rounded to a thousandth of itself.
            let normal = normal.map(|normal| normal.value - HUNDREDTH).map(|n| if n < HUNDREDTH { 0.0 } else { n });
            let reading = Reading { held: &known.held, connections: known.connections, normal };
            // Polled, not timed by the probes.
            let report = || say::report(unit, &reading, window_ns);
            let state = judge.judge(unit, reading.finding(), Trust::Unchecked, report);
            known.normal.take(now_ns, known.held.connections + HUNDREDTH, known.rounds, !state.is_normal());
        }
    }
}

impl Default for Known {
    fn default() -> Self {
        Self { held: Held::default(), rounds: 0, connections: 0, normal: Baseline::over(DEPTH) }
    }
}

impl Known {
    fn begin(&mut self) {
        (self.held, self.rounds, self.connections) = (Held::default(), 0, 0);
    }
}

#[cfg(test)]
mod tests;
