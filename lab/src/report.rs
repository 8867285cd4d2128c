//! The scoreboard for a terminal.

use std::fmt::Write as _;

use crate::{
    score::{Ablation, Board, FALSE_ALARMS_PER_HOUR, PRECISION, RECALL},
    statistics::Share,
};

/// Lines shown of a list: a choice.
const MOST: usize = 40;

/// As text; the JSON of the same board is its serialization.
pub(crate) fn text(board: &Board) -> String {
    let mut out = String::new();
    summary(&mut out, board).and_then(|()| details(&mut out, board)).expect("a string takes all that is written to it");
    out
}

fn summary(out: &mut String, board: &Board) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:<18} {:>22} {:>9} {:>6} {:>6} {:>8} {:>8} {:>8}",
        "signal", "recall (95%)", "not built", "right", "wrong", "ttd p50", "ttd p95", "clear"
    )?;
    for (signal, score) in &board.signals {
        let recall = score.recall.map_or("-".to_owned(), interval);
        let s = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} s"));
        writeln!(
            out,
            "{signal:<18} {recall:>22} {:>9} {:>6} {:>6} {:>8} {:>8} {:>8}",
            dash(score.not_built),
            score.right,
            score.wrong,
            s(score.ttd_median_s),
            s(score.ttd_p95_s),
            s(score.clear_median_s),
        )?;
    }
    let whole = |share: Option<Share>| share.map_or("nothing to judge".to_owned(), interval);
    writeln!(out, "\nruns                 {}", board.runs)?;
    writeln!(out, "precision            {}   target {PRECISION}", whole(board.precision))?;
    writeln!(out, "recall               {}   target {RECALL}", whole(board.recall))?;
    let rate = board.false_alarms_per_hour().map_or("-".to_owned(), |rate| format!("{rate:.2}"));
    let hours = board.healthy_hours;
    writeln!(
        out,
        "false alarms         {rate} in a healthy hour, {} in {hours:.2} h, {} of them critical   target \
         {FALSE_ALARMS_PER_HOUR}",
        board.false_alarms_healthy, board.criticals_healthy
    )?;
    writeln!(out, "messages             {} complete", whole(board.contract))
}

fn details(out: &mut String, board: &Board) -> std::fmt::Result {
    if let Some((phase, share)) = &board.busiest {
        writeln!(out, "processors           {:.0}% used at most, by the whole host: {phase}", share * 100.0)?;
    }
    if board.others > 0 {
        writeln!(out, "left out             {} alerts of services outside the lab", board.others)?;
    }
    if !board.estimates.is_empty() {
        writeln!(out, "\nestimates")?;
    }
    for row in &board.estimates {
        let (truth, said, error) = (row.truth, row.said, row.error);
        let label = format!("{}-{}", row.scenario, row.seed);
        writeln!(out, "  {label:<7} {:<32} truth {truth:.3}, estimate {said:.3}, error {error:.3}", row.name)?;
    }
    let confusion =
        board.confusion.iter().map(|row| format!("{:<7} {}", format!("{}-{}", row.scenario, row.seed), row.what));
    list(out, "misses and false alarms", &confusion.collect::<Vec<_>>())?;
    list(out, "incomplete messages", &board.lacking)?;
    list(out, "targets missed", &board.missed_targets)?;
    ablations(out, &board.ablations)
}

/// A line for each ablation, then what it makes worse and better.
fn ablations(out: &mut String, rows: &[Ablation]) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let whole = |share: Option<Share>| share.map_or("-".to_owned(), interval);
    let title = "without a rule";
    writeln!(
        out,
        "\n{title:<14} {:>26} {:>26} {:>12} {:>12} {:>12}",
        "precision (95%)", "recall (95%)", "false alarms", "of healthy", "critical"
    )?;
    for row in rows {
        let critical = format!("{} of {}", row.false_criticals, row.criticals);
        writeln!(
            out,
            "{:<14} {:>26} {:>26} {:>12} {:>12} {critical:>12}",
            row.name,
            whole(row.precision),
            whole(row.recall),
            row.false_alarms,
            row.false_alarms_healthy
        )?;
    }
    for row in rows.iter().filter(|row| !row.more.is_empty() || !row.fewer.is_empty()) {
        list(out, &format!("{}: {}; worse", row.name, row.instead), &row.more)?;
        list(out, &format!("{}: better", row.name), &row.fewer)?;
    }
    Ok(())
}

fn list(out: &mut String, title: &str, lines: &[String]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    for line in lines.iter().take(MOST) {
        writeln!(out, "  {line}")?;
    }
    match lines.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

fn interval(share: Share) -> String {
    let Share { hits, of, value, low, high } = share;
    format!("{hits}/{of} {value:.2} [{low:.2} {high:.2}]")
}

fn dash(n: usize) -> String {
    if n == 0 { "-".to_owned() } else { n.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_judged_is_said_so() {
        let text = text(&Board::of(&[]));
        assert!(text.contains("precision            nothing to judge"), "{text}");
    }
}
