//! What is said of an exhausted pool.

use std::net::SocketAddr;

use super::reading::{Class, Reading};
use crate::{
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
};

/// Who it is about.
pub(super) struct Ends<'a> {
    pub(super) unit: &'a Subject,
    pub(super) process: Option<&'a Place>,
    pub(super) address: Option<SocketAddr>,
}

pub(super) fn report(ends: &Ends<'_>, reading: &Reading) -> Result<Report, Defect> {
    let class = reading.class();
    let main = main_evidence(reading, class)?;
    let phrase = match class {
        Class::Leak => "requests wait, and no connection comes back to the pool",
        _ if reading.threads_waited() => "of those who took a connection had to wait for it",
        _ => "wait for a connection, all of which are taken",
    };
    let what = What::new(&main, phrase)?;
    let connections = Evidence::new(
        "connections, not growing",
        Quantity::new(reading.connections as f64, Measure::Count("connections"))?,
        None,
        reading.window_ns,
        reading.connections,
    )?;
    let busy = Evidence::new(
        "connections awaiting an answer",
        Quantity::new(reading.busy, Measure::Ratio)?,
        None,
        reading.window_ns,
        reading.rounds.max(1),
    )?;
    let mut ruled_out = ruled_out(reading, class)?.into_iter();
    let first = ruled_out.next().ok_or(Defect::NoWords)?;
    let report = Report::new(
        Some(class.name()),
        what,
        look(ends, class)?,
        why(reading)?,
        [main, connections, busy],
        origin(ends, class)?,
        first,
        Confidence::new(if reading.waited().is_some() && reading.queue().is_some() { 0.95 } else { 0.85 })?,
    )?;
    let report = ruled_out.fold(report, Report::without);
    Ok(more_evidence(reading)?.into_iter().fold(report, Report::with_evidence))
}

/// What is compared with what is normal.
fn main_evidence(reading: &Reading, class: Class) -> Result<Evidence, Defect> {
    if let (Some(waited), Some(handed_off), true) = (reading.waited(), reading.handed_off, reading.threads_waited()) {
        let share = Quantity::new(waited, Measure::Ratio)?;
        return Evidence::new("waited for a connection", share, expected(0.0), reading.window_ns, handed_off.events);
    }
    let callers = reading.counted().ok_or(Defect::NoSample)?;
    if class == Class::Leak {
        let in_flight = Quantity::new(callers.in_flight as f64, Measure::Count("requests"))?;
        let normal = reading.normal.concurrency.map(Compared::Learned);
        return Evidence::new("requests under work", in_flight, normal, reading.window_ns, callers.in_flight);
    }
    let queue = Quantity::new(reading.queue().unwrap_or(0.0), Measure::Count("callers"))?;
    Evidence::new("callers waiting", queue, expected(0.0), reading.window_ns, callers.rounds)
}

fn expected(value: f64) -> Option<Compared> {
    Some(Compared::Expected(value))
}

fn more_evidence(reading: &Reading) -> Result<Vec<Evidence>, Defect> {
    let mut list = Vec::new();
    let mut add = |name, value, measure, normal: Option<f64>, n| {
        let baseline = normal.map(Compared::Learned);
        Quantity::new(value, measure)
            .and_then(|quantity| Evidence::new(name, quantity, baseline, reading.window_ns, n))
            .map(|evidence| list.push(evidence))
    };
    if let Some(callers) = reading.counted().filter(|callers| callers.rounds > 0) {
        let queue = reading.queue().unwrap_or(0.0);
        add("callers waiting", queue, Measure::Count("callers"), None, callers.rounds)?;
        if let Some(wait) = reading.wait_s() {
            add("wait for a connection, mean", wait, Measure::Seconds, None, callers.rounds)?;
        }
        if let Some(usual) = callers.usual {
            let name = "callers' time, mean of 95%";
            add(name, usual, Measure::Seconds, reading.normal.inbound, callers.rounds)?;
        }
    }
    if let Some(answer) = reading.answer {
        add("answer, mean of fastest 95%", answer, Measure::Seconds, reading.normal.answer, reading.rounds)?;
    }
    Ok(list)
}

fn why(reading: &Reading) -> Result<Why, Defect> {
    match (reading.wait_s(), reading.counted()) {
        (Some(wait), Some(callers)) if callers.rounds > 0 => Why::new(
            Quantity::new(wait, Measure::Seconds)?,
            &format!("more for each of {:.0} requests/s, before the process has begun to ask", callers.per_s),
        ),
        (_, Some(callers)) => Why::new(
            Quantity::new(callers.in_flight as f64, Measure::Count("requests"))?,
            "are stuck in the process, and each new one joins them",
        ),
        _ => Why::new(
            Quantity::new(reading.taken_per_s, Measure::Rate("checkouts/s"))?,
            "are all that the pool lets through: whoever comes waits before the first byte is sent",
        ),
    }
}

fn look(ends: &Ends<'_>, class: Class) -> Result<Where, Defect> {
    let Some(place) = ends.process else { return Err(Defect::NoWords) };
    let port = ends.address.map_or(0, |address| address.port());
    let phrase = match class {
        Class::SlowDependency => "what the dependency is asked by",
        Class::TooSmall => "pool size and load of",
        Class::Held => "what is done while a connection is held in",
        Class::Leak => "connections that are not given back in",
    };
    Where::new(phrase, place, &format!("ss -tnpo 'dport = :{port}'"))
}

fn origin(ends: &Ends<'_>, class: Class) -> Result<Origin, Defect> {
    let (callee, client) = (ends.unit.callee(), ends.unit.client());
    let (node, sure) = match class {
        Class::SlowDependency => (callee, 0.7),
        Class::TooSmall => (client, 0.7),
        Class::Held | Class::Leak => (client, 0.85),
    };
    Origin::new(&node.unwrap_or_else(|| ends.unit.to_string()), Confidence::new(sure)?)
}

/// What these numbers speak against; always one thing at least.
fn ruled_out(reading: &Reading, class: Class) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    if let (Some(times), true) = (reading.slower(), class != Class::SlowDependency) {
        list.push(RuledOut::new("slow dependency", Quantity::new(times, Measure::Times)?, "the normal answer time")?);
    }
    if reading.retransmitted == 0 {
        let none = Quantity::new(0.0, Measure::Count("segments"))?;
        list.push(RuledOut::new("network", none, "had to be sent again by the process")?);
    }
    let opened = Quantity::new(reading.opened as f64, Measure::Count("connections"))?;
    list.push(RuledOut::new("a pool that still grows", opened, "opened, and no more there than before")?);
    Ok(list)
}
