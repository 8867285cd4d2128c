//! The report of a pool that is near its limit.

use super::near::{Class, NEAR, Near};
use crate::signal::prelude::*;

pub(super) fn report(subject: &Subject, near: &Near<'_>) -> Result<Report, Defect> {
    let reading = &near.reading;
    let sample = Sample { window_ns: reading.window_ns, n: reading.rounds };
    let connections = Measure::Count("connections");
    let share = sample.at_most("connections in use", near.share(), Measure::Ratio, NEAR)?;
    let in_use = sample.evidence("in use, mean", near.in_use, connections)?;
    let ceiling = sample.evidence("connections, not growing", near.ceiling as f64, connections)?;
    let (class, why) = match near.ahead {
        Some(ahead) => {
            let in_s = Quantity::new(ahead.in_s, Measure::Seconds)?;
            (Class::Growing, Why::new(in_s, "from now all are in use at this pace, and callers wait for one")?)
        }
        None => {
            let left = count((near.ceiling as f64 - near.in_use).max(0.0), "connections")?;
            (Class::Near, Why::new(left, "are left on average: with more load or slower answers callers wait for one")?)
        }
    };
    let confidence = if class == Class::Growing { 0.7 } else { 0.8 };
    let mut more = Vec::new();
    if let Some(answer) = reading.answer {
        more.push(sample.evidence("answer, mean of fastest 95%", answer, Measure::Seconds)?);
    }
    if let Some(ahead) = near.ahead {
        more.push(sample.evidence("all in use in", ahead.in_s, Measure::Seconds)?);
    }
    let opened = count(reading.opened as f64, "connections")?;
    let mut ruled_out = vec![RuledOut::new("a pool that still grows", opened, "opened, and the total has not grown")?];
    if let Some(waited) = reading.waited() {
        let waited = Quantity::new(waited, Measure::Ratio)?;
        ruled_out.push(RuledOut::new("callers that wait", waited, "of checkouts waited for a connection")?);
    }
    let port = near.pool.address().map_or(0, |address| address.port());
    let command = format!("ss -tnpo 'dport = :{port}'");
    Parts {
        class: Some(class.name()),
        what: What::new(&share, &format!("of {} connections are in use, and no more are opened", near.ceiling))?,
        place: Where::new("pool size and load of", &near.pool.process(), &command)?,
        why,
        evidence: [share, in_use, ceiling],
        more,
        origin: Origin::new(&caller(subject), Confidence::new(confidence)?)?,
        ruled_out,
        confidence,
    }
    .report()
}
