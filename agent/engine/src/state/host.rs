//! The host as it was polled: cumulative readings to what a window holds of them.

use std::{collections::BTreeMap, ops::RangeInclusive, rc::Rc, sync::Arc};

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
/// What no poll has reported for so long is gone: twice the distance of the slower polls, and some.
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
    /// Its listening UNIX sockets in whose queues connections waited.
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
    /// Segments retransmitted.
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

/// A reading, and where each window counts from; a window that it has been gone from for long knows nothing of it.
#[derive(Debug)]
struct Known<T> {
    latest: (u64, Rc<T>),
    windows: Box<[Option<Since<T>>]>,
}

/// The reading that a window counts from, and whether one came in the window.
#[derive(Clone, Debug)]
struct Since<T> {
    from: (u64, Rc<T>),
    in_window: bool,
}

/// What a window holds of something that was polled.
struct Seen<'a, T> {
    before: &'a T,
    now: &'a T,
    over_ns: u64,
}

impl<T> Known<T> {
    fn first(now_ns: u64, reading: T, windows: usize) -> Self {
        let latest = (now_ns, Rc::new(reading));
        let since = |_| Some(Since { from: (now_ns, Rc::clone(&latest.1)), in_window: true });
        let windows = (0..windows).map(since).collect();
        Self { latest, windows }
    }

    fn take(&mut self, now_ns: u64, reading: T) {
        self.latest = (now_ns, Rc::new(reading));
        for window in &mut self.windows {
            match window {
                Some(since) => since.in_window = true,
                None => *window = Some(Since { from: (now_ns, Rc::clone(&self.latest.1)), in_window: true }),
            }
        }
    }

    fn close(&mut self, window: usize, now_ns: u64) {
        let (read_ns, reading) = &self.latest;
        let is_gone = now_ns.saturating_sub(*read_ns) > GONE_NS;
        self.windows[window] = (!is_gone).then(|| Since { from: (*read_ns, Rc::clone(reading)), in_window: false });
    }

    fn seen(&self, window: usize) -> Option<Seen<'_, T>> {
        let since = self.windows.get(window)?.as_ref().filter(|since| since.in_window)?;
        let over_ns = self.latest.0.saturating_sub(since.from.0);
        Some(Seen { before: &since.from.1, now: &self.latest.1, over_ns })
    }
}

/// By key; beyond the limit the first ones.
#[derive(Debug)]
struct Table<K, T> {
    known: BTreeMap<K, Known<T>>,
    windows: usize,
}

impl<K: Ord, T: Clone> Table<K, T> {
    fn with_windows(windows: usize) -> Self {
        Self { known: BTreeMap::new(), windows }
    }

    /// False where there is no space for it.
    fn take(&mut self, key: K, now_ns: u64, reading: &T, limit: usize) -> bool {
        if let Some(known) = self.known.get_mut(&key) {
            known.take(now_ns, reading.clone());
            return true;
        }
        if self.known.len() >= limit {
            // A window that does not end keeps what is gone; it gives way to what is there.
            self.known.retain(|_, known| now_ns.saturating_sub(known.latest.0) <= GONE_NS);
        }
        let fits = self.known.len() < limit;
        if fits {
            self.known.insert(key, Known::first(now_ns, reading.clone(), self.windows));
        }
        fits
    }

    fn close(&mut self, window: usize, now_ns: u64) {
        self.known.retain(|_, known| {
            known.close(window, now_ns);
            known.windows.iter().any(Option::is_some)
        });
    }

    fn in_window(&self, window: usize) -> impl Iterator<Item = Seen<'_, T>> {
        self.known.values().filter_map(move |known| known.seen(window))
    }

    /// Those in the window with such keys, in order.
    fn range(&self, window: usize, keys: RangeInclusive<K>) -> impl Iterator<Item = Seen<'_, T>> {
        self.known.range(keys).filter_map(move |(_, known)| known.seen(window))
    }

    fn get(&self, window: usize, key: &K) -> Option<Seen<'_, T>> {
        self.known.get(key)?.seen(window)
    }
}

/// What is known of one window alone.
#[derive(Clone, Debug, Default)]
struct OfWindow {
    /// Of listeners.
    queues: Queues,
    busiest: Option<BusiestPoll>,
}

/// All that was polled.
#[derive(Debug)]
pub(crate) struct Host {
    namespaces: Table<u32, NamespacePoll>,
    senders: Table<(u32, u64), Sender>,
    ports: Table<u32, PortsPoll>,
    conntrack: Table<u32, ConntrackPoll>,
    processes: Table<u32, ProcessPoll>,
    cgroups: Table<Arc<str>, CgroupPoll>,
    windows: Box<[OfWindow]>,
    /// When what comes now was read, where the stream says so.
    read_ns: Option<u64>,
    misses: Vec<(Arc<str>, u64)>,
}

impl Host {
    pub(crate) fn with_windows(windows: usize) -> Self {
        Self {
            namespaces: Table::with_windows(windows),
            senders: Table::with_windows(windows),
            ports: Table::with_windows(windows),
            conntrack: Table::with_windows(windows),
            processes: Table::with_windows(windows),
            cgroups: Table::with_windows(windows),
            windows: vec![OfWindow::default(); windows].into(),
            read_ns: None,
            misses: Vec::new(),
        }
    }

    /// Nothing is known any more but what could not be read.
    pub(crate) fn forget(&mut self) {
        let misses = std::mem::take(&mut self.misses);
        *self = Self { misses, ..Self::with_windows(self.windows.len()) };
    }

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
            Polled::Busiest(poll) => {
                self.windows.iter_mut().for_each(|window| window.busiest = Some(poll.clone()));
            }
            Polled::Missed(misses) => self.misses.clone_from(&misses.counts),
        }
    }

    fn namespace(&mut self, now_ns: u64, poll: &NamespacePoll) {
        if self.namespaces.take(poll.netns, now_ns, poll, MAX_NAMESPACES) {
            self.windows.iter_mut().for_each(|window| window.queues.take(poll));
        }
    }

    fn senders(&mut self, now_ns: u64, poll: &SendersPoll) {
        for sender in &poll.senders {
            self.senders.take((poll.netns, sender.cookie), now_ns, sender, MAX_SENDERS);
        }
    }

    /// A window ends.
    pub(crate) fn close_window(&mut self, window: usize, now_ns: u64) {
        let Self { namespaces, senders, ports, conntrack, processes, cgroups, windows, read_ns: _, misses: _ } = self;
        namespaces.close(window, now_ns);
        senders.close(window, now_ns);
        ports.close(window, now_ns);
        conntrack.close(window, now_ns);
        processes.close(window, now_ns);
        cgroups.close(window, now_ns);
        windows[window] = OfWindow::default();
    }

    /// What a window holds.
    pub(crate) fn view(&self, window: usize) -> HostView {
        let Some(own) = self.windows.get(window) else { return HostView::default() };
        HostView {
            namespaces: self.namespaces.in_window(window).map(|seen| self.namespace_view(window, own, &seen)).collect(),
            processes: self.processes.in_window(window).map(process).collect(),
            cgroups: self.cgroups.in_window(window).map(cgroup).collect(),
            busiest: own.busiest.clone(),
            misses: self.misses.clone(),
        }
    }

    fn namespace_view(&self, window: usize, own: &OfWindow, seen: &Seen<'_, NamespacePoll>) -> NamespaceView {
        let NamespacePoll { netns, counters, in_use, time_wait, listeners, unix: _ } = seen.now;
        NamespaceView {
            netns: *netns,
            counters: counters.since(&seen.before.counters),
            in_use: *in_use,
            time_wait: *time_wait,
            listeners: own.queues.listeners(*netns, listeners),
            unix: own.queues.unix(*netns),
            senders: self.senders.range(window, (*netns, 0)..=(*netns, u64::MAX)).map(sender).collect(),
            ports: self.ports.get(window, netns).map(|seen| seen.now.clone()),
            conntrack: self.conntrack.get(window, netns).map(conntrack),
        }
    }
}

fn conntrack(Seen { before, now, .. }: Seen<'_, ConntrackPoll>) -> ConntrackPoll {
    ConntrackPoll {
        dropped: now.dropped.saturating_sub(before.dropped),
        insert_failed: now.insert_failed.saturating_sub(before.insert_failed),
        early_drop: now.early_drop.saturating_sub(before.early_drop),
        ..*now
    }
}

fn sender(Seen { before, now, over_ns }: Seen<'_, Sender>) -> SenderView {
    SenderView {
        last: *now,
        acked_bytes: now.acked_bytes.saturating_sub(before.acked_bytes),
        busy_us: now.busy_us.saturating_sub(before.busy_us),
        receiver_limited_us: now.receiver_limited_us.saturating_sub(before.receiver_limited_us),
        buffer_limited_us: now.buffer_limited_us.saturating_sub(before.buffer_limited_us),
        segments: now.segments.saturating_sub(before.segments),
        retransmitted: now.retransmitted.saturating_sub(before.retransmitted),
        over_ns,
    }
}

fn process(Seen { before, now, over_ns }: Seen<'_, ProcessPoll>) -> ProcessView {
    ProcessView {
        last: now.clone(),
        run_delay_ns: now.run_delay_ns.saturating_sub(before.run_delay_ns),
        on_cpu_ns: now.on_cpu_ns.saturating_sub(before.on_cpu_ns),
        over_ns,
    }
}

fn cgroup(Seen { before, now, over_ns }: Seen<'_, CgroupPoll>) -> CgroupView {
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
    CgroupView { path: Arc::clone(&now.path), throttle, pressure, over_ns }
}

#[cfg(test)]
mod tests;
