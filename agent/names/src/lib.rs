//! Names for the ends of edges: procfs, cgroups, DNS, connection tracking and Kubernetes, put together.
//!
//! An edge is named when it is first seen, while its process lives, and named again when more becomes known. The engine gets
//! a name only when it has changed.

pub mod conntrack;
pub mod dns;
pub mod hierarchy;
pub mod kubernetes;
pub mod local;
mod naming;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use weir_abi::{CgroupMade, EdgeKey, EdgeRecord, ROLE_CLIENT, ROLE_SERVER};
use weir_engine::{Backend, Identity, Input, Kind, Named, NamedEnd};

use conntrack::{Conntrack, Question};
use dns::{Asker, DnsNames, DnsReply};
use kubernetes::{Kubernetes, Status};
use local::{LocalNames, ProcessFacts};
use naming::{Reasons, Tally};

/// Known edges are named again at most this often, when a source of names has learnt something: a choice.
const RENAME_SPACING_NS: u64 = 1_000_000_000;
/// A connection of an edge is looked up in the kernel's connection tracking at most this often: a service has several
/// backends, and each lookup finds one.
const FIRST_LOOKUP_SPACING_NS: u64 = 1_000_000_000;
/// After this many lookups they are `LOOKUP_SPACING_NS` apart: backends change. Both are choices.
const FIRST_LOOKUPS: u8 = 8;
const LOOKUP_SPACING_NS: u64 = 30_000_000_000;
/// How long the end of a window waits for outstanding lookups: one takes 10 us, after those queued before it.
const PATIENCE: Duration = Duration::from_millis(20);

/// Names the ends of edges.
pub struct Identities {
    /// An error where the host's root cannot be opened: then names are what the kernel half reports.
    local: Result<LocalNames, Arc<str>>,
    dns: DnsNames,
    conntrack: Conntrack,
    kubernetes: Kubernetes,
    /// By slot.
    edges: BTreeMap<u32, KnownEdge>,
    /// What the sources of names knew when all edges were last named.
    named_with: Generations,
    reasons: Reasons,
    renamed_ns: u64,
    /// Unix time less monotonic time.
    unix_offset_ns: u64,
    /// As last emitted.
    tally: Tally,
    /// All names are news with the next tick.
    is_repeated: bool,
}

/// Changes when an end of an edge may have another name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Generations {
    containers: u64,
    kubernetes: u64,
    dns: u64,
}

/// An edge that has been seen and not retired.
struct KnownEdge {
    facts: ProcessFacts,
    key: EdgeKey,
    since_ns: u64,
    own: Option<Arc<Identity>>,
    far: Option<Arc<Identity>>,
    unknown: Option<Arc<str>>,
    /// The local port of the last connection tracking lookup, and when it was made.
    last_lookup: Option<(u32, u64)>,
    /// Lookups made, up to 255.
    lookups: u8,
    /// Whether a lookup has found out if connections to this address are translated.
    answered: bool,
}

impl Identities {
    /// Starts the sources of names, the watch of `cluster` among them. `unix_offset_ns`: unix time less monotonic time.
    pub fn new(cluster: &kubernetes::Config, unix_offset_ns: u64) -> Self {
        Self {
            local: LocalNames::of_host().map_err(|error| error.to_string().into()),
            dns: DnsNames::default(),
            conntrack: Conntrack::start(),
            kubernetes: Kubernetes::start(cluster),
            edges: BTreeMap::new(),
            named_with: Generations::default(),
            reasons: Reasons::with(Status::Off),
            renamed_ns: 0,
            unix_offset_ns,
            tally: Tally::default(),
            is_repeated: false,
        }
    }

    /// An edge was read. The first time is the best to look at its process: it is most likely to be alive.
    pub fn edge_seen(&mut self, slot: u32, record: &EdgeRecord, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        if let Entry::Vacant(entry) = self.edges.entry(slot) {
            entry.insert(KnownEdge::of(record, now_ns));
            self.name(slot, now_ns, sink);
        }
        self.look_up_backend(slot, record, now_ns);
    }

    /// An edge is retired.
    pub fn edge_retired(&mut self, slot: u32) {
        let edge = self.edges.remove(&slot);
        if let (Some(edge), Ok(local)) = (edge, &mut self.local) {
            local.forget(&edge.facts);
        }
    }

    /// A process has read a name server's reply.
    pub fn dns_reply(&mut self, reply: &DnsReply) {
        self.dns.reply(reply);
    }

    /// A cgroup was made, perhaps for a container.
    pub fn cgroup_made(&mut self, made: &CgroupMade, now_ns: u64) {
        if let Ok(local) = &mut self.local {
            local.cgroup_made(made, now_ns);
        }
    }

    /// When to look again for container files that are expected; none where none are.
    pub fn due_ns(&self) -> Option<u64> {
        self.local.as_ref().ok()?.due_ns()
    }

    /// Waits for outstanding lookups, at the end of a window.
    pub fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.conntrack.has_answered() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// With the next tick, all names are emitted again: a consumer has missed some.
    pub fn repeat(&mut self) {
        self.edges.values_mut().for_each(|edge| edge.answered = false);
        (self.is_repeated, self.tally) = (true, Tally::default());
    }

    /// As they are now, and from the beginning on: who had them before is with the consumers that missed nothing.
    fn emit_all(&self, sink: &mut dyn FnMut(Input<'_>)) {
        for (slot, edge) in &self.edges {
            let own = edge.own.clone().map(|own| (NamedEnd::Own, Ok(own)));
            let known = edge.far.clone().map(Ok).or_else(|| edge.unknown.clone().map(Err));
            let far = known.map(|far| (NamedEnd::Far, far));
            for (end, identity) in own.into_iter().chain(far) {
                sink(Input::Named(Named { slot: *slot, end, since_ns: 0, identity }));
            }
        }
    }

    /// Emits what has become known since the last call.
    pub fn tick(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        for answer in self.conntrack.answers() {
            let Some(edge) = self.edges.get_mut(&answer.slot).filter(|edge| edge.dialled() == answer.dialled) else {
                continue;
            };
            edge.answered = true;
            if let Some(address) = answer.backend {
                sink(Input::Backend(Backend { slot: answer.slot, address }));
            }
        }
        if let Ok(local) = &mut self.local {
            local.look_again(now_ns);
        }
        let known = self.generations();
        if std::mem::take(&mut self.is_repeated) {
            self.emit_all(sink);
        }
        if known != self.named_with && now_ns.saturating_sub(self.renamed_ns) >= RENAME_SPACING_NS {
            self.named_with = known;
            self.renamed_ns = now_ns;
            let slots: Vec<u32> = self.edges.keys().copied().collect();
            slots.into_iter().for_each(|slot| self.name(slot, now_ns, sink));
        }
        self.emit_naming(sink);
    }

    fn generations(&self) -> Generations {
        Generations {
            containers: self.local.as_ref().map_or(0, LocalNames::found_late),
            kubernetes: self.kubernetes.generation(),
            dns: self.dns.counts().learnt,
        }
    }

    /// Emits the names of both ends that have changed.
    fn name(&mut self, slot: u32, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        let Some(edge) = self.edges.get(&slot) else { return };
        let (facts, key, since_ns) = (edge.facts, edge.key, edge.since_ns);
        let own = self.own(&facts);
        self.reasons.update(self.kubernetes.status());
        let has_far_end = KnownEdge::has_far_end(&key);
        let first = has_far_end.then(|| self.far(&facts, &key, since_ns));
        let now = (has_far_end && now_ns != since_ns).then(|| self.far(&facts, &key, now_ns));
        let Some(edge) = self.edges.get_mut(&slot) else { return };
        if let Some(own) = own.filter(|own| edge.own.as_ref() != Some(own)) {
            // It was the same process from the beginning on, so the name holds for all that was counted.
            let identity = Ok(Arc::clone(&own));
            sink(Input::Named(Named { slot, end: NamedEnd::Own, since_ns: 0, identity }));
            edge.own = Some(own);
        }
        // The address may have a new holder since the edge began: what was counted before stays with the former one.
        for (since_ns, far) in [(0, first), (now_ns, now)] {
            let Some(far) = far else { continue };
            if let Some(identity) = edge.update_far(since_ns, far) {
                sink(Input::Named(Named { slot, end: NamedEnd::Far, since_ns, identity }));
            }
        }
    }

    /// The identity of a process of this host; none where only the kernel half's facts are known.
    fn own(&mut self, facts: &ProcessFacts) -> Option<Arc<Identity>> {
        let local = self.local.as_mut().ok()?.name(facts);
        let (pod, container) = (local.pod_uid.as_deref(), local.container_id.as_deref());
        let workload = self.kubernetes.local(pod, container);
        Some(match workload {
            // The process declares its name; the workload adds where it runs.
            Some(workload) if local.identity.kind == Kind::Declared => Arc::new(Identity {
                kind: Kind::Declared,
                name: Arc::clone(&local.identity.name),
                namespace: local.identity.namespace.clone().or_else(|| workload.namespace.clone()),
                ..(*workload).clone()
            }),
            Some(workload) => workload,
            None => local.identity,
        })
    }

    /// The identity behind an edge's address at that time.
    fn far(&self, facts: &ProcessFacts, key: &EdgeKey, at_ns: u64) -> Result<Arc<Identity>, Arc<str>> {
        let address = Ipv6Addr::from(key.address).to_canonical();
        let asker = Asker { tgid: facts.pid, start_ns: facts.start_ns, cgroup_id: facts.cgroup_id };
        let dialled = key.role == ROLE_CLIENT;
        let dns_name = if dialled { self.dns.name(asker, address, at_ns).map(|(name, _)| name) } else { None };
        let port = if dialled { key.port } else { 0 };
        if let Some(known) = self.kubernetes.address(address, port, at_ns.wrapping_add(self.unix_offset_ns)) {
            return Ok(match dns_name {
                Some(name) => Arc::new(Identity { dns_name: Some(name), ..(*known).clone() }),
                None => known,
            });
        }
        match dns_name {
            Some(name) => {
                Ok(Arc::new(Identity { dns_name: Some(Arc::clone(&name)), ..Identity::new(Kind::DnsName, name) }))
            }
            None => Err(self.reasons.of(dialled)),
        }
    }

    /// Looks up in connection tracking where one of the edge's connections really goes.
    fn look_up_backend(&mut self, slot: u32, record: &EdgeRecord, now_ns: u64) {
        let Some(edge) = self.edges.get_mut(&slot) else { return };
        let dialled = edge.dialled();
        if record.key.role != ROLE_CLIENT || record.local_port == 0 || dialled.ip().is_loopback() {
            return;
        }
        let spacing_ns = if edge.lookups < FIRST_LOOKUPS { FIRST_LOOKUP_SPACING_NS } else { LOOKUP_SPACING_NS };
        let is_due = |(port, at_ns): (u32, u64)| {
            now_ns.saturating_sub(at_ns) >= spacing_ns && (!edge.answered || port != record.local_port)
        };
        let Ok(port) = u16::try_from(record.local_port) else { return };
        if edge.last_lookup.is_none_or(is_due) {
            edge.lookups = edge.lookups.saturating_add(1);
            edge.last_lookup = Some((record.local_port, now_ns));
            let client = SocketAddr::new(Ipv6Addr::from(record.local_address).to_canonical(), port);
            let question = Question { slot, pid: record.key.tgid, netns: record.key.netns, client, dialled };
            // A question beyond the queue is counted there, and asked again later.
            let _ = self.conntrack.ask(question);
        }
    }

    fn emit_naming(&mut self, sink: &mut dyn FnMut(Input<'_>)) {
        let tally = Tally::of(self.local.as_ref(), &self.dns, &self.conntrack, &self.kubernetes);
        if tally != self.tally {
            sink(Input::Naming(tally.naming(self.local.as_ref().err())));
            self.tally = tally;
        }
    }
}

impl KnownEdge {
    fn of(record: &EdgeRecord, now_ns: u64) -> Self {
        let EdgeRecord { key, comm, exe, process_start_ns, cgroup_id, .. } = record;
        let facts =
            ProcessFacts { pid: key.tgid, start_ns: *process_start_ns, cgroup_id: *cgroup_id, comm: *comm, exe: *exe };
        Self {
            facts,
            key: *key,
            since_ns: now_ns,
            own: None,
            far: None,
            unknown: None,
            last_lookup: None,
            lookups: 0,
            answered: false,
        }
    }

    /// Whether the far end may be something other than a process of this host.
    fn has_far_end(key: &EdgeKey) -> bool {
        key.role != ROLE_SERVER || key.peer_tgid == 0
    }

    /// Takes the identity behind the address, or why there is none, since that time. Returns it if it is new.
    fn update_far(
        &mut self,
        since_ns: u64,
        far: Result<Arc<Identity>, Arc<str>>,
    ) -> Option<Result<Arc<Identity>, Arc<str>>> {
        match &far {
            // Known from the beginning, and now by another name: only the present identity shows a change.
            Ok(_) if since_ns == 0 && self.far.is_some() => return None,
            Ok(identity) if self.far.as_ref() == Some(identity) => return None,
            Ok(identity) => self.far = Some(Arc::clone(identity)),
            // A known name stays until another holder of the address is known.
            Err(_) if self.far.is_some() => return None,
            Err(reason) if self.unknown.as_ref() == Some(reason) => return None,
            Err(reason) => self.unknown = Some(Arc::clone(reason)),
        }
        Some(far)
    }

    fn dialled(&self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.key.address).to_canonical(), self.key.port)
    }
}
