//! V2: requests have been under way far longer than any normal one, and no answer comes.
//!
//! An edge's record says how many requests are under way and how old they are together, not how old each is. But of those
//! under way so many are expected to be young as the answers of the window took up (Little's law): what is left of number and
//! age when they are taken off is old, and its mean age is known.
//!
//! It raises when three are so old, or half of the connections wait, and their mean age is at least 5 s, ten times the 99th
//! percentile of answers that is normal and twice what any request took while all was well; fewer than three must be a minute
//! old, and half a minute those for which nothing else speaks: the server has read them, nobody gives up, and nobody waits
//! for who asked. It is over when none is left. It pages when half of the connections wait so, and less than half of the normal answers come or more
//! callers give up than get one.
//!
//! Where it is blind: before it is known what is normal; an edge that also carries requests which stay open by design (its
//! 99th percentile is 5 s or more, or they were seen while all was well); requests that overlap on a connection (HTTP/2);
//! an answer that stops in the middle; under a CPU budget, while only a sample of sockets is followed. A queue's consumers
//! that wait for their next item on an edge where items always came at once look hung when no more come.

use std::{collections::BTreeMap, net::SocketAddr};

use self::{
    reading::{Class, Reading, Tally},
    usual::Usual,
};
use crate::{
    evaluate::{Evaluator, Judge},
    incident::alarm::Rule,
    learn::{baseline::Learning, subjects::Subjects},
    report::contract::Place,
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};
use weir_engine::{Edge, Service, Snapshot};

mod reading;
mod say;
mod usual;

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "hung_request",
    says: "requests have been under way far longer than any normal one, and no answer comes",
    rule: Rule::USUAL,
    // A restart that leaves callers waiting is what they should hear of.
    minds_changes: false,
};

/// Edges remembered, some 600 bytes each (`tests/allocations.rs`); of more the first ones.
const MAX_EDGES: usize = 8192;

/// An edge between services, and what is remembered of it.
#[derive(Debug, Default)]
struct Remembered {
    /// Of this window; nothing between two.
    heard: Option<Box<Heard>>,
    /// Segments sent again since requests have been old: the kernel's pauses between two become longer than a window.
    resent: u64,
    /// The server's accept queue was full in the last window: SYNs that found no room are sent again seconds later.
    was_full: bool,
    /// Answers that the server has sent beyond those that the client has read.
    ahead: i64,
    usual: Usual,
}

/// What a window says of an edge.
#[derive(Debug, Default)]
struct Heard {
    tally: Tally,
    /// Where most of those under way are.
    most: u64,
    address: Option<SocketAddr>,
    client_process: Option<Place>,
    server_process: Option<Place>,
}

/// The evaluator.
#[derive(Debug)]
pub(crate) struct HungRequest {
    learning: Learning,
    edges: Subjects<Remembered>,
}

impl HungRequest {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { learning, edges: Subjects::up_to(MAX_EDGES) }
    }

    /// Adds up what is under way between all instances of two services.
    fn gather(&mut self, window: &Window<'_>) {
        self.edges.begin(window.at.monotonic_ns);
        for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
            let Some(known) = self.edges.entry(Subject::of_edge(edge), |known| known.heard = None) else { continue };
            let heard = known.heard.get_or_insert_default();
            if let Some(under_way) = heard.tally.add(edge, window.snapshot.window_ns) {
                heard.where_to_look(edge, under_way);
            }
        }
    }
}

impl Evaluator for HungRequest {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.edges.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        self.gather(window);
        // Of a sample of sockets one request stands for many.
        if window.snapshot.degradation.estimated() {
            return;
        }
        let (now_ns, window_ns) = (window.at.monotonic_ns, window.snapshot.window_ns);
        let callers = callers(window.snapshot);
        for (unit, edge) in self.edges.seen_in_window() {
            let [Some(client), Some(server)] = unit.services() else { continue };
            let Some(heard) = edge.heard.take().filter(|heard| heard.tally.is_believed()) else { continue };
            let Heard { tally, address, client_process, server_process, .. } = &*heard;
            let unread = edge.unread(tally);
            let usual = edge.usual.known(now_ns, self.learning);
            let callers = callers.get(client).copied().unwrap_or(0);
            let reading = Reading::new(tally, unread, callers, usual, window.seconds());
            let is_full = address.is_some_and(|address| is_full(window.snapshot, address.port()));
            let lost = if is_full || edge.was_full { 0 } else { tally.resent };
            edge.was_full = is_full;
            edge.resent = if reading.is_old() { edge.resent.saturating_add(lost) } else { lost };
            let ends = say::Ends {
                client,
                server,
                client_process: client_process.as_ref(),
                server_process: server_process.as_ref(),
                address: *address,
                resent: edge.resent,
            };
            let class = Class::of(&reading, edge.resent);
            // Views that contradict themselves were left out.
            let state = judge.judge(unit, reading.finding(class), Trust::Unchecked, || {
                say::report(&ends, &reading, class, window_ns)
            });
            edge.usual.learn(now_ns, &reading, !state.is_normal());
        }
    }
}

impl Heard {
    /// At an end where most are under way.
    fn where_to_look(&mut self, edge: &Edge, under_way: u64) {
        if under_way < self.most {
            return;
        }
        self.most = under_way;
        self.address = edge.server.socket_address().or(self.address);
        self.client_process = edge.client.process.as_ref().ok().map(Place::of);
        let busiest = edge.server_processes.iter().max_by_key(|share| share.open_connections);
        self.server_process = busiest.map(|share| Place::of(&share.process));
    }
}

impl Remembered {
    /// Answers that the server has sent and the client has not read: a client that is stopped, or blocked, has no hung
    /// requests. Where segments are sent again the answers may be what is lost.
    fn unread(&mut self, tally: &Tally) -> u64 {
        /// Two records are not read in one instant; what that makes of the difference comes back in the next window.
        const SLACK: i64 = -64;
        let most = i64::try_from(tally.under_way).unwrap_or(i64::MAX);
        self.ahead = if most == 0 { 0 } else { self.ahead.saturating_add(tally.ahead).clamp(SLACK, most) };
        if self.resent.saturating_add(tally.resent) > 0 { 0 } else { self.ahead.max(0).unsigned_abs() }
    }
}

/// How many requests of its own callers each service has under work.
fn callers(snapshot: &Snapshot) -> BTreeMap<Service, u64> {
    let mut callers = BTreeMap::new();
    for edge in snapshot.edges.iter().filter(|edge| !edge.is_other) {
        let Ok(view) = &edge.server_view else { continue };
        if view.in_flight > 0 && !view.overlaps() {
            let sum: &mut u64 = callers.entry(Service::of(&edge.server.identity)).or_default();
            *sum = sum.saturating_add(view.in_flight);
        }
    }
    callers
}

/// Whether a listener's accept queue is full: then SYNs are sent again for want of room, and not because packets are lost.
fn is_full(snapshot: &Snapshot, port: u16) -> bool {
    let listeners = snapshot.host.namespaces.iter().flat_map(|namespace| &namespace.listeners);
    let mut of_port = listeners.filter(|listener| listener.last.address.port() == port);
    of_port.any(|listener| listener.peak > 0 && listener.peak >= listener.last.max)
}

#[cfg(test)]
mod tests;
