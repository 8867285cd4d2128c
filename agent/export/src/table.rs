//! The table: one line an edge, the names first, trouble at the end of the line in words.

use std::io::{self, Write};

use weir_engine::{Edge, End, Kind, LittlesLaw, Snapshot, catalog::About};

use super::{
    Shown, degraded,
    group::Grouped,
    known::{Known, QUEUE_WAIT, RECEIVED, ROUNDS, SENT},
    label,
};

/// Size of the output, in characters.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Characters a line; longer ones are cut.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

impl Size {
    /// Everything fits.
    pub fn unlimited() -> Self {
        Self { columns: usize::MAX, rows: usize::MAX }
    }
}

/// Replaces what is on the screen.
pub(super) fn redraw(out: &mut impl Write, shown: &Shown<'_>, size: Size) -> io::Result<()> {
    out.write_all(b"\x1b[H\x1b[2J")?;
    write(out, shown, size)
}

pub(super) fn write(out: &mut impl Write, shown: &Shown<'_>, size: Size) -> io::Result<()> {
    let Shown { snapshot, edges, groups } = shown;
    for line in heading(snapshot, edges.len()).into_iter().chain(idle(groups)) {
        writeln!(out, "{}", cut(&line, size.columns))?;
    }
    if edges.is_empty() {
        let why = if snapshot.edges_total == 0 {
            "no TCP connection was seen in this window"
        } else {
            "no edge matches the filter"
        };
        return writeln!(out, "{why}");
    }
    let rows: Vec<Vec<String>> = edges.iter().map(|edge| row(edge, snapshot)).collect();
    let widths = widths(&rows);
    writeln!(out, "{}", cut(&line(&HEADERS.map(str::to_owned), &widths), size.columns))?;
    let fitting = size.rows.saturating_sub(6);
    for row in rows.iter().take(fitting) {
        writeln!(out, "{}", cut(&line(row, &widths), size.columns))?;
    }
    if rows.len() > fitting {
        writeln!(out, "… and {} more edges: use --filter or --sort, or a taller terminal", rows.len() - fitting)?;
    }
    Ok(())
}

fn heading(snapshot: &Snapshot, shown: usize) -> Vec<String> {
    let cost = &snapshot.cost;
    let share = cost.agent_cpu_ns as f64 / snapshot.window_ns.max(1) as f64 * 100.0;
    let mut lines = vec![format!(
        "weir: {:.1} s, {} edges{}; own cost {share:.2}% of one core, {} resident, {} of maps",
        snapshot.window_ns as f64 / 1e9,
        snapshot.edges_total,
        if shown == snapshot.edges_total { String::new() } else { format!(" ({shown} shown)") },
        bytes(cost.agent_rss_bytes),
        bytes(cost.map_bytes),
    )];
    let lost: Vec<String> =
        snapshot.losses.named().iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if !lost.is_empty() {
        lines.push(format!("INCOMPLETE: {}", lost.join(", ")));
    }
    lines.extend(degraded::line(&snapshot.degradation));
    for probe in &snapshot.missing_probes {
        lines.push(format!(
            "without {}: {} unknown ({})",
            probe.name,
            probe.provides,
            probe.missing.as_deref().unwrap_or_default()
        ));
    }
    let silent = |(source, why): &(_, _)| format!("names: {source} does not answer: {why}");
    lines.extend(snapshot.naming.unavailable.iter().map(silent));
    lines
}

/// Rules to group by that may be written wrong.
fn idle(groups: &[Grouped]) -> impl Iterator<Item = String> {
    let idle = groups.iter().filter(|group| group.ends == 0);
    idle.map(|group| format!("group {}: nothing seen matches {}", group.name, group.rule))
}

/// In place of what a missing probe leaves unknown.
const UNKNOWN: &str = "?";
/// Before what comes from a sample of sockets.
const ESTIMATED: char = '~';

const HEADERS: [&str; 13] = [
    "CLIENT", "SERVER", "ROUNDS", "/S", "P50", "P95", "P99", "QUEUED", "OPEN", "CONNECTS", "SENT", "RECEIVED", "NOTES",
];
/// Names are on the left, notes too; numbers line up on the right.
const LEFT: [bool; 13] = [true, true, false, false, false, false, false, false, false, false, false, false, true];

fn row(edge: &Edge, snapshot: &Snapshot) -> Vec<String> {
    let window_s = snapshot.window_ns as f64 / 1e9;
    let known = Known(snapshot);
    let marked = |field: &About, text: String| match () {
        () if !known.has(field) => UNKNOWN.into(),
        () if known.estimates(field) => format!("{ESTIMATED}{text}"),
        () => text,
    };
    let here = edge.client_view.is_ok() && known.has(&ROUNDS);
    let quantile = |q| if here { edge.latency().quantile_s(q).map_or("-".into(), duration) } else { "-".into() };
    let timed = known.is_whole(&QUEUE_WAIT);
    let queued = edge.server_view.as_ref().ok().filter(|_| timed).and_then(|v| v.receive_queue_wait.quantile_s(0.5));
    vec![
        client_label(&edge.client),
        server_label(edge),
        marked(&ROUNDS, edge.total(|v| v.rounds).to_string()),
        marked(&ROUNDS, rate(edge.total(|v| v.rounds) as f64 / window_s.max(1e-9))),
        quantile(0.50),
        quantile(0.95),
        quantile(0.99),
        queued.map_or("-".into(), duration),
        edge.total(|v| v.open_connections).to_string(),
        edge.connects().ok().to_string(),
        marked(&SENT, bytes(edge.bytes_sent())),
        marked(&RECEIVED, bytes(edge.bytes_received())),
        notes(edge, snapshot),
    ]
}

fn client_label(end: &End) -> String {
    match &end.process {
        Ok(process) => format!("{}[{}]", label::of(&end.identity), process.pid),
        Err(_) if end.pids.len() > 1 => format!("{}[{} processes]", label::of(&end.identity), end.pids.len()),
        Err(_) => label::of(&end.identity),
    }
}

fn server_label(edge: &Edge) -> String {
    let end = &edge.server;
    let place = match (end.address, end.port) {
        (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        (None, Some(port)) => format!(":{port}"),
        _ => return label::of(&end.identity),
    };
    if end.identity.kind == Kind::Address {
        return place;
    }
    let name = label::of(&end.identity);
    match (&end.process, edge.server_processes.len()) {
        (Ok(process), 0 | 1) => format!("{name}[{}] {place}", process.pid),
        (_, n) if n > 1 => format!("{name}[{n} processes] {place}"),
        _ => format!("{name} {place}"),
    }
}

/// What is out of the ordinary, in words.
fn notes(edge: &Edge, snapshot: &Snapshot) -> String {
    let rounds_known = Known(snapshot).has(&ROUNDS);
    let mut notes = Vec::new();
    for (outcome, count) in edge.connects().failures() {
        notes.push(format!("{count} connects {}", outcome.name().replace('_', " ")));
    }
    let counts = [
        (edge.total(|v| v.abandoned), "abandoned"),
        (edge.total(|v| v.broken), "broken off"),
        (edge.total(|v| v.unobserved), "not observed to their end"),
        (edge.retransmitted_segments(), "retransmitted"),
        (edge.resets(), "resets"),
    ];
    notes.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    if edge.total(|v| v.in_flight) > 0 && rounds_known {
        notes.push(format!("{} in flight", edge.total(|v| v.in_flight)));
    }
    let labels = [
        (edge.is_pipelined(), "pipelined: rounds are a lower bound"),
        (edge.is_multiplexed() && !edge.is_pipelined(), "multiplexed: rounds are a lower bound"),
        (edge.is_push(), "pushes"),
        (edge.is_partial(), "partial"),
    ];
    notes.extend(labels.iter().filter(|(on, _)| *on).map(|(_, what)| (*what).to_owned()));
    let view = edge.client_view.as_ref().or(edge.server_view.as_ref());
    if rounds_known && let Ok(LittlesLaw::Broken { .. }) = view.map(|v| v.littles_law(snapshot.window_ns)) {
        notes.push("low confidence: Little's law broken".to_owned());
    }
    notes.join(", ")
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    (0..HEADERS.len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).chain([HEADERS[i].len()]).max().unwrap_or(0))
        .collect()
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if i > 0 {
            line.push_str("  ");
        }
        if LEFT[i] { line.push_str(&format!("{cell:<width$}")) } else { line.push_str(&format!("{cell:>width$}")) }
    }
    line.trim_end().to_owned()
}

pub(super) fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// Three digits and a unit.
pub(super) fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{}{unit}", three_digits(value))
}

fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n}B") } else { format!("{}{}", three_digits(value), UNITS[unit]) }
}

pub(super) fn rate(per_second: f64) -> String {
    if per_second == 0.0 { "0".into() } else { three_digits(per_second) }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
