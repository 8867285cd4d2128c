//! From a cgroup's id, which the kernel half records of each process, to its path: for processes that have ended.

use std::sync::Arc;

use weir_abi::CGROUP_V1;

use super::{files::Root, recent::Recent};
use crate::hierarchy::{Hierarchy, Mounts};

/// Cgroups remembered: 64 for each of 128 pods, at most 600 bytes each. The least recently used are evicted.
const REMEMBERED: usize = 8192;
/// Directories read in one walk; each costs 30 us.
const MAX_WALK: usize = 8192;
/// How deep they nest: a container in a container in a pod is at 12.
const MAX_DEPTH: usize = 24;
const MAX_MOUNTINFO: usize = 1 << 20;

/// The paths of cgroups.
pub(super) struct Cgroups {
    paths: Recent<u64, Arc<str>>,
    v1: Option<Hierarchy>,
}

impl Cgroups {
    pub(super) fn new(v1: Option<Hierarchy>) -> Self {
        Self { paths: Recent::of(REMEMBERED), v1 }
    }

    /// The path of the cgroup with the id in an edge's record.
    pub(super) fn path(&mut self, id: u64) -> Option<Arc<str>> {
        self.paths.get(&id).cloned()
    }

    /// A cgroup exists. Ids are not reused; those of version 1 only after four billion.
    pub(super) fn insert(&mut self, id: u64, path: &str) {
        self.paths.insert(id, path.into());
    }

    /// Learns every existing cgroup, and returns whether all were visited. `root` is the host's, with its own mounts.
    pub(super) fn walk(&mut self, root: &Root) -> bool {
        // Not `/proc/self`: inside of a container, that has the container's mounts.
        let Ok(mountinfo) = root.read("/proc/1/mountinfo", MAX_MOUNTINFO) else { return false };
        let Mounts { v1, v2 } = Mounts::parse(&String::from_utf8_lossy(&mountinfo), self.v1);
        let mut left = MAX_WALK;
        for (mount, mark) in [(v2, 0), (v1, CGROUP_V1)] {
            let Some(mount) = mount else { continue };
            let mut open = vec![(mount.at, mount.cgroup.trim_end_matches('/').to_owned(), 0)];
            while let Some((directory, cgroup, depth)) = open.pop() {
                let Ok(below) = root.directories(&directory, left) else { continue };
                for (name, id) in below {
                    if left == 0 {
                        return false;
                    }
                    left -= 1;
                    let path = format!("{cgroup}/{name}");
                    self.insert(id | mark, &path);
                    if depth < MAX_DEPTH {
                        open.push((format!("{directory}/{name}"), path, depth + 1));
                    }
                }
            }
        }
        true
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.paths.len()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;
    use crate::local::scratch;

    const V1: Option<Hierarchy> = Some(Hierarchy { controller: "pids", id: 8 });

    #[test]
    fn a_walk_learns_every_cgroup_by_its_inode() {
        let root = scratch("cgroups");
        for directory in ["proc/1", "cgroup/system.slice/nginx.service", "cgroup/docker/abc/deep"] {
            fs::create_dir_all(root.join(directory)).expect("directory");
        }
        fs::write(root.join("cgroup/cgroup.procs"), "1\n").expect("file");
        fs::write(root.join("proc/1/mountinfo"), "1 1 0:1 / /cgroup rw - cgroup2 cgroup2 rw\n").expect("mounts");
        let id = |path: &str| fs::metadata(root.join("cgroup").join(path)).expect("metadata").ino();
        let mut cgroups = Cgroups::new(V1);
        assert!(cgroups.walk(&Root::open(&root).expect("root")));
        assert_eq!(cgroups.path(id("system.slice/nginx.service")).as_deref(), Some("/system.slice/nginx.service"));
        assert_eq!(cgroups.path(id("docker/abc/deep")).as_deref(), Some("/docker/abc/deep"));
        assert_eq!(cgroups.len(), 5);
        fs::remove_dir_all(&root).expect("removed");
    }

    #[test]
    fn this_hosts_cgroups_are_found() {
        let mut cgroups = Cgroups::new(V1);
        assert!(cgroups.walk(&Root::open(std::path::Path::new("/")).expect("root")));
    }
}
