//! What the kernel does not tell by itself: queues of listeners, ports in use, limits and waits, asked for once a second.
//!
//! A thread of its own asks: it enters network namespaces, reads files and socket tables, and is done within a bound of
//! time and numbers. What found no room or no time, and what could not be read, is counted by why; none of it is an error.
//! Nothing is polled unless somebody wants it (`weir signals`, `weir record`).
//!
//! Needs `CAP_SYS_ADMIN` and `CAP_SYS_PTRACE` for other namespaces than weir's own, and for descriptors of others.

mod busiest;
mod cgroup;
mod half_open;
mod misses;
mod namespace;
mod neighbours;
mod owner;
mod ports;
mod process;
mod senders;
mod sock_diag;
mod table;
mod threads;
mod worker;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    thread,
    time::Duration,
};

use weir_abi::{EdgeRecord, ROLE_SERVER};
use weir_engine::{Input, Polled};

use worker::Worker;

/// Of what belongs to edges, the first so many.
const MAX_NAMESPACES: usize = 128;
const MAX_PROCESSES: usize = 512;
/// A namespace is entered by one of its processes; others stand by for when that has ended.
const PIDS_A_NAMESPACE: usize = 4;
/// The slower polls are this far apart: the length of a decision window.
const SLOW_NS: u64 = 5_000_000_000;
/// A tick comes a little early or late.
const EARLY_NS: u64 = 250_000_000;
/// A tick waits this long for what it asked: later answers come with the next one.
const PATIENCE: Duration = Duration::from_millis(100);
const STACK: usize = 256 << 10;

/// Whom to look at.
#[derive(Debug, Default)]
struct Targets {
    /// Processes in each network namespace.
    namespaces: BTreeMap<u32, Vec<u32>>,
    /// Processes, and their network namespace.
    processes: BTreeMap<u32, u32>,
    namespaces_over_limit: u64,
    processes_over_limit: u64,
}

/// What to do in one poll.
#[derive(Debug)]
struct Errand {
    targets: Targets,
    /// The slower polls too.
    slow: bool,
}

/// The asking thread, from outside.
pub(crate) struct Poller {
    errands: Option<SyncSender<Errand>>,
    answers: Receiver<Vec<Polled>>,
    /// An answer has not come yet.
    waiting: bool,
    targets: Targets,
    /// Windows are counted from here, and the slower polls lie at their ends.
    began_ns: u64,
    slow_due_ns: u64,
}

impl Poller {
    /// Starts the thread. If that fails, nothing is polled.
    pub(crate) fn start(now_ns: u64) -> Self {
        let (errands, taken) = sync_channel(1);
        let (answered, answers) = sync_channel(1);
        let thread = thread::Builder::new().name("weir-poll".into()).stack_size(STACK);
        let worker = move || Worker::new(Path::new("/")).run(&taken, &answered);
        // It ends with the sender of errands; nothing waits for that.
        let errands = thread.spawn(worker).is_ok().then_some(errands);
        let targets = Targets::default();
        Self { errands, answers, waiting: false, targets, began_ns: now_ns, slow_due_ns: now_ns }
    }

    /// An edge is there: its processes and namespaces are looked at.
    pub(crate) fn meet(&mut self, record: &EdgeRecord) {
        let (key, targets) = (&record.key, &mut self.targets);
        targets.add(key.tgid, key.netns);
        if key.role == ROLE_SERVER {
            targets.add(key.peer_tgid, record.peer_netns);
        }
    }

    /// One poll of what was met since the last, told as far as it is done in time.
    pub(crate) fn tick(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        self.tell_what_came(sink);
        let early_ns = now_ns.saturating_add(EARLY_NS);
        let slow = early_ns >= self.slow_due_ns;
        let errand = Errand { targets: std::mem::take(&mut self.targets), slow };
        let sent = !self.waiting && self.errands.as_ref().is_some_and(|errands| errands.try_send(errand).is_ok());
        if !sent {
            return;
        }
        if slow {
            let past = early_ns.saturating_sub(self.began_ns) / SLOW_NS;
            self.slow_due_ns = self.began_ns.saturating_add((past + 1).saturating_mul(SLOW_NS));
        }
        self.waiting = true;
        match self.answers.recv_timeout(PATIENCE) {
            Ok(answer) => self.tell(&answer, sink),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.errands = None,
        }
    }

    fn tell_what_came(&mut self, sink: &mut dyn FnMut(Input<'_>)) {
        match self.answers.try_recv() {
            Ok(answer) => self.tell(&answer, sink),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }

    fn tell(&mut self, answer: &[Polled], sink: &mut dyn FnMut(Input<'_>)) {
        self.waiting = false;
        answer.iter().for_each(|polled| sink(Input::Polled(polled)));
    }
}

impl Targets {
    fn add(&mut self, pid: u32, netns: u32) {
        if netns == 0 {
            return;
        }
        if pid != 0 && !self.processes.contains_key(&pid) {
            if self.processes.len() < MAX_PROCESSES {
                self.processes.insert(pid, netns);
            } else {
                self.processes_over_limit += 1;
            }
        }
        if self.namespaces.len() >= MAX_NAMESPACES && !self.namespaces.contains_key(&netns) {
            self.namespaces_over_limit += 1;
            return;
        }
        let pids = self.namespaces.entry(netns).or_default();
        if pid != 0 && pids.len() < PIDS_A_NAMESPACE && !pids.contains(&pid) {
            pids.push(pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_abi::EdgeKey;

    use super::*;

    fn record(tgid: u32, netns: u32) -> EdgeRecord {
        EdgeRecord { key: EdgeKey { tgid, netns, ..EdgeKey::default() }, ..EdgeRecord::EMPTY }
    }

    #[test]
    fn beyond_the_limits_targets_are_counted() {
        let mut targets = Targets::default();
        for n in 1..=1000 {
            let EdgeKey { tgid, netns, .. } = record(n, n).key;
            targets.add(tgid, netns);
            targets.add(tgid, netns);
        }
        assert_eq!((targets.processes.len(), targets.processes_over_limit), (MAX_PROCESSES, 2 * 488));
        assert_eq!((targets.namespaces.len(), targets.namespaces_over_limit), (MAX_NAMESPACES, 2 * 872));
        targets.add(7, 0);
        for pid in 0..100 {
            targets.add(pid, 1);
        }
        assert!(targets.namespaces.values().all(|pids| (1..=PIDS_A_NAMESPACE).contains(&pids.len())));
    }

    #[test]
    fn this_process_is_polled_from_the_first_tick_on() {
        let mut poller = Poller::start(0);
        let netns = rustix::fs::stat("/proc/self/ns/net").expect("a namespace").st_ino as u32;
        let mut kinds = std::collections::BTreeSet::new();
        let mut fds = None;
        for second in 0..40u64 {
            poller.meet(&record(std::process::id(), netns));
            poller.tick(second * 1_000_000_000, &mut |input| {
                let Input::Polled(polled) = input else { panic!("{input:?}") };
                kinds.insert(match polled {
                    Polled::Namespace(poll) if poll.netns == netns => "namespace",
                    Polled::Ports(poll) if poll.netns == netns && poll.available() > 0 => "ports",
                    Polled::Process(poll) => {
                        assert_eq!((poll.pid, poll.netns), (std::process::id(), netns));
                        fds = poll.fds;
                        "process"
                    }
                    Polled::Cgroup(_) => "cgroup",
                    Polled::Missed(_) => "missed",
                    _ => "else",
                });
            });
        }
        for kind in ["namespace", "ports", "process", "cgroup"] {
            assert!(kinds.contains(kind), "{kind} of {kinds:?}");
        }
        assert!(fds > Some(3), "{fds:?}");
    }
}
