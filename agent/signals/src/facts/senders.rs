//! Connections that have more to send than they may, and the edges that they are of.
//!
//! What is polled knows a connection by its addresses. An edge is found by them: the server's address and port, as dialled
//! or as it is, and the client's address. Where several clients share an address it is one of those that moved at least what
//! the connection did, and of these the one that moved least: who is held up moves little.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::report::contract::Place;
use weir_engine::{Edge, SenderView, Snapshot, View};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow<'a> {
    pub(crate) edge: &'a Edge,
    pub(crate) sender: &'a SenderView,
    pub(crate) receiver: Receiver,
}

/// Which end it sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    Client,
    Server,
}

impl Flow<'_> {
    /// Where the receiver is to be found.
    pub(crate) fn place(&self) -> Place {
        let process = match self.receiver {
            Receiver::Client => self.edge.client.process.as_ref().ok(),
            Receiver::Server => self.edge.server_processes.iter().max_by_key(|s| s.rounds).map(|s| &s.process),
        };
        process.map_or(Place::Address(self.sender.last.remote), Place::of)
    }
}

/// Of those that several polls saw, each with its edge.
pub(crate) fn flows(snapshot: &Snapshot) -> Vec<Flow<'_>> {
    let namespaces = snapshot.host.namespaces.iter();
    let senders = namespaces.flat_map(|namespace| namespace.senders.iter().map(|sender| (namespace.netns, sender)));
    let mut senders = senders.filter(|(_, sender)| sender.over_ns > 0).peekable();
    if senders.peek().is_none() {
        return Vec::new();
    }
    let edges = Edges::of(snapshot);
    senders.filter_map(|(netns, sender)| edges.flow(netns, sender)).collect()
}

/// Edges by the server's address and port, and the client's address.
struct Edges<'a> {
    by_address: BTreeMap<(SocketAddr, IpAddr), Vec<&'a Edge>>,
    /// The network namespaces of processes.
    netns: BTreeMap<u32, u32>,
}

impl<'a> Edges<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let mut by_address: BTreeMap<_, Vec<&Edge>> = BTreeMap::new();
        for edge in snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Some(client) = edge.client.address else { continue };
            for server in edge.server.socket_address().iter().chain(&edge.server.backends) {
                by_address.entry((*server, client)).or_default().push(edge);
            }
        }
        let processes = snapshot.host.processes.iter();
        Self { by_address, netns: processes.map(|process| (process.last.pid, process.last.netns)).collect() }
    }

    fn flow(&self, netns: u32, sender: &'a SenderView) -> Option<Flow<'a>> {
        let (local, remote) = (sender.last.local, sender.last.remote);
        let served = self.between(netns, local, remote.ip(), Receiver::Client, sender);
        let (edge, receiver) = served.map(|edge| (edge, Receiver::Client)).or_else(|| {
            let called = self.between(netns, remote, local.ip(), Receiver::Server, sender);
            called.map(|edge| (edge, Receiver::Server))
        })?;
        Some(Flow { edge, sender, receiver })
    }

    fn between(
        &self,
        netns: u32,
        server: SocketAddr,
        client: IpAddr,
        receiver: Receiver,
        sender: &SenderView,
    ) -> Option<&'a Edge> {
        let edges = self.by_address.get(&(server, client))?.iter().copied();
        // The same addresses may be in several namespaces.
        let sends_from_there = |edge: &&Edge| {
            let sender = if receiver == Receiver::Client { &edge.server } else { &edge.client };
            let known = sender.process.as_ref().ok().and_then(|process| self.netns.get(&process.pid));
            known.is_none_or(|known| *known == netns)
        };
        // Polled and counted at different moments.
        let too_little = |edge: &Edge| moved(edge) < sender.acked_bytes / 2;
        edges.filter(sends_from_there).min_by_key(|edge| (too_little(edge), moved(edge)))
    }
}

fn moved(edge: &Edge) -> u64 {
    let of = |view: &View| view.bytes_sent.saturating_add(view.bytes_received);
    edge.client_view.as_ref().map_or(0, of).max(edge.server_view.as_ref().map_or(0, of))
}
