//! What is said of an accept queue.

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
    pub(super) place: Option<&'a Place>,
    pub(super) port: u32,
}

pub(super) fn report(ends: &Ends<'_>, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
    let class = reading.class();
    let n = reading.arrivals.max(reading.accepted).max(reading.depth.into());
    let evidence = |name, value: f64, measure, compared| {
        Evidence::new(name, Quantity::new(value, measure)?, compared, window_ns, n)
    };
    let fill = evidence("queue's fullness, at most", reading.fill(), Measure::Ratio, Some(Compared::AtMost(0.5)))?;
    let depth = evidence("connections in the queue", reading.depth.into(), Measure::Count("connections"), None)?;
    let normal = reading.normal.arrivals_per_s.map(Compared::Learned);
    let arrivals = evidence("new connections", reading.arrivals_per_s, Measure::Rate("connections/s"), normal)?;
    let waited = reading.wait_p95.zip(reading.normal.wait_p95);
    let wait = waited.map(|(wait, normal)| {
        evidence("wait for accept, p95", wait, Measure::Seconds, Some(Compared::Learned(normal)))
    });
    let wait = wait.transpose()?;
    let what = match &wait {
        Some(wait) if class != Class::NotAccepting => {
            What::new(wait, "until a connection is accepted, for the slowest 5%")?
        }
        _ => What::new(
            &fill,
            &format!("of the accept queue is taken: {} of {}", reading.depth, reading.limit.saturating_add(1)),
        )?,
    };
    let mut ruled_out = ruled_out(reading, class)?.into_iter();
    let first = ruled_out.next().ok_or(Defect::NoWords)?;
    let callee = ends.unit.callee().unwrap_or_else(|| ends.unit.to_string());
    let report = Report::new(
        Some(class.name()),
        what,
        look(ends, class)?,
        why(reading)?,
        [fill, depth, arrivals],
        Origin::new(&callee, Confidence::new(0.8)?)?,
        first,
        Confidence::new(0.9)?,
    )?;
    let report = ruled_out.fold(report, Report::without);
    let report = wait.into_iter().fold(report, Report::with_evidence);
    Ok(match reading.wait {
        Some(mean) => report.with_evidence(evidence("wait for accept, mean", mean, Measure::Seconds, None)?),
        None => report,
    })
}

fn why(reading: &Reading) -> Result<Why, Defect> {
    match reading.wait {
        Some(wait) => Why::new(
            Quantity::new(wait, Measure::Seconds)?,
            &format!(
                "more for each new caller before its first byte; beyond {} SYNs are dropped",
                reading.limit.saturating_add(1)
            ),
        ),
        None => Why::new(
            Quantity::new(reading.depth.into(), Measure::Count("callers"))?,
            &format!(
                "are connected and not served; beyond {} the kernel drops SYNs silently",
                reading.limit.saturating_add(1)
            ),
        ),
    }
}

fn look(ends: &Ends<'_>, class: Class) -> Result<Where, Defect> {
    let phrase = match class {
        Class::NotAccepting => "blocked or stopped:",
        Class::MoreLoad => "number of workers of",
        Class::SlowAccept => "accept loop, blocked workers, CPU of",
    };
    let command = match ends.place {
        Some(Place::Process { pid, .. }) => format!("ss -ltn 'sport = :{}'; top -H -p {pid}", ends.port),
        _ => format!("ss -ltnp 'sport = :{}'", ends.port),
    };
    let unknown = Place::File(format!("port {}", ends.port));
    Where::new(phrase, ends.place.unwrap_or(&unknown), &command)
}

/// What these numbers speak against; always one thing at least.
fn ruled_out(reading: &Reading, class: Class) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    if let (Some(normal), false) = (reading.normal.arrivals_per_s, class == Class::MoreLoad) {
        let times = Quantity::new(reading.arrivals_per_s / normal, Measure::Times)?;
        list.push(RuledOut::new("more load", times, "the normal rate of connections")?);
    }
    let in_it = Quantity::new(reading.arrivals.max(reading.depth.into()) as f64, Measure::Count("handshakes"))?;
    list.push(RuledOut::new("network", in_it, "completed; what waits is on this host")?);
    if reading.sockets == 1 {
        let one = Quantity::new(1.0, Measure::Count("socket"))?;
        list.push(RuledOut::new("one of several workers' queues", one, "listens on this port")?);
    }
    Ok(list)
}
