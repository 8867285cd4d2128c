//! What the kernel half does not report: queues of listeners, ports in use, limits and waits, polled once a second.
//!
//! A thread of its own polls: it enters network namespaces, reads files and socket tables, and works within bounds of time
//! and numbers. What exceeded a bound or could not be read is counted by its reason; none of it is an error. Nothing is polled
//! unless a command needs it (`weir signals`, `weir explain`, `weir record`).
//!
//! Network namespaces other than weir's own, and the descriptors of other users' processes, need `CAP_SYS_ADMIN` and
//! `CAP_SYS_PTRACE`.

mod busiest;
mod cgroup;
mod file;
mod half_open;
mod listeners;
mod misses;
mod namespace;
mod neighbours;
mod owner;
mod ports;
mod process;
mod request;
mod senders;
mod sock_diag;
mod table;
mod threads;
mod worker;

use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    thread,
    time::Duration,
};

use weir_abi::EdgeRecord;
use weir_engine::{Input, Polled};

use request::{PollRequest, Targets};
use worker::Worker;

/// The slower polls are this far apart: the length of a decision window.
const SLOW_NS: u64 = 5_000_000_000;
/// A tick comes a little early or late: a slower poll is due this long before its time.
const EARLY_NS: u64 = 250_000_000;
/// A tick waits this long for the results of its poll; later ones come with the next tick.
const PATIENCE: Duration = Duration::from_millis(100);
const STACK: usize = 256 << 10;

/// The polling thread, from outside.
pub(crate) struct Poller {
    /// None where the thread could not be started or has ended.
    requests: Option<SyncSender<PollRequest>>,
    results: Receiver<Vec<Polled>>,
    /// The results of the last request are outstanding.
    waiting: bool,
    targets: Targets,
    /// Windows are counted from here, and the slower polls lie at their ends.
    began_ns: u64,
    slow_due_ns: u64,
}

impl Poller {
    /// Starts the thread. If that fails, nothing is polled.
    pub(crate) fn start(now_ns: u64) -> Self {
        let (requests, requested) = sync_channel(1);
        let (done, results) = sync_channel(1);
        let thread = thread::Builder::new().name("weir-poll".into()).stack_size(STACK);
        let worker = move || Worker::new(Path::new("/")).run(&requested, &done);
        // It ends when the sender of requests is dropped; nothing waits for that.
        let requests = thread.spawn(worker).is_ok().then_some(requests);
        let targets = Targets::default();
        Self { requests, results, waiting: false, targets, began_ns: now_ns, slow_due_ns: now_ns }
    }

    /// An edge was read: its processes and namespaces are polled with the next tick.
    pub(crate) fn edge_seen(&mut self, record: &EdgeRecord) {
        self.targets.add_edge(record);
    }

    /// Polls the targets of the edges that were read since the last tick, and emits the results that arrive in time.
    pub(crate) fn tick(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) {
        self.emit_late(sink);
        let early_ns = now_ns.saturating_add(EARLY_NS);
        let slow = early_ns >= self.slow_due_ns;
        let request = PollRequest { targets: std::mem::take(&mut self.targets), slow };
        let sent = !self.waiting && self.requests.as_ref().is_some_and(|requests| requests.try_send(request).is_ok());
        if !sent {
            return;
        }
        if slow {
            let past = early_ns.saturating_sub(self.began_ns) / SLOW_NS;
            self.slow_due_ns = self.began_ns.saturating_add((past + 1).saturating_mul(SLOW_NS));
        }
        self.waiting = true;
        match self.results.recv_timeout(PATIENCE) {
            Ok(results) => self.emit(&results, sink),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.requests = None,
        }
    }

    /// Emits results that came after the tick that asked for them.
    fn emit_late(&mut self, sink: &mut dyn FnMut(Input<'_>)) {
        match self.results.try_recv() {
            Ok(results) => self.emit(&results, sink),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }

    fn emit(&mut self, results: &[Polled], sink: &mut dyn FnMut(Input<'_>)) {
        self.waiting = false;
        results.iter().for_each(|polled| sink(Input::Polled(polled)));
    }
}

#[cfg(test)]
mod tests {
    use weir_abi::EdgeKey;

    use super::*;

    fn record(tgid: u32, netns: u32) -> EdgeRecord {
        EdgeRecord { key: EdgeKey { tgid, netns, ..EdgeKey::default() }, ..EdgeRecord::EMPTY }
    }

    #[test]
    fn this_process_is_polled_from_the_first_tick_on() {
        let mut poller = Poller::start(0);
        let netns = rustix::fs::stat("/proc/self/ns/net").expect("a namespace").st_ino as u32;
        let mut kinds = std::collections::BTreeSet::new();
        let mut fds = None;
        for second in 0..40u64 {
            poller.edge_seen(&record(std::process::id(), netns));
            poller.tick(second * 1_000_000_000, &mut |input| {
                let Input::Polled(polled) = input else { panic!("{input:?}") };
                kinds.insert(match polled {
                    Polled::Namespace(poll) if poll.netns == netns => "namespace",
                    Polled::Ports(poll) if poll.netns == netns && poll.available() > 0 => "ports",
                    Polled::Process(poll) => {
                        assert_eq!((poll.pid, poll.netns), (std::process::id(), netns));
                        fds = poll.fds;
                        "process"
                    }
                    Polled::Cgroup(_) => "cgroup",
                    Polled::Missed(_) => "missed",
                    _ => "else",
                });
            });
        }
        for kind in ["namespace", "ports", "process", "cgroup"] {
            assert!(kinds.contains(kind), "{kind} of {kinds:?}");
        }
        assert!(fds > Some(3), "{fds:?}");
    }
}
