//! The cluster that this machine is a node of: which pod runs a container, and which object has an address.
//!
//! A thread of its own lists and watches pods, services, nodes and endpoint slices, and keeps what names need in a table of half
//! a kilobyte for each pod. Lookups read the table and never wait for the network. Without the API they return nothing, and
//! [`Status`] has the reason.
//!
//! All pods of the cluster are watched, not only this node's, because the far end of an edge may be any of them. Endpoint slices
//! would list only pods behind services, and name them by the service and not by their workload; they also change with each
//! readiness probe. Only slices that no controller makes from pods are watched.

mod access;
mod claim;
mod config;
mod names;
mod object;
mod shared;
mod status;
mod table;
#[cfg(test)]
mod table_tests;
mod tenure;
mod watch;
mod watched;
mod workload;

pub use config::{Config, Mode};
pub use status::Status;
pub use table::Counts;

use std::{fs, net::IpAddr, sync::Arc, thread, time::Duration};

use tokio::{
    runtime,
    sync::oneshot,
    time::{interval, timeout},
};
use weir_engine::Identity;

use access::Access;
use object::{EndpointSlice, Node, Pod, Service};
use shared::{Shared, now_ns};
use table::Table;
use watch::{Resource, keep};
use watched::{Locality, ObjectKind};

const NODES: Resource = Resource { name: "nodes", paths: &["/api/v1/nodes"], labels: None };
const PODS: Resource = Resource { name: "pods", paths: &["/api/v1/pods"], labels: None };
const SERVICES: Resource = Resource { name: "services", paths: &["/api/v1/services"], labels: None };
/// Slices that a user wrote, that mirror endpoints written by a user, and the API server's own. The controller's have only
/// pods.
const SLICES: Resource = Resource {
    name: "endpointslices",
    paths: &["/apis/discovery.k8s.io/v1/endpointslices", "/apis/discovery.k8s.io/v1beta1/endpointslices"],
    labels: Some("endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io"),
};
/// Pods are listed after this long even if the nodes are unknown: then the containers of all pods are kept, not only this
/// machine's. A choice.
const NODES_FIRST: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// A watch of a cluster. Dropping it ends the watch.
pub struct Kubernetes {
    shared: Option<Arc<Shared>>,
    /// Dropped first, which ends the thread.
    _stop: Option<oneshot::Sender<()>>,
}

impl Kubernetes {
    /// Starts to watch, if a cluster is configured or found. Returns at once.
    pub fn start(config: &Config) -> Self {
        let Some(access) = Access::find(&config.mode) else {
            return Self { shared: None, _stop: None };
        };
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let locality = Locality::new(config.node_name.clone(), boot_id.trim().into());
        let shared = Arc::new(Shared::new(Table::new(config.max_objects, locality)));
        let (stop, stopped) = oneshot::channel();
        let watching = shared.clone();
        let thread = thread::Builder::new().name("kubernetes".into());
        if let Err(error) = thread.spawn(move || run(&access, &watching, stopped)) {
            shared.fails(ObjectKind::Node, format!("cannot start a thread for Kubernetes: {error}").into(), now_ns());
        }
        Self { shared: Some(shared), _stop: Some(stop) }
    }

    /// State of the connection to the API.
    pub fn status(&self) -> Status {
        self.shared.as_ref().map_or(Status::Off, |shared| shared.status())
    }

    /// Changes whenever the result of a lookup may have changed.
    pub fn generation(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.generation())
    }

    /// The identity of a container of this machine, by the pod's uid and the container's id as in cgroup paths. The pod is known
    /// a moment before its containers; until then container and image are absent.
    pub fn local(&self, pod: Option<&str>, container: Option<&str>) -> Option<Arc<Identity>> {
        self.shared.as_ref()?.table().local(pod, container)
    }

    /// The identity behind this address and port at that unix time: the pod, else the service, else the node.
    pub fn address(&self, ip: IpAddr, port: u16, at_unix_ns: u64) -> Option<Arc<Identity>> {
        self.shared.as_ref()?.table().address(ip, port, at_unix_ns)
    }

    /// The size of the table, and its losses.
    pub fn counts(&self) -> Counts {
        self.shared.as_ref().map_or_else(Counts::default, |shared| shared.table().counts())
    }
}

/// The thread: four watches, and a periodic clean-up.
fn run(access: &Access, shared: &Shared, stopped: oneshot::Receiver<()>) {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            shared.fails(ObjectKind::Node, format!("cannot watch Kubernetes: {error}").into(), now_ns());
            return;
        }
    };
    let pods = async {
        // Late nodes do no harm: see `NODES_FIRST`.
        let _ = timeout(NODES_FIRST, shared.nodes_listed.notified()).await;
        keep::<Pod>(access, shared, &PODS).await
    };
    let forget = async {
        let mut ticks = interval(FORGET_EVERY);
        loop {
            ticks.tick().await;
            shared.forget();
        }
    };
    runtime.block_on(async {
        tokio::select! {
            // The sender is never used, only dropped.
            _ = stopped => {}
            _ = keep::<Node>(access, shared, &NODES) => {}
            _ = pods => {}
            _ = keep::<Service>(access, shared, &SERVICES) => {}
            _ = keep::<EndpointSlice>(access, shared, &SLICES) => {}
            () = forget => {}
        }
    });
    // A name resolution in progress has a thread that cannot be stopped.
    runtime.shutdown_background();
}
