//! Finds the process that holds a socket, among its descriptors. Searched only for sockets whose queue fills, and not with every
//! poll.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use weir_engine::Owner;

use super::file::read;

/// Descriptors read in one search: 20 ms.
const MAX_DESCRIPTORS: usize = 20_000;
/// The search is repeated after this long: the owner may have been missed or have changed. A choice.
const AGAIN: Duration = Duration::from_secs(30);
/// Sockets remembered: a choice.
const MAX_KNOWN: usize = 1024;

/// Owners of sockets, by inode number.
pub(super) struct Owners {
    proc: PathBuf,
    known: BTreeMap<u32, (Instant, Option<Owner>)>,
    /// A search has been made in this poll: one is the limit.
    searched: bool,
}

impl Owners {
    pub(super) fn new(proc: &Path) -> Self {
        Self { proc: proc.into(), known: BTreeMap::new(), searched: false }
    }

    /// Begins a poll.
    pub(super) fn begin(&mut self) {
        self.searched = false;
        self.known.retain(|_, (at, _)| at.elapsed() < AGAIN);
    }

    /// The owner of a socket in a network namespace; none if it was not found.
    pub(super) fn of(&mut self, netns: u32, inode: u32, until: Instant) -> Option<Owner> {
        if let Some((_, owner)) = self.known.get(&inode) {
            return owner.clone();
        }
        if self.searched || self.known.len() >= MAX_KNOWN {
            return None;
        }
        self.searched = true;
        let owner = self.search(&format!("net:[{netns}]"), &format!("socket:[{inode}]"), until);
        self.known.insert(inode, (Instant::now(), owner.clone()));
        owner
    }

    fn search(&self, netns: &str, socket: &str, until: Instant) -> Option<Owner> {
        let mut pids: Vec<u32> =
            fs::read_dir(&self.proc).ok()?.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        let is = |path: PathBuf, name: &str| fs::read_link(path).is_ok_and(|to| to.as_os_str() == name);
        let mut left = MAX_DESCRIPTORS;
        for pid in pids {
            let process = self.proc.join(pid.to_string());
            if !is(process.join("ns/net"), netns) {
                continue;
            }
            let Ok(descriptors) = fs::read_dir(process.join("fd")) else { continue };
            for descriptor in descriptors.flatten() {
                left = left.checked_sub(1).filter(|_| Instant::now() < until)?;
                if is(descriptor.path(), socket) {
                    let comm = read(&process.join("comm")).unwrap_or_default();
                    return Some(Owner { pid, comm: comm.trim_end().into() });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn a_socket_of_this_process_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let inode = rustix::fs::fstat(&listener).expect("stat").st_ino as u32;
        let netns = rustix::fs::stat("/proc/self/ns/net").expect("stat").st_ino as u32;
        let mut owners = Owners::new(Path::new("/proc"));
        let until = Instant::now() + Duration::from_secs(5);
        let owner = owners.of(netns, inode, until).expect("an owner");
        assert_eq!(owner.pid, std::process::id(), "descriptor {}", listener.as_raw_fd());
        assert_eq!(owners.of(netns, 1, until), None, "one search a poll");
        assert!(!owners.known.contains_key(&1));
    }
}
