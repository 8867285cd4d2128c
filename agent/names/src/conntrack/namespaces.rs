//! Network namespaces, and a socket in each of those that were queried recently.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{obstacle::Obstacle, socket::Socket};

/// Sockets open at once: a descriptor and 5 KiB each.
const MOST: usize = 32;
/// A socket keeps its namespace and the devices in it alive after the last process has ended: it is closed after this long.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// A network namespace that is held open.
struct Namespace {
    file: File,
    inode: u64,
}

struct Open {
    inode: u64,
    socket: Socket,
    used: Instant,
}

pub(super) struct Namespaces {
    proc: PathBuf,
    /// The one in which this thread began.
    home: Namespace,
    initial: Result<Namespace, Obstacle>,
    open: Vec<Open>,
}

/// Why there is no socket in a namespace.
#[derive(Debug)]
pub(super) enum Unavailable {
    /// The process has ended, or moved to another namespace.
    Gone,
    Obstacle(Obstacle),
}

impl Namespace {
    fn at(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode })
    }
}

// === impl Namespaces ===

impl Namespaces {
    pub(super) fn new(proc: PathBuf, initial: &Path) -> Result<Self, Obstacle> {
        let home = Namespace::at(&proc.join("thread-self/ns/net")).map_err(|error| Obstacle::of(&error))?;
        let initial = Namespace::at(initial).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => Obstacle::MayNotEnter,
            _ => Obstacle::of(&error),
        });
        Ok(Self { proc, home, initial, open: Vec::new() })
    }

    /// The inode number of the initial namespace, where it is known.
    pub(super) fn initial_inode(&self) -> Option<u64> {
        self.initial.as_ref().ok().map(|initial| initial.inode)
    }

    /// The socket in the initial namespace.
    pub(super) fn initial(&mut self) -> Result<&mut Socket, Obstacle> {
        let inode = self.initial.as_ref().map_err(|obstacle| *obstacle)?.inode;
        if let Some(index) = self.position(inode) {
            return Ok(self.touch(index));
        }
        let initial = self.initial.as_ref().map_err(|obstacle| *obstacle)?;
        let socket = open_in(initial, &self.home)?;
        Ok(self.keep(inode, socket))
    }

    /// The socket in the namespace with this inode number, in which this process is.
    pub(super) fn of(&mut self, inode: u64, pid: u32) -> Result<&mut Socket, Unavailable> {
        if let Some(index) = self.position(inode) {
            return Ok(self.touch(index));
        }
        let namespace = if inode == self.home.inode { None } else { Some(self.find(inode, pid)?) };
        let socket = open_in(namespace.as_ref().unwrap_or(&self.home), &self.home).map_err(Unavailable::Obstacle)?;
        Ok(self.keep(inode, socket))
    }

    fn find(&self, inode: u64, pid: u32) -> Result<Namespace, Unavailable> {
        match Namespace::at(&self.proc.join(format!("{pid}/ns/net"))) {
            Ok(namespace) if namespace.inode == inode => Ok(namespace),
            Ok(_) => Err(Unavailable::Gone),
            // ESRCH: the process is ending.
            Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
                Err(Unavailable::Gone)
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Err(Unavailable::Obstacle(Obstacle::MayNotEnter))
            }
            Err(error) => Err(Unavailable::Obstacle(Obstacle::of(&error))),
        }
    }

    fn position(&self, inode: u64) -> Option<usize> {
        self.open.iter().position(|open| open.inode == inode)
    }

    fn touch(&mut self, index: usize) -> &mut Socket {
        let open = &mut self.open[index];
        open.used = Instant::now();
        &mut open.socket
    }

    /// Keeps the socket; beyond the limit, in place of the least recently used one.
    fn keep(&mut self, inode: u64, socket: Socket) -> &mut Socket {
        let open = Open { inode, socket, used: Instant::now() };
        if self.open.len() == MOST {
            let oldest = (0..MOST).min_by_key(|index| self.open[*index].used).unwrap_or(0);
            self.open[oldest] = open;
            return &mut self.open[oldest].socket;
        }
        self.open.push(open);
        let last = self.open.len() - 1;
        &mut self.open[last].socket
    }

    /// Closes the socket in a namespace: after a failure it may hold answers to earlier queries.
    pub(super) fn close(&mut self, inode: u64) {
        self.open.retain(|open| open.inode != inode);
    }

    /// Closes idle sockets. False once none is open.
    pub(super) fn close_idle(&mut self) -> bool {
        self.open.retain(|open| open.used.elapsed() < IDLE);
        !self.open.is_empty()
    }
}

/// Opens a socket in a namespace, and returns to the own one.
fn open_in(namespace: &Namespace, home: &Namespace) -> Result<Socket, Obstacle> {
    if namespace.inode == home.inode {
        return Socket::open();
    }
    enter(namespace)?;
    let socket = Socket::open();
    // A thread left in another namespace would open its next sockets there.
    enter(home)?;
    socket
}

fn enter(namespace: &Namespace) -> Result<(), Obstacle> {
    move_into_link_name_space(namespace.file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|error| match error {
        rustix::io::Errno::PERM => Obstacle::MayNotEnter,
        error => Obstacle::Failed(error.raw_os_error()),
    })
}
