//! The report of a server whose requests wait to be read.

use super::reading::{Class, Reading};
use crate::signal::prelude::*;

pub(super) fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let normal = reading.normal.ok_or(Defect::NoBaseline)?;
    let class = reading.class(&normal);
    let sample = Sample { window_ns, n: reading.rounds };
    let wait = sample.learned("wait in the socket, p95", reading.wait_p95, Measure::Seconds, normal.wait_p95)?;
    let share = sample.evidence("share of the server's time", reading.share(), Measure::Ratio)?;
    let work = sample.learned("work after it, mean", reading.work, Measure::Seconds, normal.work)?;
    let rate = sample.learned("requests", reading.rate, Measure::Rate("requests/s"), normal.rate)?;
    let more = Quantity::new((reading.wait + reading.work - normal.total).max(0.0), Measure::Seconds)?;
    // Work that slows down may have its reason elsewhere.
    let sure = if class == Class::SlowWork { 0.6 } else { 0.8 };
    Parts {
        class: Some(class.name()),
        what: What::new(&wait, "until a request is read, for the slowest 5% of them or more")?,
        place: place(reading, class)?,
        why: Why::new(more, "more than normal for each request, before the server has begun with it")?,
        evidence: [wait, share, work],
        more: vec![rate],
        origin: Origin::new(&callee(subject), Confidence::new(sure)?)?,
        ruled_out: ruled_out(reading, class)?,
        confidence: 0.9,
    }
    .report()
}

fn place(reading: &Reading<'_>, class: Class) -> Result<Where, Defect> {
    let place = reading.ends.server_or_address().ok_or(Defect::NoWords)?;
    let command = match place {
        Place::Process { pid, .. } => format!("top -H -p {pid}"),
        _ => reading.ends.ss("-tnp", "sport"),
    };
    let phrase = match class {
        Class::MoreLoad => "number of workers of",
        Class::SlowWork => "what each request does in",
        Class::Starved => "blocked workers or event loop, CPU of",
    };
    Where::new(phrase, &place, &command)
}

/// What these numbers speak against.
fn ruled_out(reading: &Reading<'_>, class: Class) -> Result<Vec<RuledOut>, Defect> {
    let Some(normal) = reading.normal else { return Ok(Vec::new()) };
    let times = |value: f64, normal: f64| Quantity::new(value / normal, Measure::Times);
    let mut list = Vec::new();
    if class != Class::SlowWork {
        list.push(RuledOut::new("slow work", times(reading.work, normal.work)?, "the normal time for each request")?);
    }
    if class != Class::MoreLoad {
        list.push(RuledOut::new("more load", times(reading.rate, normal.rate)?, "the normal rate")?);
    }
    if reading.retransmitted == 0 {
        list.push(RuledOut::new("network", count(0.0, "segments")?, "retransmitted by the server")?);
    }
    Ok(list)
}
