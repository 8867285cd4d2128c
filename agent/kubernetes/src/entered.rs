//! How each kind of object goes into the table: who it is, what it claims, what runs in it.

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
    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)>;

    /// Its containers, where they are looked for.
    fn containers(&self, _naming: &mut Naming, _identity: &Arc<Identity>) -> Vec<(Box<str>, Arc<Identity>)> {
        Vec::new()
    }

    /// When it really ended, if its last words tell.
    fn ended_ns(&self) -> Option<u64> {
        None
    }
}

/// What all objects are read with.
#[derive(Debug)]
pub(super) struct Naming {
    names: Names,
    locality: Locality,
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
            let who = Arc::new(Identity {
                container: naming.names.some(&container.name),
                image: naming.names.some(self.image(container)),
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

    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)> {
        let identity = naming.identity(Kind::KubernetesService, &self.metadata, &self.metadata.name);
        Some((Arc::new(identity), Claims::of_service(self)))
    }
}

impl Entered for Node {
    const WHAT: What = What::Node;

    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)> {
        let identity = naming.identity(Kind::KubernetesNode, &self.metadata, &self.metadata.name);
        naming.locality.see(self, &identity.name);
        Some((Arc::new(identity), Claims::of_node(self)))
    }
}

impl Entered for EndpointSlice {
    const WHAT: What = What::EndpointSlice;

    /// `None` for slices of pods alone, and of no service.
    fn read(&self, naming: &mut Naming) -> Option<(Arc<Identity>, Claims)> {
        let claims = Claims::of_slice(self);
        let service = self.metadata.labels.service_name.as_deref().filter(|_| !claims.claims.is_empty())?;
        Some((Arc::new(naming.identity(Kind::KubernetesService, &self.metadata, service)), claims))
    }
}
