//! R1: no local port is left for new connections to an address.
//!
//! A connection is told apart by both addresses and both ports, so a client has as many connections to one address and port
//! as `ip_local_port_range` has ports; one that is closed keeps its port for a minute (TIME_WAIT). When they are used up,
//! `connect` fails at once with EADDRNOTAVAIL: no packet leaves the host, and the server knows nothing of it.
//!
//! It raises when three connects of a window failed so: that is proof enough. With 80% or more of the range taken it is
//! critical; with less it is another fault, as a socket bound to an address that this host does not have fails alike
//! ("address not local"). It warns when 80% are taken before a connect has failed, twice of three windows. Sockets in
//! TIME_WAIT that the kernel uses again (`tcp_tw_reuse`, for loopback addresses by default) are not taken.
//!
//! Where it is blind: `bind` to port 0 before `connect` fails with EADDRINUSE, and is no connect; ports that other sockets
//! hold by `bind` are not counted; beyond 50,000 sockets of a namespace not all are.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use weir_abi::ConnectOutcome;

use self::reading::Reading;
use crate::{
    evaluate::{Evaluator, Judge},
    incident::alarm::Rule,
    report::contract::Place,
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};
use weir_engine::{Edge, HostView, PortUse, PortsPoll, Service};

mod reading;
mod say;

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "ports_exhausted",
    says: "no local port is left for new connections to an address",
    rule: Rule::USUAL,
    minds_changes: false,
};

/// Edges that are not plainly well, remembered so that they can be said to be well again.
const MAX_SUSPECTS: usize = 1024;

/// The evaluator.
#[derive(Debug, Default)]
pub(crate) struct PortsExhausted {
    suspects: BTreeSet<Subject>,
    over_limit: u64,
}

impl Evaluator for PortsExhausted {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.over_limit
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let ports = Ports::of(&window.snapshot.host);
        let mut readings: BTreeMap<Subject, Reading> = BTreeMap::new();
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Some((reading, server)) = read(edge, &ports) else { continue };
            // All is well with most edges: they take no name and no memory.
            if !reading.is_suspect() && self.suspects.is_empty() {
                continue;
            }
            let unit = Subject::edge(Service::of(&edge.client.identity), server, edge.server.port);
            match readings.get_mut(&unit) {
                Some(known) => known.add(reading),
                None => drop(readings.insert(unit, reading)),
            }
        }
        for (unit, reading) in readings {
            if !reading.is_suspect() && !self.suspects.contains(&unit) {
                continue;
            }
            let state = judge.judge(&unit, reading.finding(), Trust::Unchecked, || {
                say::report(&unit, &reading, window.snapshot.window_ns)
            });
            if state.is_normal() {
                self.suspects.remove(&unit);
            } else if self.suspects.len() < MAX_SUSPECTS || self.suspects.contains(&unit) {
                self.suspects.insert(unit);
            } else {
                self.over_limit += 1;
            }
        }
    }
}

/// What an edge's client did, and how many ports it has left; and who is called.
fn read(edge: &Edge, ports: &Ports<'_>) -> Option<(Reading, Service)> {
    let view = edge.client_view.as_ref().ok()?;
    let to = SocketAddr::from((edge.server.address?, edge.server.port?));
    let process = edge.client.process.as_ref().ok();
    let range = process.and_then(|process| ports.ranges.get(ports.namespaces.get(&process.pid)?)).copied();
    let of = |outcome: ConnectOutcome| view.connects[outcome];
    let reading = Reading {
        failed: of(ConnectOutcome::AddressNotAvailable),
        connected: of(ConnectOutcome::Ok),
        closed: view.closed,
        failed_there: view.failed_connects().saturating_sub(of(ConnectOutcome::AddressNotAvailable)),
        to,
        client: process.map(Place::of),
        available: range.map(PortsPoll::available),
        taken: range.and_then(|range| most_taken(range, to)),
    };
    Some((reading, Service::of(&edge.server.identity)))
}

/// Where most ports are taken towards an address: from there, and how many of them a connect cannot get.
fn most_taken(range: &PortsPoll, to: SocketAddr) -> Option<(PortUse, u32)> {
    let tuples = range.tuples.iter().filter(|tuple| tuple.remote == to);
    tuples.map(|tuple| (*tuple, range.taken(tuple))).max_by_key(|(_, taken)| *taken)
}

/// The local ports of each process.
struct Ports<'a> {
    namespaces: BTreeMap<u32, u32>,
    ranges: BTreeMap<u32, &'a PortsPoll>,
}

impl<'a> Ports<'a> {
    fn of(host: &'a HostView) -> Self {
        let namespaces = host.processes.iter().map(|process| (process.last.pid, process.last.netns)).collect();
        let ranges = host.namespaces.iter().filter_map(|namespace| Some((namespace.netns, namespace.ports.as_ref()?)));
        Self { namespaces, ranges: ranges.collect() }
    }
}

#[cfg(test)]
mod tests;
