//! Every signal, one row each: what documents, the command line, the lab and the decider know of it.

use std::fmt;

use crate::{
    driver::{Detector, Driver},
    evaluate::Evaluator,
    incident::alarm::Rule,
    signal::{
        edge::{
            abandoned_work::{self, AbandonedWork},
            edge_errors::{self, EdgeErrors},
            hung_request::{self, HungRequest},
        },
        pool::{
            exhausted::{self, PoolExhausted},
            near_limit::{self, PoolNearLimit},
            refused::{self, PoolRefused},
        },
        queue::{
            accept_queue::{self, AcceptQueue},
            client_stall::{self, ClientStall},
            listen_overflow::{self, ListenOverflow},
            peer_not_reading::{self, PeerNotReading},
            receive_queue::{self, ReceiveQueue},
            send_limited::{self, SendLimited},
            unix_queue::UnixQueue,
        },
        resource::{
            cpu_throttled::{self, CpuThrottled},
            cpu_wait::{self, CpuWait},
            fds_exhausted::{self, FdsExhausted},
            host_limits::HostLimit,
            ports_exhausted::{self, PortsExhausted},
            pressure::{self, PressureStall},
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
    Signal {
        name: "pool_exhausted",
        summary: "all connections of a pool are taken, and callers wait for one",
        classes: exhausted::CLASSES,
        evaluator: driven::<PoolExhausted>,
        ..USUAL
    },
    Signal {
        name: "pool_near_limit",
        summary: "a pool has hardly a connection to spare, or soon will not have",
        classes: near_limit::CLASSES,
        // A forecast has time.
        rule: Rule { raise: (4, 6), clear: 3 },
        evaluator: driven::<PoolNearLimit>,
        ..USUAL
    },
    Signal {
        name: "pool_refused",
        summary: "a server takes no more connections: it accepts them and closes them after its first words",
        classes: refused::CLASSES,
        evaluator: driven::<PoolRefused>,
        ..USUAL
    },
    // Not held during changes: a restart that turns callers away is what they should know of.
    Signal {
        name: "edge_errors",
        summary: "calls on an edge fail: refused, timed out, unreachable, reset, broken, abandoned",
        classes: edge_errors::CLASSES,
        evaluator: driven::<EdgeErrors>,
        ..USUAL
    },
    // Nor this: callers of a server that is cold leave too.
    Signal {
        name: "abandoned_work",
        summary: "a server goes on working for callers that have left",
        classes: abandoned_work::CLASSES,
        evaluator: driven::<AbandonedWork>,
        ..USUAL
    },
    Signal {
        name: name::HUNG_REQUEST,
        summary: "requests have been under way far longer than any normal one, and no answer comes",
        classes: hung_request::CLASSES,
        evaluator: driven::<HungRequest>,
        ..USUAL
    },
    // Nor the queues: callers of a server that starts wait too, and should know why.
    Signal {
        name: name::ACCEPT_QUEUE,
        summary: "connections wait until the server accepts them",
        classes: accept_queue::CLASSES,
        evaluator: driven::<AcceptQueue>,
        ..USUAL
    },
    Signal {
        name: "receive_queue",
        summary: "requests lie in a server's sockets before anybody reads them",
        classes: receive_queue::CLASSES,
        evaluator: driven::<ReceiveQueue>,
        ..USUAL
    },
    Signal {
        name: "client_stall",
        summary: "answers lie in a caller's sockets before it reads them",
        classes: client_stall::CLASSES,
        // What has just started compiles, loads and collects.
        held_during_changes: true,
        reads_latency: true,
        evaluator: driven::<ClientStall>,
        ..USUAL
    },
    Signal {
        name: name::LISTEN_OVERFLOW,
        summary: "a listener's queue is full, and the kernel drops who comes next",
        classes: listen_overflow::CLASSES,
        evaluator: driven::<ListenOverflow>,
        ..USUAL
    },
    Signal {
        name: "peer_not_reading",
        summary: "somebody does not read what is sent to it, and the sender cannot go on",
        classes: peer_not_reading::CLASSES,
        evaluator: driven::<PeerNotReading>,
        ..USUAL
    },
    Signal {
        name: "send_limited",
        summary: "a sender is held up by its own buffer, by loss or by a queue on the path",
        classes: send_limited::CLASSES,
        evaluator: driven::<SendLimited>,
        ..USUAL
    },
    Signal {
        name: "ports_exhausted",
        summary: "no local port is left for new connections to an address",
        classes: ports_exhausted::CLASSES,
        evaluator: driven::<PortsExhausted>,
        ..USUAL
    },
    Signal {
        name: "cpu_throttled",
        summary: "a cgroup has used up its CPU limit, and its tasks are kept from running",
        classes: cpu_throttled::CLASSES,
        // A service that starts uses up its limit once.
        held_during_changes: true,
        reads_latency: true,
        evaluator: driven::<CpuThrottled>,
        ..USUAL
    },
    Signal {
        name: "cpu_wait",
        summary: "a process's threads are ready to run and get no processor",
        classes: cpu_wait::CLASSES,
        held_during_changes: true,
        reads_latency: true,
        evaluator: driven::<CpuWait>,
        ..USUAL
    },
    Signal {
        name: "pressure",
        summary: "tasks wait for memory, devices or processors",
        classes: pressure::CLASSES,
        held_during_changes: true,
        reads_latency: true,
        evaluator: driven::<PressureStall>,
        ..USUAL
    },
    Signal {
        name: name::FDS_EXHAUSTED,
        summary: "a process has no descriptor left for connections and files, or soon will not have",
        classes: fds_exhausted::CLASSES,
        evaluator: driven::<FdsExhausted>,
        ..USUAL
    },
    Signal {
        name: "conntrack_full",
        summary: "connection tracking has no room for new connections, or soon will not have",
        evaluator: || Box::new(Driver::new(HostLimit::conntrack())),
        ..USUAL
    },
    Signal {
        name: "time_wait",
        summary: "closed connections are as many as the kernel remembers: it forgets others too early",
        evaluator: || Box::new(Driver::new(HostLimit::time_wait())),
        ..USUAL
    },
    Signal {
        name: "tcp_memory",
        summary: "sockets' memory is scarce: the kernel cuts queues and drops segments",
        evaluator: || Box::new(Driver::new(HostLimit::tcp_memory())),
        ..USUAL
    },
    Signal {
        name: "udp_queue",
        summary: "datagrams are dropped because nobody reads them in time",
        evaluator: || Box::new(Driver::new(HostLimit::udp_queue())),
        ..USUAL
    },
    Signal {
        name: "unix_queue",
        summary: "the accept queue of a UNIX socket is full: callers wait in connect, or fail at once",
        evaluator: driven::<UnixQueue>,
        ..USUAL
    },
];

/// What most rows have in common.
const USUAL: Signal = Signal {
    name: "",
    summary: "",
    classes: &[],
    rule: Rule::USUAL,
    held_during_changes: false,
    reads_latency: false,
    evaluator: || Box::new(Nothing),
};

fn driven<D: Detector + Default + 'static>() -> Box<dyn Evaluator> {
    Box::new(Driver::new(D::default()))
}

/// Judges nothing: a row without an evaluator, as tests make them.
#[derive(Debug)]
struct Nothing;

impl Evaluator for Nothing {
    fn evaluate(&mut self, _: &crate::facts::Facts<'_>, _: &mut crate::evaluate::Judge<'_>) {}

    fn over_limit(&self) -> u64 {
        0
    }
}

impl Signal {
    /// A new evaluator, which knows nothing yet.
    pub(crate) fn evaluator(&self) -> Box<dyn Evaluator> {
        (self.evaluator)()
    }

    /// A row for tests of what comes after evaluators.
    #[cfg(test)]
    pub(crate) const fn named(name: &'static str) -> Self {
        Self { name, ..USUAL }
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
            assert!(!format!("{:?}", row(name).evaluator()).starts_with("Nothing"), "{name} has no evaluator");
        }
    }

    #[test]
    fn classes_that_others_refer_to_are_listed() {
        assert!(row(name::FDS_EXHAUSTED).classes.contains(&class::FDS_NONE_LEFT));
    }

    fn row(name: &str) -> &'static Signal {
        SIGNALS.iter().find(|signal| signal.name == name).expect("a row")
    }
}
