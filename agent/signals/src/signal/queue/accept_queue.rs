//! Connections that the kernel has completed wait until the server accepts them.
//!
//! Every new caller pays that wait before its first byte is read, and when the queue is full the kernel drops who comes next
//! without a word. The kernel half times it from the handshake's end to `accept`'s return, and sees how full each arrival
//! leaves the queue; the polled listeners tell of a queue that nothing comes into any more.
//!
//! It raises when the 95th percentile of the wait is at least 20 ms and five times what is normal, or when at least 5% of the
//! arrivals leave the queue half full; it is over below twice of normal and a fifth of the queue. It pages when the
//! queue is nearly full (seven eighths) and callers feel it: they wait, or are dropped. Sockets that share a port
//! (`SO_REUSEPORT`) are one queue here, of which the fullest socket is named.
//!
//! Where it is blind: before it is known what is normal (but for how full it is); accepts by `io_uring`, which are timed to the
//! first use of the connection instead; `TCP_DEFER_ACCEPT`, which hides the wait for data.

use std::collections::BTreeMap;

use weir_abi::ListeningPort;

use self::reading::{Class, Normal, Reading};
use crate::{
    facts::owners::{Owned, Owners},
    signal::prelude::*,
};
use weir_engine::{AcceptQueueView, HostView, Kind, ListenerView, Service};

mod reading;
mod report;

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct AcceptQueue;

/// What a window holds of a listening port.
pub(crate) struct Port<'f> {
    at: ListeningPort,
    queue: Option<&'f AcceptQueueView>,
    listeners: Vec<&'f ListenerView>,
    /// The process that accepts, if it is known.
    process: Option<Place>,
}

impl Detector for AcceptQueue {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Listening ports, some 600 bytes each.
    const LIMIT: usize = 2048;

    /// The 95th percentile of the wait, and arrivals a second.
    type Memory = Baselines<2>;
    /// Replicas of a service listen on the same port, each in a namespace of its own.
    type Input<'f> = Vec<Port<'f>>;
    type Reading<'f> = Reading;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Self::Memory>) -> Inputs<'f, Self::Input<'f>> {
        let ports = ports(&facts.snapshot.accept_queues, &facts.snapshot.host);
        let ports = ports.into_values().map(|mut port| {
            let (subject, process) = owner(&port, &facts.owners);
            port.process = process;
            (subject, port)
        });
        grouped(ports)
    }

    /// Nearly all listeners of a host are idle.
    fn is_notable(ports: &Vec<Port<'_>>) -> bool {
        ports.iter().any(|port| !port.is_idle())
    }

    fn read<'f>(&self, ports: Vec<Port<'f>>, memory: &mut Self::Memory, facts: &'f Facts<'f>) -> Option<Reading> {
        let [wait_p95, arrivals_per_s] = memory.each(facts.now_ns(), facts.learning);
        let normal = Normal { wait_p95, arrivals_per_s };
        worst(ports.into_iter().map(|port| Reading::new(port, normal, facts.seconds())), Reading::finding)
    }

    fn verdict(&self, reading: &Reading, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }

    fn learn(&self, memory: &mut Self::Memory, reading: &Reading, learn: Learn) {
        let wait = reading.wait_p95.map(|wait| (wait, reading.accepted));
        memory.learn(learn, [wait, Some((reading.arrivals_per_s, reading.arrivals))]);
    }
}

impl Port<'_> {
    fn is_idle(&self) -> bool {
        self.queue.is_none_or(|queue| queue.arrivals == 0 && queue.wait.count == 0)
            && self.listeners.iter().all(|listener| listener.peak == 0)
    }
}

/// Both sources by port.
fn ports<'a>(queues: &'a [AcceptQueueView], host: &'a HostView) -> BTreeMap<ListeningPort, Port<'a>> {
    let mut ports = BTreeMap::new();
    let nothing = |at| Port { at, queue: None, listeners: Vec::new(), process: None };
    for queue in queues {
        ports.entry(queue.at).or_insert_with(|| nothing(queue.at)).queue = Some(queue);
    }
    for namespace in &host.namespaces {
        for listener in &namespace.listeners {
            let at = ListeningPort { netns: namespace.netns, port: listener.last.address.port().into() };
            ports.entry(at).or_insert_with(|| nothing(at)).listeners.push(listener);
        }
    }
    ports
}

/// The service that listens: who accepts knows best, then who opened the port.
fn owner(port: &Port<'_>, owners: &Owners<'_>) -> (Subject, Option<Place>) {
    let of_queue = port.queue.map(AcceptQueueView::owner);
    let polled = port.listeners.iter().find_map(|listener| listener.last.owner.clone());
    let owner = match (of_queue, polled) {
        (Some(owner), _) if owners.get(owner.pid).is_some() => Some(owner),
        (of_queue, polled) => polled.or(of_queue),
    };
    let service = owner.as_ref().map_or_else(
        || Service { kind: Kind::Address, namespace: None, name: format!("port {}", port.at.port).into() },
        |owner| owners.service(owner),
    );
    let place = owner.map(|owner| owners.get(owner.pid).map_or_else(|| Place::from(&owner), Owned::place));
    (Subject::server(service, Some(port.at.port as u16)), place)
}

#[cfg(test)]
mod tests;
