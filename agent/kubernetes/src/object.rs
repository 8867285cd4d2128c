//! The parts of the API's objects that weir reads. k8s-openapi's own types hold whole objects: some 8 KiB for a pod, of which a
//! name needs 500 bytes.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// A kind of object that weir watches.
pub(super) trait Object: Clone + DeserializeOwned {
    fn meta(&self) -> &Meta;
}

/// Metadata that every object has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) creation_timestamp: Option<Time>,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: Labels,
    #[serde(deserialize_with = "or_default")]
    pub(super) annotations: Annotations,
    #[serde(deserialize_with = "or_default")]
    pub(super) owner_references: Vec<Owner>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Labels {
    /// Set by the Deployment controller on its ReplicaSets and their pods.
    #[serde(rename = "pod-template-hash")]
    pub(super) template_hash: Option<String>,
    /// The same, set by Argo Rollouts.
    #[serde(rename = "rollouts-pod-template-hash")]
    pub(super) rollout_hash: Option<String>,
    /// The service whose addresses an EndpointSlice has.
    #[serde(rename = "kubernetes.io/service-name")]
    pub(super) service_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Annotations {
    /// The uid that the kubelet gives a static pod: the one in its cgroups' paths.
    #[serde(rename = "kubernetes.io/config.hash")]
    pub(super) config_hash: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) controller: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Meta,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) node_name: String,
    pub(super) host_network: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) containers: Vec<Container>,
    /// Sidecars among them serve as containers do.
    #[serde(deserialize_with = "or_default")]
    pub(super) init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerPort {
    pub(super) container_port: u16,
    pub(super) host_port: u16,
    /// TCP where absent.
    pub(super) protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: String,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pub(super) pod_ips: Vec<Ip>,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: String,
    #[serde(rename = "hostIPs", deserialize_with = "or_default")]
    pub(super) host_ips: Vec<Ip>,
    pub(super) start_time: Option<Time>,
    #[serde(deserialize_with = "or_default")]
    pub(super) conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_default")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ip {
    pub(super) ip: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) last_transition_time: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) image: String,
    /// `containerd://<id>`
    #[serde(rename = "containerID")]
    pub(super) container_id: String,
    pub(super) state: ContainerState,
    /// The state before its last restart.
    pub(super) last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Terminated {
    pub(super) finished_at: Option<Time>,
    #[serde(rename = "containerID")]
    pub(super) container_id: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) metadata: Meta,
    pub(super) spec: ServiceSpec,
    pub(super) status: ServiceStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: String,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    pub(super) cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "or_default")]
    pub(super) external_ips: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePort {
    pub(super) port: u16,
    pub(super) node_port: u16,
    pub(super) protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceStatus {
    pub(super) load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadBalancer {
    #[serde(deserialize_with = "or_default")]
    pub(super) ingress: Vec<Ip>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub(super) metadata: Meta,
    pub(super) status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeStatus {
    #[serde(deserialize_with = "or_default")]
    pub(super) addresses: Vec<NodeAddress>,
    pub(super) node_info: NodeInfo,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeAddress {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeInfo {
    #[serde(rename = "bootID")]
    pub(super) boot_id: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointSlice {
    pub(super) metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    pub(super) endpoints: Vec<Endpoint>,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: Vec<EndpointPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Endpoint {
    #[serde(deserialize_with = "or_default")]
    pub(super) addresses: Vec<String>,
    pub(super) target_ref: Option<TargetRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TargetRef {
    pub(super) kind: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointPort {
    pub(super) port: Option<u16>,
    pub(super) protocol: Option<String>,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct Page<T> {
    pub(super) metadata: PageMeta,
    /// Go writes an empty list as null.
    #[serde(default = "Vec::new", deserialize_with = "or_default")]
    pub(super) items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMeta {
    pub(super) resource_version: String,
    pub(super) r#continue: String,
}

/// Go omits empty values, or writes null.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// weir watches TCP.
pub(super) fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

/// Since 1970; `None` before.
pub(super) fn unix_ns(time: Option<&Time>) -> Option<u64> {
    u64::try_from(time?.0.as_nanosecond()).ok()
}

/// Kubernetes' uids are UUIDs, and a static pod's hash is as long. A number takes half the memory of the text.
pub(super) fn uid(text: &str) -> Option<u128> {
    let mut digits = 0;
    let mut value = 0;
    // systemd's unit names have `_` in place of `-`, which separates slices.
    for digit in text.chars().filter(|c| !matches!(c, '-' | '_')) {
        value = value << 4 | u128::from(digit.to_digit(16)?);
        digits += 1;
    }
    (digits == 32).then_some(value)
}

/// Services have the text `None` if they have no address, and an empty text before they get one.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// All addresses of a pair of fields: one with the first of them, and one with all.
pub(super) fn addresses<'a>(first: &'a str, all: impl Iterator<Item = &'a str>) -> Vec<IpAddr> {
    let mut found: Vec<_> = all.chain([first]).filter_map(address).collect();
    found.sort_unstable();
    found.dedup();
    found
}

// === impl Object ===

impl Object for Pod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Object for Service {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Object for Node {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Object for EndpointSlice {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}
