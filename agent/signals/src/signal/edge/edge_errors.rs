//! Calls on an edge fail, by cause.
//!
//! A call is a connect, or a request on a connection. It fails when the connect is refused, times out, finds no route, is
//! reset or refused by the client's own host, or when the request gets no answer because the server (`broken`) or the caller
//! (`abandoned`) closes. What is no failure: a connect that its caller cancelled; one that found no local port (`ports_exhausted`); one
//! to an address of the other family, where the same client reached the same service by the first (happy eyeballs); a
//! connection that is opened and closed without a request; an idle connection that is reset.
//!
//! It raises when at least 2% of 20 calls or more fail with 95% confidence, and five do, or when of three connects or
//! more none succeeds. It is over below 0.5%. It pages when at least 20% fail, or no connect succeeds, and that has an
//! effect: what worked before is turned away, or less than half of the normal calls succeed.
//!
//! Where it is blind: requests that are given up before it is known how many normally are; a failing address among many that
//! work, where they are one service and it is under 2% of the calls; edges over the limit, which are counted together; an
//! answer that is an error, which only its reader knows.
//!
//! Requests without an answer count once it is known how many are normal for the edge (`tally.rs` says why); failed
//! connects count from the first.

use std::{collections::BTreeSet, net::IpAddr};

use self::tally::{Before, Cause, Reading, Tally};
use crate::{
    driver::baselines::{OFFSET, without_offset},
    facts::callees::Callees,
    signal::prelude::*,
};
use weir_engine::{Edge, Service};

mod report;
mod tally;

/// What is remembered of an edge between services.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Something has succeeded.
    worked: bool,
    /// Calls a second that succeed, and the share of requests without an answer.
    normal: Baselines<2>,
}

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct EdgeErrors {
    callees: Callees,
}

impl Detector for EdgeErrors {
    const CLASSES: &'static [&'static str] = Cause::NAMES;
    /// Edges, less than a KiB each (`tests/allocations.rs`).
    const LIMIT: usize = 8192;

    type Memory = Memory;
    /// Edges, and of each whether its failed connects are excused.
    type Input<'f> = Vec<(EdgeFacts<'f>, bool)>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Memory>) -> Inputs<'f, Self::Input<'f>> {
        self.callees.forget(facts.now_ns());
        let reached = Reached::of(&facts.snapshot.edges);
        let edges = facts.edges.iter().map(|facts_of_edge| {
            let edge = facts_of_edge.edge;
            let client = Service::of(&edge.client.identity);
            // A server that is gone keeps its name: else one incident would become two.
            let server = self.callees.name(&client, &edge.server, facts.now_ns());
            (Subject::edge(client, server, edge.server.port), (*facts_of_edge, reached.excuses(edge)))
        });
        grouped(edges)
    }

    fn read<'f>(&self, edges: Self::Input<'f>, memory: &mut Memory, facts: &'f Facts<'f>) -> Option<Reading<'f>> {
        let (mut tally, mut ends) = (Tally::default(), Ends::default());
        for (facts_of_edge, is_excused) in edges {
            let before = tally.connects().hits;
            tally.add(&facts_of_edge, is_excused);
            ends.look(facts_of_edge.edge, tally.connects().hits - before);
        }
        if facts.snapshot.degradation.estimated() {
            tally.rounds_are_estimates();
        }
        let [goodput, unanswered] = memory.normal.each(facts.now_ns(), facts.learning);
        let unanswered = unanswered.map(|share| without_offset(share, 0.0));
        let before = Before { unanswered, goodput, worked: memory.worked };
        Some(Reading { ends, ..Reading::new(tally, before, facts.seconds()) })
    }

    fn verdict(&self, reading: &Reading<'_>, rules: Rules) -> Finding {
        reading.finding(rules)
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }

    fn learn(&self, memory: &mut Memory, reading: &Reading<'_>, learn: Learn) {
        let good = reading.tally.good();
        memory.worked |= good > 0;
        let requests = reading.tally.requests().and_then(Proportion::gated);
        let unanswered = requests.map(|requests| (requests.share() + OFFSET, requests.events));
        memory.normal.learn(learn, [Some((good as f64 / reading.seconds, good)), unanswered]);
    }

    fn over_limit(&self) -> u64 {
        self.callees.forgotten()
    }
}

/// Which client reached which service by which family of addresses: one that tries both (RFC 8305) may fail by one of them,
/// and has lost nothing.
#[derive(Default)]
struct Reached<'a>(BTreeSet<(u32, Option<u16>, bool, &'a str)>);

/// Which of two addresses of one service: the process, the port, the family, and the service or this host itself.
fn attempt(edge: &Edge) -> Option<(u32, Option<u16>, bool, &str)> {
    let address = edge.server.address?;
    let whose = if address.is_loopback() { "" } else { &*edge.server.identity.name };
    Some((edge.client.process.as_ref().ok()?.pid, edge.server.port, matches!(address, IpAddr::V6(_)), whose))
}

impl<'a> Reached<'a> {
    fn of(edges: &'a [Edge]) -> Self {
        // As a rule, no edge needs an excuse.
        if !edges.iter().any(failed) {
            return Self::default();
        }
        let succeeded = |edge: &&Edge| edge.client_view.as_ref().is_ok_and(|view| view.connects.ok() > 0);
        Self(edges.iter().filter(succeeded).filter_map(attempt).collect())
    }

    fn excuses(&self, edge: &Edge) -> bool {
        let Some((pid, port, v6, whose)) = attempt(edge) else { return false };
        failed(edge) && self.0.contains(&(pid, port, !v6, whose))
    }
}

/// It only failed.
fn failed(edge: &Edge) -> bool {
    edge.client_view.as_ref().is_ok_and(|view| view.connects.ok() == 0 && view.failed_connects() > 0)
}

#[cfg(test)]
mod tests;
