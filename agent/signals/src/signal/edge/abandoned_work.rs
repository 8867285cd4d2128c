//! A server goes on working for callers that have left.
//!
//! A caller that gives up closes its connection, and the server, which reads nothing while it works, does not know. Its work
//! is wasted, and callers that still wait have to wait for it: the more callers give up, the less is left for the others.
//!
//! What the server's end counts (`ebpf/src/connection/close.rs`): a round is **broken** when the connection ends with it open and the
//! caller was the first to close: at once by a reset; after a FIN only when the server closes without an answer. If the
//! server answers after the FIN, the kernel takes the answer, and the round counts as answered; the caller's host meets it
//! with a **reset**, as the socket is gone. A caller that has shut down its sending side alone takes the answer and
//! resets nothing: it has not left.
//!
//! So those who left are the broken rounds, and the answers that met a reset. Neither is proof: a good-bye (PostgreSQL's
//! Terminate, TLS's close_notify) is a round without an answer too, and idle connections are reset. `tally.rs` tells them
//! apart by how long they took, and where the caller is on this host, by what it gave up itself.
//!
//! It warns when at least 5% of 20 rounds or more that came to an end were wasted, with 95% confidence and five of
//! them or more, and twice as many as normal for this server; it is over below half of that. It never pages: that callers
//! give up is `edge_errors`.
//!
//! Where it is blind: before it is known what is normal; requests that overlap on a connection (HTTP/2); callers on other
//! hosts that give up on answers which are no later than normal, or of which a proxy between reads the answer; what a server
//! does after a reset, which cannot be seen; work that goes on behind the server.

use self::tally::{Class, Reading, Tally};
use crate::{
    driver::baselines::{OFFSET, without_offset},
    signal::prelude::*,
};
use weir_engine::Service;

mod report;
mod tally;

/// What a logarithm in steps leaves of a share of nothing, with a wide margin.
const ROUNDING: f64 = OFFSET / 10.0;

/// What is normal for a server: the share of its rounds whose caller leaves, and the time that an answer takes, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Normal {
    share: f64,
    work: f64,
}

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct AbandonedWork;

impl Detector for AbandonedWork {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Servers, some 600 bytes each.
    const LIMIT: usize = 4096;

    type Memory = Baselines<2>;
    type Input<'f> = &'f [EdgeFacts<'f>];
    type Reading<'f> = Reading<'f>;

    /// Not while rounds are those of a sample of sockets, and resets are of all.
    fn can_judge(facts: &Facts<'_>) -> bool {
        !facts.snapshot.degradation.estimated()
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
        let (mut tally, mut ends, mut caller) = (Tally::default(), Ends::default(), None);
        for facts in edges {
            let Some(view) = facts.server_requests() else { continue };
            let left = tally.add(view, facts.client());
            if ends.look(facts.edge, left) {
                caller = (left > 0).then(|| Service::of(&facts.edge.client.identity));
            }
        }
        let normal = memory.all(facts.now_ns(), facts.learning);
        let normal = normal.map(|[share, work]| Normal { share: without_offset(share, ROUNDING), work });
        Some(Reading { ends, caller, ..Reading::new(&tally, normal, facts.seconds()) })
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }

    fn learn(&self, memory: &mut Self::Memory, reading: &Reading<'_>, learn: Learn) {
        let Some(closed_on) = reading.closed_on.gated() else { return };
        let work = reading.work.map(|work| (work, closed_on.events));
        memory.learn(learn, [Some((closed_on.share() + OFFSET, closed_on.events)), work]);
    }
}

#[cfg(test)]
mod tests;
