//! R2: a process has no descriptor left, or soon will not have.
//!
//! Each connection, file and pipe takes a descriptor, of which a process may have `RLIMIT_NOFILE`. Without one, `accept`,
//! `socket` and `open` fail with EMFILE: connections stay in the accept queue, and many servers spin on it.
//!
//! It warns when 85% are open in two of three windows, or when 60% are and the trend of the last minutes reaches the limit
//! within an hour (`forecast.rs`). It pages when 99% are and connections wait in a queue of the process that never empties.
//!
//! Where it is blind: between two polls, five seconds apart; the errors themselves (EMFILE) are not counted yet, nor is the
//! host's own limit (ENFILE).

use std::collections::BTreeSet;

use crate::{
    evaluate::{Evaluator, Judge},
    facts::owners::Known,
    finding::Finding,
    incident::{
        alarm::Rule,
        severity::{Effect, Level, Resource, Severity},
    },
    learn::{
        forecast::{Exhaustion, Forecast},
        subjects::Subjects,
    },
    report::{
        Report,
        contract::{Confidence, Defect, Origin, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
    table::{Signal, class},
    trust::Trust,
    window::Window,
};
use weir_engine::{HostView, ListenerView, ProcessView, Snapshot};

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "fds_exhausted",
    says: "a process has no descriptor left for connections and files, or soon will not have",
    rule: Rule::USUAL,
    minds_changes: false,
};

/// Processes remembered, 200 bytes each; of more the first ones.
const MAX_PROCESSES: usize = 1024;
/// Shares of the limit: to warn, to be over, and as good as none left.
const NEAR: f64 = 0.85;
const CLEAR: f64 = 0.75;
const NONE_LEFT: f64 = 0.99;

/// The evaluator.
#[derive(Debug)]
pub(crate) struct FdsExhausted {
    processes: Subjects<Forecast>,
}

impl Default for FdsExhausted {
    fn default() -> Self {
        Self { processes: Subjects::up_to(MAX_PROCESSES) }
    }
}

impl Evaluator for FdsExhausted {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.processes.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let snapshot = window.snapshot;
        let now_ns = window.at.monotonic_ns;
        if snapshot.host.processes.is_empty() {
            return;
        }
        self.processes.begin(now_ns);
        let owners = window.owners();
        for process in &snapshot.host.processes {
            let (Some(used), Some(limit)) = (process.last.fds, process.last.fds_limit.filter(|limit| *limit > 0))
            else {
                continue;
            };
            let Some(known) = owners.get(process.last.pid) else { continue };
            let unit = Subject::process(known.service(), process.last.pid);
            let forecast = self.processes.entry(unit.clone(), |_| ());
            let ahead = forecast.and_then(|forecast| forecast.take(now_ns, used as f64, limit as f64));
            let share = used as f64 / limit as f64;
            let waiting = if share >= NEAR { waiting(&snapshot.host, snapshot, process) } else { None };
            let reading = Reading { used, limit, ahead, waiting };
            judge.judge(&unit, reading.finding(), Trust::Unchecked, || {
                report(&unit, known, &reading, connections(snapshot, process.last.pid), snapshot.window_ns)
            });
        }
    }
}

/// A listener of the process that was never empty.
fn waiting<'a>(host: &'a HostView, snapshot: &Snapshot, process: &ProcessView) -> Option<&'a ListenerView> {
    let namespace = host.namespaces.iter().find(|namespace| namespace.netns == process.last.netns)?;
    let pid = process.last.pid;
    let served: BTreeSet<u16> = snapshot
        .edges
        .iter()
        .filter(|edge| edge.server_processes.iter().any(|share| share.process.pid == pid))
        .filter_map(|edge| edge.server.port)
        .collect();
    let is_its = |listener: &&ListenerView| match &listener.last.owner {
        Some(owner) => owner.pid == pid,
        None => served.contains(&listener.last.address.port()),
    };
    let waiting = namespace.listeners.iter().filter(|listener| listener.least > 0);
    waiting.filter(is_its).max_by_key(|listener| listener.least)
}

/// Connections of the process that are open on its edges.
fn connections(snapshot: &Snapshot, pid: u32) -> u64 {
    snapshot.edges.iter().fold(0u64, |sum, edge| {
        let is_client = edge.client.process.as_ref().is_ok_and(|process| process.pid == pid);
        let made = edge.client_view.as_ref().map_or(0, |view| if is_client { view.open_connections } else { 0 });
        let shares = edge.server_processes.iter().filter(|share| share.process.pid == pid);
        let taken = shares.fold(0u64, |sum, share| sum.saturating_add(share.open_connections));
        sum.saturating_add(made).saturating_add(taken)
    })
}

/// A process's descriptors in a window.
#[derive(Debug)]
struct Reading<'a> {
    used: u64,
    limit: u64,
    ahead: Option<Exhaustion>,
    waiting: Option<&'a ListenerView>,
}

impl Reading<'_> {
    fn share(&self) -> f64 {
        // One more than the limit is a descriptor that was just being made.
        (self.used as f64 / self.limit as f64).min(1.0)
    }

    fn is_due(&self) -> bool {
        self.ahead.is_some_and(|ahead| ahead.is_due)
    }

    fn class(&self) -> &'static str {
        match self.share() {
            share if share >= NONE_LEFT => class::FDS_NONE_LEFT,
            share if share >= NEAR => "near",
            _ => "growing",
        }
    }

    fn finding(&self) -> Finding {
        let share = self.share();
        if share >= NONE_LEFT {
            let effect = self.waiting.map(|_| Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), effect));
        }
        if share >= NEAR || self.is_due() {
            return Finding::Raise(Severity::Warn);
        }
        if share < CLEAR { Finding::Clear } else { Finding::Between }
    }
}

fn report(
    unit: &Subject,
    known: &Known<'_>,
    reading: &Reading<'_>,
    connections: u64,
    window_ns: u64,
) -> Result<Report, Defect> {
    let Reading { used, limit, ahead, waiting } = reading;
    let n = (*used).max(1);
    let evidence = |name, value: f64, measure, compared| {
        Evidence::new(name, Quantity::new(value, measure)?, compared, window_ns, n)
    };
    let share = evidence("open, of the limit", reading.share(), Measure::Ratio, Some(Compared::AtMost(NEAR)))?;
    let open = evidence("open", *used as f64, Measure::Count("descriptors"), None)?;
    let left = limit.saturating_sub(*used) as f64;
    let left_evidence = evidence("left", left, Measure::Count("descriptors"), None)?;
    let what = What::new(&share, &format!("of its {limit} descriptors are open"))?;
    let due = ahead.filter(|ahead| ahead.is_due);
    let why = match (waiting, due) {
        (Some(waiting), _) => {
            let waiting = Quantity::new(f64::from(waiting.least), Measure::Count("connections"))?;
            Why::new(waiting, "or more wait all the time and are not accepted")?
        }
        (None, Some(due)) => {
            let in_s = Quantity::new(due.in_s, Measure::Seconds)?;
            Why::new(in_s, "from now none is left at this pace: then nothing is accepted, connected or opened")?
        }
        (None, None) => {
            let left = Quantity::new(left, Measure::Count("descriptors"))?;
            Why::new(left, "are left: without one, nothing is accepted, connected or opened")?
        }
    };
    let pid = known.pid();
    let place = Where::new("what is not closed in, or the limit of", &known.place(), &format!("ls -l /proc/{pid}/fd"))?;
    // What most of them are is where a leak is.
    let ruled_out = if connections.saturating_mul(2) < *used {
        let connections = Quantity::new(connections as f64, Measure::Count("connections"))?;
        RuledOut::new("connections", connections, "of its edges are open, fewer than half of them")?
    } else {
        let others = Quantity::new(used.saturating_sub(connections) as f64, Measure::Count("descriptors"))?;
        RuledOut::new("files", others, "are no connections of its edges")?
    };
    let sure = Confidence::new(if due.is_some() && reading.share() < NEAR { 0.7 } else { 0.95 })?;
    let origin = Origin::new(&unit.callee().unwrap_or_else(|| unit.to_string()), sure)?;
    let all = [share, open, left_evidence];
    let mut report = Report::new(Some(reading.class()), what, place, why, all, origin, ruled_out, sure)?;
    report = report.with_evidence(evidence(
        "connections of its edges",
        connections as f64,
        Measure::Count("connections"),
        None,
    )?);
    if let Some(due) = due {
        report = report.with_evidence(evidence("none left in", due.in_s, Measure::Seconds, None)?);
    }
    if let Some(waiting) = waiting {
        let least = f64::from(waiting.least);
        let least =
            evidence("waiting for accept", least, Measure::Count("connections"), Some(Compared::Expected(0.0)))?;
        report = report.with_evidence(least);
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
