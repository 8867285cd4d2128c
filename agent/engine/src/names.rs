//! Who is at the ends of each slot's edge, as far as the engine has been told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use weir_abi::{EdgeKey, ROLE_SERVER};

use crate::{
    compact::Header,
    ends::{address, process},
    identity::{Backend, Identity, Kind, Named, NamedEnd},
    snapshot::Absent,
};

/// Translated addresses kept an edge; a service of more is known by these.
const MAX_BACKENDS: usize = 16;

/// Services remembered behind something dialled whose slots are retired: two are enough to know that it is shared.
const MAX_GONE: usize = 256;

/// What both ends of a local edge know of it: the client's process and namespace, the address and port it dialled.
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
    /// Services that were reached and whose slots are retired, with the time of that.
    gone: Vec<(u64, Arc<Identity>)>,
}

#[derive(Debug)]
struct Slot {
    own: Arc<Identity>,
    far: Arc<Identity>,
    /// Why the far end has no better name.
    unknown: Option<Arc<str>>,
    /// Somebody was named, not just an address.
    far_is_named: bool,
    backends: Vec<SocketAddr>,
    /// The last tick before its record came.
    first_seen_ns: u64,
}

/// Names of all live slots.
#[derive(Debug, Default)]
pub(crate) struct Names {
    slots: BTreeMap<u32, Slot>,
    dials: BTreeMap<Dialled, Dial>,
}

impl Names {
    /// A slot that was not known has a record.
    pub(crate) fn appeared(&mut self, slot: u32, header: &Header, now_ns: u64) {
        let own = process(header);
        let own = Arc::new(Identity::new(Kind::Executable, own.name()));
        let far_address = address(header.key.address);
        let far = Arc::new(nameless(header.key.role == ROLE_SERVER, far_address));
        let unknown = Some(Arc::from(Absent::NotOnThisHost.reason()));
        let known = Slot { own, far, unknown, far_is_named: false, backends: Vec::new(), first_seen_ns: now_ns };
        self.slots.insert(slot, known);
        let Some(dialled) = Dialled::by(header) else { return };
        let dial = self.dials.entry(dialled).or_default();
        if header.key.role == ROLE_SERVER {
            dial.servers.insert(slot);
        } else {
            dial.client = Some(slot);
        }
    }

    /// A slot's edge is retired.
    pub(crate) fn vanished(&mut self, slot: u32, header: &Header, now_ns: u64) {
        let Some(ended) = self.slots.remove(&slot) else { return };
        let Some(dialled) = Dialled::by(header) else { return };
        let Some(dial) = self.dials.get_mut(&dialled) else { return };
        if header.key.role == ROLE_SERVER {
            dial.servers.remove(&slot);
            dial.gone.retain(|(_, identity)| identity.service() != ended.own.service());
            if dial.gone.len() < MAX_GONE {
                dial.gone.push((now_ns, ended.own));
            }
        } else {
            dial.client = None;
            // Those that still serve it keep the name.
            for server in &dial.servers {
                if let Some(server) = self.slots.get_mut(server) {
                    server.far = Arc::clone(&ended.own);
                    server.far_is_named = true;
                    server.unknown = None;
                }
            }
        }
        if dial.client.is_none() && dial.servers.is_empty() {
            self.dials.remove(&dialled);
        }
    }

    /// What was gone before the window is forgotten.
    pub(crate) fn forget(&mut self, oldest_ns: u64) {
        for dial in self.dials.values_mut() {
            dial.gone.retain(|(when, _)| *when >= oldest_ns);
        }
    }

    /// Takes a name.
    pub(crate) fn learn(&mut self, named: Named) -> Learned {
        let Some(slot) = self.slots.get_mut(&named.slot) else { return Learned::Nothing };
        let (known, is_named) = match named.end {
            NamedEnd::Own => (&mut slot.own, true),
            NamedEnd::Far => (&mut slot.far, slot.far_is_named),
        };
        let identity = match named.identity {
            Ok(identity) => identity,
            Err(reason) => {
                slot.unknown = Some(reason);
                return Learned::Nothing;
            }
        };
        let other = is_named && known.service() != identity.service() && named.since_ns > slot.first_seen_ns;
        let old = std::mem::replace(known, identity);
        if named.end == NamedEnd::Far {
            slot.far_is_named = true;
            slot.unknown = None;
        }
        if other { Learned::Another { end: named.end, old } } else { Learned::Name }
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

    /// Who the record's process is.
    pub(crate) fn own(&self, slot: u32) -> Arc<Identity> {
        self.slots.get(&slot).map_or_else(nobody, |slot| Arc::clone(&slot.own))
    }

    /// Who is behind the record's address, and why that is not known better.
    pub(crate) fn far(&self, slot: u32) -> (Arc<Identity>, Option<Arc<str>>) {
        self.slots.get(&slot).map_or_else(|| (nobody(), None), |slot| (Arc::clone(&slot.far), slot.unknown.clone()))
    }

    /// Where its connections really went.
    pub(crate) fn backends(&self, slot: u32) -> &[SocketAddr] {
        self.slots.get(&slot).map_or(&[], |slot| &slot.backends)
    }

    /// The client of a server's record, and why it is not known better.
    pub(crate) fn client(&self, slot: u32, header: &Header) -> (Arc<Identity>, Option<Arc<str>>) {
        let client = Dialled::by(header).and_then(|dialled| self.dials.get(&dialled)?.client);
        client.map_or_else(|| self.far(slot), |client| (self.own(client), None))
    }

    /// The services that were found behind something dialled: of slots in use, and of those retired in the window.
    pub(crate) fn reached(&self, dialled: &Dialled) -> Vec<Arc<Identity>> {
        let Some(dial) = self.dials.get(dialled) else { return Vec::new() };
        let mut reached: Vec<Arc<Identity>> = Vec::new();
        let live = dial.servers.iter().filter_map(|slot| self.slots.get(slot)).map(|slot| &slot.own);
        for identity in live.chain(dial.gone.iter().map(|(_, identity)| identity)) {
            if !reached.iter().any(|known| known.service() == identity.service()) {
                reached.push(Arc::clone(identity));
            }
        }
        reached
    }
}

/// What a name changed.
pub(crate) enum Learned {
    /// No name was given.
    Nothing,
    /// It names all that the edge has done.
    Name,
    /// It holds for what comes: what has been belongs to the old one.
    Another { end: NamedEnd, old: Arc<Identity> },
}

/// An end that is an address. Public addresses of clients are legion, and say nothing: they are one service.
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

pub(crate) fn nobody() -> Arc<Identity> {
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
