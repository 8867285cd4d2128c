//! Who is at the ends of an edge: what procfs, cgroups, DNS, connection tracking and Kubernetes tell, put together.
//!
//! An edge is named when it is met, while its process lives; what becomes known later names it again. The engine is told
//! only what is news.

pub mod conntrack;
pub mod dns;
pub mod kubernetes;
pub mod local;
mod naming;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use weir_abi::{CgroupMade, EdgeRecord, ROLE_CLIENT};
use weir_engine::{Identity, Input, Kind, Named, NamedEnd};

use dns::{Asker, DnsCounts, DnsNames, Told};
use local::{LocalLosses, LocalNames, ProcessFacts};

/// New cgroups' containers, and namers that answer late, are looked for this often.
const LOOK_SPACING_NS: u64 = 1_000_000_000;
/// Names the ends of edges.
pub(crate) struct Identities {
    /// None where the host's root cannot be opened: then names are what the kernel half told.
    local: Result<LocalNames, Arc<str>>,
    dns: DnsNames,
    met: BTreeMap<u32, Met>,
    looked_ns: u64,
    /// As last told.
    losses: (LocalLosses, DnsCounts),
}

/// An edge that was met.
struct Met {
    facts: ProcessFacts,
    own: Option<Arc<Identity>>,
}

impl Identities {
    pub(crate) fn new() -> Self {
        Self {
            local: LocalNames::of_host().map_err(|error| error.to_string().into()),
            dns: DnsNames::default(),
            met: BTreeMap::new(),
            looked_ns: 0,
            losses: Default::default(),
        }
    }

    /// A name server told a process something.
    pub(crate) fn hear(&mut self, told: &Told) {
        self.dns.hear(told);
    }

    /// An edge is there. The first time is the best to ask who it is.
    pub(crate) fn meet(&mut self, slot: u32, record: &EdgeRecord, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        if let Entry::Vacant(entry) = self.met.entry(slot) {
            entry.insert(Met::of(record));
            self.name(slot, sink);
            self.name_far(slot, record, now_ns, sink);
        }
    }

    /// An edge is retired.
    pub(crate) fn part(&mut self, slot: u32) {
        self.met.remove(&slot);
    }

    /// A cgroup is there, and with it perhaps a container.
    pub(crate) fn cgroup_made(&mut self, made: &CgroupMade) {
        if let Ok(local) = &mut self.local {
            local.cgroup_made(made);
        }
    }

    /// What has become known since.
    pub(crate) fn tick(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        if now_ns.saturating_sub(self.looked_ns) >= LOOK_SPACING_NS {
            self.looked_ns = now_ns;
            if let Ok(local) = &mut self.local {
                local.look_again();
            }
        }
        self.tell_naming(sink);
    }

    /// Says what is news of the names of both ends.
    fn name(&mut self, slot: u32, sink: &mut dyn FnMut(Input<'_>)) {
        let Some(facts) = self.met.get(&slot).map(|met| met.facts) else { return };
        let own = self.own(&facts);
        let Some(met) = self.met.get_mut(&slot) else { return };
        if let Some(own) = own.filter(|own| met.own.as_ref() != Some(own)) {
            // It was the same process before, whatever was known of it.
            let identity = Ok(Arc::clone(&own));
            sink(Input::Named(Named { slot, end: NamedEnd::Own, since_ns: 0, identity }));
            met.own = Some(own);
        }
    }

    /// Says by what name the process asked for the address that it connects to.
    fn name_far(&mut self, slot: u32, record: &EdgeRecord, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        let EdgeRecord { key, process_start_ns: start_ns, cgroup_id, .. } = *record;
        if key.role != ROLE_CLIENT {
            return;
        }
        let asker = Asker { tgid: key.tgid, start_ns, cgroup_id };
        if let Some((name, _)) = self.dns.name(asker, IpAddr::from(Ipv6Addr::from(key.address)), now_ns) {
            let identity = Identity { dns_name: Some(Arc::clone(&name)), ..Identity::new(Kind::DnsName, name) };
            sink(Input::Named(Named { slot, end: NamedEnd::Far, since_ns: 0, identity: Ok(Arc::new(identity)) }));
        }
    }

    /// Who a process of this host is; none where there is no more than the kernel half told.
    fn own(&mut self, facts: &ProcessFacts) -> Option<Arc<Identity>> {
        Some(self.local.as_mut().ok()?.name(facts).identity)
    }

    fn tell_naming(&mut self, sink: &mut dyn FnMut(Input<'_>)) {
        let local = self.local.as_ref().map_or_else(|_| LocalLosses::default(), LocalNames::losses);
        let losses = (local, self.dns.counts());
        if losses != self.losses {
            self.losses = losses;
            sink(Input::Naming(naming::of(local, losses.1, self.local.as_ref().err())));
        }
    }
}

impl Met {
    fn of(record: &EdgeRecord) -> Self {
        let EdgeRecord { key, comm, exe, process_start_ns, cgroup_id, .. } = record;
        let facts =
            ProcessFacts { pid: key.tgid, start_ns: *process_start_ns, cgroup_id: *cgroup_id, comm: *comm, exe: *exe };
        Self { facts, own: None }
    }
}
