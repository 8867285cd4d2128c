//! What is said of a caller that lets answers lie.

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

/// `process`: the one whose answers wait most; `slower`: how many times as long as normal the caller's own callers wait.
pub(super) fn report(
    unit: &Subject,
    process: Option<&Place>,
    reading: &Reading,
    slower: Option<f64>,
    window_ns: u64,
) -> Result<Report, Defect> {
    let normal = reading.normal.ok_or(Defect::NoBaseline)?;
    let class = reading.class(&normal);
    let evidence = |name, value, measure, normal: Option<f64>| {
        Evidence::new(name, Quantity::new(value, measure)?, normal.map(Compared::Learned), window_ns, reading.rounds)
    };
    let wait = evidence("answer not read yet, p95", reading.wait_p95, Measure::Seconds, Some(normal.wait_p95))?;
    let what = What::new(&wait, "until an answer that has come is read, for the slowest 5% of them or more")?;
    let share = evidence("share of the time to first byte", reading.share(), Measure::Ratio, None)?;
    let away = evidence("until an answer comes, mean", reading.away(), Measure::Seconds, Some(normal.away))?;
    let rate = evidence("calls", reading.rate, Measure::Rate("calls/s"), Some(normal.rate))?;
    let each = Quantity::new(reading.wait, Measure::Seconds)?;
    let why = Why::new(each, "of each call is the caller's own time, which looks as if those that it calls were slow")?;
    // With more calls than normal it may be those who ask for them.
    let sure = if class == Class::MoreLoad { 0.7 } else { 0.85 };
    let origin = Origin::new(&unit.callee().unwrap_or_else(|| unit.to_string()), Confidence::new(sure)?)?;
    let mut ruled_out = ruled_out(reading, class)?.into_iter();
    let first = ruled_out.next().ok_or(Defect::NoWords)?;
    let report = Report::new(
        Some(class.name()),
        what,
        look(unit, process, class)?,
        why,
        [wait, share, away],
        origin,
        first,
        Confidence::new(if reading.arrives_in_time() { 0.9 } else { 0.7 })?,
    )?;
    let report = ruled_out.fold(report.with_evidence(rate), Report::without);
    Ok(match slower {
        Some(times) => report.with_evidence(evidence("its own answers", times, Measure::Times, Some(1.0))?),
        None => report,
    })
}

fn look(unit: &Subject, process: Option<&Place>, class: Class) -> Result<Where, Defect> {
    let phrase = match class {
        Class::MoreLoad => "too few threads for its calls, CPU of",
        Class::Stalled => "garbage collection, blocked event loop, CPU of",
    };
    match (process, unit.services()) {
        (Some(place @ Place::Process { pid, .. }), _) => Where::new(phrase, place, &format!("top -H -p {pid}")),
        (Some(place), _) => Where::new(phrase, place, "ss -tnp"),
        (None, [Some(service), _]) => Where::new(phrase, &Place::Service(service.clone()), "ss -tnp"),
        (None, [None, _]) => Err(Defect::NoWords),
    }
}

/// What these numbers speak against; always one thing at least.
fn ruled_out(reading: &Reading, class: Class) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    match reading.later().filter(|_| reading.arrives_in_time()) {
        Some(times) => {
            let times = Quantity::new(times, Measure::Times)?;
            list.push(RuledOut::new("slow dependency", times, "the normal time until an answer comes")?);
        }
        None => {
            let rest = Quantity::new(1.0 - reading.share(), Measure::Ratio)?;
            list.push(RuledOut::new("the dependency alone", rest, "of the time passes before an answer comes")?);
        }
    }
    if class != Class::MoreLoad
        && let Some(normal) = reading.normal
    {
        let times = Quantity::new(reading.rate / normal.rate, Measure::Times)?;
        list.push(RuledOut::new("more load", times, "the normal number of calls")?);
    }
    if reading.retransmitted == 0 {
        let none = Quantity::new(0.0, Measure::Count("segments"))?;
        list.push(RuledOut::new("network", none, "had to be sent again by the caller")?);
    }
    Ok(list)
}
