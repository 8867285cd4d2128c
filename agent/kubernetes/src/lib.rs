//! The cluster that this machine is a node of: whose container, and whose address.
//!
//! A thread of its own lists and watches pods, services, nodes and endpoint slices, and keeps what names need in a
//! table of half a kilobyte for each pod. Whoever asks reads the table and never waits for the network. Without the API
//! there are simply no answers, and [`Status`] tells why.
//!
//! All pods of the cluster are watched, not only this node's, because the far end of an edge may be any of them.
//! Endpoint slices would tell only of pods behind services, and call them by the service and not by their workload;
//! they also change with each readiness probe. Of slices only those are asked for that no controller makes from pods.

mod access;
mod claim;
mod entered;
mod names;
mod object;
mod shared;
mod status;
mod table;
#[cfg(test)]
mod table_tests;
mod tenure;
mod watch;
mod workload;

pub use status::Status;

use std::{fs, net::IpAddr, path::PathBuf, sync::Arc, thread, time::Duration};

use tokio::{
    runtime,
    sync::oneshot,
    time::{interval, timeout},
};
use weir_engine::Identity;

use access::Access;
use entered::{Locality, What};
use object::{EndpointSlice, Node, Pod, Service};
use shared::{Shared, now_ns};
use table::Table;
use watch::{Resource, keep};

const NODES: Resource = Resource { name: "nodes", paths: &["/api/v1/nodes"], labels: None };
const PODS: Resource = Resource { name: "pods", paths: &["/api/v1/pods"], labels: None };
const SERVICES: Resource = Resource { name: "services", paths: &["/api/v1/services"], labels: None };
/// Those that somebody wrote, that mirror written endpoints, and the API server's own. The controller's hold only pods.
const SLICES: Resource = Resource {
    name: "endpointslices",
    paths: &["/apis/discovery.k8s.io/v1/endpointslices", "/apis/discovery.k8s.io/v1beta1/endpointslices"],
    labels: Some("endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io"),
};
/// Pods are listed without knowing which are this machine's after that: then all are looked up by container.
const NODES_FIRST: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// Which cluster, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What `KUBECONFIG` names, else the cluster whose pod this is, else none.
    #[default]
    Auto,
    /// None.
    Off,
    /// What this file names.
    Kubeconfig(PathBuf),
}

/// What a user may choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which cluster, if any.
    pub mode: Mode,
    /// This machine's name in the cluster. Nodes are also known by the kernel's boot id, so that it is rarely needed.
    pub node_name: Option<String>,
    /// Objects that are kept; more are counted. 50,000 take some 30 MiB.
    pub max_objects: usize,
}

/// How much is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods, finished ones that are still in the API among them.
    pub pods: usize,
    /// Services.
    pub services: usize,
    /// Nodes.
    pub nodes: usize,
    /// Endpoint slices with addresses that are no pods'.
    pub endpoint_slices: usize,
    /// Containers of this machine, those of the last ten minutes among them.
    pub containers: usize,
    /// News of objects beyond `max_objects`.
    pub over_limit: u64,
    /// Objects that are not like Kubernetes'.
    pub unreadable: u64,
    /// Past holders of addresses that had to be forgotten before ten minutes were over.
    pub forgotten_early: u64,
}

/// A watch over a cluster, which ends when this is dropped.
pub struct Kubernetes {
    shared: Option<Arc<Shared>>,
    /// Dropped first, which ends the thread.
    _stop: Option<oneshot::Sender<()>>,
}

impl Kubernetes {
    /// Starts watching, if there is what to watch. Returns at once.
    pub fn start(config: &Config) -> Self {
        let Some(access) = Access::find(&config.mode) else {
            return Self { shared: None, _stop: None };
        };
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let node_name = config.node_name.clone().or_else(|| std::env::var("NODE_NAME").ok());
        let locality = Locality::new(node_name.filter(|name| !name.is_empty()), boot_id.trim().into());
        let shared = Arc::new(Shared::new(Table::new(config.max_objects, locality)));
        let (stop, stopped) = oneshot::channel();
        let watching = shared.clone();
        let thread = thread::Builder::new().name("kubernetes".into());
        if let Err(error) = thread.spawn(move || run(&access, &watching, stopped)) {
            shared.fails(What::Node, format!("cannot start a thread for Kubernetes: {error}").into(), now_ns());
        }
        Self { shared: Some(shared), _stop: Some(stop) }
    }

    /// How it stands with the API.
    pub fn status(&self) -> Status {
        self.shared.as_ref().map_or(Status::Off, |shared| shared.status())
    }

    /// Another number whenever an answer may have become another one.
    pub fn generation(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.generation())
    }

    /// Who runs in a container of this machine, by the pod's uid and the container's id as cgroup paths have them. The
    /// pod is known from its uid a moment before its containers are; then container and image are absent.
    pub fn local(&self, pod: Option<&str>, container: Option<&str>) -> Option<Arc<Identity>> {
        self.shared.as_ref()?.table().local(pod, container)
    }

    /// Who was behind this address and port at that unix time: the pod, else the service, else the node.
    pub fn address(&self, ip: IpAddr, port: u16, at_unix_ns: u64) -> Option<Arc<Identity>> {
        self.shared.as_ref()?.table().address(ip, port, at_unix_ns)
    }

    /// How much is known.
    pub fn counts(&self) -> Counts {
        self.shared.as_ref().map_or_else(Counts::default, |shared| shared.table().counts())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { mode: Mode::Auto, node_name: None, max_objects: 50_000 }
    }
}

/// The thread: four watches, and now and then a look at what to forget.
fn run(access: &Access, shared: &Shared, stopped: oneshot::Receiver<()>) {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            shared.fails(What::Node, format!("cannot watch Kubernetes: {error}").into(), now_ns());
            return;
        }
    };
    let pods = async {
        // It is no matter if they are late.
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
    // A name that is being looked up has a thread that cannot be stopped.
    runtime.shutdown_background();
}
