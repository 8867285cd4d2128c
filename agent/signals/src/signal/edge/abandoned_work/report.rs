//! The report of a server that works for callers that have left.

use super::tally::{Class, Reading};
use crate::signal::prelude::*;

pub(super) fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let normal = reading.normal.ok_or(Defect::NoBaseline)?;
    let sample = Sample { window_ns, n: reading.left.events };
    let requests = Measure::Count("requests");
    let left = sample.learned("requests whose caller has left", reading.left.share(), Measure::Ratio, normal.share)?;
    let late = sample.evidence("answers that met a reset", reading.reset as f64, requests)?;
    let broken = sample.evidence("broken off before an answer", reading.broken as f64, requests)?;
    let work = reading.work.map(|work| sample.learned("answer, mean", work, Measure::Seconds, normal.work));
    let patience = reading.patience.map(|s| sample.evidence("callers give up after, mean", s, Measure::Seconds));
    let wasted = Quantity::new(reading.wasted, Measure::Rate("s/s"))?;
    Parts {
        class: Some(reading.class().name()),
        what: What::new(&left, "of requests are worked on for callers that have left")?,
        place: place(subject, reading)?,
        why: Why::new(wasted, "or more of the server's time is wasted, and lost to callers that still wait")?,
        evidence: [left, late, broken],
        more: work.into_iter().chain(patience).collect::<Result<_, _>>()?,
        origin: origin(subject, reading)?,
        ruled_out: ruled_out(reading)?,
        confidence: if reading.patience.is_some() { 0.9 } else { 0.75 },
    }
    .report()
}

fn place(subject: &Subject, reading: &Reading<'_>) -> Result<Where, Defect> {
    let service = || subject.about().cloned().map(Place::Service);
    let place = reading.ends.server_or_address().or_else(service).ok_or(Defect::NoWords)?;
    let phrase = match reading.class() {
        Class::Finished => "callers' timeout, and work not cancelled with it, in",
        Class::BrokenOff => "callers' timeout, and what has become slow in",
    };
    // After their FIN, connections under work are in this state.
    Where::new(phrase, &place, &reading.ends.ss("-tnp state close-wait", "sport"))
}

/// A server that has become slow, else callers that have become impatient.
fn origin(subject: &Subject, reading: &Reading<'_>) -> Result<Origin, Defect> {
    match &reading.caller {
        _ if reading.slower().is_some() => Origin::new(&callee(subject), Confidence::new(0.7)?),
        Some(caller) => Origin::new(caller, Confidence::new(0.6)?),
        None => Origin::new(&callee(subject), Confidence::new(0.5)?),
    }
}

/// What these numbers speak against.
fn ruled_out(reading: &Reading<'_>) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    if reading.cut_off == 0 {
        let none = count(0.0, "requests")?;
        list.push(RuledOut::new("crashes of the server", none, "ended by the server's own close")?);
    }
    let left = count(reading.left.hits as f64, "requests")?;
    list.push(RuledOut::new("final messages", left, "took longer than a final message does")?);
    if reading.retransmitted == 0 {
        list.push(RuledOut::new("network", count(0.0, "segments")?, "retransmitted by the server")?);
    }
    Ok(list)
}
