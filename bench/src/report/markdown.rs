//! The generated parts of docs/performance.md, each between its markers; the words around them are written by hand.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::{number, range, spread, targets};
use crate::{
    machine::Machine,
    results::{Cell, ProgramRuns, Results},
    scaling::{Point, Scaling},
};

/// Replaces each generated part of `document`. Parts without results stay as they are.
pub(crate) fn update(document: &str, results: &Results) -> Result<String> {
    let mut parts = vec![
        ("machine", machine(&results.machine)),
        ("targets", promises(results)),
        ("cost", cost(results)),
        ("counts", counts(results)),
        ("programs", programs(results)),
    ];
    if let Some(scaling) = &results.scaling {
        parts.push(("scaling", curves(scaling)));
    }
    parts.into_iter().try_fold(document.to_owned(), |document, (name, text)| replace(&document, name, &text))
}

fn replace(document: &str, name: &str, text: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}: generated -->\n"), format!("<!-- {name}: end -->"));
    let missing = || format!("no markers for {name:?} in the document");
    let (before, rest) = document.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{text}\n{end}{after}"))
}

fn machine(machine: &Machine) -> String {
    let Machine { kernel, processor, processors, memory_mib, hypervisor } = machine;
    format!(
        "Linux {kernel}, {processor}, {processors} processors, {memory_mib} MiB of memory, hypervisor: {hypervisor}. \
         Servers, load generators and weir share them.\n"
    )
}

fn promises(results: &Results) -> String {
    let mut text = "| target | limit | found | |\n|---|---|---|---|\n".to_owned();
    for target in targets::of(results) {
        let verdict = match target.holds {
            Some(true) => "holds",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let noise = if target.unresolved { ", but within what two runs of nothing differ by" } else { "" };
        let found = target.found.as_deref().unwrap_or("-");
        let _ = writeln!(text, "| {} | {} | {found} | {verdict}{noise} |", target.what, target.limit);
    }
    text
}

fn cost(results: &Results) -> String {
    let mut text = String::new();
    for row in &results.rows {
        let _ = writeln!(text, "**{}**: {}; {} rounds, per {}.\n", row.name, row.what, row.pairs, row.unit);
        if let Some(reason) = &row.not_measured {
            let _ = writeln!(text, "Not measured: {reason}.\n");
            continue;
        }
        text.push_str(
            "| subject | a second | ratio | added CPU ns | p99 us | p99 ratio | reader's CPU | its memory |\n",
        );
        text.push_str("|---|---|---|---|---|---|---|---|\n");
        row.cells.iter().for_each(|cell| text.push_str(&line(cell)));
        text.push('\n');
    }
    text
}

fn line(cell: &Cell) -> String {
    if let Some(reason) = &cell.not_measured {
        return format!("| {} | not measured: {reason} | | | | | | |\n", cell.subject);
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
        cell.subject,
        cell.rate.map_or_else(|| "-".into(), |rate| number(rate.median, 0)),
        spread(cell.rate_ratio, 3),
        spread(cell.added_cpu_ns, 0),
        cell.p99_ns.map_or_else(|| "-".into(), |p99| format!("{:.1}", p99.median / 1e3)),
        spread(cell.p99_ratio, 3),
        cell.agent_cpu_share.map_or_else(|| "-".into(), |share| format!("{:.3}%", share.median * 100.0)),
        cell.agent_rss_bytes.map_or_else(|| "-".into(), mib),
    )
}

fn counts(results: &Results) -> String {
    let mut text =
        "| row | rounds, generator | rounds, weir | connects, generator | connects, weir | lost | equal runs |\n\
                    |---|---|---|---|---|---|---|\n"
            .to_owned();
    for (row, exact) in results.rows.iter().filter_map(|row| Some((row, row.exact.as_ref()?))) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} of {} |",
            row.name,
            range(exact.rounds),
            exact.rounds_weir,
            range(exact.connects),
            exact.connects_weir,
            exact.losses,
            exact.equal,
            exact.runs
        );
    }
    text
}

fn programs(results: &Results) -> String {
    let mut text = "| row | program | runs per unit | ns a run |\n|---|---|---|---|\n".to_owned();
    // Fewer are those of the connections that carry the work.
    let of_the_work = |program: &&ProgramRuns| program.runs_per_unit >= 0.1 && program.name != "iter_task_file";
    for row in results.rows.iter().filter(|row| row.exact.is_some()) {
        for program in row.programs.iter().filter(of_the_work) {
            let (runs, ns) = (program.runs_per_unit, program.ns_per_run);
            let _ = writeln!(text, "| {} | `{}` | {runs:.2} | {ns:.0} |", row.name, program.name);
        }
    }
    text
}

fn curves(scaling: &Scaling) -> String {
    let Scaling { edges, sockets, rounds } = scaling;
    let mut text = String::new();
    for (name, points) in [("edges", edges), ("sockets", sockets), ("rounds a second", rounds)] {
        let _ = writeln!(text, "| {name} | agent CPU | kernel ns a round | resident |\n|---|---|---|---|");
        for Point { x, agent_cpu_share, kernel_ns_per_round, agent_rss_bytes } in points {
            let (share, mib) = (agent_cpu_share * 100.0, *agent_rss_bytes as f64 / f64::from(1 << 20));
            let _ = writeln!(text, "| {} | {share:.3}% | {kernel_ns_per_round:.0} | {mib:.1} MiB |", number(*x, 0));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_markers_changes() {
        let document = "# T\n<!-- a: generated -->\nold\n<!-- a: end -->\nwords\n";
        let expected = "# T\n<!-- a: generated -->\n\nnew\n<!-- a: end -->\nwords\n";
        let once = replace(document, "a", "new").expect("markers are there");
        assert_eq!(once, expected);
        assert_eq!(replace(&once, "a", "new").expect("markers are there"), expected);
        assert!(replace(document, "b", "new").is_err());
    }
}
