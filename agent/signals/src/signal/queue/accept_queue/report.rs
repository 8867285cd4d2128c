//! The report of an accept queue.

use super::reading::{Class, Reading};
use crate::signal::prelude::*;

pub(super) fn report(subject: &Subject, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
    let class = reading.class();
    let sample = Sample { window_ns, n: reading.arrivals.max(reading.accepted).max(reading.depth.into()) };
    let fill = sample.at_most("queue's fullness, at most", reading.fill(), Measure::Ratio, 0.5)?;
    let depth = sample.evidence("connections in the queue", reading.depth.into(), Measure::Count("connections"))?;
    let per_s = Measure::Rate("connections/s");
    let arrivals = sample.learned("new connections", reading.arrivals_per_s, per_s, reading.normal.arrivals_per_s)?;
    let waited = reading.wait_p95.zip(reading.normal.wait_p95);
    let wait = waited.map(|(wait, normal)| sample.learned("wait for accept, p95", wait, Measure::Seconds, normal));
    let wait = wait.transpose()?;
    let what = match &wait {
        Some(wait) if class != Class::NotAccepting => {
            What::new(wait, "until a connection is accepted, for the slowest 5%")?
        }
        _ => {
            let holds = reading.limit.saturating_add(1);
            What::new(&fill, &format!("of the accept queue is taken: {} of {holds}", reading.depth))?
        }
    };
    let mean = reading.wait.map(|mean| sample.evidence("wait for accept, mean", mean, Measure::Seconds));
    Parts {
        class: Some(class.name()),
        what,
        place: place(reading, class)?,
        why: why(reading)?,
        evidence: [fill, depth, arrivals],
        more: wait.into_iter().chain(mean.transpose()?).collect(),
        origin: Origin::new(&callee(subject), Confidence::new(0.8)?)?,
        ruled_out: ruled_out(reading, class)?,
        confidence: 0.9,
    }
    .report()
}

fn why(reading: &Reading) -> Result<Why, Defect> {
    let holds = reading.limit.saturating_add(1);
    match reading.wait {
        Some(wait) => Why::new(
            Quantity::new(wait, Measure::Seconds)?,
            &format!("more for each new caller before its first byte; beyond {holds} SYNs are dropped"),
        ),
        None => Why::new(
            count(reading.depth, "callers")?,
            &format!("are connected and not served; beyond {holds} the kernel drops SYNs silently"),
        ),
    }
}

fn place(reading: &Reading, class: Class) -> Result<Where, Defect> {
    let phrase = match class {
        Class::NotAccepting => "blocked or stopped:",
        Class::MoreLoad => "number of workers of",
        Class::SlowAccept => "accept loop, blocked workers, CPU of",
    };
    let port = reading.at.port;
    let command = match reading.process {
        Some(Place::Process { pid, .. }) => format!("ss -ltn 'sport = :{port}'; top -H -p {pid}"),
        _ => format!("ss -ltnp 'sport = :{port}'"),
    };
    let unknown = Place::File(format!("port {port}"));
    Where::new(phrase, reading.process.as_ref().unwrap_or(&unknown), &command)
}

/// What these numbers speak against.
fn ruled_out(reading: &Reading, class: Class) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    if let (Some(normal), false) = (reading.normal.arrivals_per_s, class == Class::MoreLoad) {
        let times = Quantity::new(reading.arrivals_per_s / normal, Measure::Times)?;
        list.push(RuledOut::new("more load", times, "the normal rate of connections")?);
    }
    let in_it = count(reading.arrivals.max(reading.depth.into()) as f64, "handshakes")?;
    list.push(RuledOut::new("network", in_it, "completed; what waits is on this host")?);
    if reading.sockets == 1 {
        list.push(RuledOut::new("one of several workers' queues", count(1.0, "socket")?, "listens on this port")?);
    }
    Ok(list)
}
