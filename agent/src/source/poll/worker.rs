//! One poll after the other, each within a bound of time.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender},
    time::{Duration, Instant},
};

use weir_engine::{Polled, ReadAt};

use crate::source::clock::monotonic_ns;

use super::{
    Errand, MAX_NAMESPACES, Targets,
    busiest::Busiest,
    cgroup::Cgroups,
    half_open::HalfOpens,
    misses::{Miss, Misses},
    namespace::{Home, Namespace},
    neighbours::Neighbours,
    owner::Owners,
    ports, process, senders,
    threads::Threads,
};

/// A poll may take so long; what is left over then is counted and done in none.
const BUDGET: Duration = Duration::from_millis(400);

/// Threads have waited so long for a processor since the last of the slower polls: it is worth a look who ran instead.
const MUCH_WAIT_NS: u64 = 1_500_000_000;

/// What the thread keeps from poll to poll.
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
    /// On a host with this root.
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

    /// Until nobody sends errands any more.
    pub(super) fn run(mut self, errands: &Receiver<Errand>, answers: &SyncSender<Vec<Polled>>) {
        let home = self.misses.or_count(Home::of(&self.proc));
        while let Ok(errand) = errands.recv() {
            let mut found = vec![Polled::Read(ReadAt { monotonic_ns: monotonic_ns() })];
            self.poll(home.as_ref(), &errand, &mut found);
            found.extend(self.misses.news().map(Polled::Missed));
            if answers.send(found).is_err() {
                return;
            }
        }
    }

    fn poll(&mut self, home: Option<&Home>, errand: &Errand, found: &mut Vec<Polled>) {
        let until = Instant::now() + BUDGET;
        let Errand { targets, slow } = errand;
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
        // Those without edges too, as long as there is room: callers that find a full queue make none.
        let others = self.neighbours.others(own, &targets.namespaces);
        let room = MAX_NAMESPACES.saturating_sub(targets.namespaces.len());
        self.misses.add(Miss::NamespacesOverLimit, others.len().saturating_sub(room) as u64);
        let with_edges = targets.namespaces.iter().filter(|(inode, _)| **inode != own);
        let with_edges = with_edges.map(|(inode, pids)| (*inode, pids.clone()));
        let all = with_edges.chain([(own, Vec::new())]).chain(others.into_iter().take(room)).collect::<Vec<_>>();
        for (inode, pids) in all {
            if Instant::now() >= until {
                self.misses.add(Miss::OutOfTime, 1);
                continue;
            }
            let entered = home.enter(&self.proc, inode, &pids);
            let Some(namespace) = self.misses.or_count(entered) else { continue };
            self.namespace(&namespace, slow, until, found);
        }
        // A namespace whose last process has ended would live on with this thread in it.
        let back = home.return_to();
        self.misses.or_count(back);
    }

    fn namespace(&mut self, namespace: &Namespace, slow: bool, until: Instant, found: &mut Vec<Polled>) {
        let Self { misses, owners, half_opens, .. } = self;
        let Some(poll) = namespace.poll(until, owners, half_opens, misses) else { return };
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

/// The text of a file of the kernel's, as far as that is any.
pub(super) fn read(path: &Path) -> Result<String, Miss> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}
