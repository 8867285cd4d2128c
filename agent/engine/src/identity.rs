//! What an end of an edge is called, and how that is known.

use std::{net::SocketAddr, sync::Arc};

pub use service::{Service, Short};

mod service;

/// What kind of thing a name stands for; the better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// What a rule of the user's has put together.
    Group,
    /// A process that says its own name (`OTEL_SERVICE_NAME`, `service.name` of `OTEL_RESOURCE_ATTRIBUTES`).
    Declared,
    /// A Kubernetes workload: what owns the pods.
    KubernetesWorkload,
    /// A Kubernetes service, by its cluster address.
    KubernetesService,
    /// A Kubernetes node.
    KubernetesNode,
    /// A container that no Kubernetes knows.
    Container,
    /// A systemd unit, or a user's scope.
    Unit,
    /// A program, or the script that it runs.
    Executable,
    /// A host, by the name that the process asked for.
    DnsName,
    /// An address without a name.
    Address,
    /// Clients with public addresses: one service together.
    Internet,
    /// Everything beyond a limit.
    Other,
}

impl Kind {
    /// Every kind with its name, in order.
    pub const ALL: &'static [(Kind, &'static str)] = &[
        (Self::Group, "group"),
        (Self::Declared, "declared"),
        (Self::KubernetesWorkload, "kubernetes_workload"),
        (Self::KubernetesService, "kubernetes_service"),
        (Self::KubernetesNode, "kubernetes_node"),
        (Self::Container, "container"),
        (Self::Unit, "unit"),
        (Self::Executable, "executable"),
        (Self::DnsName, "dns_name"),
        (Self::Address, "address"),
        (Self::Internet, "internet"),
        (Self::Other, "other"),
    ];

    /// Its name in documents and recordings.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("other", |(_, name)| name)
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// Who an end of an edge is. Kind, namespace and name make the service; the rest tells its instances apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// What the name stands for.
    pub kind: Kind,
    /// The Kubernetes namespace, or the declared `service.namespace`.
    pub namespace: Option<Arc<str>>,
    /// What an engineer calls it.
    pub name: Arc<str>,
    /// The Kubernetes workload, `deployment/checkout`.
    pub workload: Option<Arc<str>>,
    /// The Kubernetes pod.
    pub pod: Option<Arc<str>>,
    /// The container's name.
    pub container: Option<Arc<str>>,
    /// The container's image.
    pub image: Option<Arc<str>>,
    /// The systemd unit.
    pub unit: Option<Arc<str>>,
    /// The host name that the process asked for when it got this address.
    pub dns_name: Option<Arc<str>>,
}

impl Identity {
    /// One that is known by a name alone.
    pub fn new(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            namespace: None,
            name: name.into(),
            workload: None,
            pod: None,
            container: None,
            image: None,
            unit: None,
            dns_name: None,
        }
    }
}

impl Identity {
    /// What is known besides kind and name, by its name in documents.
    pub fn details(&self) -> [(&'static str, Option<&str>); 7] {
        let Self { kind: _, namespace, name: _, workload, pod, container, image, unit, dns_name } = self;
        [
            ("namespace", namespace.as_deref()),
            ("workload", workload.as_deref()),
            ("pod", pod.as_deref()),
            ("container", container.as_deref()),
            ("image", image.as_deref()),
            ("unit", unit.as_deref()),
            ("dns_name", dns_name.as_deref()),
        ]
    }

    /// The service that it is an instance of.
    pub fn service(&self) -> Service {
        Service::of(self)
    }

    /// What two instances of a service have in common.
    pub(crate) fn in_common(&self, other: &Self) -> Self {
        let same = |f: fn(&Self) -> &Option<Arc<str>>| f(self).clone().filter(|_| f(self) == f(other));
        Self {
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: Arc::clone(&self.name),
            workload: same(|i| &i.workload),
            pod: same(|i| &i.pod),
            container: same(|i| &i.container),
            image: same(|i| &i.image),
            unit: same(|i| &i.unit),
            dns_name: same(|i| &i.dns_name),
        }
    }
}

/// Which end of an edge's record is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamedEnd {
    /// The process that the record belongs to.
    Own,
    /// The far end, behind the record's address.
    Far,
}

/// A name for one end of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The edge's slot.
    pub slot: u32,
    /// Which end.
    pub end: NamedEnd,
    /// Monotonic time since when the name holds. Later than the edge's first sight: what came before keeps the old name.
    pub since_ns: u64,
    /// The name, or why there is none.
    pub identity: Result<Arc<Identity>, Arc<str>>,
}

/// Where connections to an edge's address really go (DNAT), as the kernel's connection tracking says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The edge's slot.
    pub slot: u32,
    /// The real address and port.
    pub address: SocketAddr,
}
