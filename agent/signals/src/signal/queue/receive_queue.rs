//! Requests lie in a server's sockets before it reads them.
//!
//! A server's time for a request is the wait in its receive queue, and the work after it. Where most of it is wait, and far
//! more than normal, the reader is the bottleneck, not the work: too few workers, an event loop that is blocked, a
//! processor that others have.
//!
//! It raises when the 95th percentile of the wait is at least 10 ms and five times what is normal, and half of the server's
//! time is wait; it is over below twice of normal. It pages where callers feel it: wait and work together have doubled.
//!
//! Where it is blind: before it is known what is normal; a server that was always so; requests that overlap on a connection
//! (HTTP/2, pipelines), of which only the first is timed; a server that reads at once and queues inside itself.

use self::reading::{Class, Reading};
use crate::{facts::waits::Waits, signal::prelude::*};

mod reading;
mod report;

/// What is normal for a server, in seconds and rounds a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normal {
    wait_p95: f64,
    work: f64,
    total: f64,
    rate: f64,
}

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct ReceiveQueue;

impl Detector for ReceiveQueue {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Servers, some 900 bytes each.
    const LIMIT: usize = 4096;

    type Memory = Baselines<4>;
    type Input<'f> = &'f [EdgeFacts<'f>];
    type Reading<'f> = Reading<'f>;

    /// Arrivals that were not timed all the window would mislead.
    fn can_judge(facts: &Facts<'_>) -> bool {
        facts.snapshot.degradation.times_queue_wait()
    }

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Self::Memory>) -> Inputs<'f, Self::Input<'f>> {
        facts.by_server()
    }

    fn read<'f>(
        &self,
        edges: &'f [EdgeFacts<'f>],
        memory: &mut Self::Memory,
        facts: &'f Facts<'f>,
    ) -> Option<Reading<'f>> {
        let (mut times, mut ends) = (Waits::default(), Ends::default());
        for facts in edges {
            let Some(view) = facts.server() else { continue };
            facts.server_requests().into_iter().for_each(|view| times.add(view));
            ends.look(facts.edge, view.receive_queue_wait.sum_ns);
        }
        let normal = memory.all(facts.now_ns(), facts.learning);
        let normal = normal.map(|[wait_p95, work, total, rate]| Normal { wait_p95, work, total, rate });
        Some(Reading { ends, ..Reading::new(&times, normal, facts.seconds())? })
    }

    fn verdict(&self, reading: &Reading<'_>, rules: Rules) -> Finding {
        reading.finding(rules)
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }

    fn learn(&self, memory: &mut Self::Memory, reading: &Reading<'_>, learn: Learn) {
        let Reading { rounds, wait_p95, wait, work, rate, .. } = *reading;
        memory.learn(learn, [wait_p95, work, wait + work, rate].map(|value| Some((value, rounds))));
    }
}

#[cfg(test)]
mod tests;
