//! A process's threads are ready to run and get no processor.
//!
//! It raises when they wait for half a second or more each second, together, and for 30% or more of the time in which they
//! could run. It pages when callers of the service wait half as long again. What ran most meanwhile is named, with or without
//! edges.
//!
//! Where it is blind: neighbours that live for less than five seconds; threads beyond 2,000; a process that is throttled
//! waits as well, and `cpu_throttled` says so.

use std::borrow::Cow;

use crate::{
    facts::owners::{Owned, Owners},
    signal::prelude::*,
};
use weir_engine::{HostView, ProcessView};

/// Seconds a second that all threads wait; and of the time in which they could run. Choices: F15 in the fault lab is above
/// both, two busy loops of a hundredth of the weight (H20) are below.
const RAISE: f64 = 0.5;
const RAISE_SHARE: f64 = 0.3;
const CLEAR: f64 = 0.25;

classes! {
    /// What has the processors.
    enum Class {
        /// Another process runs more than the one that waits.
        Neighbour = "neighbour",
        /// None does.
        OwnThreads = "own threads",
    }
}

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct CpuWait;

impl Detector for CpuWait {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Processes, of which 512 are polled.
    const LIMIT: usize = 1024;

    /// Nothing.
    type Memory = ();
    type Input<'f> = (&'f ProcessView, &'f Owned<'f>);
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<()>) -> Inputs<'f, Self::Input<'f>> {
        let processes = facts.snapshot.host.processes.iter().filter(|process| process.over_ns > 0);
        let owned = processes.filter_map(|process| Some((process, facts.owners.get(process.last.pid)?)));
        owned.map(|input| (Cow::Owned(Subject::process(input.1.service(), input.1.pid())), input)).collect()
    }

    fn read<'f>(&self, (process, owned): Self::Input<'f>, _: &mut (), facts: &'f Facts<'f>) -> Option<Reading<'f>> {
        Some(Reading {
            owned,
            wait: rate(process.run_delay_ns, process),
            run: rate(process.on_cpu_ns, process),
            threads: process.last.threads,
            over_ns: process.over_ns,
            is_degraded: facts.latency.is_degraded(&owned.service()),
            neighbour: neighbour(process, &facts.snapshot.host, &facts.owners),
        })
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, _: u64) -> Result<Report, Defect> {
        report(subject, reading)
    }
}

/// Seconds a second.
fn rate(ns: u64, process: &ProcessView) -> f64 {
    ns as f64 / process.over_ns.max(1) as f64
}

/// Another that ran: a process with edges, or those of one name.
#[derive(Debug)]
struct Neighbour {
    name: String,
    /// Seconds a second.
    run: f64,
}

/// What ran most beside this process. Those without edges are polled only while threads wait.
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
            .map_or_else(|| Place::Process { name: other.comm.to_string(), pid: other.pid }, Owned::place);
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
pub(crate) struct Reading<'f> {
    owned: &'f Owned<'f>,
    wait: f64,
    run: f64,
    /// Polled, and all that there are.
    threads: (u32, u32),
    over_ns: u64,
    /// Callers of its service notice.
    is_degraded: bool,
    /// What else ran most.
    neighbour: Option<Neighbour>,
}

impl Reading<'_> {
    fn share(&self) -> f64 {
        let ready = self.wait + self.run;
        if ready > 0.0 { self.wait / ready } else { 0.0 }
    }

    fn finding(&self) -> Finding {
        if self.wait >= RAISE && self.share() >= RAISE_SHARE {
            let effect = self.is_degraded.then_some(Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Queue), effect));
        }
        if self.threads.0 < self.threads.1 {
            // Those that the poll had no time for may wait.
            return Finding::NoData;
        }
        if self.wait < CLEAR || self.share() < RAISE_SHARE / 2.0 { Finding::Clear } else { Finding::Between }
    }

    fn class(&self) -> Class {
        if self.culprit().is_some() { Class::Neighbour } else { Class::OwnThreads }
    }

    fn culprit(&self) -> Option<&Neighbour> {
        self.neighbour.as_ref().filter(|neighbour| neighbour.run > self.run)
    }
}

fn report(subject: &Subject, reading: &Reading<'_>) -> Result<Report, Defect> {
    let sample = Sample { window_ns: reading.over_ns, n: u64::from(reading.threads.0).max(1) };
    let per_s = Measure::Rate("s/s");
    let wait = sample.at_most("waiting for a processor", reading.wait, per_s, RAISE)?;
    let share = sample.at_most("of the time ready to run", reading.share(), Measure::Ratio, RAISE_SHARE)?;
    let run = sample.evidence("running", reading.run, per_s)?;
    let other = reading.neighbour.as_ref().map_or(0.0, |neighbour| neighbour.run);
    let suspect = reading.culprit().map_or_else(|| callee(subject), |neighbour| neighbour.name.clone());
    let sure = if reading.class() == Class::Neighbour { 0.7 } else { 0.6 };
    let (place, command) = (reading.owned.place(), format!("top -H -p {}", reading.owned.pid()));
    Parts {
        class: Some(reading.class().name()),
        what: What::new(&share, "of the time in which its threads could run, they waited for a processor")?,
        place: Where::new("threads and neighbours of", &place, &command)?,
        why: Why::new(wait.quantity(), "are lost to its requests, all threads together")?,
        more: vec![sample.evidence("the busiest other process ran", other, per_s)?],
        origin: Origin::new(&suspect, Confidence::new(sure)?)?,
        ruled_out: vec![RuledOut::new("an idle process", run.quantity(), "of processor time used")?],
        evidence: [wait, share, run],
        confidence: 0.9,
    }
    .report()
}

#[cfg(test)]
mod tests;
