//! The name of a process of this host, from its id, its cgroup and the kernel's name for it.
//!
//! Nothing here waits for another process: a few small files are read once for each process with a new edge. What was found is
//! kept, so that a process that ends, or a container whose files are removed with it, keeps its name.

mod cgroup;
mod cgroups;
mod container;
mod declared;
mod files;
mod process;
mod recent;
mod script;
#[cfg(test)]
mod tests;
mod text;

use std::{collections::VecDeque, io, path::Path, sync::Arc};

use weir_abi::{CGROUP_ROOT, COMM_LEN, CgroupMade, EXE_LEN};
use weir_engine::{Identity, Kind, program_name};

use crate::hierarchy::Hierarchy;
use cgroup::Place;
use cgroups::Cgroups;
pub use container::ContainerLosses;
use container::{ContainerNames, Containers};
use files::Root;
use process::{Processes, Seen, Unseen};
use recent::Recent;
use text::clean_bytes;

/// Processes remembered, 600 bytes each.
const REMEMBERED: usize = 4096;
/// New cgroups whose container files do not exist yet: a choice.
const MAX_AWAITED: usize = 256;
/// The container files of a new cgroup are looked for after this long, then after twice as long, and so on: runtimes write
/// them within milliseconds. Later attempts are aligned, so that one wake-up serves all cgroups.
const FIRST_LOOK_NS: u64 = 25_000_000;
const LATE_LOOKS_NS: u64 = 200_000_000;
/// Attempts: six seconds in all. A slower runtime has failed.
const LOOKS: u32 = 8;
/// Bytes read of `/proc/cgroups`.
const MAX_CGROUPS: usize = 64 << 10;

/// What the kernel half records of an edge's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessFacts {
    /// Thread group id in the initial pid namespace.
    pub pid: u32,
    /// Nanoseconds since boot; 0 if unknown.
    pub start_ns: u64,
    /// As in an edge's record, `CGROUP_V1` included.
    pub cgroup_id: u64,
    /// Name of the first thread.
    pub comm: [u8; COMM_LEN],
    /// File name of the executable.
    pub exe: [u8; EXE_LEN],
}

/// The identity of a process, from its own host alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Never a Kubernetes kind: the cluster is asked with the ids below.
    pub identity: Arc<Identity>,
    /// The innermost container's id, as its runtime writes it.
    pub container_id: Option<Arc<str>>,
    /// The pod's uid, as the API writes it.
    pub pod_uid: Option<Arc<str>>,
}

/// What could not be read, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalLosses {
    /// Processes that had ended before they were read.
    pub gone: u64,
    /// Of these, those whose id another process has now.
    pub reused: u64,
    /// Processes that had executed another program by then: their arguments and environment were not read.
    pub replaced: u64,
    /// Processes that had ended, in a cgroup whose path is unknown.
    pub unknown_cgroups: u64,
    /// Values of `OTEL_RESOURCE_ATTRIBUTES` that violate the specification.
    pub malformed_attributes: u64,
    /// Environments longer than the bytes read.
    pub environments_cut: u64,
    /// New cgroups whose path was longer than the kernel half reports, or could not be read.
    pub long_paths: u64,
    /// New cgroups beyond the limit of those whose container files are awaited.
    pub not_awaited: u64,
    /// Losses of containers.
    pub containers: ContainerLosses,
}

/// A new cgroup whose container files do not exist yet.
struct Awaited {
    path: Arc<str>,
    looks: u32,
    due_ns: u64,
}

/// The processes of this host.
pub struct LocalNames {
    root: Root,
    processes: Processes,
    cgroups: Cgroups,
    containers: Containers,
    known: Recent<ProcessFacts, Local>,
    awaited: VecDeque<Awaited>,
    /// Containers whose files were found later than their cgroup.
    found_late: u64,
    losses: LocalLosses,
}

impl LocalNames {
    /// For the host that weir runs on, also from inside a container that shares its processes.
    ///
    /// # Errors
    /// When the host's root cannot be opened.
    pub fn of_host() -> io::Result<Self> {
        Self::below(Path::new(files::HOST)).or_else(|_| Self::below(Path::new("/")))
    }

    /// For the host with this root.
    ///
    /// # Errors
    /// When the root cannot be opened.
    pub fn below(root: &Path) -> io::Result<Self> {
        let opened = Root::open(root)?;
        let hierarchies = opened.read("/proc/cgroups", MAX_CGROUPS).unwrap_or_default();
        let v1 = Hierarchy::of_version_1(&String::from_utf8_lossy(&hierarchies));
        let mut names = Self {
            root: opened,
            processes: Processes::at(&root.join("proc")),
            cgroups: Cgroups::new(v1),
            containers: Containers::below(root)?,
            known: Recent::of(REMEMBERED),
            awaited: VecDeque::new(),
            found_late: 0,
            losses: LocalLosses::default(),
        };
        names.walk_cgroups();
        Ok(names)
    }

    /// Learns all existing cgroups, and returns whether all were visited: at the start, and from time to time where the kernel
    /// does not report new ones (30 us for each).
    pub fn walk_cgroups(&mut self) -> bool {
        self.cgroups.walk(&self.root)
    }

    /// A cgroup was made just now. Its container is looked up at once: the files of one that is removed when it ends
    /// (`podman run --rm`) may be gone by the time its first edge is read.
    pub fn cgroup_made(&mut self, made: &CgroupMade, now_ns: u64) {
        let Some(path) = made.path() else {
            self.losses.long_paths += 1;
            return;
        };
        let path = String::from_utf8_lossy(path);
        let id = made.cgroup_id;
        self.cgroups.insert(id, &path);
        if self.container_of(&cgroup::parse(&path), &path).is_some() || !is_awaited(&path) {
            return;
        }
        if self.awaited.len() >= MAX_AWAITED {
            self.losses.not_awaited += 1;
        } else {
            let due_ns = now_ns.saturating_add(FIRST_LOOK_NS);
            self.awaited.push_back(Awaited { path: path.as_ref().into(), looks: 0, due_ns });
        }
    }

    /// Looks again for the container files of new cgroups: runtimes make the cgroup first, and some of the files later.
    pub fn look_again(&mut self, now_ns: u64) {
        for _ in 0..self.awaited.len() {
            let Some(awaited) = self.awaited.pop_front() else { return };
            if awaited.due_ns > now_ns {
                self.awaited.push_back(awaited);
                continue;
            }
            let looks = awaited.looks + 1;
            if self.container_of(&cgroup::parse(&awaited.path), &awaited.path).is_some() {
                self.found_late += 1;
            } else if looks < LOOKS {
                let grain_ns = if looks < 2 { 1 } else { LATE_LOOKS_NS };
                let due_ns = (now_ns + (FIRST_LOOK_NS << looks)).next_multiple_of(grain_ns);
                self.awaited.push_back(Awaited { looks, due_ns, ..awaited });
            }
        }
    }

    /// When to look again; none where no container files are awaited.
    pub fn due_ns(&self) -> Option<u64> {
        self.awaited.iter().map(|awaited| awaited.due_ns).min()
    }

    /// Containers whose files were found later than their cgroup: processes named before may have a better name now.
    pub fn found_late(&self) -> u64 {
        self.found_late
    }

    /// The identity of an edge's process. Best first: the name it declares (OpenTelemetry's variables), its container, its
    /// systemd unit, the script or the executable that it runs, its thread's name.
    pub fn name(&mut self, process: &ProcessFacts) -> Local {
        if let Some(known) = self.known.get(process) {
            return known.clone();
        }
        let (local, lasting) = self.look_up(process);
        if lasting {
            self.known.insert(*process, local.clone());
        }
        local
    }

    /// An edge of this process is retired: it may have ended; if not, it is read again at its next edge.
    pub fn forget(&mut self, process: &ProcessFacts) {
        self.known.remove(process);
    }

    /// What could not be read so far.
    pub fn losses(&self) -> LocalLosses {
        LocalLosses { containers: self.containers.losses, ..self.losses }
    }

    /// The name, and whether it is final.
    fn look_up(&mut self, process: &ProcessFacts) -> (Local, bool) {
        let seen = match self.processes.see(process.pid, process.start_ns, &process.exe) {
            Ok(seen) => Some(seen),
            Err(unseen) => {
                self.losses.gone += 1;
                self.losses.reused += u64::from(unseen == Unseen::Reused);
                None
            }
        };
        if let Some(seen) = &seen {
            self.losses.replaced += u64::from(seen.exe.is_none());
            self.losses.malformed_attributes += u64::from(seen.declared.malformed);
            self.losses.environments_cut += u64::from(seen.environ_cut);
        }
        let path = self.path(process, seen.as_ref());
        let place = cgroup::parse(&path);
        let found = self.container_of(&place, &path);
        // A container without a name may get one later: its runtime may not have written it yet.
        let lasting = found.is_some() || place.container.is_none();
        if !lasting {
            self.containers.losses.unknown += 1;
        }
        (local(process, seen.unwrap_or_default(), &place, found.as_deref()), lasting)
    }

    /// The path of the process's cgroup: the one that the kernel half recorded, unless its present one says more, as on hybrid
    /// hosts, where one hierarchy has its container and another the unit of the container's daemon.
    fn path(&mut self, process: &ProcessFacts, seen: Option<&Seen>) -> Arc<str> {
        let then =
            if process.cgroup_id == CGROUP_ROOT { Some("/".into()) } else { self.cgroups.path(process.cgroup_id) };
        let now = seen.and_then(|seen| cgroup::most_specific_path(&seen.cgroup));
        match (then, now) {
            (Some(then), Some(now)) if cgroup::parse(now).weight() > cgroup::parse(&then).weight() => now.into(),
            (Some(then), _) => then,
            (None, Some(now)) => {
                // For other processes of the cgroup, which may end before they are read.
                if process.cgroup_id != 0 {
                    self.cgroups.insert(process.cgroup_id, now);
                }
                now.into()
            }
            (None, None) => {
                self.losses.unknown_cgroups += 1;
                "/".into()
            }
        }
    }

    /// The names of a place's container; those of the container around it, where the inner one's files cannot be reached.
    fn container_of(&mut self, place: &Place<'_>, path: &str) -> Option<Arc<ContainerNames>> {
        let user = user_of(path);
        let inner = place.container.and_then(|container| self.containers.names(container, user));
        let outer = |names: &mut Self| names.containers.names(place.outer?, user);
        inner.or_else(|| outer(self)).or_else(|| self.containers.plain(place.leaf?))
    }
}

/// Whether a new cgroup may be that of a container whose files do not exist yet.
fn is_awaited(path: &str) -> bool {
    let place = cgroup::parse(path);
    place.container.is_some() || place.leaf.is_some()
}

/// The user of the slice: `/user.slice/user-1000.slice/…`.
fn user_of(path: &str) -> Option<u32> {
    path.split("/user-").nth(1)?.split(".slice").next()?.parse().ok()
}

/// Puts together what was found.
fn local(process: &ProcessFacts, seen: Seen, place: &Place<'_>, found: Option<&ContainerNames>) -> Local {
    let found = found.cloned().unwrap_or_default();
    let ContainerNames { name: container, image, pod, namespace, pod_uid } = found;
    let unit = place.unit.filter(cgroup::Unit::is_service);
    let (comm, exe) = (clean_bytes(&process.comm), seen.exe.unwrap_or_else(|| clean_bytes(&process.exe)));
    let program = seen.script.unwrap_or_else(|| program_name(&comm, &exe).to_owned());
    let (kind, name) = if let Some(declared) = seen.declared.name {
        (Kind::Declared, declared.into())
    } else if let Some(container) = &container {
        (Kind::Container, container.clone())
    } else if let Some(unit) = unit {
        (Kind::Unit, text::clean(&unit.service_name()).into())
    } else {
        let program = if program.is_empty() { format!("process {}", process.pid) } else { program };
        (Kind::Executable, program.into())
    };
    let short_id = || place.container.map(|container| container.id.chars().take(12).collect::<String>().into());
    let mut identity = Identity::new(kind, name);
    identity.namespace = seen.declared.namespace.map(Into::into).or(namespace);
    identity.pod = pod;
    // Without a name, the id still distinguishes two containers.
    identity.container = container.or_else(short_id);
    identity.image = image;
    identity.unit = unit.map(|unit| text::clean(unit.name).into());
    Local {
        identity: Arc::new(identity),
        container_id: place.container.map(|container| container.id.into()),
        pod_uid: place.pod.as_ref().map(|pod| pod.uid.as_str().into()).or(pod_uid),
    }
}

/// A directory of a test's own.
#[cfg(test)]
fn scratch(of: &str) -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("weir-{of}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).expect("a directory for the test");
    path
}
