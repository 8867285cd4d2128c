//! No local port is left for new connections to an address.
//!
//! A connection is identified by both addresses and both ports, so a client has as many connections to one address and port
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

use std::{collections::BTreeMap, net::SocketAddr};

use weir_abi::ConnectOutcome;

use self::reading::{Class, Reading};
use crate::signal::prelude::*;
use weir_engine::{HostView, PortUse, PortsPoll};

mod reading;
mod report;

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct PortsExhausted;

impl Detector for PortsExhausted {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Edges that are not plainly well at one time: nearly all are.
    const LIMIT: usize = 1024;
    const ONLY_SUSPECTS: bool = true;

    /// Nothing.
    type Memory = ();
    type Input<'f> = Reading<'f>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<()>) -> Inputs<'f, Reading<'f>> {
        let ports = Ports::of(&facts.snapshot.host);
        let pairs = facts.by_pair().into_iter();
        let readings = pairs.filter_map(|(subject, edges)| {
            let of_edges = edges.iter().filter_map(|edge| read(edge, &ports));
            Some((subject, of_edges.reduce(Reading::and)?))
        });
        readings.collect()
    }

    fn is_notable(reading: &Reading<'_>) -> bool {
        reading.is_suspect()
    }

    fn read<'f>(&self, reading: Reading<'f>, _: &mut (), _: &'f Facts<'f>) -> Option<Reading<'f>> {
        Some(reading)
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }
}

/// What an edge's client did, and how many ports it has left.
fn read<'f>(facts: &EdgeFacts<'f>, ports: &Ports<'_>) -> Option<Reading<'f>> {
    let (edge, view) = (facts.edge, facts.client()?);
    let to = SocketAddr::from((edge.server.address?, edge.server.port?));
    let process = edge.client.process.as_ref().ok();
    let range = process.and_then(|process| ports.ranges.get(ports.namespaces.get(&process.pid)?)).copied();
    let of = |outcome: ConnectOutcome| view.connects[outcome];
    Some(Reading {
        failed: of(ConnectOutcome::AddressNotAvailable),
        connected: of(ConnectOutcome::Ok),
        closed: view.closed,
        failed_there: view.failed_connects().saturating_sub(of(ConnectOutcome::AddressNotAvailable)),
        to,
        client: process,
        available: range.map(PortsPoll::available),
        taken: range.and_then(|range| most_taken(range, to)),
    })
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
