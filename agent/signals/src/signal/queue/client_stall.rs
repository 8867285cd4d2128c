//! Answers lie in a caller's sockets before it reads them.
//!
//! What a caller measures of a call is the time until the answer arrives, and the wait until the caller has read it. Where
//! most of it is wait, and far more than normal, the call is slow because of who makes it: a garbage collector, an event
//! loop that is blocked, no processor. By the caller's own times the dependency is to blame.
//!
//! It raises when the 95th percentile of the wait is at least 20 ms and five times what is normal, and half of the time to
//! the first byte is wait, over all that the service calls; it is over below twice of normal. It pages where the caller's own
//! callers feel it: it takes half as long again to answer them.
//!
//! Where it is blind: before it is known what is normal; a caller that always reads late (it sends, does something else, and
//! reads); requests that overlap on a connection (HTTP/2, pipelines); polls that are answered after a second or more; a
//! caller that reads at once and lets the answer lie inside itself.

use self::reading::{Class, Reading};
use crate::{facts::waits::Waits, signal::prelude::*};
use weir_engine::Service;

mod reading;
mod report;

/// What is normal for a caller, in seconds and calls a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normal {
    wait_p95: f64,
    away: f64,
    rate: f64,
}

/// The signal. Its subject is a service that calls others: one that stalls does so whatever it calls.
#[derive(Debug, Default)]
pub(crate) struct ClientStall;

impl Detector for ClientStall {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Callers, some 800 bytes each.
    const LIMIT: usize = 4096;

    type Memory = Baselines<3>;
    type Input<'f> = &'f [EdgeFacts<'f>];
    type Reading<'f> = Reading<'f>;

    /// Arrivals that were not timed all the window would mislead.
    fn can_judge(facts: &Facts<'_>) -> bool {
        facts.snapshot.degradation.times_queue_wait()
    }

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Self::Memory>) -> Inputs<'f, Self::Input<'f>> {
        facts.by_caller()
    }

    fn read<'f>(
        &self,
        edges: &'f [EdgeFacts<'f>],
        memory: &mut Self::Memory,
        facts: &'f Facts<'f>,
    ) -> Option<Reading<'f>> {
        let (mut times, mut ends) = (Waits::default(), Ends::default());
        for facts in edges {
            let Some(view) = facts.client_requests().filter(|view| !reading::is_poll(view)) else { continue };
            times.add(view);
            ends.look(facts.edge, view.receive_queue_wait.sum_ns);
        }
        let normal = memory.all(facts.now_ns(), facts.learning);
        let normal = normal.map(|[wait_p95, away, rate]| Normal { wait_p95, away, rate });
        let reading = Reading::new(&times, normal, facts.seconds())?;
        let service = edges.first().map(|facts| Service::of(&facts.edge.client.identity));
        let slower = service.and_then(|service| facts.latency.degraded(&service));
        Some(Reading { ends, slower, ..reading })
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }

    fn learn(&self, memory: &mut Self::Memory, reading: &Reading<'_>, learn: Learn) {
        let values = [reading.wait_p95, reading.away, reading.rate];
        memory.learn(learn, values.map(|value| Some((value, reading.rounds))));
    }
}

#[cfg(test)]
mod tests;
