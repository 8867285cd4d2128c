//! What retired edges have counted: folded into their service's edge, so that a slot can be given away in the middle of
//! a window and nothing is forgotten. Two thousand processes of 20 ms each leave one of these.

use std::{collections::BTreeMap, net::IpAddr, rc::Rc, sync::Arc};

use weir_abi::{ConnectOutcome, EdgeRecord, ROLE_SERVER};

use crate::{
    edge::{ends::address, view::View},
    identity::{Identity, Kind},
    state::{
        compact::{Compact, Header},
        names::{Names, other_identity},
    },
    window::Span,
};

/// Edges between services of which something is folded; what would be one more goes to `other`.
const MAX_FOLDED: usize = 2048;

/// Records of retired edges, summed.
pub(crate) type Folded = BTreeMap<Rc<FoldKey>, Rc<Compact>>;

/// What a sum is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FoldKey {
    /// Retired edges of a service that this client's slot has reached. Kept apart while the client's edge lives: only at its
    /// end is it known whether its own counts can be separated by service.
    Behind { client: u32, server: Arc<Identity> },
    /// Retired edges between two services.
    Between(Between, Side),
}

/// Which end's sockets counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Client,
    /// Of clients whose own counts are among those of `Client`.
    Server,
    /// Of clients on this host whose own counts cannot be separated by service.
    ServerAlone,
    /// Of clients elsewhere.
    ServerOfRemote,
}

/// The two ends of a folded edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Between {
    pub(crate) client: Arc<Identity>,
    pub(crate) server: Arc<Identity>,
    /// Of a client elsewhere.
    pub(crate) client_address: Option<IpAddr>,
    /// As it was dialled.
    pub(crate) server_address: Option<IpAddr>,
    pub(crate) port: Option<u16>,
}

impl Between {
    /// The ends of a client's record that found this server.
    pub(crate) fn called(slot: u32, header: &Header, server: &Arc<Identity>, names: &Names) -> Self {
        Self {
            client: without_pod(&names.own(slot)),
            server: without_pod(server),
            client_address: None,
            server_address: Some(address(header.key.address)),
            port: Some(header.key.port),
        }
    }

    /// The ends of a server's record.
    fn served(slot: u32, header: &Header, names: &Names) -> Self {
        let key = &header.key;
        let remote = key.peer_tgid == 0;
        let (client, _) = names.client(slot, header);
        Self {
            client_address: Some(address(key.address)).filter(|_| remote && client.kind != Kind::Internet),
            client: without_pod(&client),
            server: without_pod(&names.own(slot)),
            server_address: Some(address(if remote { header.local_address } else { key.address })),
            port: Some(if remote { key.listen_port } else { key.port }),
        }
    }
}

/// Where a slot's record belongs when it is retired.
pub(crate) struct Destination {
    key: Rc<FoldKey>,
    /// A client's record that found several services behind one address: only its failures can be attributed.
    pub(crate) shared: bool,
}

impl Destination {
    pub(crate) fn of(slot: u32, header: &Header, names: &Names, folded: &Folded) -> Self {
        if header.key.role == ROLE_SERVER {
            return Self { key: Rc::new(Self::of_server(slot, header, names)), shared: false };
        }
        let reached = reached(slot, header, names, folded);
        let (far, _) = names.far(slot);
        let server = if let [one] = &reached[..] { one } else { &far };
        let between = Between::called(slot, header, server, names);
        Self { key: Rc::new(FoldKey::Between(between, Side::Client)), shared: reached.len() > 1 }
    }

    fn of_server(slot: u32, header: &Header, names: &Names) -> FoldKey {
        if header.key.peer_tgid == 0 {
            return FoldKey::Between(Between::served(slot, header, names), Side::ServerOfRemote);
        }
        if let Some(client) = names.client_slot(header) {
            return FoldKey::Behind { client, server: without_pod(&names.own(slot)) };
        }
        let side = if names.is_alone(slot) { Side::ServerAlone } else { Side::Server };
        FoldKey::Between(Between::served(slot, header, names), side)
    }

    /// Where what is behind a client goes when that client's own record is retired.
    pub(crate) fn of_behind(between: Between, shared: bool) -> Self {
        let side = if shared { Side::ServerAlone } else { Side::Server };
        Self { key: Rc::new(FoldKey::Between(between, side)), shared: false }
    }

    /// The same with another name at one end, where the name changes while the edge goes on.
    pub(crate) fn with(mut self, own: Option<&Arc<Identity>>, far: Option<&Arc<Identity>>) -> Self {
        let mut key = (*self.key).clone();
        let (own_end, far_end) = match &mut key {
            FoldKey::Behind { server, .. } => (server, None),
            FoldKey::Between(between, Side::Client) => (&mut between.client, Some(&mut between.server)),
            FoldKey::Between(between, _) => (&mut between.server, Some(&mut between.client)),
        };
        if let Some(own) = own {
            *own_end = without_pod(own);
        }
        if let (Some(far), Some(far_end)) = (far, far_end) {
            *far_end = without_pod(far);
        }
        self.key = Rc::new(key);
        self
    }

    /// Redirects to `other` when the table is full and has no such key; returns whether it did.
    pub(crate) fn redirect_if_full(&mut self, folded: &Folded) -> bool {
        if folded.len() < MAX_FOLDED || folded.contains_key(&self.key) {
            return false;
        }
        let side = match &*self.key {
            FoldKey::Behind { .. } => Side::Server,
            FoldKey::Between(_, side) => *side,
        };
        let other = Between {
            client: other_identity(),
            server: other_identity(),
            client_address: None,
            server_address: None,
            port: None,
        };
        self.key = Rc::new(FoldKey::Between(other, side));
        true
    }

    /// Adds what the slot had counted.
    pub(crate) fn add(&self, folded: &mut Folded, record: &Compact) {
        let reduced = self.shared.then(|| Compact::of(&failures(&record.record())));
        let record = reduced.as_ref().unwrap_or(record);
        let sum = folded.get(&self.key).map_or_else(|| record.clone(), |sum| sum.plus(record));
        folded.insert(Rc::clone(&self.key), Rc::new(sum));
    }
}

/// The services that were found behind what a client dialled: of slots in use, and of those retired in the window.
pub(crate) fn reached(slot: u32, header: &Header, names: &Names, folded: &Folded) -> Vec<Arc<Identity>> {
    let ended = behind(slot, folded).map(|(server, _)| Arc::clone(server));
    by_service(names.servers(header).into_iter().chain(ended))
}

/// The same for a window. A sum that has not changed in it is of an earlier tenant, kept for a window that began before: it
/// names the far end only where nothing else does.
pub(crate) fn reached_in(
    slot: u32,
    header: &Header,
    names: &Names,
    (before, after): (&Folded, &Folded),
) -> Vec<Arc<Identity>> {
    let active = behind(slot, after).filter(|(_, key)| before.get(*key) != after.get(*key));
    let active = active.map(|(server, _)| Arc::clone(server));
    let reached = by_service(names.servers(header).into_iter().chain(active));
    if reached.is_empty() { self::reached(slot, header, names, after) } else { reached }
}

fn by_service(identities: impl Iterator<Item = Arc<Identity>>) -> Vec<Arc<Identity>> {
    let mut services: Vec<Arc<Identity>> = Vec::new();
    for identity in identities {
        if !services.iter().any(|known| known.service() == identity.service()) {
            services.push(identity);
        }
    }
    services
}

/// What a sum has come to between two times.
pub(crate) fn view(key: &FoldKey, (before, after): (&Folded, &Folded), span: &Span) -> View {
    let record = |folded: &Folded| folded.get(key).map_or(EdgeRecord::EMPTY, |sum| sum.record());
    View::between(&record(before), &record(after), span.from_ns, span.to_ns)
}

/// What is folded behind a client's slot.
pub(crate) fn behind(slot: u32, folded: &Folded) -> impl Iterator<Item = (&Arc<Identity>, &Rc<FoldKey>)> {
    folded.keys().filter_map(move |key| match &**key {
        FoldKey::Behind { client, server } if *client == slot => Some((server, key)),
        _ => None,
    })
}

/// Of a client's record: what no server can have counted. Where several services were found behind one address, only the
/// servers' records have the rest by service.
pub(crate) fn failures(record: &EdgeRecord) -> EdgeRecord {
    let mut connects = record.connects;
    connects[ConnectOutcome::Ok.index()] = 0;
    EdgeRecord {
        key: record.key,
        state: record.state,
        connects,
        timeout_by_caller: record.timeout_by_caller,
        connect_failed_latency: record.connect_failed_latency,
        retransmitted_segments: record.retransmitted_segments,
        ..EdgeRecord::EMPTY
    }
}

/// A record as it is left behind when the edge goes on under another name: what is open now counts for that one.
pub(crate) fn closed(record: &Compact) -> Compact {
    let mut record = record.record();
    record.closed = record.opened;
    record.detached = record.attached;
    record.in_flight = 0;
    record.multiplexed_cleared = record.multiplexed_set;
    record.push_cleared = record.push_set;
    Compact::of(&record)
}

/// Pods come and go; what is kept of them is the service's.
fn without_pod(identity: &Arc<Identity>) -> Arc<Identity> {
    if identity.pod.is_none() {
        return Arc::clone(identity);
    }
    Arc::new(Identity { pod: None, ..(**identity).clone() })
}
