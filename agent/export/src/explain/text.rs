//! The picture on one screen of 110 columns.

mod limits;

use std::io::{self, Write};

use weir_engine::{Distribution, Snapshot, View};

use super::{Line, Picture, json::busy_share, place};
use crate::{
    degraded,
    known::{Known, QUEUE_WAIT, ROUNDS},
    signals::clock,
    table::{cut, duration, rate},
};

/// Columns, names in the first one included.
const WIDTH: usize = 110;
/// Lines of a kind.
const MOST: usize = 12;
const UNKNOWN: &str = "?";
const NONE: &str = "-";

pub(super) fn write(out: &mut impl Write, picture: &Picture<'_>) -> io::Result<()> {
    heading(out, picture)?;
    let snapshot = picture.snapshot;
    let is_edge = matches!(picture.asked, super::Asked::Edge(..));
    if is_edge {
        edges(out, "THE EDGE", "EDGE", &picture.callees, snapshot, place::edge)?;
    } else {
        edges(out, "WHO CALLS IT", "CALLER", &picture.callers, snapshot, |edge| {
            edge.server.port.map_or_else(|| place::client(edge), |port| format!("{} -> :{port}", place::client(edge)))
        })?;
        edges(out, "WHAT IT CALLS", "CALLEE", &picture.callees, snapshot, place::server)?;
    }
    pools(out, &picture.callees, snapshot)?;
    limits::write(out, &picture.limits)?;
    incidents(out, picture)?;
    times(out, picture)
}

fn heading(out: &mut impl Write, picture: &Picture<'_>) -> io::Result<()> {
    let Picture { asked, snapshot, services, instances, .. } = picture;
    let names: Vec<String> = services.iter().map(|service| format!("{service} ({})", service.kind.name())).collect();
    let several = if names.len() > 1 && !matches!(asked, super::Asked::Edge(..)) {
        format!(": {} services are called so, shown together", names.len())
    } else {
        String::new()
    };
    let end = clock(snapshot.end_unix_ns);
    writeln!(out, "{asked}: {:.1} s to {end}{several}", snapshot.window_ns as f64 / 1e9)?;
    writeln!(out, "{}", cut(&names.join(", "), WIDTH))?;
    for instance in instances.values().take(MOST) {
        let details = instance.identity.details();
        let details = details.iter().filter_map(|(field, detail)| Some(format!("{field} {}", (*detail)?)));
        let process = instance.process;
        let line = [format!("  pid {} {}", process.pid, process.name())].into_iter().chain(details);
        writeln!(out, "{}", cut(&line.collect::<Vec<_>>().join(", "), WIDTH))?;
    }
    more(out, instances.len(), "processes")?;
    if instances.is_empty() {
        writeln!(out, "  no process of it is on this host")?;
    }
    let lost: Vec<String> =
        snapshot.losses.named().iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    match lost.is_empty() {
        true => writeln!(out, "nothing was lost")?,
        false => writeln!(out, "INCOMPLETE: {}", lost.join(", "))?,
    }
    if let Some(line) = degraded::line(&snapshot.degradation) {
        writeln!(out, "{line}")?;
    }
    for probe in &snapshot.missing_probes {
        let why = probe.missing.as_deref().unwrap_or_default();
        writeln!(out, "{}", cut(&format!("without {}: {} unknown ({why})", probe.name, probe.provides), WIDTH))?;
    }
    Ok(())
}

fn more(out: &mut impl Write, all: usize, what: &str) -> io::Result<()> {
    if all > MOST { writeln!(out, "  … and {} more {what}: -o json has them", all - MOST) } else { Ok(()) }
}

/// Rows under headers; the first column is on the left.
fn table(out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let rest: usize = (1..columns).map(|i| width(i) + 2).sum();
    let first = width(0).min(WIDTH.saturating_sub(rest + 2).max(16));
    for row in rows {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            match i {
                0 => line.push_str(&format!("  {:<first$}", cut(cell, first))),
                _ => line.push_str(&format!("  {cell:>width$}", width = width(i))),
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn headers(names: &[&str]) -> Vec<Vec<String>> {
    vec![names.iter().map(|name| (*name).to_owned()).collect()]
}

fn edges(
    out: &mut impl Write,
    title: &str,
    who: &str,
    lines: &[Line],
    snapshot: &Snapshot,
    name: impl Fn(&weir_engine::Edge) -> String,
) -> io::Result<()> {
    writeln!(out, "\n{title}{}", if lines.is_empty() { ": none in this window" } else { "" })?;
    if lines.is_empty() {
        return Ok(());
    }
    let mut rows = headers(&[
        who,
        "CONN/S",
        "FAILED",
        "ROUNDS/S",
        "P50",
        "P95",
        "P99",
        "IN FLIGHT",
        "BROKEN",
        "ABANDONED",
        "QUEUED P95",
    ]);
    for line in lines.iter().take(MOST) {
        rows.push(row(name(&line.edge), line, snapshot));
    }
    table(out, &rows)?;
    more(out, lines.len(), "edges")?;
    for line in lines.iter().take(MOST) {
        let notes = notes(line, snapshot);
        if !notes.is_empty() {
            writeln!(out, "{}", cut(&format!("  {}: {}", name(&line.edge), notes.join(", ")), WIDTH))?;
        }
    }
    Ok(())
}

fn row(name: String, line: &Line, snapshot: &Snapshot) -> Vec<String> {
    let edge = &line.edge;
    let known = Known(snapshot);
    let per_s = |n: u64| rate(n as f64 / (snapshot.window_ns.max(1) as f64 / 1e9));
    let rounds = |text: String| if known.has(&ROUNDS) { text } else { UNKNOWN.to_owned() };
    let quantile = |q| rounds(edge.latency().quantile_s(q).map_or(NONE.into(), duration));
    let timed = known.is_whole(&QUEUE_WAIT);
    let queued = match edge.server_view.as_ref() {
        Ok(view) if timed => view.receive_queue_wait.quantile_s(0.95).map_or(NONE.into(), duration),
        Ok(_) => UNKNOWN.into(),
        Err(_) => NONE.into(),
    };
    vec![
        name,
        per_s(edge.connects().total()),
        edge.connects().failed().to_string(),
        rounds(per_s(edge.total(|v| v.rounds))),
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        rounds(edge.total(|v| v.in_flight).to_string()),
        rounds(edge.total(|v| v.broken).to_string()),
        rounds(edge.total(|v| v.abandoned).to_string()),
        queued,
    ]
}

/// What is out of the ordinary, and what the numbers are not.
fn notes(line: &Line, snapshot: &Snapshot) -> Vec<String> {
    let edge = &line.edge;
    let mut notes = Vec::new();
    for (outcome, count) in edge.connects().failures() {
        notes.push(format!("{count} connects {}", outcome.name().replace('_', " ")));
    }
    let counts = [(edge.retransmitted_segments(), "segments retransmitted"), (edge.resets(), "resets")];
    notes.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    if edge.rounds_are_a_lower_bound() {
        notes.push("requests overlap or data is pushed: rounds are a lower bound".to_owned());
    }
    if edge.client_view.is_err() && edge.total(|v| v.rounds) > 0 {
        notes.push("times are the server's own: the client is not on this host".to_owned());
    }
    if snapshot.degradation.estimated() {
        notes.push("estimated from a sample of sockets".to_owned());
    }
    notes
}

fn pools(out: &mut impl Write, lines: &[Line], snapshot: &Snapshot) -> io::Result<()> {
    let row = |line: &Line| {
        let view: &View = line.edge.client_view.as_ref().ok()?;
        let View { open_connections, threads, .. } = view;
        let reused = view.reused();
        Some(vec![
            place::server(&line.edge),
            open_connections.to_string(),
            busy_share(view, snapshot).map_or(NONE.into(), |share| format!("{:.0}%", share * 100.0)),
            threads.to_string(),
            (reused.by_same_thread + reused.by_other_thread).to_string(),
            reused.by_other_thread.to_string(),
            reused.by_other_thread_at_once.to_string(),
        ])
    };
    let mut rows = headers(&["ITS CONNECTIONS TO", "OPEN", "BUSY", "THREADS", "REUSED", "BY OTHER THREAD", "AT ONCE"]);
    rows.extend(lines.iter().filter_map(row).take(MOST));
    if rows.len() > 1 { table(out, &rows) } else { Ok(()) }
}

fn incidents(out: &mut impl Write, picture: &Picture<'_>) -> io::Result<()> {
    let Picture { incidents, pending, .. } = picture;
    let none = match (picture.standing.windows, picture.standing.watched_ns) {
        _ if !incidents.is_empty() => "",
        (0, _) => ": not judged",
        _ => ": none",
    };
    writeln!(out, "\nINCIDENTS{none}")?;
    for alert in incidents.iter().take(MOST) {
        writeln!(out, "{} {}", clock(alert.document().ts), alert.text())?;
    }
    more(out, incidents.len(), "incidents")?;
    for pending in pending.iter().take(MOST) {
        let held = pending.held.as_ref().map(|held| format!(", held back: {held}")).unwrap_or_default();
        writeln!(out, "{}", cut(&format!("  pending: {} {}{held}", pending.signal, pending.subject), WIDTH))?;
    }
    more(out, pending.len(), "pending")?;
    picture.unjudged().map_or(Ok(()), |why| writeln!(out, "  {why}"))
}

/// Means: parts of a mean add up, parts of a percentile do not.
fn times(out: &mut impl Write, picture: &Picture<'_>) -> io::Result<()> {
    let lines: Vec<&Line> = picture.callers.iter().chain(&picture.callees).collect();
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWHERE THE TIME GOES (means; all parts together are the client's latency)")?;
    let mut rows = headers(&["EDGE", "LATENCY", "NETWORK", "SERVER'S QUEUE", "ITS WORK", "CLIENT'S OWN WAIT", "REST"]);
    let mut why = Vec::new();
    for line in lines.iter().take(MOST) {
        let name = place::edge(&line.edge);
        match &line.time {
            Ok(time) => {
                let parts = [time.whole, time.network, time.peer_queue, time.peer_work, time.own_wait];
                let rest = if time.rest < 0.0 { format!("-{}", duration(-time.rest)) } else { duration(time.rest) };
                rows.push([name].into_iter().chain(parts.map(duration)).chain([rest]).collect());
            }
            Err(reason) => why.push(format!("  {name}: {}not known: {reason}", served(&line.edge))),
        }
    }
    if rows.len() > 1 {
        table(out, &rows)?;
    }
    for line in why {
        writeln!(out, "{}", cut(&line, WIDTH + 10))?;
    }
    more(out, lines.len(), "edges")
}

/// What the server's own sockets measured.
fn served(edge: &weir_engine::Edge) -> String {
    let mean = |f: fn(&View) -> &Distribution| edge.server_view.as_ref().ok().and_then(|view| f(view).mean_s());
    match (mean(|v| &v.receive_queue_wait), mean(|v| &v.latency)) {
        (Some(queue), Some(work)) => format!("queue {}, work {}, rest ", duration(queue), duration(work)),
        _ => String::new(),
    }
}
