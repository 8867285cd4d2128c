//! What is said of a listener that drops who comes.

use super::reading::{Class, Reading};
use crate::decide::{
    contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
    evidence::{Compared, Evidence},
    quantity::{Measure, Quantity},
    report::Report,
    unit::Unit,
};

pub(super) fn report(unit: &Unit, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let seconds = window_ns as f64 / 1e9;
    let counters = &reading.counters;
    let dropped = reading.dropped();
    let cookies = counters.request_queue_cookies;
    // Where nothing was dropped the cookies are what happened.
    let n = dropped.max(cookies).max(1);
    let count = |name, value: u64, what, expected: Option<f64>| {
        let quantity = Quantity::new(value as f64, Measure::Count(what))?;
        Evidence::new(name, quantity, expected.map(Compared::Expected), window_ns, n)
    };
    let drops = count("dropped", dropped, "SYNs", Some(0.0))?;
    let sent = count("SYN cookies", counters.syncookies_sent.max(cookies), "SYNs", Some(0.0))?;
    let overflows = count("ListenOverflows", counters.listen_overflows, "times", Some(0.0))?;
    let what = match reading.class {
        Class::RequestQueue if dropped == 0 => What::new(&sent, "were answered by cookies: the request queue is full")?,
        Class::RequestQueue => What::new(&drops, "were dropped: the request queue is full")?,
        Class::AcceptQueue => What::new(&drops, &format!("were dropped: the accept queue is full{}", queue(reading)))?,
        Class::Dropped => What::new(&drops, "were dropped by listeners, though no queue was seen full")?,
    };
    let lost = Quantity::new(n as f64 / seconds, Measure::Rate("connections/s"))?;
    let why = match reading.class {
        Class::RequestQueue if dropped == 0 => Why::new(lost, "lose TCP options, and more callers will be dropped")?,
        _ => Why::new(lost, "wait for a second and longer before they are tried again, or time out")?,
    };
    let third = match reading.culprit {
        Some(culprit) => {
            let quantity = Quantity::new(f64::from(culprit.peak), Measure::Count("connections"))?;
            let most = Some(Compared::AtMost(f64::from(culprit.last.max)));
            Evidence::new("waiting for accept", quantity, most, window_ns, n)?
        }
        None => count("listeners", reading.listeners, "sockets", None)?,
    };
    let sure = Confidence::new(match (reading.culprit, reading.class) {
        (Some(culprit), Class::AcceptQueue) if culprit.was_full() => 0.95,
        (Some(_), _) => 0.7,
        (None, _) => 0.5,
    })?;
    let callee = unit.callee().unwrap_or_else(|| unit.to_string());
    let sent_again = Quantity::new(reading.sent_again as f64, Measure::Count("segments"))?;
    let refused =
        RuledOut::new("a server that is gone", Quantity::new(0.0, Measure::Count("resets"))?, "are how it drops")?;
    let first = match reading.culprit {
        // Nobody waits in the queue of a server that does not listen.
        Some(culprit) => {
            let waiting = Quantity::new(f64::from(culprit.peak), Measure::Count("connections"))?;
            RuledOut::new("lost packets", waiting, "came through, and wait for the server")?
        }
        None => refused,
    };
    let class = Some(reading.class.name());
    let origin = Origin::new(&callee, sure)?;
    let mut report =
        Report::new(class, what, look(unit, reading)?, why, [drops, overflows, third], origin, first, sure)?;
    if reading.class == Class::RequestQueue {
        report = report.with_evidence(sent);
    }
    if reading.sent_again > 0 {
        report = report.with_evidence(Evidence::new("sent again by callers", sent_again, None, window_ns, n)?);
    }
    if reading.unanswered > 0 {
        report = report.with_evidence(count("connects that timed out", reading.unanswered, "connects", Some(0.0))?);
    }
    Ok(report)
}

fn queue(reading: &Reading<'_>) -> String {
    reading.culprit.map_or_else(String::new, |culprit| format!(" ({} of {})", culprit.peak, culprit.last.max))
}

fn look(unit: &Unit, reading: &Reading<'_>) -> Result<Where, Defect> {
    let Some(culprit) = reading.culprit else {
        let file = Place::File("/proc/net/netstat".into());
        return Where::new("listeners' queues (Recv-Q over Send-Q), counted in", &file, "ss -ltn");
    };
    let address = culprit.last.address;
    let command = format!("ss -ltnp 'sport = :{}'", address.port());
    let phrase = match reading.class {
        Class::AcceptQueue => "accept loop, workers and backlog of",
        Class::RequestQueue => "SYN flood, or backlog too small, of",
        Class::Dropped => "listener of",
    };
    match &culprit.last.owner {
        Some(owner) => Where::new(phrase, &Place::from(owner), &command),
        None if unit.callee().is_some() => Where::new(phrase, &Place::Address(address), &command),
        None => Err(Defect::NoWords),
    }
}
