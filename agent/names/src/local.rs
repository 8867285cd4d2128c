//! Who a process of this host is: from its number, its cgroup and what the kernel calls it to a name.
//!
//! Nothing here waits for anybody: a few small files are read once for each process that has a new edge, and what was
//! found is kept, so that a process that ends, or a container whose files go with it, keeps its name.

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
/// New cgroups whose container has not been written down yet.
const MAX_AWAITED: usize = 256;
/// Each of them is looked for after this long, then after twice as long, and so on: runtimes write within milliseconds.
/// Late looks are for all of them together: each is a wake-up.
const FIRST_LOOK_NS: u64 = 25_000_000;
const LATE_LOOKS_NS: u64 = 200_000_000;
/// So often: six seconds in all. A runtime that is slower has failed.
const LOOKS: u32 = 8;
/// `/proc/cgroups`.
const MAX_CGROUPS: usize = 64 << 10;

/// What the kernel half knows of an edge's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessFacts {
    /// Thread group id in the initial pid namespace.
    pub pid: u32,
    /// Nanoseconds since boot; 0 if not known.
    pub start_ns: u64,
    /// As in an edge's record, `CGROUP_V1` included.
    pub cgroup_id: u64,
    /// Name of the first thread.
    pub comm: [u8; COMM_LEN],
    /// File name of the executable.
    pub exe: [u8; EXE_LEN],
}

/// Who a process is, as far as its own host tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Never a Kubernetes kind: whoever knows the cluster makes that of the ids below.
    pub identity: Arc<Identity>,
    /// The innermost container's id, as its runtime writes it.
    pub container_id: Option<Arc<str>>,
    /// The pod's uid, as the API writes it.
    pub pod_uid: Option<Arc<str>>,
}

/// What was not to be had, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalLosses {
    /// Processes that had ended before they were looked at.
    pub gone: u64,
    /// Of these, those whose number another process has now.
    pub reused: u64,
    /// Processes that had executed another program by then: their arguments and environment were not read.
    pub replaced: u64,
    /// Processes that were gone, with a cgroup of which nothing is known.
    pub unknown_cgroups: u64,
    /// `OTEL_RESOURCE_ATTRIBUTES` that are not as specified.
    pub malformed_attributes: u64,
    /// Environments longer than what is read.
    pub environments_cut: u64,
    /// New cgroups whose path was longer than what the kernel half tells, or could not be read.
    pub long_paths: u64,
    /// New cgroups that found no room to wait for their container's files.
    pub not_awaited: u64,
    /// Of containers.
    pub containers: ContainerLosses,
}

/// A new cgroup whose container has not been written down yet.
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
    /// Containers found after they had been awaited.
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

    /// Learns all cgroups there are, and says whether all were visited: at the start, and from time to time where the
    /// kernel does not tell of new ones (30 us for each).
    pub fn walk_cgroups(&mut self) -> bool {
        self.cgroups.walk(&self.root)
    }

    /// A cgroup was made just now. Its container is looked up at once, since the files of one that is removed when it ends
    /// (`podman run --rm`) may be gone by the time its first edge is heard of.
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

    /// Looks again for the containers of new cgroups: runtimes make the cgroup first, and write some of their files later.
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

    /// When to look again, where some new cgroup's container has not been written down yet.
    pub fn due_ns(&self) -> Option<u64> {
        self.awaited.iter().map(|awaited| awaited.due_ns).min()
    }

    /// Containers found after they had been awaited: whoever was named before may have a better name now.
    pub fn found_late(&self) -> u64 {
        self.found_late
    }

    /// Who the process of an edge is. Best first: what it says itself (OpenTelemetry's variables), its container, its
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

    /// A process of which an edge is retired: it may have ended, and if not, is asked again at its next edge.
    pub fn forget(&mut self, process: &ProcessFacts) {
        self.known.remove(process);
    }

    /// What was not to be had so far.
    pub fn losses(&self) -> LocalLosses {
        LocalLosses { containers: self.containers.losses, ..self.losses }
    }

    /// The name, and whether it will be the same later.
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
        // A container without a name yet may get one: its runtime may be about to write it.
        let lasting = found.is_some() || place.container.is_none();
        if !lasting {
            self.containers.losses.unknown += 1;
        }
        (local(process, seen.unwrap_or_default(), &place, found.as_deref()), lasting)
    }

    /// The path of the process's cgroup: as it was when the kernel half saw it, unless what it is in now says more, as on
    /// hybrid hosts, where one hierarchy has its container and another the unit of the container's daemon.
    fn path(&mut self, process: &ProcessFacts, seen: Option<&Seen>) -> Arc<str> {
        let then =
            if process.cgroup_id == CGROUP_ROOT { Some("/".into()) } else { self.cgroups.path(process.cgroup_id) };
        let now = seen.and_then(|seen| cgroup::telling_path(&seen.cgroup));
        match (then, now) {
            (Some(then), Some(now)) if cgroup::parse(now).weight() > cgroup::parse(&then).weight() => now.into(),
            (Some(then), _) => then,
            (None, Some(now)) => {
                // For others of its cgroup that end before they are looked at.
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

    /// What the runtime says of a place's container; of the one around it, where the inner one's files are out of sight.
    fn container_of(&mut self, place: &Place<'_>, path: &str) -> Option<Arc<ContainerNames>> {
        let user = user_of(path);
        let inner = place.container.and_then(|container| self.containers.names(container, user));
        let outer = |names: &mut Self| names.containers.names(place.outer?, user);
        inner.or_else(|| outer(self)).or_else(|| self.containers.plain(place.leaf?))
    }
}

/// Whether a new cgroup may be a container's whose files are still to come.
fn is_awaited(path: &str) -> bool {
    let place = cgroup::parse(path);
    place.container.is_some() || place.leaf.is_some()
}

/// Whose slice it is: `/user.slice/user-1000.slice/…`.
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
    // Without a name it still tells two containers apart.
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
