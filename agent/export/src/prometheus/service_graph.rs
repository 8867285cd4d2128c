//! Edges under the names of Grafana Tempo's metrics generator, so that Grafana's service graph draws them as it is.

use std::{borrow::Cow, io};

use weir_engine::Edge;

use super::{
    edges::{Names, connection_type, failures},
    encode::{Encode, Family, Kind, Labels, Number},
};

/// Writes them. A request is a round, answered or not, or a connect that failed: it never came to a request.
pub(super) fn write(encoder: &mut impl Encode, edges: &[(Names, Edge)]) -> io::Result<()> {
    let edges = whatever_the_port(edges);
    let labels: Vec<Labels> = edges.iter().map(|(names, edge)| encoder.labels(&pairs(names, edge))).collect();
    let none = Labels::default();
    type Count = fn(&Edge) -> u64;
    let counters: [(&str, &str, Count); 2] = [
        ("request", "Requests between two services, for Grafana's service graph.", |edge| {
            edge.total(|view| view.rounds) + failures(edge)
        }),
        ("request_failed", "Requests between two services that failed, for Grafana's service graph.", failures),
    ];
    for (name, help, count) in counters {
        let name = format!("traces_service_graph_{name}");
        encoder.begin(&Family { name, help: help.into(), unit: "", kind: Kind::Counter })?;
        for ((_, edge), labels) in edges.iter().zip(&labels) {
            encoder.number([labels, &none], Number::Count(count(edge)))?;
        }
        encoder.end()?;
    }
    encoder.begin(&Family {
        name: "traces_service_graph_request_server_seconds".into(),
        help: "Time that the server took, or where it is elsewhere the client's time to first byte, for Grafana's service graph."
            .into(),
        unit: "seconds",
        kind: Kind::ClassicHistogram,
    })?;
    for ((_, edge), labels) in edges.iter().zip(&labels) {
        let view = edge.server_view.as_ref().or(edge.client_view.as_ref());
        if let Ok(view) = view {
            encoder.histogram([labels, &none], &view.latency)?;
        }
    }
    encoder.end()
}

/// One edge for each pair of services. The edges are in order, and the port is the last of their names.
fn whatever_the_port(edges: &[(Names, Edge)]) -> Vec<(&Names, Cow<'_, Edge>)> {
    let mut pairs: Vec<(&Names, Cow<'_, Edge>)> = Vec::new();
    for (names, edge) in edges {
        match pairs.last_mut() {
            Some((last, sum)) if last.pairs()[..4] == names.pairs()[..4] => sum.to_mut().merge(edge.clone()),
            _ => pairs.push((names, Cow::Borrowed(edge))),
        }
    }
    pairs
}

fn pairs<'a>(names: &'a Names, edge: &Edge) -> [(&'a str, &'a str); 6] {
    let Names { client, client_namespace, server, server_namespace, server_port: _ } = names;
    [
        ("client", client),
        ("client_service_namespace", client_namespace),
        ("server", server),
        ("server_service_namespace", server_namespace),
        ("connection_type", connection_type(edge)),
        ("source", "weir"),
    ]
}
