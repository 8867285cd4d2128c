//! What to poll: the namespaces and processes of the edges that were read since the last poll.

use std::collections::BTreeMap;

use weir_abi::{EdgeRecord, ROLE_SERVER};

/// Network namespaces in one poll, and processes: a choice.
pub(super) const MAX_NAMESPACES: usize = 128;
const MAX_PROCESSES: usize = 512;
/// A namespace is entered through one of its processes; the others are tried when that one has ended.
const PIDS_A_NAMESPACE: usize = 4;

/// One poll.
#[derive(Debug)]
pub(super) struct PollRequest {
    pub(super) targets: Targets,
    /// The slower polls too.
    pub(super) slow: bool,
}

/// Namespaces and processes to poll.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Processes in each network namespace.
    pub(super) namespaces: BTreeMap<u32, Vec<u32>>,
    /// Processes, and their network namespace.
    pub(super) processes: BTreeMap<u32, u32>,
    pub(super) namespaces_over_limit: u64,
    pub(super) processes_over_limit: u64,
}

impl Targets {
    /// Adds the processes and namespaces of an edge.
    pub(super) fn add_edge(&mut self, record: &EdgeRecord) {
        let key = &record.key;
        self.add(key.tgid, key.netns);
        if key.role == ROLE_SERVER {
            self.add(key.peer_tgid, record.peer_netns);
        }
    }

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
    use super::*;

    #[test]
    fn beyond_the_limits_targets_are_counted() {
        let mut targets = Targets::default();
        for n in 1..=1000 {
            targets.add(n, n);
            targets.add(n, n);
        }
        assert_eq!((targets.processes.len(), targets.processes_over_limit), (MAX_PROCESSES, 2 * 488));
        assert_eq!((targets.namespaces.len(), targets.namespaces_over_limit), (MAX_NAMESPACES, 2 * 872));
        targets.add(7, 0);
        for pid in 0..100 {
            targets.add(pid, 1);
        }
        assert!(targets.namespaces.values().all(|pids| (1..=PIDS_A_NAMESPACE).contains(&pids.len())));
    }
}
