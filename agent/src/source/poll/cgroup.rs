//! The cgroups of the polled processes: how long they were throttled, and their pressure.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use weir_engine::CgroupPoll;
use weir_names::hierarchy::{Hierarchy, Mount, Mounts};

use super::{file::read, table};

/// Cgroups read in one poll: 10 us each. A choice.
const MAX_CGROUPS: usize = 1024;
/// A limit may be set on an ancestor, such as the pod's cgroup: ancestors read. A choice.
const MAX_ABOVE: usize = 6;
/// The controller that distributes processor time.
const CPU: Hierarchy = Hierarchy { controller: "cpu", id: 0 };

/// The mounted hierarchies, and the cgroups of a poll.
#[derive(Debug)]
pub(super) struct Cgroups {
    root: PathBuf,
    /// The mount points of version 1's hierarchy with `cpu`, and of version 2's, and the cgroup there.
    v1: Option<(PathBuf, String)>,
    v2: Option<(PathBuf, String)>,
    /// Read in this poll.
    polled: BTreeMap<Arc<str>, CgroupPoll>,
}

impl Cgroups {
    /// For the host with this root.
    pub(super) fn new(root: &Path) -> Self {
        let mountinfo = read(&root.join("proc/1/mountinfo")).unwrap_or_default();
        let Mounts { v1, v2 } = Mounts::parse(&mountinfo, Some(CPU));
        // The host's files, also from inside a container that shares its pid namespace.
        let host = root.join("proc/1/root");
        let root = if host.join("sys").exists() { host } else { root.to_owned() };
        let below =
            |mount: Option<Mount>| mount.map(|Mount { at, cgroup }| (root.join(at.trim_start_matches('/')), cgroup));
        Self { v1: below(v1), v2: below(v2), root, polled: BTreeMap::new() }
    }

    /// Begins a poll, with the pressure of the host itself.
    pub(super) fn begin(&mut self) {
        self.polled.clear();
        let of = |name: &str| read(&self.root.join("proc/pressure").join(name)).ok();
        if let (Some(cpu), Some(memory), Some(io)) = (of("cpu"), of("memory"), of("io")) {
            let path: Arc<str> = "/".into();
            let pressure = Some(table::pressures(&cpu, &memory, &io));
            self.polled.insert(Arc::clone(&path), CgroupPoll { path, throttle: None, pressure });
        }
    }

    /// The cgroup of a process, by the text of its `/proc/PID/cgroup`. It is polled with its ancestors.
    pub(super) fn of(&mut self, text: &str) -> Option<Arc<str>> {
        let (v1, v2) = table::cgroups(text);
        let (path, mount, is_v2) = match (v1.zip(self.v1.clone()), v2.zip(self.v2.clone())) {
            (Some((path, mount)), _) => (path, mount, false),
            (None, Some((path, mount))) => (path, mount, true),
            (None, None) => return None,
        };
        // Outside of the mounted part there are no files.
        if path.contains("..") || path == "/" {
            return None;
        }
        let mut above = Some(path);
        for _ in 0..=MAX_ABOVE {
            let Some(here) = above.filter(|here| !here.is_empty()) else { break };
            self.poll(here, &mount, is_v2);
            above = here.rsplit_once('/').map(|(above, _)| above);
        }
        self.polled.get_key_value(path).map_or_else(|| Some(path.into()), |(path, _)| Some(Arc::clone(path)))
    }

    fn poll(&mut self, path: &str, (at, mounted): &(PathBuf, String), is_v2: bool) {
        if self.polled.contains_key(path) || self.polled.len() >= MAX_CGROUPS {
            return;
        }
        let below = path.strip_prefix(mounted.trim_end_matches('/')).unwrap_or(path);
        let directory = at.join(below.trim_start_matches('/'));
        let of = |name: &str| read(&directory.join(name)).ok();
        let throttle = of("cpu.stat").as_deref().and_then(table::throttle);
        let pressure = match (of("cpu.pressure"), of("memory.pressure"), of("io.pressure")) {
            (Some(cpu), Some(memory), Some(io)) if is_v2 => Some(table::pressures(&cpu, &memory, &io)),
            _ => None,
        };
        let path: Arc<str> = path.into();
        self.polled.insert(Arc::clone(&path), CgroupPoll { path, throttle, pressure });
    }

    /// Cgroups with values.
    pub(super) fn polled(&self) -> Vec<CgroupPoll> {
        self.polled.values().filter(|poll| poll.throttle.is_some() || poll.pressure.is_some()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use weir_engine::Throttle;

    use super::*;

    fn host(name: &str, mountinfo: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("weir-poll-{name}-{}", std::process::id()));
        for (path, text) in files.iter().chain(&[("proc/1/mountinfo", mountinfo)]) {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
            fs::write(path, text).expect("file");
        }
        root
    }

    #[test]
    fn version_1_where_the_controller_is() {
        let mounts = "1 1 0:1 / /c/cpu rw - cgroup cgroup rw,cpu\n1 1 0:1 / /c/two rw - cgroup2 cgroup2 rw\n";
        let stat = "nr_periods 10\nnr_throttled 5\nthrottled_time 7\n";
        let root = host("v1", mounts, &[("c/cpu/pod/cpu.stat", stat), ("c/two/x/cpu.stat", stat)]);
        let mut cgroups = Cgroups::new(&root);
        cgroups.begin();
        assert_eq!(cgroups.of("4:cpu,cpuacct:/pod/app\n0::/x\n").as_deref(), Some("/pod/app"));
        let throttle = Some(Throttle { periods: 10, throttled: 5, throttled_ns: 7 });
        let poll = CgroupPoll { path: "/pod".into(), throttle, pressure: None };
        assert_eq!(cgroups.polled(), [poll], "the limit is on the ancestor");
        fs::remove_dir_all(&root).expect("removed");
    }

    #[test]
    fn version_2_with_pressure() {
        let mounts = "1 1 0:1 /scope /c rw - cgroup2 cgroup2 rw\n";
        let pressure = "some avg10=0 total=5\nfull avg10=0 total=3\n";
        let files = [
            ("c/app/cpu.stat", "nr_periods 2\nnr_throttled 1\nthrottled_usec 3\n"),
            ("c/app/cpu.pressure", pressure),
            ("c/app/memory.pressure", pressure),
            ("c/app/io.pressure", pressure),
            ("proc/pressure/cpu", pressure),
            ("proc/pressure/memory", pressure),
            ("proc/pressure/io", pressure),
        ];
        let root = host("v2", mounts, &files);
        let mut cgroups = Cgroups::new(&root);
        cgroups.begin();
        assert_eq!(cgroups.of("0::/scope/app\n").as_deref(), Some("/scope/app"));
        assert_eq!(cgroups.of("0::/../elsewhere\n"), None);
        assert_eq!(cgroups.of("0::/\n"), None);
        let polled = cgroups.polled();
        assert_eq!(polled.iter().map(|poll| &*poll.path).collect::<Vec<_>>(), ["/", "/scope/app"]);
        assert_eq!(polled[1].throttle, Some(Throttle { periods: 2, throttled: 1, throttled_ns: 3000 }));
        assert_eq!(polled[1].pressure.map(|p| (p.cpu_some_us, p.memory_full_us)), Some((5, 3)));
        fs::remove_dir_all(&root).expect("removed");
    }
}
