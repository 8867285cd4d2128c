//! The polling thread: one poll after the other, each within a bound of time.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender},
    time::{Duration, Instant},
};

use weir_engine::{Polled, ReadAt};

use crate::source::clock::monotonic_ns;

use super::{
    busiest::Busiest,
    cgroup::Cgroups,
    half_open::HalfOpens,
    listeners,
    misses::{Miss, Misses},
    namespace::{Home, Namespace},
    neighbours::Neighbours,
    owner::Owners,
    ports, process,
    request::{MAX_NAMESPACES, PollRequest, Targets},
    senders,
    threads::Threads,
};

/// A poll may take this long, a choice within its second; what remains then is counted and not polled.
const BUDGET: Duration = Duration::from_millis(400);

/// Threads of services have waited this long for a processor since the last slower poll (30% of one): the processes that ran
/// most are worth a look at all of the host's. A choice.
const MUCH_WAIT_NS: u64 = 1_500_000_000;

/// State that the thread keeps from poll to poll.
pub(super) struct Worker {
    proc: PathBuf,
    cgroups: Cgroups,
    owners: Owners,
    half_opens: HalfOpens,
    neighbours: Neighbours,
    threads: Threads,
    busiest: Busiest,
    misses: Misses,
}

impl Worker {
    /// For the host with this root.
    pub(super) fn new(root: &Path) -> Self {
        let proc = root.join("proc");
        Self {
            cgroups: Cgroups::new(root),
            owners: Owners::new(&proc),
            half_opens: HalfOpens::default(),
            neighbours: Neighbours::default(),
            threads: Threads::default(),
            busiest: Busiest::default(),
            misses: Misses::default(),
            proc,
        }
    }

    /// Polls until the sender of requests is dropped.
    pub(super) fn run(mut self, requests: &Receiver<PollRequest>, results: &SyncSender<Vec<Polled>>) {
        let home = self.misses.or_count(Home::of(&self.proc));
        while let Ok(request) = requests.recv() {
            let mut found = vec![Polled::Read(ReadAt { monotonic_ns: monotonic_ns() })];
            self.poll(home.as_ref(), &request, &mut found);
            found.extend(self.misses.changed().map(Polled::Missed));
            if results.send(found).is_err() {
                return;
            }
        }
    }

    fn poll(&mut self, home: Option<&Home>, request: &PollRequest, found: &mut Vec<Polled>) {
        let until = Instant::now() + BUDGET;
        let PollRequest { targets, slow } = request;
        self.misses.add(Miss::NamespacesOverLimit, targets.namespaces_over_limit);
        self.misses.add(Miss::ProcessesOverLimit, targets.processes_over_limit);
        if let Some(home) = home {
            self.namespaces(home, targets, *slow, until, found);
        }
        if *slow {
            self.processes(targets, until, found);
        }
    }

    fn namespaces(&mut self, home: &Home, targets: &Targets, slow: bool, until: Instant, found: &mut Vec<Polled>) {
        self.owners.begin();
        if slow {
            self.neighbours.look(&self.proc, until);
        }
        let own = home.inode();
        // Namespaces without edges too, up to the limit: a listener with a full queue accepts nothing, so it has no edge.
        let others = self.neighbours.others(own, &targets.namespaces);
        let left = MAX_NAMESPACES.saturating_sub(targets.namespaces.len());
        self.misses.add(Miss::NamespacesOverLimit, others.len().saturating_sub(left) as u64);
        let with_edges = targets.namespaces.iter().filter(|(inode, _)| **inode != own);
        let with_edges = with_edges.map(|(inode, pids)| (*inode, pids.clone()));
        let all = with_edges.chain([(own, Vec::new())]).chain(others.into_iter().take(left)).collect::<Vec<_>>();
        for (inode, pids) in all {
            if Instant::now() >= until {
                self.misses.add(Miss::OutOfTime, 1);
                continue;
            }
            let entered = home.enter(&self.proc, inode, &pids);
            let Some(namespace) = self.misses.or_count(entered) else { continue };
            self.namespace(&namespace, slow, until, found);
        }
        // A thread that stays in a namespace keeps it alive after its last process has ended.
        let back = home.return_to();
        self.misses.or_count(back);
    }

    fn namespace(&mut self, namespace: &Namespace, slow: bool, until: Instant, found: &mut Vec<Polled>) {
        let Self { misses, owners, half_opens, .. } = self;
        let Some(poll) = listeners::poll(namespace, until, owners, half_opens, misses) else { return };
        found.extend(senders::poll(namespace, poll.in_use, slow, until, misses).map(Polled::Senders));
        if slow {
            let sockets = poll.in_use.saturating_add(poll.time_wait);
            found.extend(ports::poll(namespace, sockets, until, misses).map(Polled::Ports));
            found.extend(namespace.conntrack().map(Polled::Conntrack));
        }
        found.push(Polled::Namespace(poll));
    }

    fn processes(&mut self, targets: &Targets, until: Instant, found: &mut Vec<Polled>) {
        let Self { proc, cgroups, threads, busiest, misses, .. } = self;
        cgroups.begin();
        threads.begin();
        for (pid, netns) in &targets.processes {
            if Instant::now() >= until {
                misses.add(Miss::OutOfTime, 1);
                continue;
            }
            match process::poll(proc, *pid, *netns, cgroups, threads) {
                Ok(poll) => found.push(Polled::Process(poll)),
                // It has ended since its edge was read.
                Err(Miss::NotThere) => misses.add(Miss::Gone, 1),
                Err(miss) => misses.add(miss, 1),
            }
        }
        misses.add(Miss::ThreadsOverLimit, threads.over_limit());
        if threads.waited_ns() >= MUCH_WAIT_NS {
            found.extend(busiest.look(proc, until, misses).map(Polled::Busiest));
        } else {
            busiest.forget();
        }
        threads.forget_others();
        found.extend(cgroups.polled().into_iter().map(Polled::Cgroup));
    }
}
