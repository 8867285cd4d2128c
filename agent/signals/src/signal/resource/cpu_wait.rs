//! Q6: a process's threads are ready to run and get no processor.
//!
//! It raises when they wait for half a second or more each second, together, and for 30% or more of the time in which they
//! could run. It pages when callers of the service wait half as long again. Who ran most meanwhile is said with it, as far
//! as it has edges too.
//!
//! Where it is blind: processes without edges, as the culprit too; threads beyond 2,000; a process that is throttled waits
//! as well, and `cpu_throttled` says so.

use crate::{
    evaluate::{Evaluator, Judge},
    facts::{
        answers::Answers,
        owners::{Known, Owners},
    },
    finding::Finding,
    incident::{
        alarm::Rule,
        severity::{Effect, Level, Resource, Severity},
    },
    learn::baseline::Learning,
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};
use weir_engine::{HostView, ProcessView};

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "cpu_wait",
    says: "a process's threads are ready to run and get no processor",
    rule: Rule::USUAL,
    minds_changes: true,
};

/// Seconds a second that all threads wait; and of the time in which they could run.
const RAISE: f64 = 0.5;
const RAISE_SHARE: f64 = 0.3;
const CLEAR: f64 = 0.25;

/// The evaluator.
#[derive(Debug)]
pub(crate) struct CpuWait {
    answers: Answers,
}

impl CpuWait {
    /// One that takes so much to know what is normal.
    pub(crate) fn new(learning: Learning) -> Self {
        Self { answers: Answers::new(learning) }
    }
}

impl Evaluator for CpuWait {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.answers.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let snapshot = window.snapshot;
        let processes = &snapshot.host.processes;
        if processes.is_empty() {
            return;
        }
        self.answers.gather(window);
        let owners = window.owners();
        let mut states = Vec::new();
        for process in processes.iter().filter(|process| process.over_ns > 0) {
            let Some(known) = owners.get(process.last.pid) else { continue };
            let service = known.service();
            let reading = Reading {
                wait: rate(process.run_delay_ns, process),
                run: rate(process.on_cpu_ns, process),
                threads: process.last.threads,
                over_ns: process.over_ns,
                felt: self.answers.felt(&service),
                neighbour: neighbour(process, &snapshot.host, owners),
            };
            let unit = Subject::process(service.clone(), process.last.pid);
            let state = judge.judge(&unit, reading.finding(), Trust::Unchecked, || report(&unit, known, &reading));
            states.push((service, state));
        }
        self.answers.learn(&states);
    }
}

/// Seconds a second.
fn rate(ns: u64, process: &ProcessView) -> f64 {
    ns as f64 / process.over_ns.max(1) as f64
}

/// Somebody else who ran: a process with edges, or those of one name.
#[derive(Debug)]
struct Neighbour {
    name: String,
    /// Seconds a second.
    run: f64,
}

/// Who ran most beside this process. Of those without edges the poll tells while somebody waits.
fn neighbour(process: &ProcessView, host: &HostView, owners: &Owners<'_>) -> Option<Neighbour> {
    let own = process.last.pid;
    let with_edges = host.processes.iter().filter(|other| other.last.pid != own && other.over_ns > 0);
    let with_edges = with_edges.max_by_key(|other| other.on_cpu_ns).and_then(|other| {
        let name = owners.get(other.last.pid)?.place().to_string();
        Some(Neighbour { name, run: rate(other.on_cpu_ns, other) })
    });
    let of_all = host.busiest.as_ref().and_then(|poll| {
        let other = poll.busiest.iter().find(|busy| busy.pid != own)?;
        let place = owners
            .get(other.pid)
            .map_or_else(|| Place::Process { name: other.comm.to_string(), pid: other.pid }, Known::place);
        let name = match other.processes {
            0 | 1 => place.to_string(),
            n => format!("{place} and {} more of that name", n - 1),
        };
        Some(Neighbour { name, run: other.ran_ns as f64 / poll.over_ns.max(1) as f64 })
    });
    with_edges.into_iter().chain(of_all).max_by(|a, b| a.run.total_cmp(&b.run))
}

/// A process's threads in a window.
#[derive(Debug)]
struct Reading {
    wait: f64,
    run: f64,
    threads: (u32, u32),
    over_ns: u64,
    felt: bool,
    /// Who else ran most.
    neighbour: Option<Neighbour>,
}

impl Reading {
    fn share(&self) -> f64 {
        let ready = self.wait + self.run;
        if ready > 0.0 { self.wait / ready } else { 0.0 }
    }

    fn finding(&self) -> Finding {
        if self.wait >= RAISE && self.share() >= RAISE_SHARE {
            let effect = self.felt.then_some(Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Queue), effect));
        }
        if self.threads.0 < self.threads.1 {
            // Those that found no time or room in the poll may wait.
            return Finding::NoData;
        }
        if self.wait < CLEAR || self.share() < RAISE_SHARE / 2.0 { Finding::Clear } else { Finding::Between }
    }

    /// Somebody else runs more than the process itself.
    fn class(&self) -> &'static str {
        if self.culprit().is_some() { "neighbour" } else { "own threads" }
    }

    fn culprit(&self) -> Option<&Neighbour> {
        self.neighbour.as_ref().filter(|neighbour| neighbour.run > self.run)
    }
}

fn report(unit: &Subject, known: &Known<'_>, reading: &Reading) -> Result<Report, Defect> {
    let n = u64::from(reading.threads.0).max(1);
    let evidence = |name, value: f64, measure, compared| {
        Evidence::new(name, Quantity::new(value, measure)?, compared, reading.over_ns, n)
    };
    let wait = evidence("waiting for a processor", reading.wait, Measure::Rate("s/s"), Some(Compared::AtMost(RAISE)))?;
    let share =
        evidence("of the time ready to run", reading.share(), Measure::Ratio, Some(Compared::AtMost(RAISE_SHARE)))?;
    let run = evidence("running", reading.run, Measure::Rate("s/s"), None)?;
    let what = What::new(&share, "of the time in which its threads could run, they waited for a processor")?;
    let why =
        Why::new(Quantity::new(reading.wait, Measure::Rate("s/s"))?, "are lost to its requests, all threads together")?;
    let place = Where::new("threads and neighbours of", &known.place(), &format!("top -H -p {}", known.pid()))?;
    let sure = Confidence::new(if reading.class() == "neighbour" { 0.7 } else { 0.6 })?;
    let suspect = match reading.culprit() {
        Some(neighbour) => neighbour.name.clone(),
        None => unit.callee().unwrap_or_else(|| unit.to_string()),
    };
    let run_by = reading.neighbour.as_ref().map_or(0.0, |neighbour| neighbour.run);
    let run_by = Quantity::new(run_by, Measure::Rate("s/s"))?;
    let not = RuledOut::new("an idle process", Quantity::new(reading.run, Measure::Rate("s/s"))?, "it ran")?;
    let report = Report::new(
        Some(reading.class()),
        what,
        place,
        why,
        [wait, share, run],
        Origin::new(&suspect, sure)?,
        not,
        Confidence::new(0.9)?,
    )?;
    Ok(report.with_evidence(Evidence::new("the busiest other process ran", run_by, None, reading.over_ns, n)?))
}

#[cfg(test)]
mod tests;
