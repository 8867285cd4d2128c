//! Network namespaces without edges: a server that does not accept connections has none.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, Instant},
};

/// Processes read, 3 us each, and how often. Choices.
const MAX_PROCESSES: usize = 4096;
const EVERY: Duration = Duration::from_secs(14);
/// Processes remembered of each namespace: the second is tried when the first has ended.
const PIDS: usize = 2;

/// The namespaces of all processes.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    found: BTreeMap<u32, Vec<u32>>,
    looked: Option<Instant>,
}

impl Neighbours {
    /// Reads the namespaces of all processes, unless that was done recently.
    pub(super) fn look(&mut self, proc: &Path, until: Instant) {
        if self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        self.found.clear();
        let Ok(entries) = fs::read_dir(proc) else { return };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids.take(MAX_PROCESSES) {
            if Instant::now() >= until {
                return;
            }
            // The inode number of the link's target is that of the namespace.
            let Ok(namespace) = fs::metadata(proc.join(format!("{pid}/ns/net"))) else { continue };
            let pids = self.found.entry(namespace.ino() as u32).or_default();
            if pids.len() < PIDS {
                pids.push(pid);
            }
        }
    }

    /// The namespaces that are neither this one nor known, with a process or two.
    pub(super) fn others(&self, own: u32, known: &BTreeMap<u32, Vec<u32>>) -> Vec<(u32, Vec<u32>)> {
        let others = self.found.iter().filter(|(inode, _)| **inode != own && !known.contains_key(inode));
        others.map(|(inode, pids)| (*inode, pids.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_among_them() {
        let mut neighbours = Neighbours::default();
        neighbours.look(Path::new("/proc"), Instant::now() + Duration::from_secs(5));
        let own = fs::metadata("/proc/self/ns/net").expect("a namespace").ino() as u32;
        assert!(neighbours.found.contains_key(&own));
        assert!(neighbours.others(own, &BTreeMap::new()).iter().all(|(inode, _)| *inode != own));
    }
}
