//! Every signal, one row each: what documents, the command line, the lab and the decider know of it.

use std::ops::Deref;

use crate::{
    driver::{Detector, Driver},
    evaluate::Evaluator,
    incident::alarm::Rule,
    row::{Signal, name},
    signal::{
        edge::{
            abandoned_work::AbandonedWork, edge_errors::EdgeErrors, hung_request::HungRequest,
            slow_connect::SlowConnect,
        },
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

/// A signal, and how one that knows nothing yet is made.
pub struct Row {
    signal: Signal,
    evaluator: fn() -> Box<dyn Evaluator>,
}

/// Every signal that is decided on: pools first, then edges, queues, and resources.
pub static SIGNALS: &[Row] = &[
    row::<PoolExhausted>("pool_exhausted", "all connections of a pool are taken, and callers wait for one"),
    // A forecast has time.
    row::<PoolNearLimit>("pool_near_limit", "a pool has hardly a connection to spare, or soon will not have")
        .with_rule(Rule { raise: (4, 6), clear: 3 }),
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
    row::<SlowConnect>(
        "slow_connect",
        "connects succeed only after their SYN was retransmitted: a second late or more",
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
const fn row<D: Detector + Default + 'static>(name: &'static str, summary: &'static str) -> Row {
    let (rule, classes) = (Rule::USUAL, D::CLASSES);
    let signal = Signal { name, summary, classes, rule, held_during_changes: false, reads_latency: false };
    Row { signal, evaluator: driven::<D> as fn() -> _ }
}

fn driven<D: Detector + Default + 'static>() -> Box<dyn Evaluator> {
    Box::new(Driver::new(D::default()))
}

impl Deref for Row {
    type Target = Signal;

    fn deref(&self) -> &Signal {
        &self.signal
    }
}

impl Row {
    const fn with_rule(self, rule: Rule) -> Self {
        Self { signal: Signal { rule, ..self.signal }, ..self }
    }

    /// How bad it is depends on the service's latency, which a cold start raises as well.
    const fn of_latency(self) -> Self {
        Self { signal: Signal { held_during_changes: true, reads_latency: true, ..self.signal }, ..self }
    }

    /// A new evaluator, which knows nothing yet.
    pub(crate) fn evaluator(&self) -> Box<dyn Evaluator> {
        (self.evaluator)()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::row::class;

    #[test]
    fn rows_are_complete_and_tell_signals_apart() {
        let mut names = BTreeSet::new();
        for Signal { name, summary, classes, rule, .. } in SIGNALS.iter().map(|row| &row.signal) {
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
        for Signal { name, classes, .. } in SIGNALS.iter().map(|row| &row.signal) {
            let headings = documented.lines().filter(|line| line.starts_with("## "));
            assert!(headings.into_iter().any(|heading| heading.contains(name)), "{name} has no section");
            for class in *classes {
                assert!(documented.contains(&format!("`{class}`")), "class {class} of {name}");
            }
        }
    }

    fn of(name: &str) -> &'static Signal {
        SIGNALS.iter().find(|row| row.name == name).expect("a row")
    }
}
