//! From records to edges: the two ends of a connection on this host become one edge with two views.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use weir_abi::{ConnectFailed, EdgeKey, EdgeRecord, FIRST_SLOT, OTHER_CLIENT, OTHER_SERVER_LOCAL, ROLE_SERVER};

use crate::{
    delta::View,
    snapshot::{Absent, Edge, End, Failure, Process, ServerProcess},
};

/// The window, monotonic nanoseconds.
pub(crate) struct Span {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
}

/// One record's header and its view of the window.
pub(crate) struct Reading<'a> {
    slot: u32,
    header: &'a EdgeRecord,
    view: View,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(slot: u32, before: Option<&EdgeRecord>, after: &'a EdgeRecord, span: &Span) -> Self {
        // A slot that was reused within the window starts from nothing.
        let before = before.filter(|b| b.key == after.key && b.process_start_ns == after.process_start_ns);
        let view = View::between(before.unwrap_or(&EdgeRecord::EMPTY), after, span.from_ns, span.to_ns);
        Self { slot, header: after, view }
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
        let key = &reading.header.key;
        if reading.slot < FIRST_SLOT {
            others.push(reading);
        } else if key.role != ROLE_SERVER {
            clients.push(reading);
        } else if key.peer_tgid != 0 {
            let netns = reading.header.peer_netns;
            let dialled = Dialled { tgid: key.peer_tgid, netns, address: key.address, port: key.port };
            local_servers.entry(dialled).or_default().push(reading);
        } else if !reading.view.is_silent() {
            edges.push(served(reading));
        }
    }
    for client in clients {
        let key = &client.header.key;
        let dialled = Dialled { tgid: key.tgid, netns: key.netns, address: key.address, port: key.port };
        let servers = local_servers.remove(&dialled).unwrap_or_default();
        let failure = failures.get(key).filter(|f| f.at_ns >= span.from_ns).map(|f| failure_of(f, span));
        if !client.view.is_silent() || servers.iter().any(|s| !s.view.is_silent()) {
            edges.push(called(client, servers, failure));
        }
    }
    // Servers whose client's edge is gone (retired, or beyond the limit) still have a view of their own.
    edges.extend(local_servers.into_values().flatten().filter(|s| !s.view.is_silent()).map(served));
    edges.extend(other(others));
    edges.sort_by_cached_key(|edge| (edge.is_other, order(&edge.client), order(&edge.server)));
    edges
}

fn order(end: &End) -> (Option<Process>, Option<IpAddr>, Option<u16>) {
    (end.process.clone().ok(), end.address, end.port)
}

/// An edge whose client is here, with all local processes that serve it.
fn called(client: Reading<'_>, servers: Vec<Reading<'_>>, last_failure: Option<Failure>) -> Edge {
    let key = &client.header.key;
    let client_end =
        End { process: Ok(process(client.header)), address: Some(address(client.header.local_address)), port: None };
    let mut shares: Vec<ServerProcess> = servers.iter().map(share).collect();
    shares.sort_by(|a, b| (b.rounds, b.accepted, a.process.pid).cmp(&(a.rounds, a.accepted, b.process.pid)));
    let mut views = servers.into_iter().map(|s| s.view);
    let server_view = match views.next() {
        Some(first) => Ok(views.fold(first, |mut sum, view| {
            sum.merge(&view);
            sum
        })),
        None => Err(Absent::NotOnThisHost),
    };
    let server_process = shares.first().map(|s| s.process.clone()).ok_or(Absent::NotOnThisHost);
    Edge {
        client: client_end,
        server: End { process: server_process, address: Some(address(key.address)), port: Some(key.port) },
        server_processes: shares,
        client_view: Ok(client.view),
        server_view,
        last_failure,
        is_other: false,
    }
}

/// An edge seen from its server alone.
fn served(server: Reading<'_>) -> Edge {
    let key = &server.header.key;
    let client_address = if key.peer_tgid == 0 { Some(address(key.address)) } else { None };
    let own_address = if key.peer_tgid == 0 { server.header.local_address } else { key.address };
    Edge {
        client: End { process: Err(Absent::NotOnThisHost), address: client_address, port: None },
        server: End {
            process: Ok(process(server.header)),
            address: Some(address(own_address)),
            port: Some(key.listen_port),
        },
        server_processes: vec![share(&server)],
        client_view: Err(Absent::NotOnThisHost),
        server_view: Ok(server.view),
        last_failure: None,
        is_other: false,
    }
}

/// What lies beyond the limits: the edges whose client is here as one, those whose client is elsewhere as another.
fn other(readings: Vec<Reading<'_>>) -> Vec<Edge> {
    let (mut client, mut local, mut remote) = (None, None, None);
    for reading in readings.into_iter().filter(|r| !r.view.is_silent()) {
        *match reading.slot {
            OTHER_CLIENT => &mut client,
            OTHER_SERVER_LOCAL => &mut local,
            _ => &mut remote,
        } = Some(reading.view);
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

fn share(server: &Reading<'_>) -> ServerProcess {
    ServerProcess {
        process: process(server.header),
        accepted: server.view.connects[0],
        open_connections: server.view.open_connections,
        rounds: server.view.rounds,
    }
}

fn process(header: &EdgeRecord) -> Process {
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
