//! The table on the terminal.

use std::fmt::Write as _;

use super::{range, spread, targets};
use crate::{
    results::{Cell, Exact, Results, RowResult},
    scaling::{Point, Scaling},
};

/// The whole report.
pub(crate) fn text(results: &Results) -> String {
    let mut text: String = results.rows.iter().map(row).collect();
    if let Some(scaling) = &results.scaling {
        text.push_str(&curves(scaling));
    }
    text.push_str("\ntargets:\n");
    for target in targets::of(results).into_iter().filter(|target| target.found.is_some()) {
        let verdict = if target.holds == Some(true) { "pass" } else { "FAIL" };
        let found = target.found.unwrap_or_default();
        let noise = if target.unresolved { "  unresolved: runs of nothing differ by more" } else { "" };
        let _ = writeln!(text, "  {verdict}  {:<58}{found:>20}  ({}){noise}", target.what, target.limit);
    }
    text
}

fn curves(Scaling { edges, sockets, rounds }: &Scaling) -> String {
    let mut text = String::new();
    for (name, points) in [("edges", edges), ("sockets", sockets), ("rounds/s", rounds)] {
        let _ = writeln!(text, "\n  {name:>10}{:>12}{:>20}{:>12}", "agent CPU", "kernel ns/round", "resident");
        for Point { x, agent_cpu_share, kernel_ns_per_round, agent_rss_bytes } in points {
            let (share, resident) = (agent_cpu_share * 100.0, mib(*agent_rss_bytes));
            let _ = writeln!(text, "  {x:>10.0}{share:>11.3}%{kernel_ns_per_round:>20.0}{resident:>8.1} MiB");
        }
    }
    text
}

fn row(row: &RowResult) -> String {
    let mut text = format!("\n{}: {} ({} rounds, per {})\n", row.name, row.what, row.pairs, row.unit);
    if let Some(reason) = &row.not_measured {
        let _ = writeln!(text, "  not measured: {reason}");
        return text;
    }
    let _ = writeln!(text, "  {:<12}{:>26}{:>22}{:>30}", "", "a second", "ratio", "added CPU ns");
    for cell in &row.cells {
        text.push_str(&line(cell));
    }
    if let (true, Some(empty), Some(count)) = (row.precise(), row.over("floor_empty"), row.over("floor_count")) {
        let _ = writeln!(text, "  weir over empty programs: {empty:.2}, over counting programs: {count:.2}");
    }
    for program in &row.programs {
        let _ = writeln!(
            text,
            "  {:<24}{:>8.2} runs per {}, {:>5.0} ns a run",
            program.name, program.runs_per_unit, row.unit, program.ns_per_run
        );
    }
    if let Some(exact) = &row.exact {
        text.push_str(&exactness(exact));
    }
    text
}

fn line(cell: &Cell) -> String {
    if let Some(reason) = &cell.not_measured {
        return format!("  {:<12}not measured: {reason}\n", cell.subject);
    }
    let mut text = format!(
        "  {:<12}{:>26}{:>22}{:>30}",
        cell.subject,
        spread(cell.rate, 0),
        spread(cell.rate_ratio, 3),
        spread(cell.added_cpu_ns, 1)
    );
    if let Some(best) = cell.added_best_ns {
        let _ = write!(text, "  best {:.1}", best.median);
    }
    if let Some(p99) = cell.p99_ns {
        let _ = write!(text, "  p99 {:.0} us, ratio {}", p99.median / 1e3, spread(cell.p99_ratio, 3));
    }
    if let Some(share) = cell.agent_cpu_share {
        let _ = write!(text, "  agent {:.3}% CPU", share.median * 100.0);
    }
    if let Some(rss) = cell.agent_rss_bytes {
        let _ = write!(text, ", {:.1} MiB", mib(rss));
    }
    if let Some(maps) = cell.map_bytes {
        let _ = write!(text, ", maps {:.1} MiB", mib(maps));
    }
    text + "\n"
}

fn exactness(exact: &Exact) -> String {
    let Exact { runs, equal, rounds, rounds_weir, connects, connects_weir, losses } = exact;
    format!(
        "  counts: {equal} of {runs} runs equal; rounds {} by the generator, {rounds_weir} by weir; connects {} and \
         {connects_weir}; {losses} lost\n",
        range(*rounds),
        range(*connects)
    )
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
