//! What changed between two windows: processes that began or ended, listeners that opened or closed, instances more or less.
//!
//! Only what a window shows by itself is a change. A service that falls silent has not ended, and a namespace that is looked
//! at for the first time has opened nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::Facts,
    incident::changes::{Change, ChangeKind},
};
use weir_engine::{Absent, End, NamespaceView, Service, Snapshot};

/// Listeners and services remembered; of more the first ones.
const MAX_KNOWN: usize = 4096;

/// What the last window showed.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Ports that are listened on, by network namespace: those looked at in the last window.
    ports: BTreeMap<u32, BTreeSet<u16>>,
    /// The service that accepted there last.
    accepts: BTreeMap<(u32, u16), Service>,
    /// Processes that serve, where there were any.
    instances: BTreeMap<Service, usize>,
    /// Services of which something had ended: it is reported once.
    ended: BTreeSet<Service>,
}

impl Observed {
    /// What changed since the last window.
    pub(crate) fn changes(&mut self, facts: &Facts<'_>) -> Vec<Change> {
        let (snapshot, now_ns) = (facts.snapshot, facts.now_ns());
        let ends = snapshot.edges.iter().flat_map(|edge| [&edge.client, &edge.server]);
        let mut changes: Vec<Change> = ends.filter_map(|end| started(end, now_ns, snapshot.window_ns)).collect();
        let mut add = |kind, service| changes.push(Change { at_ns: now_ns, kind, service });
        self.exits(snapshot).into_iter().for_each(|service| add(ChangeKind::ProcessExited, service));
        self.instances(snapshot).into_iter().for_each(|service| add(ChangeKind::InstancesChanged, service));
        self.listeners(facts).into_iter().for_each(|(kind, service)| add(kind, service));
        changes
    }

    /// Servers of which all that this host knew has ended.
    fn exits(&mut self, snapshot: &Snapshot) -> Vec<Service> {
        let servers = snapshot.edges.iter().filter(|edge| !edge.is_other).map(|edge| &edge.server);
        let ended = servers.filter(|server| server.process == Err(Absent::Ended));
        let ended: BTreeSet<Service> = ended.map(|server| Service::of(&server.identity)).take(MAX_KNOWN).collect();
        let new = ended.difference(&self.ended).cloned().collect();
        self.ended = ended;
        new
    }

    /// Services that serve with more or fewer processes than in the last window, having served with some in both.
    fn instances(&mut self, snapshot: &Snapshot) -> Vec<Service> {
        let mut pids: BTreeMap<Service, BTreeSet<u32>> = BTreeMap::new();
        for edge in snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let service = Service::of(&edge.server.identity);
            if pids.len() < MAX_KNOWN || pids.contains_key(&service) {
                pids.entry(service).or_default().extend(&edge.server.pids);
            }
        }
        let now: BTreeMap<Service, usize> = pids.into_iter().map(|(service, pids)| (service, pids.len())).collect();
        let differs = |(service, n): &(&Service, &usize)| {
            **n > 0 && self.instances.get(service).is_some_and(|before| *before > 0 && before != *n)
        };
        let changed = now.iter().filter(differs).map(|(service, _)| service.clone()).collect();
        self.instances = now;
        changed
    }

    fn listeners(&mut self, facts: &Facts<'_>) -> Vec<(ChangeKind, Service)> {
        let snapshot = facts.snapshot;
        for queue in &snapshot.accept_queues {
            let at = (queue.at.netns, queue.at.port as u16);
            let is_used = queue.wait.count > 0 || queue.arrivals > 0;
            if is_used && queue.pid != 0 && (self.accepts.len() < MAX_KNOWN || self.accepts.contains_key(&at)) {
                self.accepts.insert(at, facts.owners.service(&queue.owner()));
            }
        }
        let mut changes = Vec::new();
        for namespace in &snapshot.host.namespaces {
            let now = ports(namespace);
            let Some(before) = self.ports.insert(namespace.netns, now.clone()) else { continue };
            let mut tell = |kind, port| {
                let whose = self.accepts.get(&(namespace.netns, port));
                changes.extend(whose.map(|service| (kind, service.clone())));
            };
            now.difference(&before).for_each(|port| tell(ChangeKind::ListenerOpened, *port));
            before.difference(&now).for_each(|port| tell(ChangeKind::ListenerClosed, *port));
        }
        let is_there = |netns: &u32| snapshot.host.namespaces.iter().any(|namespace| namespace.netns == *netns);
        self.ports.retain(|netns, _| is_there(netns));
        self.accepts.retain(|(netns, _), _| self.ports.contains_key(netns));
        changes
    }
}

fn ports(namespace: &NamespaceView) -> BTreeSet<u16> {
    namespace.listeners.iter().map(|listener| listener.last.address.port()).collect()
}

/// A process that began in this window. Its start is counted since boot, and the window's end by the monotonic clock, which
/// stands still while the host is suspended: after that no start is seen here, rather than one in each window.
fn started(end: &End, now_ns: u64, window_ns: u64) -> Option<Change> {
    let process = end.process.as_ref().ok()?;
    let age_ns = now_ns.checked_sub(process.start_ns)?;
    let is_new = process.start_ns > 0 && age_ns < window_ns;
    let at_ns = process.start_ns;
    is_new.then(|| Change { at_ns, kind: ChangeKind::ProcessStarted, service: Service::of(&end.identity) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_abi::{AcceptQueue, ListeningPort};

    use super::*;
    use crate::{
        facts::{edges::EdgeFacts, latency::ServiceLatency},
        lab::{S, client, connect, server},
        learn::baseline::Learning,
        rules::Rules,
        window::Moment,
    };
    use weir_engine::{Engine, Input, Listener, NamespacePoll, Polled, Schedule, Started, WindowId};

    /// An engine, and what its windows of five seconds show to have changed.
    struct Watched {
        engine: Engine,
        observed: Observed,
        now_s: u64,
    }

    impl Watched {
        fn new() -> Self {
            let mut engine = Engine::new([Schedule::Tumbling { span_ns: 5 * S }]);
            engine.take(Input::Started(Started::default()));
            Self { engine, observed: Observed::default(), now_s: 0 }
        }

        fn window(&mut self) -> Vec<String> {
            self.now_s += 5;
            let monotonic_ns = self.now_s * S;
            self.engine.take(Input::Tick { monotonic_ns, unix_ns: monotonic_ns });
            let snapshot = self.engine.snapshot(WindowId::FIRST);
            let at = Moment { monotonic_ns, unix_ns: monotonic_ns };
            let latency = ServiceLatency::default();
            let facts = Facts::of(at, &snapshot, EdgeFacts::of(&snapshot), &latency, (Rules::ALL, Learning::USUAL));
            let changes = self.observed.changes(&facts);
            changes.iter().map(|change| change.description(monotonic_ns)).collect()
        }

        fn listening(&mut self, ports: &[u16]) {
            let listener = |port: &u16| {
                let address = ([0, 0, 0, 0], *port).into();
                Listener { address, inode: 1, backlog: 0, max: 8, owner: None, half_open: None }
            };
            let listeners = ports.iter().map(listener).collect();
            let poll = NamespacePoll { netns: 1, listeners, ..NamespacePoll::default() };
            self.engine.take(Input::Polled(&Polled::Namespace(poll)));
        }
    }

    #[test]
    fn a_process_that_began_in_the_window_is_a_change_and_one_before_it_is_none() {
        let mut watched = Watched::new();
        let mut young = client(7, 2);
        young.process_start_ns = 3 * S;
        connect(&mut young, weir_abi::ConnectOutcome::Ok, 1);
        watched.engine.take(Input::Edge { slot: 11, record: &young });
        assert_eq!(watched.window(), ["during start of app, 2 s before"]);
        connect(&mut young, weir_abi::ConnectOutcome::Ok, 1);
        watched.engine.take(Input::Edge { slot: 11, record: &young });
        assert_eq!(watched.window(), [""; 0]);
    }

    #[test]
    fn a_start_by_a_clock_that_is_behind_is_none() {
        let identity = Arc::new(weir_engine::Identity::new(weir_engine::Kind::Executable, "app"));
        let process =
            weir_engine::Process { pid: 7, comm: "app".into(), exe: "app".into(), start_ns: 3 * S, cgroup_id: 1 };
        let end = End::of_process(identity, process);
        assert_eq!(started(&end, 2 * S, 5 * S), None);
        assert!(started(&end, 5 * S, 5 * S).is_some());
    }

    #[test]
    fn a_listener_that_is_opened_again_is_told_once_it_is_known_whose_it_is() {
        let mut watched = Watched::new();
        let queue = AcceptQueue { tgid: 8, comm: *b"web\0\0\0\0\0\0\0\0\0\0\0\0\0", enqueued: 5, ..AcceptQueue::EMPTY };
        watched.engine.take(Input::AcceptQueue { at: ListeningPort { netns: 1, port: 80 }, queue: &queue });
        watched.listening(&[80, 81]);
        assert_eq!(watched.window(), [""; 0], "the first look");
        watched.listening(&[80]);
        assert_eq!(watched.window(), [""; 0], "port 81 was not used");
        watched.listening(&[]);
        assert_eq!(watched.window(), ["during closing of a listener of web, 0 s before"]);
        watched.listening(&[80]);
        assert_eq!(watched.window(), ["during opening of a listener of web, 0 s before"]);
    }

    #[test]
    fn one_worker_more_is_a_change_of_its_service() {
        let mut watched = Watched::new();
        let one = client(7, 2);
        let mut first = server(8, &one);
        let mut second = server(9, &one);
        connect(&mut first, weir_abi::ConnectOutcome::Ok, 1);
        watched.engine.take(Input::Edge { slot: 11, record: &one });
        watched.engine.take(Input::Edge { slot: 12, record: &first });
        assert_eq!(watched.window(), [""; 0]);
        connect(&mut second, weir_abi::ConnectOutcome::Ok, 1);
        watched.engine.take(Input::Edge { slot: 13, record: &second });
        assert_eq!(watched.window(), ["during change in the number of instances of redis, 0 s before"]);
        assert_eq!(watched.window(), [""; 0]);
    }
}
