//! Every signal, one row each: what documents, the command line, the lab and the decider know of it.

use std::fmt;

use crate::{
    driver::{Detector, Driver},
    evaluate::Evaluator,
    incident::alarm::Rule,
    signal::{
        edge::{abandoned_work::AbandonedWork, edge_errors::EdgeErrors, hung_request::HungRequest},
        pool::{exhausted::PoolExhausted, near_limit::PoolNearLimit, refused::PoolRefused},
        queue::{
            accept_queue::AcceptQueue, client_stall::ClientStall, listen_overflow::ListenOverflow,
            peer_not_reading::PeerNotReading, receive_queue::ReceiveQueue, send_limited::SendLimited,
            unix_queue::UnixQueue,
        },
        resource::{
            cpu_throttled::CpuThrottled,
            cpu_wait::CpuWait,
            fds_exhausted::FdsExhausted,
            host_limits::{Conntrack, HostLimit, TcpMemory, TimeWait, UdpQueue},
            ports_exhausted::PortsExhausted,
            pressure::PressureStall,
        },
    },
};

/// A signal, as its row in the table of them all (`SIGNALS`).
#[derive(Clone, Copy)]
pub struct Signal {
    /// Its readable name, in documents and on the command line.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub summary: &'static str,
    /// The ids of the classes that its incidents can have; none where they have no class.
    pub classes: &'static [&'static str],
    /// How many windows it takes.
    pub rule: Rule,
    /// Restarts and the like explain it: it stays pending for a minute after one.
    pub held_during_changes: bool,
    /// How bad it is depends on how long the service takes to answer, which is not learned while it is pending or fires.
    pub reads_latency: bool,
    evaluator: fn() -> Box<dyn Evaluator>,
}

/// Signals that other parts of the crate refer to.
pub(crate) mod name {
    pub(crate) const ACCEPT_QUEUE: &str = "accept_queue";
    pub(crate) const FDS_EXHAUSTED: &str = "fds_exhausted";
    pub(crate) const HUNG_REQUEST: &str = "hung_request";
    pub(crate) const LISTEN_OVERFLOW: &str = "listen_overflow";
}

/// Classes that other parts of the crate refer to. A class is compared by its constant and spelled out nowhere else.
pub(crate) mod class {
    /// `fds_exhausted`: 99% of the descriptors are open, so that `accept`, `socket` and `open` fail.
    pub(crate) const FDS_NONE_LEFT: &str = "none left";
}

/// Every signal that is decided on: pools first, then edges, queues, and resources.
pub static SIGNALS: &[Signal] = &[
    row::<PoolExhausted>("pool_exhausted", "all connections of a pool are taken, and callers wait for one"),
    // A forecast has time.
    Signal {
        rule: Rule { raise: (4, 6), clear: 3 },
        ..row::<PoolNearLimit>("pool_near_limit", "a pool has hardly a connection to spare, or soon will not have")
    },
    row::<PoolRefused>(
        "pool_refused",
        "a server takes no more connections: it accepts them and closes them after its first words",
    ),
    // Not held during changes: a restart that turns callers away is what they should know of.
    row::<EdgeErrors>(
        "edge_errors",
        "calls on an edge fail: refused, timed out, unreachable, reset, broken, abandoned",
    ),
    // Nor this: callers of a server that is cold leave too.
    row::<AbandonedWork>("abandoned_work", "a server goes on working for callers that have left"),
    row::<HungRequest>(
        name::HUNG_REQUEST,
        "requests have been under way far longer than any normal one, and no answer comes",
    ),
    // Nor the queues: callers of a server that starts wait too, and should know why.
    row::<AcceptQueue>(name::ACCEPT_QUEUE, "connections wait until the server accepts them"),
    row::<ReceiveQueue>("receive_queue", "requests lie in a server's sockets before it reads them"),
    // What has just started compiles, loads and collects.
    row::<ClientStall>("client_stall", "answers lie in a caller's sockets before it reads them").of_latency(),
    row::<ListenOverflow>(name::LISTEN_OVERFLOW, "a listener's queue is full, and the kernel drops further SYNs"),
    row::<PeerNotReading>("peer_not_reading", "one end does not read what is sent to it, and the sender cannot go on"),
    row::<SendLimited>("send_limited", "a sender is held up by its own buffer, by loss or by a queue on the path"),
    row::<PortsExhausted>("ports_exhausted", "no local port is left for new connections to an address"),
    // A service that starts uses up its limit once.
    row::<CpuThrottled>("cpu_throttled", "a cgroup has used up its CPU limit, and its tasks are kept from running")
        .of_latency(),
    row::<CpuWait>("cpu_wait", "a process's threads are ready to run and get no processor").of_latency(),
    row::<PressureStall>("pressure", "tasks wait for memory, devices or processors").of_latency(),
    row::<FdsExhausted>(
        name::FDS_EXHAUSTED,
        "a process has no descriptor left for connections and files, or soon will not have",
    ),
    row::<HostLimit<Conntrack>>("conntrack_full", "connection tracking can take no new connections, or soon cannot"),
    row::<HostLimit<TimeWait>>(
        "time_wait",
        "closed connections are as many as the kernel remembers: it forgets others too early",
    ),
    row::<HostLimit<TcpMemory>>("tcp_memory", "sockets' memory is scarce: the kernel cuts queues and drops segments"),
    row::<HostLimit<UdpQueue>>("udp_queue", "datagrams are dropped because they are not read in time"),
    row::<UnixQueue>(
        "unix_queue",
        "the accept queue of a UNIX socket is full: callers wait in connect, or fail at once",
    ),
];

/// A row as most are: two windows of three, not held back, and with a severity of its own.
const fn row<D: Detector + Default + 'static>(name: &'static str, summary: &'static str) -> Signal {
    let (rule, classes, evaluator) = (Rule::USUAL, D::CLASSES, driven::<D> as fn() -> _);
    Signal { name, summary, classes, rule, held_during_changes: false, reads_latency: false, evaluator }
}

fn driven<D: Detector + Default + 'static>() -> Box<dyn Evaluator> {
    Box::new(Driver::new(D::default()))
}

impl Signal {
    /// How bad it is depends on the service's latency, which a cold start raises as well.
    const fn of_latency(self) -> Self {
        Self { held_during_changes: true, reads_latency: true, ..self }
    }

    /// A new evaluator, which knows nothing yet.
    pub(crate) fn evaluator(&self) -> Box<dyn Evaluator> {
        (self.evaluator)()
    }

    /// A row for tests of what comes after evaluators.
    #[cfg(test)]
    pub(crate) const fn named(name: &'static str) -> Self {
        row::<SendLimited>(name, "")
    }

    /// The same, held back around restarts.
    #[cfg(test)]
    pub(crate) const fn held_during_changes(self) -> Self {
        Self { held_during_changes: true, ..self }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_complete_and_tell_signals_apart() {
        let mut names = BTreeSet::new();
        for Signal { name, summary, classes, rule, .. } in SIGNALS {
            assert!(names.insert(name), "{name} twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !summary.is_empty());
            assert!(rule.raise.0 >= 1 && rule.raise.0 <= rule.raise.1);
            assert_eq!(classes.iter().collect::<BTreeSet<_>>().len(), classes.len(), "classes of {name}");
        }
    }

    #[test]
    fn classes_that_others_refer_to_are_listed() {
        assert!(of(name::FDS_EXHAUSTED).classes.contains(&class::FDS_NONE_LEFT));
    }

    #[test]
    fn every_signal_and_class_is_documented() {
        let documented = include_str!("../../../docs/signals.md");
        for Signal { name, classes, .. } in SIGNALS {
            let headings = documented.lines().filter(|line| line.starts_with("## "));
            assert!(headings.into_iter().any(|heading| heading.contains(name)), "{name} has no section");
            for class in *classes {
                assert!(documented.contains(&format!("`{class}`")), "class {class} of {name}");
            }
        }
    }

    fn of(name: &str) -> &'static Signal {
        SIGNALS.iter().find(|signal| signal.name == name).expect("a row")
    }
}
