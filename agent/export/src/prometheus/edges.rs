//! Which edges have series of their own, and under which names. All others are one edge, `other`: counted, and bounded.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use weir_engine::{Edge, End, Kind, View};

/// Labels of an edge. Edges between services that these do not separate are one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Names {
    pub(super) client: String,
    pub(super) client_namespace: String,
    pub(super) server: String,
    pub(super) server_namespace: String,
    pub(super) server_port: String,
}

/// The name of all that has no series of its own.
const OTHER: &str = "other";

impl Names {
    fn of(edge: &Edge) -> Self {
        if edge.is_other {
            return Self::other();
        }
        let namespace = |end: &End| end.identity.namespace.as_deref().unwrap_or_default().to_owned();
        Self {
            client: edge.client.identity.name.to_string(),
            client_namespace: namespace(&edge.client),
            server: edge.server.identity.name.to_string(),
            server_namespace: namespace(&edge.server),
            server_port: edge.server.port.map(|port| port.to_string()).unwrap_or_default(),
        }
    }

    fn other() -> Self {
        Self { client: OTHER.into(), server: OTHER.into(), ..Self::default() }
    }

    /// As the labels of a series. Where a service has no namespace there is no label.
    pub(super) fn pairs(&self) -> [(&str, &str); 5] {
        [
            ("client", &self.client),
            ("client_namespace", &self.client_namespace),
            ("server", &self.server),
            ("server_namespace", &self.server_namespace),
            ("server_port", &self.server_port),
        ]
    }
}

/// The edges with series of their own. It remembers them: an edge that left its series and came back would end and begin counters
/// each time, and `other` would fall, which Prometheus takes for a restart.
#[derive(Debug, Default)]
pub(super) struct Exported {
    own: BTreeSet<Names>,
    /// Those that `other` has counted.
    in_other: BTreeSet<Names>,
    /// What edges had counted in `other` before they got series of their own: it stays there.
    before: Option<Edge>,
}

/// What is exported of one snapshot.
pub(super) struct Selected {
    pub(super) edges: Vec<(Names, Edge)>,
    /// How many edges `other` stands for, the engine's own aside.
    pub(super) in_other: usize,
}

impl Exported {
    /// Chooses from all edges by service. Of `most` edges with series of their own a quarter is for such as have failures:
    /// a healthy one never gets these, so an edge that begins to fail is seen though all else is full.
    pub(super) fn select(&mut self, all: Vec<Edge>, most: usize) -> Selected {
        let mut edges: BTreeMap<Names, Edge> = BTreeMap::new();
        // A socket that was already closing when weir began has an edge, and nothing to count.
        for edge in all.into_iter().filter(|edge| !is_silent(edge)) {
            let names = Names::of(&edge);
            match edges.get_mut(&names) {
                Some(sum) => sum.merge(edge),
                None => drop(edges.insert(names, edge)),
            }
        }
        let mut other = edges.remove(&Names::other());
        self.own.retain(|names| edges.contains_key(names));
        self.in_other.retain(|names| edges.contains_key(names));
        self.choose(&edges, most);
        if let Some(before) = self.before.clone() {
            add(&mut other, before);
        }
        let (own, rest): (Vec<_>, Vec<_>) = edges.into_iter().partition(|(names, _)| self.own.contains(names));
        let in_other = rest.len();
        for (names, edge) in rest {
            add(&mut other, edge);
            self.in_other.insert(names);
        }
        let mut edges = own;
        edges.extend(other.map(|edge| (Names::other(), edge)));
        Selected { edges, in_other }
    }

    fn choose(&mut self, edges: &BTreeMap<Names, Edge>, most: usize) {
        let for_all = most - most / 4;
        let mut new: Vec<(&Names, &Edge)> = edges.iter().filter(|(names, _)| !self.own.contains(*names)).collect();
        new.sort_by_key(|(_, edge)| Reverse(edge.total(|view| view.rounds)));
        for (names, edge) in new {
            let place = if failures(edge) > 0 { most } else { for_all };
            let known_as_other = self.in_other.contains(names);
            // A healthy edge that `other` counts stays there.
            if self.own.len() >= place || (known_as_other && failures(edge) == 0) {
                continue;
            }
            if known_as_other {
                self.in_other.remove(names);
                add(&mut self.before, without_gauges(edge.clone()));
            }
            self.own.insert(names.clone());
        }
    }
}

fn is_silent(edge: &Edge) -> bool {
    edge.client_view.iter().chain(&edge.server_view).all(View::is_silent)
}

fn add(sum: &mut Option<Edge>, edge: Edge) {
    match sum {
        Some(sum) => sum.merge(edge),
        None => *sum = Some(edge),
    }
}

/// What has failed on an edge, of connects and of requests.
pub(super) fn failures(edge: &Edge) -> u64 {
    edge.connects().failed() + edge.total(|view| view.abandoned) + edge.total(|view| view.broken)
}

/// Counters alone: what is so now is so elsewhere now.
fn without_gauges(mut edge: Edge) -> Edge {
    let clear = |view: &mut View| {
        (view.open_connections, view.in_flight, view.in_flight_age_ns, view.srtt_us, view.threads) = (0, 0, 0, 0, 0);
    };
    let Edge { client_view, server_view, unpaired_view, .. } = &mut edge;
    [client_view.as_mut().ok(), server_view.as_mut().ok(), unpaired_view.as_mut()]
        .into_iter()
        .flatten()
        .for_each(clear);
    edge
}

/// Tempo's word for what an end is, where weir knows.
pub(super) fn connection_type(edge: &Edge) -> &'static str {
    match edge.server.identity.kind {
        Kind::Address => "virtual_node",
        _ => "",
    }
}
