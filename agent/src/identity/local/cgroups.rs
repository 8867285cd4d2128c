//! From a cgroup's id, which the kernel half has of each process, to its path: for processes that are gone.

use std::sync::Arc;

use weir_abi::CGROUP_V1;

use super::{files::Root, recent::Recent};
use crate::probe::hierarchy::Hierarchy;

/// Cgroups remembered: 64 for each of 128 pods, at most 600 bytes each. Those gone for long give way.
const REMEMBERED: usize = 8192;
/// Directories looked at in one walk; each costs 30 us.
const MAX_WALK: usize = 8192;
/// How deep they nest: a container in a container in a pod is at 12.
const MAX_DEPTH: usize = 24;
const MAX_MOUNTINFO: usize = 1 << 20;

/// The paths of cgroups.
pub(super) struct Cgroups {
    paths: Recent<u64, Arc<str>>,
    v1: Option<Hierarchy>,
}

/// Where a hierarchy is mounted.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    at: String,
    /// The cgroup that is there: `/` but in a cgroup namespace.
    cgroup: String,
    mark: u64,
}

impl Cgroups {
    pub(super) fn new(v1: Option<Hierarchy>) -> Self {
        Self { paths: Recent::of(REMEMBERED), v1 }
    }

    /// The path of the cgroup that an edge's record names.
    pub(super) fn path(&mut self, id: u64) -> Option<Arc<str>> {
        self.paths.get(&id).cloned()
    }

    /// A cgroup is there: ids are not used again, but for those of version 1's after four billion.
    pub(super) fn insert(&mut self, id: u64, path: &str) {
        self.paths.insert(id, path.into());
    }

    /// Learns every cgroup there is, and says whether all were visited. `root` is the host's, with its own view of what is
    /// mounted.
    pub(super) fn walk(&mut self, root: &Root) -> bool {
        // Its own, not `/proc/self`: inside of a container, that one has the container's mounts.
        let Ok(mounts) = root.read("/proc/1/mountinfo", MAX_MOUNTINFO) else { return false };
        let mut left = MAX_WALK;
        for mount in mounts_of(&String::from_utf8_lossy(&mounts), self.v1) {
            let mut open = vec![(mount.at, mount.cgroup.trim_end_matches('/').to_owned(), 0)];
            while let Some((directory, cgroup, depth)) = open.pop() {
                let Ok(below) = root.directories(&directory, left) else { continue };
                for (name, id) in below {
                    if left == 0 {
                        return false;
                    }
                    left -= 1;
                    let path = format!("{cgroup}/{name}");
                    self.insert(id | mount.mark, &path);
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

/// Where a hierarchy is mounted, and which cgroup is there.
pub(crate) type MountedAt = (String, String);

/// The hierarchy of version 1 and that of version 2.
pub(crate) fn mounts(mountinfo: &str, v1: Hierarchy) -> (Option<MountedAt>, Option<MountedAt>) {
    let mounts = mounts_of(mountinfo, Some(v1));
    let of =
        |mark| mounts.iter().find(|mount| mount.mark == mark).map(|mount| (mount.at.clone(), mount.cgroup.clone()));
    (of(CGROUP_V1), of(0))
}

/// Version 2's hierarchy and the one of version 1, by the text of `/proc/PID/mountinfo`; each once.
fn mounts_of(mountinfo: &str, v1: Option<Hierarchy>) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mounted, kind)) = line.split_once(" - ") else { continue };
        let mounted = mounted.split(' ').collect::<Vec<_>>();
        let (Some(cgroup), Some(at)) = (mounted.get(3), mounted.get(4)) else { continue };
        let mut kind = kind.split(' ');
        let mark = match (kind.next(), kind.nth(1), v1) {
            (Some("cgroup2"), _, _) => 0,
            (Some("cgroup"), Some(options), Some(v1)) if options.split(',').any(|one| one == v1.controller) => {
                CGROUP_V1
            }
            _ => continue,
        };
        if found.iter().all(|mount| mount.mark != mark) {
            found.push(Mount { at: unescaped(at), cgroup: unescaped(cgroup), mark });
        }
    }
    found
}

/// Blanks and line ends are written as `\040`.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;
    use crate::identity::local::scratch;

    const V1: Option<Hierarchy> = Some(Hierarchy { controller: "pids", id: 8 });

    #[test]
    fn the_two_hierarchies_are_found_among_the_mounts() {
        let hybrid = "24 1 0:2 / /proc rw - proc proc rw\n\
            30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            31 24 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
            32 24 0:28 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n\
            33 24 0:28 / /elsewhere rw,relatime - cgroup2 cgroup2 rw,nsdelegate\nrubbish - cgroup2\n";
        let mount = |at: &str, mark| Mount { at: at.into(), cgroup: "/".into(), mark };
        let (one, two) = (mount("/sys/fs/cgroup/pids", CGROUP_V1), mount("/sys/fs/cgroup/uni fied", 0));
        assert_eq!(mounts_of(hybrid, V1), [one, two]);
        assert_eq!(mounts_of(hybrid, None), [mount("/sys/fs/cgroup/uni fied", 0)]);
    }

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
