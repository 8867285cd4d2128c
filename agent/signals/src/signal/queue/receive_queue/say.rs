//! What is said of a server whose requests wait to be read.

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
    /// The busiest process of it.
    pub(super) process: Option<&'a Place>,
    pub(super) address: Option<SocketAddr>,
}

pub(super) fn report(ends: &Ends<'_>, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
    let normal = reading.normal.ok_or(Defect::NoBaseline)?;
    let class = reading.class(&normal);
    let evidence = |name, value, measure, normal: Option<f64>| {
        Evidence::new(name, Quantity::new(value, measure)?, normal.map(Compared::Learned), window_ns, reading.rounds)
    };
    let wait = evidence("wait in the socket, p95", reading.wait_p95, Measure::Seconds, Some(normal.wait_p95))?;
    let what = What::new(&wait, "until a request is read, for the slowest 5% of them or more")?;
    let share = evidence("share of the server's time", reading.share(), Measure::Ratio, None)?;
    let work = evidence("work after it, mean", reading.work, Measure::Seconds, Some(normal.work))?;
    let rate = evidence("requests", reading.rate, Measure::Rate("requests/s"), Some(normal.rate))?;
    let more = Quantity::new((reading.wait + reading.work - normal.total).max(0.0), Measure::Seconds)?;
    let why = Why::new(more, "more than normal for each request, before the server has begun with it")?;
    // Work that slows down may have its reason elsewhere.
    let sure = if class == Class::SlowWork { 0.6 } else { 0.8 };
    let origin = Origin::new(&callee(ends), Confidence::new(sure)?)?;
    let mut ruled_out = ruled_out(reading, class)?.into_iter();
    let first = ruled_out.next().ok_or(Defect::NoWords)?;
    let report = Report::new(
        Some(class.name()),
        what,
        look(ends, class)?,
        why,
        [wait, share, work],
        origin,
        first,
        Confidence::new(0.9)?,
    )?;
    Ok(ruled_out.fold(report.with_evidence(rate), Report::without))
}

fn callee(ends: &Ends<'_>) -> String {
    ends.unit.callee().unwrap_or_else(|| ends.unit.to_string())
}

fn look(ends: &Ends<'_>, class: Class) -> Result<Where, Defect> {
    let address = ends.address.map(Place::Address);
    let Some(place) = ends.process.or(address.as_ref()) else { return Err(Defect::NoWords) };
    let command = match place {
        Place::Process { pid, .. } => format!("top -H -p {pid}"),
        _ => ends.address.map_or_else(|| "ss -tnp".into(), |a| format!("ss -tnp 'sport = :{}'", a.port())),
    };
    let phrase = match class {
        Class::MoreLoad => "number of workers of",
        Class::SlowWork => "what each request does in",
        Class::Starved => "blocked workers or event loop, CPU of",
    };
    Where::new(phrase, place, &command)
}

/// What these numbers speak against; always one thing at least.
fn ruled_out(reading: &Reading, class: Class) -> Result<Vec<RuledOut>, Defect> {
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
        let none = Quantity::new(0.0, Measure::Count("segments"))?;
        list.push(RuledOut::new("network", none, "had to be sent again by the server")?);
    }
    Ok(list)
}
