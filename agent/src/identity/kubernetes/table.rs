//! Everything that is known of the cluster, and the two questions to it: whose container, and whose address.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use weir_engine::{Identity, Kind};

use super::{
    Counts,
    claim::{Claim, Claims, ended},
    names::{Names, shortened},
    object::{ContainerStatus, EndpointSlice, Meta, Node, Object, Pod, Service, uid},
    tenure::{REMEMBERED_NS, Tenures},
    workload::workload,
};

/// A pod's address is believed this long after the last news: a node that is cut off from the API does not hear that
/// an address has been given to another pod. Where the whole API is down, nothing is given to anybody; but the two
/// look the same from here.
const BELIEVED_NS: u64 = 600_000_000_000;

/// The kinds of objects that weir watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Node,
    Pod,
    Service,
    EndpointSlice,
}

/// What the table takes from one kind of object.
pub(super) trait Entered: Object {
    const WHAT: What;

    /// Who it is, and what it claims.
    fn read(&self, table: &mut Table) -> Option<(Arc<Identity>, Claims)>;

    /// Its containers, where they are looked for.
    fn containers(&self, _table: &mut Table, _identity: &Arc<Identity>) -> Vec<(Box<str>, Arc<Identity>)> {
        Vec::new()
    }

    /// When it really ended, if its last words tell.
    fn ended_ns(&self) -> Option<u64> {
        None
    }
}

#[derive(Debug)]
pub(super) struct Table {
    objects: HashMap<u128, Entry>,
    tenures: Tenures<Claim>,
    /// By container id, of this machine's nodes.
    containers: HashMap<Box<str>, Arc<Identity>>,
    /// From the uid that the kubelet gives a static pod to the API's.
    aliases: HashMap<u128, u128>,
    /// Local pods that are gone, and when.
    departed: VecDeque<(u64, u128)>,
    names: Names,
    locality: Locality,
    /// Which list a kind's objects were last seen in.
    rounds: [u32; 4],
    /// Since when no news of pods can come.
    deaf_since_ns: Option<u64>,
    limit: usize,
    over_limit: u64,
    unreadable: u64,
}

/// Which nodes are this machine.
#[derive(Debug, Default)]
pub(super) struct Locality {
    /// What the user or the pod's environment says.
    node_name: Option<String>,
    /// This kernel's; a node tells its own. It needs no configuration, and is right where a host plays several nodes.
    boot_id: String,
    by_boot_id: HashSet<Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    what: What,
    round: u32,
    identity: Arc<Identity>,
    claims: Box<[Claim]>,
    containers: Box<[Box<str>]>,
    alias: Option<u128>,
    departed: bool,
}

impl Table {
    pub(super) fn new(limit: usize, locality: Locality) -> Self {
        Self {
            objects: HashMap::new(),
            tenures: Tenures::new(),
            containers: HashMap::new(),
            aliases: HashMap::new(),
            departed: VecDeque::new(),
            names: Names::default(),
            locality,
            rounds: [0; 4],
            deaf_since_ns: None,
            limit,
            over_limit: 0,
            unreadable: 0,
        }
    }

    /// Who runs in this container, or at least in this pod.
    pub(super) fn local(&self, pod: Option<&str>, container: Option<&str>) -> Option<Arc<Identity>> {
        if let Some(found) = container.and_then(|id| self.containers.get(id)) {
            return Some(found.clone());
        }
        let uid = uid(pod?)?;
        let entry = self.objects.get(self.aliases.get(&uid).unwrap_or(&uid))?;
        (entry.what == What::Pod).then(|| entry.identity.clone())
    }

    /// Whose address and port this was at that time.
    pub(super) fn address(&self, ip: IpAddr, port: u16, unix_ns: u64) -> Option<Arc<Identity>> {
        let ip = ip.to_canonical();
        let of_a_pod = [Claim::Pod(ip), Claim::HostPort(ip, port)];
        let of_a_service = [Claim::Frontend(ip, port), Claim::Frontend(ip, 0), Claim::Cluster(ip)];
        let believed = self.deaf_since_ns.is_none_or(|since| unix_ns < since.saturating_add(BELIEVED_NS));
        let found = |claims: &[Claim]| claims.iter().find_map(|claim| self.tenures.at(claim, unix_ns)).cloned();
        if let Some(pod) = found(&of_a_pod).filter(|_| believed) {
            return Some(pod);
        }
        if let Some(service) = found(&of_a_service) {
            return Some(service);
        }
        let node = found(&[Claim::Node(ip)])?;
        Some(found(&[Claim::NodePort(port)]).unwrap_or(node))
    }

    /// A list of all objects of a kind begins.
    pub(super) fn list_begins(&mut self, what: What) {
        let round = &mut self.rounds[what as usize];
        *round = round.wrapping_add(1);
    }

    /// It has ended: what was not in it went while nobody told, at some time after `last_news_ns`.
    pub(super) fn list_ends(&mut self, what: What, last_news_ns: u64, now_ns: u64) {
        let round = self.rounds[what as usize];
        let gone =
            self.objects.iter().filter(|(_, entry)| entry.what == what && entry.round != round && !entry.departed);
        let gone: Vec<_> = gone.map(|(uid, _)| *uid).collect();
        for uid in gone {
            self.leave(uid, last_news_ns.min(now_ns), false, now_ns);
        }
    }

    /// An object is new, or has changed, or is in a list.
    /// Whether that makes a difference.
    pub(super) fn enter<T: Entered>(&mut self, object: &T, now_ns: u64) -> bool {
        let Some(uid) = uid(&object.meta().uid) else {
            self.unreadable += 1;
            return false;
        };
        if !self.objects.contains_key(&uid) && self.objects.len() >= self.limit {
            self.over_limit += 1;
            return false;
        }
        let Some((identity, claims)) = object.read(self) else {
            return self.leave(uid, now_ns, false, now_ns);
        };
        let from_ns = claims.from_ns.unwrap_or(now_ns).min(now_ns);
        let old = self.objects.remove(&uid);
        let identity = match &old {
            Some(old) if old.identity == identity => old.identity.clone(),
            _ => identity,
        };
        // A finished pod's addresses are free again.
        let held = if claims.ended.is_some() { &[] } else { claims.claims.as_slice() };
        let end = claims.ended.flatten().map(|end| end.min(now_ns));
        for claim in old.iter().flat_map(|old| &old.claims).filter(|claim| !held.contains(claim)) {
            self.tenures.end(*claim, uid, end.unwrap_or(now_ns), end.is_some());
        }
        let renamed = old.as_ref().is_none_or(|old| !Arc::ptr_eq(&old.identity, &identity));
        for claim in held {
            if renamed || old.as_ref().is_some_and(|old| !old.claims.contains(claim)) {
                self.tenures.begin(*claim, uid, from_ns, identity.clone());
            }
        }
        if let (None, Some(end)) = (&old, end) {
            for claim in &claims.claims {
                self.tenures.past(*claim, uid, from_ns, end, identity.clone());
            }
        }
        let claims: Box<[Claim]> = held.into();
        let had = old.as_ref().map(|old| &*old.containers);
        let containers = self.enter_containers(object, &identity, had.unwrap_or_default());
        let same = old.is_some_and(|old| !renamed && old.claims == claims && old.containers == containers);
        let alias = object.meta().annotations.config_hash.as_deref().and_then(super::object::uid);
        let alias = alias.filter(|alias| *alias != uid);
        if let Some(alias) = alias {
            self.aliases.insert(alias, uid);
        }
        let round = self.rounds[T::WHAT as usize];
        let entry = Entry { what: T::WHAT, round, identity, claims, containers, alias, departed: false };
        self.objects.insert(uid, entry);
        !same
    }

    /// An object was deleted.
    pub(super) fn remove<T: Entered>(&mut self, object: &T, now_ns: u64) {
        let Some(uid) = uid(&object.meta().uid) else {
            self.unreadable += 1;
            return;
        };
        // Its last words may be the first that we hear of its containers.
        if self.objects.contains_key(&uid) {
            self.enter(object, now_ns);
        }
        let end = object.ended_ns();
        self.leave(uid, end.unwrap_or(now_ns).min(now_ns), end.is_some(), now_ns);
    }

    /// Forgets what has been gone for long.
    pub(super) fn forget(&mut self, now_ns: u64) {
        let before = now_ns.saturating_sub(REMEMBERED_NS);
        self.tenures.forget(before);
        // As many as may be known are remembered: a crash loop must not fill the table with its dead.
        while self.departed.front().is_some_and(|(at, _)| *at < before) || self.departed.len() > self.limit / 4 {
            let Some((_, uid)) = self.departed.pop_front() else {
                return;
            };
            if self.objects.get(&uid).is_some_and(|entry| entry.departed) {
                self.drop_entry(uid);
            }
        }
    }

    /// News of pods can come again, or none since then.
    pub(super) fn deaf(&mut self, since_ns: Option<u64>) {
        self.deaf_since_ns = since_ns;
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |what: What| self.objects.values().filter(|entry| entry.what == what && !entry.departed).count();
        Counts {
            pods: of(What::Pod),
            services: of(What::Service),
            nodes: of(What::Node),
            endpoint_slices: of(What::EndpointSlice),
            containers: self.containers.len(),
            over_limit: self.over_limit,
            unreadable: self.unreadable,
            forgotten_early: self.tenures.forgotten_early(),
        }
    }

    fn enter_containers<T: Entered>(
        &mut self,
        object: &T,
        identity: &Arc<Identity>,
        old: &[Box<str>],
    ) -> Box<[Box<str>]> {
        let found = object.containers(self, identity);
        let ids: Box<[Box<str>]> = found.iter().map(|(id, _)| id.clone()).collect();
        for gone in old.iter().filter(|id| !ids.contains(id)) {
            self.containers.remove(gone);
        }
        self.containers.extend(found);
        ids
    }

    /// Ends all that it held. A local pod stays known by its uid and containers: nobody gets those again, and its last
    /// connections are yet to be named.
    fn leave(&mut self, uid: u128, to_ns: u64, exact: bool, now_ns: u64) -> bool {
        let Some(entry) = self.objects.get_mut(&uid) else {
            return false;
        };
        for claim in std::mem::take(&mut entry.claims) {
            self.tenures.end(claim, uid, to_ns, exact);
        }
        if entry.containers.is_empty() {
            self.drop_entry(uid);
        } else if !entry.departed {
            entry.departed = true;
            self.departed.push_back((now_ns, uid));
        }
        true
    }

    fn drop_entry(&mut self, uid: u128) {
        let Some(entry) = self.objects.remove(&uid) else {
            return;
        };
        for id in &entry.containers {
            self.containers.remove(id);
        }
        if let Some(alias) = entry.alias {
            self.aliases.remove(&alias);
        }
    }

    fn identity(&mut self, kind: Kind, meta: &Meta, name: &str) -> Identity {
        Identity { namespace: self.names.some(&meta.namespace), ..Identity::new(kind, self.names.get(name)) }
    }
}

// === impl Locality ===

impl Locality {
    pub(super) fn new(node_name: Option<String>, boot_id: String) -> Self {
        Self { node_name, boot_id, by_boot_id: HashSet::new() }
    }

    fn see(&mut self, node: &Node, name: &Arc<str>) {
        if !self.boot_id.is_empty() && node.status.node_info.boot_id == self.boot_id {
            self.by_boot_id.insert(name.clone());
        }
    }

    /// Whether a pod of that node runs on this machine. Where nothing tells, all do: that costs memory, not names.
    fn has(&self, node: &str) -> bool {
        if self.node_name.as_deref() == Some(node) || self.by_boot_id.contains(node) {
            return true;
        }
        self.node_name.is_none() && self.by_boot_id.is_empty() && !node.is_empty()
    }
}

// === impl Entered ===

impl Entered for Pod {
    const WHAT: What = What::Pod;

    fn read(&self, table: &mut Table) -> Option<(Arc<Identity>, Claims)> {
        let workload = workload(self);
        let identity = table.identity(Kind::KubernetesWorkload, &self.metadata, &workload.name);
        let workload = table.names.get(&format!("{}/{}", workload.kind, workload.name));
        let pod = Some(shortened(&self.metadata.name).into());
        Some((Arc::new(Identity { workload: Some(workload), pod, ..identity }), Claims::of_pod(self)))
    }

    fn containers(&self, table: &mut Table, identity: &Arc<Identity>) -> Vec<(Box<str>, Arc<Identity>)> {
        if !table.locality.has(&self.spec.node_name) {
            return Vec::new();
        }
        let status = &self.status;
        let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
        let mut found = Vec::new();
        for container in all.into_iter().flatten() {
            let who = Arc::new(Identity {
                container: table.names.some(&container.name),
                image: table.names.some(self.image(container)),
                ..(**identity).clone()
            });
            found.extend(container.ids().map(|id| (id.into(), who.clone())));
        }
        found
    }

    fn ended_ns(&self) -> Option<u64> {
        ended(self)
    }
}

impl Pod {
    /// As it was asked for; the status has what that turned out to be, such as a digest.
    fn image<'a>(&'a self, container: &'a ContainerStatus) -> &'a str {
        let asked = self.spec.containers.iter().chain(&self.spec.init_containers);
        asked.into_iter().find(|spec| spec.name == container.name).map_or(&container.image, |spec| &spec.image)
    }
}

impl ContainerStatus {
    /// Now and before its last restart, without the runtime's name in front.
    fn ids(&self) -> impl Iterator<Item = &str> {
        let ended = [&self.state, &self.last_state].into_iter().filter_map(|state| state.terminated.as_ref());
        let ids = ended.map(|terminated| &terminated.container_id).chain([&self.container_id]);
        ids.filter_map(|id| id.split_once("://")).map(|(_, id)| shortened(id)).filter(|id| !id.is_empty())
    }
}

impl Entered for Service {
    const WHAT: What = What::Service;

    fn read(&self, table: &mut Table) -> Option<(Arc<Identity>, Claims)> {
        let identity = table.identity(Kind::KubernetesService, &self.metadata, &self.metadata.name);
        Some((Arc::new(identity), Claims::of_service(self)))
    }
}

impl Entered for Node {
    const WHAT: What = What::Node;

    fn read(&self, table: &mut Table) -> Option<(Arc<Identity>, Claims)> {
        let identity = table.identity(Kind::KubernetesNode, &self.metadata, &self.metadata.name);
        table.locality.see(self, &identity.name);
        Some((Arc::new(identity), Claims::of_node(self)))
    }
}

impl Entered for EndpointSlice {
    const WHAT: What = What::EndpointSlice;

    /// `None` for slices of pods alone, and of no service.
    fn read(&self, table: &mut Table) -> Option<(Arc<Identity>, Claims)> {
        let claims = Claims::of_slice(self);
        let service = self.metadata.labels.service_name.as_deref().filter(|_| !claims.claims.is_empty())?;
        Some((Arc::new(table.identity(Kind::KubernetesService, &self.metadata, service)), claims))
    }
}
