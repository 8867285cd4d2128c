//! E2: calls on an edge fail, by cause.
//!
//! A call is a connect, or a request on a connection. It fails when the connect is refused, times out, finds no route, is
//! reset or refused by the client's own host, or when the request gets no answer because the server (`broken`) or the caller
//! (`abandoned`) closes. What is no failure: a connect that its caller cancelled; one that found no local port (R1's); one
//! to an address of the other family, where the same client reached the same service by the first (happy eyeballs); a
//! connection that is opened and closed without a request; an idle connection that is reset.
//!
//! It raises when at least 2% of 20 calls or more fail with 95% confidence, and five do, or when of three connects or
//! more none succeeds. It is over below 0.5%. It pages when at least 20% fail, or no connect succeeds, and that has an
//! effect: what worked before is turned away, or less than half of the normal calls succeed.
//!
//! Where it is blind: requests that are given up before it is known how many normally are; a failing address among many that
//! work, where they are one service and it is under 2% of the calls; whoever is in the edge of all that is over the limit; an
//! answer that is an error, which only its reader knows.
//!
//! Requests without an answer count once it is known how many are normal for the edge (`tally.rs` says why); failed
//! connects count from the first.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use self::{
    say::Ends,
    tally::{Known, Reading, Tally},
};
use crate::{
    evaluate::{Evaluator, Judge},
    facts::callees::Callees,
    incident::alarm::Rule,
    learn::{
        baseline::{Baseline, Learning},
        proportion::MIN_EVENTS,
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
    name: "edge_errors",
    says: "calls on an edge fail: refused, timed out, unreachable, reset, broken, abandoned",
    rule: Rule::USUAL,
    // A restart that turns callers away is what they should hear of.
    minds_changes: false,
};

/// Edges remembered, less than a KiB each (`tests/allocations.rs`); of more the first ones.
pub(crate) const MAX_EDGES: usize = 8192;
/// Windows that normal is made of: the baseline's own limits see to it that it does not follow a fault.
const DEPTH: usize = 60;
/// Shares have no logarithm at nothing: one is learned with a hundredth more.
const HUNDREDTH: f64 = 0.01;

/// An edge between services, and what is remembered of it.
#[derive(Debug)]
struct Remembered {
    tally: Tally,
    worked: bool,
    address: Option<SocketAddr>,
    client_process: Option<Place>,
    goodput: Baseline,
    unanswered: Baseline,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct EdgeErrors {
    learning: Learning,
    edges: Subjects<Remembered>,
    callees: Callees,
}

impl EdgeErrors {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, edges: Subjects::up_to(MAX_EDGES), callees: Callees::default() }
    }

    /// Adds up what all instances of a service did.
    fn gather(&mut self, window: &Window<'_>) {
        let now_ns = window.at.monotonic_ns;
        self.callees.forget(now_ns);
        self.edges.begin(now_ns);
        let reached = Reached::of(&window.snapshot.edges);
        // What stands for many is nobody's in particular.
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let client = Service::of(&edge.client.identity);
            let server = self.callees.name(&client, &edge.server, now_ns);
            let unit = Subject::edge(client, server, edge.server.port);
            let Some(known) = self.edges.entry(unit, |known| known.tally = Tally::default()) else { continue };
            let before = known.tally.connects().hits;
            known.tally.add(edge, window.snapshot.window_ns, reached.excuses(edge));
            if window.snapshot.degradation.estimated() {
                known.tally.rounds_are_estimates();
            }
            // Where to look: at one that fails, rather than at one that does not.
            if known.address.is_none() || known.tally.connects().hits > before {
                known.address = edge.server.socket_address();
                known.client_process = edge.client.process.as_ref().ok().map(Place::of);
            }
        }
    }
}

impl Evaluator for EdgeErrors {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.edges.over_limit() + self.callees.forgotten()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        self.gather(window);
        let (now_ns, seconds) = (window.at.monotonic_ns, window.seconds());
        for (unit, edge) in self.edges.seen_in_window() {
            let [Some(client), Some(server)] = unit.services() else { continue };
            let reading = Reading::new(edge.tally, edge.known(now_ns, self.learning), seconds);
            let ends = Ends { client, client_process: edge.client_process.as_ref(), server, address: edge.address };
            // Connects are counted, not timed, and by another hook than rounds: they can be believed when rounds cannot, which
            // the tally has left out by itself.
            let state = judge.judge(unit, reading.finding(window.rules), Trust::Unchecked, || {
                say::report(&ends, &reading, window.snapshot.window_ns)
            });
            edge.learn(now_ns, seconds, !state.is_normal());
        }
    }
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            tally: Tally::default(),
            worked: false,
            address: None,
            client_process: None,
            goodput: Baseline::over(DEPTH),
            unanswered: Baseline::over(DEPTH),
        }
    }
}

impl Remembered {
    fn known(&self, now_ns: u64, learning: Learning) -> Known {
        let unanswered = self.unanswered.normal(now_ns, learning).map(|n| (n.value - HUNDREDTH).max(0.0));
        let goodput = self.goodput.normal(now_ns, learning).map(|n| n.value);
        Known { unanswered, goodput, worked: self.worked }
    }

    fn learn(&mut self, now_ns: u64, seconds: f64, frozen: bool) {
        let good = self.tally.good();
        self.worked |= good > 0;
        self.goodput.take(now_ns, good as f64 / seconds, good, frozen);
        if let Some(requests) = self.tally.requests().filter(|requests| requests.events >= MIN_EVENTS) {
            self.unanswered.take(now_ns, requests.share() + HUNDREDTH, requests.events, frozen);
        }
    }
}

/// Who reached what by which family of addresses: whoever tries both (RFC 8305) fails by one and means nothing by it.
#[derive(Default)]
struct Reached<'a>(BTreeSet<(u32, Option<u16>, bool, &'a str)>);

/// Which of two addresses of one service: the process, the port, the family, and the service or this host itself.
fn attempt(edge: &Edge) -> Option<(u32, Option<u16>, bool, &str)> {
    let address = edge.server.address?;
    let whose = if address.is_loopback() { "" } else { &*edge.server.identity.name };
    Some((edge.client.process.as_ref().ok()?.pid, edge.server.port, matches!(address, IpAddr::V6(_)), whose))
}

impl<'a> Reached<'a> {
    fn of(edges: &'a [Edge]) -> Self {
        // Nobody needs an excuse, as a rule.
        if !edges.iter().any(failed) {
            return Self::default();
        }
        let succeeded = |edge: &&Edge| edge.client_view.as_ref().is_ok_and(|view| view.connects.ok() > 0);
        Self(edges.iter().filter(succeeded).filter_map(attempt).collect())
    }

    fn excuses(&self, edge: &Edge) -> bool {
        let Some((pid, port, v6, whose)) = attempt(edge) else { return false };
        failed(edge) && self.0.contains(&(pid, port, !v6, whose))
    }
}

/// It only failed.
fn failed(edge: &Edge) -> bool {
    edge.client_view.as_ref().is_ok_and(|view| view.connects.ok() == 0 && view.failed_connects() > 0)
}

#[cfg(test)]
mod tests;
