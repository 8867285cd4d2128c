//! Where the time goes.

use std::fmt::Write as _;
use std::time::Duration;

/// Of the test programs, so many are shown.
const SLOWEST: usize = 10;

/// One thing that took time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) time: Duration,
    pub(super) passed: bool,
}

/// Everything that took time.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// One after the other.
    pub(super) steps: Vec<Row>,
    /// While these ran.
    pub(super) background: Vec<Row>,
    pub(super) programs: Vec<Row>,
}

impl Table {
    pub(super) fn text(&self) -> String {
        let total = self.steps.iter().map(|row| row.time).sum();
        let total = [Row { name: "total".into(), time: total, passed: true }];
        let mut slowest: Vec<&Row> = self.programs.iter().collect();
        slowest.sort_by_key(|row| std::cmp::Reverse(row.time));
        slowest.truncate(SLOWEST);
        let sections = [
            ("STEP", self.steps.iter().chain(&total).collect()),
            ("MEANWHILE", self.background.iter().collect()),
            ("SLOWEST TEST PROGRAMS", slowest),
        ];
        let sections = sections.into_iter().filter(|(_, rows): &(_, Vec<&Row>)| !rows.is_empty());
        sections.map(|(title, rows)| section(title, &rows)).collect()
    }
}

fn section(title: &str, rows: &[&Row]) -> String {
    let mut text = format!("\n{title:<48}{:>10}\n", "SECONDS");
    for Row { name, time, passed } in rows {
        let failed = if *passed { "" } else { "  FAILED" };
        let _ = writeln!(text, "{name:<48}{:>10.1}{failed}", time.as_secs_f64());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, seconds: u64, passed: bool) -> Row {
        Row { name: name.into(), time: Duration::from_secs(seconds), passed }
    }

    #[test]
    fn it_marks_what_failed_and_sums_up() {
        let table = Table { steps: vec![row("tidy", 1, true), row("lints", 71, false)], ..Table::default() };
        let expected = [
            "",
            "STEP                                               SECONDS",
            "tidy                                                   1.0",
            "lints                                                 71.0  FAILED",
            "total                                                 72.0",
            "",
        ];
        assert_eq!(table.text(), expected.join("\n"));
    }

    #[test]
    fn the_slowest_programs_are_shown() {
        let programs = (0..20).map(|n| row(&format!("p{n}"), n, true)).collect();
        let text = Table { programs, ..Table::default() }.text();
        assert!(text.contains("p19") && text.contains("p10") && !text.contains("p9"), "{text}");
        assert!(text.find("p19") < text.find("p10"), "{text}");
    }
}
