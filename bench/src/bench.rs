//! Rounds: every subject once, in an order that rotates, against the runs of the same round with nothing attached.

mod sample;

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    machine::Machine,
    measure::process::{cpu_ns, rss_bytes},
    results::{Cell, Exact, ProgramRuns, Results, RowResult},
    site::Site,
    statistics::Spread,
    subject::{SUBJECTS, Subject, foreign, weir::Mode},
    workload::{Row, Run, Workload},
};
use sample::{Sample, cell, compare, programs};

/// Long enough for several readings.
const READING_SPAN: Duration = Duration::from_secs(4);
const READING_SPANS: u32 = 3;

/// What to measure.
pub(crate) struct Plan {
    /// The workloads.
    pub(crate) rows: Vec<&'static Row>,
    /// The subjects; `nothing` and `again` are always among them.
    pub(crate) subjects: Vec<Subject>,
    /// Rounds, if not each row's own.
    pub(crate) pairs: Option<usize>,
}

impl Plan {
    /// No rows.
    pub(crate) fn none() -> Self {
        Self { rows: Vec::new(), subjects: Vec::new(), pairs: None }
    }

    /// Subjects of a row: tools only where they see the same events.
    fn subjects_of(&self, row: &Row) -> Vec<Subject> {
        let wanted = |subject: &Subject| match subject {
            Subject::Nothing | Subject::Again => true,
            Subject::Tool(tool) => row.tools.contains(tool) && self.subjects.contains(subject),
            _ => self.subjects.contains(subject),
        };
        SUBJECTS.into_iter().filter(wanted).collect()
    }

    fn pairs_of(&self, row: &Row) -> usize {
        self.pairs.unwrap_or(row.pairs)
    }
}

/// Runs the plan.
///
/// # Errors
/// When other BPF programs observe the kernel, or weir or a workload fails.
pub(crate) fn run(plan: &Plan, site: &Rc<Site>) -> Result<Results> {
    foreign::wait_until_none()?;
    let expected = plan.rows.iter().map(|row| row.seconds * (plan.pairs_of(row) * plan.subjects_of(row).len()) as f64);
    let mut progress = Progress { began: Instant::now(), done: 0.0, expected: expected.sum() };
    let mut rows = Vec::new();
    for row in &plan.rows {
        rows.push(run_row(plan, row, site, &mut progress).with_context(|| format!("row {}", row.name))?);
    }
    Ok(Results { machine: Machine::here(), rows, scaling: None })
}

fn run_row(plan: &Plan, row: &Row, site: &Rc<Site>, progress: &mut Progress) -> Result<RowResult> {
    let mut workload = match (row.open)(site) {
        Ok(workload) => workload,
        Err(error) => {
            eprintln!("{}: not measured: {error:#}", row.name);
            return Ok(empty(row, &format!("{error:#}")));
        }
    };
    let subjects = plan.subjects_of(row);
    let pairs = plan.pairs_of(row);
    // A server's first run does some work only once, which is no cost of any subject.
    workload.run()?;
    let mut columns: Vec<Column> = subjects.iter().map(|subject| Column::new(*subject)).collect();
    for round in 0..pairs {
        let mut bracket = None;
        for place in 0..columns.len() {
            let index = turn(round, place, columns.len());
            let column = &mut columns[index];
            progress.show(row, column.subject, round, pairs);
            if row.bracketed && column.subject != Subject::Nothing {
                bracket = Some(column.measure_between(workload.as_mut(), bracket)?);
            } else {
                column.measure(workload.as_mut())?;
            }
        }
        if !row.bracketed {
            refer(&mut columns);
        }
    }
    let exact = columns.iter().find(|column| column.subject == Subject::Weir).and_then(Column::exact);
    let mut cells: Vec<Cell> = columns.iter().map(Column::cell).collect();
    if let (true, Some(cell)) = (row.reads, cells.iter_mut().find(|cell| cell.subject == Subject::Weir.name())) {
        (cell.agent_cpu_share, cell.agent_rss_bytes) = reading(workload.as_mut())?;
    }
    let programs = if subjects.contains(&Subject::Weir) { timed(workload.as_mut())? } else { Vec::new() };
    Ok(RowResult {
        name: row.name.into(),
        unit: row.unit.into(),
        what: row.what.into(),
        pairs,
        cells,
        programs,
        exact,
        not_measured: None,
    })
}

/// The order of subjects in a round: each round begins with another subject and reverses the order, so that no subject always
/// follows the same one.
fn turn(round: usize, place: usize, subjects: usize) -> usize {
    let place = if round.is_multiple_of(2) { place } else { subjects - 1 - place };
    (round / 2 + place) % subjects
}

fn empty(row: &Row, reason: &str) -> RowResult {
    RowResult {
        name: row.name.into(),
        unit: row.unit.into(),
        what: row.what.into(),
        pairs: 0,
        cells: Vec::new(),
        programs: Vec::new(),
        exact: None,
        not_measured: Some(reason.into()),
    }
}

/// Compares the samples of the last round with the round's two runs with nothing attached, and these with each other.
fn refer(columns: &mut [Column]) {
    let last = |columns: &[Column], wanted| {
        columns.iter().find(|column| column.subject == wanted).and_then(|column| Some(column.samples.last()?.run))
    };
    let (nothing, again) = (last(columns, Subject::Nothing), last(columns, Subject::Again));
    for column in columns {
        let references = match column.subject {
            Subject::Nothing => [again, None],
            Subject::Again => [nothing, None],
            _ => [nothing, again],
        };
        if let Some(sample) = column.samples.last_mut() {
            sample.references = references.into_iter().flatten().collect();
        }
    }
}

/// The agent's share of a core and resident memory with a reading every second, in a run of its own: a run of a second holds one
/// reading or none, and several in a row hold as many as seconds.
fn reading(workload: &mut dyn Workload) -> Result<(Option<Spread>, Option<u64>)> {
    let running = Subject::Weir.start(Mode::EverySecond)?;
    let pid = running.pid().context("weir is a process")?;
    let mut shares = Vec::new();
    let mut resident = None;
    for _ in 0..READING_SPANS {
        let (start, before) = (Instant::now(), cpu_ns(pid).context("weir has ended")?);
        while start.elapsed() < READING_SPAN {
            workload.run()?;
        }
        let used = cpu_ns(pid).context("weir has ended")? - before;
        shares.push(used as f64 / start.elapsed().as_nanos() as f64);
        resident = resident.max(rss_bytes(pid));
    }
    running.stop()?;
    Ok((Spread::of(shares), resident))
}

/// One run in which the kernel times weir's programs, apart from the others because timing costs too.
fn timed(workload: &mut dyn Workload) -> Result<Vec<ProgramRuns>> {
    let running = Subject::Weir.start(Mode::Timed)?;
    let run = workload.run()?;
    Ok(programs(&running.stop()?, run.units))
}

/// One subject's runs, one a round.
struct Column {
    subject: Subject,
    samples: Vec<Sample>,
    not_measured: Option<String>,
}

impl Column {
    fn new(subject: Subject) -> Self {
        Self { subject, samples: Vec::new(), not_measured: None }
    }

    fn measure(&mut self, workload: &mut dyn Workload) -> Result<()> {
        if self.not_measured.is_some() {
            return Ok(());
        }
        let running = match self.subject.start(Mode::Once) {
            Ok(running) => running,
            // A tool that cannot run here is a column without numbers.
            Err(error) if matches!(self.subject, Subject::Tool(_)) => {
                self.not_measured = Some(format!("{error:#}"));
                return foreign::wait_until_none();
            }
            Err(error) => return Err(error.context(self.subject.name())),
        };
        self.samples.push(Sample::take(running, workload)?);
        Ok(())
    }

    /// Measures between two runs of nothing; the first may be the one that followed the previous subject.
    fn measure_between(&mut self, workload: &mut dyn Workload, before: Option<Run>) -> Result<Run> {
        let before = before.map_or_else(|| workload.run(), Ok)?;
        let count = self.samples.len();
        self.measure(workload)?;
        let after = workload.run()?;
        if let Some(sample) = self.samples.get_mut(count) {
            sample.references = vec![before, after];
        }
        Ok(after)
    }

    fn cell(&self) -> Cell {
        match &self.not_measured {
            Some(reason) => {
                Cell { subject: self.subject.name().into(), not_measured: Some(reason.clone()), ..Cell::default() }
            }
            None => cell(self.subject, &self.samples),
        }
    }

    fn exact(&self) -> Option<Exact> {
        let mut compared = self.samples.iter().filter_map(compare);
        let first = compared.next()?;
        Some(compared.fold(first, Exact::and))
    }
}

/// What is being done, and how long the rest will take, on stderr.
struct Progress {
    began: Instant,
    /// Seconds that the runs so far were expected to take.
    done: f64,
    /// Seconds that all are.
    expected: f64,
}

impl Progress {
    fn show(&mut self, row: &Row, subject: Subject, round: usize, rounds: usize) {
        // The machine's pace is that of the runs done.
        let pace = if self.done > 0.0 { self.began.elapsed().as_secs_f64() / self.done } else { 1.0 };
        let left = minutes(Duration::from_secs_f64((self.expected - self.done).max(0.0) * pace));
        eprintln!("{} {}/{rounds}: {}, {left} left", row.name, round + 1, subject.name());
        self.done += row.seconds;
    }
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Refuses to run where nothing could be measured.
pub(crate) fn check_root() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "root is needed to load programs: run `cargo xtask bench`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_every_subject_once() {
        for round in 0..10 {
            let mut turns: Vec<usize> = (0..5).map(|place| turn(round, place, 5)).collect();
            turns.sort_unstable();
            assert_eq!(turns, [0, 1, 2, 3, 4]);
        }
        let order = |round| [0, 1, 2].map(|place| turn(round, place, 3));
        assert_eq!([order(0), order(1), order(2)], [[0, 1, 2], [2, 1, 0], [1, 2, 0]]);
    }
}
