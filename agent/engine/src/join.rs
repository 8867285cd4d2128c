//! From records to edges: the two ends of a connection on this host become one edge with two views.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use weir_abi::{ConnectFailed, EdgeKey, EdgeRecord, FIRST_SLOT, OTHER_CLIENT, OTHER_SERVER_LOCAL, ROLE_SERVER};

use crate::{
    compact::{Compact, Header},
    delta::View,
    snapshot::{Absent, Edge, End, Failure, Process, ServerProcess},
};

/// The window, monotonic nanoseconds.
pub(crate) struct Span {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
}

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
        let before = self.before.map_or(EdgeRecord::EMPTY, Compact::record);
        View::between(&before, &self.after.record(), span.from_ns, span.to_ns)
    }

    /// With its view; none when nothing happened.
    fn heard(self, span: &Span) -> Option<(Self, View)> {
        let view = self.view(span);
        (!view.is_silent()).then_some((self, view))
    }
}

/// What both ends of a local edge know of it: the client's process and namespace, the address and port it dialled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Dialled {
    tgid: u32,
    netns: u32,
    address: [u8; 16],
    port: u16,
}

/// The edges of the window, silent ones left out, ordered by client, then server.
pub(crate) fn edges(readings: Vec<Reading<'_>>, failures: &BTreeMap<EdgeKey, ConnectFailed>, span: &Span) -> Vec<Edge> {
    let mut clients = Vec::new();
    let mut local_servers: BTreeMap<Dialled, Vec<Reading<'_>>> = BTreeMap::new();
    let mut edges = Vec::new();
    let mut others = Vec::new();
    for reading in readings {
        let Header { key, peer_netns, .. } = reading.header();
        if reading.slot < FIRST_SLOT {
            others.push(reading);
        } else if key.role != ROLE_SERVER {
            clients.push(reading);
        } else if key.peer_tgid != 0 {
            let dialled = Dialled { tgid: key.peer_tgid, netns: *peer_netns, address: key.address, port: key.port };
            local_servers.entry(dialled).or_default().push(reading);
        } else {
            edges.extend(reading.heard(span).map(served));
        }
    }
    for client in clients {
        let key = &client.header().key;
        let dialled = Dialled { tgid: key.tgid, netns: key.netns, address: key.address, port: key.port };
        let servers = local_servers.remove(&dialled).unwrap_or_default();
        let failure = failures.get(key).filter(|f| f.at_ns >= span.from_ns).map(|f| failure_of(f, span));
        edges.extend(called(&client, &servers, failure, span));
    }
    // Servers whose client's edge is gone (retired, or beyond the limit) still have a view of their own.
    edges.extend(local_servers.into_values().flatten().filter_map(|s| s.heard(span)).map(served));
    edges.extend(other(&others, span));
    edges.sort_by_cached_key(|edge| (edge.is_other, order(&edge.client), order(&edge.server)));
    edges
}

fn order(end: &End) -> (Option<Process>, Option<IpAddr>, Option<u16>) {
    (end.process.clone().ok(), end.address, end.port)
}

/// An edge whose client is here, with all local processes that serve it; none when all were silent.
fn called(client: &Reading<'_>, servers: &[Reading<'_>], failure: Option<Failure>, span: &Span) -> Option<Edge> {
    let client_view = client.view(span);
    let mut silent = client_view.is_silent();
    let mut shares = Vec::with_capacity(servers.len());
    let mut server_view: Option<View> = None;
    for server in servers {
        let view = server.view(span);
        silent &= view.is_silent();
        shares.push(share(server.header(), &view));
        match &mut server_view {
            Some(sum) => sum.merge(&view),
            None => server_view = Some(view),
        }
    }
    if silent {
        return None;
    }
    shares.sort_by(|a, b| (b.rounds, b.accepted, a.process.pid).cmp(&(a.rounds, a.accepted, b.process.pid)));
    let header = client.header();
    let server_process = shares.first().map(|s| s.process.clone()).ok_or(Absent::NotOnThisHost);
    Some(Edge {
        client: End { process: Ok(process(header)), address: Some(address(header.local_address)), port: None },
        server: End {
            process: server_process,
            address: Some(address(header.key.address)),
            port: Some(header.key.port),
        },
        server_processes: shares,
        client_view: Ok(client_view),
        server_view: server_view.ok_or(Absent::NotOnThisHost),
        last_failure: failure,
        is_other: false,
    })
}

/// An edge seen from its server alone.
fn served((server, view): (Reading<'_>, View)) -> Edge {
    let header = server.header();
    let key = &header.key;
    let client_address = if key.peer_tgid == 0 { Some(address(key.address)) } else { None };
    let own_address = if key.peer_tgid == 0 { header.local_address } else { key.address };
    Edge {
        client: End { process: Err(Absent::NotOnThisHost), address: client_address, port: None },
        server: End { process: Ok(process(header)), address: Some(address(own_address)), port: Some(key.listen_port) },
        server_processes: vec![share(header, &view)],
        client_view: Err(Absent::NotOnThisHost),
        server_view: Ok(view),
        last_failure: None,
        is_other: false,
    }
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
    let nothing = || View::between(&EdgeRecord::EMPTY, &EdgeRecord::EMPTY, 0, 0);
    let from_here = (client.is_some() || local.is_some())
        .then(|| other_edge(Ok(client.unwrap_or_else(nothing)), local.ok_or(Absent::ManyInOne)));
    let from_elsewhere = remote.map(|view| other_edge(Err(Absent::NotOnThisHost), Ok(view)));
    from_here.into_iter().chain(from_elsewhere).collect()
}

fn other_edge(client_view: Result<View, Absent>, server_view: Result<View, Absent>) -> Edge {
    let end = || End { process: Err(Absent::ManyInOne), address: None, port: None };
    Edge {
        client: end(),
        server: end(),
        server_processes: Vec::new(),
        client_view,
        server_view,
        last_failure: None,
        is_other: true,
    }
}

fn share(header: &Header, view: &View) -> ServerProcess {
    ServerProcess {
        process: process(header),
        accepted: view.connects[0],
        open_connections: view.open_connections,
        rounds: view.rounds,
    }
}

fn process(header: &Header) -> Process {
    Process {
        pid: header.key.tgid,
        comm: text(&header.comm),
        exe: text(&header.exe),
        start_ns: header.process_start_ns,
        cgroup_id: header.cgroup_id,
    }
}

/// A kernel string: up to the first zero; bytes that are no text, or would move a terminal's cursor, are replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn address(bytes: [u8; 16]) -> IpAddr {
    let v6 = Ipv6Addr::from(bytes);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

fn failure_of(event: &ConnectFailed, span: &Span) -> Failure {
    Failure {
        outcome: event.outcome,
        errno: event.errno,
        after_ns: event.after_ns,
        syn_retransmits: event.syn_retransmits,
        ago_ns: span.to_ns.saturating_sub(event.at_ns),
    }
}
