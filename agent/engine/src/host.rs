//! The host as it was polled: cumulative readings to what a window holds of them.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use self::queues::Queues;
pub use self::queues::{ListenerView, UnixView};
use crate::polled::{
    BusiestPoll, CgroupPoll, ConntrackPoll, NamespacePoll, NetCounters, Polled, PortsPoll, Pressure, ProcessPoll,
    Sender, SendersPoll, Throttle,
};

mod queues;

/// More than the poller tells of, so that a foreign recording has a bound too.
const MAX_NAMESPACES: usize = 256;
const MAX_PROCESSES: usize = 4096;
const MAX_CGROUPS: usize = 4096;
const MAX_SENDERS: usize = 8192;
/// What was not told of for so long is gone: twice the distance of the slower polls, and some.
const GONE_NS: u64 = 12_000_000_000;

/// What a window holds of the host; empty where nothing was polled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostView {
    /// Network namespaces, in order.
    pub namespaces: Vec<NamespaceView>,
    /// Processes that have edges, in order.
    pub processes: Vec<ProcessView>,
    /// Their cgroups, and the host's (`/`), in order.
    pub cgroups: Vec<CgroupView>,
    /// Who ran most, where that was looked for.
    pub busiest: Option<BusiestPoll>,
    /// What was not to be had, since weir's start.
    pub misses: Vec<(Arc<str>, u64)>,
}

/// A network namespace in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceView {
    /// Its inode number.
    pub netns: u32,
    /// What went wrong in the window.
    pub counters: NetCounters,
    /// TCP sockets in use, those in TIME_WAIT apart.
    pub in_use: u64,
    /// And those.
    pub time_wait: u64,
    /// Its listening sockets.
    pub listeners: Vec<ListenerView>,
    /// Its listening UNIX sockets in whose queues somebody waited.
    pub unix: Vec<UnixView>,
    /// Its connections that had more to send than they may.
    pub senders: Vec<SenderView>,
    /// How far its local ports are used.
    pub ports: Option<PortsPoll>,
    /// Its connection tracking: `count` and `max` as of the last poll, the rest of the window.
    pub conntrack: Option<ConntrackPoll>,
}

/// A connection that had more to send than it may, in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderView {
    /// As of the last poll.
    pub last: Sender,
    /// Bytes acknowledged.
    pub acked_bytes: u64,
    /// Time with something to send, microseconds.
    pub busy_us: u64,
    /// Of it, held up by the receiver's window.
    pub receiver_limited_us: u64,
    /// And by the size of the send buffer.
    pub buffer_limited_us: u64,
    /// Segments sent.
    pub segments: u32,
    /// Segments sent again.
    pub retransmitted: u32,
    /// How long a time these are of: from poll to poll; 0 where only one saw it.
    pub over_ns: u64,
}

/// A process in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessView {
    /// As of the last poll.
    pub last: ProcessPoll,
    /// Time ready to run and not running, of all threads looked at.
    pub run_delay_ns: u64,
    /// Time running.
    pub on_cpu_ns: u64,
    /// How long a time these are of: from poll to poll; 0 for the first one.
    pub over_ns: u64,
}

/// A cgroup in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupView {
    /// Its path.
    pub path: Arc<str>,
    /// How it was kept from running.
    pub throttle: Option<Throttle>,
    /// How long its tasks waited.
    pub pressure: Option<Pressure>,
    /// How long a time these are of; 0 for the first one.
    pub over_ns: u64,
}

/// A reading, and the one that the window counts from.
#[derive(Debug)]
struct Known<T> {
    from: (u64, T),
    latest: (u64, T),
    in_window: bool,
}

impl<T: Clone> Known<T> {
    fn first(now_ns: u64, reading: T) -> Self {
        Self { from: (now_ns, reading.clone()), latest: (now_ns, reading), in_window: true }
    }

    fn close(&mut self) {
        self.from.clone_from(&self.latest);
        self.in_window = false;
    }

    fn over_ns(&self) -> u64 {
        self.latest.0.saturating_sub(self.from.0)
    }
}

/// By key; beyond the limit the first ones.
#[derive(Debug)]
struct Table<K, T>(BTreeMap<K, Known<T>>);

impl<K: Ord, T: Clone> Table<K, T> {
    fn take(&mut self, key: K, now_ns: u64, reading: &T, limit: usize) -> bool {
        if let Some(known) = self.0.get_mut(&key) {
            known.latest.0 = now_ns;
            known.latest.1.clone_from(reading);
            known.in_window = true;
            return true;
        }
        let room = self.0.len() < limit;
        if room {
            self.0.insert(key, Known::first(now_ns, reading.clone()));
        }
        room
    }

    fn close(&mut self, now_ns: u64) {
        self.0.retain(|_, known| now_ns.saturating_sub(known.latest.0) <= GONE_NS);
        self.0.values_mut().for_each(Known::close);
    }

    fn in_window(&self) -> impl Iterator<Item = (&K, &Known<T>)> {
        self.0.iter().filter(|(_, known)| known.in_window)
    }

    /// Those in the window with such keys, in order.
    fn range(&self, keys: RangeInclusive<K>) -> impl Iterator<Item = &Known<T>> {
        self.0.range(keys).map(|(_, known)| known).filter(|known| known.in_window)
    }

    fn get(&self, key: &K) -> Option<&Known<T>> {
        self.0.get(key).filter(|known| known.in_window)
    }
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// All that was polled.
#[derive(Debug, Default)]
pub(crate) struct Host {
    namespaces: Table<u32, NamespacePoll>,
    senders: Table<(u32, u64), Sender>,
    ports: Table<u32, PortsPoll>,
    conntrack: Table<u32, ConntrackPoll>,
    processes: Table<u32, ProcessPoll>,
    cgroups: Table<Arc<str>, CgroupPoll>,
    /// Of listeners, in this window.
    queues: Queues,
    /// When what is told now was read, where that is told.
    read_ns: Option<u64>,
    /// Of this window.
    busiest: Option<BusiestPoll>,
    misses: Vec<(Arc<str>, u64)>,
}

impl Host {
    /// Takes what was polled.
    pub(crate) fn take(&mut self, now_ns: u64, polled: &Polled) {
        let now_ns = self.read_ns.unwrap_or(now_ns);
        match polled {
            Polled::Read(at) => self.read_ns = Some(at.monotonic_ns),
            Polled::Namespace(poll) => self.namespace(now_ns, poll),
            Polled::Senders(poll) => self.senders(now_ns, poll),
            Polled::Ports(poll) => drop(self.ports.take(poll.netns, now_ns, poll, MAX_NAMESPACES)),
            Polled::Conntrack(poll) => drop(self.conntrack.take(poll.netns, now_ns, poll, MAX_NAMESPACES)),
            Polled::Process(poll) => drop(self.processes.take(poll.pid, now_ns, poll, MAX_PROCESSES)),
            Polled::Cgroup(poll) => drop(self.cgroups.take(Arc::clone(&poll.path), now_ns, poll, MAX_CGROUPS)),
            Polled::Busiest(poll) => self.busiest = Some(poll.clone()),
            Polled::Missed(misses) => self.misses.clone_from(&misses.counts),
        }
    }

    fn namespace(&mut self, now_ns: u64, poll: &NamespacePoll) {
        if self.namespaces.take(poll.netns, now_ns, poll, MAX_NAMESPACES) {
            self.queues.take(poll);
        }
    }

    fn senders(&mut self, now_ns: u64, poll: &SendersPoll) {
        for sender in &poll.senders {
            self.senders.take((poll.netns, sender.cookie), now_ns, sender, MAX_SENDERS);
        }
    }

    /// The window ends.
    pub(crate) fn close_window(&mut self, now_ns: u64) {
        let Self { namespaces, senders, ports, conntrack, processes, cgroups, queues, busiest, read_ns: _, misses: _ } =
            self;
        namespaces.close(now_ns);
        senders.close(now_ns);
        ports.close(now_ns);
        conntrack.close(now_ns);
        processes.close(now_ns);
        cgroups.close(now_ns);
        *queues = Queues::default();
        *busiest = None;
    }

    /// What the window holds.
    pub(crate) fn view(&self) -> HostView {
        HostView {
            namespaces: self.namespaces.in_window().map(|(_, known)| self.view_of(known)).collect(),
            processes: self.processes.in_window().map(|(_, known)| process(known)).collect(),
            cgroups: self.cgroups.in_window().map(|(_, known)| cgroup(known)).collect(),
            busiest: self.busiest.clone(),
            misses: self.misses.clone(),
        }
    }

    fn view_of(&self, known: &Known<NamespacePoll>) -> NamespaceView {
        let (NamespacePoll { counters: before, .. }, now) = (&known.from.1, &known.latest.1);
        let NamespacePoll { netns, counters, in_use, time_wait, listeners, unix: _ } = now;
        NamespaceView {
            netns: *netns,
            counters: counters.since(before),
            in_use: *in_use,
            time_wait: *time_wait,
            listeners: self.queues.listeners(*netns, listeners),
            unix: self.queues.unix(*netns),
            senders: self.senders.range((*netns, 0)..=(*netns, u64::MAX)).map(sender).collect(),
            ports: self.ports.get(netns).map(|known| known.latest.1.clone()),
            conntrack: self.conntrack.get(netns).map(conntrack),
        }
    }
}

fn conntrack(known: &Known<ConntrackPoll>) -> ConntrackPoll {
    let (before, now) = (&known.from.1, &known.latest.1);
    ConntrackPoll {
        dropped: now.dropped.saturating_sub(before.dropped),
        insert_failed: now.insert_failed.saturating_sub(before.insert_failed),
        early_drop: now.early_drop.saturating_sub(before.early_drop),
        ..*now
    }
}

fn sender(known: &Known<Sender>) -> SenderView {
    let (before, now) = (&known.from.1, &known.latest.1);
    SenderView {
        last: *now,
        acked_bytes: now.acked_bytes.saturating_sub(before.acked_bytes),
        busy_us: now.busy_us.saturating_sub(before.busy_us),
        receiver_limited_us: now.receiver_limited_us.saturating_sub(before.receiver_limited_us),
        buffer_limited_us: now.buffer_limited_us.saturating_sub(before.buffer_limited_us),
        segments: now.segments.saturating_sub(before.segments),
        retransmitted: now.retransmitted.saturating_sub(before.retransmitted),
        over_ns: known.over_ns(),
    }
}

fn process(known: &Known<ProcessPoll>) -> ProcessView {
    let (before, now) = (&known.from.1, &known.latest.1);
    ProcessView {
        last: now.clone(),
        run_delay_ns: now.run_delay_ns.saturating_sub(before.run_delay_ns),
        on_cpu_ns: now.on_cpu_ns.saturating_sub(before.on_cpu_ns),
        over_ns: known.over_ns(),
    }
}

fn cgroup(known: &Known<CgroupPoll>) -> CgroupView {
    let (before, now) = (&known.from.1, &known.latest.1);
    let throttle = now.throttle.zip(before.throttle).map(|(now, before)| Throttle {
        periods: now.periods.saturating_sub(before.periods),
        throttled: now.throttled.saturating_sub(before.throttled),
        throttled_ns: now.throttled_ns.saturating_sub(before.throttled_ns),
    });
    let pressure = now.pressure.zip(before.pressure).map(|(now, before)| Pressure {
        cpu_some_us: now.cpu_some_us.saturating_sub(before.cpu_some_us),
        memory_some_us: now.memory_some_us.saturating_sub(before.memory_some_us),
        memory_full_us: now.memory_full_us.saturating_sub(before.memory_full_us),
        io_some_us: now.io_some_us.saturating_sub(before.io_some_us),
        io_full_us: now.io_full_us.saturating_sub(before.io_full_us),
    });
    CgroupView { path: Arc::clone(&now.path), throttle, pressure, over_ns: known.over_ns() }
}

#[cfg(test)]
mod tests;
