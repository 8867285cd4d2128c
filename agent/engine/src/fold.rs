//! What retired edges have counted: folded into their service's edge, so that a slot can be given away in the middle of
//! a window and nothing is forgotten. Two thousand processes of 20 ms each leave one of these.

use std::{collections::BTreeMap, net::IpAddr, rc::Rc, sync::Arc};

use weir_abi::{EdgeRecord, ROLE_SERVER};

use crate::{
    compact::{Compact, Header},
    ends::address,
    identity::{Identity, Kind},
    names::{Dialled, Names, nobody},
};

/// Edges between services of which something is folded; what would be one more goes to `other`.
const MAX_FOLDED: usize = 2048;

/// Whose sockets counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Client,
    ServerOfLocal,
    ServerOfRemote,
}

/// Between whom.
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

/// Records of retired edges, summed.
pub(crate) type Folded = BTreeMap<Rc<(Between, Side)>, Rc<Compact>>;

/// Where a slot's record belongs when it is retired, and whether only its failures do.
pub(crate) struct Destination {
    key: Rc<(Between, Side)>,
    failures_only: bool,
}

impl Destination {
    pub(crate) fn of(slot: u32, header: &Header, names: &Names) -> Self {
        let key = &header.key;
        let own = names.own(slot);
        if key.role != ROLE_SERVER {
            let reached = Dialled::by(header).map_or_else(Vec::new, |dialled| names.reached(&dialled));
            let (far, _) = names.far(slot);
            let server = if let [one] = &reached[..] { Arc::clone(one) } else { far };
            let between = Between {
                client: without_pod(&own),
                server: without_pod(&server),
                client_address: None,
                server_address: Some(address(key.address)),
                port: Some(key.port),
            };
            return Self { key: Rc::new((between, Side::Client)), failures_only: reached.len() > 1 };
        }
        let (client, _) = names.client(slot, header);
        let remote = key.peer_tgid == 0;
        let between = Between {
            client_address: Some(address(key.address)).filter(|_| remote && client.kind != Kind::Internet),
            client: without_pod(&client),
            server: without_pod(&own),
            server_address: Some(address(if remote { header.local_address } else { key.address })),
            port: Some(if remote { key.listen_port } else { key.port }),
        };
        let side = if remote { Side::ServerOfRemote } else { Side::ServerOfLocal };
        Self { key: Rc::new((between, side)), failures_only: false }
    }

    /// The same with another name at one end, where the name changes while the edge goes on.
    pub(crate) fn with(mut self, own: Option<&Arc<Identity>>, far: Option<&Arc<Identity>>) -> Self {
        let (mut between, side) = (*self.key).clone();
        let (own_end, far_end) = match side {
            Side::Client => (&mut between.client, &mut between.server),
            Side::ServerOfLocal | Side::ServerOfRemote => (&mut between.server, &mut between.client),
        };
        if let Some(own) = own {
            *own_end = without_pod(own);
        }
        if let Some(far) = far {
            *far_end = without_pod(far);
        }
        self.key = Rc::new((between, side));
        self
    }

    /// The bucket for what finds no room; true when this is it.
    pub(crate) fn make_room(&mut self, folded: &Folded) -> bool {
        if folded.len() < MAX_FOLDED || folded.contains_key(&self.key) {
            return false;
        }
        let side = self.key.1;
        let other =
            Between { client: nobody(), server: nobody(), client_address: None, server_address: None, port: None };
        self.key = Rc::new((other, side));
        true
    }

    /// Adds what the slot had counted.
    pub(crate) fn add(&self, folded: &mut Folded, record: &Compact) {
        let reduced = self.failures_only.then(|| Compact::of(&failures(&record.record())));
        let record = reduced.as_ref().unwrap_or(record);
        let sum = folded.get(&self.key).map_or_else(|| record.clone(), |sum| sum.plus(record));
        folded.insert(Rc::clone(&self.key), Rc::new(sum));
    }
}

/// Of a client's record: what no server can have counted. Where several services were found behind one address, the
/// rest is known by service from the servers' records alone.
pub(crate) fn failures(record: &EdgeRecord) -> EdgeRecord {
    let mut connects = record.connects;
    connects[0] = 0;
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
