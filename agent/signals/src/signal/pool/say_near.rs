//! What is said of a pool that is near its limit.

use std::net::SocketAddr;

use super::near_limit::{NEAR, Near};
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

pub(super) fn report(ends: &Ends<'_>, near: &Near) -> Result<Report, Defect> {
    let reading = &near.reading;
    let evidence = |name, value, measure, compared| {
        Evidence::new(name, Quantity::new(value, measure)?, compared, reading.window_ns, reading.rounds)
    };
    let connections = Measure::Count("connections");
    let share = evidence("connections in use", near.share(), Measure::Ratio, Some(Compared::AtMost(NEAR)))?;
    let in_use = evidence("in use, mean", near.in_use, connections, None)?;
    let ceiling = evidence("connections, not growing", near.ceiling as f64, connections, None)?;
    let what = What::new(&share, &format!("of {} connections are in use, and no more are opened", near.ceiling))?;
    let (class, why) = match near.ahead {
        Some(ahead) => {
            let in_s = Quantity::new(ahead.in_s, Measure::Seconds)?;
            ("growing", Why::new(in_s, "from now all are in use at this pace, and callers wait for one")?)
        }
        None => {
            let left = Quantity::new((near.ceiling as f64 - near.in_use).max(0.0), connections)?;
            ("near", Why::new(left, "are left on average: with more load or slower answers callers wait for one")?)
        }
    };
    let Some(process) = ends.process else { return Err(Defect::NoWords) };
    let port = ends.address.map_or(0, |address| address.port());
    let place = Where::new("pool size and load of", process, &format!("ss -tnpo 'dport = :{port}'"))?;
    let origin = ends.unit.client().unwrap_or_else(|| ends.unit.to_string());
    let sure = Confidence::new(if near.ahead.is_some() { 0.7 } else { 0.8 })?;
    let opened = Quantity::new(reading.opened as f64, connections)?;
    let not = RuledOut::new("a pool that still grows", opened, "opened, and no more there than before")?;
    let all = [share, in_use, ceiling];
    let mut report = Report::new(Some(class), what, place, why, all, Origin::new(&origin, sure)?, not, sure)?;
    if let Some(waited) = reading.waited() {
        let waited = Quantity::new(waited, Measure::Ratio)?;
        report =
            report.without(RuledOut::new("callers that wait", waited, "of those who took one had to wait for it")?);
    }
    if let Some(answer) = reading.answer {
        report = report.with_evidence(evidence("answer, mean of fastest 95%", answer, Measure::Seconds, None)?);
    }
    if let Some(ahead) = near.ahead {
        report = report.with_evidence(evidence("all in use in", ahead.in_s, Measure::Seconds, None)?);
    }
    Ok(report)
}
