//! A network namespace from inside: this thread enters it, reads, and goes home.

use std::{
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use weir_engine::{ConntrackPoll, Listener, NamespacePoll, NetCounters, UnixListener};

use super::{
    half_open::HalfOpens,
    misses::{Miss, Misses},
    owner::Owners,
    sock_diag::{LISTENING, SockDiag, UnixSocket},
    table,
    worker::read,
};

/// Listening sockets told of, those that wait for somebody first: some 40 bytes each in a recording.
const MAX_LISTENERS: usize = 256;
/// UNIX sockets told of, those in whose queues most wait.
const MAX_UNIX: usize = 64;

/// The namespace that this thread began in.
pub(super) struct Home {
    file: File,
    inode: u32,
}

/// The namespace that this thread is in.
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

    /// Goes to the namespace with this inode number, in which one of these processes is, if it is another one.
    pub(super) fn enter(&self, proc: &Path, wanted: u32, pids: &[u32]) -> Result<Namespace, Miss> {
        let namespace = Namespace { inode: wanted, proc: proc.into() };
        if wanted == self.inode {
            return self.return_to().map(|()| namespace);
        }
        let mut why = Miss::Gone;
        for pid in pids {
            match File::open(proc.join(format!("{pid}/ns/net"))) {
                Ok(file) if inode(&file)? == wanted => return go_to(&file).map(|()| namespace),
                // It is in another one by now.
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
    /// A file of `/proc/net`, which is the thread's.
    fn net(&self, name: &str) -> Result<String, Miss> {
        read(&self.proc.join("thread-self/net").join(name))
    }

    /// A parameter, which is the thread's too.
    pub(super) fn sysctl(&self, name: &str) -> Result<String, Miss> {
        read(&self.proc.join("sys/net").join(name))
    }

    /// Counters and listening sockets.
    pub(super) fn poll(
        &self,
        until: Instant,
        owners: &mut Owners,
        half_opens: &mut HalfOpens,
        misses: &mut Misses,
    ) -> Option<NamespacePoll> {
        let mut counters = NetCounters::default();
        for name in ["netstat", "snmp"] {
            table::counters(&misses.or_count(self.net(name))?, &mut counters);
        }
        if counters.request_queue_cookies > 0
            && self.sysctl("ipv4/tcp_syncookies").is_ok_and(|value| value.trim() == "2")
        {
            // Every SYN is answered by one, and counted so, whatever room there is.
            counters.request_queue_cookies = 0;
        }
        // Without IPv6 there is no file of it.
        let v4 = misses.or_count(self.net("sockstat"))?;
        let (in_use, time_wait) = table::sockets(&v4, &self.net("sockstat6").unwrap_or_default());
        let mut listeners = misses.or_count(listeners(until)).unwrap_or_default();
        half_opens.look(self, &counters, &mut listeners, until, misses);
        for listener in listeners.iter_mut().filter(|listener| is_filling(listener)) {
            listener.owner = owners.of(self.inode, listener.inode, until);
        }
        if let Some(over) = listeners.len().checked_sub(MAX_LISTENERS + 1) {
            misses.add(Miss::ListenersOverLimit, over as u64 + 1);
            let half_open = |listener: &Listener| listener.half_open.map_or(0, |queue| queue.count);
            listeners.sort_by_key(|listener| std::cmp::Reverse(listener.backlog.max(half_open(listener))));
            listeners.truncate(MAX_LISTENERS);
        }
        listeners.sort_by_key(|listener| (listener.address, listener.inode));
        let unix = self.unix(until, owners, misses);
        Some(NamespacePoll { netns: self.inode, counters, in_use, time_wait, listeners, unix })
    }

    /// Queues of UNIX sockets in which somebody waits: few have any.
    fn unix(&self, until: Instant, owners: &mut Owners, misses: &mut Misses) -> Vec<UnixListener> {
        let mut waiting: Vec<UnixSocket> = Vec::new();
        let asked = SockDiag::open().and_then(|mut diag| diag.unix_queues(until, &mut |socket| waiting.push(socket)));
        match asked {
            // A kernel without it (`CONFIG_UNIX_DIAG`).
            Ok(()) | Err(Miss::NotThere) => {}
            Err(miss) => misses.add(miss, 1),
        }
        waiting.sort_by_key(|socket| (std::cmp::Reverse(socket.backlog), socket.inode));
        misses.add(Miss::ListenersOverLimit, waiting.len().saturating_sub(MAX_UNIX) as u64);
        let told = waiting.into_iter().take(MAX_UNIX).map(|UnixSocket { name, inode, backlog, max }| {
            let owner = if backlog > max { owners.of(self.inode, inode, until) } else { None };
            UnixListener { name, inode, backlog, max, owner }
        });
        told.collect()
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

/// Half of a queue is full: then it is worth a look whose it is.
fn is_filling(listener: &Listener) -> bool {
    let half = |waiting: u32, most: u32| waiting > 0 && waiting.saturating_mul(2) >= most;
    half(listener.backlog, listener.max) || listener.half_open.is_some_and(|queue| half(queue.count, queue.limit))
}

fn listeners(until: Instant) -> Result<Vec<Listener>, Miss> {
    let mut found = Vec::new();
    SockDiag::open()?.each(LISTENING, until, &mut |socket| {
        let (address, inode, backlog, max) = (socket.local, socket.inode, socket.receive_queue, socket.send_queue);
        found.push(Listener { address, inode, backlog, max, owner: None, half_open: None });
        true
    })?;
    Ok(found)
}
