//! Identities of the ends of each slot's edge, as far as they are known.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use weir_abi::{EdgeKey, ROLE_SERVER};

use crate::{
    edge::ends::{address, process},
    identity::{Backend, Identity, Kind, Named, NamedEnd},
    snapshot::Absent,
    state::compact::Header,
};

/// Translated addresses kept an edge; a service of more is known by these.
const MAX_BACKENDS: usize = 16;

/// What the records of both ends of a local edge have in common: the client's process and namespace, the address and port it
/// dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dialled {
    tgid: u32,
    netns: u32,
    address: [u8; 16],
    port: u16,
}

impl Dialled {
    /// What this record's client dialled; none for a server whose client is elsewhere.
    pub(crate) fn by(header: &Header) -> Option<Self> {
        let EdgeKey { address, tgid, peer_tgid, netns, port, role, .. } = header.key;
        if role != ROLE_SERVER {
            return Some(Self { tgid, netns, address, port });
        }
        (peer_tgid != 0).then_some(Self { tgid: peer_tgid, netns: header.peer_netns, address, port })
    }
}

/// The slots that share something dialled.
#[derive(Debug, Default)]
struct Dial {
    client: Option<u32>,
    servers: BTreeSet<u32>,
}

#[derive(Debug)]
struct Slot {
    own: Arc<Identity>,
    far: Arc<Identity>,
    /// Why the far end has no better name.
    unknown: Option<Arc<str>>,
    /// The far end has a name, not only an address.
    far_is_named: bool,
    backends: Vec<SocketAddr>,
    /// The last tick before its record came.
    first_seen_ns: u64,
    /// A server whose client has gone, and whose counts are not among that client's.
    alone: bool,
}

/// Names of all live slots.
#[derive(Debug, Default)]
pub(crate) struct Names {
    slots: BTreeMap<u32, Slot>,
    dials: BTreeMap<Dialled, Dial>,
    /// The last program that appeared, and why far ends are not known to begin with: a thousand edges share them.
    last_program: Option<Arc<Identity>>,
    not_here: Option<Arc<str>>,
}

impl Names {
    /// A slot that was not known has a record.
    pub(crate) fn appeared(&mut self, slot: u32, header: &Header, now_ns: u64) {
        let own = self.executable(process(header).name());
        let far_address = address(header.key.address);
        let far = Arc::new(nameless(header.key.role == ROLE_SERVER, far_address));
        let reason = self.not_here.get_or_insert_with(|| Arc::from(Absent::NotOnThisHost.reason()));
        let unknown = Some(Arc::clone(reason));
        let far_is_named = false;
        let backends = Vec::new();
        let known = Slot { own, far, unknown, far_is_named, backends, first_seen_ns: now_ns, alone: false };
        self.slots.insert(slot, known);
        let Some(dialled) = Dialled::by(header) else { return };
        let dial = self.dials.entry(dialled).or_default();
        if header.key.role == ROLE_SERVER {
            dial.servers.insert(slot);
        } else {
            dial.client = Some(slot);
        }
    }

    fn executable(&mut self, name: &str) -> Arc<Identity> {
        match &self.last_program {
            Some(last) if &*last.name == name => Arc::clone(last),
            _ => Arc::clone(self.last_program.insert(Arc::new(Identity::new(Kind::Executable, name)))),
        }
    }

    /// A slot's edge is retired. `alone`: its counts could not be separated by service.
    pub(crate) fn vanished(&mut self, slot: u32, header: &Header, alone: bool) {
        let Some(ended) = self.slots.remove(&slot) else { return };
        let Some(dialled) = Dialled::by(header) else { return };
        let Some(dial) = self.dials.get_mut(&dialled) else { return };
        if header.key.role == ROLE_SERVER {
            dial.servers.remove(&slot);
        } else {
            dial.client = None;
            // Those that still serve it keep the name.
            for server in &dial.servers {
                if let Some(server) = self.slots.get_mut(server) {
                    server.far = Arc::clone(&ended.own);
                    server.far_is_named = true;
                    server.unknown = None;
                    server.alone = alone;
                }
            }
        }
        if dial.client.is_none() && dial.servers.is_empty() {
            self.dials.remove(&dialled);
        }
    }

    /// Takes a name. Returns the one that it replaces where that holds for what has been.
    pub(crate) fn learn(&mut self, named: Named) -> Option<Arc<Identity>> {
        let slot = self.slots.get_mut(&named.slot)?;
        let (known, is_named) = match named.end {
            NamedEnd::Own => (&mut slot.own, true),
            NamedEnd::Far => (&mut slot.far, slot.far_is_named),
        };
        let identity = match named.identity {
            Ok(identity) => identity,
            Err(reason) => {
                slot.unknown = Some(reason);
                return None;
            }
        };
        let other = is_named && known.service() != identity.service() && named.since_ns > slot.first_seen_ns;
        let old = std::mem::replace(known, identity);
        if named.end == NamedEnd::Far {
            slot.far_is_named = true;
            slot.unknown = None;
        }
        other.then_some(old)
    }

    /// Takes a translated address.
    pub(crate) fn backend(&mut self, backend: Backend) {
        if let Some(slot) = self.slots.get_mut(&backend.slot)
            && slot.backends.len() < MAX_BACKENDS
            && !slot.backends.contains(&backend.address)
        {
            slot.backends.push(backend.address);
        }
    }

    /// The identity of the record's process.
    pub(crate) fn own(&self, slot: u32) -> Arc<Identity> {
        self.slots.get(&slot).map_or_else(other_identity, |slot| Arc::clone(&slot.own))
    }

    /// The identity behind the record's address, and why there is no better one than the address.
    pub(crate) fn far(&self, slot: u32) -> (Arc<Identity>, Option<Arc<str>>) {
        self.slots
            .get(&slot)
            .map_or_else(|| (other_identity(), None), |slot| (Arc::clone(&slot.far), slot.unknown.clone()))
    }

    /// The translated addresses that its connections went to.
    pub(crate) fn backends(&self, slot: u32) -> &[SocketAddr] {
        self.slots.get(&slot).map_or(&[], |slot| &slot.backends)
    }

    /// The identity of a server's client, and why there is no better one than the address.
    pub(crate) fn client(&self, slot: u32, header: &Header) -> (Arc<Identity>, Option<Arc<str>>) {
        self.client_slot(header).map_or_else(|| self.far(slot), |client| (self.own(client), None))
    }

    /// The slot of a server's client, while it lives.
    pub(crate) fn client_slot(&self, header: &Header) -> Option<u32> {
        self.dials.get(&Dialled::by(header)?)?.client
    }

    /// Whether the counts of the server's client, which has gone, could not be separated by service.
    pub(crate) fn is_alone(&self, slot: u32) -> bool {
        self.slots.get(&slot).is_some_and(|slot| slot.alone)
    }

    /// The slots in use that serve what a client dialled.
    pub(crate) fn server_slots(&self, header: &Header) -> Vec<u32> {
        let dial = Dialled::by(header).and_then(|dialled| self.dials.get(&dialled));
        dial.map_or_else(Vec::new, |dial| dial.servers.iter().copied().collect())
    }

    /// The identities of their processes.
    pub(crate) fn servers(&self, header: &Header) -> Vec<Arc<Identity>> {
        self.server_slots(header).into_iter().map(|slot| self.own(slot)).collect()
    }
}

/// An end that is an address. A server may have thousands of clients with public addresses, none of which names a service: they are
/// one service, `internet`.
fn nameless(of_client: bool, address: IpAddr) -> Identity {
    if of_client && is_public(address) {
        return Identity::new(Kind::Internet, "internet");
    }
    Identity::new(Kind::Address, address.to_string())
}

/// Whether the address is one of the Internet at large (RFC 6890: not private, shared, local, or for documentation).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (18..20).contains(&b);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation();
            !(special || shared || benchmark || a == 0 || a >= 224)
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000 && v6.segments()[..2] != [0x2001, 0xdb8],
    }
}

/// The end of an edge that stands for all beyond a limit.
pub(crate) fn other_identity() -> Arc<Identity> {
    Arc::new(Identity::new(Kind::Other, "other"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses() {
        for public in ["8.8.8.8", "203.0.112.9", "2a00:1450::1", "172.32.0.1", "100.128.0.1"] {
            assert!(is_public(public.parse().expect("address")), "{public}");
        }
        for own in ["10.1.2.3", "172.31.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "fd00::1", "fe80::1", "::1"] {
            assert!(!is_public(own.parse().expect("address")), "{own}");
        }
    }
}
