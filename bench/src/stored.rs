//! Stored results: the machine-readable file, the document and its plots, and the comparison with them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    report::{markdown, plot},
    results::{Results, RowResult},
    statistics::Spread,
};

/// The ratio of `pair` has no range of its own: medians of medians repeat within this share.
const OVER_FLOOR_TOLERANCE: f64 = 0.15;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn file() -> PathBuf {
    root().join("bench/results.json")
}

/// What is stored.
pub(crate) fn read() -> Result<Results> {
    let text = fs::read_to_string(file()).context("bench/results.json: nothing is stored; `--write` stores it")?;
    serde_json::from_str(&text).context("bench/results.json")
}

/// Writes results to `path`.
pub(crate) fn write_json(path: &Path, results: &Results) -> Result<()> {
    let text = serde_json::to_string_pretty(results).context("results as JSON")?;
    fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
}

/// Replaces the stored results of the same rows, and rewrites the document and its plots.
pub(crate) fn write(results: Results) -> Result<()> {
    let results = match read() {
        // Rows of two machines are not one table.
        Ok(stored) if stored.machine == results.machine => merge(stored, results),
        _ => results,
    };
    write_json(&file(), &results)?;
    draw(&results)
}

/// The document from what is stored.
pub(crate) fn redraw() -> Result<()> {
    draw(&read()?)
}

fn draw(results: &Results) -> Result<()> {
    let document = root().join("docs/performance.md");
    let text = fs::read_to_string(&document).context("docs/performance.md")?;
    fs::write(&document, markdown::update(&text, results)?).context("write docs/performance.md")?;
    let plots = root().join("docs/performance");
    fs::create_dir_all(&plots).context("create docs/performance")?;
    for (name, svg) in plot::all(results) {
        fs::write(plots.join(name), svg).with_context(|| format!("write docs/performance/{name}"))?;
    }
    Ok(())
}

/// New rows in the place of old ones.
fn merge(mut stored: Results, new: Results) -> Results {
    for row in new.rows {
        match stored.rows.iter_mut().find(|old| old.name == row.name) {
            Some(old) => *old = row,
            None => stored.rows.push(row),
        }
    }
    let scaling = new.scaling.or(stored.scaling);
    Results { scaling, ..stored }
}

/// What is worse than stored, one sentence each.
///
/// A median is worse when it lies outside the stored range by more than the row's resolution: the greatest difference
/// that the stored runs of nothing had among themselves.
pub(crate) fn worse(stored: &Results, now: &Results) -> Vec<String> {
    let both = now.rows.iter().filter_map(|row| Some((stored.row(&row.name)?, row)));
    both.flat_map(|(stored, now)| worse_row(stored, now)).collect()
}

fn worse_row(stored: &RowResult, now: &RowResult) -> Vec<String> {
    let mut sentences = Vec::new();
    let name = &now.name;
    let both = |of: &dyn Fn(&RowResult) -> Option<Spread>| Some((of(stored)?, of(now)?));
    let resolution = |of: &dyn Fn(&RowResult) -> Option<Spread>, neutral: f64| {
        of(stored).map_or(0.0, |again| (again.min - neutral).abs().max((again.max - neutral).abs()))
    };
    if let Some((old, new)) = both(&|row| row.cell("weir")?.rate_ratio) {
        let limit = old.min - resolution(&|row| row.cell("again")?.rate_ratio, 1.0);
        if new.median < limit {
            sentences.push(format!("{name}: throughput ratio {:.3}, less than {limit:.3}", new.median));
        }
    }
    if let Some((old, new)) = both(&|row| row.cell("weir")?.added_cpu_ns) {
        let limit = old.max + resolution(&|row| row.cell("again")?.added_cpu_ns, 0.0);
        if new.median > limit {
            sentences.push(format!("{name}: {:.0} ns added CPU per {}, more than {limit:.0}", new.median, now.unit));
        }
    }
    // In other rows floors are within the noise, and a ratio of noise means nothing.
    if let (true, Some(old), Some(new)) = (name == "pair", stored.over("floor_empty"), now.over("floor_empty")) {
        let limit = old * (1.0 + OVER_FLOOR_TOLERANCE);
        if new > limit {
            sentences.push(format!("{name}: {new:.2} times the empty programs, more than {limit:.2}"));
        }
    }
    if let Some(exact) = now.exact.as_ref().filter(|exact| exact.equal < exact.runs) {
        sentences.push(format!("{name}: counts differ in {} of {} runs", exact.runs - exact.equal, exact.runs));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Cell, fixture};

    fn weir(results: &mut Results) -> &mut Cell {
        results.rows[0].cells.iter_mut().find(|cell| cell.subject == "weir").expect("weir is a subject")
    }

    #[test]
    fn what_is_stored_is_not_worse_than_itself() {
        assert_eq!(worse(&fixture::results(), &fixture::results()), Vec::<String>::new());
    }

    #[test]
    fn a_ratio_below_the_stored_range_and_resolution_is_worse() {
        let mut now = fixture::results();
        weir(&mut now).rate_ratio = Spread::of([0.80]);
        weir(&mut now).added_cpu_ns = Spread::of([2000.0]);
        let worse = worse(&fixture::results(), &now);
        assert_eq!(worse.len(), 3, "{worse:?}");
        assert!(worse[0].starts_with("pair: throughput ratio 0.800, less than "), "{}", worse[0]);
        assert!(worse[1].starts_with("pair: 2000 ns added CPU per pair, more than "), "{}", worse[1]);
        assert!(worse[2].starts_with("pair: 20.00 times the empty programs, more than "), "{}", worse[2]);
    }

    #[test]
    fn new_rows_take_the_place_of_old_ones() {
        let mut new = fixture::results();
        new.rows[0].pairs = 99;
        let mut other = new.rows[0].clone();
        other.name = "other".into();
        new.rows.push(other);
        let merged = merge(fixture::results(), new);
        assert_eq!(merged.rows.len(), 2);
        assert_eq!(merged.rows[0].pairs, 99);
    }

    #[test]
    fn stored_results_keep_their_shape() {
        let text = serde_json::to_string(&fixture::results()).expect("results as JSON");
        let again: Results = serde_json::from_str(&text).expect("as they were written");
        assert_eq!(serde_json::to_string(&again).expect("results as JSON"), text);
    }
}
