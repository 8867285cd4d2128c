//! What is said of a server that works for nobody.

use std::net::SocketAddr;

use super::tally::{Class, Reading};
use crate::{
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
};
use weir_engine::Service;

/// Who it is about.
pub(super) struct Ends<'a> {
    pub(super) unit: &'a Subject,
    /// The busiest process of it.
    pub(super) process: Option<&'a Place>,
    pub(super) address: Option<SocketAddr>,
    /// Who left most.
    pub(super) caller: Option<&'a Service>,
}

pub(super) fn report(ends: &Ends<'_>, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
    let normal = reading.normal.ok_or(Defect::NoBaseline)?;
    let n = reading.left.events;
    let evidence = |name, value, measure, normal: Option<f64>| {
        Evidence::new(name, Quantity::new(value, measure)?, normal.map(Compared::Learned), window_ns, n)
    };
    let count = |name, value: u64| evidence(name, value as f64, Measure::Count("requests"), None);
    let left = evidence("requests whose caller has left", reading.left.share(), Measure::Ratio, Some(normal.share))?;
    let what = What::new(&left, "of requests are worked on for callers that have left")?;
    let late = count("answers that met a reset", reading.reset)?;
    let broken = count("broken off before an answer", reading.broken)?;
    let wasted = Quantity::new(reading.wasted, Measure::Rate("s/s"))?;
    let why = Why::new(wasted, "or more of the server's time is for nobody, and those who still wait do without it")?;
    let mut ruled_out = ruled_out(reading)?.into_iter();
    let first = ruled_out.next().ok_or(Defect::NoWords)?;
    let mut report = Report::new(
        Some(reading.class().name()),
        what,
        look(ends, reading.class())?,
        why,
        [left, late, broken],
        origin(ends, reading)?,
        first,
        Confidence::new(if reading.patience.is_some() { 0.9 } else { 0.75 })?,
    )?;
    if let Some(work) = reading.work {
        report = report.with_evidence(evidence("answer, mean", work, Measure::Seconds, Some(normal.work))?);
    }
    if let Some(patience) = reading.patience {
        report = report.with_evidence(evidence("callers give up after, mean", patience, Measure::Seconds, None)?);
    }
    Ok(ruled_out.fold(report, Report::without))
}

fn look(ends: &Ends<'_>, class: Class) -> Result<Where, Defect> {
    let address = ends.address.map(Place::Address);
    let service = || ends.unit.services()[0].cloned().map(Place::Service);
    let place = ends.process.cloned().or(address).or_else(service).ok_or(Defect::NoWords)?;
    let phrase = match class {
        Class::Finished => "callers' timeout, and work not cancelled with it, in",
        Class::BrokenOff => "callers' timeout, and what takes longer in",
    };
    // After their FIN, connections under work are in this state.
    let command = ends.address.map_or_else(
        || "ss -tnp state close-wait".into(),
        |address| format!("ss -tnp state close-wait 'sport = :{}'", address.port()),
    );
    Where::new(phrase, &place, &command)
}

/// A server that has become slow, else callers that have become impatient.
fn origin(ends: &Ends<'_>, reading: &Reading) -> Result<Origin, Defect> {
    let server = ends.unit.callee().unwrap_or_else(|| ends.unit.to_string());
    match ends.caller {
        _ if reading.slower().is_some() => Origin::new(&server, Confidence::new(0.7)?),
        Some(caller) => Origin::new(caller, Confidence::new(0.6)?),
        None => Origin::new(&server, Confidence::new(0.5)?),
    }
}

/// What these numbers speak against; always one thing at least.
fn ruled_out(reading: &Reading) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    let count = |n: u64, what| Quantity::new(n as f64, Measure::Count(what));
    if reading.cut_off == 0 {
        list.push(RuledOut::new("crashes of the server", count(0, "requests")?, "ended by the server's own close")?);
    }
    let left = count(reading.left.hits, "requests")?;
    list.push(RuledOut::new("good-byes", left, "took longer than any of them")?);
    if reading.retransmitted == 0 {
        list.push(RuledOut::new("network", count(0, "segments")?, "had to be sent again by the server")?);
    }
    Ok(list)
}
