//! Requests have been under way far longer than any normal one, and no answer comes.
//!
//! An edge's record says how many requests are under way and how old they are together, not how old each is. But of those
//! under way so many are expected to be young as the answers of the window took up (Little's law): what is left of number and
//! age when they are taken off is old, and its mean age is known.
//!
//! It raises when three are so old, or half of the connections wait, and their mean age is at least 5 s, ten times the 99th
//! percentile of answers that is normal and twice what any request took while all was well; fewer than three must be a minute
//! old, and half a minute those for which nothing else speaks: the server has read them, no caller gives up, and the client
//! has no waiting callers of its own. It is over when none is left. It pages when half of the connections wait so, and less than half of the normal answers come or more
//! callers give up than get one.
//!
//! Where it is blind: before it is known what is normal; an edge that also carries requests which stay open by design (its
//! 99th percentile is 5 s or more, or they were seen while all was well); requests that overlap on a connection (HTTP/2);
//! an answer that stops in the middle; under a CPU budget, while only a sample of sockets is followed. A queue's consumers
//! that wait for their next item on an edge where items always came at once look hung when no more come.

use std::collections::{BTreeMap, BTreeSet};

use self::{
    reading::{Class, Reading, Tally},
    usual::Usual,
};
use crate::signal::prelude::*;
use weir_engine::{Service, Snapshot};

mod normal;
mod reading;
mod report;
mod usual;

/// What is remembered of an edge between services.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Segments retransmitted since requests have been old: the kernel's pauses between two become longer than a window.
    retransmitted: u64,
    /// The server's accept queue was full in the last window: SYNs that it dropped are retransmitted seconds later.
    was_full: bool,
    /// Answers that the server has sent beyond those that the client has read.
    ahead: i64,
    usual: Usual,
}

/// The signal, and what it has gathered of the window.
#[derive(Debug, Default)]
pub(crate) struct HungRequest {
    /// How many requests of its own callers each service has under work.
    callers: BTreeMap<Service, u64>,
    /// Ports with a full accept queue: there SYNs are retransmitted because the listener drops them, and not because packets are lost.
    full_ports: BTreeSet<u16>,
}

impl Detector for HungRequest {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Edges, some 600 bytes each (`tests/allocations.rs`).
    const LIMIT: usize = 8192;

    type Memory = Memory;
    type Input<'f> = &'f [EdgeFacts<'f>];
    type Reading<'f> = Reading<'f>;

    /// Not while only a sample of sockets is followed: one request stands for many.
    fn can_judge(facts: &Facts<'_>) -> bool {
        !facts.snapshot.degradation.estimated()
    }

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Memory>) -> Inputs<'f, Self::Input<'f>> {
        *self = Self { callers: callers(facts), full_ports: full_ports(facts.snapshot) };
        facts.by_pair()
    }

    fn read<'f>(&self, edges: Self::Input<'f>, memory: &mut Memory, facts: &'f Facts<'f>) -> Option<Reading<'f>> {
        let client = Service::of(&edges.first()?.edge.client.identity);
        let callers = self.callers.get(&client).copied().unwrap_or(0);
        let (mut tally, mut ends) = (Tally::default(), Ends::default());
        for facts in edges {
            if let Some(under_way) = tally.add(facts) {
                ends.look(facts.edge, under_way);
            }
        }
        if tally.views == 0 {
            return None;
        }
        let unread = memory.unread(&tally);
        let usual = memory.usual.known(facts.now_ns(), facts.learning);
        let reading = Reading::new(&tally, unread, callers, usual, facts.seconds());
        let is_full = ends.address.is_some_and(|address| self.full_ports.contains(&address.port()));
        let lost = if is_full || memory.was_full { 0 } else { tally.retransmitted };
        memory.was_full = is_full;
        memory.retransmitted = if reading.is_old() { memory.retransmitted.saturating_add(lost) } else { lost };
        Some(Reading { ends, retransmitted: memory.retransmitted, ..reading })
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }

    fn learn(&self, memory: &mut Memory, reading: &Reading<'_>, learn: Learn) {
        memory.usual.learn(learn, reading);
    }
}

impl Memory {
    /// Answers that the server has sent and the client has not read: a client that is stopped, or blocked, has no hung
    /// requests. Where segments are retransmitted the answers may be what is lost.
    fn unread(&mut self, tally: &Tally) -> u64 {
        /// Two records are not read in one instant; what that makes of the difference comes back in the next window. A
        /// choice: as many answers as a fast edge has in the microseconds between two reads, with a wide margin.
        const SLACK: i64 = -64;
        let most = i64::try_from(tally.under_way).unwrap_or(i64::MAX);
        self.ahead = if most == 0 { 0 } else { self.ahead.saturating_add(tally.ahead).clamp(SLACK, most) };
        let retransmitted = self.retransmitted.saturating_add(tally.retransmitted);
        if retransmitted > 0 { 0 } else { self.ahead.max(0).unsigned_abs() }
    }
}

fn callers(facts: &Facts<'_>) -> BTreeMap<Service, u64> {
    let mut callers = BTreeMap::new();
    for facts in &facts.edges {
        let Some(view) = facts.server().filter(|view| view.in_flight > 0 && !view.overlaps()) else { continue };
        let sum: &mut u64 = callers.entry(Service::of(&facts.edge.server.identity)).or_default();
        *sum = sum.saturating_add(view.in_flight);
    }
    callers
}

fn full_ports(snapshot: &Snapshot) -> BTreeSet<u16> {
    let listeners = snapshot.host.namespaces.iter().flat_map(|namespace| &namespace.listeners);
    let full = listeners.filter(|listener| listener.peak > 0 && listener.peak >= listener.last.max);
    full.map(|listener| listener.last.address.port()).collect()
}

#[cfg(test)]
mod tests;
