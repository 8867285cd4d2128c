//! The queues and limits of what is explained, as far as they were seen or polled.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use weir_engine::{AcceptQueueView, CgroupView, ListenerView, PortUse, PortsPoll, ProcessView, Snapshot};

use super::who::Subject;

/// All of them.
pub(super) struct Limits<'a> {
    pub(super) accept_queues: Vec<&'a AcceptQueueView>,
    pub(super) listeners: Vec<&'a ListenerView>,
    pub(super) processes: Vec<&'a ProcessView>,
    pub(super) cgroups: Vec<&'a CgroupView>,
    /// Of each network namespace, and how many are used towards each address that is called. Uses of a few ports are not counted.
    pub(super) ports: Vec<(&'a PortsPoll, Vec<&'a PortUse>)>,
}

impl<'a> Limits<'a> {
    pub(super) fn of(subjects: &[Subject], pids: &BTreeSet<u32>, snapshot: &'a Snapshot) -> Self {
        let edges = || snapshot.edges.iter().filter(|edge| !edge.is_other);
        let host = &snapshot.host;
        let processes: Vec<&ProcessView> =
            host.processes.iter().filter(|process| pids.contains(&process.last.pid)).collect();
        let namespaces: BTreeSet<u32> = processes.iter().map(|process| process.last.netns).collect();
        // Where a Kubernetes service or a published port is called, its server listens elsewhere.
        let served: BTreeSet<u16> = edges()
            .filter(|edge| edge.server_view.is_ok() && subjects.iter().any(|subject| subject.serves(edge)))
            .flat_map(|edge| edge.server.port.into_iter().chain(edge.server.backends.iter().map(SocketAddr::port)))
            .collect();
        let called: BTreeSet<SocketAddr> = edges()
            .filter(|edge| subjects.iter().any(|subject| subject.calls(edge)))
            .filter_map(|edge| Some(SocketAddr::from((edge.server.address?, edge.server.port?))))
            .collect();
        // What is not polled, as in its first seconds, has no namespace to compare.
        let here = |netns: u32| namespaces.is_empty() || namespaces.contains(&netns);
        let serves =
            |netns: u32, port: u32| here(netns) && u16::try_from(port).is_ok_and(|port| served.contains(&port));
        let accept_queues = snapshot.accept_queues.iter();
        let listeners = host.namespaces.iter().flat_map(|n| n.listeners.iter().map(|listener| (n.netns, listener)));
        let cgroups: BTreeMap<_, _> = host.cgroups.iter().map(|cgroup| (&*cgroup.path, cgroup)).collect();
        let paths: BTreeSet<&str> = processes.iter().filter_map(|process| process.last.cgroup.as_deref()).collect();
        let ports = host.namespaces.iter().filter(|namespace| namespaces.contains(&namespace.netns));
        let towards =
            |ports: &'a PortsPoll| ports.tuples.iter().filter(|tuple| called.contains(&tuple.remote)).collect();
        Self {
            accept_queues: accept_queues
                .filter(|queue| pids.contains(&queue.pid) || serves(queue.at.netns, queue.at.port))
                .collect(),
            listeners: listeners
                .filter(|(netns, listener)| {
                    let owned = listener.last.owner.as_ref().is_some_and(|owner| pids.contains(&owner.pid));
                    owned || serves(*netns, listener.last.address.port().into())
                })
                .map(|(_, listener)| listener)
                .collect(),
            cgroups: paths.into_iter().filter_map(|path| cgroups.get(path).copied()).collect(),
            ports: ports.filter_map(|n| n.ports.as_ref()).map(|ports| (ports, towards(ports))).collect(),
            processes,
        }
    }
}
