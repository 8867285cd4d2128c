//! Parses a cgroup's path: the container, the pod and the systemd unit that it was made for.
//!
//! Pure, and linear in the path: everything found is a slice of it. Paths are not trusted (a container may make cgroups below
//! its own), so a part counts only in exactly the form in which its runtime writes it.

#[cfg(test)]
mod tests;
mod unit;

pub(crate) use unit::Unit;

/// The kernel's own limit (`PATH_MAX`); a path beyond it was not written by the kernel.
const MAX_PATH: usize = 4096;
/// Lines of `/proc/PID/cgroup` that are read: a kernel has 14 controllers, named hierarchies are rare.
const MAX_LINES: usize = 32;

/// The runtime of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Runtime {
    /// Docker.
    Docker,
    /// containerd, by its CRI plugin or nerdctl.
    Containerd,
    /// CRI-O.
    CriO,
    /// podman.
    Podman,
    /// LXC, LXD, Incus.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// runc or crun without a manager.
    Oci,
    /// Unknown: the path has only an id, such as below a pod made by kubelet's cgroupfs driver.
    Unknown,
}

/// A container, as in its cgroup's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contained<'a> {
    /// 64 hexadecimal digits for all but LXC, nspawn and plain OCI, whose ids are names.
    pub(crate) id: &'a str,
    /// Its runtime.
    pub(crate) runtime: Runtime,
}

/// A pod's quality-of-service class: which pods Kubernetes evicts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Qos {
    /// Limits equal requests.
    Guaranteed,
    /// Some requests or limits.
    Burstable,
    /// Neither requests nor limits.
    BestEffort,
}

/// A pod, as in its cgroup's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    /// As the API writes it, with dashes; 32 digits without for a static pod.
    pub(crate) uid: String,
    /// Its quality-of-service class.
    pub(crate) qos: Qos,
}

/// What a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// The innermost container.
    pub(crate) container: Option<Contained<'a>>,
    /// The one around it, where containers nest.
    pub(crate) outer: Option<Contained<'a>>,
    /// The innermost pod.
    pub(crate) pod: Option<Pod>,
    /// The innermost unit; with a container, only one inside of it, or the one that podman runs it in.
    pub(crate) unit: Option<Unit<'a>>,
    /// A runtime's own process beside the container, such as conmon: neither in the container nor a service.
    pub(crate) supervisor: bool,
    /// If nothing else is known: the last part, which may be the id of a container of plain runc.
    pub(crate) leaf: Option<&'a str>,
}

/// Reads a cgroup's path.
pub(crate) fn parse(path: &str) -> Place<'_> {
    let mut place = Place::default();
    if path.len() > MAX_PATH {
        return place;
    }
    let mut kubepods = None;
    let mut before = "";
    // In a cgroup namespace, paths outside of weir's own root begin with `/..`; the parts that follow are as usual.
    for part in path.split('/').filter(|part| !matches!(*part, "" | "." | "..")) {
        place.leaf = Some(part);
        if let Some(pod) = pod_slice(part).or_else(|| pod_directory(part, kubepods)) {
            place.pod = Some(pod);
        } else if let Some(qos) = qos_directory(part, kubepods) {
            kubepods = Some(qos);
        } else if is_supervisor(part) {
            return Place { supervisor: true, ..place };
        } else if let Some(found) = container(part, before) {
            // With podman's split cgroups, the unit is the service that runs the container.
            let keeps_unit = part.starts_with("libpod-payload-");
            place.unit = place.unit.filter(|_| keeps_unit);
            place.outer = place.container.replace(found);
            kubepods = None;
        } else if let Some(found) = Unit::of_part(part, path) {
            place.unit = Some(found);
        }
        // The cgroupfs form of a systemd path (`slice:cri-containerd:id`) begins with the pod's slice.
        if let Some((slice, _)) = part.split_once(':')
            && let Some(pod) = pod_slice(slice)
        {
            place.pod = Some(pod);
        }
        before = part;
    }
    let silent = place.container.is_none() && place.pod.is_none() && place.unit.is_none();
    place.leaf = place.leaf.filter(|leaf| silent && !leaf.ends_with(".slice"));
    place
}

/// The most specific path in a `/proc/PID/cgroup`.
///
/// That of the v2 line (`0::/…`) unless another has more: on a hybrid host it is often `/`, or the unit of the runtime's daemon.
/// In v1, the systemd hierarchy has units and containers; memory and pids have containers even without systemd.
pub(crate) fn most_specific_path(lines: &[u8]) -> Option<&str> {
    const ORDER: [&str; 5] = ["", "name=systemd", "memory", "pids", "cpu"];
    let rank = |controllers: &str| {
        let first = |wanted: &&str| controllers.split(',').any(|one| one == *wanted);
        ORDER.iter().position(first).unwrap_or(ORDER.len())
    };
    let mut best: Option<(u32, usize, &str)> = None;
    for line in lines.split(|byte| *byte == b'\n').take(MAX_LINES) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let Some((controllers, path)) = line.split_once(':').and_then(|(_, rest)| rest.split_once(':')) else {
            continue;
        };
        // The kernel appends this when the cgroup is removed while its last process is ending.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let (weight, rank) = (parse(path).weight(), rank(controllers));
        if best.is_none_or(|(heaviest, first, _)| weight > heaviest || (weight == heaviest && rank < first)) {
            best = Some((weight, rank, path));
        }
    }
    best.map(|(_, _, path)| path)
}

/// `kubepods-burstable-pod<uid>.slice`, behind any prefix that a nested kubelet adds.
fn pod_slice(part: &str) -> Option<Pod> {
    let (_, rest) = part.strip_suffix(".slice")?.split_once("kubepods")?;
    let (qos, uid) = rest.split_once("-pod")?;
    let qos = match qos {
        "" => Qos::Guaranteed,
        "-burstable" => Qos::Burstable,
        "-besteffort" => Qos::BestEffort,
        _ => return None,
    };
    Some(Pod { uid: pod_uid(uid)?, qos })
}

/// `pod<uid>` below `kubepods`, of kubelet's cgroupfs driver.
fn pod_directory(part: &str, kubepods: Option<Qos>) -> Option<Pod> {
    Some(Pod { qos: kubepods?, uid: pod_uid(part.strip_prefix("pod")?)? })
}

/// `kubepods` and the classes below it.
fn qos_directory(part: &str, kubepods: Option<Qos>) -> Option<Qos> {
    match (part, kubepods) {
        ("kubepods", _) => Some(Qos::Guaranteed),
        ("burstable", Some(_)) => Some(Qos::Burstable),
        ("besteffort", Some(_)) => Some(Qos::BestEffort),
        _ => None,
    }
}

/// A UUID, whose dashes are underscores in a slice's name, or the digest of a static pod.
fn pod_uid(text: &str) -> Option<String> {
    let is_digest = text.len() == 32 && text.bytes().all(is_hex);
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => matches!(byte, b'-' | b'_'),
            _ => is_hex(byte),
        });
    (is_digest || is_uuid).then(|| text.replace('_', "-"))
}

fn is_supervisor(part: &str) -> bool {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    ["libpod-conmon-", "crio-conmon-"].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(is_id))
        || name.starts_with("lxc.monitor")
}

/// The container that a part of a path names; `before` is the part in front of it.
fn container<'a>(part: &'a str, before: &str) -> Option<Contained<'a>> {
    const BY_PREFIX: [(&str, Runtime); 7] = [
        ("docker-", Runtime::Docker),
        ("cri-containerd-", Runtime::Containerd),
        ("nerdctl-", Runtime::Containerd),
        ("crio-", Runtime::CriO),
        ("libpod-payload-", Runtime::Podman),
        ("libpod-", Runtime::Podman),
        ("containerd-", Runtime::Containerd),
    ];
    let found = |id, runtime| Some(Contained { id, runtime });
    let name = part.strip_suffix(".scope").unwrap_or(part);
    for (prefix, runtime) in BY_PREFIX {
        if let Some(id) = name.strip_prefix(prefix)
            && is_id(id)
        {
            return found(id, runtime);
        }
    }
    if is_id(part) {
        return found(part, of_directory(before));
    }
    // A systemd path (`slice:prefix:id`) given to a runtime that takes it for a directory.
    if let Some((rest, id)) = part.rsplit_once(':')
        && is_id(id)
    {
        return found(id, of_directory(rest.rsplit_once(':').map_or(rest, |(_, prefix)| prefix)));
    }
    if let Some(id) =
        part.strip_prefix("lxc.payload.").or_else(|| matches!(before, "lxc" | "lxc.payload").then_some(part))
    {
        return found(is_name(id)?, Runtime::Lxc);
    }
    if let Some(id) = part.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service")) {
        return found(is_name(id)?, Runtime::Nspawn);
    }
    if part.ends_with(".scope")
        && let Some(id) = name.strip_prefix("runc-").or_else(|| name.strip_prefix("crun-"))
    {
        return found(is_name(id)?, Runtime::Oci);
    }
    // Amazon's ECS on Fargate: a task's digest and a number.
    let (digest, number) = part.split_once('-')?;
    let is_fargate = digest.len() == 32 && digest.bytes().all(is_hex) && before == digest;
    let is_number = !number.is_empty() && number.len() <= 20 && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_fargate && is_number { found(part, Runtime::Unknown) } else { None }
}

/// The runtime that uses this name for the directory above its containers.
fn of_directory(name: &str) -> Runtime {
    match name {
        "docker" => Runtime::Docker,
        "cri-containerd" | "nerdctl" | "k8s.io" | "default" | "moby" => Runtime::Containerd,
        "crio" => Runtime::CriO,
        "libpod" | "libpod_parent" => Runtime::Podman,
        _ => Runtime::Unknown,
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_hex)
}

/// An id that a user chose: the characters that runc and LXC allow in a directory's name.
pub(super) fn is_name(text: &str) -> Option<&str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'\\');
    let first = text.bytes().next()?;
    (text.len() <= 255 && first != b'.' && text.bytes().all(allowed)).then_some(text)
}

// === impl Place ===

impl Place<'_> {
    /// How specific it is: a container within a pod most, then either of them, then a unit of a service.
    pub(super) fn weight(&self) -> u32 {
        let unit = match &self.unit {
            Some(unit) if unit.is_service() => 3,
            Some(_) => 2,
            None => u32::from(self.leaf.is_some()),
        };
        u32::from(self.container.is_some()) * 8 + u32::from(self.pod.is_some() || self.supervisor) * 4 + unit
    }
}
