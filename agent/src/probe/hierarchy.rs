//! Which hierarchy of cgroups tells processes apart where version 2's does not.
//!
//! Hosts of version 1, and hybrid ones, leave every process of a container in version 2's root. Each controller of
//! version 1 may have a hierarchy of its own; one of them is enough.

/// Controllers by how surely a container, or a unit of systemd, has a cgroup of its own there: systemd counts tasks for
/// every unit unless told otherwise, then memory; container runtimes make one for each.
const CONTROLLERS: [&str; 6] = ["pids", "memory", "cpu", "cpuacct", "devices", "cpuset"];

/// A hierarchy of version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// A controller that is on it.
    pub(crate) controller: &'static str,
    /// Its number while it is mounted; 0 is version 2's.
    pub(crate) id: u32,
}

impl Hierarchy {
    /// The one to ask, by the text of `/proc/cgroups`: name, hierarchy, number of cgroups, whether enabled.
    pub(crate) fn of_version_1(cgroups: &str) -> Option<Self> {
        CONTROLLERS.iter().find_map(|controller| {
            let mut lines = cgroups.lines().map(str::split_ascii_whitespace);
            let mut fields = lines.find_map(|mut fields| (fields.next()? == *controller).then_some(fields))?;
            let id = fields.next()?.parse().ok()?;
            let enabled = fields.nth(1)? == "1";
            (id != 0 && enabled).then_some(Self { controller, id })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
