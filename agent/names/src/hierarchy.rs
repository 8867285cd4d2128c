//! Hierarchies of cgroups: which one of version 1 distinguishes processes where version 2's does not, and where both are
//! mounted.
//!
//! On hosts with version 1, and on hybrid ones, every process of a container is in version 2's root. Each controller of version
//! 1 may have a hierarchy of its own; one of them is enough.

/// Controllers by how surely a container, or a unit of systemd, has a cgroup of its own there: by default systemd counts tasks
/// for every unit, then memory; container runtimes make a cgroup in each.
const CONTROLLERS: [&str; 6] = ["pids", "memory", "cpu", "cpuacct", "devices", "cpuset"];

/// A hierarchy of version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// A controller that is on it.
    pub controller: &'static str,
    /// Its id while it is mounted; 0 is version 2's.
    pub id: u32,
}

impl Hierarchy {
    /// The one to use, by the text of `/proc/cgroups`: name, hierarchy, number of cgroups, whether enabled.
    pub fn of_version_1(cgroups: &str) -> Option<Self> {
        CONTROLLERS.iter().find_map(|controller| {
            let mut lines = cgroups.lines().map(str::split_ascii_whitespace);
            let mut fields = lines.find_map(|mut fields| (fields.next()? == *controller).then_some(fields))?;
            let id = fields.next()?.parse().ok()?;
            let enabled = fields.nth(1)? == "1";
            (id != 0 && enabled).then_some(Self { controller, id })
        })
    }
}

/// A mount of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount point.
    pub at: String,
    /// The cgroup at the mount point: `/` except in a cgroup namespace.
    pub cgroup: String,
}

/// The mounts of version 2's hierarchy and of one of version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Version 1's, if it is mounted.
    pub v1: Option<Mount>,
    /// Version 2's, if it is mounted.
    pub v2: Option<Mount>,
}

impl Mounts {
    /// By the text of `/proc/PID/mountinfo`: the first mount of each.
    pub fn parse(mountinfo: &str, v1: Option<Hierarchy>) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((mounted, kind)) = line.split_once(" - ") else { continue };
            let mounted = mounted.split(' ').collect::<Vec<_>>();
            let (Some(cgroup), Some(at)) = (mounted.get(3), mounted.get(4)) else { continue };
            let mut kind = kind.split(' ');
            let mount = match (kind.next(), kind.nth(1), v1) {
                (Some("cgroup2"), _, _) => &mut found.v2,
                (Some("cgroup"), Some(options), Some(v1)) if options.split(',').any(|one| one == v1.controller) => {
                    &mut found.v1
                }
                _ => continue,
            };
            mount.get_or_insert_with(|| Mount { at: unescaped(at), cgroup: unescaped(cgroup) });
        }
        found
    }
}

/// Blanks and line ends are written as `\040`.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: Option<Hierarchy> = Some(Hierarchy { controller: "pids", id: 8 });

    #[test]
    fn the_first_that_is_mounted_apart() {
        let hybrid =
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t26\t1\nhugetlb\t0\t3\t1\npids\t8\t4\t1\n";
        assert_eq!(Hierarchy::of_version_1(hybrid), Some(Hierarchy { controller: "pids", id: 8 }));
        let without_pids = "memory\t4\t26\t1\npids\t8\t4\t0\n";
        assert_eq!(Hierarchy::of_version_1(without_pids), Some(Hierarchy { controller: "memory", id: 4 }));
        assert_eq!(Hierarchy::of_version_1("memory\t0\t26\t1\npids\t0\t4\t1\n"), None);
        assert_eq!(Hierarchy::of_version_1("pids\nmemory\tx\n"), None);
    }

    #[test]
    fn the_two_hierarchies_are_found_among_the_mounts() {
        let hybrid = "24 1 0:2 / /proc rw - proc proc rw\n\
            30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            31 24 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
            32 24 0:28 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n\
            33 24 0:28 / /elsewhere rw,relatime - cgroup2 cgroup2 rw,nsdelegate\nrubbish - cgroup2\n";
        let mount = |at: &str| Some(Mount { at: at.into(), cgroup: "/".into() });
        let (v1, v2) = (mount("/sys/fs/cgroup/pids"), mount("/sys/fs/cgroup/uni fied"));
        assert_eq!(Mounts::parse(hybrid, V1), Mounts { v1, v2: v2.clone() });
        assert_eq!(Mounts::parse(hybrid, None), Mounts { v1: None, v2 });
    }
}
