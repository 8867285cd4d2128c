//! A network namespace from inside: the polling thread enters it, reads, and returns to its own.

use std::{
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use weir_engine::ConntrackPoll;

use super::{file::read, misses::Miss, table};

/// The network namespace in which the polling thread began.
pub(super) struct Home {
    file: File,
    inode: u32,
}

/// The network namespace that the polling thread is in.
pub(super) struct Namespace {
    pub(super) inode: u32,
    proc: PathBuf,
}

fn inode(file: &File) -> io::Result<u32> {
    Ok(file.metadata()?.ino() as u32)
}

impl Home {
    pub(super) fn of(proc: &Path) -> Result<Self, Miss> {
        let file = File::open(proc.join("thread-self/ns/net"))?;
        Ok(Self { inode: inode(&file)?, file })
    }

    pub(super) fn inode(&self) -> u32 {
        self.inode
    }

    /// Enters the namespace with this inode number, through one of these processes, unless it is the own one.
    pub(super) fn enter(&self, proc: &Path, wanted: u32, pids: &[u32]) -> Result<Namespace, Miss> {
        let namespace = Namespace { inode: wanted, proc: proc.into() };
        if wanted == self.inode {
            return self.return_to().map(|()| namespace);
        }
        let mut why = Miss::Gone;
        for pid in pids {
            match File::open(proc.join(format!("{pid}/ns/net"))) {
                Ok(file) if inode(&file)? == wanted => return go_to(&file).map(|()| namespace),
                // The process has moved to another namespace.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => why = error.into(),
            }
        }
        Err(why)
    }

    pub(super) fn return_to(&self) -> Result<(), Miss> {
        go_to(&self.file)
    }
}

fn go_to(namespace: &File) -> Result<(), Miss> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

impl Namespace {
    /// A file of `/proc/net`, which shows the namespace of the reading thread.
    pub(super) fn net(&self, name: &str) -> Result<String, Miss> {
        read(&self.proc.join("thread-self/net").join(name))
    }

    /// A parameter below `/proc/sys/net`: also of the reading thread's namespace.
    pub(super) fn sysctl(&self, name: &str) -> Result<String, Miss> {
        read(&self.proc.join("sys/net").join(name))
    }

    /// Connection tracking, where the kernel has it loaded.
    pub(super) fn conntrack(&self) -> Option<ConntrackPoll> {
        let number = |name: &str| self.sysctl(&format!("netfilter/{name}")).ok()?.trim().parse().ok();
        let (count, max) = (number("nf_conntrack_count")?, number("nf_conntrack_max")?);
        let names = ["drop", "insert_failed", "early_drop"];
        let stat = self.net("stat/nf_conntrack").unwrap_or_default();
        let [dropped, insert_failed, early_drop] = table::columns(&stat, names);
        Some(ConntrackPoll { netns: self.inode, count, max, dropped, insert_failed, early_drop })
    }
}
