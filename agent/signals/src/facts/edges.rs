//! The edges of a window, and whether the times of their rounds can be believed.
//!
//! Trust is a matter of single views: one whose counted and timed concurrency disagree (Little's law) is left out of what a
//! signal adds up, and the rest is judged. A finding made of the remaining views needs no further mark.

use crate::subject::Subject;
use weir_engine::{Edge, LittlesLaw, Service, Snapshot, View};

/// An edge that stands for itself: the bucket of all edges over the limit is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgeFacts<'a> {
    pub(crate) edge: &'a Edge,
    client_is_consistent: bool,
    server_is_consistent: bool,
}

/// Edges by what a signal judges them as, in order of subject.
pub(crate) type Groups<'a> = Vec<(Subject, Vec<EdgeFacts<'a>>)>;

impl<'a> EdgeFacts<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot) -> Vec<Self> {
        let is_consistent = |view| is_consistent(view, snapshot.window_ns);
        let edges = snapshot.edges.iter().filter(|edge| !edge.is_other).map(|edge| Self {
            edge,
            client_is_consistent: edge.client_view.as_ref().is_ok_and(is_consistent),
            server_is_consistent: edge.server_view.as_ref().is_ok_and(is_consistent),
        });
        edges.collect()
    }

    /// What the client's sockets saw, if it is on this host.
    pub(crate) fn client(&self) -> Option<&'a View> {
        self.edge.client_view.as_ref().ok()
    }

    /// What the server's sockets saw, likewise.
    pub(crate) fn server(&self) -> Option<&'a View> {
        self.edge.server_view.as_ref().ok()
    }

    /// The client's view, if its times do not contradict its counts.
    pub(crate) fn client_timed(&self) -> Option<&'a View> {
        self.client().filter(|_| self.client_is_consistent)
    }

    /// The server's view, likewise.
    pub(crate) fn server_timed(&self) -> Option<&'a View> {
        self.server().filter(|_| self.server_is_consistent)
    }

    /// The client's view, if its rounds are requests, one at a time on a connection, and their times are consistent.
    pub(crate) fn client_requests(&self) -> Option<&'a View> {
        self.client_timed().filter(|view| !view.overlaps())
    }

    /// The server's view, likewise.
    pub(crate) fn server_requests(&self) -> Option<&'a View> {
        self.server_timed().filter(|view| !view.overlaps())
    }
}

/// Counted and timed concurrency do not contradict each other. If they do, events were lost or rounds are no requests.
fn is_consistent(view: &View, window_ns: u64) -> bool {
    match view.littles_law(window_ns) {
        LittlesLaw::Holds { .. } | LittlesLaw::TooFew | LittlesLaw::CutByWindow => true,
        LittlesLaw::Broken { .. } => false,
    }
}

pub(super) fn by_server<'a>(edges: &[EdgeFacts<'a>]) -> Groups<'a> {
    let served = edges.iter().filter(|facts| facts.server().is_some());
    grouped(served.map(|facts| {
        let server = &facts.edge.server;
        (Subject::server(Service::of(&server.identity), server.port), *facts)
    }))
}

pub(super) fn by_caller<'a>(edges: &[EdgeFacts<'a>]) -> Groups<'a> {
    let calling = edges.iter().filter(|facts| facts.client().is_some());
    grouped(calling.map(|facts| (Subject::server(Service::of(&facts.edge.client.identity), None), *facts)))
}

pub(super) fn by_pair<'a>(edges: &[EdgeFacts<'a>]) -> Groups<'a> {
    grouped(edges.iter().map(|facts| (Subject::of_edge(facts.edge), *facts)))
}

/// Items by subject, in the order of subjects; those of one subject in the order in which they came. Sorted rather than kept in
/// a map: edges come nearly in that order, and a node of a map is an allocation.
pub(crate) fn grouped<T>(items: impl Iterator<Item = (Subject, T)>) -> Vec<(Subject, Vec<T>)> {
    let mut items: Vec<(Subject, T)> = items.collect();
    items.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut groups: Vec<(Subject, Vec<T>)> = Vec::new();
    for (subject, item) in items {
        match groups.last_mut() {
            Some((last, group)) if *last == subject => group.push(item),
            _ => groups.push((subject, vec![item])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_engine::Distribution;

    const MS: u64 = 1_000_000;

    fn view(rounds: u32, in_flight_ns: u64) -> View {
        let mut histogram = weir_abi::Histogram::EMPTY;
        histogram.buckets[40] = rounds;
        histogram.sum_ns = u64::from(rounds) * MS;
        let latency = Distribution::between(&weir_abi::Histogram::EMPTY, &histogram);
        View { rounds: rounds.into(), latency, in_flight_ns, ..View::nothing() }
    }

    #[test]
    fn timing_that_contradicts_itself_is_not_believed() {
        let window_ns = 5000 * MS;
        assert!(is_consistent(&view(100, 100 * MS), window_ns));
        assert!(!is_consistent(&view(100, 150 * MS), window_ns));
        assert!(is_consistent(&view(10, 150 * MS), window_ns), "too few to tell");
        let cut = View { in_flight_before: 1, ..view(100, 50 * MS) };
        assert!(is_consistent(&cut, window_ns));
    }
}
