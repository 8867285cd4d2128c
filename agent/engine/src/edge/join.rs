//! From records to edges: the two ends of a connection on this host become one edge with two views.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use weir_abi::{
    ConnectFailed, ConnectOutcome, EdgeKey, EdgeRecord, FIRST_SLOT, OTHER_CLIENT, OTHER_SERVER_LOCAL, ROLE_SERVER,
};

use crate::{
    edge::{
        ends::{address, process},
        service::busiest_first,
        view::View,
    },
    identity::{Identity, Kind},
    snapshot::{Absent, Edge, End, Failure, Process, ServerProcess},
    state::{
        compact::{Compact, Header},
        fold::{self, Between, FoldKey, Folded, Side},
        names::{Dialled, Names, other_identity},
    },
    window::Span,
};

/// One record at both ends of the window. Its view is made when the edge is: all views at once would double the memory
/// of a snapshot.
pub(crate) struct Reading<'a> {
    slot: u32,
    before: Option<&'a Compact>,
    after: &'a Compact,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(slot: u32, before: Option<&'a Compact>, after: &'a Compact) -> Self {
        // A slot that was reused within the window starts from nothing.
        let same = |b: &&Compact| {
            b.header.key == after.header.key && b.header.process_start_ns == after.header.process_start_ns
        };
        Self { slot, before: before.filter(same), after }
    }

    fn header(&self) -> &'a Header {
        &self.after.header
    }

    fn view(&self, span: &Span) -> View {
        self.view_of(span, |record| record)
    }

    fn view_of(&self, span: &Span, part: fn(EdgeRecord) -> EdgeRecord) -> View {
        let before = self.before.map_or(EdgeRecord::EMPTY, Compact::record);
        View::between(&part(before), &part(self.after.record()), span.from_ns, span.to_ns)
    }

    /// With its view; none when nothing happened.
    fn with_view(self, span: &Span) -> Option<(Self, View)> {
        let view = self.view(span);
        (!view.is_silent()).then_some((self, view))
    }
}

/// All that edges are made of.
pub(crate) struct Sources<'a> {
    pub(crate) readings: Vec<Reading<'a>>,
    /// Retired edges at the window's beginning and now.
    pub(crate) folded: (&'a Folded, &'a Folded),
    pub(crate) names: &'a Names,
    pub(crate) failures: &'a BTreeMap<EdgeKey, ConnectFailed>,
    pub(crate) span: Span,
}

/// The edges of the window, silent ones left out, ordered by client, then server.
pub(crate) fn edges(sources: Sources<'_>) -> Vec<Edge> {
    let Sources { readings, folded, names, failures, span } = sources;
    let mut clients = Vec::new();
    let mut local_servers: BTreeMap<Dialled, Vec<Reading<'_>>> = BTreeMap::new();
    let mut edges = Vec::new();
    let mut others = Vec::new();
    for reading in readings {
        let header = reading.header();
        if reading.slot < FIRST_SLOT {
            others.push(reading);
        } else if header.key.role != ROLE_SERVER {
            clients.push(reading);
        } else if let Some(dialled) = Dialled::by(header) {
            local_servers.entry(dialled).or_default().push(reading);
        } else {
            edges.extend(reading.with_view(&span).map(|both| served(both, names)));
        }
    }
    for client in clients {
        let header = client.header();
        let servers = Dialled::by(header).and_then(|dialled| local_servers.remove(&dialled)).unwrap_or_default();
        let failure = failures.get(&header.key).filter(|f| f.at_ns >= span.from_ns).map(|f| failure_of(f, &span));
        let ended = ended_behind(client.slot, folded, &span);
        let reached = fold::reached_in(client.slot, header, names, folded);
        let call = Call { client, servers, ended, failure };
        if reached.len() > 1 {
            edges.extend(shared(call, names, &span));
        } else {
            edges.extend(called(call, reached.first(), names, &span));
        }
    }
    // Servers whose client's edge is gone (retired, or beyond the limit) still have a view of their own.
    let alone = local_servers.into_values().flatten().filter_map(|server| server.with_view(&span));
    edges.extend(alone.map(|both| served(both, names)));
    edges.extend(retired(folded, &span));
    edges.extend(other(&others, &span));
    edges.sort_by_cached_key(|edge| (edge.is_other, order(&edge.client), order(&edge.server)));
    edges
}

fn order(end: &End) -> (Option<Process>, Arc<Identity>, Option<std::net::IpAddr>, Option<u16>) {
    (end.process.clone().ok(), Arc::clone(&end.identity), end.address, end.port)
}

/// A client's record, and all that was found behind the address that it dialled.
struct Call<'a> {
    client: Reading<'a>,
    servers: Vec<Reading<'a>>,
    /// Of processes that have ended.
    ended: Vec<(Arc<Identity>, View)>,
    failure: Option<Failure>,
}

fn ended_behind(slot: u32, folded: (&Folded, &Folded), span: &Span) -> Vec<(Arc<Identity>, View)> {
    let sums = fold::behind(slot, folded.1);
    sums.map(|(server, key)| (Arc::clone(server), fold::view(key, folded, span))).collect()
}

/// An edge whose client is here, with all local processes that serve it; none when all were silent.
fn called(call: Call<'_>, reached: Option<&Arc<Identity>>, names: &Names, span: &Span) -> Option<Edge> {
    let Call { client, servers, ended, failure } = call;
    let client_view = client.view(span);
    let mut silent = client_view.is_silent();
    let mut shares = Vec::with_capacity(servers.len());
    let mut server_view: Option<View> = None;
    let mut serves = |view: View| {
        silent &= view.is_silent();
        match &mut server_view {
            Some(sum) => sum.merge(&view),
            None => server_view = Some(view),
        }
    };
    for server in &servers {
        let view = server.view(span);
        shares.push(share(server.header(), &view));
        serves(view);
    }
    ended.into_iter().for_each(|(_, view)| serves(view));
    if silent {
        return None;
    }
    busiest_first(&mut shares);
    let mut server = far_end(&client, names);
    if let Some(reached) = reached {
        server.identity = asked_for(reached, &server.identity);
        server.unknown = None;
        server.process = shares.first().map(|s| s.process.clone()).ok_or(Absent::Ended);
        server.pids = shares.iter().map(|s| s.process.pid).collect();
        server.pids.sort_unstable();
    }
    for address in servers.iter().filter_map(|server| behind(server.header())) {
        if !server.backends.contains(&address) {
            server.backends.push(address);
        }
    }
    let server_view = server_view.ok_or(Absent::NotOnThisHost);
    Some(Edge {
        server_processes: shares,
        last_failure: failure,
        ..Edge::new(own_end(&client, names), server, Ok(client_view), server_view)
    })
}

/// Edges of a client that found several services behind one address: only the servers' records separate them. What no
/// server counted, failures, belongs to the address.
fn shared(call: Call<'_>, names: &Names, span: &Span) -> Vec<Edge> {
    let Call { client, servers, ended, failure } = call;
    let live = servers.into_iter().filter_map(|server| server.with_view(span)).map(|both| Edge {
        client: own_end(&client, names),
        client_view: Err(Absent::Shared),
        ..served(both, names)
    });
    let ended = ended.into_iter().filter(|(_, view)| !view.is_silent()).map(|(identity, view)| {
        let place = far_end(&client, names);
        let server = End { address: place.address, port: place.port, ..End::elsewhere(identity, Absent::Ended) };
        Edge::new(own_end(&client, names), server, Err(Absent::Shared), Ok(view))
    });
    let mut edges: Vec<Edge> = live.chain(ended).collect();
    let failures = client.view_of(span, |record| fold::failures(&record));
    if !failures.is_silent() {
        let mut server = far_end(&client, names);
        server.unknown = Some(Arc::from(Absent::Shared.reason()));
        let edge = Edge::new(own_end(&client, names), server, Ok(failures), Err(Absent::Shared));
        edges.push(Edge { last_failure: failure, ..edge });
    }
    edges
}

/// A service that the client found by a host name keeps that name beside its own.
fn asked_for(reached: &Arc<Identity>, far: &Identity) -> Arc<Identity> {
    match &far.dns_name {
        Some(name) => Arc::new(Identity { dns_name: Some(Arc::clone(name)), ..(**reached).clone() }),
        None => Arc::clone(reached),
    }
}

/// The end that a client's record belongs to.
fn own_end(client: &Reading<'_>, names: &Names) -> End {
    let header = client.header();
    End { address: Some(address(header.local_address)), ..End::of_process(names.own(client.slot), process(header)) }
}

/// The end that a client's record dialled.
fn far_end(client: &Reading<'_>, names: &Names) -> End {
    let key = &client.header().key;
    let (identity, unknown) = names.far(client.slot);
    End {
        unknown,
        address: Some(address(key.address)),
        port: Some(key.port),
        backends: names.backends(client.slot).to_vec(),
        ..End::elsewhere(identity, Absent::NotOnThisHost)
    }
}

/// The server's own address, where it is not the one that was dialled.
fn behind(header: &Header) -> Option<SocketAddr> {
    let own = SocketAddr::new(address(header.local_address), header.key.listen_port);
    (own != SocketAddr::new(address(header.key.address), header.key.port)).then_some(own)
}

/// An edge seen from its server alone.
fn served((server, view): (Reading<'_>, View), names: &Names) -> Edge {
    let header = server.header();
    let key = &header.key;
    let here = key.peer_tgid != 0;
    let (identity, unknown) = names.client(server.slot, header);
    let mut own = End::of_process(names.own(server.slot), process(header));
    own.address = Some(address(if here { key.address } else { header.local_address }));
    own.port = Some(key.listen_port);
    own.backends = behind(header).filter(|_| here).into_iter().collect();
    let client = End {
        unknown,
        address: (!here).then(|| address(key.address)),
        ..End::elsewhere(identity, if here { Absent::Ended } else { Absent::NotOnThisHost })
    };
    // What a client of this host counted is with its retired edge.
    let counted = here && !names.is_alone(server.slot);
    let client_view = if counted { Ok(View::nothing()) } else { Err(Absent::NotOnThisHost) };
    Edge { server_processes: vec![share(header, &view)], ..Edge::new(client, own, client_view, Ok(view)) }
}

/// What retired edges did in the window.
fn retired(folded: (&Folded, &Folded), span: &Span) -> Vec<Edge> {
    let mut edges: BTreeMap<(&Between, Option<Absent>), Edge> = BTreeMap::new();
    for key in folded.1.keys() {
        let FoldKey::Between(between, side) = &**key else { continue };
        let view = fold::view(key, folded, span);
        if view.is_silent() {
            continue;
        }
        // Why there is no client's view, where there is none.
        let alone = match side {
            Side::Client | Side::Server => None,
            Side::ServerAlone => Some(Absent::Shared),
            Side::ServerOfRemote => Some(Absent::NotOnThisHost),
        };
        let edge = edges.entry((between, alone)).or_insert_with(|| ended(between, alone));
        match side {
            Side::Client => edge.client_view = Ok(view),
            Side::Server | Side::ServerAlone | Side::ServerOfRemote => edge.server_view = Ok(view),
        }
    }
    edges.into_values().collect()
}

fn ended(between: &Between, alone: Option<Absent>) -> Edge {
    let Between { client, server, client_address, server_address, port } = between;
    let absent = alone.filter(|absent| *absent == Absent::NotOnThisHost).unwrap_or(Absent::Ended);
    let is_other = client.kind == Kind::Other;
    let client = End { address: *client_address, ..End::elsewhere(Arc::clone(client), absent) };
    let server = End { address: *server_address, port: *port, ..End::elsewhere(Arc::clone(server), Absent::Ended) };
    let client_view = alone.map_or_else(|| Ok(View::nothing()), Err);
    Edge { is_other, ..Edge::new(client, server, client_view, Err(Absent::NotOnThisHost)) }
}

/// What lies beyond the limits: the edges whose client is here as one, those whose client is elsewhere as another.
fn other(readings: &[Reading<'_>], span: &Span) -> Vec<Edge> {
    let (mut client, mut local, mut remote) = (None, None, None);
    for (slot, view) in readings.iter().map(|r| (r.slot, r.view(span))).filter(|(_, view)| !view.is_silent()) {
        *match slot {
            OTHER_CLIENT => &mut client,
            OTHER_SERVER_LOCAL => &mut local,
            _ => &mut remote,
        } = Some(view);
    }
    // Servers here whose clients all have edges of their own: the connections are counted there.
    let from_here = (client.is_some() || local.is_some())
        .then(|| other_edge(Ok(client.unwrap_or_else(View::nothing)), local.ok_or(Absent::ManyInOne)));
    let from_elsewhere = remote.map(|view| other_edge(Err(Absent::NotOnThisHost), Ok(view)));
    from_here.into_iter().chain(from_elsewhere).collect()
}

pub(crate) fn other_edge(client_view: Result<View, Absent>, server_view: Result<View, Absent>) -> Edge {
    let end = || End::elsewhere(other_identity(), Absent::ManyInOne);
    Edge { is_other: true, ..Edge::new(end(), end(), client_view, server_view) }
}

fn share(header: &Header, view: &View) -> ServerProcess {
    ServerProcess {
        process: process(header),
        accepted: view.connects.ok(),
        open_connections: view.open_connections,
        rounds: view.rounds,
    }
}

fn failure_of(event: &ConnectFailed, span: &Span) -> Failure {
    Failure {
        // A number that no outcome has is of a recording that a later weir made.
        outcome: ConnectOutcome::from_index(event.outcome as usize).unwrap_or(ConnectOutcome::Other),
        errno: event.errno,
        after_ns: event.after_ns,
        syn_retransmits: event.syn_retransmits,
        ago_ns: span.to_ns.saturating_sub(event.at_ns),
    }
}
