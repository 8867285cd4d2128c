//! A container's name, from its runtime's files, without a request to a daemon.

mod record;
#[cfg(test)]
mod tests;

use std::{io, path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    cgroup::{Contained, Runtime},
    files::Root,
    recent::Recent,
};
pub(crate) use record::ContainerNames;
use record::{DockerConfig, OciConfig, OciState, StoredContainer};

/// A container's own file: the longest OCI configurations seen are 40 KiB.
const MAX_FILE: usize = 1 << 20;
/// podman's list of all containers, 500 bytes each.
const MAX_LIST: usize = 8 << 20;
/// `/etc/passwd`, for the home directory of a user who runs containers.
const MAX_PASSWD: usize = 1 << 20;
/// Containers remembered, 200 to 400 bytes each.
const REMEMBERED: usize = 4096;
/// containerd's namespaces that are searched.
const MAX_NAMESPACES: usize = 32;

/// Where containerd keeps its bundles: by default, in k3s and RKE2, k0s, MicroK8s.
const CONTAINERD: [&str; 4] =
    ["/run/containerd", "/run/k3s/containerd", "/run/k0s/containerd", "/var/snap/microk8s/common/run/containerd"];
/// Where Docker keeps its containers: by default, and in its snap.
const DOCKER: [&str; 2] = ["/var/lib/docker", "/var/snap/docker/common/var-lib-docker"];
/// containers-storage, of podman and CRI-O: the persistent part, then the part that a reboot clears.
const STORAGE: [&str; 2] = ["/var/lib/containers/storage", "/run/containers/storage"];
/// Its drivers, the usual one first.
const DRIVERS: [&str; 3] = ["overlay", "vfs", "btrfs"];

/// What could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerLosses {
    /// Processes in a container that no runtime's files describe.
    pub unknown: u64,
    /// Files with another content than their runtime writes.
    pub malformed: u64,
    /// Files longer than any runtime writes.
    pub oversized: u64,
    /// Files that could not be read, for example without permission.
    pub unreadable: u64,
}

/// The containers of the host.
pub(crate) struct Containers {
    root: Root,
    known: Recent<Box<str>, Arc<ContainerNames>>,
    pub(crate) losses: ContainerLosses,
}

impl Containers {
    pub(crate) fn below(root: &Path) -> io::Result<Self> {
        Ok(Self { root: Root::open(root)?, known: Recent::of(REMEMBERED), losses: ContainerLosses::default() })
    }

    /// The container's names. `user` is its owner, where the path has it: rootless podman keeps its files in the user's home.
    /// A hit is kept: the files are removed with the container, and an id is never reused. A miss is not, since the files may
    /// not have been written yet; it costs 15 failing opens, 40 us, and only new edges pay it.
    pub(crate) fn names(&mut self, container: Contained<'_>, user: Option<u32>) -> Option<Arc<ContainerNames>> {
        if let Some(known) = self.known.get(container.id) {
            return Some(known.clone());
        }
        let found = Arc::new(self.look_up(container, user)?);
        self.known.insert(container.id.into(), found.clone());
        Some(found)
    }

    /// The container of plain runc or crun with this id, if there is one: its path does not name the runtime.
    pub(crate) fn plain(&mut self, id: &str) -> Option<Arc<ContainerNames>> {
        let id = super::cgroup::is_name(id)?;
        if let Some(known) = self.known.get(id) {
            return Some(known.clone());
        }
        let found = Arc::new(self.oci(id)?);
        self.known.insert(id.into(), found.clone());
        Some(found)
    }

    fn look_up(&mut self, container: Contained<'_>, user: Option<u32>) -> Option<ContainerNames> {
        let id = container.id;
        match container.runtime {
            Runtime::Docker => self.docker(id),
            Runtime::Containerd => self.containerd(id),
            Runtime::CriO => self.storage_config(id).or_else(|| self.stored(id, user)),
            Runtime::Podman => self.stored(id, user).or_else(|| self.storage_config(id)),
            Runtime::Lxc | Runtime::Nspawn => Some(ContainerNames::called(id)),
            Runtime::Oci => self.oci(id).or_else(|| Some(ContainerNames::called(id))),
            Runtime::Unknown => self
                .containerd(id)
                .or_else(|| self.docker(id))
                .or_else(|| self.storage_config(id))
                .or_else(|| self.stored(id, user))
                .or_else(|| self.oci(id)),
        }
    }

    fn docker(&mut self, id: &str) -> Option<ContainerNames> {
        DOCKER.iter().find_map(|root| {
            let config = self.json::<DockerConfig>(&format!("{root}/containers/{id}/config.v2.json"), MAX_FILE)?;
            Some(config.names())
        })
    }

    /// Bundles are in one directory for each namespace: `k8s.io`, `default`, `moby`, others.
    fn containerd(&mut self, id: &str) -> Option<ContainerNames> {
        CONTAINERD.iter().find_map(|root| {
            let tasks = format!("{root}/io.containerd.runtime.v2.task");
            let namespaces = self.root.list(&tasks, MAX_NAMESPACES).ok()?;
            let names = namespaces.iter().find_map(|namespace| {
                Some(self.json::<OciConfig>(&format!("{tasks}/{namespace}/{id}/config.json"), MAX_FILE)?.names())
            })?;
            // Docker's bundles have no names in them.
            (names != ContainerNames::default()).then_some(names)
        })
    }

    /// CRI-O writes all names into the configuration's annotations.
    fn storage_config(&mut self, id: &str) -> Option<ContainerNames> {
        let paths = STORAGE.iter().flat_map(|root| DRIVERS.map(|driver| (root, driver)));
        let names = paths.into_iter().find_map(|(root, driver)| {
            let path = format!("{root}/{driver}-containers/{id}/userdata/config.json");
            Some(self.json::<OciConfig>(&path, MAX_FILE)?.names())
        })?;
        (names != ContainerNames::default()).then_some(names)
    }

    /// podman writes name and image into the list of all containers; those made with `--rm` may be in a list of their own.
    fn stored(&mut self, id: &str, user: Option<u32>) -> Option<ContainerNames> {
        let mut roots = STORAGE.map(String::from).to_vec();
        if let Some(uid) = user {
            roots.insert(0, format!("/run/user/{uid}/containers"));
            if let Some(home) = self.home(uid) {
                roots.insert(0, format!("{home}/.local/share/containers/storage"));
            }
        }
        for root in roots {
            for driver in DRIVERS {
                for list in ["containers.json", "volatile-containers.json"] {
                    let path = format!("{root}/{driver}-containers/{list}");
                    let found = self.json::<Vec<StoredContainer>>(&path, MAX_LIST);
                    if let Some(stored) = found.into_iter().flatten().find(|stored| stored.id == id) {
                        return Some(stored.names());
                    }
                }
            }
        }
        None
    }

    fn oci(&mut self, id: &str) -> Option<ContainerNames> {
        let state = self.json::<OciState>(&format!("/run/runc/{id}/state.json"), MAX_FILE);
        let state = state.or_else(|| self.json::<OciState>(&format!("/run/crun/{id}/status"), MAX_FILE))?;
        // crun's file has no id; runc's must be the same.
        state.id.is_none_or(|own| own == id).then(|| ContainerNames::called(id))
    }

    /// The home directory of a user of the host.
    fn home(&self, uid: u32) -> Option<String> {
        let passwd = self.root.read("/etc/passwd", MAX_PASSWD).ok()?;
        let passwd = String::from_utf8_lossy(&passwd);
        let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let user = fields.into_iter().find(|fields| fields.get(2).is_some_and(|field| field.parse() == Ok(uid)))?;
        user.get(5).filter(|home| home.starts_with('/')).map(|home| (*home).to_owned())
    }

    /// A file's content. None where it cannot be read, which is counted unless the file does not exist.
    fn json<T: DeserializeOwned>(&mut self, path: &str, limit: usize) -> Option<T> {
        match self.root.read(path, limit) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(value) => return Some(value),
                Err(_) => self.losses.malformed += 1,
            },
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
                io::ErrorKind::FileTooLarge => self.losses.oversized += 1,
                io::ErrorKind::InvalidData => self.losses.malformed += 1,
                _ => self.losses.unreadable += 1,
            },
        }
        None
    }
}
