//! One end does not read what is sent to it, and the sender cannot go on.
//!
//! A receiver that reads too slowly lets its window close. The sender's kernel counts how long that held it up
//! (`tcpi_rwnd_limited`), and what it could not send yet waits in its buffer. A window that is merely too small for a fast
//! transfer holds up too: so what waits must need a second or more at the pace at which it goes.
//!
//! It raises when such connections are half a connection more than normal, on average over the window, and half as many
//! again. It is a `warn` when they are a fifth of the edge's connections; one of many is for who looks.
//!
//! Where it is blind: edges of which it is not known what is normal (streams without requests among them: a video, a log
//! that is followed); a receiver on this host whose sender is elsewhere; who it is, where several services share the
//! receiver's address.

use std::collections::BTreeMap;

use self::reading::{Class, Held, Reading};
use crate::{
    driver::baselines::{OFFSET, without_offset},
    signal::prelude::*,
};
use weir_engine::View;

mod reading;
mod report;

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct PeerNotReading;

impl Detector for PeerNotReading {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Edges, some 400 bytes each.
    const LIMIT: usize = 8192;

    /// Connections that are held up, mean over a window.
    type Memory = Baselines<1>;
    type Input<'f> = (&'f [EdgeFacts<'f>], Held);
    type Reading<'f> = Reading;

    /// Where nothing was polled no edge is known to be well.
    fn can_judge(facts: &Facts<'_>) -> bool {
        !facts.snapshot.host.namespaces.is_empty()
    }

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Self::Memory>) -> Inputs<'f, Self::Input<'f>> {
        let mut held: BTreeMap<Subject, Held> = BTreeMap::new();
        for flow in &facts.flows {
            held.entry(Subject::of_edge(flow.edge)).or_default().add(flow);
        }
        let mut held = |subject: &Subject| held.remove(subject).unwrap_or_default();
        facts.by_pair().into_iter().map(|(subject, edges)| (subject.clone(), (edges, held(&subject)))).collect()
    }

    fn read<'f>(
        &self,
        (edges, held): Self::Input<'f>,
        memory: &mut Self::Memory,
        facts: &'f Facts<'f>,
    ) -> Option<Reading> {
        let [normal] = memory.each(facts.now_ns(), facts.learning);
        let normal = normal.map(|normal| without_offset(normal, OFFSET));
        Some(Reading {
            held,
            rounds: sum(edges, |view| view.rounds),
            connections: sum(edges, |view| view.open_connections),
            normal,
        })
    }

    fn verdict(&self, reading: &Reading, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }

    fn learn(&self, memory: &mut Self::Memory, reading: &Reading, learn: Learn) {
        memory.learn(learn, [Some((reading.held.connections + OFFSET, reading.rounds))]);
    }
}

/// Of each edge what the end saw that saw more.
fn sum(edges: &[EdgeFacts<'_>], of: fn(&View) -> u64) -> u64 {
    let most = |facts: &EdgeFacts<'_>| [facts.client(), facts.server()].into_iter().flatten().map(of).max();
    edges.iter().filter_map(most).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
