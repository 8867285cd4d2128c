//! Edges between services: what their instances' edges come to.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    edge::view::View,
    identity::Service,
    snapshot::{Absent, Edge, End, ServerProcess, Snapshot},
};

/// Translated addresses listed a service.
const MAX_BACKENDS: usize = 64;

/// What makes two edges one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    is_other: bool,
    client: Service,
    server: Service,
    port: Option<u16>,
    /// The two buckets for what is beyond the limits stay two.
    other_of_clients_here: bool,
}

impl Key {
    fn of(edge: &Edge) -> Self {
        let Edge { client, server, is_other, .. } = edge;
        Self {
            is_other: *is_other,
            client: client.identity.service(),
            server: server.identity.service(),
            port: server.port,
            other_of_clients_here: *is_other && edge.client_view.is_ok(),
        }
    }
}

impl Snapshot {
    /// The same with the edges that are wanted.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&Edge) -> bool) -> Self {
        self.edges.retain(wanted);
        self
    }

    /// The same with edges between services instead of processes and addresses, of what is wanted.
    #[must_use]
    pub fn by_service(mut self, wanted: impl Fn(&Edge) -> bool) -> Self {
        let mut services: BTreeMap<Key, Option<Edge>> = BTreeMap::new();
        for edge in std::mem::take(&mut self.edges) {
            let sum = services.entry(Key::of(&edge)).or_default();
            match sum {
                _ if !wanted(&edge) => {}
                Some(sum) => sum.merge(edge),
                None => *sum = Some(edge),
            }
        }
        self.edges_total = services.len();
        self.edges = services.into_values().flatten().collect();
        for edge in &mut self.edges {
            busiest_first(&mut edge.server_processes);
        }
        self
    }
}

impl Edge {
    /// Adds what another edge between the same services, or of the same bucket, has counted.
    pub fn merge(&mut self, edge: Self) {
        self.unpaired_view = merged(unpaired(self), unpaired(&edge));
        let Edge { client, server, server_processes, client_view, server_view, unpaired_view: _, last_failure, .. } =
            edge;
        merge_end(&mut self.client, client);
        merge_end(&mut self.server, server);
        merge_processes(&mut self.server_processes, server_processes);
        merge_view(&mut self.client_view, client_view);
        merge_view(&mut self.server_view, server_view);
        // Where no client view came of it, the server's is all there is, and needs no second copy.
        if self.client_view.is_err() {
            self.unpaired_view = None;
        }
        let latest = [self.last_failure, last_failure].into_iter().flatten().min_by_key(|failure| failure.ago_ns);
        self.last_failure = latest;
    }
}

/// What only the server's sockets counted.
fn unpaired(edge: &Edge) -> Option<View> {
    match (&edge.client_view, &edge.server_view) {
        (Err(_), Ok(view)) => Some(view.clone()),
        _ => edge.unpaired_view.clone(),
    }
}

fn merged(a: Option<View>, b: Option<View>) -> Option<View> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            a.merge(&b);
            Some(a)
        }
        (a, b) => a.or(b),
    }
}

fn merge_view(sum: &mut Result<View, Absent>, view: Result<View, Absent>) {
    match (sum, view) {
        (Ok(sum), Ok(view)) => sum.merge(&view),
        (sum @ Err(_), Ok(view)) => *sum = Ok(view),
        (_, Err(_)) => {}
    }
}

fn merge_end(sum: &mut End, end: End) {
    let End { identity, unknown, pids, process, address, port: _, backends } = end;
    if *sum.identity != *identity {
        sum.identity = Arc::new(sum.identity.in_common(&identity));
    }
    sum.unknown = sum.unknown.take().filter(|reason| unknown.as_ref() == Some(reason));
    for pid in pids {
        if let Err(place) = sum.pids.binary_search(&pid) {
            sum.pids.insert(place, pid);
        }
    }
    if sum.process != process {
        sum.process = Err(Absent::Several);
    }
    sum.address = sum.address.filter(|known| address.as_ref() == Some(known));
    for backend in backends {
        if sum.backends.len() < MAX_BACKENDS && !sum.backends.contains(&backend) {
            sum.backends.push(backend);
        }
    }
}

fn merge_processes(sum: &mut Vec<ServerProcess>, more: Vec<ServerProcess>) {
    for share in more {
        match sum.iter_mut().find(|known| known.process == share.process) {
            Some(known) => {
                known.accepted = known.accepted.wrapping_add(share.accepted);
                known.open_connections = known.open_connections.wrapping_add(share.open_connections);
                known.rounds = known.rounds.wrapping_add(share.rounds);
            }
            None => sum.push(share),
        }
    }
}

pub(crate) fn busiest_first(shares: &mut [ServerProcess]) {
    shares.sort_by(|a, b| (b.rounds, b.accepted, a.process.pid).cmp(&(a.rounds, a.accepted, b.process.pid)));
}
