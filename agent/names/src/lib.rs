//! Who is at the ends of an edge: what procfs, cgroups, DNS, connection tracking and Kubernetes tell, put together.
//!
//! An edge is named when it is met, while its process lives; what becomes known later names it again. The engine is told
//! only what is news.

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
use dns::{Asker, DnsNames, Told};
use kubernetes::{Kubernetes, Status};
use local::{LocalNames, ProcessFacts};
use naming::{Reasons, Tally};

/// Names that became known late are given to those who were met before at most this often.
const RENAME_SPACING_NS: u64 = 1_000_000_000;
/// A connection of an edge is looked up in the kernel's connection tracking at most this often: a service has several
/// backends.
const FIRST_ASK_SPACING_NS: u64 = 1_000_000_000;
/// After so many times, this often: they change.
const FIRST_ASKS: u8 = 8;
const ASK_SPACING_NS: u64 = 30_000_000_000;
/// How long the last answers of a window are waited for: a question takes 10 us, and waits for its turn.
const PATIENCE: Duration = Duration::from_millis(20);

/// Names the ends of edges.
pub struct Identities {
    /// None where the host's root cannot be opened: then names are what the kernel half told.
    local: Result<LocalNames, Arc<str>>,
    dns: DnsNames,
    conntrack: Conntrack,
    kubernetes: Kubernetes,
    met: BTreeMap<u32, Met>,
    /// What the namers knew when all that had been met was last named.
    known: Generations,
    reasons: Reasons,
    renamed_ns: u64,
    /// Unix time less monotonic time.
    unix_offset_ns: u64,
    /// As last told.
    tally: Tally,
    /// All names are news with the next tick.
    is_repeated: bool,
}

/// Changes when somebody may have another name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Generations {
    containers: u64,
    kubernetes: u64,
    dns: u64,
}

/// An edge that was met.
struct Met {
    facts: ProcessFacts,
    key: EdgeKey,
    since_ns: u64,
    own: Option<Arc<Identity>>,
    far: Option<Arc<Identity>>,
    unknown: Option<Arc<str>>,
    /// The local port that connection tracking was last asked with, and when.
    asked: Option<(u32, u64)>,
    /// How many times.
    asks: u8,
    /// It is known whether connections to this address are translated.
    answered: bool,
}

impl Identities {
    /// Starts the namers, `cluster` among them. `unix_offset_ns`: unix time less monotonic time.
    pub fn new(cluster: &kubernetes::Config, unix_offset_ns: u64) -> Self {
        Self {
            local: LocalNames::of_host().map_err(|error| error.to_string().into()),
            dns: DnsNames::default(),
            conntrack: Conntrack::start(),
            kubernetes: Kubernetes::start(cluster),
            met: BTreeMap::new(),
            known: Generations::default(),
            reasons: Reasons::with(Status::Off),
            renamed_ns: 0,
            unix_offset_ns,
            tally: Tally::default(),
            is_repeated: false,
        }
    }

    /// An edge is there. The first time is the best to ask who it is.
    pub fn meet(&mut self, slot: u32, record: &EdgeRecord, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        if let Entry::Vacant(entry) = self.met.entry(slot) {
            entry.insert(Met::of(record, now_ns));
            self.name(slot, now_ns, sink);
        }
        self.ask(slot, record, now_ns);
    }

    /// An edge is retired.
    pub fn part(&mut self, slot: u32) {
        let met = self.met.remove(&slot);
        if let (Some(met), Ok(local)) = (met, &mut self.local) {
            local.forget(&met.facts);
        }
    }

    /// A name server told a process something.
    pub fn hear(&mut self, told: &Told) {
        self.dns.hear(told);
    }

    /// A cgroup is there, and with it perhaps a container.
    pub fn cgroup_made(&mut self, made: &CgroupMade, now_ns: u64) {
        if let Ok(local) = &mut self.local {
            local.cgroup_made(made, now_ns);
        }
    }

    /// When to look for files that are still to come, where some are.
    pub fn due_ns(&self) -> Option<u64> {
        self.local.as_ref().ok()?.due_ns()
    }

    /// Waits for answers that are on their way, where a window ends.
    pub fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.conntrack.has_answered() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// With the next tick, all names are news again: a consumer has missed some.
    pub fn repeat(&mut self) {
        for met in self.met.values_mut() {
            (met.own, met.far, met.unknown, met.answered) = (None, None, None, false);
        }
        (self.is_repeated, self.renamed_ns, self.tally) = (true, 0, Tally::default());
    }

    /// What has become known since.
    pub fn tick(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        for answer in self.conntrack.answers() {
            let Some(met) = self.met.get_mut(&answer.slot).filter(|met| met.dialled() == answer.dialled) else {
                continue;
            };
            met.answered = true;
            if let Some(address) = answer.backend {
                sink(Input::Backend(Backend { slot: answer.slot, address }));
            }
        }
        if let Ok(local) = &mut self.local {
            local.look_again(now_ns);
        }
        let known = self.generations();
        if (known != self.known || self.is_repeated) && now_ns.saturating_sub(self.renamed_ns) >= RENAME_SPACING_NS {
            (self.known, self.is_repeated) = (known, false);
            self.renamed_ns = now_ns;
            let slots: Vec<u32> = self.met.keys().copied().collect();
            slots.into_iter().for_each(|slot| self.name(slot, now_ns, sink));
        }
        self.tell_naming(sink);
    }

    fn generations(&self) -> Generations {
        Generations {
            containers: self.local.as_ref().map_or(0, LocalNames::found_late),
            kubernetes: self.kubernetes.generation(),
            dns: self.dns.counts().learnt,
        }
    }

    /// Says what is news of the names of both ends.
    fn name(&mut self, slot: u32, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        let Some(met) = self.met.get(&slot) else { return };
        let (facts, key, since_ns) = (met.facts, met.key, met.since_ns);
        let own = self.own(&facts);
        self.reasons.update(self.kubernetes.status());
        let has_far_end = Met::has_far_end(&key);
        let first = has_far_end.then(|| self.far(&facts, &key, since_ns));
        let now = (has_far_end && now_ns != since_ns).then(|| self.far(&facts, &key, now_ns));
        let Some(met) = self.met.get_mut(&slot) else { return };
        if let Some(own) = own.filter(|own| met.own.as_ref() != Some(own)) {
            // It was the same process before, whatever was known of it.
            let identity = Ok(Arc::clone(&own));
            sink(Input::Named(Named { slot, end: NamedEnd::Own, since_ns: 0, identity }));
            met.own = Some(own);
        }
        // An address may have changed hands since the edge began: what came before stays with whoever had it then.
        for (since_ns, far) in [(0, first), (now_ns, now)] {
            let Some(far) = far else { continue };
            if let Some(identity) = met.hear_of_far(since_ns, far) {
                sink(Input::Named(Named { slot, end: NamedEnd::Far, since_ns, identity }));
            }
        }
    }

    /// Who a process of this host is; none where there is no more than the kernel half told.
    fn own(&mut self, facts: &ProcessFacts) -> Option<Arc<Identity>> {
        let local = self.local.as_mut().ok()?.name(facts);
        let (pod, container) = (local.pod_uid.as_deref(), local.container_id.as_deref());
        let workload = self.kubernetes.local(pod, container);
        Some(match workload {
            // It says its own name; where it runs is known besides.
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

    /// Who was behind an edge's address at that time.
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

    /// Has connection tracking asked where connections to the address go, by an example of one.
    fn ask(&mut self, slot: u32, record: &EdgeRecord, now_ns: u64) {
        let Some(met) = self.met.get_mut(&slot) else { return };
        let dialled = met.dialled();
        if record.key.role != ROLE_CLIENT || record.local_port == 0 || dialled.ip().is_loopback() {
            return;
        }
        let spacing_ns = if met.asks < FIRST_ASKS { FIRST_ASK_SPACING_NS } else { ASK_SPACING_NS };
        let is_due = |(port, at_ns): (u32, u64)| {
            now_ns.saturating_sub(at_ns) >= spacing_ns && (!met.answered || port != record.local_port)
        };
        let Ok(port) = u16::try_from(record.local_port) else { return };
        if met.asked.is_none_or(is_due) {
            met.asks = met.asks.saturating_add(1);
            met.asked = Some((record.local_port, now_ns));
            let client = SocketAddr::new(Ipv6Addr::from(record.local_address).to_canonical(), port);
            let question = Question { slot, pid: record.key.tgid, netns: record.key.netns, client, dialled };
            // Where too many wait, it is counted there, and asked again.
            let _ = self.conntrack.ask(question);
        }
    }

    fn tell_naming(&mut self, sink: &mut dyn FnMut(Input<'_>)) {
        let tally = Tally::of(self.local.as_ref(), &self.dns, &self.conntrack, &self.kubernetes);
        if tally != self.tally {
            sink(Input::Naming(tally.naming(self.local.as_ref().err())));
            self.tally = tally;
        }
    }
}

impl Met {
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
            asked: None,
            asks: 0,
            answered: false,
        }
    }

    /// Whether anybody but a process of this host may be there.
    fn has_far_end(key: &EdgeKey) -> bool {
        key.role != ROLE_SERVER || key.peer_tgid == 0
    }

    /// What is news of whoever is behind the address.
    fn hear_of_far(
        &mut self,
        since_ns: u64,
        far: Result<Arc<Identity>, Arc<str>>,
    ) -> Option<Result<Arc<Identity>, Arc<str>>> {
        match &far {
            // Known to begin with, and now by another name: only the present one can tell of a change.
            Ok(_) if since_ns == 0 && self.far.is_some() => return None,
            Ok(identity) if self.far.as_ref() == Some(identity) => return None,
            Ok(identity) => self.far = Some(Arc::clone(identity)),
            // A name that was known stays until somebody else has the address.
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
