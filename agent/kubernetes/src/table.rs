//! What is known of the cluster, and the two lookups in it: by container, and by address.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use weir_engine::Identity;

use super::{
    claim::Claim,
    object::uid,
    tenure::{REMEMBERED_NS, Tenures},
    watched::{Locality, Naming, ObjectKind, WatchedObject},
};

/// A pod's address is trusted this long after the last update: a node that is cut off from the API does not learn that the
/// address has been reassigned. If the whole API is down, no address is reassigned; the two cases cannot be distinguished here.
/// A choice.
const TRUSTED_NS: u64 = 600_000_000_000;

/// The size of the table, and its losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods, including finished ones that are still in the API.
    pub pods: usize,
    /// Services.
    pub services: usize,
    /// Nodes.
    pub nodes: usize,
    /// Endpoint slices with addresses that are not pods'.
    pub endpoint_slices: usize,
    /// Containers of this machine, including those that ended in the last ten minutes.
    pub containers: usize,
    /// Updates of objects beyond `max_objects`.
    pub over_limit: u64,
    /// Objects that could not be decoded.
    pub unreadable: u64,
    /// Former holders of addresses that were forgotten within ten minutes, because of the limits.
    pub forgotten_early: u64,
}

/// What is known of the cluster.
#[derive(Debug)]
pub(super) struct Table {
    objects: HashMap<u128, Entry>,
    tenures: Tenures<Claim>,
    /// By container id, for the nodes that are this machine.
    containers: HashMap<Box<str>, Arc<Identity>>,
    /// From the uid that the kubelet gives a static pod to the API's.
    aliases: HashMap<u128, u128>,
    /// Local pods that have been deleted, and when.
    departed: VecDeque<(u64, u128)>,
    naming: Naming,
    /// The number of the latest list of each kind.
    rounds: [u32; 4],
    /// Since when the watch of pods has not been receiving updates; none while it is.
    watch_stale_since_ns: Option<u64>,
    limit: usize,
    over_limit: u64,
    unreadable: u64,
}

#[derive(Debug)]
struct Entry {
    kind: ObjectKind,
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
            naming: Naming::new(locality),
            rounds: [0; 4],
            watch_stale_since_ns: None,
            limit,
            over_limit: 0,
            unreadable: 0,
        }
    }

    /// The identity of this container, or at least of this pod.
    pub(super) fn local(&self, pod: Option<&str>, container: Option<&str>) -> Option<Arc<Identity>> {
        if let Some(found) = container.and_then(|id| self.containers.get(id)) {
            return Some(found.clone());
        }
        let uid = uid(pod?)?;
        let entry = self.objects.get(self.aliases.get(&uid).unwrap_or(&uid))?;
        (entry.kind == ObjectKind::Pod).then(|| entry.identity.clone())
    }

    /// The identity behind this address and port at that time.
    pub(super) fn address(&self, ip: IpAddr, port: u16, unix_ns: u64) -> Option<Arc<Identity>> {
        let ip = ip.to_canonical();
        let of_a_pod = [Claim::Pod(ip), Claim::HostPort(ip, port)];
        let of_a_service = [Claim::Frontend(ip, port), Claim::Frontend(ip, 0), Claim::Cluster(ip)];
        let trusted = self.watch_stale_since_ns.is_none_or(|since| unix_ns < since.saturating_add(TRUSTED_NS));
        let found = |claims: &[Claim]| claims.iter().find_map(|claim| self.tenures.at(claim, unix_ns)).cloned();
        if let Some(pod) = found(&of_a_pod).filter(|_| trusted) {
            return Some(pod);
        }
        if let Some(service) = found(&of_a_service) {
            return Some(service);
        }
        let node = found(&[Claim::Node(ip)])?;
        Some(found(&[Claim::NodePort(port)]).unwrap_or(node))
    }

    /// A list of all objects of a kind begins.
    pub(super) fn list_begins(&mut self, kind: ObjectKind) {
        let round = &mut self.rounds[kind as usize];
        *round = round.wrapping_add(1);
    }

    /// The list is complete: objects that are not in it were deleted without an event, at some time after `last_update_ns`.
    pub(super) fn list_ends(&mut self, kind: ObjectKind, last_update_ns: u64, now_ns: u64) {
        let round = self.rounds[kind as usize];
        let gone =
            self.objects.iter().filter(|(_, entry)| entry.kind == kind && entry.round != round && !entry.departed);
        let gone: Vec<_> = gone.map(|(uid, _)| *uid).collect();
        for uid in gone {
            self.leave(uid, last_update_ns.min(now_ns), false, now_ns);
        }
    }

    /// An object is new, has changed, or is in a list. Returns whether that changes the table.
    pub(super) fn enter<T: WatchedObject>(&mut self, object: &T, now_ns: u64) -> bool {
        let Some(uid) = uid(&object.meta().uid) else {
            self.unreadable += 1;
            return false;
        };
        if !self.objects.contains_key(&uid) && self.objects.len() >= self.limit {
            self.over_limit += 1;
            return false;
        }
        let Some((identity, claims)) = object.read(&mut self.naming) else {
            return self.leave(uid, now_ns, false, now_ns);
        };
        let from_ns = claims.from_ns.unwrap_or(now_ns).min(now_ns);
        let old = self.objects.remove(&uid);
        let identity = match &old {
            Some(old) if old.identity == identity => old.identity.clone(),
            _ => identity,
        };
        // The addresses of a finished pod may be reassigned.
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
        let round = self.rounds[T::KIND as usize];
        let entry = Entry { kind: T::KIND, round, identity, claims, containers, alias, departed: false };
        self.objects.insert(uid, entry);
        !same
    }

    /// An object was deleted.
    pub(super) fn remove<T: WatchedObject>(&mut self, object: &T, now_ns: u64) {
        let Some(uid) = uid(&object.meta().uid) else {
            self.unreadable += 1;
            return;
        };
        // The deletion may be the first event that has its containers.
        if self.objects.contains_key(&uid) {
            self.enter(object, now_ns);
        }
        let end = object.ended_ns();
        self.leave(uid, end.unwrap_or(now_ns).min(now_ns), end.is_some(), now_ns);
    }

    /// Forgets objects that were deleted long ago.
    pub(super) fn forget(&mut self, now_ns: u64) {
        let before = now_ns.saturating_sub(REMEMBERED_NS);
        self.tenures.forget(before);
        // A quarter of the limit at most: a crash loop must not fill the table with deleted pods.
        while self.departed.front().is_some_and(|(at, _)| *at < before) || self.departed.len() > self.limit / 4 {
            let Some((_, uid)) = self.departed.pop_front() else {
                return;
            };
            if self.objects.get(&uid).is_some_and(|entry| entry.departed) {
                self.drop_entry(uid);
            }
        }
    }

    /// The watch of pods has not been receiving updates since then; none: it is receiving them.
    pub(super) fn set_watch_stale_since(&mut self, since_ns: Option<u64>) {
        self.watch_stale_since_ns = since_ns;
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |kind: ObjectKind| self.objects.values().filter(|entry| entry.kind == kind && !entry.departed).count();
        Counts {
            pods: of(ObjectKind::Pod),
            services: of(ObjectKind::Service),
            nodes: of(ObjectKind::Node),
            endpoint_slices: of(ObjectKind::EndpointSlice),
            containers: self.containers.len(),
            over_limit: self.over_limit,
            unreadable: self.unreadable,
            forgotten_early: self.tenures.forgotten_early(),
        }
    }

    fn enter_containers<T: WatchedObject>(
        &mut self,
        object: &T,
        identity: &Arc<Identity>,
        old: &[Box<str>],
    ) -> Box<[Box<str>]> {
        let found = object.containers(&mut self.naming, identity);
        let ids: Box<[Box<str>]> = found.iter().map(|(id, _)| id.clone()).collect();
        for gone in old.iter().filter(|id| !ids.contains(id)) {
            self.containers.remove(gone);
        }
        self.containers.extend(found);
        ids
    }

    /// Ends all of its claims. A local pod stays known by its uid and containers: those are never reused, and its last
    /// connections have not been named yet.
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
}
