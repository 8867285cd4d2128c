//! Edges as a graph, for Graphviz and Mermaid. Nodes are services by name; several edges between the same two nodes
//! (ports, instances) are drawn as one.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use weir_engine::{Distribution, Edge, End, Kind, Snapshot};

use super::{
    degraded,
    known::{Known, ROUNDS},
    label,
    table::duration,
};

/// What is written on a line between two nodes.
#[derive(Default)]
struct Line {
    rounds: u64,
    failed: u64,
    latency: Option<Distribution>,
}

fn lines(edges: &[&Edge]) -> BTreeMap<(String, String), Line> {
    let mut lines: BTreeMap<(String, String), Line> = BTreeMap::new();
    for edge in edges {
        let line = lines.entry((node(&edge.client), server_node(&edge.server))).or_default();
        line.rounds = line.rounds.wrapping_add(edge.total(|v| v.rounds));
        line.failed = line.failed.wrapping_add(edge.connects().failed());
        match &mut line.latency {
            Some(sum) => sum.merge(edge.latency()),
            None => line.latency = Some(edge.latency().clone()),
        }
    }
    lines
}

fn node(end: &End) -> String {
    label::of(&end.identity)
}

/// Of a server without a name, the address with the port.
fn server_node(end: &End) -> String {
    match (end.identity.kind, end.address, end.port) {
        (Kind::Address, Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        _ => node(end),
    }
}

fn text(line: &Line, snapshot: &Snapshot) -> String {
    let known = Known(snapshot).has(&ROUNDS);
    let mut parts = vec![if known { format!("{} rounds", line.rounds) } else { "rounds unknown".into() }];
    if let Some(median) = line.latency.as_ref().filter(|_| known).and_then(|l| l.quantile_s(0.5)) {
        parts.push(format!("p50 {}", duration(median)));
    }
    if line.failed > 0 {
        parts.push(format!("{} failed connects", line.failed));
    }
    parts.join(", ")
}

pub(super) fn dot(out: &mut impl Write, snapshot: &Snapshot, edges: &[&Edge]) -> io::Result<()> {
    writeln!(out, "digraph weir {{\n  rankdir=LR;\n  node [shape=box];")?;
    if let Some(line) = degraded::line(&snapshot.degradation) {
        writeln!(out, "  label={};", quoted(&line))?;
    }
    for ((client, server), line) in lines(edges) {
        let color = if line.failed > 0 { ", color=red" } else { "" };
        writeln!(
            out,
            "  {} -> {} [label={}{color}];",
            quoted(&client),
            quoted(&server),
            quoted(&text(&line, snapshot))
        )?;
    }
    writeln!(out, "}}")
}

/// A DOT string: only the quote and the backslash are special.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(super) fn mermaid(out: &mut impl Write, snapshot: &Snapshot, edges: &[&Edge]) -> io::Result<()> {
    let lines = lines(edges);
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for (client, server) in lines.keys() {
        for name in [client, server] {
            let next = ids.len();
            ids.entry(name).or_insert(next);
        }
    }
    writeln!(out, "flowchart LR")?;
    if let Some(line) = degraded::line(&snapshot.degradation) {
        writeln!(out, "  degraded>\"{}\"]", entities(&line))?;
    }
    for (name, id) in &ids {
        writeln!(out, "  n{id}[\"{}\"]", entities(name))?;
    }
    for ((client, server), line) in &lines {
        writeln!(
            out,
            "  n{} -->|\"{}\"| n{}",
            ids[client.as_str()],
            entities(&text(line, snapshot)),
            ids[server.as_str()]
        )?;
    }
    Ok(())
}

/// Mermaid takes `#entity;` codes inside quoted text.
fn entities(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}
