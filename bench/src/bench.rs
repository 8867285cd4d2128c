//! Rounds: every subject once, in an order that rotates, against the runs of the same round with nothing attached.

mod sample;

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    lab::Lab,
    machine::Machine,
    results::{Cell, Exact, ProgramRuns, Results, RowResult},
    subject::{SUBJECTS, Subject, foreign, weir::Mode},
    workload::{Row, Workload},
};
use sample::{Sample, cell, compare, programs};

/// What to measure.
pub(crate) struct Plan {
    /// The workloads.
    pub(crate) rows: Vec<&'static Row>,
    /// The subjects; nothing and nothing again always are among them.
    pub(crate) subjects: Vec<Subject>,
    /// Rounds, if not each row's own.
    pub(crate) pairs: Option<usize>,
}

impl Plan {
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
pub(crate) fn run(plan: &Plan, lab: &Rc<Lab>) -> Result<Results> {
    foreign::wait_until_none()?;
    let runs = plan.rows.iter().map(|row| plan.pairs_of(row) * plan.subjects_of(row).len()).sum();
    let mut progress = Progress { began: Instant::now(), done: 0, runs };
    let mut rows = Vec::new();
    for row in &plan.rows {
        rows.push(run_row(plan, row, lab, &mut progress).with_context(|| format!("row {}", row.name))?);
    }
    Ok(Results { machine: Machine::here(), rows })
}

fn run_row(plan: &Plan, row: &Row, lab: &Rc<Lab>, progress: &mut Progress) -> Result<RowResult> {
    let mut workload = match (row.open)(lab) {
        Ok(workload) => workload,
        Err(error) => {
            eprintln!("{}: not measured: {error:#}", row.name);
            return Ok(empty(row, &format!("{error:#}")));
        }
    };
    let subjects = plan.subjects_of(row);
    let pairs = plan.pairs_of(row);
    // What the first run of a server does only once is nobody's cost.
    workload.run()?;
    let mut columns: Vec<Column> = subjects.iter().map(|subject| Column::new(*subject)).collect();
    for round in 0..pairs {
        for place in 0..columns.len() {
            let index = (round + place) % columns.len();
            let column = &mut columns[index];
            progress.show(row.name, column.subject, round, pairs);
            column.measure(row.mode, workload.as_mut())?;
        }
    }
    let exact = columns.iter().find(|column| column.subject == Subject::Weir).and_then(Column::exact);
    let programs = if subjects.contains(&Subject::Weir) { timed(workload.as_mut())? } else { Vec::new() };
    Ok(RowResult {
        name: row.name.into(),
        unit: row.unit.into(),
        what: row.what.into(),
        pairs,
        cells: cells(&columns),
        programs,
        exact,
        not_measured: None,
    })
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

fn cells(columns: &[Column]) -> Vec<Cell> {
    let of = |subject| columns.iter().find(|column| column.subject == subject).map_or(&[][..], |c| &c.samples);
    let (nothing, again) = (of(Subject::Nothing), of(Subject::Again));
    columns
        .iter()
        .map(|column| match &column.not_measured {
            Some(reason) => Cell {
                subject: column.subject.name().into(),
                not_measured: Some(reason.clone()),
                ..Cell::default()
            },
            None => cell(column.subject, &column.samples, nothing, again),
        })
        .collect()
}

/// One run in which the kernel times weir's programs: apart, because that makes every run dearer.
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

    fn measure(&mut self, mode: Mode, workload: &mut dyn Workload) -> Result<()> {
        if self.not_measured.is_some() {
            return Ok(());
        }
        let running = match self.subject.start(mode) {
            Ok(running) => running,
            // What others' tools need is theirs to have.
            Err(error) if matches!(self.subject, Subject::Tool(_)) => {
                self.not_measured = Some(format!("{error:#}"));
                return foreign::wait_until_none();
            }
            Err(error) => return Err(error.context(self.subject.name())),
        };
        let sample = Sample::take(running, workload)?;
        self.samples.push(sample);
        Ok(())
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
    done: usize,
    runs: usize,
}

impl Progress {
    fn show(&mut self, row: &str, subject: Subject, round: usize, rounds: usize) {
        let left = match self.done {
            0 => String::new(),
            done => {
                let each = self.began.elapsed() / done as u32;
                format!(", {} left", minutes(each * (self.runs - done) as u32))
            }
        };
        eprintln!("{row} {}/{rounds}: {}{left}", round + 1, subject.name());
        self.done += 1;
    }
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Refuses what would not be measured.
pub(crate) fn check_root() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "root is needed to load programs: run `cargo xtask bench`");
    Ok(())
}
