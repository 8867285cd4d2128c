//! What the table takes from each kind of object: its identity, its claims, its containers.

use std::{collections::HashSet, sync::Arc};

use weir_engine::{Identity, Kind};

use super::{
    claim::{Claims, ended},
    names::{Names, shortened},
    object::{ContainerStatus, EndpointSlice, Meta, Node, Object, Pod, Service},
    workload::workload,
};

/// The kinds of objects that weir watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ObjectKind {
    Node,
    Pod,
    Service,
    EndpointSlice,
}

/// An object of a watched kind.
pub(super) trait WatchedObject: Object {
    const KIND: ObjectKind;

    /// Its identity and claims; `None` if it has none.
    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)>;

    /// Its containers, if it is a pod of this machine.
    fn containers(&self, _naming: &mut Naming, _identity: &Arc<Identity>) -> Vec<(Box<str>, Arc<Identity>)> {
        Vec::new()
    }

    /// When it ended, if its last state has the time.
    fn ended_ns(&self) -> Option<u64> {
        None
    }
}

/// State shared by the reading of all objects.
#[derive(Debug)]
pub(super) struct Naming {
    names: Names,
    locality: Locality,
}

/// Which nodes are this machine.
#[derive(Debug, Default)]
pub(super) struct Locality {
    /// Set by the user or in the pod's environment.
    node_name: Option<String>,
    /// This kernel's, which a node also reports. It needs no configuration, and is right where one host runs several nodes.
    boot_id: String,
    by_boot_id: HashSet<Arc<str>>,
}

// === impl Naming ===

impl Naming {
    pub(super) fn new(locality: Locality) -> Self {
        Self { names: Names::default(), locality }
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

    /// Whether a pod of that node runs on this machine. True if this machine is unknown: that costs memory, not names.
    fn has(&self, node: &str) -> bool {
        if self.node_name.as_deref() == Some(node) || self.by_boot_id.contains(node) {
            return true;
        }
        self.node_name.is_none() && self.by_boot_id.is_empty() && !node.is_empty()
    }
}

// === impl WatchedObject ===

impl WatchedObject for Pod {
    const KIND: ObjectKind = ObjectKind::Pod;

    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)> {
        let workload = workload(self);
        let identity = naming.identity(Kind::KubernetesWorkload, &self.metadata, &workload.name);
        let workload = naming.names.get(&format!("{}/{}", workload.kind, workload.name));
        let pod = Some(shortened(&self.metadata.name).into());
        Some((Arc::new(Identity { workload: Some(workload), pod, ..identity }), Claims::of_pod(self)))
    }

    fn containers(&self, naming: &mut Naming, identity: &Arc<Identity>) -> Vec<(Box<str>, Arc<Identity>)> {
        if !naming.locality.has(&self.spec.node_name) {
            return Vec::new();
        }
        let status = &self.status;
        let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
        let mut found = Vec::new();
        for container in all.into_iter().flatten() {
            let identity = Arc::new(Identity {
                container: naming.names.some(&container.name),
                image: naming.names.some(self.image(container)),
                ..(**identity).clone()
            });
            found.extend(container.ids().map(|id| (id.into(), identity.clone())));
        }
        found
    }

    fn ended_ns(&self) -> Option<u64> {
        ended(self)
    }
}

impl Pod {
    /// As requested: the status has it as resolved, such as a digest.
    fn image<'a>(&'a self, container: &'a ContainerStatus) -> &'a str {
        let asked = self.spec.containers.iter().chain(&self.spec.init_containers);
        asked.into_iter().find(|spec| spec.name == container.name).map_or(&container.image, |spec| &spec.image)
    }
}

impl ContainerStatus {
    /// The present id and the one before the last restart, without the runtime's name in front.
    fn ids(&self) -> impl Iterator<Item = &str> {
        let ended = [&self.state, &self.last_state].into_iter().filter_map(|state| state.terminated.as_ref());
        let ids = ended.map(|terminated| &terminated.container_id).chain([&self.container_id]);
        ids.filter_map(|id| id.split_once("://")).map(|(_, id)| shortened(id)).filter(|id| !id.is_empty())
    }
}

impl WatchedObject for Service {
    const KIND: ObjectKind = ObjectKind::Service;

    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)> {
        let identity = naming.identity(Kind::KubernetesService, &self.metadata, &self.metadata.name);
        Some((Arc::new(identity), Claims::of_service(self)))
    }
}

impl WatchedObject for Node {
    const KIND: ObjectKind = ObjectKind::Node;

    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)> {
        let identity = naming.identity(Kind::KubernetesNode, &self.metadata, &self.metadata.name);
        naming.locality.see(self, &identity.name);
        Some((Arc::new(identity), Claims::of_node(self)))
    }
}

impl WatchedObject for EndpointSlice {
    const KIND: ObjectKind = ObjectKind::EndpointSlice;

    /// `None` for slices of pods alone, and of no service.
    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)> {
        let claims = Claims::of_slice(self);
        let service = self.metadata.labels.service_name.as_deref().filter(|_| !claims.claims.is_empty())?;
        Some((Arc::new(naming.identity(Kind::KubernetesService, &self.metadata, service)), claims))
    }
}
