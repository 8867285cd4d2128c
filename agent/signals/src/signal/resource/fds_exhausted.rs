//! A process has no descriptor left, or soon will not have.
//!
//! Each connection, file and pipe takes a descriptor, of which a process may have `RLIMIT_NOFILE`. Without one, `accept`,
//! `socket` and `open` fail with EMFILE: connections stay in the accept queue, and many servers spin on it.
//!
//! It warns when 85% are open in two of three windows, or when 60% are and the trend of the last minutes reaches the limit
//! within an hour (`forecast.rs`). It pages when 99% are and connections wait in a queue of the process that never empties.
//!
//! Where it is blind: between two polls, five seconds apart; the errors themselves (EMFILE) are not counted yet, nor is the
//! host's own limit (ENFILE).

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    facts::owners::Owned,
    learn::forecast::{Exhaustion, Forecast},
    row::class::FDS_NONE_LEFT,
    signal::prelude::*,
};
use weir_engine::{ListenerView, ProcessView, Snapshot};

/// Shares of the limit: to warn, to be over, and as good as none left. Choices; of the 64 descriptors of F18, 99% are all
/// of them.
const NEAR: f64 = 0.85;
const CLEAR: f64 = 0.75;
const NONE_LEFT: f64 = 0.99;

classes! {
    /// How near the limit is.
    enum Class {
        NoneLeft = FDS_NONE_LEFT,
        Near = "near",
        Growing = "growing",
    }
}

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct FdsExhausted;

/// A process's descriptors.
pub(crate) struct Input<'f> {
    process: &'f ProcessView,
    owned: &'f Owned<'f>,
    used: u64,
    limit: u64,
}

impl Detector for FdsExhausted {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Processes, 200 bytes each, of which 512 are polled.
    const LIMIT: usize = 1024;

    type Memory = Forecast;
    type Input<'f> = Input<'f>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<Forecast>) -> Inputs<'f, Input<'f>> {
        let inputs = facts.snapshot.host.processes.iter().filter_map(|process| {
            let limit = process.last.fds_limit.filter(|limit| *limit > 0)?;
            Some(Input { process, owned: facts.owners.get(process.last.pid)?, used: process.last.fds?, limit })
        });
        inputs.map(|input| (Cow::Owned(Subject::process(input.owned.service(), input.owned.pid())), input)).collect()
    }

    fn read<'f>(
        &self,
        Input { process, owned, used, limit }: Input<'f>,
        forecast: &mut Forecast,
        facts: &'f Facts<'f>,
    ) -> Option<Reading<'f>> {
        let ahead = forecast.take(facts.now_ns(), used as f64, limit as f64);
        let reading = Reading { snapshot: facts.snapshot, owned, used, limit, ahead, waiting: None };
        let waiting = if reading.share() >= NEAR { waiting(facts.snapshot, process) } else { None };
        Some(Reading { waiting, ..reading })
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report(subject, reading, window_ns)
    }
}

/// A listener of the process that was never empty.
fn waiting<'f>(snapshot: &'f Snapshot, process: &ProcessView) -> Option<&'f ListenerView> {
    let namespace = snapshot.host.namespaces.iter().find(|namespace| namespace.netns == process.last.netns)?;
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
fn open_connections(snapshot: &Snapshot, pid: u32) -> u64 {
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
pub(crate) struct Reading<'f> {
    snapshot: &'f Snapshot,
    owned: &'f Owned<'f>,
    used: u64,
    limit: u64,
    ahead: Option<Exhaustion>,
    /// A listener of the process in whose queue connections wait all the time.
    waiting: Option<&'f ListenerView>,
}

impl Reading<'_> {
    fn share(&self) -> f64 {
        // One more than the limit is a descriptor that was just being made.
        (self.used as f64 / self.limit as f64).min(1.0)
    }

    /// When none will be left, if that is soon.
    fn due(&self) -> Option<Exhaustion> {
        self.ahead.filter(|ahead| ahead.is_due)
    }

    fn class(&self) -> Class {
        match self.share() {
            share if share >= NONE_LEFT => Class::NoneLeft,
            share if share >= NEAR => Class::Near,
            _ => Class::Growing,
        }
    }

    fn finding(&self) -> Finding {
        let share = self.share();
        if share >= NONE_LEFT {
            let effect = self.waiting.map(|_| Effect::LatencyUp);
            return Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), effect));
        }
        if share >= NEAR || self.due().is_some() {
            return Finding::Raise(Severity::Warn);
        }
        if share < CLEAR { Finding::Clear } else { Finding::Between }
    }
}

fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let Reading { snapshot, owned, used, limit, waiting, .. } = *reading;
    let sample = Sample { window_ns, n: used.max(1) };
    let (descriptors, connections) = (Measure::Count("descriptors"), Measure::Count("connections"));
    let share = sample.at_most("open, of the limit", reading.share(), Measure::Ratio, NEAR)?;
    let open = sample.evidence("open", used as f64, descriptors)?;
    let left = sample.evidence("left", limit.saturating_sub(used) as f64, descriptors)?;
    let due = reading.due();
    let why = match (waiting, due) {
        (Some(waiting), _) => {
            Why::new(count(waiting.least, "connections")?, "or more wait all the time and are not accepted")?
        }
        (None, Some(due)) => Why::new(
            Quantity::new(due.in_s, Measure::Seconds)?,
            "from now none is left at this pace: then nothing is accepted, connected or opened",
        )?,
        (None, None) => Why::new(left.quantity(), "are left: without one, nothing is accepted, connected or opened")?,
    };
    let of_edges = open_connections(snapshot, owned.pid());
    let mut more = vec![sample.evidence("connections of its edges", of_edges as f64, connections)?];
    if let Some(due) = due {
        more.push(sample.evidence("none left in", due.in_s, Measure::Seconds)?);
    }
    if let Some(waiting) = waiting {
        more.push(sample.expected("waiting for accept", waiting.least.into(), connections, 0.0)?);
    }
    let confidence = if due.is_some() && reading.share() < NEAR { 0.7 } else { 0.95 };
    let command = format!("ls -l /proc/{}/fd", owned.pid());
    Parts {
        class: Some(reading.class().name()),
        what: What::new(&share, &format!("of its {limit} descriptors are open"))?,
        place: Where::new("what is not closed in, or the limit of", &owned.place(), &command)?,
        why,
        evidence: [share, open, left],
        more,
        origin: Origin::new(&callee(subject), Confidence::new(confidence)?)?,
        ruled_out: vec![ruled_out(used, of_edges)?],
        confidence,
    }
    .report()
}

/// What most of them are is where a leak is.
fn ruled_out(used: u64, of_edges: u64) -> Result<RuledOut, Defect> {
    if of_edges.saturating_mul(2) < used {
        let connections = count(of_edges as f64, "connections")?;
        return RuledOut::new("connections", connections, "of its edges are open, fewer than half of them");
    }
    let others = count(used.saturating_sub(of_edges) as f64, "descriptors")?;
    RuledOut::new("files", others, "are no connections of its edges")
}

#[cfg(test)]
mod tests;
