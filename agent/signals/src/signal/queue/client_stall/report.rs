//! The report of a caller that reads its answers late.

use super::reading::{Class, Reading};
use crate::signal::prelude::*;

pub(super) fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let normal = reading.normal.ok_or(Defect::NoBaseline)?;
    let class = reading.class(&normal);
    let sample = Sample { window_ns, n: reading.rounds };
    let wait = sample.learned("answer not read yet, p95", reading.wait_p95, Measure::Seconds, normal.wait_p95)?;
    let share = sample.evidence("share of the time to first byte", reading.share(), Measure::Ratio)?;
    let away = sample.learned("until an answer comes, mean", reading.away, Measure::Seconds, normal.away)?;
    let rate = sample.learned("calls", reading.rate, Measure::Rate("calls/s"), normal.rate)?;
    let slower = reading.slower.map(|times| sample.learned("its own answers", times, Measure::Times, 1.0));
    let each = Quantity::new(reading.wait, Measure::Seconds)?;
    // With more calls than normal it may be those that ask for them.
    let sure = if class == Class::MoreLoad { 0.7 } else { 0.85 };
    Parts {
        class: Some(class.name()),
        what: What::new(&wait, "until an answer that has come is read, for the slowest 5% of them or more")?,
        place: place(subject, reading, class)?,
        why: Why::new(each, "of each call is the caller's own time, which looks as if those that it calls were slow")?,
        evidence: [wait, share, away],
        more: [rate].into_iter().chain(slower.transpose()?).collect(),
        origin: Origin::new(&callee(subject), Confidence::new(sure)?)?,
        ruled_out: ruled_out(reading, class)?,
        confidence: if reading.arrives_in_time() { 0.9 } else { 0.7 },
    }
    .report()
}

fn place(subject: &Subject, reading: &Reading<'_>, class: Class) -> Result<Where, Defect> {
    let phrase = match class {
        Class::MoreLoad => "too few threads for its calls, CPU of",
        Class::Stalled => "garbage collection, blocked event loop, CPU of",
    };
    let service = || subject.about().cloned().map(Place::Service);
    let place = reading.ends.client().or_else(service).ok_or(Defect::NoWords)?;
    match place {
        Place::Process { pid, .. } => Where::new(phrase, &place, &format!("top -H -p {pid}")),
        _ => Where::new(phrase, &place, "ss -tnp"),
    }
}

/// What these numbers speak against.
fn ruled_out(reading: &Reading<'_>, class: Class) -> Result<Vec<RuledOut>, Defect> {
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
        list.push(RuledOut::new("network", count(0.0, "segments")?, "retransmitted by the caller")?);
    }
    Ok(list)
}
