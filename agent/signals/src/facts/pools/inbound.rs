//! What callers ask of each process of this host.

use std::collections::BTreeMap;

use crate::facts::edges::EdgeFacts;
use weir_engine::{Distribution, Edge, ServerProcess, View};

/// Requests that one process has from its callers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbound {
    /// Time integral of those whose answer had not begun, nanoseconds.
    in_flight_ns: f64,
    /// And of those whose had.
    answering_ns: f64,
    /// Read and not answered, now.
    pub(crate) in_flight: u64,
    /// Answered in the window.
    pub(crate) rounds: u64,
    /// Connections that they are made on: on each one at a time.
    pub(crate) connections: u64,
    /// Given up by their callers.
    pub(crate) abandoned: u64,
    /// Request read to answer begun.
    latency: Distribution,
}

impl Inbound {
    /// Mean number of requests whose answer had not begun.
    pub(crate) fn concurrency(&self, window_ns: u64) -> f64 {
        self.in_flight_ns / window_ns.max(1) as f64
    }

    /// Mean number of those that were being answered: their callers read, and may take their time.
    pub(crate) fn answering(&self, window_ns: u64) -> f64 {
        self.answering_ns / window_ns.max(1) as f64
    }

    /// How long they took, seconds.
    pub(crate) fn usual_s(&self) -> Option<f64> {
        self.latency.usual_s()
    }

    fn add(&mut self, view: &View, share: f64, window_ns: u64) {
        let part = |n: u64| (n as f64 * share).round() as u64;
        self.in_flight_ns += view.in_flight_ns as f64 * share;
        self.answering_ns += view.answering_ns(window_ns) as f64 * share;
        self.in_flight = self.in_flight.saturating_add(part(view.in_flight));
        self.rounds = self.rounds.saturating_add(part(view.rounds));
        // At the server's end a caller that leaves has broken its request off.
        self.abandoned = self.abandoned.saturating_add(part(view.broken));
        self.latency.merge(&view.latency);
    }
}

/// Of every process that `wanted` names and that has callers. None of one whose requests overlap on a connection (HTTP/2), or
/// whose times contradict its counts: how many it has under work is not known.
pub(super) fn of(
    edges: &[EdgeFacts<'_>],
    window_ns: u64,
    wanted: impl Fn(u32) -> bool,
) -> BTreeMap<u32, Option<Inbound>> {
    let mut processes: BTreeMap<u32, Option<Inbound>> = BTreeMap::new();
    for facts in edges {
        let Some(view) = facts.server() else { continue };
        for (process, share) in shares(facts.edge, view).filter(|(process, _)| wanted(process.process.pid)) {
            let entry = processes.entry(process.process.pid).or_insert_with(|| Some(Inbound::default()));
            if facts.server_requests().is_none() {
                *entry = None;
            }
            if let Some(inbound) = entry {
                inbound.add(view, share, window_ns);
                inbound.connections = inbound.connections.saturating_add(process.open_connections);
            }
        }
    }
    processes
}

/// Which part of an edge's requests each of its processes served. One that has answered none in the window may hold some: then
/// by connections.
fn shares<'a>(edge: &'a Edge, view: &'a View) -> impl Iterator<Item = (&'a ServerProcess, f64)> + 'a {
    let connections = edge.server_processes.iter().map(|share| share.open_connections).fold(0, u64::saturating_add);
    let count = edge.server_processes.len().max(1) as f64;
    edge.server_processes.iter().map(move |share| {
        let part = if view.rounds > 0 {
            share.rounds as f64 / view.rounds as f64
        } else if connections > 0 {
            share.open_connections as f64 / connections as f64
        } else {
            1.0 / count
        };
        (share, part.min(1.0))
    })
}
