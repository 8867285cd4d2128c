//! The addresses that an object claims, since when, until when.

use std::net::IpAddr;

use super::{
    object::{ContainerStatus, EndpointSlice, Node, Pod, Service, address, addresses, is_tcp, unix_ns},
    tenure::Held,
};

/// A claim of an address, in the order of precedence of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Claim {
    /// A pod's own address.
    Pod(IpAddr),
    /// A pod's port on its node's address: a host port, or one of a pod in the node's network.
    HostPort(IpAddr, u16),
    /// A service's port on an address that may be shared: a load balancer's, an external one, or that of an endpoint that is no
    /// pod. Port 0: all ports.
    Frontend(IpAddr, u16),
    /// A service's cluster address.
    Cluster(IpAddr),
    /// A node's.
    Node(IpAddr),
    /// A service's port on every node.
    NodePort(u16),
}

/// All claims of one object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) claims: Vec<Claim>,
    /// Unix time; `None` where the object does not have it.
    pub(super) from_ns: Option<u64>,
    /// The claims have ended, and when, if that is known.
    pub(super) ended: Option<Option<u64>>,
}

impl Claims {
    pub(super) fn of_pod(pod: &Pod) -> Self {
        let (spec, status) = (&pod.spec, &pod.status);
        let own = addresses(&status.pod_ip, status.pod_ips.iter().map(|ip| ip.ip.as_str()));
        let mut host = addresses(&status.host_ip, status.host_ips.iter().map(|ip| ip.ip.as_str()));
        let containers = spec.containers.iter().chain(&spec.init_containers);
        let ports = containers.flat_map(|container| &container.ports).filter(|port| is_tcp(port.protocol.as_deref()));
        let mut claims = Vec::new();
        if spec.host_network {
            // The addresses are the node's: only the ports are the pod's.
            host.extend(own);
            claims.extend(ports.flat_map(|port| host.iter().map(|ip| Claim::HostPort(*ip, port.container_port))));
        } else {
            let host_ports = ports.filter(|port| port.host_port > 0);
            claims.extend(host_ports.flat_map(|port| host.iter().map(|ip| Claim::HostPort(*ip, port.host_port))));
            claims.extend(own.into_iter().map(Claim::Pod));
        }
        let over = matches!(status.phase.as_str(), "Succeeded" | "Failed");
        Self { claims: unique(claims), from_ns: began(pod), ended: over.then(|| ended(pod)) }
    }

    pub(super) fn of_service(service: &Service) -> Self {
        let (meta, spec) = (&service.metadata, &service.spec);
        let ports: Vec<_> = spec.ports.iter().filter(|port| is_tcp(port.protocol.as_deref())).collect();
        let cluster = addresses(&spec.cluster_ip, spec.cluster_ips.iter().map(String::as_str));
        let mut claims: Vec<_> = cluster.into_iter().map(Claim::Cluster).collect();
        let balanced = service.status.load_balancer.ingress.iter().map(|ingress| ingress.ip.as_str());
        for ip in addresses("", balanced.chain(spec.external_ips.iter().map(String::as_str))) {
            claims.extend(ports.iter().map(|port| Claim::Frontend(ip, port.port)));
        }
        claims.extend(ports.iter().filter(|port| port.node_port > 0).map(|port| Claim::NodePort(port.node_port)));
        Self { claims: unique(claims), from_ns: unix_ns(meta.creation_timestamp.as_ref()), ended: None }
    }

    pub(super) fn of_node(node: &Node) -> Self {
        let is_address = |kind: &str| matches!(kind, "InternalIP" | "ExternalIP");
        let addresses = node.status.addresses.iter().filter(|address| is_address(&address.kind));
        let claims = addresses.filter_map(|found| address(&found.address)).map(Claim::Node).collect();
        Self { claims: unique(claims), from_ns: unix_ns(node.metadata.creation_timestamp.as_ref()), ended: None }
    }

    /// Only endpoints that are no pods: a database outside the cluster, the API server itself.
    pub(super) fn of_slice(slice: &EndpointSlice) -> Self {
        let is_pod = |kind: Option<&str>| kind == Some("Pod");
        let outside =
            slice.endpoints.iter().filter(|end| !is_pod(end.target_ref.as_ref().map(|target| target.kind.as_str())));
        let ports = slice.ports.iter().filter(|port| is_tcp(port.protocol.as_deref()));
        let ports: Vec<_> = ports.map(|port| port.port.unwrap_or(0)).collect();
        let mut claims = Vec::new();
        for ip in outside.flat_map(|end| &end.addresses).filter_map(|text| address(text)) {
            claims.extend(ports.iter().map(|port| Claim::Frontend(ip, *port)));
        }
        Self { claims: unique(claims), from_ns: unix_ns(slice.metadata.creation_timestamp.as_ref()), ended: None }
    }
}

fn unique(mut claims: Vec<Claim>) -> Vec<Claim> {
    claims.sort_unstable();
    claims.dedup();
    claims
}

/// When the pod got its network: a condition since Kubernetes 1.29; before, soon after the kubelet started it.
fn began(pod: &Pod) -> Option<u64> {
    let ready = |kind: &str, status: &str| kind == "PodReadyToStartContainers" && status == "True";
    let networked = pod.status.conditions.iter().find(|condition| ready(&condition.kind, &condition.status));
    unix_ns(networked.and_then(|condition| condition.last_transition_time.as_ref()))
        .or_else(|| unix_ns(pod.status.start_time.as_ref()))
        .or_else(|| unix_ns(pod.metadata.creation_timestamp.as_ref()))
}

/// When the last of its containers ended; `None` while one runs, or if the time is missing.
pub(super) fn ended(pod: &Pod) -> Option<u64> {
    let status = &pod.status;
    let finished = |container: &ContainerStatus| {
        unix_ns(container.state.terminated.as_ref().and_then(|terminated| terminated.finished_at.as_ref()))
    };
    let all: Option<Vec<_>> = status.container_statuses.iter().map(finished).collect();
    all?.into_iter().max()
}

// === impl Claim ===

impl Held for Claim {
    fn exclusive(&self) -> bool {
        match self {
            Self::Pod(_) | Self::Cluster(_) | Self::Node(_) | Self::NodePort(_) => true,
            Self::HostPort(..) | Self::Frontend(..) => false,
        }
    }
}
